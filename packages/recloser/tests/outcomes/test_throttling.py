"""A dependency that asks us to wait is given that time: never less, never beyond the cap."""

import pytest
from packages.recloser.tests.support import fail, is_rejected, listen, raising, reach_probing, settings, succeed, trip

from recloser import CircuitBreaker, Control, Exponential, Outcome, State, StateChanged, Verdict
from recloser.testing import FakeClock


class TooManyRequests(Exception):
    def __init__(self, retry_after: float | None) -> None:
        super().__init__("HTTP 429")
        self.retry_after = retry_after


def classify(exc: BaseException | None, result: object) -> Verdict | None:
    return Verdict(Outcome.THROTTLED, exc.retry_after) if isinstance(exc, TooManyRequests) else None


@pytest.fixture
def api(clock: FakeClock) -> CircuitBreaker:
    """Open for 10 s by itself; takes Retry-After from `TooManyRequests`."""
    return CircuitBreaker("api", settings(classify=classify), clock=clock)


def throttle(breaker: CircuitBreaker, retry_after: float | None) -> None:
    with pytest.raises(TooManyRequests):
        breaker.call(raising(TooManyRequests(retry_after)))


@pytest.mark.parametrize("retry_after", [0.5, 5, 120])
def test_first_one_opens_the_circuit_for_the_time_asked(api: CircuitBreaker, retry_after: float) -> None:
    """Retry-After sets the open time."""
    changes = listen(api, StateChanged)
    throttle(api, retry_after)
    assert api.state is State.OPEN
    assert api.retry_after == retry_after
    assert [(change.reason, change.open_for) for change in changes] == [("throttled", retry_after)]


async def test_first_one_opens_the_circuit_for_the_time_asked_async(api: CircuitBreaker) -> None:
    @api
    async def call() -> None:
        raise TooManyRequests(77)

    with pytest.raises(TooManyRequests):
        await call()
    assert api.retry_after == 77


def test_without_a_time_it_opens_for_the_usual_one(api: CircuitBreaker) -> None:
    """No header, default time."""
    throttle(api, None)
    assert api.state is State.OPEN
    assert api.retry_after == 10


def test_time_asked_for_is_capped(clock: FakeClock) -> None:
    """A day is too long."""
    breaker = CircuitBreaker("api", settings(classify=classify, max_retry_after=3_600.0), clock=clock)
    throttle(breaker, 86_400)
    assert breaker.retry_after == 3_600


def test_negative_time_of_a_classifier_is_no_time(api: CircuitBreaker) -> None:
    throttle(api, -5)
    assert api.state is State.OPEN
    assert api.retry_after == 0


@pytest.mark.parametrize(("second", "total"), [(5, 60), (60, 60), (120, 120), (86_400, 3_600)])
def test_another_one_while_open_only_lengthens(api: CircuitBreaker, second: float, total: float) -> None:
    """Open until +60 s; another 429 never shortens that."""
    first, late = api.acquire(), api.acquire()
    first.throttled(60)
    late.throttled(second)
    assert api.retry_after == total


def test_another_one_measures_from_now(api: CircuitBreaker, clock: FakeClock) -> None:
    first, late = api.acquire(), api.acquire()
    first.throttled(60)
    clock.advance(30)
    late.throttled(40)
    assert api.retry_after == 40


def test_another_one_without_a_time_changes_nothing(api: CircuitBreaker, clock: FakeClock) -> None:
    first, late = api.acquire(), api.acquire()
    first.throttled(60)
    clock.advance(55)
    late.throttled()
    assert api.retry_after == 5


def test_late_one_lengthens_an_open_time_that_failures_began(api: CircuitBreaker) -> None:
    late = api.acquire()
    trip(api)
    assert api.retry_after == 10
    late.throttled(45)
    assert api.retry_after == 45
    assert api.stats().attempt == 1


def test_late_one_makes_no_second_event(api: CircuitBreaker) -> None:
    changes = listen(api, StateChanged)
    permits = [api.acquire() for _ in range(5)]
    for permit in permits:
        permit.throttled(60)
    assert len(changes) == 1
    assert api.stats().calls["throttled"] == 5


def test_late_one_does_not_disturb_a_half_open_circuit(api: CircuitBreaker, clock: FakeClock) -> None:
    late = api.acquire()
    reach_probing(api, clock)
    probe = api.acquire()
    late.throttled(60)
    assert api.state is State.HALF_OPEN
    probe.success()
    assert api.state is State.CLOSED


def test_throttled_probe_opens_it_for_the_time_asked(api: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(api, clock)
    throttle(api, 33)
    assert api.state is State.OPEN
    assert api.retry_after == 33
    assert api.stats().attempt == 2


def test_throttled_without_a_time_follows_the_recovery_strategy(clock: FakeClock) -> None:
    breaker = CircuitBreaker("api", settings(classify=classify, recovery=Exponential()), clock=clock)
    throttle(breaker, None)
    clock.advance(10)
    throttle(breaker, None)
    assert breaker.retry_after == 20


def test_throttled_call_is_no_failure(api: CircuitBreaker) -> None:
    fail(api, 2)
    api.force_closed("to look at the window")
    throttle(api, 5)
    stats = api.stats()
    assert stats.failed == 2
    assert stats.calls["throttled"] == 1
    assert stats.window_calls == 2
    assert stats.consecutive_failures == 2


def test_forced_closed_circuit_is_not_opened(api: CircuitBreaker) -> None:
    api.force_closed("we know")
    throttle(api, 60)
    assert api.state is State.CLOSED
    assert api.control is Control.FORCED_CLOSED


def test_permit_can_say_it(api: CircuitBreaker, clock: FakeClock) -> None:
    api.acquire().throttled(20)
    assert is_rejected(api)
    clock.advance(20)
    succeed(api)
    assert api.state is State.CLOSED


def test_last_failure_tells_of_it(api: CircuitBreaker) -> None:
    throttle(api, 60)
    assert api.last_failure == "TooManyRequests: HTTP 429"
