"""`KeyboardInterrupt`, `SystemExit`, `GeneratorExit`: passed through unmodified, uncounted, and the slot is back."""

import asyncio
import concurrent.futures

import pytest
from packages.recloser.tests.support import is_rejected, raising, reach_probing, settings

from recloser import CircuitBreaker, State
from recloser.testing import FakeClock


class Custom(BaseException):
    """Not an `Exception`: a framework's own way to unwind."""


INTERRUPTS = [
    KeyboardInterrupt("ctrl-c"),
    SystemExit(3),
    GeneratorExit("closed"),
    asyncio.CancelledError("cancelled"),
    concurrent.futures.CancelledError("cancelled"),
    Custom("unwind"),
]
every_interrupt = pytest.mark.parametrize("interrupt", INTERRUPTS, ids=lambda exc: type(exc).__qualname__)


@every_interrupt
def test_call_passes_it_through(breaker: CircuitBreaker, clock: FakeClock, interrupt: BaseException) -> None:
    reach_probing(breaker, clock)
    with pytest.raises(type(interrupt)) as caught:
        breaker.call(raising(interrupt))
    assert caught.value is interrupt
    assert_slot_is_back(breaker)


@every_interrupt
async def test_call_passes_it_through_async(
    breaker: CircuitBreaker, clock: FakeClock, interrupt: BaseException
) -> None:
    async def raise_it() -> None:
        raise interrupt

    reach_probing(breaker, clock)
    with pytest.raises(type(interrupt)) as caught:
        await breaker.call(raise_it)
    assert caught.value is interrupt
    assert_slot_is_back(breaker)


@every_interrupt
def test_block_passes_it_through(breaker: CircuitBreaker, clock: FakeClock, interrupt: BaseException) -> None:
    reach_probing(breaker, clock)
    with pytest.raises(type(interrupt)) as caught, breaker:
        raise interrupt
    assert caught.value is interrupt
    assert_slot_is_back(breaker)


def assert_slot_is_back(breaker: CircuitBreaker) -> None:
    stats = breaker.stats()
    assert stats.state is State.HALF_OPEN
    assert (stats.calls["ignored"], stats.in_flight, stats.failed, stats.successful) == (1, 0, 3, 0)
    assert not is_rejected(breaker)


@every_interrupt
def test_closed_circuit_is_as_it_was_before(breaker: CircuitBreaker, interrupt: BaseException) -> None:
    """No call stays in flight, and none enters the window."""
    protected = breaker(raising(interrupt))
    for _ in range(5):
        with pytest.raises(type(interrupt)):
            protected()
    stats = breaker.stats()
    assert (stats.state, stats.in_flight, stats.window_calls, stats.calls["ignored"]) == (State.CLOSED, 0, 0, 5)


@every_interrupt
async def test_closed_circuit_is_as_it_was_before_async(breaker: CircuitBreaker, interrupt: BaseException) -> None:
    """No call stays in flight, and none enters the window."""

    @breaker
    async def raise_it() -> None:
        raise interrupt

    for _ in range(5):
        with pytest.raises(type(interrupt)):
            await raise_it()
    stats = breaker.stats()
    assert (stats.state, stats.in_flight, stats.window_calls, stats.calls["ignored"]) == (State.CLOSED, 0, 0, 5)


def test_no_rule_of_the_user_is_asked(clock: FakeClock) -> None:
    """Whatever the rules say, an interrupt is not the dependency's doing."""
    asked: list[object] = []

    def ask(*args: object) -> bool:
        asked.append(args)
        return True

    breaker = CircuitBreaker("db", settings(failure_on=ask, ignore=ask, unreachable=ask, classify=ask), clock=clock)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(raising(KeyboardInterrupt()))
    assert asked == []
    assert breaker.stats().calls["ignored"] == 1


def test_group_of_interrupts_is_ignored(breaker: CircuitBreaker) -> None:
    group = BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("x")])
    with pytest.raises(BaseExceptionGroup):
        breaker.call(raising(group))
    assert breaker.stats().calls["ignored"] == 1
