"""A snapshot is plain values; a breaker restored from it goes on where it was, and waits no time twice."""

import copy
import json
import pickle
from typing import Any

import pytest
from packages.recloser.tests.support import fail, is_rejected, listen, reach_probing, settings, succeed, trip

from recloser import CircuitBreaker, CircuitOpenError, Control, Exponential, SnapshotError, State, StateChanged
from recloser.testing import FakeClock


def through_json(breaker: CircuitBreaker) -> dict[str, Any]:
    snapshot: dict[str, Any] = json.loads(json.dumps(breaker.snapshot(), allow_nan=False))
    assert snapshot == breaker.snapshot()
    return snapshot


def restart(breaker: CircuitBreaker, clock: FakeClock, down_for: float = 0.0) -> CircuitBreaker:
    """Another process, whose monotonic clock has nothing to do with this one's, `down_for` seconds later."""
    snapshot = through_json(breaker)
    return CircuitBreaker.restore(snapshot, breaker.settings, clock=FakeClock(start=7.0, time=clock.time() + down_for))


def test_closed_breaker_comes_back_closed(breaker: CircuitBreaker, clock: FakeClock) -> None:
    succeed(breaker)
    restored = restart(breaker, clock)
    assert (restored.name, restored.state, restored.settings) == ("db", State.CLOSED, breaker.settings)
    trip(restored)


def test_open_breaker_comes_back_open_for_the_time_that_remains(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    clock.advance(3)
    restored = restart(breaker, clock, down_for=2)
    assert restored.state is State.OPEN
    assert restored.retry_after == 5
    assert is_rejected(restored)


def test_open_time_that_passed_meanwhile_is_not_waited_again(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """The first call is a probe."""
    trip(breaker)
    restored = restart(breaker, clock, down_for=3_600)
    assert restored.retry_after == 0
    changes = listen(restored, StateChanged)
    succeed(restored)
    assert [change.to_state for change in changes] == [State.HALF_OPEN, State.CLOSED]


def test_half_open_breaker_may_be_probed_at_once(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    restored = restart(breaker, clock)
    assert restored.retry_after == 0
    succeed(restored)
    assert restored.state is State.CLOSED
    probe.ignore()


def test_attempt_goes_on(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=Exponential()), clock=clock)
    reach_probing(breaker, clock)
    fail(breaker)
    restored = restart(breaker, clock, down_for=100)
    fail(restored)
    assert restored.stats().attempt == 3
    assert restored.retry_after == 40


def test_last_failure_is_remembered(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    restored = restart(breaker, clock)
    with pytest.raises(CircuitOpenError, match="last failure: Boom: down"):
        restored.acquire()


@pytest.mark.parametrize(
    ("mode", "control", "rejects"),
    [
        ("force_open", Control.FORCED_OPEN, True),
        ("force_closed", Control.FORCED_CLOSED, False),
        ("disable", Control.DISABLED, False),
        ("observe_only", Control.OBSERVE_ONLY, False),
    ],
)
@pytest.mark.parametrize("was_open", [False, True])
def test_operator_control_survives(
    breaker: CircuitBreaker, clock: FakeClock, mode: str, control: Control, rejects: bool, was_open: bool
) -> None:
    if was_open:
        trip(breaker)
    getattr(breaker, mode)("maintenance until noon")
    restored = restart(breaker, clock, down_for=100_000)
    assert restored.control is control
    assert restored.control_reason == "maintenance until noon"
    assert restored.state is breaker.state
    assert is_rejected(restored) is rejects
    restored.automatic("noon")
    assert not is_rejected(restored)


def test_disabled_breaker_records_nothing_after_a_restore(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.disable("rollout")
    restored = restart(breaker, clock)
    succeed(restored)
    fail(restored, 10)
    assert sum(restored.stats().calls.values()) == 0
    assert restored.state is State.CLOSED


def test_restored_breaker_is_recorded_like_any_other(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    restored = restart(breaker, clock, down_for=10)
    succeed(restored)
    fail(restored, 3)
    assert restored.state is State.OPEN
    assert restored.stats().attempt == 1
    assert restart(restored, clock).state is State.OPEN


def test_clock_that_was_set_back_does_not_lengthen_the_wait(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    assert restart(breaker, clock, down_for=-86_400).retry_after == 10


def test_settings_are_the_caller_s(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    restored = CircuitBreaker.restore(breaker.snapshot(), settings(open_for=77.0), clock=clock)
    assert restored.settings.open_for == 77
    assert restored.retry_after == 10


def test_settings_may_be_left_out(breaker: CircuitBreaker) -> None:
    assert CircuitBreaker.restore(breaker.snapshot()).state is State.CLOSED


GOOD: dict[str, Any] = {
    "version": 1,
    "name": "db",
    "taken_at": 1_767_225_600.0,
    "state": "open",
    "control": "automatic",
    "control_reason": None,
    "attempt": 1,
    "open_remaining": 5.0,
    "last_failure": "Boom: down",
}


def test_good_snapshot_is_restored(clock: FakeClock) -> None:
    assert CircuitBreaker.restore(GOOD, clock=clock).retry_after == 5


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"name": 3},
        {"name": None},
        {"taken_at": "yesterday"},
        {"taken_at": None},
        {"taken_at": True},
        {"state": "ajar"},
        {"state": None},
        {"control": "remote"},
        {"control_reason": 3},
        {"attempt": -1},
        {"attempt": 1.5},
        {"attempt": True},
        {"open_remaining": -1},
        {"open_remaining": "5"},
        {"open_remaining": float("inf")},
        {"open_remaining": float("nan")},
        {"open_remaining": None},
        {"last_failure": 3},
    ],
    ids=str,
)
def test_malformed_snapshot_is_refused_by_name(clock: FakeClock, change: dict[str, Any]) -> None:
    [(field, value)] = change.items()
    with pytest.raises(SnapshotError) as caught:
        CircuitBreaker.restore({**GOOD, **change}, clock=clock)
    assert field in caught.value.field
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("member", [key for key in GOOD if key not in ("control_reason", "last_failure")])
def test_missing_member_is_refused(clock: FakeClock, member: str) -> None:
    snapshot = {key: value for key, value in GOOD.items() if key != member}
    with pytest.raises(SnapshotError, match=member):
        CircuitBreaker.restore(snapshot, clock=clock)


@pytest.mark.parametrize("snapshot", [None, [], "{}", 3])
def test_what_is_no_snapshot_is_refused(clock: FakeClock, snapshot: Any) -> None:
    with pytest.raises(SnapshotError):
        CircuitBreaker.restore(snapshot, clock=clock)


@pytest.mark.parametrize("control", ["forced_closed", "disabled"])
def test_control_that_lets_everything_through_wins_over_an_open_state(clock: FakeClock, control: str) -> None:
    """A file edited by hand: what the operator says holds."""
    restored = CircuitBreaker.restore({**GOOD, "control": control, "control_reason": "by hand"}, clock=clock)
    assert not is_rejected(restored)
    assert restored.state is State.CLOSED


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_breaker_itself_cannot_be_copied_or_pickled(breaker: CircuitBreaker, act: Any) -> None:
    with pytest.raises(TypeError, match="snapshot"):
        act(breaker)
