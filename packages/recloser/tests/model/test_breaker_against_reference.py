"""Random histories: the breaker and a naive reference must agree after every step."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from recloser import (
    CallFinished,
    CircuitBreaker,
    CircuitOpenError,
    CountWindow,
    Permit,
    Settings,
    SettingsError,
    State,
    StateChanged,
    TimeWindow,
)
from recloser.testing import FakeClock

sys.path.insert(0, str(Path(__file__).parent))
from reference import Call, Reference

WAITS = [3.0, 5.0, 8.0]


def wait_for(attempt: int, failure_rate: float, last_outcome: object) -> float:
    return WAITS[min(attempt, len(WAITS)) - 1]


# Whole and half seconds: sums are exact, so that both sides agree on boundaries.
SECONDS = st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0])


@st.composite
def breaker_settings(draw: st.DrawFn) -> Settings:
    window = draw(
        st.one_of(
            st.builds(CountWindow, st.integers(2, 6)),
            st.builds(TimeWindow, st.sampled_from([4.0, 10.0]), st.sampled_from([2, 4])),
        )
    )
    slow = draw(st.sampled_from([None, 1.0, 3.0]))
    values = {
        "failure_threshold": draw(st.sampled_from([None, 1, 2, 4])),
        "failure_rate_threshold": draw(st.sampled_from([None, 0.5, 1.0])),
        "slow_call_duration": slow,
        "slow_call_rate_threshold": None if slow is None else draw(st.sampled_from([None, 0.5, 1.0])),
        "window": window,
        "minimum_calls": draw(st.integers(1, 2)),
        "half_open_max_calls": draw(st.integers(1, 3)),
        "success_threshold": draw(st.integers(1, 4)),
        "half_open_timeout": draw(st.sampled_from([2.0, 5.0])),
        "max_retry_after": 20.0,
        "open_for": 3.0,
        "recovery": wait_for,
    }
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except SettingsError:
        return Settings(**{**values, "failure_threshold": 2})  # type: ignore[arg-type]


class BreakerModel(RuleBasedStateMachine):
    in_flight: Bundle[tuple[Permit, Call]] = Bundle("in_flight")

    @initialize(settings=breaker_settings(), listens=st.booleans())
    def start(self, settings: Settings, listens: bool) -> None:
        self.clock = FakeClock()
        self.breaker = CircuitBreaker("model", settings, clock=self.clock)
        self.reference = Reference(settings, changed_at=self.clock.monotonic())
        self.events: list[StateChanged] = []
        # Listening to every call turns the hot path off: both ways must behave the same.
        if listens:
            self.breaker.add_listener(lambda event: None, kinds=(CallFinished,))
        self.breaker.add_listener(self.events.append, kinds=(StateChanged,))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(target=in_flight)
    def admit(self) -> object:
        expected = self.reference.admit(self.clock.monotonic())
        try:
            permit = self.breaker.acquire()
        except CircuitOpenError as exc:
            assert exc.reason == expected  # noqa: PT017
            return (None, None)
        assert isinstance(expected, Call)
        assert permit.generation == expected.generation
        return (permit, expected)

    @rule(pair=consumes(in_flight), outcome=st.sampled_from(["success", "success", "failure", "failure", "ignored"]))
    def settle(self, pair: tuple[Permit | None, Call | None], outcome: str) -> None:
        permit, call = pair
        if permit is None or call is None:
            return
        {"success": permit.success, "failure": permit.failure, "ignored": permit.ignore}[outcome]()
        self.reference.settle(call, outcome, self.clock.monotonic())

    @rule(pair=in_flight, retry_after=st.sampled_from([None, 0.0, 4.0, 100.0]))
    def throttle(self, pair: tuple[Permit | None, Call | None], retry_after: float | None) -> None:
        permit, call = pair
        if permit is None or call is None:
            return
        permit.throttled(retry_after)
        self.reference.settle(call, "throttled", self.clock.monotonic(), retry_after)

    @rule(failures=st.lists(st.booleans(), min_size=1, max_size=4))
    def protected_calls(self, failures: list[bool]) -> None:
        for failure in failures:
            expected = self.reference.admit(self.clock.monotonic())
            try:
                self.breaker.call(self._work, failure)
                ended = "success"
            except ZeroDivisionError:
                ended = "failure"
            except CircuitOpenError as exc:
                assert exc.reason == expected  # noqa: PT017
                continue
            assert isinstance(expected, Call)
            self.reference.settle(expected, ended, self.clock.monotonic())

    @staticmethod
    def _work(failure: bool) -> float:
        return 1 / (not failure)

    @rule(action=st.sampled_from(["forced_open", "forced_closed", "reset", "automatic"]))
    def operate(self, action: str) -> None:
        method = {"forced_open": "force_open", "forced_closed": "force_closed"}.get(action, action)
        getattr(self.breaker, method)("model")
        self.reference.operate(action, self.clock.monotonic())

    # A rule and not an invariant: reading lets time do its work, and that must also happen lazily, steps later.
    @rule()
    def they_agree(self) -> None:
        now = self.clock.monotonic()
        self.reference.tick(now)
        stats = self.breaker.stats()
        assert stats.state == self.reference.state
        assert stats.control == self.reference.control
        assert stats.attempt == self.reference.attempt
        assert stats.in_flight == self.reference.in_flight()
        if stats.state is State.CLOSED:
            total, failures, slow = self.reference.rates(now)
            assert stats.window_calls == total
            assert stats.failure_rate == (failures / total if total else None)
            assert stats.slow_call_rate == (slow / total if total else None)
            assert stats.consecutive_failures == self.reference.streak
        if stats.state is State.OPEN and stats.control != "forced_open":
            assert stats.retry_after == max(0.0, self.reference.open_until - now)

        # Every change was told, once and in order.
        assert [(e.from_state, e.to_state) for e in self.events] == self.reference.path
        assert sum(stats.transitions.values()) == len(self.reference.path)

    def teardown(self) -> None:
        if hasattr(self, "breaker"):
            self.they_agree()


BreakerModel.TestCase.settings = hypothesis_settings(
    max_examples=2 * hypothesis_settings.default.max_examples, stateful_step_count=40, deadline=None
)
test_breaker_agrees_with_the_reference = BreakerModel.TestCase
