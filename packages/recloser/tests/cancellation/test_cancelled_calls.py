"""A cancelled call is neither success nor failure, gives its slot back, and the cancellation goes on unchanged.

Each test cancels a probe, where a lost slot would be seen at once.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from packages.recloser.tests.support import Boom, is_rejected, ok_async, rates, reach_probing, settings

from recloser import CircuitBreaker, State
from recloser.testing import FakeClock


@pytest.fixture
def probing(breaker: CircuitBreaker, clock: FakeClock) -> CircuitBreaker:
    """The next call is its only probe."""
    reach_probing(breaker, clock)
    return breaker


def assert_slot_is_back(breaker: CircuitBreaker) -> None:
    stats = breaker.stats()
    assert stats.state is State.HALF_OPEN
    assert stats.in_flight == 0
    assert stats.calls["ignored"] == 1
    assert (stats.successful, stats.failed) == (0, 3)  # the three that opened it
    assert not is_rejected(breaker)
    assert breaker.state is State.CLOSED


class Stuck:
    """Work that never ends, in each form that a breaker can protect."""

    def __init__(self) -> None:
        self.started = asyncio.Event()

    async def wait(self) -> None:
        self.started.set()
        await asyncio.Event().wait()

    def by_call(self, breaker: CircuitBreaker) -> Awaitable[None]:
        return breaker.call(self.wait)

    def by_lambda(self, breaker: CircuitBreaker) -> Awaitable[None]:
        return breaker.call(lambda: self.wait())

    async def by_block(self, breaker: CircuitBreaker) -> None:
        async with breaker:
            await self.wait()

    async def by_permit(self, breaker: CircuitBreaker) -> None:
        with breaker.acquire():
            await self.wait()

    async def by_generator(self, breaker: CircuitBreaker) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await self.wait()

        async with contextlib.aclosing(breaker(items)()) as stream:  # type: ignore[type-var]
            async for _ in stream:
                pass

    async def by_guarded_stream(self, breaker: CircuitBreaker) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await self.wait()

        async for _ in breaker.acquire().guard_stream(items()):
            pass

    async def by_fallback(self, breaker: CircuitBreaker) -> None:
        await breaker.call_with_fallback(self.wait, lambda exc: None, on_failure=True)


FORMS = {
    "call": Stuck.by_call,
    "lambda": Stuck.by_lambda,
    "block": Stuck.by_block,
    "permit": Stuck.by_permit,
    "generator": Stuck.by_generator,
    "guarded stream": Stuck.by_guarded_stream,
    "fallback": Stuck.by_fallback,
}
Form = Callable[[Stuck, CircuitBreaker], Awaitable[None]]
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@every_form
async def test_task_cancelled_in_the_call(probing: CircuitBreaker, form: Form) -> None:
    stuck = Stuck()

    async def run() -> None:
        await form(stuck, probing)

    task = asyncio.create_task(run())
    await stuck.started.wait()
    assert probing.stats().in_flight == 1
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)
    assert_slot_is_back(probing)


@every_form
async def test_task_cancelled_before_it_ran(probing: CircuitBreaker, form: Form) -> None:
    """Nothing was admitted, so nothing is left."""

    async def run() -> None:
        await form(Stuck(), probing)

    task = asyncio.create_task(run())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert probing.stats().in_flight == 0
    assert probing.state is State.OPEN
    assert not is_rejected(probing)


@every_form
async def test_timeout_of_the_caller_is_ignored(probing: CircuitBreaker, form: Form) -> None:
    """It was the caller who did not want to wait."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await form(Stuck(), probing)
    if probing.stats().calls["ignored"]:
        assert_slot_is_back(probing)
    else:  # a deadline of 0 may fall before the admission
        assert not is_rejected(probing)


@every_form
async def test_failure_of_a_sibling_in_a_task_group_is_ignored(probing: CircuitBreaker, form: Form) -> None:
    stuck = Stuck()

    async def sibling() -> None:
        await stuck.started.wait()
        raise Boom("the sibling's own trouble")

    async def run() -> None:
        await form(stuck, probing)

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(run())
            group.create_task(sibling())
    assert caught.group_contains(Boom)
    assert_slot_is_back(probing)


