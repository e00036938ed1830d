"""What many tests do to a breaker: succeed, fail, open it, bring it to half-open, write down its events."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from recloser import CircuitBreaker, CircuitOpenError, Event, Settings, State
from recloser.testing import FakeClock


class Boom(Exception):
    """The dependency's own error."""


def settings(**changes: Any) -> Settings:
    """Opens after 3 failures in a row, for 10 s; one probe closes it."""
    return Settings(failure_threshold=3, open_for=10.0).replace(**changes)


def rates(**changes: Any) -> Settings:
    """Opens when half of at least 2 calls fail; no rule on failures in a row."""
    return settings(failure_threshold=None, failure_rate_threshold=0.5, minimum_calls=2).replace(**changes)


def ok() -> str:
    return "fine"


async def ok_async() -> str:
    return "fine"


def boom() -> str:
    raise Boom("down")


async def boom_async() -> str:
    raise Boom("down")


def fail(breaker: CircuitBreaker, times: int = 1, exc: type[BaseException] = Boom) -> None:
    """Let `times` calls raise `exc`."""

    def raising() -> None:
        raise exc("down")

    for _ in range(times):
        with pytest.raises(exc):
            breaker.call(raising)


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    """Let `times` calls succeed."""
    for _ in range(times):
        assert breaker.call(ok) == "fine"


def is_rejected(breaker: CircuitBreaker) -> bool:
    """Whether a call that would succeed is rejected now."""
    try:
        breaker.call(ok)
    except CircuitOpenError:
        return True
    return False


def trip(breaker: CircuitBreaker) -> None:
    """Open a breaker that has the settings above."""
    fail(breaker, breaker.settings.failure_threshold or breaker.settings.minimum_calls)
    assert breaker.state is State.OPEN


def reach_probing(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Open a breaker and let its open time pass: the next call is a probe."""
    trip(breaker)
    retry_after = breaker.retry_after
    assert retry_after is not None
    clock.advance(retry_after)


def listen(breaker: CircuitBreaker, *kinds: type[Event]) -> list[Any]:
    """The list of events of these kinds (default: all), which goes on growing."""
    seen: list[Any] = []
    breaker.add_listener(seen.append, kinds or (Event,))
    return seen


async def close_what_was_dropped() -> None:
    """Let the running loop close the async generators that nobody holds any more."""
    gc.collect()
    await asyncio.sleep(0)  # now the loop has a task for each
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def raising(exc: BaseException) -> Callable[..., Any]:
    """A function that raises `exc`."""

    def fn(*_args: object) -> Any:
        raise exc

    return fn
