"""Listeners: sync and async, outside any lock, in order, each event once; their errors are their own."""

import asyncio
import gc
import logging
import threading
import weakref
from typing import Any

import pytest
from packages.recloser.tests.support import (
    boom,
    fail,
    is_rejected,
    listen,
    ok_async,
    reach_probing,
    settings,
    succeed,
    trip,
)

from recloser import CallFinished, CircuitBreaker, CircuitOpenError, Event, State, StateChanged
from recloser.testing import FakeClock


def test_listeners_are_called_in_the_order_they_came(breaker: CircuitBreaker) -> None:
    heard: list[str] = []
    breaker.add_listener(lambda event: heard.append("first"), (StateChanged,))
    breaker.add_listener(lambda event: heard.append("second"), (StateChanged,))
    trip(breaker)
    assert heard == ["first", "second"]


def test_removed_listener_hears_no_more(breaker: CircuitBreaker) -> None:
    heard: list[Event] = []
    remove = breaker.add_listener(heard.append)
    other = listen(breaker)
    succeed(breaker)
    remove()
    remove()
    succeed(breaker)
    assert len(heard) == 1
    assert len(other) == 2


def test_listener_added_when_a_change_is_due_is_told_of_it_by_the_next_use(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    clock.advance(breaker.settings.half_open_timeout + 1.0)
    heard: list[Event] = []
    remove = breaker.add_listener(heard.append, (StateChanged,))
    assert not heard
    assert breaker.state is State.OPEN
    assert [event.reason for event in heard if isinstance(event, StateChanged)] == ["half_open_timeout"]
    remove()
    probe.ignore()


def test_same_function_may_listen_twice(breaker: CircuitBreaker) -> None:
    heard: list[Event] = []
    remove = breaker.add_listener(heard.append)
    breaker.add_listener(heard.append)
    succeed(breaker)
    assert len(heard) == 2
    remove()
    succeed(breaker)
    assert len(heard) == 3


def test_error_of_a_listener_is_logged_and_goes_no_further(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError("a bug in the listener")

    breaker.add_listener(broken)
    heard = listen(breaker)
    with caplog.at_level(logging.ERROR, "recloser"):
        succeed(breaker)
        fail(breaker, 3)
    assert breaker.state is State.OPEN
    assert len(heard) == 5
    assert "ZeroDivisionError: a bug in the listener" in caplog.text


async def test_error_of_an_async_listener_is_logged_and_goes_no_further(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    both_heard = asyncio.Event()
    heard: list[Event] = []

    async def broken(event: Event) -> None:
        heard.append(event)
        if len(heard) == 2:
            both_heard.set()
        raise ZeroDivisionError("a bug in the listener")

    breaker.add_listener(broken)
    with caplog.at_level(logging.ERROR, "recloser"):
        succeed(breaker, 2)
        await both_heard.wait()
        await asyncio.sleep(0)
    assert caplog.text.count("ZeroDivisionError: a bug in the listener") == 2


def test_interrupt_in_a_listener_reaches_the_program(breaker: CircuitBreaker) -> None:
    """Ctrl-c is not swallowed with the listener's errors."""

    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    remove = breaker.add_listener(interrupted)
    with pytest.raises(KeyboardInterrupt):
        breaker.reset()
    remove()
    heard = listen(breaker)
    succeed(breaker)
    assert len(heard) == 1


def test_listener_may_read_and_call_the_breaker(breaker: CircuitBreaker) -> None:
    """No lock is held while it runs."""
    heard: list[tuple[State, bool]] = []

    def nosy(event: StateChanged) -> None:
        heard.append((breaker.state, is_rejected(breaker)))
        breaker.stats()

    breaker.add_listener(nosy, (StateChanged,))
    trip(breaker)
    assert heard == [(State.OPEN, True)]


def test_events_that_a_listener_causes_come_after_the_one_it_heard(breaker: CircuitBreaker) -> None:
    order: list[str] = []

    def causes(event: StateChanged) -> None:
        order.append(f"first hears {event.to_state}")
        if event.to_state is State.OPEN:
            breaker.reset()

    breaker.add_listener(causes, (StateChanged,))
    breaker.add_listener(lambda event: order.append(f"second hears {event.to_state}"), (StateChanged,))
    fail(breaker, 3)
    assert order == ["first hears open", "second hears open", "first hears closed", "second hears closed"]


def test_call_inside_a_listener_of_calls_ends(breaker: CircuitBreaker) -> None:
    heard: list[CallFinished] = []

    def calls_again(event: CallFinished) -> None:
        heard.append(event)
        if len(heard) < 50:
            succeed(breaker)

    breaker.add_listener(calls_again, (CallFinished,))
    succeed(breaker)
    assert len(heard) == 50


def test_listener_added_by_a_listener_hears_the_next_event(breaker: CircuitBreaker) -> None:
    late: list[CallFinished] = []

    def adds(event: CallFinished) -> None:
        remove()
        breaker.add_listener(late.append, (CallFinished,))

    remove = breaker.add_listener(adds, (CallFinished,))
    succeed(breaker)
    assert late == []
    succeed(breaker)
    assert len(late) == 1


def test_slow_listener_holds_up_no_other_thread(breaker: CircuitBreaker) -> None:
    """Whoever finds another thread delivering leaves its events to that one; none is lost and the order stays."""
    hearing, go_on = threading.Event(), threading.Event()
    heard: list[float] = []

    def slow(event: CallFinished) -> None:
        heard.append(event.duration)
        if len(heard) == 1:
            hearing.set()
            go_on.wait()

    breaker.add_listener(slow, (CallFinished,))
    thread = threading.Thread(target=succeed, args=(breaker,))
    thread.start()
    hearing.wait()
    succeed(breaker, 3)
    assert len(heard) == 1
    go_on.set()
    thread.join()
    assert len(heard) == 4


async def test_async_listener_runs_in_the_loop_in_order(breaker: CircuitBreaker) -> None:
    heard: list[State] = []
    done = asyncio.Event()

    async def listener(event: StateChanged) -> None:
        if event.to_state is State.OPEN:
            await asyncio.sleep(0)  # the first must not be overtaken by the second
        heard.append(event.to_state)
        assert asyncio.get_running_loop() is loop
        if len(heard) == 2:
            done.set()

    loop = asyncio.get_running_loop()
    breaker.add_listener(listener, (StateChanged,))
    trip(breaker)
    breaker.reset()
    await done.wait()
    assert heard == [State.OPEN, State.CLOSED]


async def test_async_listener_does_not_hold_up_the_call(breaker: CircuitBreaker) -> None:
    gate, heard = asyncio.Event(), asyncio.Event()

    async def slow(event: Event) -> None:
        await gate.wait()
        heard.set()

    breaker.add_listener(slow)
    assert await breaker.call(ok_async) == "fine"
    assert not heard.is_set()
    gate.set()
    await heard.wait()


async def test_async_listener_runs_in_its_own_loop_when_a_thread_makes_the_event(breaker: CircuitBreaker) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    heard = asyncio.Event()

    async def listener(event: StateChanged) -> None:
        loops.append(asyncio.get_running_loop())
        heard.set()

    breaker.add_listener(listener, (StateChanged,))
    await asyncio.to_thread(trip, breaker)
    await heard.wait()
    assert loops == [asyncio.get_running_loop()]


def test_async_listener_without_any_loop_is_run_to_its_end(breaker: CircuitBreaker) -> None:
    heard: list[Event] = []

    async def listener(event: StateChanged) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    breaker.add_listener(listener, (StateChanged,))
    trip(breaker)
    assert len(heard) == 1


def test_async_listener_added_before_the_loop_runs_in_the_caller_s(breaker: CircuitBreaker) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def listener(event: StateChanged) -> None:
        loops.append(asyncio.get_running_loop())

    async def main() -> asyncio.AbstractEventLoop:
        fail(breaker, 3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    breaker.add_listener(listener, (StateChanged,))
    assert [asyncio.run(main())] == loops


def test_async_listener_outlives_the_loop_it_was_added_in(breaker: CircuitBreaker) -> None:
    heard: list[Event] = []

    async def listener(event: StateChanged) -> None:
        heard.append(event)

    async def add() -> None:
        breaker.add_listener(listener, (StateChanged,))

    asyncio.run(add())
    trip(breaker)
    assert len(heard) == 1


def test_object_with_async_call_can_listen(breaker: CircuitBreaker) -> None:
    class Listener:
        heard = 0

        async def __call__(self, event: Event) -> None:
            self.heard += 1

    listener = Listener()
    breaker.add_listener(listener)
    succeed(breaker)
    assert listener.heard == 1


@pytest.mark.parametrize("listener", [None, "print", 3])
def test_what_cannot_be_called_is_refused(breaker: CircuitBreaker, listener: Any) -> None:
    with pytest.raises(TypeError, match="listener="):
        breaker.add_listener(listener)


@pytest.mark.parametrize("kinds", [("StateChanged",), (int,), (StateChanged, None), StateChanged])
def test_kinds_that_are_no_events_are_refused(breaker: CircuitBreaker, kinds: Any) -> None:
    with pytest.raises(TypeError):
        breaker.add_listener(print, kinds)


def test_listener_that_came_during_a_call_hears_of_its_end(breaker: CircuitBreaker) -> None:
    heard: list[CallFinished] = []

    @breaker
    def call() -> None:
        breaker.add_listener(heard.append, (CallFinished,))

    call()
    assert len(heard) == 1
    assert breaker.stats().in_flight == 0


def test_calls_are_counted_alike_with_and_without_a_listener(clock: FakeClock) -> None:
    quiet, watched = (CircuitBreaker("db", settings(), clock=clock) for _ in range(2))
    heard = listen(watched)
    for breaker in (quiet, watched):
        succeed(breaker, 5)
        fail(breaker, 2)
        breaker.call(clock.advance, 0)
    assert quiet.stats() == watched.stats()
    assert len(heard) == 8


def test_breaker_that_is_forgotten_is_freed_with_its_listeners(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(), clock=clock)
    heard = listen(breaker)
    succeed(breaker)
    gone = weakref.ref(breaker)
    del breaker
    gc.collect()
    assert gone() is None
    assert len(heard) == 1


def test_rejected_call_of_a_listener_does_not_disturb_the_delivery(breaker: CircuitBreaker) -> None:
    heard: list[Event] = []

    def rejected_inside(event: StateChanged) -> None:
        with pytest.raises(CircuitOpenError):
            breaker.call(boom)
        heard.append(event)

    breaker.add_listener(rejected_inside, (StateChanged,))
    trip(breaker)
    assert len(heard) == 1
