"""`classify`, `ignore`, `unreachable` and `failure_on`: what an exception says about the dependency."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, fail, raising, settings

from recloser import CircuitBreaker, Outcome, Settings, State, Verdict
from recloser.testing import FakeClock


class HttpError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def outcome_of(clock: FakeClock, rules: Settings, exc: BaseException) -> Outcome:
    """How one call that raises `exc` ends under these rules."""
    breaker = CircuitBreaker("api", rules, clock=clock)
    with pytest.raises(type(exc)) as caught:
        breaker.call(raising(exc))
    assert caught.value is exc
    calls = {status: count for status, count in breaker.stats().calls.items() if count}
    assert list(calls.values()) == [1]
    return Outcome(next(iter(calls)))


@pytest.mark.parametrize(
    ("rules", "exc", "outcome"),
    [
        ({}, Boom("x"), Outcome.FAILURE),
        ({"failure_on": ConnectionError}, ConnectionResetError(), Outcome.FAILURE),
        ({"failure_on": ConnectionError}, ValueError(), Outcome.SUCCESS),
        ({"failure_on": (ConnectionError, TimeoutError)}, TimeoutError(), Outcome.FAILURE),
        ({"failure_on": [lambda exc: "x" in str(exc), TimeoutError]}, Boom("x"), Outcome.FAILURE),
        ({"failure_on": lambda exc: exc.status >= 500}, HttpError(503), Outcome.FAILURE),
        ({"failure_on": lambda exc: exc.status >= 500}, HttpError(404), Outcome.SUCCESS),
        ({"failure_on": ()}, Boom("x"), Outcome.SUCCESS),
        ({"ignore": KeyError}, KeyError("x"), Outcome.IGNORED),
        ({"ignore": LookupError}, KeyError("x"), Outcome.IGNORED),
        ({"ignore": KeyError}, Boom("x"), Outcome.FAILURE),
        ({"ignore": (lambda exc: exc.args == ("x",),)}, Boom("x"), Outcome.IGNORED),
        ({"ignore": Boom, "failure_on": Boom}, Boom("x"), Outcome.IGNORED),
        ({"ignore": Boom, "unreachable": Boom}, Boom("x"), Outcome.IGNORED),
        ({"unreachable": Boom, "failure_on": ()}, Boom("x"), Outcome.FAILURE),
        ({"classify": lambda exc, _: Outcome.SUCCESS, "failure_on": Boom}, Boom("x"), Outcome.SUCCESS),
        ({"classify": lambda exc, _: "ignored"}, Boom("x"), Outcome.IGNORED),
        ({"classify": lambda exc, _: Verdict(Outcome.THROTTLED, 5)}, Boom("x"), Outcome.THROTTLED),
        ({"classify": lambda exc, _: None, "ignore": Boom}, Boom("x"), Outcome.IGNORED),
        ({"classify": lambda exc, _: Outcome.FAILURE, "ignore": Boom}, Boom("x"), Outcome.FAILURE),
    ],
)
def test_rules_give_the_outcome(clock: FakeClock, rules: dict[str, Any], exc: Exception, outcome: Outcome) -> None:
    assert outcome_of(clock, settings(**rules), exc) is outcome


def test_iterator_of_rules_is_not_used_up(clock: FakeClock) -> None:
    def rules() -> Iterator[type[Exception]]:
        yield KeyError
        yield Boom

    breaker = CircuitBreaker("api", settings(ignore=rules()), clock=clock)
    fail(breaker, 5)
    assert breaker.stats().calls["ignored"] == 5


def test_exception_that_is_no_failure_counts_as_an_answer(clock: FakeClock) -> None:
    """A 404 proves that the dependency is there: it breaks a row of failures."""
    breaker = CircuitBreaker("api", settings(failure_on=ConnectionError), clock=clock)
    fail(breaker, 2, ConnectionError)
    fail(breaker, 1, KeyError)
    assert breaker.stats().consecutive_failures == 0
    assert breaker.stats().window_calls == 3


@pytest.mark.parametrize("rule", ["failure_on", "ignore", "unreachable", "classify"])
def test_broken_rule_is_logged_and_counts_as_a_failure_and_hides_nothing(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, rule: str
) -> None:
    def broken(*_args: object) -> Any:
        raise ZeroDivisionError("a bug in the rule")

    breaker = CircuitBreaker("api", settings(**{rule: broken}), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"), pytest.raises(Boom) as caught:
        breaker.call(raising(Boom("the original")))
    assert caught.value.__context__ is None
    assert breaker.stats().failed == 1
    assert breaker.last_failure == "Boom: the original"
    assert "ZeroDivisionError: a bug in the rule" in caplog.text


@pytest.mark.parametrize(
    "answer", ["slow", "released", "expired", "nonsense", 3, Verdict(Outcome.THROTTLED, float("nan"))]
)
def test_impossible_answer_of_a_classifier_counts_as_a_failure(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    breaker = CircuitBreaker("api", settings(classify=lambda exc, result: answer), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"):
        fail(breaker)
    assert breaker.stats().failed == 1
    assert "a classifier failed" in caplog.text


def test_classifier_may_describe_the_failure(clock: FakeClock) -> None:
    breaker = CircuitBreaker(
        "api", settings(classify=lambda exc, _: Verdict(Outcome.FAILURE, failed=f"status {exc.status}")), clock=clock
    )
    with pytest.raises(HttpError):
        breaker.call(raising(HttpError(500)))
    assert breaker.last_failure == "status 500"


def test_exception_group_is_judged_as_one_exception(clock: FakeClock) -> None:
    def all_ignorable(exc: BaseException) -> bool:
        return isinstance(exc, ExceptionGroup) and exc.split(KeyError)[1] is None

    rules = settings(ignore=all_ignorable)
    assert outcome_of(clock, rules, ExceptionGroup("g", [KeyError("x")])) is Outcome.IGNORED
    assert outcome_of(clock, rules, ExceptionGroup("g", [KeyError("x"), Boom("y")])) is Outcome.FAILURE


def test_predicates_run_outside_the_lock(clock: FakeClock) -> None:
    """A predicate may look at the breaker."""
    seen: list[State] = []

    def looks(exc: BaseException) -> bool:
        seen.append(breaker.state)
        return True

    breaker = CircuitBreaker("api", settings(failure_on=looks), clock=clock)
    fail(breaker, 3)
    assert seen == [State.CLOSED] * 3
    assert breaker.state is State.OPEN


async def test_rules_are_the_same_for_coroutines(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(ignore=KeyError), clock=clock)

    @breaker
    async def call(exc: Exception) -> None:
        raise exc

    for exc in (KeyError("x"), Boom("y")):
        with pytest.raises(type(exc)) as caught:
            await call(exc)
        assert caught.value is exc
    assert breaker.stats().calls["ignored"] == 1
    assert breaker.stats().failed == 1
