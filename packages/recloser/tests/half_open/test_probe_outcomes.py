"""What a probe's outcome does: a success counts, a failure opens, everything else gives the slot back."""

from collections.abc import Callable

import pytest
from packages.recloser.tests.support import Boom, fail, is_rejected, listen, reach_probing, settings, succeed

from recloser import CircuitBreaker, Outcome, Permit, State, StateChanged, Verdict
from recloser.testing import FakeClock

INCONCLUSIVE = Verdict(Outcome.FAILURE, conclusive=False)


class AuthError(Exception):
    pass


class PoolTimeout(Exception):
    pass


@pytest.fixture
def half_open(clock: FakeClock) -> CircuitBreaker:
    """The next call is a probe; two successes close it."""
    breaker = CircuitBreaker(
        "llm", settings(success_threshold=2, ignore=AuthError, unreachable=PoolTimeout), clock=clock
    )
    reach_probing(breaker, clock)
    return breaker


def test_enough_successes_close_it(half_open: CircuitBreaker) -> None:
    succeed(half_open)
    assert half_open.state is State.HALF_OPEN
    succeed(half_open)
    assert half_open.state is State.CLOSED
    assert half_open.stats().attempt == 0


def test_one_failure_opens_it(half_open: CircuitBreaker) -> None:
    changes = listen(half_open, StateChanged)
    succeed(half_open)
    fail(half_open)
    assert half_open.state is State.OPEN
    assert half_open.retry_after == 10
    assert [(change.to_state, change.reason, change.detail) for change in changes] == [
        (State.HALF_OPEN, "open_elapsed", None),
        (State.OPEN, "probe_failed", "Boom: down"),
    ]


