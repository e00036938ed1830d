"""One breaker, several event loops in several threads at once, and loops one after the other."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from packages.recloser.tests.support import Boom, boom_async, is_rejected, ok_async, reach_probing, trip

from recloser import CallFinished, CircuitBreaker, CircuitOpenError, State, StateChanged
from recloser.testing import FakeClock


def in_loops(count: int, main: Callable[[int], Awaitable[None]]) -> None:
    """Run `main(number)` in so many loops at once, each in a thread of its own."""
    errors: list[BaseException] = []

    async def start(number: int) -> None:
        await main(number)

    def work(number: int) -> None:
        try:
            asyncio.run(start(number))
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_loops_one_after_the_other(breaker: CircuitBreaker) -> None:
    async def fail_once() -> None:
        with suppress(Boom):
            await breaker.call(boom_async)

    for _ in range(3):
        asyncio.run(fail_once())
    assert breaker.state is State.OPEN


def test_calls_of_all_loops_are_counted(breaker: CircuitBreaker) -> None:
    async def main(number: int) -> None:
        async def one() -> None:
            async with breaker:
                await asyncio.sleep(0)
            await breaker.call(ok_async)

        await asyncio.gather(*(one() for _ in range(100)))

    in_loops(4, main)
    stats = breaker.stats()
    assert stats.successful == 4 * 200
    assert stats.in_flight == 0


def test_failures_of_all_loops_open_one_circuit(breaker: CircuitBreaker) -> None:
    barrier = threading.Barrier(3)

    async def main(number: int) -> None:
        await asyncio.to_thread(barrier.wait)
        with suppress(Boom):
            await breaker.call(boom_async)

    in_loops(3, main)
    assert breaker.state is State.OPEN
    assert breaker.stats().transitions == {(State.CLOSED, State.OPEN): 1}


def test_probes_of_all_loops_share_the_slots(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Over loops."""
    reach_probing(breaker, clock)
    all_asked = threading.Barrier(4)
    started: list[int] = []
    rejected: list[int] = []

    async def main(number: int) -> None:
        async def probe() -> None:
            started.append(number)
            await asyncio.to_thread(all_asked.wait)

        tasks = [asyncio.create_task(breaker.call(probe)) for _ in range(10)]
        while sum(task.done() for task in tasks) + (number in started) < 10:
            await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        if number not in started:
            await asyncio.to_thread(all_asked.wait)
        await asyncio.wait(tasks)
        rejected.extend(number for task in tasks if isinstance(task.exception(), CircuitOpenError))

    in_loops(4, main)
    assert len(started) == 1
    assert len(rejected) == 39
    assert breaker.state is State.CLOSED


def test_async_listener_hears_events_of_other_loops_in_its_own(breaker: CircuitBreaker) -> None:
    heard_in: list[asyncio.AbstractEventLoop] = []
    heard = threading.Event()

    async def listener(event: StateChanged) -> None:
        heard_in.append(asyncio.get_running_loop())
        heard.set()

    async def add() -> None:
        breaker.add_listener(listener, (StateChanged,))

    async def trip_it(_: int) -> None:
        trip(breaker)

    with running_loop() as home:
        asyncio.run_coroutine_threadsafe(add(), home).result()
        in_loops(1, trip_it)
        heard.wait()
    assert heard_in == [home]


def test_async_listener_hears_every_event_of_many_loops_once(breaker: CircuitBreaker) -> None:
    heard: list[CallFinished] = []
    all_heard = threading.Event()

    async def listener(event: CallFinished) -> None:
        heard.append(event)
        if len(heard) == 400:
            all_heard.set()

    async def add() -> None:
        breaker.add_listener(listener, (CallFinished,))

    async def main(_: int) -> None:
        for _ in range(100):
            await breaker.call(ok_async)

    with running_loop() as home:
        asyncio.run_coroutine_threadsafe(add(), home).result()
        in_loops(4, main)
        all_heard.wait()
    assert len(heard) == 400


def test_permit_taken_in_one_loop_can_be_settled_in_another(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)

    async def take() -> None:
        nonlocal permit
        permit = breaker.acquire()

    async def settle() -> None:
        assert permit.success()

    permit = None  # type: ignore[assignment]
    asyncio.run(take())
    assert is_rejected(breaker)
    asyncio.run(settle())
    assert breaker.state is State.CLOSED


def test_task_abandoned_by_its_loop_gives_its_slot_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """`asyncio.run` cancels what is left."""
    reach_probing(breaker, clock)

    async def main() -> None:
        started = asyncio.Event()

        async def stuck() -> None:
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(breaker.call(stuck))
        await started.wait()
        assert is_rejected(breaker)
        del task

    asyncio.run(main())
    assert breaker.stats().in_flight == 0
    assert not is_rejected(breaker)
