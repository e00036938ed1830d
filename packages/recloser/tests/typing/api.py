"""What a type checker must infer. Checked by `test_types.py`; never run.

A line with `# type: ignore[...]` is one that must be refused: a checker that accepts it reports the comment as unused.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from datetime import datetime
from typing import Any, assert_type

import httpx
import openai

from recloser import (
    BUCKET_BOUNDS,
    CallFinished,
    CircuitBreaker,
    CircuitOpenError,
    Clock,
    CountWindow,
    Event,
    Evictions,
    Exponential,
    Group,
    KeyedBreakers,
    Opening,
    Outcome,
    Permit,
    Recovery,
    Registry,
    Selection,
    Settings,
    State,
    StateChanged,
    Stats,
    SystemClock,
    TimeWindow,
    Verdict,
    get_breaker,
    presets,
)
from recloser.integrations.httpx import protect as protect_httpx
from recloser.integrations.openai import protect as protect_openai
from recloser.telemetry import STATE_VALUES
from recloser.testing import FakeClock

breaker = CircuitBreaker("db", presets.http_api(open_for=5), clock=FakeClock())


def use(value: object) -> None:
    """Takes coroutines that nobody awaits here."""


# The decorator keeps what it is given.


@breaker
def function(a: int, /, b: str = "x", *rest: bytes, c: bool, **more: float) -> list[int]:
    return [a]


@breaker
async def coroutine(a: int, *, b: str = "x") -> dict[str, int]:
    return {b: a}


@breaker
def generator(count: int) -> Iterator[int]:
    yield count


@breaker
async def async_generator(count: int) -> AsyncIterator[int]:
    yield count


assert_type(function(1, "x", b"y", c=True, d=0.5), list[int])
use(assert_type(coroutine(1, b="y"), Coroutine[Any, Any, dict[str, int]]))
assert_type(generator(3), Iterator[int])
assert_type(async_generator(3), AsyncIterator[int])
assert_type(breaker(len)([1]), int)

function("a", c=True)  # type: ignore[arg-type]
function(1)  # type: ignore[call-arg]
use(coroutine(1, b=2))  # type: ignore[arg-type]
use(coroutine(a="x"))  # type: ignore[arg-type]
generator()  # type: ignore[call-arg]
breaker(3)  # type: ignore[type-var]


class Service:
    @breaker
    def method(self, a: int) -> str:
        return str(a)

    @breaker
    async def method_async(self, a: int) -> str:
        return str(a)

    @classmethod
    @breaker
    def of_class(cls, a: int) -> "Service":
        return cls()

    @staticmethod
    @breaker
    def of_nothing(a: int) -> int:
        return a

    @property
    @breaker
    def name(self) -> str:
        return "name"


service = Service()
assert_type(service.method(1), str)
assert_type(Service.of_class(1), Service)
assert_type(Service.of_nothing(1), int)
assert_type(service.name, str)
service.method("x")  # type: ignore[arg-type]


async def methods() -> None:
    assert_type(await service.method_async(1), str)
    assert_type(await coroutine(1), dict[str, int])
    async for item in async_generator(3):
        assert_type(item, int)


# A call returns what the function returns, and its arguments are checked.


def divide(a: int, b: int, *, exact: bool = False) -> float:
    return a / b


async def fetch(url: str) -> bytes:
    return url.encode()


assert_type(breaker.call(divide, 1, 2), float)
assert_type(breaker.call(divide, 1, b=2, exact=True), float)
assert_type(breaker.call(functools.partial(divide, 1), 2), float)
assert_type(breaker.call(lambda: 3), int)
assert_type(breaker.call(Service), Service)
use(assert_type(breaker.call(fetch, "u"), Coroutine[Any, Any, bytes]))
breaker.call(divide, 1)  # type: ignore[call-arg]
breaker.call(divide, 1, "2")  # type: ignore[arg-type]
use(breaker.call(fetch))  # type: ignore[call-arg]


async def calls() -> None:
    assert_type(await breaker.call(fetch, "u"), bytes)


# Blocks and permits.


def blocks() -> int:
    with breaker as permit:
        assert_type(permit, Permit)
        assert_type(permit.success(), bool)
        return 1  # a block swallows nothing, so that no return is missing


async def async_blocks() -> int:
    async with breaker as permit:
        assert_type(permit, Permit)
        return 1


def permits() -> None:
    permit = breaker.acquire()
    assert_type(permit, Permit)
    with permit as same:
        assert_type(same, Permit)
    assert_type(permit.failure(ValueError()), bool)
    assert_type(permit.throttled(3), bool)
    assert_type(permit.settled, bool)
    permit.failure("text")  # type: ignore[arg-type]


async def streams(sync: Iterator[bytes], other: AsyncIterator[str]) -> None:
    permit = breaker.acquire()
    assert_type(permit.guard_stream(sync), Iterator[bytes])
    assert_type(permit.guard_stream(other), AsyncIterator[str])
    assert_type(permit.guard_stream([1, 2], terminal=lambda item: item == 2), Iterator[int])
    permit.guard_stream(3)  # type: ignore[call-overload]


# Fallbacks.


def count() -> int:
    return 1


async def count_async() -> int:
    return 1


def instead(exc: Exception) -> int:
    return 0


async def instead_async(exc: Exception) -> int:
    return 0


def text_instead(exc: Exception) -> str:
    return "none"


assert_type(breaker.call_with_fallback(count, instead), int)
assert_type(breaker.call_with_fallback(count, instead, on_failure=True), int)
assert_type(breaker.call_with_fallback(count_async, instead_async), Awaitable[int])
assert_type(breaker.call_with_fallback(count_async, instead), Awaitable[int])
assert_type(breaker.call_with_fallback(lambda: 1, lambda exc: 0), int)
breaker.call_with_fallback(divide, instead)  # type: ignore[arg-type]
breaker.call_with_fallback(count, 0)  # type: ignore[call-overload]


async def fallbacks() -> None:
    assert_type(await breaker.call_with_fallback(count_async, instead), int)


@breaker.with_fallback(lambda exc, key: f"cached {key}")
def read(key: str) -> str:
    return key


@breaker.with_fallback(lambda exc, key: f"cached {key}", on_failure=True)
async def read_async(key: str) -> str:
    return key


assert_type(read("a"), str)
use(assert_type(read_async("a"), Coroutine[Any, Any, str]))
read(1)  # type: ignore[arg-type]


# Settings.


class Own:
    def open_duration(self, base: float, opening: Opening) -> float:
        return base * opening.attempt


def by_attempt(attempt: int, failure_rate: float, last: Outcome | None) -> float:
    return attempt * 2.0


def verdict(exc: BaseException | None, result: object) -> Verdict | Outcome | None:
    return None


own: Recovery = Own()
settings = Settings(
    failure_threshold=None,
    failure_rate_threshold=0.5,
    window=TimeWindow(60, 6),
    recovery=Exponential(factor=3, jitter=0.1),
    failure_on=(ConnectionError, lambda exc: isinstance(exc, OSError)),
    ignore=KeyError,
    unreachable=[TimeoutError],
    failure_on_result=lambda result: result is None,
    classify=verdict,
    tags={"team": "search"},
)
Settings(recovery=own)
Settings(recovery=by_attempt)
Settings(window=CountWindow(50))
Settings(open_for="30")  # type: ignore[arg-type]
Settings(window=10)  # type: ignore[arg-type]
Settings(ignore=3)  # type: ignore[arg-type]
Settings(recovery=lambda: 3.0)  # type: ignore[arg-type, misc]
Settings(5)  # type: ignore[call-arg]
Settings(open_four=3)  # type: ignore[call-arg]
assert_type(settings.replace(open_for=1), Settings)
assert_type(settings.open_for, float)
settings.open_for = 3  # type: ignore[misc]


# Reading and operating.

assert_type(breaker.state, State)
assert_type(breaker.retry_after, float | None)
assert_type(breaker.last_failure, str | None)
assert_type(breaker.stats(), Stats)
assert_type(breaker.stats().calls, dict[str, int])
assert_type(breaker.snapshot(), dict[str, Any])
assert_type(CircuitBreaker.restore(breaker.snapshot()), CircuitBreaker)
breaker.force_open("maintenance")
breaker.force_open()  # type: ignore[call-arg]
breaker.name = "other"  # type: ignore[misc]


# Listeners.


def hear(event: StateChanged) -> None:
    assert_type(event.open_for, float | None)


async def hear_async(event: CallFinished) -> None:
    assert_type(event.outcome, Outcome)


assert_type(breaker.add_listener(hear, (StateChanged,)), Callable[[], None])
breaker.add_listener(hear_async, (CallFinished,))
breaker.add_listener(lambda event: print(event))
breaker.add_listener(hear, (int,))  # type: ignore[arg-type]
breaker.add_listener(3)  # type: ignore[arg-type]


def by_kind(event: Event) -> str:
    match event:
        case StateChanged():
            return assert_type(event.reason, str)
        case _:
            return event.breaker


# Errors.

try:
    function(1, c=True)
except CircuitOpenError as error:
    assert_type(error.retry_after, float | None)
    assert_type(error.reason, str)


# Registry.

registry = Registry(settings, clock=SystemClock())
assert_type(registry["db"], CircuitBreaker)
assert_type(registry.get("db"), CircuitBreaker | None)
assert_type(registry.get_or_create("db", settings), CircuitBreaker)
assert_type(registry.group("payments", open_for=5), Group)
assert_type(registry.keyed("host", max_breakers=10), KeyedBreakers)
assert_type(registry.keyed("host")["a"], CircuitBreaker)
assert_type(registry.keyed("host").evictions, Evictions)
assert_type(registry.keyed_collections(), list[KeyedBreakers])
assert_type(breaker.call_counts, dict[str, int])
assert_type(breaker.stats().state_seconds, dict[State, float])
assert_type(breaker.stats().open_until, datetime | None)
assert_type(BUCKET_BOUNDS[0], float)
assert_type(STATE_VALUES[breaker.state], int)
assert_type(registry.select("pay-*"), Selection)
assert_type(registry.select().force_open("fraud"), list[str])
assert_type([each for each in registry], list[CircuitBreaker])  # noqa: C416 - the type of iteration is what we look at
assert_type(get_breaker("db"), CircuitBreaker)

clock: Clock = FakeClock()
clock = SystemClock()


class MyClient(httpx.Client):
    """A client of the user's own."""


def integrations() -> None:
    """`protect` gives back the type it was given."""
    assert_type(protect_httpx(MyClient(), name="partner", max_breakers=5), MyClient)
    assert_type(protect_httpx(httpx.AsyncClient(), key=lambda request: request.url), httpx.AsyncClient)
    assert_type(protect_openai(openai.AsyncOpenAI(), idle_timeout=20), openai.AsyncOpenAI)
    protect_httpx(httpx.Client(), max_breaker=5)  # type: ignore[call-arg]
    protect_openai(httpx.Client())  # type: ignore[type-var]
