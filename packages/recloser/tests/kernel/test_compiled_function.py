"""A protected function looks and behaves as a Python function does, on whichever kernel."""

import copy
import functools
import gc
import inspect
import pickle
import threading
import traceback
import types
import weakref
from typing import Any

import pytest
from packages.recloser.tests.kernel.twins import needs_compiled
from packages.recloser.tests.support import Boom, settings, succeed

from recloser import CircuitBreaker, CircuitOpenError, SystemClock
from recloser.testing import FakeClock

BREAKER = CircuitBreaker("module")


@BREAKER
def in_a_module(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple[Any, ...]:
    """Doc."""
    return a, b, rest, c, more


class Holder:
    @BREAKER
    def method(self) -> str:
        return "method"


@pytest.mark.parametrize("fn", [in_a_module, Holder.method])
def test_is_pickled_by_name(fn: Any) -> None:
    assert pickle.loads(pickle.dumps(fn)) is fn


def test_is_copied_as_itself() -> None:
    assert copy.copy(in_a_module) is in_a_module
    assert copy.deepcopy([in_a_module])[0] is in_a_module


def test_arguments_arrive_as_they_were_given() -> None:
    assert in_a_module(1) == (1, 2, (), 3, {})
    assert in_a_module(1, 5, 6, 7, c=8, d=9) == (1, 5, (6, 7), 8, {"d": 9})
    assert in_a_module(*range(3), c=1, x=2) == (0, 1, (2,), 1, {"x": 2})
    assert functools.partial(in_a_module, 1, c=0)(9) == (1, 9, (), 0, {})


def test_arguments_arrive_on_the_long_way_too(breaker: CircuitBreaker) -> None:
    protected = breaker(lambda *args, **kwargs: (args, kwargs))
    breaker.add_listener(lambda event: None)
    assert protected(1, 2, a=3) == ((1, 2), {"a": 3})
    assert protected() == ((), {})


def test_is_taken_for_a_function() -> None:
    assert isinstance(in_a_module, types.FunctionType)
    assert inspect.isroutine(in_a_module)
    assert inspect.getsource(in_a_module).startswith("@BREAKER\ndef in_a_module")


@needs_compiled
def test_shows_the_data_of_the_function_inside() -> None:
    assert in_a_module.__code__.co_name == "in_a_module"
    assert in_a_module.__defaults__ == (2,)
    assert in_a_module.__kwdefaults__ == {"c": 3}
    assert inspect.getclosurevars(in_a_module).unbound == set()


def test_binds_as_a_function_does() -> None:
    holder = Holder()
    bound = holder.method
    assert inspect.ismethod(bound)
    assert bound.__self__ is holder
    assert bound.__func__ is Holder.method
    assert bound() == Holder.method(holder) == "method"
    assert Holder.method.__get__(None, Holder) is Holder.method


def test_can_be_held_weakly_and_hold_attributes(breaker: CircuitBreaker) -> None:
    protected: Any = breaker(lambda: 1)
    reference = weakref.ref(protected)
    protected.mark = 5
    assert vars(protected)["mark"] == 5
    del protected
    gc.collect()
    assert reference() is None


def test_repr_names_it() -> None:
    assert "in_a_module" in repr(in_a_module)


@needs_compiled
def test_repr_names_the_breaker(breaker: CircuitBreaker) -> None:
    assert "protected by 'module'" in repr(in_a_module)
    assert "protected by 'db'" in repr(breaker(functools.partial(int, "3")))


def test_what_has_no_code_gets_some(breaker: CircuitBreaker) -> None:
    protected: Any = breaker(functools.partial(int, "3"))
    assert protected() == 3
    assert isinstance(protected.__code__, types.CodeType)
    assert isinstance(protected.__annotations__, dict)
    assert not hasattr(protected, "anything_else")


@needs_compiled
def test_traceback_shows_no_frame_of_ours(breaker: CircuitBreaker) -> None:
    @breaker
    def down() -> None:
        raise Boom("down")

    with pytest.raises(Boom) as caught:
        down()
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == ["test_traceback_shows_no_frame_of_ours", "down"]
    assert caught.value.__context__ is None


def test_cycle_through_its_own_closure_is_collected() -> None:
    def make() -> weakref.ref[Any]:
        breaker = CircuitBreaker("cycle")

        @breaker
        def recurse(depth: int) -> int:
            return recurse(depth - 1) if depth else 0

        assert recurse(3) == 0
        assert breaker.stats().successful == 4
        return weakref.ref(recurse)

    reference = make()
    gc.collect()
    assert reference() is None


def test_cycle_through_a_listener_is_collected() -> None:
    breaker = CircuitBreaker("cycle")
    protected: Any = breaker(lambda: 1)
    breaker.add_listener(lambda event, held=protected: None)
    reference = weakref.ref(protected)
    del protected, breaker
    gc.collect()
    assert reference() is None


class BrokenClock(FakeClock):
    """Raises when it is told to."""

    broken: BaseException | None = None

    def monotonic(self) -> float:
        if self.broken is not None:
            raise self.broken
        return super().monotonic()


@needs_compiled
def test_clock_that_fails_leaves_no_call_in_flight() -> None:
    clock = BrokenClock()
    breaker = CircuitBreaker("db", settings(), clock=clock)

    def break_clock() -> None:
        clock.broken = Boom("no time")

    protected = breaker(break_clock)
    for _ in range(2):
        with pytest.raises(Boom, match="no time"):
            protected()
    clock.broken = None
    assert breaker.stats().in_flight == 0


@needs_compiled
def test_clock_must_give_numbers() -> None:
    clock: Any = FakeClock()
    breaker = CircuitBreaker("db", settings(), clock=clock)
    breaker._controller.now = lambda: "noon"  # type: ignore[assignment, return-value]
    with pytest.raises(TypeError):
        breaker(lambda: 1)()


def test_system_clock_is_the_one_of_the_time_module() -> None:
    breaker = CircuitBreaker("db")
    before = SystemClock.monotonic()
    breaker.call(lambda: None)
    after = SystemClock.monotonic()
    assert 0.0 <= breaker.stats().duration_sum <= after - before


def test_error_while_settling_has_the_calls_own_error_as_context() -> None:
    clock = BrokenClock()
    breaker = CircuitBreaker("db", settings(), clock=clock)

    def down() -> None:
        clock.broken = ArithmeticError("no time")
        raise Boom("down")

    with pytest.raises(ArithmeticError) as caught:
        breaker(down)()
    assert isinstance(caught.value.__context__, Boom)
    clock.broken = None  # the permit is released when the traceback is gone


def test_rejection_carries_everything(breaker: CircuitBreaker, clock: FakeClock) -> None:
    protected = breaker(lambda: 1)
    for _ in range(3):
        with pytest.raises(Boom):
            breaker.call(raise_boom)
    clock.advance(4)
    with pytest.raises(CircuitOpenError) as caught:
        protected()
    error = caught.value
    assert (error.breaker, error.state, error.retry_after, error.reason) == ("db", "open", 6.0, "open")
    assert error.last_failure == "Boom: down"
    assert error.args == ("db", "open", 6.0, "Boom: down", "open")
    breaker.force_open("maintenance")
    with pytest.raises(CircuitOpenError) as caught:
        protected()
    assert (caught.value.retry_after, caught.value.reason) == (None, "forced_open")
    assert breaker.stats().rejections == {"open": 1, "forced_open": 1}


def test_rejection_has_the_exception_in_hand_as_context(breaker: CircuitBreaker) -> None:
    breaker.force_open("test")
    protected = breaker(lambda: 1)
    first = Boom("first")

    def call_while_handling() -> None:
        try:
            raise first
        except Boom:
            protected()

    with pytest.raises(CircuitOpenError) as caught:
        call_while_handling()
    assert caught.value.__context__ is first


def raise_boom() -> None:
    raise Boom("down")


def test_threads_lose_no_call() -> None:
    breaker = CircuitBreaker("busy")
    protected = breaker(lambda: None)

    def work() -> None:
        for _ in range(5_000):
            protected()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = breaker.stats()
    assert (stats.successful, sum(stats.duration_buckets), stats.in_flight) == (20_000, 20_000, 0)


def test_reconfigure_in_the_middle_of_a_call_is_heeded(breaker: CircuitBreaker) -> None:
    def reconfigure() -> str:
        breaker.reconfigure(settings(failure_on_result=lambda result: result == "bad"))
        return "bad"

    assert breaker(reconfigure)() == "bad"
    assert breaker.stats().failed == 1
    succeed(breaker)
