"""Every change of state with its reason, detail, open time and attempt, in order."""

from collections.abc import Callable

import pytest
from packages.recloser.tests.machine.driving import (
    FAILED,
    IGNORED,
    OK,
    admitted,
    call,
    make,
    news,
    refused,
    resolve,
    trip,
)

from recloser import Control, Outcome, State, Verdict
from recloser.changes import Change, ControlChange, ProbeExpired, ResetDone
from recloser.machine import Machine

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN


def half_open(machine: Machine) -> Machine:
    """Opened at 0 s, half-open since 10 s; the probe that began it is over and said nothing."""
    trip(machine, 0.0)
    call(machine, IGNORED, 10.0)
    news(machine)
    return machine


def test_whole_round() -> None:
    machine = make()
    trip(machine, 0.0)
    call(machine, FAILED, 10.0)
    resolve(machine, 20.0)
    call(machine, OK, 30.0)
    assert news(machine) == [
        Change(CLOSED, OPEN, "consecutive_failures", "Boom: down", 10.0, 1),
        Change(OPEN, HALF_OPEN, "open_elapsed", None, None, 1),
        Change(HALF_OPEN, OPEN, "probe_failed", "Boom: down", 20.0, 2),
        Change(OPEN, HALF_OPEN, "open_elapsed", None, None, 2),
        Change(HALF_OPEN, CLOSED, "probes_succeeded", None, None, 0),
    ]
    assert machine.transitions == {
        (CLOSED, OPEN): 1,
        (OPEN, HALF_OPEN): 2,
        (HALF_OPEN, OPEN): 1,
        (HALF_OPEN, CLOSED): 1,
    }


def test_opening_is_announced_once_its_time_is_known() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    assert machine.state is OPEN
    assert news(machine) == []
    resolve(machine, 12.0)
    assert news(machine) == [Change(CLOSED, OPEN, "consecutive_failures", "Boom: down", 12.0, 1)]


def test_opening_whose_time_was_never_worked_out_is_announced_before_the_next_change() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    machine.reset(1.0, "fixed")
    assert news(machine) == [
        Change(CLOSED, OPEN, "consecutive_failures", "Boom: down", 10.0, 1),
        ResetDone("fixed"),
        Change(OPEN, CLOSED, "operator", "fixed", None, 0),
    ]
    assert machine.take_opening() is None


def test_detail_is_the_failure_only_when_a_failure_opened_it() -> None:
    machine = make(failure_threshold=None, failure_rate_threshold=0.5, minimum_calls=2)
    call(machine, FAILED, 0.0)
    call(machine, OK, 0.0)
    resolve(machine)
    assert news(machine) == [Change(CLOSED, OPEN, "failure_rate", None, 10.0, 1)]


def test_slow_calls() -> None:
    machine = make(failure_threshold=None, slow_call_duration=1.0, slow_call_rate_threshold=0.5, minimum_calls=1)
    call(machine, OK, 1.0, took=1.0)
    resolve(machine)
    call(machine, OK, 12.0, took=1.0)
    resolve(machine)
    assert news(machine) == [
        Change(CLOSED, OPEN, "slow_call_rate", None, 10.0, 1),
        Change(OPEN, HALF_OPEN, "open_elapsed", None, None, 1),
        Change(HALF_OPEN, OPEN, "probe_failed", "the probe was slow", 10.0, 2),
    ]


def test_throttled_opens_and_says_so_at_once() -> None:
    machine = make()
    call(machine, Verdict(Outcome.THROTTLED, 7.0, failed="HTTP 429"), 0.0)
    assert machine.take_opening() is None
    assert news(machine) == [Change(CLOSED, OPEN, "throttled", "HTTP 429", 7.0, 1)]


def test_throttled_without_a_time_waits_for_the_strategy() -> None:
    machine = make()
    call(machine, Verdict(Outcome.THROTTLED, failed="HTTP 429"), 0.0)
    assert news(machine) == []
    resolve(machine, 4.0)
    assert news(machine) == [Change(CLOSED, OPEN, "throttled", "HTTP 429", 4.0, 1)]


