"""The open time: what a recovery strategy is told, and what its answer does."""

from typing import Any

import pytest
from packages.recloser.tests.machine.driving import (
    FAILED,
    IGNORED,
    OK,
    admitted,
    call,
    make,
    news,
    reading,
    refused,
    resolve,
    trip,
)
from packages.recloser.tests.support import rates

from recloser import Control, Opening, Outcome, State, Verdict
from recloser.machine import Machine
from recloser.tickets import Refusal

SLOW_RULE: dict[str, Any] = {
    "failure_threshold": None,
    "slow_call_duration": 1.0,
    "slow_call_rate_threshold": 0.5,
    "minimum_calls": 1,
}


def test_opening_by_failures() -> None:
    machine = make()
    call(machine, OK, 0.0)
    for _ in range(3):
        call(machine, FAILED, 0.0)
    assert machine.take_opening() == Opening(1, 0.75, Outcome.FAILURE)


def test_opening_is_given_out_once() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    assert machine.take_opening() is not None
    assert machine.take_opening() is None


def test_opening_by_a_success_that_fills_the_window() -> None:
    machine = Machine(rates(), 0.0)
    call(machine, FAILED, 0.0)
    call(machine, OK, 0.0)
    assert machine.take_opening() == Opening(1, 0.5, Outcome.SUCCESS)


def test_opening_by_a_success_on_the_hot_path() -> None:
    machine = Machine(rates(), 0.0)
    call(machine, FAILED, 0.0)
    machine.trip(machine.generation, "failure_rate", 3.0)
    assert machine.state is State.OPEN
    assert machine.changed_at == 3.0
    assert machine.take_opening() == Opening(1, 1.0, Outcome.SUCCESS)


def test_success_of_an_older_generation_opens_nothing() -> None:
    machine = make()
    old = machine.generation
    machine.reset(0.0, "fixed")
    machine.trip(old, "failure_rate", 0.0)
    assert machine.state is State.CLOSED


def test_opening_by_a_slow_call() -> None:
    machine = make(**SLOW_RULE)
    call(machine, OK, 1.0, took=1.0)
    assert machine.take_opening() == Opening(1, 0.0, Outcome.SLOW)


def test_opening_by_a_call_that_runs_and_is_slow() -> None:
    machine = make(**SLOW_RULE, count_in_flight_slow_calls=True)
    admitted(machine, 0.0)
    machine.tick(1.0)
    assert machine.take_opening() == Opening(1, 0.0, Outcome.SLOW)


def test_opening_by_throttling_without_a_time_and_an_empty_window() -> None:
    machine = make()
    call(machine, Verdict(Outcome.THROTTLED), 0.0)
    assert machine.take_opening() == Opening(1, 1.0, Outcome.THROTTLED)


@pytest.mark.parametrize(
    ("verdict", "outcome"), [(FAILED, Outcome.FAILURE), (Verdict(Outcome.THROTTLED), Outcome.THROTTLED)]
)
def test_opening_by_a_probe_is_the_next_attempt(verdict: Verdict, outcome: Outcome) -> None:
    machine = make()
    trip(machine, 0.0)
    call(machine, verdict, 10.0)
    assert machine.take_opening() == Opening(2, 1.0, outcome)


def test_opening_by_a_hung_probe() -> None:
    machine = make(half_open_timeout=60.0)
    trip(machine, 0.0)
    admitted(machine, 10.0)
    machine.tick(75.0)
    assert machine.take_opening() == Opening(2, 1.0, None)
    assert machine.open_until == 80.0


def test_answer_counts_from_the_opening() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 5.0)
    assert machine.retry_after(6.0) == 9.0
    resolve(machine, 30.0)
    assert machine.retry_after(6.0) == 29.0


def test_until_the_answer_is_there_no_call_is_a_probe() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    assert machine.retry_after(50.0) == 0.0
    assert refused(machine, 50.0) == Refusal(State.OPEN, "open", 0.0)
    resolve(machine, 40.0)
    assert admitted(machine, 50.0).generation == machine.generation
    assert machine.state is State.HALF_OPEN


