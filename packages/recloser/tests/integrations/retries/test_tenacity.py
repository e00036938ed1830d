"""Real tenacity; it sleeps on the clock of the breaker. Each sync test has its async one."""

from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from packages.recloser.tests.support import Boom, trip

from recloser import CircuitBreaker, CircuitOpenError, SettingsError, State
from recloser.integrations.tenacity import retry_unless_open, wait_retry_after
from recloser.testing import FakeClock


class Sleeper:
    """Sleeps by moving the clock, and remembers how long."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def sleeper(clock: FakeClock) -> Sleeper:
    return Sleeper(clock)


def dependency(*answers: Exception | str) -> Callable[[], str]:
    """Gives or raises each answer in turn."""
    left = iter(answers)

    def call() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


def policy(**changes: Any) -> dict[str, Any]:
    return {"retry": retry_unless_open(), "stop": tenacity.stop_after_attempt(6), "reraise": True, **changes}


def run(breaker: CircuitBreaker, sleeper: Sleeper, call: Callable[[], str], **changes: Any) -> str:
    return tenacity.Retrying(sleep=sleeper.sleep, **policy(**changes))(breaker(call))


async def run_async(breaker: CircuitBreaker, sleeper: Sleeper, call: Callable[[], str], **changes: Any) -> str:
    async def call_async() -> str:
        return call()

    return await tenacity.AsyncRetrying(sleep=sleeper.sleep_async, **policy(**changes))(breaker(call_async))


def test_failures_are_retried(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    call = dependency(Boom(), Boom(), "fine")
    assert run(breaker, sleeper, call, wait=wait_retry_after(tenacity.wait_fixed(2))) == "fine"
    assert sleeper.slept == [2, 2]


async def test_failures_are_retried_async(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    call = dependency(Boom(), Boom(), "fine")
    assert await run_async(breaker, sleeper, call, wait=wait_retry_after(tenacity.wait_fixed(2))) == "fine"
    assert sleeper.slept == [2, 2]


def test_it_gives_up_when_the_circuit_opens(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    """Three attempts reach the dependency, the fourth is rejected, and there is no fifth."""
    with pytest.raises(CircuitOpenError):
        run(breaker, sleeper, dependency(Boom(), Boom(), Boom()))
    assert (breaker.stats().failed, breaker.stats().rejected) == (3, 1)


async def test_it_gives_up_when_the_circuit_opens_async(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    with pytest.raises(CircuitOpenError):
        await run_async(breaker, sleeper, dependency(Boom(), Boom(), Boom()))
    assert (breaker.stats().failed, breaker.stats().rejected) == (3, 1)


WAITING = {"retry": retry_unless_open(longest=10), "wait": wait_retry_after()}


def test_it_waits_until_the_circuit_may_close(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    trip(breaker)
    sleeper.clock.advance(3)
    assert run(breaker, sleeper, dependency("fine"), **WAITING) == "fine"
    assert sleeper.slept == [7]
    assert breaker.state is State.CLOSED


async def test_it_waits_until_the_circuit_may_close_async(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    trip(breaker)
    sleeper.clock.advance(3)
    assert await run_async(breaker, sleeper, dependency("fine"), **WAITING) == "fine"
    assert sleeper.slept == [7]


def test_it_does_not_wait_longer_than_it_is_worth(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        run(breaker, sleeper, dependency("fine"), retry=retry_unless_open(longest=9.9), wait=wait_retry_after())
    assert sleeper.slept == []


async def test_it_does_not_wait_longer_than_it_is_worth_async(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        await run_async(breaker, sleeper, dependency("fine"), **{**WAITING, "retry": retry_unless_open(longest=9.9)})
    assert sleeper.slept == []


def test_it_does_not_wait_for_an_operator(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    breaker.force_open("maintenance")
    with pytest.raises(CircuitOpenError):
        run(breaker, sleeper, dependency("fine"), **WAITING)
    assert sleeper.slept == []


def test_a_rule_of_the_user_decides_about_the_rest(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    rule = retry_unless_open(tenacity.retry_if_exception_type(Boom))
    with pytest.raises(KeyError):
        run(breaker, sleeper, dependency(Boom(), KeyError(), "never reached"), retry=rule)
    assert breaker.stats().failed == 2


def test_it_joins_other_rules_and_waits(breaker: CircuitBreaker, sleeper: Sleeper) -> None:
    trip(breaker)
    wait = wait_retry_after() + tenacity.wait_fixed(1)
    rule = retry_unless_open(longest=10) & tenacity.retry_if_exception_type(CircuitOpenError)
    assert run(breaker, sleeper, dependency("fine"), retry=rule, wait=wait) == "fine"
    assert sleeper.slept == [11]


@pytest.mark.parametrize("longest", [-1, float("nan"), float("inf"), "10"])
def test_wrong_time_is_refused(longest: Any) -> None:
    with pytest.raises(SettingsError, match="longest"):
        retry_unless_open(longest=longest)
