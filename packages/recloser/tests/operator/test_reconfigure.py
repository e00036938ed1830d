"""`reconfigure` takes new settings at once; state, deadline, window and counters stay."""

from typing import Any

import pytest
from packages.recloser.tests.support import (
    Boom,
    fail,
    is_rejected,
    raising,
    rates,
    reach_probing,
    settings,
    succeed,
    trip,
)

from recloser import CircuitBreaker, CountWindow, SettingsError, State, TimeWindow
from recloser.testing import FakeClock


def test_new_threshold_counts_the_failures_there_are(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.reconfigure(settings(failure_threshold=4))
    fail(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_lower_threshold_opens_at_the_next_call_not_before(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.reconfigure(settings(failure_threshold=1))
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    "window", [CountWindow(100), CountWindow(500), CountWindow(10), TimeWindow(60, 10), TimeWindow(120, 6)]
)
@pytest.mark.parametrize("old", [CountWindow(100), TimeWindow(60, 10)])
def test_window_is_kept(clock: FakeClock, old: CountWindow | TimeWindow, window: CountWindow | TimeWindow) -> None:
    """Whatever its old and new shape."""
    breaker = CircuitBreaker("db", rates(window=old, minimum_calls=10), clock=clock)
    succeed(breaker, 6)
    fail(breaker, 3)
    breaker.reconfigure(breaker.settings.replace(window=window))
    stats = breaker.stats()
    assert stats.window_calls == 9
    assert stats.failure_rate == pytest.approx(1 / 3)


def test_smaller_count_window_keeps_the_newest_calls(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(window=CountWindow(20), minimum_calls=10), clock=clock)
    succeed(breaker, 5)
    fail(breaker, 2)
    succeed(breaker, 2)
    breaker.reconfigure(rates(window=CountWindow(4), minimum_calls=4, failure_rate_threshold=0.9))
    assert breaker.stats().window_calls == 4
    assert breaker.stats().failure_rate == 0.5


def test_time_window_keeps_the_age_of_its_calls(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(window=TimeWindow(60, 6), minimum_calls=10), clock=clock)
    fail(breaker, 3)
    clock.advance(30)
    succeed(breaker, 3)
    breaker.reconfigure(breaker.settings.replace(window=TimeWindow(40, 4)))
    assert breaker.stats().window_calls == 6
    clock.advance(15)
    assert breaker.stats().window_calls == 3
    assert breaker.stats().failure_rate == 0


@pytest.mark.parametrize("window", [CountWindow(10), TimeWindow(10, 5)])
@pytest.mark.parametrize("old", [CountWindow(20), TimeWindow(20, 5)])
def test_empty_window_stays_empty(
    clock: FakeClock, old: CountWindow | TimeWindow, window: CountWindow | TimeWindow
) -> None:
    breaker = CircuitBreaker("db", rates(window=old), clock=clock)
    breaker.reconfigure(rates(window=window))
    assert breaker.stats().window_calls == 0
    fail(breaker, 2)
    assert breaker.state is State.OPEN


def test_slow_calls_are_kept_with_the_window(clock: FakeClock) -> None:
    rules = rates(
        failure_rate_threshold=None, slow_call_duration=1.0, slow_call_rate_threshold=0.9, window=TimeWindow(60, 6)
    )
    breaker = CircuitBreaker("db", rules.replace(minimum_calls=10), clock=clock)
    breaker.call(clock.advance, 2)
    succeed(breaker)
    for window in (CountWindow(30), TimeWindow(30, 3), CountWindow(10)):
        breaker.reconfigure(breaker.settings.replace(window=window))
        assert breaker.stats().slow_call_rate == 0.5


def test_open_circuit_keeps_its_deadline(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    clock.advance(4)
    breaker.reconfigure(settings(open_for=500.0))
    assert breaker.retry_after == 6
    clock.advance(6)
    fail(breaker)
    assert breaker.retry_after == 500


def test_half_open_circuit_keeps_its_probe(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    breaker.reconfigure(settings(success_threshold=2))
    assert breaker.state is State.HALF_OPEN
    assert is_rejected(breaker)
    probe.success()
    assert breaker.state is State.HALF_OPEN


def test_operator_control_and_counters_stay(breaker: CircuitBreaker) -> None:
    succeed(breaker, 3)
    breaker.force_closed("for now")
    breaker.reconfigure(settings(failure_threshold=1))
    fail(breaker, 3)
    stats = breaker.stats()
    assert (stats.control, stats.successful, stats.state) == ("forced_closed", 3, State.CLOSED)


def test_new_exception_rules_hold_for_calls_in_flight(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    breaker.reconfigure(settings(ignore=Boom))
    permit.settle(Boom("x"))
    assert breaker.stats().calls["ignored"] == 1


def test_functions_decorated_before_follow(breaker: CircuitBreaker) -> None:
    protected = breaker(raising(Boom("x")))
    breaker.reconfigure(settings(failure_threshold=1))
    with pytest.raises(Boom):
        protected()
    assert breaker.state is State.OPEN


def test_counting_of_running_calls_can_be_switched(clock: FakeClock) -> None:
    rules = rates(slow_call_duration=1.0, slow_call_rate_threshold=0.9, minimum_calls=50)
    breaker = CircuitBreaker("db", rules, clock=clock)
    before = breaker.acquire()
    breaker.reconfigure(rules.replace(count_in_flight_slow_calls=True))
    during = breaker.acquire()
    clock.advance(2)
    assert breaker.stats().window_calls == 1
    breaker.reconfigure(rules)
    after = breaker.acquire()
    clock.advance(2)
    assert breaker.stats().window_calls == 1
    for permit in (before, during, after):
        permit.success()
    assert breaker.stats().window_calls == 3
    assert breaker.stats().slow_call_rate == 1


@pytest.mark.parametrize("thing", [None, {"open_for": 3}, "http_api"])
def test_what_is_no_settings_is_refused(breaker: CircuitBreaker, thing: Any) -> None:
    with pytest.raises(SettingsError, match="settings="):
        breaker.reconfigure(thing)
    assert breaker.settings == settings()


def test_rates_survive_from_a_long_time_window_to_a_short_count_window(clock: FakeClock) -> None:
    by_time = rates(window=TimeWindow(60.0), minimum_calls=200)
    breaker = CircuitBreaker("db", by_time, clock=clock)
    succeed(breaker, 90)
    fail(breaker, 10)  # a burst at the end: the newest calls alone would all be failures
    breaker.reconfigure(by_time.replace(window=CountWindow(20), minimum_calls=20))
    stats = breaker.stats()
    assert (stats.window_calls, stats.failure_rate) == (20, 0.1)
    succeed(breaker, 10)
    assert breaker.stats().failure_rate == 0.05  # what is left of the old window is spread evenly
