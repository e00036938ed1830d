"""Half-open ends by `half_open_timeout`, whatever callers do: hang, cancel, crash, forget."""

import itertools

import pytest
from packages.recloser.tests.support import is_rejected, listen, reach_probing, settings, succeed

from recloser import CallFinished, CircuitBreaker, CircuitOpenError, Exponential, Outcome, Permit, State, StateChanged
from recloser.testing import FakeClock


@pytest.fixture
def bounded(clock: FakeClock) -> CircuitBreaker:
    """Half-open for 60 s at most; open for 10 s."""
    breaker = CircuitBreaker("db", settings(half_open_timeout=60.0), clock=clock)
    reach_probing(breaker, clock)
    return breaker


def test_hung_probe_opens_it_again(bounded: CircuitBreaker, clock: FakeClock) -> None:
    """A probe that did not come back in time is a failure of the dependency."""
    changes = listen(bounded, StateChanged)
    probe = bounded.acquire()
    clock.advance(59.999)
    assert bounded.state is State.HALF_OPEN
    clock.advance(0.001)
    assert bounded.state is State.OPEN
    assert bounded.retry_after == 10
    assert [(change.to_state, change.reason) for change in changes] == [
        (State.HALF_OPEN, "open_elapsed"),
        (State.OPEN, "half_open_timeout"),
    ]
    assert probe.settled


def test_result_of_a_hung_probe_is_dropped(bounded: CircuitBreaker, clock: FakeClock) -> None:
    hung = bounded.acquire()
    clock.advance(60)
    clock.advance(10)
    new = bounded.acquire()
    assert not hung.success()
    assert bounded.state is State.HALF_OPEN
    assert is_rejected(bounded)
    assert new.success()
    assert bounded.state is State.CLOSED


def test_hung_probe_is_counted_as_expired(bounded: CircuitBreaker, clock: FakeClock) -> None:
    probe = bounded.acquire()
    clock.advance(60)
    stats = bounded.stats()
    assert stats.calls["expired"] == 1
    assert stats.in_flight == 0
    assert not probe.failure()
    assert bounded.stats().failed == stats.failed


def test_new_open_time_starts_when_half_open_ran_out(bounded: CircuitBreaker, clock: FakeClock) -> None:
    """Not when somebody noticed."""
    probe = bounded.acquire()
    clock.advance(65)
    assert bounded.retry_after == 5
    assert bounded.stats().time_in_state == 5
    assert probe.settled


def test_hung_probe_counts_as_an_attempt(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(half_open_timeout=60.0, recovery=Exponential()), clock=clock)
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    clock.advance(60)
    assert breaker.retry_after == 20
    assert probe.settled


def test_probes_are_admitted_for_ever_though_each_hangs(bounded: CircuitBreaker, clock: FakeClock) -> None:
    """Over 1 000 calls, one per half-open and open period at least."""
    hung: list[Permit] = []
    admitted_at: list[float] = [clock.monotonic()]
    for _ in range(1_000):
        try:
            hung.append(bounded.acquire())
        except CircuitOpenError:
            pass
        else:
            admitted_at.append(clock.monotonic())
        clock.advance(7)
    gaps = [b - a for a, b in itertools.pairwise(admitted_at)]
    assert max(gaps) <= 60 + 10 + 7
    assert len(hung) >= 7_000 // (60 + 10 + 7)
    assert bounded.stats().in_flight <= 1


def test_half_open_without_traffic_may_be_probed_at_once(clock: FakeClock) -> None:
    """A period that ended for want of calls says nothing against the dependency."""
    breaker = CircuitBreaker("db", settings(success_threshold=2, recovery=Exponential()), clock=clock)
    reach_probing(breaker, clock)
    succeed(breaker)
    changes = listen(breaker, StateChanged)
    clock.advance(60)
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 0
    assert [change.reason for change in changes] == ["half_open_inconclusive"]
    assert breaker.stats().attempt == 1


def test_half_open_without_traffic_keeps_the_successes_it_has_seen(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(success_threshold=2), clock=clock)
    reach_probing(breaker, clock)
    succeed(breaker)
    clock.advance(60)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_probe_that_started_late_is_not_held_against_the_dependency(bounded: CircuitBreaker, clock: FakeClock) -> None:
    bounded.acquire().ignore()
    clock.advance(59)
    young = bounded.acquire()
    clock.advance(1)
    assert bounded.state is State.OPEN
    assert bounded.retry_after == 0
    assert not young.success()


def test_rejection_names_the_end_of_the_period(bounded: CircuitBreaker, clock: FakeClock) -> None:
    probe = bounded.acquire()
    clock.advance(20)
    with pytest.raises(CircuitOpenError) as caught:
        bounded.acquire()
    assert caught.value.retry_after == 40
    probe.ignore()


def test_late_word_of_an_expired_probe_makes_no_event(bounded: CircuitBreaker, clock: FakeClock) -> None:
    probe = bounded.acquire()
    clock.advance(60)
    assert bounded.state is State.OPEN
    finished = listen(bounded, CallFinished)
    probe.success()
    assert finished == []
    assert bounded.stats().calls[Outcome.EXPIRED] == 1
