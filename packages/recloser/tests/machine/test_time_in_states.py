"""Seconds in each state: exact, and together as long as the machine has lived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages.recloser.tests.machine.driving import FAILED, OK, admitted, call, make, resolve, trip

from recloser import State
from recloser.machine import Machine
from recloser.tickets import Ticket


def seconds(machine: Machine, now: float) -> tuple[float, float, float]:
    """Closed, open, half-open."""
    found = machine.seconds_in(now)
    return found[State.CLOSED], found[State.OPEN], found[State.HALF_OPEN]


def test_new_machine_has_been_closed_since_it_was_made() -> None:
    assert seconds(make(now=5.0), 8.0) == (3.0, 0.0, 0.0)


def test_the_present_stay_is_counted_up_to_now() -> None:
    machine = make()
    trip(machine, 4.0)
    assert seconds(machine, 4.0) == (4.0, 0.0, 0.0)
    assert seconds(machine, 6.5) == (4.0, 2.5, 0.0)


def test_stays_in_the_same_state_are_added_up() -> None:
    machine = make()
    trip(machine, 4.0)
    probe = admitted(machine, 15.0)
    machine.settle(probe, OK, 17.0)
    trip(machine, 20.0)
    assert seconds(machine, 21.0) == (4.0 + 3.0, 11.0 + 1.0, 2.0)


def test_probe_that_failed_goes_back_to_open_time() -> None:
    machine = make()
    trip(machine, 1.0)
    call(machine, FAILED, 13.0, took=2.0)
    resolve(machine)
    assert seconds(machine, 14.0) == (1.0, 10.0 + 1.0, 2.0)


def test_half_open_period_ends_at_its_deadline_whenever_it_is_noticed() -> None:
    machine = make(half_open_timeout=20.0)
    trip(machine, 0.0)
    admitted(machine, 10.0)
    machine.tick(100.0)
    assert seconds(machine, 100.0) == (0.0, 10.0 + 70.0, 20.0)


def test_probes_in_flight_are_counted_until_they_are_settled() -> None:
    machine = make(half_open_max_calls=2, success_threshold=3)
    assert machine.probes_in_flight == 0
    trip(machine, 0.0)
    probes = [admitted(machine, 10.0), admitted(machine, 10.0)]
    assert machine.probes_in_flight == 2
    machine.settle(probes[0], OK, 11.0)
    assert machine.probes_in_flight == 1
    machine.settle(probes[1], FAILED, 11.0)
    assert machine.probes_in_flight == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ok", "fail", "hang", "tick", "force_open", "force_closed", "reset"]),
        st.integers(0, 30).map(float),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_states_together_last_as_long_as_the_machine_has_lived_and_no_time_goes_back(
    steps: list[tuple[str, float]],
) -> None:
    machine, now = make(half_open_timeout=5.0), 0.0
    before = seconds(machine, now)
    for step, passed in steps:
        now += passed
        act(machine, step, now)
        machine.tick(now)
        after = seconds(machine, now)
        assert sum(after) == pytest.approx(now)
        assert all(b >= a for a, b in zip(before, after, strict=True))
        before = after


def act(machine: Machine, step: str, now: float) -> None:
    """One step of an example."""
    if step in ("force_open", "force_closed", "reset"):
        getattr(machine, step)(now, "because")
        return
    machine.tick(now)
    if step == "tick":
        return
    ticket = machine.admit(now)
    if step != "hang" and isinstance(ticket, Ticket):
        machine.settle(ticket, OK if step == "ok" else FAILED, now)
    if machine.take_opening() is not None:
        machine.resolve_opening(machine.generation, 10.0)
