"""Restored from a snapshot, forked, or to be forgotten: what of a machine goes on."""

import math

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

from recloser import Control, Outcome, State, TimeWindow, Verdict
from recloser.changes import Change
from recloser.machine import Machine

# Restore


def test_open_circuit_is_restored_with_the_time_that_is_left() -> None:
    machine = make()
    machine.restore(State.OPEN, Control.AUTOMATIC, None, 3, 7.0, "Boom: down", 100.0)
    assert news(machine) == [Change(State.CLOSED, State.OPEN, "restored", None, 7.0, 3)]
    assert (machine.attempt, machine.last_failure, machine.changed_at) == (3, "Boom: down", 100.0)
    assert machine.retry_after(100.0) == 7.0
    assert refused(machine, 106.9).reason == "open"
    call(machine, OK, 107.0)
    assert machine.state is State.CLOSED


def test_circuit_that_an_operator_holds_open_is_restored_without_an_end() -> None:
    machine = make()
    machine.restore(State.OPEN, Control.FORCED_OPEN, "maintenance", 0, math.inf, None, 100.0)
    assert news(machine) == [Change(State.CLOSED, State.OPEN, "restored", None, None, 0)]
    assert (machine.control, machine.control_reason) == (Control.FORCED_OPEN, "maintenance")
    assert machine.retry_after(1e9) is None


def test_half_open_circuit_is_restored_open_to_be_probed() -> None:
    machine = make()
    machine.restore(State.HALF_OPEN, Control.AUTOMATIC, None, 1, 0.0, None, 100.0)
    assert machine.state is State.OPEN
    assert machine.retry_after(100.0) == 0.0
    call(machine, FAILED, 100.0)
    assert machine.attempt == 2


def test_restored_circuit_needs_as_many_successes_as_any_other() -> None:
    machine = make(success_threshold=2)
    machine.restore(State.OPEN, Control.AUTOMATIC, None, 1, 0.0, None, 100.0)
    call(machine, OK, 100.0)
    assert machine.state is State.HALF_OPEN
    call(machine, OK, 100.0)
    assert machine.state is State.CLOSED


def test_dependency_may_lengthen_the_open_time_of_a_restored_circuit() -> None:
    machine = make()
    machine.restore(State.OPEN, Control.OBSERVE_ONLY, "trial", 1, 7.0, None, 100.0)
    call(machine, Verdict(Outcome.THROTTLED, 45.0), 100.0)
    machine.automatic(100.0, "over")
    assert machine.retry_after(100.0) == 45.0


@pytest.mark.parametrize("control", [Control.AUTOMATIC, Control.FORCED_CLOSED, Control.DISABLED, Control.OBSERVE_ONLY])
def test_closed_circuit_is_restored_closed(control: Control) -> None:
    machine = make()
    machine.restore(State.CLOSED, control, "why", 0, 0.0, "Boom: down", 100.0)
    assert news(machine) == []
    assert (machine.state, machine.control, machine.control_reason) == (State.CLOSED, control, "why")
    assert machine.last_failure == "Boom: down"
    hot = machine.kernel.hot_generation == machine.generation
    assert hot is (control in (Control.AUTOMATIC, Control.OBSERVE_ONLY))


# Fork


def test_child_forgets_the_calls_of_its_parent_and_their_outcomes_change_nothing() -> None:
    machine = make()
    inherited = [admitted(machine, 0.0) for _ in range(3)]
    call(machine, FAILED, 0.0)
    machine.after_fork(1.0)
    assert machine.kernel.in_flight == 0
    own = admitted(machine, 2.0)
    for ticket in inherited:
        settled = machine.settle(ticket, FAILED, 3.0)
        assert settled is not None
        assert settled.late
    assert machine.state is State.CLOSED
    assert machine.kernel.in_flight == 1
    machine.settle(own, OK, 3.0)
    assert machine.kernel.in_flight == 0


def test_child_keeps_the_window() -> None:
    machine = make()
    for _ in range(2):
        call(machine, FAILED, 0.0)
    machine.after_fork(1.0)
    assert machine.state is State.CLOSED
    assert news(machine) == []
    call(machine, FAILED, 2.0)
    assert machine.state is State.OPEN


def test_child_keeps_the_open_time() -> None:
    machine = make()
    trip(machine, 0.0)
    machine.after_fork(4.0)
    assert (machine.state, machine.attempt) == (State.OPEN, 1)
    assert machine.retry_after(4.0) == 6.0
    assert news(machine) == []


