"""Real stamina. It sleeps in real time, so the circuits that it waits for open for a moment only."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stamina
import stamina.instrumentation
from packages.recloser.tests.support import Boom, trip

from recloser import CircuitBreaker, CircuitOpenError, Settings, SettingsError, State
from recloser.integrations.stamina import unless_open

MOMENT = 0.05


@pytest.fixture
def breaker() -> CircuitBreaker:
    """On the real clock: three failures open it for a moment."""
    return CircuitBreaker("db", Settings(failure_threshold=3, open_for=MOMENT))


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """What stamina waited before each retry, in seconds."""
    seen: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: seen.append(details.wait_for)])
    yield seen
    stamina.instrumentation.set_on_retry_hooks(None)


def dependency(*answers: Exception | str) -> Callable[[], str]:
    """Gives or raises each answer in turn."""
    left = iter(answers)

    def call() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


QUICK = {"wait_initial": 0, "wait_max": 0, "wait_jitter": 0, "attempts": 6}


def run(breaker: CircuitBreaker, on: Any, call: Callable[[], str]) -> str:
    return stamina.retry(on=on, **QUICK)(breaker(call))()


async def run_async(breaker: CircuitBreaker, on: Any, call: Callable[[], str]) -> str:
    async def call_async() -> str:
        return call()

    return await stamina.retry(on=on, **QUICK)(breaker(call_async))()


def test_failures_are_retried(breaker: CircuitBreaker) -> None:
    assert run(breaker, unless_open(Boom), dependency(Boom(), Boom(), "fine")) == "fine"


async def test_failures_are_retried_async(breaker: CircuitBreaker) -> None:
    assert await run_async(breaker, unless_open(Boom), dependency(Boom(), Boom(), "fine")) == "fine"


def test_it_gives_up_when_the_circuit_opens(breaker: CircuitBreaker) -> None:
    with pytest.raises(CircuitOpenError):
        run(breaker, unless_open(Boom), dependency(Boom(), Boom(), Boom()))
    assert (breaker.stats().failed, breaker.stats().rejected) == (3, 1)


async def test_it_gives_up_when_the_circuit_opens_async(breaker: CircuitBreaker) -> None:
    with pytest.raises(CircuitOpenError):
        await run_async(breaker, unless_open(Boom), dependency(Boom(), Boom(), Boom()))
    assert (breaker.stats().failed, breaker.stats().rejected) == (3, 1)


def test_it_waits_until_the_circuit_may_close(breaker: CircuitBreaker, waits: list[float]) -> None:
    trip(breaker)
    assert run(breaker, unless_open(Boom, longest=1), dependency("fine")) == "fine"
    assert 0 < waits[-1] <= MOMENT
    assert breaker.state is State.CLOSED


async def test_it_waits_until_the_circuit_may_close_async(breaker: CircuitBreaker, waits: list[float]) -> None:
    trip(breaker)
    assert await run_async(breaker, unless_open(Boom, longest=1), dependency("fine")) == "fine"
    assert 0 < waits[-1] <= MOMENT
    assert breaker.state is State.CLOSED


def test_it_does_not_wait_longer_than_it_is_worth(breaker: CircuitBreaker, waits: list[float]) -> None:
    breaker.reconfigure(Settings(failure_threshold=3, open_for=10))
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        run(breaker, unless_open(Boom, longest=1), dependency("fine"))
    assert waits == []


def test_it_does_not_wait_for_an_operator(breaker: CircuitBreaker, waits: list[float]) -> None:
    breaker.force_open("maintenance")
    with pytest.raises(CircuitOpenError):
        run(breaker, unless_open(Boom, longest=100), dependency("fine"))
    assert waits == []


@pytest.mark.parametrize("on", [Boom, (KeyError, Boom), lambda exc: isinstance(exc, Boom)])
def test_rule_of_the_user_decides_about_the_rest(breaker: CircuitBreaker, on: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        run(breaker, unless_open(on), dependency(Boom(), ZeroDivisionError(), "never reached"))
    assert breaker.stats().failed == 2


def test_time_of_the_user_s_rule_is_kept(breaker: CircuitBreaker, waits: list[float]) -> None:
    on = unless_open(lambda exc: datetime.timedelta(seconds=0.001))
    assert run(breaker, on, dependency(Boom(), "fine")) == "fine"
    assert waits == [0.001]


@pytest.mark.parametrize("longest", [-1, float("nan"), float("inf"), "10"])
def test_wrong_time_is_refused(longest: Any) -> None:
    with pytest.raises(SettingsError, match="longest"):
        unless_open(Boom, longest=longest)
