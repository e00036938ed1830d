"""`failure_on_result` and `classify`: a call that returned may have failed all the same."""

import logging
from typing import Any

import pytest
from packages.recloser.tests.support import settings, succeed

from recloser import CircuitBreaker, Outcome, State, Verdict
from recloser.testing import FakeClock


def status_is_5xx(status: int) -> bool:
    return status >= 500


def test_result_may_be_a_failure(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(failure_on_result=status_is_5xx), clock=clock)
    for _ in range(3):
        assert breaker.call(lambda: 503) == 503
    assert breaker.state is State.OPEN
    assert breaker.last_failure == "the result was classified as a failure"


async def test_result_may_be_a_failure_async(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(failure_on_result=status_is_5xx), clock=clock)

    @breaker
    async def call() -> int:
        return 503

    for _ in range(3):
        assert await call() == 503
    assert breaker.state is State.OPEN


async def test_result_of_a_lambda_is_the_awaited_one(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(failure_on_result=status_is_5xx), clock=clock)

    async def answer() -> int:
        return 503

    assert await breaker.call(lambda: answer()) == 503
    assert breaker.stats().failed == 1


def test_other_results_are_successes(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(failure_on_result=status_is_5xx), clock=clock)
    assert breaker.call(lambda: 404) == 404
    assert breaker.stats().successful == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, Outcome.SUCCESS),
        (Outcome.SUCCESS, Outcome.SUCCESS),
        (Outcome.FAILURE, Outcome.FAILURE),
        ("ignored", Outcome.IGNORED),
        (Verdict(Outcome.THROTTLED, 7), Outcome.THROTTLED),
    ],
)
def test_classifier_gives_the_outcome_of_a_result(clock: FakeClock, answer: Any, outcome: Outcome) -> None:
    asked: list[tuple[object, object]] = []

    def classify(exc: BaseException | None, result: object) -> Any:
        asked.append((exc, result))
        return answer

    breaker = CircuitBreaker("api", settings(classify=classify), clock=clock)
    succeed(breaker)
    assert asked == [(None, "fine")]
    assert breaker.stats().calls[outcome] == 1


def test_none_of_a_classifier_leaves_it_to_the_predicate(clock: FakeClock) -> None:
    breaker = CircuitBreaker(
        "api", settings(classify=lambda exc, result: None, failure_on_result=lambda result: True), clock=clock
    )
    succeed(breaker)
    assert breaker.stats().failed == 1


@pytest.mark.parametrize("rule", ["failure_on_result", "classify"])
def test_broken_rule_is_logged_and_counts_as_a_failure_and_the_result_is_returned(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, rule: str
) -> None:
    def broken(*_args: object) -> Any:
        raise ZeroDivisionError("a bug in the rule")

    breaker = CircuitBreaker("api", settings(**{rule: broken}), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"):
        succeed(breaker)
    assert breaker.stats().failed == 1
    assert breaker.last_failure == "classifier failed"
    assert "ZeroDivisionError" in caplog.text


def test_result_rules_by_reconfigure_hold_for_functions_decorated_before(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(), clock=clock)

    @breaker
    def call() -> int:
        return 503

    call()
    breaker.reconfigure(settings(failure_on_result=status_is_5xx))
    call()
    assert (breaker.stats().successful, breaker.stats().failed) == (1, 1)
