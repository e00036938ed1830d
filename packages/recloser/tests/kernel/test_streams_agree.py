"""Protected generators and async generators do the same on both kernels: the same random steps, compared one by one."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packages.recloser.tests.kernel.test_calls_agree import SETTINGS, Pause
from packages.recloser.tests.kernel.twins import needs_compiled, python_breaker, python_protected
from packages.recloser.tests.support import Boom

from recloser import CircuitBreaker, CircuitOpenError, Settings
from recloser.testing import FakeClock

pytestmark = needs_compiled

EXCEPTIONS: dict[str, type[BaseException]] = {"boom": Boom, "key": KeyError, "interrupt": KeyboardInterrupt}


class Twin:
    """A breaker with a generator and an async generator, which do as they are told."""

    def __init__(self, make: Callable[..., CircuitBreaker], protect: Callable[..., Any], settings: Settings) -> None:
        self.clock = FakeClock()
        self.breaker = make("db", settings, clock=self.clock)
        self.seconds, self.ending = 0.0, "ok"
        self.generator = protect(self.breaker, self._items)
        self.async_generator = protect(self.breaker, self._items_async)
        self.started: list[Any] = []
        self.started_async: list[Any] = []
        self.steps: list[Any] = []
        self.suspended: list[Any] = []

    def _act(self) -> Any:
        self.clock.advance(self.seconds)
        if self.ending in EXCEPTIONS:
            raise EXCEPTIONS[self.ending]("down")
        return self.ending

    def _items(self, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        if self.ending == "none":
            return "nothing"
        got = yield self._act(), args, kwargs
        try:
            got = yield self._act(), got
        except KeyError:
            got = yield "caught"
        yield self._act(), got
        return self._act()

    async def _items_async(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        if self.ending == "none":
            return
        await Pause()
        got = yield self._act(), args, kwargs
        try:
            got = yield self._act(), got
        except KeyError:
            got = yield "caught", await Pause()
        yield self._act(), got
        self._act()

    def do(self, name: str, *values: Any) -> Any:
        """What a step gives: its result, or the exception in words."""
        try:
            return getattr(self, name)(*values)
        except BaseException as exc:
            rest = exc.value if isinstance(exc, StopIteration) else exc.args
            cause = type(exc.__context__) if not isinstance(exc, CircuitOpenError) else None
            return type(exc).__name__.removeprefix("_"), rest, cause

    def will(self, seconds: float, ending: str) -> None:
        self.seconds, self.ending = seconds, ending

    # The generator

    def start(self) -> None:
        self.started.append(self.generator(1, key=2))

    def next(self, which: int) -> Any:
        return next(self._one(self.started, which))

    def send(self, which: int, value: Any) -> Any:
        return self._one(self.started, which).send(value)

    def throw(self, which: int, exc: str) -> Any:
        return self._one(self.started, which).throw(EXCEPTIONS[exc]("thrown"))

    def exit(self, which: int) -> Any:
        return self._one(self.started, which).throw(GeneratorExit("thrown"))

    def close(self, which: int) -> Any:
        return self._one(self.started, which).close()

    # The async generator, and the steps that are awaited of it

    def start_async(self) -> None:
        self.started_async.append(self.async_generator(1, key=2))

    def step(self, which: int, how: str, *values: Any) -> None:
        given = [EXCEPTIONS[value]("thrown") if how == "athrow" else value for value in values]
        self.steps.append(getattr(self._one(self.started_async, which), how)(*given))

    def await_(self, which: int) -> Any:
        step = self._one(self.steps, which)
        awaited = step.send(None)
        self.suspended.append(step)
        return awaited

    def throw_into(self, which: int, exc: str) -> Any:
        if self.suspended:  # what is awaited runs before anything is thrown into it
            return self.suspended.pop(which % len(self.suspended)).throw(EXCEPTIONS[exc]("thrown"))
        return None

    def run(self, which: int, how: str, *values: Any) -> Any:
        self.step(which, how, *values)
        while True:
            self.steps[-1].send(None)

    def _one(self, of: list[Any], which: int) -> Any:
        if not self.started:
            self.start()
        if not self.started_async:
            self.start_async()
        if not self.steps:
            self.steps.append(self.started_async[0].__anext__())
        return of[which % len(of)]

    # The rest

    def force(self, how: str) -> None:
        getattr(self.breaker, how)("test")

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def listen(self) -> None:
        self.breaker.add_listener(lambda event: None)

    def end(self) -> None:
        """Bring everything to its end."""
        self.will(0.0, "ok")
        for step in self.steps:
            self._exhaust(step)
        for stream in self.started:
            stream.close()
        for stream in self.started_async:
            self._exhaust(stream.aclose())

    def _exhaust(self, step: Any) -> None:
        with contextlib.suppress(BaseException):
            while True:
                step.send(None)

    def seen(self) -> dict[str, Any]:
        return self.breaker.stats().to_dict()


which = st.integers(0, 3)
thrown = st.sampled_from(list(EXCEPTIONS))
value = st.sampled_from([None, None, "value"])
how = st.one_of(
    st.tuples(st.just("__anext__")),
    st.tuples(st.just("__anext__")),
    st.tuples(st.just("asend"), value),
    st.tuples(st.just("athrow"), thrown),
    st.tuples(st.just("aclose")),
)
will = st.tuples(
    st.just("will"),
    st.sampled_from([0.0, 0.0, 0.5, 1.0, 6.0]),
    st.sampled_from(["ok", "ok", "ok", "boom", "boom", "key", "interrupt", "bad", "none"]),
)
rest = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0.5, 6.0])),
    st.tuples(st.just("force"), st.sampled_from(["force_open", "force_closed", "disable", "automatic", "reset"])),
    st.tuples(st.just("force"), st.just("observe_only")),
    st.tuples(st.just("listen")),
)
generator_step = st.one_of(
    will,
    st.tuples(st.just("start")),
    st.tuples(st.just("next"), which),
    st.tuples(st.just("next"), which),
    st.tuples(st.just("next"), which),
    st.tuples(st.just("send"), which, value),
    st.tuples(st.just("throw"), which, thrown),
    st.tuples(st.just("exit"), which),
    st.tuples(st.just("close"), which),
    rest,
)
async_step = st.one_of(
    will,
    st.tuples(st.just("start_async")),
    st.tuples(which, how).map(lambda step: ("run", step[0], *step[1])),
    st.tuples(which, how).map(lambda step: ("run", step[0], *step[1])),
    st.tuples(which, how).map(lambda step: ("run", step[0], *step[1])),
    st.tuples(which, how).map(lambda step: ("step", step[0], *step[1])),
    st.tuples(st.just("await_"), which),
    st.tuples(st.just("await_"), which),
    st.tuples(st.just("throw_into"), which, thrown),
    rest,
)


def agree(chosen: Settings, steps: list[tuple[Any, ...]]) -> None:
    native = Twin(CircuitBreaker, lambda breaker, fn: breaker(fn), chosen)
    python = Twin(python_breaker, python_protected, chosen)
    for name, *values in steps:
        assert native.do(name, *values) == python.do(name, *values), name
        assert native.seen() == python.seen(), name
    native.end()
    python.end()
    assert native.seen() == python.seen()
    assert native.seen()["in_flight"] == 0


@given(SETTINGS, st.lists(generator_step, min_size=8, max_size=40))
@hypothesis_settings(max_examples=200, deadline=None)
def test_same_generators_same_outcomes(chosen: Settings, steps: list[tuple[Any, ...]]) -> None:
    agree(chosen, steps)


@given(SETTINGS, st.lists(async_step, min_size=8, max_size=40))
@hypothesis_settings(max_examples=200, deadline=None)
def test_same_async_generators_same_outcomes(chosen: Settings, steps: list[tuple[Any, ...]]) -> None:
    agree(chosen, steps)
