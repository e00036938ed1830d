"""Who is let through, who is not and for how long, and what is counted meanwhile."""

from typing import Any

import pytest
from packages.recloser.tests.machine.driving import (
    FAILED,
    IGNORED,
    OK,
    admitted,
    call,
    make,
    reading,
    refused,
    resolve,
    trip,
)

from recloser import Control, Outcome, State, Verdict
from recloser.machine import Machine
from recloser.outcomes import RELEASED
from recloser.tickets import Refusal

MODES = ["automatic", "force_open", "force_closed", "disable", "observe_only"]


def test_new_machine() -> None:
    machine = make(now=5.0)
    assert (machine.state, machine.control, machine.control_reason) == (State.CLOSED, Control.AUTOMATIC, None)
    assert (machine.changed_at, machine.attempt, machine.last_failure) == (5.0, 0, None)
    assert (reading(machine).rejections, machine.observed_rejections, machine.transitions) == ({}, 0, {})
    assert machine.retry_after(5.0) == 0.0


def test_ticket_says_when_it_was_written_and_by_which_generation() -> None:
    machine = make()
    first = admitted(machine, 1.0)
    machine.reset(2.0, "fixed")
    second = admitted(machine, 3.0)
    trip(machine, 4.0)
    probe = admitted(machine, 14.0)
    machine.disable(20.0, "rollout")
    unrecorded = admitted(machine, 21.0)
    tickets = (first, second, probe, unrecorded)
    assert [ticket.started for ticket in tickets] == [1.0, 3.0, 14.0, 21.0]
    assert len({ticket.generation for ticket in tickets}) == 4
    assert unrecorded.generation == machine.generation
    assert [ticket.settled for ticket in tickets] == [False, False, False, True]


def test_open_circuit_refuses_until_its_time_is_over() -> None:
    machine = make()
    trip(machine, 0.0)
    assert refused(machine, 4.0) == Refusal(State.OPEN, "open", 6.0)
    assert machine.retry_after(4.0) == 6.0
    assert machine.retry_after(10.0) == 0.0
    admitted(machine, 10.0)
    assert machine.state is State.HALF_OPEN
    assert machine.changed_at == 10.0


def test_half_open_circuit_refuses_when_its_slots_are_taken() -> None:
    machine = make(half_open_max_calls=2, half_open_timeout=60.0)
    trip(machine, 0.0)
    first = admitted(machine, 10.0)
    assert machine.retry_after(11.0) == 0.0
    admitted(machine, 11.0)
    assert refused(machine, 12.0) == Refusal(State.HALF_OPEN, "half_open_full", 58.0)
    assert machine.retry_after(12.0) == 58.0
    machine.settle(first, IGNORED, 13.0)
    admitted(machine, 13.0)


def test_forced_open_circuit_refuses_without_an_end() -> None:
    machine = make()
    machine.force_open(0.0, "maintenance")
    assert refused(machine, 1e9) == Refusal(State.OPEN, "forced_open", None)
    assert machine.retry_after(1e9) is None


def test_refusals_are_counted_by_reason() -> None:
    machine = make()
    trip(machine, 0.0)
    for now in (1.0, 2.0):
        refused(machine, now)
    admitted(machine, 10.0)
    refused(machine, 11.0)
    machine.force_open(12.0, "maintenance")
    for now in (13.0, 14.0, 15.0):
        refused(machine, now)
    assert reading(machine).rejections == {"open": 2, "half_open_full": 1, "forced_open": 3}
    assert machine.observed_rejections == 0


def test_shadow_mode_lets_through_what_it_would_refuse() -> None:
    machine = make()
    machine.observe_only(0.0, "trial")
    trip(machine, 0.0)
    ticket = admitted(machine, 4.0)
    admitted(machine, 5.0)
    assert (ticket.shadow_of, ticket.started, ticket.generation) == (
        Refusal(State.OPEN, "open", 6.0),
        4.0,
        machine.generation,
    )
    assert (machine.observed_rejections, reading(machine).rejections, machine.kernel.in_flight) == (2, {}, 2)
    assert machine.retry_after(4.0) == 0.0
    settled = machine.settle(ticket, FAILED, 6.0)
    assert settled is not None
    assert settled.late
    assert machine.kernel.in_flight == 1


