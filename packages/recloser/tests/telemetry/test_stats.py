"""`breaker.stats()`: one consistent reading; counters only grow."""

import datetime
import json
import math

import pytest
from packages.recloser.tests.support import fail, is_rejected, listen, reach_probing, settings, succeed, trip

from recloser import CircuitBreaker, State
from recloser.testing import FakeClock


def test_new_breaker(breaker: CircuitBreaker) -> None:
    stats = breaker.stats()
    assert (stats.name, stats.state, stats.control, stats.control_reason) == ("db", "closed", "automatic", None)
    assert set(stats.calls) == {
        "success", "slow", "failure", "ignored", "throttled", "configuration", "released", "expired", "rejected"
    }  # fmt: skip
    assert set(stats.calls.values()) == {0}
    assert (stats.failure_rate, stats.slow_call_rate, stats.last_failure) == (None, None, None)
    assert (stats.retry_after, stats.in_flight, stats.attempt, stats.transitions) == (0, 0, 0, {})


def test_counters_survive_changes_of_state_and_resets(breaker: CircuitBreaker, clock: FakeClock) -> None:
    succeed(breaker, 2)
    trip(breaker)
    is_rejected(breaker)
    clock.advance(10)
    succeed(breaker)
    breaker.reset()
    stats = breaker.stats()
    assert (stats.successful, stats.failed, stats.rejected) == (3, 3, 1)
    assert stats.rejections == {"open": 1}
    assert stats.transitions == {
        (State.CLOSED, State.OPEN): 1,
        (State.OPEN, State.HALF_OPEN): 1,
        (State.HALF_OPEN, State.CLOSED): 1,
    }


def test_time_in_state(breaker: CircuitBreaker, clock: FakeClock) -> None:
    clock.advance(5)
    trip(breaker)
    clock.advance(3)
    stats = breaker.stats()
    assert stats.time_in_state == 3
    assert stats.since == datetime.datetime(2026, 1, 1, 0, 0, 5, tzinfo=datetime.UTC)


def test_reading_is_a_snapshot(breaker: CircuitBreaker) -> None:
    before = breaker.stats()
    succeed(breaker)
    trip(breaker)
    assert before.successful == 0
    assert before.state is State.CLOSED
    before.calls["success"] = 99
    before.transitions.clear()
    assert breaker.stats().successful == 1
    assert len(breaker.stats().transitions) == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.001, 0), (0.0011, 1), (1.0, 9), (1.1, 10), (60, 14), (61, 15), (86_400, 15)]
)
def test_durations_fall_into_buckets(seconds: float, bucket: int) -> None:
    clock = FakeClock(start=0.0)
    breaker = CircuitBreaker("db", settings(), clock=clock)
    permit = breaker.acquire()
    clock.advance(seconds)
    permit.success()
    stats = breaker.stats()
    assert [number for number, count in enumerate(stats.duration_buckets) if count] == [bucket]
    assert stats.duration_sum == seconds


def test_percentiles_are_upper_bounds(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(failure_threshold=None, failure_rate_threshold=1.0), clock=clock)
    assert breaker.stats().percentile(0.5) is None
    for seconds, calls in ((0.25, 90), (8, 9), (300, 1)):
        for _ in range(calls):
            permit = breaker.acquire()
            clock.advance(seconds)
            permit.success()
    stats = breaker.stats()
    assert [stats.percentile(ratio) for ratio in (0.5, 0.9, 0.95, 0.99)] == [0.25, 0.25, 10, 10]
    assert stats.percentile(1) == math.inf


def test_it_can_be_written_as_json(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.reconfigure(settings(tags={"team": "search"}))
    reach_probing(breaker, clock)
    fail(breaker)
    read = json.loads(json.dumps(breaker.stats().to_dict(), allow_nan=False))
    assert read["state"] == "open"
    assert read["since"] == "2026-01-01T00:00:10+00:00"
    assert read["calls"]["failure"] == 4
    assert read["tags"] == {"team": "search"}
    assert {"from_state": "half_open", "to_state": "open", "count": 1} in read["transitions"]
    breaker.force_open("maintenance")
    assert json.loads(json.dumps(breaker.stats().to_dict(), allow_nan=False))["retry_after"] is None


def test_in_flight_goes_up_and_down(breaker: CircuitBreaker) -> None:
    seen: list[int] = []

    def nested(depth: int) -> None:
        seen.append(breaker.stats().in_flight)
        if depth:
            breaker.call(nested, depth - 1)

    breaker.call(nested, 3)
    assert seen == [1, 2, 3, 4]
    assert breaker.stats().in_flight == 0


def test_deadline_of_an_open_circuit(breaker: CircuitBreaker, clock: FakeClock) -> None:
    assert breaker.stats().open_until is None
    trip(breaker)
    deadline = datetime.datetime(2026, 1, 1, 0, 0, 10, tzinfo=datetime.UTC)
    assert breaker.stats().open_until == deadline
    clock.advance(30)
    assert breaker.stats().open_until == deadline
    breaker.force_open("maintenance")
    assert breaker.stats().open_until is None


def test_time_in_states_is_in_the_json(breaker: CircuitBreaker, clock: FakeClock) -> None:
    clock.advance(5)
    trip(breaker)
    clock.advance(2)
    read = json.loads(json.dumps(breaker.stats().to_dict(), allow_nan=False))
    assert read["state_seconds"] == {"closed": 5, "open": 2, "half_open": 0}
    assert read["open_until"] == "2026-01-01T00:00:15+00:00"


def test_probes_are_calls_in_flight(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    stats = breaker.stats()
    assert (stats.in_flight, stats.probes_in_flight) == (1, 1)
    probe.success()
    assert breaker.stats().probes_in_flight == 0


def test_counts_alone_do_nothing_that_is_due(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    clock.advance(1_000)
    seen = listen(breaker)
    assert breaker.call_counts["failure"] == 3
    assert breaker.call_counts["expired"] == 0
    assert seen == []
    assert breaker.stats().calls["expired"] == 1
    probe.ignore()
