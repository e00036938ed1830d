"""Protected callables do the same on both kernels: the same random calls, and everything compared after each."""

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packages.recloser.tests.kernel.twins import needs_compiled, python_breaker, python_protected
from packages.recloser.tests.support import Boom

from recloser import CircuitBreaker, CircuitOpenError, CountWindow, Outcome, Settings, TimeWindow
from recloser.testing import FakeClock

pytestmark = needs_compiled


def classify(exc: BaseException | None, result: Any) -> Outcome | None:
    return Outcome.FAILURE if result == "bad" else None


SETTINGS = st.sampled_from(
    [
        Settings(failure_threshold=2, open_for=5.0),
        Settings(failure_threshold=2, open_for=5.0, classify=classify),
        Settings(failure_threshold=None, failure_rate_threshold=0.5, minimum_calls=2, window=CountWindow(4)),
        Settings(failure_threshold=None, failure_rate_threshold=0.5, minimum_calls=3, window=TimeWindow(6.0, 3)),
        Settings(slow_call_duration=1.0, slow_call_rate_threshold=0.5, minimum_calls=2),
        Settings(failure_threshold=1, open_for=0.0, half_open_max_calls=2, success_threshold=2),
        Settings(failure_threshold=3, ignore=KeyError, half_open_timeout=4.0, open_for=2.0),
    ]
)


class Pause:
    """Suspends the coroutine that awaits it."""

    def __await__(self) -> Generator[str, Any, Any]:
        return (yield "paused")


class Twin:
    """A breaker with a function and a coroutine function, which do as they are told."""

    def __init__(self, make: Callable[..., CircuitBreaker], protect: Callable[..., Any], settings: Settings) -> None:
        self.clock = FakeClock()
        self.breaker = make("db", settings, clock=self.clock)
        self.seconds, self.ending = 0.0, "ok"
        self.function = protect(self.breaker, self._work)
        self.coroutine_function = protect(self.breaker, self._work_async)
        self.pending: list[Any] = []

    def _end(self, *args: Any, **kwargs: Any) -> Any:
        self.clock.advance(self.seconds)
        if self.ending in _EXCEPTIONS:
            raise _EXCEPTIONS[self.ending]("down")
        return self.ending, args, kwargs

    def _work(self, *args: Any, **kwargs: Any) -> Any:
        return "bad" if self.ending == "bad" else self._end(*args, **kwargs)

    async def _work_async(self, *args: Any, **kwargs: Any) -> Any:
        got = await Pause()
        try:
            got = got, await Pause()
        except KeyError:
            got = "caught"
        return "bad" if self.ending == "bad" else (got, self._end(*args, **kwargs))

    def do(self, name: str, *values: Any) -> Any:
        """What a step gives: its result, or the exception in words."""
        try:
            return getattr(self, name)(*values)
        except BaseException as exc:
            rest = exc.value if isinstance(exc, StopIteration) else exc.args
            cause = type(exc.__context__) if not isinstance(exc, CircuitOpenError) else None
            return type(exc).__name__.removeprefix("_"), rest, cause

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def call(self, seconds: float, ending: str, *args: Any) -> Any:
        self.seconds, self.ending = seconds, ending
        return self.function(*args, key=len(args))

    def run(self, seconds: float, ending: str) -> Any:
        call = self.coroutine_function()
        self.seconds, self.ending = seconds, ending
        call.send(None)
        call.send(None)
        return call.send(None)

    def start(self) -> Any:
        self.pending.append(self.coroutine_function(1, key=2))
        return self.pending[-1].send(None)

    def send(self, which: int, value: Any, seconds: float, ending: str) -> Any:
        self.seconds, self.ending = seconds, ending
        return self._one(which).send(value)

    def throw(self, which: int, exc: str) -> Any:
        return self._one(which).throw(_EXCEPTIONS[exc]("thrown"))

    def close(self, which: int) -> Any:
        return self._one(which).close()

    def drop(self, which: int) -> None:
        if self.pending:
            self.pending.pop(which % len(self.pending)).close()  # Python's twin would not be collected at once

    def _one(self, which: int) -> Any:
        if not self.pending:
            self.start()
        return self.pending[which % len(self.pending)]

    def force(self, how: str) -> None:
        getattr(self.breaker, how)("test")

    def listen(self) -> None:
        self.breaker.add_listener(lambda event: None)

    def seen(self) -> dict[str, Any]:
        return self.breaker.stats().to_dict()


_EXCEPTIONS: dict[str, type[BaseException]] = {
    "boom": Boom,
    "key": KeyError,
    "interrupt": KeyboardInterrupt,
    "exit": GeneratorExit,
}
which = st.integers(0, 4)
times = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.5, 6.0])
endings = st.sampled_from(["ok", "ok", "boom", "boom", "boom", "key", "interrupt", "bad"])
step = st.one_of(
    st.tuples(st.just("sleep"), times),
    st.tuples(st.just("call"), times, endings),
    st.tuples(st.just("call"), times, endings),
    st.tuples(st.just("call"), times, endings, st.integers()),
    st.tuples(st.just("run"), times, endings),
    st.tuples(st.just("run"), times, endings),
    st.tuples(st.just("start")),
    st.tuples(st.just("start")),
    st.tuples(st.just("send"), which, st.sampled_from([None, None, None, "value"]), times, endings),
    st.tuples(st.just("send"), which, st.none(), times, endings),
    st.tuples(st.just("send"), which, st.none(), times, endings),
    st.tuples(st.just("throw"), which, st.sampled_from(list(_EXCEPTIONS))),
    st.tuples(st.just("close"), which),
    st.tuples(st.just("drop"), which),
    st.tuples(st.just("force"), st.sampled_from(["force_open", "force_closed", "disable", "automatic", "reset"])),
    st.tuples(st.just("force"), st.just("observe_only")),
    st.tuples(st.just("listen")),
)


@given(SETTINGS, st.lists(step, min_size=8, max_size=40))
@hypothesis_settings(max_examples=200)
def test_same_calls_same_outcomes(chosen: Settings, steps: list[tuple[Any, ...]]) -> None:
    native = Twin(CircuitBreaker, lambda breaker, fn: breaker(fn), chosen)
    python = Twin(python_breaker, python_protected, chosen)
    for name, *values in steps:
        assert native.do(name, *values) == python.do(name, *values), name
        assert native.seen() == python.seen(), name
    for twin in (native, python):
        for pending in twin.pending:
            with contextlib.suppress(BaseException):
                pending.close()
    assert native.seen() == python.seen()
    assert native.seen()["in_flight"] == 0