def test_shadow_mode_refuses_nothing_in_half_open() -> None:
    machine = make()
    machine.observe_only(0.0, "trial")
    trip(machine, 0.0)
    probe = admitted(machine, 10.0)
    shadow = admitted(machine, 11.0)
    assert probe.shadow_of is None
    assert shadow.shadow_of == Refusal(State.HALF_OPEN, "half_open_full", 59.0)
    machine.settle(shadow, FAILED, 12.0)
    machine.settle(probe, OK, 12.0)
    assert machine.state is State.CLOSED


def test_disabled_machine_counts_nothing() -> None:
    machine = make()
    machine.disable(0.0, "rollout")
    ticket = admitted(machine, 1.0)
    assert machine.settle(ticket, FAILED, 2.0) is None
    assert machine.kernel.in_flight == 0
    assert sum(reading(machine).counts.values()) == 0
    assert machine.retry_after(1.0) == 0.0


# Outcomes


def test_outcome_is_taken_once() -> None:
    machine = make()
    ticket = admitted(machine, 0.0)
    assert machine.settle(ticket, OK, 1.5) == (Outcome.SUCCESS, 1.5, False)
    assert machine.settle(ticket, FAILED, 2.0) is None
    assert machine.kernel.in_flight == 0
    assert reading(machine).counts[Outcome.SUCCESS] == 1


@pytest.mark.parametrize(
    ("took", "outcome"), [(0.0, Outcome.SUCCESS), (0.75, Outcome.SUCCESS), (1.0, Outcome.SLOW), (9.0, Outcome.SLOW)]
)
def test_success_becomes_slow_by_its_duration(took: float, outcome: Outcome) -> None:
    machine = make(slow_call_duration=1.0)
    assert call(machine, OK, 10.0, took=took) == (outcome, took, False)
    assert reading(machine).counts[outcome] == 1


def test_failure_that_took_long_is_a_failure() -> None:
    machine = make(slow_call_duration=1.0, slow_call_rate_threshold=1.0)
    assert call(machine, FAILED, 10.0, took=2.0).outcome is Outcome.FAILURE
    assert machine.kernel.slow_call_rate(10.0) == 1.0
    assert machine.kernel.failure_rate(10.0) == 1.0


def test_stream_is_as_slow_as_its_first_item() -> None:
    machine = make(slow_call_duration=1.0)
    ticket = admitted(machine, 0.0)
    ticket.latency = 0.25
    assert machine.settle(ticket, OK, 500.0) == (Outcome.SUCCESS, 0.25, False)


def test_clock_that_went_back_makes_no_negative_duration() -> None:
    machine = make()
    ticket = admitted(machine, 5.0)
    assert machine.settle(ticket, OK, 4.0) == (Outcome.SUCCESS, 0.0, False)


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (FAILED, "Boom: down"),
        (Verdict(Outcome.FAILURE), "failure"),
        (Verdict(Outcome.THROTTLED, 5.0, failed="HTTP 429"), "HTTP 429"),
        (Verdict(Outcome.THROTTLED), "throttled"),
        (OK, None),
        (IGNORED, None),
        (RELEASED, None),
        (Verdict(Outcome.SUCCESS, failed="not so"), None),
    ],
)
def test_last_failure_is_what_failed_last(verdict: Verdict, text: str | None) -> None:
    machine = make()
    call(machine, verdict, 0.0)
    assert machine.last_failure == text


@pytest.mark.parametrize("verdict", [IGNORED, RELEASED])
def test_outcome_that_says_nothing_leaves_the_window(verdict: Verdict) -> None:
    machine = make()
    call(machine, FAILED, 0.0)
    call(machine, verdict, 0.0)
    assert machine.kernel.window_calls == 1
    assert machine.kernel.consecutive_failures == 1
    assert machine.kernel.in_flight == 0


@pytest.mark.parametrize("verdict", [IGNORED, RELEASED, Verdict(Outcome.FAILURE, conclusive=False)])
def test_outcome_of_a_probe_that_says_nothing_gives_the_slot_back(verdict: Verdict) -> None:
    machine = make()
    trip(machine, 0.0)
    for now in (10.0, 11.0, 12.0):
        call(machine, verdict, now)
    assert machine.state is State.HALF_OPEN
    call(machine, OK, 13.0)
    assert machine.state is State.CLOSED


