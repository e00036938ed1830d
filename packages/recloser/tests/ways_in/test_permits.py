"""`permit = breaker.acquire()`, then one word: the first counts, and a dropped permit is released."""

import copy
import gc
import pickle
from collections.abc import Callable

import pytest
from packages.recloser.tests.support import Boom, is_rejected, listen, reach_probing, settings, trip

from recloser import CallFinished, CircuitBreaker, CircuitOpenError, Outcome, Permit, State, Verdict
from recloser.testing import FakeClock

WORDS: dict[str, tuple[Callable[[Permit], bool], Outcome]] = {
    "success": (lambda permit: permit.success(), Outcome.SUCCESS),
    "failure": (lambda permit: permit.failure(), Outcome.FAILURE),
    "failure of an exception": (lambda permit: permit.failure(Boom("x")), Outcome.FAILURE),
    "failure in words": (lambda permit: permit.failure_described("HTTP 500"), Outcome.FAILURE),
    "ignore": (lambda permit: permit.ignore(), Outcome.IGNORED),
    "throttled": (lambda permit: permit.throttled(3), Outcome.THROTTLED),
    "settle without an exception": (lambda permit: permit.settle(), Outcome.SUCCESS),
    "settle with an exception": (lambda permit: permit.settle(Boom("x")), Outcome.FAILURE),
}


@pytest.mark.parametrize(("word", "outcome"), WORDS.values(), ids=WORDS)
def test_word_is_the_outcome(breaker: CircuitBreaker, word: Callable[[Permit], bool], outcome: Outcome) -> None:
    finished = listen(breaker, CallFinished)
    permit = breaker.acquire()
    assert not permit.settled
    assert word(permit)
    assert permit.settled
    assert [event.outcome for event in finished] == [outcome]
    assert breaker.stats().calls[outcome] == 1
    assert breaker.stats().in_flight == 0


@pytest.mark.parametrize("first", [word for word, _ in WORDS.values()], ids=WORDS)
@pytest.mark.parametrize("second", [word for word, _ in WORDS.values()], ids=WORDS)
def test_only_the_first_word_counts(
    breaker: CircuitBreaker, first: Callable[[Permit], bool], second: Callable[[Permit], bool]
) -> None:
    permit = breaker.acquire()
    first(permit)
    before = breaker.stats()
    assert not second(permit)
    assert breaker.stats() == before


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED, Outcome.THROTTLED])
def test_verdict_of_who_knows_the_client(breaker: CircuitBreaker, outcome: Outcome) -> None:
    assert breaker.acquire().settle(otherwise=Verdict(outcome, failed="as told"))
    assert breaker.stats().calls[outcome] == 1


def test_failure_of_a_call_that_never_got_out_does_not_decide_in_half_open(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    reach_probing(breaker, clock)
    assert breaker.acquire().settle(otherwise=Verdict(Outcome.FAILURE, conclusive=False))
    assert breaker.state is State.HALF_OPEN
    assert not is_rejected(breaker)


def test_acquire_of_an_open_circuit_is_rejected(breaker: CircuitBreaker) -> None:
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()


def test_acquire_then_record_closes_the_circuit(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """The manual path is complete, from open to closed."""
    reach_probing(breaker, clock)
    breaker.acquire().success()
    assert breaker.state is State.CLOSED


def test_permit_is_a_context_manager(breaker: CircuitBreaker) -> None:
    with breaker.acquire() as permit:
        pass
    assert permit.settled
    with pytest.raises(Boom), breaker.acquire():
        raise Boom("down")
    assert (breaker.stats().successful, breaker.stats().failed) == (1, 1)


def test_dropped_permit_is_released_and_said_to_be(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """A slot does not depend on the caller's memory."""
    finished = listen(breaker, CallFinished)
    reach_probing(breaker, clock)
    finished.clear()
    permit = breaker.acquire()
    assert is_rejected(breaker)
    del permit
    gc.collect()
    assert not is_rejected(breaker)
    assert [event.outcome for event in finished] == [Outcome.RELEASED, Outcome.SUCCESS]


def test_released_permit_is_neither_success_nor_failure(breaker: CircuitBreaker) -> None:
    breaker.acquire()
    gc.collect()
    stats = breaker.stats()
    assert stats.calls["released"] == 1
    assert (stats.successful, stats.failed, stats.window_calls, stats.in_flight) == (0, 0, 0, 0)
    assert stats.duration_buckets == (0,) * len(stats.duration_buckets)


def test_permit_in_a_reference_cycle_is_released_by_the_collector(breaker: CircuitBreaker) -> None:
    class Holder:
        pass

    holder = Holder()
    holder.me, holder.permit = holder, breaker.acquire()  # type: ignore[attr-defined]
    del holder
    assert breaker.stats().in_flight == 1
    gc.collect()
    assert breaker.stats().in_flight == 0


@pytest.mark.parametrize(
    "operation",
    [
        lambda breaker, other: breaker.acquire().ignore(),
        lambda breaker, other: other.ignore(),
        lambda breaker, other: breaker.stats(),
        lambda breaker, other: breaker.add_listener(print),
    ],
    ids=["admit", "settle", "read", "listen"],
)
def test_permit_collected_while_the_breaker_is_busy_is_released_by_the_next_operation(
    operation: Callable[[CircuitBreaker, Permit], object],
) -> None:
    """The collector may run anywhere, also inside the breaker's own locked section: it must not wait for the lock."""
    dropped: list[Permit] = []

    class CollectingClock(FakeClock):
        def monotonic(self) -> float:
            dropped.clear()
            return super().monotonic()

    breaker = CircuitBreaker("db", settings(), clock=CollectingClock())
    other = breaker.acquire()
    dropped.append(breaker.acquire())
    assert breaker.stats().in_flight == 2
    operation(breaker, other)
    breaker.add_listener(print)
    assert breaker.stats().calls["released"] == 1
    assert breaker.stats().in_flight == (0 if other.settled else 1)


def test_permit_outlives_the_name_of_its_breaker(clock: FakeClock) -> None:
    permit = CircuitBreaker("short-lived", settings(), clock=clock).acquire()
    gc.collect()
    assert permit.success()


def test_permit_of_another_generation_changes_nothing(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """An old permit cannot free the slot of a newer probe."""
    reach_probing(breaker, clock)
    old = breaker.acquire()
    breaker.force_open("maintenance")
    breaker.automatic("done")
    reach_probing(breaker, clock)
    new = breaker.acquire()
    assert new.generation > old.generation
    assert old.ignore()
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.reason == "half_open_full"
    assert breaker.state is State.HALF_OPEN


@pytest.mark.parametrize("retry_after", [-1, float("nan"), float("inf")])
def test_throttled_refuses_an_impossible_time(breaker: CircuitBreaker, retry_after: float) -> None:
    permit = breaker.acquire()
    with pytest.raises(ValueError, match="retry_after"):
        permit.throttled(retry_after)
    assert not permit.settled


def test_permit_says_what_it_is(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    assert repr(permit) == "<Permit of 'db', generation 0, in flight>"
    permit.success()
    assert repr(permit) == "<Permit of 'db', generation 0, settled>"


def test_permit_cannot_be_copied_or_pickled(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="stands for one call"):
            act(permit)