async def test_timeout_inside_the_protected_call_is_a_failure(probing: CircuitBreaker) -> None:
    """A deadline that we impose on the dependency is the dependency's failure."""

    @probing
    async def call() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()
    assert probing.state is State.OPEN
    assert probing.stats().failed == 4


async def test_wait_for_inside_the_protected_call_is_a_failure(probing: CircuitBreaker) -> None:
    @probing
    async def call() -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0)

    with pytest.raises(TimeoutError):
        await call()
    assert probing.state is State.OPEN


async def test_short_deadlines_of_callers_never_open_a_shared_breaker(breaker: CircuitBreaker) -> None:
    """A hundred of them."""
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(breaker.call(asyncio.Event().wait), 0.00001)
    stats = breaker.stats()
    assert (stats.state, stats.failed, stats.successful, stats.in_flight) == (State.CLOSED, 0, 0, 0)
    assert await breaker.call(ok_async) == "fine"


async def test_slow_call_that_its_caller_gave_up_stays_slow(clock: FakeClock) -> None:
    """Patience that outlasts `slow_call_duration` has seen a slow dependency, if running calls are counted."""
    rules = rates(
        failure_rate_threshold=None,
        slow_call_duration=1.0,
        slow_call_rate_threshold=1.0,
        count_in_flight_slow_calls=True,
        minimum_calls=3,
    )
    breaker = CircuitBreaker("db", rules, clock=clock)
    for _ in range(3):
        stuck = Stuck()
        task = asyncio.ensure_future(stuck.by_call(breaker))
        await stuck.started.wait()
        clock.advance(1)
        assert breaker.stats().slow_call_rate == 1
        task.cancel()
        await asyncio.wait([task])
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("probe", [False, True])
def test_coroutine_closed_before_its_end_is_ignored(breaker: CircuitBreaker, clock: FakeClock, probe: bool) -> None:
    """`GeneratorExit` in a coroutine, as when its loop is gone."""
    if probe:
        reach_probing(breaker, clock)

    async def main() -> None:
        pending = breaker.call(asyncio.Event().wait)
        pending.send(None)
        assert breaker.stats().in_flight == 1
        pending.close()

    asyncio.run(main())
    stats = breaker.stats()
    assert (stats.in_flight, stats.calls["ignored"], stats.window_calls) == (0, 1, 0 if not probe else 3)
    assert not is_rejected(breaker)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("probe", [False, True])
def test_awaitable_that_nobody_awaits_is_released(breaker: CircuitBreaker, clock: FakeClock, probe: bool) -> None:
    if probe:
        reach_probing(breaker, clock)
    pending = breaker.call(lambda: ok_async())
    assert breaker.stats().in_flight == 1
    del pending
    gc.collect()
    stats = breaker.stats()
    assert (stats.in_flight, stats.calls["released"]) == (0, 1)
    assert not is_rejected(breaker)


async def test_cancellation_that_is_swallowed_inside_is_what_the_call_makes_of_it(clock: FakeClock) -> None:
    """The breaker sees what leaves the call, not what happened in it."""
    breaker = CircuitBreaker("db", settings(), clock=clock)
    stuck = Stuck()

    async def shielded() -> str:
        try:
            await stuck.wait()
        except asyncio.CancelledError:
            return "cleaned up"
        raise AssertionError("never ends")

    task = asyncio.create_task(breaker.call(shielded))
    await stuck.started.wait()
    task.cancel()
    assert await task == "cleaned up"
    assert breaker.stats().successful == 1


async def test_consumer_that_goes_away_a_hundred_times_opens_nothing(breaker: CircuitBreaker) -> None:
    """A client that disconnects in the middle of a response."""

    @breaker
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    for _ in range(100):
        stream = items()
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
    stats = breaker.stats()
    assert (stats.state, stats.failed, stats.successful) == (State.CLOSED, 0, 0)
    assert stats.calls["ignored"] == 100