def test_slow_probe_is_a_success_without_a_rule_on_slow_calls() -> None:
    machine = make(slow_call_duration=1.0)
    trip(machine, 0.0)
    call(machine, OK, 13.0, took=3.0)
    assert machine.state is State.CLOSED


def test_closing_empties_the_window() -> None:
    machine = make()
    trip(machine, 0.0)
    assert machine.kernel.window_calls == 3
    call(machine, OK, 10.0)
    assert machine.kernel.window_calls == 0
    assert machine.kernel.consecutive_failures == 0


def test_outcome_of_a_hung_probe_comes_too_late_to_be_taken() -> None:
    machine = make(half_open_timeout=60.0)
    trip(machine, 0.0)
    probe = admitted(machine, 10.0)
    assert machine.settle(probe, OK, 70.0) is None
    assert machine.state is State.OPEN
    assert reading(machine).counts[Outcome.EXPIRED] == 1
    assert machine.kernel.in_flight == 0
    assert sum(reading(machine).histogram) == 3


def test_late_outcome_is_counted_and_changes_nothing_else() -> None:
    machine = make()
    late = admitted(machine, 0.0)
    trip(machine, 0.0)
    call(machine, OK, 10.0)
    settled = machine.settle(late, Verdict(Outcome.THROTTLED, 99.0), 11.0)
    assert settled == (Outcome.THROTTLED, 11.0, True)
    assert machine.state is State.CLOSED
    assert machine.kernel.window_calls == 0
    assert reading(machine).counts[Outcome.THROTTLED] == 1


def test_late_failure_does_not_lengthen_the_open_time() -> None:
    machine = make()
    late = admitted(machine, 0.0)
    trip(machine, 0.0)
    machine.settle(late, FAILED, 9.0)
    assert machine.retry_after(9.0) == 1.0


# The hot path: no ticket is written for calls that succeed


def hot(machine: Machine) -> bool:
    return machine.kernel.hot_generation == machine.generation


@pytest.mark.parametrize(
    ("mode", "is_hot"),
    [("automatic", True), ("observe_only", True), ("force_open", False), ("force_closed", False), ("disable", False)],
)
def test_hot_path_is_for_calls_that_the_machine_need_not_see(mode: str, is_hot: bool) -> None:
    machine = make()
    getattr(machine, mode)(0.0, "why")
    assert hot(machine) is is_hot
    machine.automatic(1.0, "over")
    assert hot(machine)
    getattr(machine, mode)(2.0, "again")
    machine.reset(3.0, "over")
    assert hot(machine)


def test_hot_path_is_for_a_closed_circuit() -> None:
    machine = make(success_threshold=2)
    trip(machine, 0.0)
    assert not hot(machine)
    call(machine, OK, 10.0)
    assert machine.state is State.HALF_OPEN
    assert not hot(machine)
    call(machine, OK, 10.0)
    assert hot(machine)


def test_no_call_takes_the_hot_path_while_somebody_listens_to_each() -> None:
    machine = make()
    machine.observe(True, False)
    assert not hot(machine)
    machine.reset(0.0, "fixed")
    assert not hot(machine)
    machine.observe(False, False)
    assert hot(machine)


def test_no_call_takes_the_hot_path_while_running_ones_are_watched() -> None:
    rules: dict[str, Any] = {"slow_call_duration": 1.0, "slow_call_rate_threshold": 0.5}
    machine = make(**rules, count_in_flight_slow_calls=True)
    assert not hot(machine)
    machine.reconfigure(make(**rules).settings, 0.0)
    assert hot(machine)


def test_open_circuit_of_which_the_time_is_not_known_is_probed_after_its_answer() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    refused(machine, 20.0)
    resolve(machine, 5.0)
    call(machine, OK, 20.0)
    assert machine.state is State.CLOSED


@pytest.mark.parametrize("mode", MODES[1:])
def test_reason_of_the_operator_is_kept_until_control_is_given_back(mode: str) -> None:
    machine = make()
    getattr(machine, mode)(0.0, "why")
    assert machine.control_reason == "why"
    getattr(machine, mode)(1.0, "still")
    assert machine.control_reason == "still"
    machine.automatic(2.0, "over")
    assert machine.control_reason is None
    assert machine.control is Control.AUTOMATIC