def test_first_failure_decides_whatever_the_minimum_of_calls(clock: FakeClock) -> None:
    """The gate of `minimum_calls` is for rates; a failed probe opens the circuit, however many slots there are."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=3, success_threshold=3, minimum_calls=50), clock=clock)
    reach_probing(breaker, clock)
    permits = [breaker.acquire() for _ in range(3)]
    permits[0].failure()
    assert breaker.state is State.OPEN
    for permit in permits[1:]:
        permit.success()
    assert breaker.state is State.OPEN


def test_successes_before_a_failure_are_forgotten(half_open: CircuitBreaker, clock: FakeClock) -> None:
    succeed(half_open)
    fail(half_open)
    clock.advance(10)
    succeed(half_open)
    assert half_open.state is State.HALF_OPEN


@pytest.mark.parametrize("exc", [AuthError, PoolTimeout, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_inconclusive_probe_gives_its_slot_back(half_open: CircuitBreaker, exc: type[BaseException]) -> None:
    """Neither closed nor open, and the next caller may probe."""
    fail(half_open, 5, exc)
    assert half_open.state is State.HALF_OPEN
    assert half_open.stats().in_flight == 0
    succeed(half_open, 2)
    assert half_open.state is State.CLOSED


def test_inconclusive_probe_among_successes_keeps_them(half_open: CircuitBreaker) -> None:
    """All but one, then an ignored one, then the last."""
    succeed(half_open)
    fail(half_open, 1, AuthError)
    assert half_open.state is State.HALF_OPEN
    succeed(half_open)
    assert half_open.state is State.CLOSED


def test_unreachable_counts_while_closed(clock: FakeClock) -> None:
    """It is only in half-open that it is inconclusive."""
    breaker = CircuitBreaker("llm", settings(unreachable=PoolTimeout), clock=clock)
    fail(breaker, 3, PoolTimeout)
    assert breaker.state is State.OPEN
    assert breaker.last_failure == "PoolTimeout: down"


@pytest.mark.parametrize(
    ("rules", "exc", "closed", "half_open"),
    [
        ({"ignore": KeyError}, KeyError, Outcome.IGNORED, State.HALF_OPEN),
        ({"ignore": lambda exc: "down" in str(exc)}, Boom, Outcome.IGNORED, State.HALF_OPEN),
        ({"failure_on": KeyError}, Boom, Outcome.SUCCESS, State.CLOSED),
        ({"failure_on": Boom}, Boom, Outcome.FAILURE, State.OPEN),
        ({"unreachable": Boom}, Boom, Outcome.FAILURE, State.HALF_OPEN),
        ({"classify": lambda exc, _: Outcome.IGNORED}, Boom, Outcome.IGNORED, State.HALF_OPEN),
        ({"classify": lambda exc, _: Outcome.SUCCESS}, Boom, Outcome.SUCCESS, State.CLOSED),
        ({"classify": lambda exc, _: Outcome.THROTTLED}, Boom, Outcome.THROTTLED, State.OPEN),
        ({"classify": lambda exc, _: INCONCLUSIVE}, Boom, Outcome.FAILURE, State.HALF_OPEN),
    ],
)
def test_rules_are_the_same_closed_and_half_open(
    clock: FakeClock, rules: dict[str, object], exc: type[Exception], closed: Outcome, half_open: State
) -> None:
    """An exception has one outcome, and half-open draws its own conclusion from it."""
    breaker = CircuitBreaker("db", settings(**rules), clock=clock)
    fail(breaker, 1, exc)
    assert breaker.stats().calls[closed] == 1
    breaker.force_open("to probe")
    restored = CircuitBreaker.restore(
        {**breaker.snapshot(), "control": "automatic", "open_remaining": 0.0}, breaker.settings, clock=clock
    )
    fail(restored, 1, exc)
    assert restored.stats().calls[closed] == 1
    assert restored.state is half_open


WORDS: dict[str, Callable[[Permit], bool]] = {
    "s": lambda permit: permit.success(),
    "f": lambda permit: permit.failure(),
    "i": lambda permit: permit.ignore(),
}


@pytest.mark.parametrize(
    ("slots", "threshold", "outcomes", "state"),
    [
        (1, 1, "s", State.CLOSED),
        (1, 1, "f", State.OPEN),
        (1, 1, "i", State.HALF_OPEN),
        (1, 1, "is", State.CLOSED),
        (1, 1, "if", State.OPEN),
        (1, 2, "s", State.HALF_OPEN),
        (1, 2, "ss", State.CLOSED),
        (1, 2, "sf", State.OPEN),
        (1, 2, "sis", State.CLOSED),
        (1, 3, "ss", State.HALF_OPEN),
        (1, 3, "sss", State.CLOSED),
        (2, 1, "s", State.CLOSED),
        (2, 2, "ss", State.CLOSED),
        (2, 2, "sf", State.OPEN),
        (2, 3, "ss", State.HALF_OPEN),
        (2, 3, "sss", State.CLOSED),
        (2, 3, "ssf", State.OPEN),
        (3, 3, "iiisss", State.CLOSED),
        (3, 3, "iiissf", State.OPEN),
        (5, 2, "ss", State.CLOSED),
        (10, 10, "sssssssss", State.HALF_OPEN),
        (10, 10, "ssssssssss", State.CLOSED),
    ],
)
def test_slots_threshold_and_outcomes_give_the_state(
    clock: FakeClock, slots: int, threshold: int, outcomes: str, state: State
) -> None:
    """The table, one probe after the other."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=slots, success_threshold=threshold), clock=clock)
    reach_probing(breaker, clock)
    for outcome in outcomes:
        assert WORDS[outcome](breaker.acquire())
    assert breaker.state is state


@pytest.mark.parametrize("closing", [True, False])
def test_success_and_failure_at_once_leave_one_state(clock: FakeClock, closing: bool) -> None:
    """Whichever comes first decides; the other one is late."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=2), clock=clock)
    reach_probing(breaker, clock)
    good, bad = breaker.acquire(), breaker.acquire()
    changes = listen(breaker, StateChanged)
    if closing:
        good.success()
        bad.failure()
    else:
        bad.failure()
        good.success()
    assert [change.to_state for change in changes] == [State.CLOSED if closing else State.OPEN]
    assert breaker.state is changes[0].to_state
    assert is_rejected(breaker) is not closing