def test_hung_probe() -> None:
    machine = make(half_open_timeout=60.0, half_open_max_calls=2)
    trip(machine, 0.0)
    admitted(machine, 10.0)
    admitted(machine, 15.0)
    news(machine)
    machine.tick(75.0)
    resolve(machine)
    *expired, change = news(machine)
    assert sorted(expired) == [ProbeExpired(55.0), ProbeExpired(60.0)]
    assert change == Change(HALF_OPEN, OPEN, "half_open_timeout", "a probe did not end in time", 10.0, 2)
    assert machine.changed_at == 70.0


def test_half_open_period_without_traffic() -> None:
    machine = half_open(make(half_open_timeout=60.0))
    machine.tick(69.999)
    assert news(machine) == []
    machine.tick(70.0)
    assert news(machine) == [Change(HALF_OPEN, OPEN, "half_open_inconclusive", None, 0.0, 1)]
    assert machine.take_opening() is None
    assert machine.retry_after(70.0) == 0.0
    machine.tick(1_000.0)
    assert news(machine) == []


OPERATOR: dict[str, tuple[Callable[[Machine], None], Control]] = {
    "force_open": (lambda machine: machine.force_open(20.0, "why"), Control.FORCED_OPEN),
    "force_closed": (lambda machine: machine.force_closed(20.0, "why"), Control.FORCED_CLOSED),
    "disable": (lambda machine: machine.disable(20.0, "why"), Control.DISABLED),
    "observe_only": (lambda machine: machine.observe_only(20.0, "why"), Control.OBSERVE_ONLY),
}


@pytest.mark.parametrize(
    ("action", "states"),
    [
        ("force_open", [(CLOSED, OPEN)]),
        ("force_closed", []),
        ("disable", []),
        ("observe_only", []),
    ],
)
def test_operator_on_a_closed_circuit(action: str, states: list[tuple[State, State]]) -> None:
    machine = make()
    act, control = OPERATOR[action]
    act(machine)
    assert news(machine) == [
        ControlChange(Control.AUTOMATIC, control, "why"),
        *[Change(*pair, "operator", "why", None, 0) for pair in states],
    ]


@pytest.mark.parametrize(
    ("action", "states"),
    [
        ("force_open", [(HALF_OPEN, OPEN)]),
        ("force_closed", [(HALF_OPEN, CLOSED)]),
        ("disable", [(HALF_OPEN, CLOSED)]),
        ("observe_only", []),
    ],
)
def test_operator_on_a_half_open_circuit(action: str, states: list[tuple[State, State]]) -> None:
    machine = half_open(make())
    act, control = OPERATOR[action]
    act(machine)
    assert news(machine) == [
        ControlChange(Control.AUTOMATIC, control, "why"),
        *[Change(*pair, "operator", "why", None, 1 if pair[1] is OPEN else 0) for pair in states],
    ]
    assert machine.changed_at == (20.0 if states else 10.0)


def test_operator_who_forces_an_open_circuit_open_changes_only_the_control() -> None:
    machine = make()
    trip(machine, 0.0)
    news(machine)
    machine.force_open(5.0, "why")
    assert news(machine) == [ControlChange(Control.AUTOMATIC, Control.FORCED_OPEN, "why")]
    assert machine.retry_after(5.0) is None


@pytest.mark.parametrize("action", ["automatic", "observe_only", "force_closed", "disable", "reset"])
def test_operator_who_ends_a_forced_open_period_closes_the_circuit(action: str) -> None:
    machine = make()
    machine.force_open(5.0, "why")
    news(machine)
    getattr(machine, action)(8.0, "over")
    told = [change for change in news(machine) if isinstance(change, Change)]
    assert told == [Change(OPEN, CLOSED, "operator", "over", None, 0)]
    assert machine.changed_at == 8.0


def test_reset() -> None:
    machine = make()
    machine.force_open(0.0, "why")
    news(machine)
    machine.reset(1.0, "fixed")
    assert news(machine) == [
        ControlChange(Control.FORCED_OPEN, Control.AUTOMATIC, "fixed"),
        ResetDone("fixed"),
        Change(OPEN, CLOSED, "operator", "fixed", None, 0),
    ]


def test_rejections_announce_nothing() -> None:
    machine = make()
    trip(machine, 0.0)
    news(machine)
    refused(machine, 1.0)
    assert news(machine) == []