def test_child_of_a_half_open_circuit_may_probe_at_once() -> None:
    machine = make()
    trip(machine, 0.0)
    inherited = admitted(machine, 10.0)
    machine.after_fork(12.0)
    assert news(machine) == [Change(State.HALF_OPEN, State.OPEN, "half_open_inconclusive", None, 0.0, 1)]
    assert machine.changed_at == 12.0
    assert machine.retry_after(12.0) == 0.0
    assert machine.kernel.in_flight == 0
    machine.settle(inherited, OK, 12.0)
    assert machine.state is State.OPEN
    call(machine, OK, 12.0)
    assert machine.state is State.CLOSED
    assert machine.kernel.in_flight == 0


def test_child_does_not_tell_what_its_parent_tells() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    machine.after_fork(1.0)
    assert news(machine) == []
    assert machine.take_opening() is None
    assert machine.retry_after(1.0) == 9.0
    call(machine, OK, 10.0)
    assert machine.state is State.CLOSED


def test_grandchild_forgets_the_calls_of_both() -> None:
    machine = make()
    first = admitted(machine, 0.0)
    machine.after_fork(1.0)
    second = admitted(machine, 1.0)
    machine.after_fork(2.0)
    for ticket in (first, second):
        machine.settle(ticket, FAILED, 3.0)
    assert machine.kernel.in_flight == 0
    assert machine.kernel.window_calls == 0


# To be forgotten


def evictable_retirable_idle(machine: Machine, now: float) -> tuple[bool, bool, bool]:
    return machine.is_evictable(now), machine.is_retirable(now), machine.is_idle(now)


def test_unused_machine_can_go() -> None:
    assert evictable_retirable_idle(make(), 0.0) == (True, True, True)


def test_machine_that_remembers_a_failure_is_not_idle() -> None:
    machine = make()
    call(machine, OK, 0.0)
    assert evictable_retirable_idle(machine, 0.0) == (True, True, True)
    call(machine, FAILED, 0.0)
    assert evictable_retirable_idle(machine, 0.0) == (True, True, False)
    call(machine, OK, 0.0)  # the row of failures is broken; the window still knows of it
    assert evictable_retirable_idle(machine, 0.0) == (True, True, False)


def test_machine_that_remembers_a_row_of_failures_is_not_idle_though_its_window_is_empty() -> None:
    machine = make(window=TimeWindow(10.0, 5))
    call(machine, FAILED, 0.0)
    assert not machine.is_idle(100.0)
    call(machine, OK, 0.0)
    assert not machine.is_idle(9.0)
    assert machine.is_idle(100.0)


def test_machine_with_a_call_in_flight_stays() -> None:
    machine = make()
    ticket = admitted(machine, 0.0)
    assert evictable_retirable_idle(machine, 0.0) == (False, False, False)
    machine.settle(ticket, OK, 0.0)
    assert evictable_retirable_idle(machine, 0.0) == (True, True, True)


def test_open_circuit_is_not_evicted_and_may_be_retired_when_its_time_is_over() -> None:
    machine = make()
    trip(machine, 0.0)
    assert evictable_retirable_idle(machine, 9.0) == (False, False, False)
    assert evictable_retirable_idle(machine, 10.0) == (False, True, False)


def test_half_open_circuit_is_not_evicted_and_may_be_retired_when_it_has_a_free_slot() -> None:
    machine = make()
    trip(machine, 0.0)
    probe = admitted(machine, 10.0)
    assert evictable_retirable_idle(machine, 10.0) == (False, False, False)
    machine.settle(probe, IGNORED, 10.0)
    assert machine.state is State.HALF_OPEN
    assert evictable_retirable_idle(machine, 10.0) == (False, True, False)


def test_circuit_that_opened_with_an_empty_window_is_not_idle() -> None:
    machine = make()
    call(machine, Verdict(Outcome.THROTTLED), 0.0)
    resolve(machine)
    assert machine.kernel.window_calls == 0
    assert evictable_retirable_idle(machine, 0.0) == (False, False, False)
    assert not machine.is_idle(10.0)


@pytest.mark.parametrize("mode", ["force_open", "force_closed", "disable", "observe_only"])
def test_machine_under_an_operator_s_control_stays(mode: str) -> None:
    machine = make()
    getattr(machine, mode)(0.0, "why")
    assert evictable_retirable_idle(machine, 1e9) == (False, False, False)