def test_refusal_is_counted_once_though_the_caller_asks_again_when_the_answer_is_there() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    refused(machine, 1.0)
    assert reading(machine).rejections == {}
    resolve(machine)
    refused(machine, 1.0)
    refused(machine, 2.0)
    assert reading(machine).rejections == {"open": 2}


def test_answer_for_an_older_opening_changes_nothing() -> None:
    machine = make()
    for _ in range(3):
        call(machine, FAILED, 0.0)
    old = machine.generation
    machine.reset(0.0, "fixed")
    for _ in range(3):
        call(machine, FAILED, 0.0)
    news(machine)
    machine.resolve_opening(old, 500.0)
    assert machine.retry_after(0.0) == 10.0
    assert news(machine) == []


def test_second_answer_changes_nothing() -> None:
    machine = make()
    trip(machine, 0.0, seconds=20.0)
    news(machine)
    machine.resolve_opening(machine.generation, 500.0)
    assert machine.retry_after(0.0) == 20.0
    assert news(machine) == []


@pytest.mark.parametrize(("answer", "wait"), [(5.0, 45.0), (45.0, 45.0), (50.0, 50.0)])
def test_answer_does_not_shorten_what_the_dependency_asked_for_meanwhile(answer: float, wait: float) -> None:
    machine = make()
    late = admitted(machine, 0.0)
    for _ in range(3):
        call(machine, FAILED, 0.0)
    machine.settle(late, Verdict(Outcome.THROTTLED, 45.0), 0.0)
    resolve(machine, answer)
    assert machine.retry_after(0.0) == wait
    assert news(machine)[-1].open_for == wait


def test_what_the_dependency_asked_for_once_does_not_lengthen_the_next_opening() -> None:
    machine = make()
    late = admitted(machine, 0.0)
    trip(machine, 0.0)
    machine.settle(late, Verdict(Outcome.THROTTLED, 1_000.0), 0.0)
    machine.reset(1.0, "fixed")
    trip(machine, 2.0)
    assert machine.retry_after(2.0) == 10.0


@pytest.mark.parametrize(
    ("asked", "wait"), [(-5.0, 10.0), (0.0, 10.0), (12.0, 12.0), (3_600.0, 3_600.0), (9_999.0, 3_600.0)]
)
def test_late_wish_of_the_dependency_only_lengthens_and_is_capped(asked: float, wait: float) -> None:
    machine = make()
    late = admitted(machine, 0.0)
    trip(machine, 0.0)
    machine.settle(late, Verdict(Outcome.THROTTLED, asked), 0.0)
    assert machine.retry_after(0.0) == wait


@pytest.mark.parametrize(("asked", "wait"), [(-5.0, 0.0), (0.5, 0.5), (3_600.0, 3_600.0), (9_999.0, 3_600.0)])
def test_wish_of_the_dependency_is_capped(asked: float, wait: float) -> None:
    machine = make()
    call(machine, Verdict(Outcome.THROTTLED, asked), 0.0)
    assert machine.retry_after(0.0) == wait


def test_failed_probe_forgets_the_successes_before_it() -> None:
    machine = make(success_threshold=2)
    trip(machine, 0.0)
    call(machine, OK, 10.0)
    call(machine, FAILED, 10.0)
    resolve(machine)
    call(machine, OK, 20.0)
    assert machine.state is State.HALF_OPEN
    call(machine, OK, 20.0)
    assert machine.state is State.CLOSED
    assert machine.attempt == 0


def test_forced_closed_circuit_does_not_open() -> None:
    machine = make()
    machine.force_closed(0.0, "needed")
    for _ in range(5):
        call(machine, FAILED, 0.0)
    call(machine, Verdict(Outcome.THROTTLED, 5.0), 0.0)
    assert machine.state is State.CLOSED
    assert machine.take_opening() is None
    assert (machine.control, machine.kernel.consecutive_failures) == (Control.FORCED_CLOSED, 5)


def test_inconclusive_half_open_period_keeps_the_attempt() -> None:
    machine = make(half_open_timeout=60.0)
    trip(machine, 0.0)
    call(machine, IGNORED, 10.0)
    machine.tick(70.0)
    assert machine.attempt == 1
    call(machine, FAILED, 70.0)
    assert machine.take_opening() == Opening(2, 1.0, Outcome.FAILURE)
