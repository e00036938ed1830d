"""anyio's cancel scopes, on asyncio and on trio: inside the call a failure, around it ignored."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.abc
import pytest
from packages.recloser.tests.support import Boom, is_rejected, reach_probing

from recloser import CircuitBreaker, State
from recloser.testing import FakeClock


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs an async function on each backend."""

    def run_on_backend(fn: Callable[[], Awaitable[None]]) -> None:
        anyio.run(fn, backend=request.param)

    return run_on_backend


Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture
def probing(breaker: CircuitBreaker, clock: FakeClock) -> CircuitBreaker:
    """The next call is its only probe."""
    reach_probing(breaker, clock)
    return breaker


def assert_slot_is_back(breaker: CircuitBreaker) -> None:
    stats = breaker.stats()
    assert (stats.state, stats.in_flight, stats.failed) == (State.HALF_OPEN, 0, 3)
    assert stats.calls["ignored"] == 1
    assert not is_rejected(breaker)


def test_scope_around_the_call_is_ignored(probing: CircuitBreaker, run: Run) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:

            async def stuck() -> None:
                scope.cancel()
                await anyio.sleep_forever()

            await probing.call(stuck)
        assert scope.cancelled_caught

    run(main)
    assert_slot_is_back(probing)


def test_scope_around_a_block_is_ignored(probing: CircuitBreaker, run: Run) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with probing:
                scope.cancel()
                await anyio.sleep_forever()

    run(main)
    assert_slot_is_back(probing)


def test_scope_around_a_stream_is_ignored(probing: CircuitBreaker, run: Run) -> None:
    """In the middle of a stream."""

    async def main() -> None:
        with anyio.CancelScope() as scope:

            async def items() -> AsyncIterator[int]:
                yield 1
                scope.cancel()
                await anyio.sleep_forever()

            async for _ in probing(items)():
                pass

    run(main)
    assert_slot_is_back(probing)


def test_move_on_after_around_the_call_is_ignored(probing: CircuitBreaker, run: Run) -> None:
    """`move_on_after` at once."""

    async def main() -> None:
        async def stuck() -> None:
            await anyio.sleep_forever()

        with anyio.move_on_after(0):
            await probing.call(stuck)

    run(main)
    assert_slot_is_back(probing)


def test_fail_after_inside_the_call_is_a_failure(probing: CircuitBreaker, run: Run) -> None:
    """A deadline that we impose on the dependency."""

    async def main() -> None:
        async def impatient() -> None:
            with anyio.fail_after(0):
                await anyio.sleep_forever()

        with pytest.raises(TimeoutError):
            await probing.call(impatient)

    run(main)
    assert probing.state is State.OPEN
    assert probing.stats().failed == 4


def test_failure_of_a_sibling_in_a_task_group_is_ignored(probing: CircuitBreaker, run: Run) -> None:
    async def main() -> None:
        started = anyio.Event()

        async def stuck() -> None:
            started.set()
            await anyio.sleep_forever()

        async def sibling() -> None:
            await started.wait()
            raise Boom("the sibling's own trouble")

        async def protected() -> None:
            await probing.call(stuck)

        with pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(protected)
                group.start_soon(sibling)

    run(main)
    assert_slot_is_back(probing)


def test_everything_works_without_asyncio(breaker: CircuitBreaker, run: Run, clock: FakeClock) -> None:
    """The library asks the running framework for nothing."""
    heard: list[object] = []

    async def listener(event: object) -> None:
        heard.append(event)

    breaker.add_listener(listener)

    async def main() -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            yield 2

        @breaker
        async def answer() -> int:
            await anyio.lowlevel.checkpoint()
            return 1

        assert await answer() == 1
        assert [item async for item in breaker(items)()] == [1, 2]
        async with breaker as permit:
            permit.success()
        await anyio.lowlevel.checkpoint()

    run(main)
    assert breaker.stats().successful == 3
    assert len(heard) == 3
