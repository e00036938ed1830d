"""The compiled kernel does what the Python one does: both are given the same random life, and compared at each step."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recloser import CountWindow, Outcome, Settings, TimeWindow
from recloser.kernel.python import Kernel as PythonKernel

pytest.importorskip("recloser.kernel._kernel")

from recloser.kernel.native import Kernel as NativeKernel

windows = st.one_of(
    st.builds(CountWindow, st.integers(1, 9)),
    st.builds(CountWindow, st.integers(1, 300)),
    st.builds(TimeWindow, st.sampled_from([0.3, 1.0, 7.0, 60.0, 1e-9, 1e9]), st.integers(2, 12)),
)


@st.composite
def all_settings(draw: st.DrawFn) -> Settings:
    window = draw(windows)
    most = window.size if isinstance(window, CountWindow) else 20
    return Settings(
        failure_threshold=draw(st.one_of(st.none(), st.integers(1, 6), st.just(10**30))),
        failure_rate_threshold=draw(st.sampled_from([0.1, 1 / 3, 0.5, 1.0])),
        slow_call_duration=draw(st.sampled_from([0.1, 1.0])),
        slow_call_rate_threshold=draw(st.sampled_from([None, 0.25, 1.0])),
        window=window,
        minimum_calls=draw(st.integers(1, most)),
        failure_on_result=draw(st.sampled_from([None, bool])),
    )


durations = st.one_of(st.sampled_from([0.0, 0.001, 0.0025, 0.1, 60.0, 61.0, -1.0]), st.floats(0, 100))
flags = st.booleans()
step = st.one_of(
    st.tuples(st.just("sleep"), st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0, 7.0]), st.floats(0, 100))),
    st.tuples(st.just("back"), st.floats(0, 3)),
    st.tuples(st.just("hot"), durations),
    st.tuples(st.just("hot"), durations),
    st.tuples(st.just("record"), flags, flags),
    st.tuples(st.just("record"), flags, flags),
    st.tuples(st.just("count"), st.sampled_from(list(Outcome)), durations),
    st.tuples(st.just("run slow")),
    st.tuples(st.just("end slow"), st.integers(0, 20), flags),
    st.tuples(st.just("ticket"), flags),
    st.tuples(st.just("clear")),
    st.tuples(st.just("forget")),
    st.tuples(st.just("advance")),
    st.tuples(st.just("reject"), st.sampled_from(["open", "half_open_full", "forced_open"])),
    st.tuples(st.just("generation"), st.integers(-1, 3)),
    st.tuples(st.just("failure"), st.one_of(st.none(), st.text(max_size=5))),
    st.tuples(st.just("until"), st.one_of(st.floats(0, 1e6), st.just(math.inf))),
    st.tuples(st.just("refusing"), st.sampled_from([None, "open", "forced_open"])),
    st.tuples(st.just("defer"), st.integers()),
    st.tuples(st.just("reconfigure"), all_settings()),
)


class Life:
    """One kernel, and what its steps need to know."""

    def __init__(self, make: Callable[[Settings], Any], settings: Settings, now: float) -> None:
        self.kernel = make(settings)
        self.settings = settings
        self.now = now
        self.running: list[int] = []
        self.hot = 0

    def take(self, name: str, *values: Any) -> Any:
        return getattr(self, "do_" + name.replace(" ", "_"))(*values)

    def do_sleep(self, seconds: float) -> None:
        self.now += seconds

    def do_back(self, seconds: float) -> None:
        self.now -= seconds

    def do_hot(self, duration: float) -> Any:
        if isinstance(self.kernel, PythonKernel):
            self.kernel.hot_calls.append(None)
            return self.kernel.succeed(duration, self.now)
        self.kernel.release(True)  # there is no entering from Python: one less, and succeed makes it one less again
        rule = self.kernel.succeed(duration, self.now)
        self.hot += 2
        return rule

    def do_record(self, failure: bool, slow: bool) -> Any:
        return self.kernel.record(failure, slow, self.now)

    def do_count(self, outcome: Outcome, duration: float) -> None:
        self.kernel.count(outcome, duration)

    def do_run_slow(self) -> None:
        self.running.append(self.kernel.record_running_slow(self.now))

    def do_end_slow(self, which: int, failure: bool) -> Any:
        if not self.running:
            return None
        return self.kernel.settle_running_slow(self.running.pop(which % len(self.running)), failure, self.now)

    def do_ticket(self, ends: bool) -> None:
        if ends:
            self.kernel.release(False)
        else:
            self.kernel.admit()

    def do_clear(self) -> None:
        self.running.clear()
        self.kernel.clear_window()

    def do_forget(self) -> None:
        self.kernel.forget_calls()
        self.hot = 0

    def do_advance(self) -> None:
        self.kernel.advance(self.now)

    def do_reject(self, reason: str) -> None:
        self.kernel.count_rejection(reason)

    def do_generation(self, generation: int) -> None:
        self.kernel.hot_generation = generation

    def do_failure(self, text: str | None) -> None:
        self.kernel.last_failure = text

    def do_until(self, until: float) -> None:
        self.kernel.open_until = until

    def do_refusing(self, reason: str | None) -> None:
        self.kernel.refusing = reason

    def do_defer(self, item: int) -> Any:
        before = self.kernel.has_deferred
        self.kernel.defer(item)
        self.kernel.defer("more")
        assert self.kernel.has_deferred
        return before, self.kernel.take_deferred(), self.kernel.take_deferred(), self.kernel.has_deferred

    def do_reconfigure(self, settings: Settings) -> None:
        self.running.clear()  # tokens do not outlive their window
        self.kernel.reconfigure(self.settings, settings, self.now)
        self.settings = settings

    def seen(self) -> dict[str, Any]:
        kernel, now = self.kernel, self.now
        reading = kernel.reading(now)
        names = ("window_calls", "consecutive_failures", "duration_sum", "slow_after", "judges_results")
        more = ("hot_generation", "refusing", "open_until", "last_failure")
        return {
            **{name: getattr(kernel, name) for name in names + more},
            "reading": reading._replace(in_flight=reading.in_flight + self.hot),
            "in flight": kernel.in_flight + self.hot,
            "rule": kernel.broken_rule(),
            "rates": (kernel.failure_rate(now), kernel.slow_call_rate(now)),
        }


@given(all_settings(), st.floats(-10, 1e7), st.lists(step, max_size=60))
def test_same_life_same_numbers(settings: Settings, now: float, steps: list[tuple[Any, ...]]) -> None:
    python, native = Life(PythonKernel, settings, now), Life(NativeKernel, settings, now)
    assert native.seen() == python.seen()
    for name, *values in steps:
        assert native.take(name, *values) == python.take(name, *values), name
        assert native.seen() == python.seen(), name


@given(
    windows,
    windows,
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 7.0]), flags, flags), min_size=4, max_size=40),
    st.floats(0, 9),
)
@hypothesis_settings(max_examples=300)
def test_window_of_another_shape_keeps_the_same(
    old: CountWindow | TimeWindow,
    new: CountWindow | TimeWindow,
    calls: list[tuple[float, bool, bool]],
    later: float,
) -> None:
    first, second = (Settings(window=window, failure_rate_threshold=1.0, minimum_calls=1) for window in (old, new))
    lives = [Life(PythonKernel, first, 50.0), Life(NativeKernel, first, 50.0)]
    for life in lives:
        for seconds, failure, slow in calls:
            life.do_sleep(seconds)
            life.do_record(failure, slow)
        life.do_sleep(later)
        life.do_reconfigure(second)
    for _ in range(12):  # what is kept leaves in the same order
        assert lives[0].seen() == lives[1].seen()
        for life in lives:
            life.do_sleep(1.0)
            life.do_record(False, False)


def test_subclass_of_str_is_kept_as_plain_text() -> None:
    class Text(str):
        __slots__ = ()

    kernel = NativeKernel(Settings())
    kernel.last_failure = Text("down")
    assert type(kernel.last_failure) is str
    with pytest.raises(TypeError):
        kernel.last_failure = 3  # type: ignore[assignment]


def test_nonsense_is_refused() -> None:
    kernel = NativeKernel(Settings())
    with pytest.raises(ValueError, match="no reason"):
        kernel.count_rejection("boredom")
    with pytest.raises(ValueError, match="no reason"):
        kernel.refusing = "boredom"
    with pytest.raises(IndexError):
        kernel.add(8, True, 1.0)
    with pytest.raises(ValueError, match="window"):
        kernel.set_window(0.0, 0, 0.0)
