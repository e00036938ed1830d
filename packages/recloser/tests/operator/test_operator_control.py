"""What an operator may do: nothing drifts back by itself, and each mode does what it says."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from packages.recloser.tests.support import (
    fail,
    is_rejected,
    listen,
    rates,
    reach_probing,
    settings,
    succeed,
    trip,
)

from recloser import (
    BreakerReset,
    CallFinished,
    CallRejected,
    CircuitBreaker,
    CircuitOpenError,
    Control,
    ControlChanged,
    SettingsError,
    State,
    StateChanged,
)
from recloser.testing import FakeClock

MODES: dict[str, Control] = {
    "force_open": Control.FORCED_OPEN,
    "force_closed": Control.FORCED_CLOSED,
    "disable": Control.DISABLED,
    "observe_only": Control.OBSERVE_ONLY,
}
every_mode = pytest.mark.parametrize(("mode", "control"), MODES.items(), ids=MODES)

BEFORE: dict[str, Callable[[CircuitBreaker, FakeClock], Any]] = {
    "closed": lambda breaker, clock: None,
    "open": lambda breaker, clock: trip(breaker),
    "half-open": lambda breaker, clock: (reach_probing(breaker, clock), breaker.acquire()),
}
from_every_state = pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)


@every_mode
@from_every_state
def test_mode_and_reason_are_shown(
    breaker: CircuitBreaker,
    clock: FakeClock,
    before: Callable[[CircuitBreaker, FakeClock], Any],
    mode: str,
    control: Control,
) -> None:
    held = before(breaker, clock)
    getattr(breaker, mode)("deploying")
    assert breaker.control is control
    assert breaker.control_reason == "deploying"
    stats = breaker.stats()
    assert (stats.control, stats.control_reason) == (control, "deploying")
    del held


@every_mode
@from_every_state
def test_mode_never_drifts_back(
    breaker: CircuitBreaker,
    clock: FakeClock,
    before: Callable[[CircuitBreaker, FakeClock], Any],
    mode: str,
    control: Control,
) -> None:
    """Neither time, nor calls, nor an open period that was under way changes it."""
    held = before(breaker, clock)
    getattr(breaker, mode)("deploying")
    rejected = is_rejected(breaker)
    for _ in range(100):
        clock.advance(10)
        assert is_rejected(breaker) is rejected
        assert breaker.control is control
    assert rejected is (control is Control.FORCED_OPEN)
    assert breaker.state is (State.OPEN if rejected else State.CLOSED)
    del held


@every_mode
def test_automatic_gives_control_back(breaker: CircuitBreaker, mode: str, control: Control) -> None:
    getattr(breaker, mode)("deploying")
    breaker.automatic("deployed")
    assert breaker.control is Control.AUTOMATIC
    assert breaker.control_reason is None
    assert breaker.state is State.CLOSED
    succeed(breaker)
    trip(breaker)


@every_mode
def test_change_of_control_is_announced_once(breaker: CircuitBreaker, mode: str, control: Control) -> None:
    seen = listen(breaker, ControlChanged)
    getattr(breaker, mode)("deploying")
    getattr(breaker, mode)("still deploying")
    breaker.automatic("deployed")
    assert [(event.from_control, event.to_control, event.reason) for event in seen] == [
        (Control.AUTOMATIC, control, "deploying"),
        (control, Control.AUTOMATIC, "deployed"),
    ]


def test_second_word_of_an_operator_replaces_the_reason(breaker: CircuitBreaker) -> None:
    breaker.force_open("deploying")
    breaker.force_open("still deploying")
    assert breaker.control_reason == "still deploying"


@pytest.mark.parametrize("action", [*MODES, "automatic", "reset"])
@pytest.mark.parametrize("reason", ["", "  ", None, 3])
def test_reason_must_be_words(breaker: CircuitBreaker, action: str, reason: Any) -> None:
    with pytest.raises(SettingsError, match="reason="):
        getattr(breaker, action)(reason)
    assert breaker.control is Control.AUTOMATIC


# Forced open


def test_forced_open_rejects_and_says_why(breaker: CircuitBreaker) -> None:
    """The reason tells it from a circuit that opened by itself."""
    changes = listen(breaker, StateChanged)
    breaker.force_open("maintenance")
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert (caught.value.reason, caught.value.retry_after, caught.value.state) == ("forced_open", None, "open")
    assert breaker.retry_after is None
    assert [(change.reason, change.detail, change.open_for) for change in changes] == [
        ("operator", "maintenance", None)
    ]


def test_forced_open_is_no_attempt(breaker: CircuitBreaker) -> None:
    breaker.force_open("maintenance")
    assert breaker.stats().attempt == 0


def test_automatic_after_forced_open_closes_with_an_empty_window(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.force_open("maintenance")
    breaker.automatic("done")
    assert breaker.state is State.CLOSED
    assert breaker.stats().window_calls == 0


# Forced closed


def test_forced_closed_records_and_never_opens(breaker: CircuitBreaker) -> None:
    breaker.force_closed("we must reach it")
    fail(breaker, 50)
    assert breaker.state is State.CLOSED
    stats = breaker.stats()
    assert (stats.failed, stats.consecutive_failures, stats.window_calls) == (50, 50, 50)


def test_automatic_after_forced_closed_keeps_the_window(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(), clock=clock)
    breaker.force_closed("we must reach it")
    fail(breaker, 4)
    breaker.automatic("enough")
    assert breaker.state is State.CLOSED
    assert breaker.stats().failure_rate == 1
    fail(breaker)
    assert breaker.state is State.OPEN


# Disabled


def test_disabled_records_nothing_and_tells_nothing(breaker: CircuitBreaker) -> None:
    breaker.disable("rollout")
    seen = listen(breaker, CallFinished, CallRejected, StateChanged)
    before = breaker.stats()
    succeed(breaker, 5)
    fail(breaker, 50)
    permit = breaker.acquire()
    permit.failure()
    after = breaker.stats()
    assert seen == []
    assert after == before
    assert after.state is State.CLOSED


async def test_disabled_records_nothing_and_tells_nothing_async(breaker: CircuitBreaker) -> None:
    breaker.disable("rollout")
    before = breaker.stats()

    @breaker
    async def call() -> str:
        return "fine"

    assert await call() == "fine"
    async with breaker:
        pass
    assert breaker.stats() == before


def test_call_that_was_admitted_while_disabled_is_never_recorded(breaker: CircuitBreaker) -> None:
    breaker.disable("rollout")
    permit = breaker.acquire()
    breaker.automatic("done")
    assert not permit.failure()
    assert breaker.stats().failed == 0


def test_disabled_keeps_the_window_for_later(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.disable("rollout")
    succeed(breaker, 10)
    breaker.automatic("done")
    assert breaker.stats().consecutive_failures == 2


# Shadow mode


def test_observe_only_decides_and_rejects_nothing(breaker: CircuitBreaker) -> None:
    rejections = listen(breaker, CallRejected)
    breaker.observe_only("new breaker")
    trip(breaker)
    succeed(breaker, 4)
    assert breaker.state is State.OPEN
    assert [(event.reason, event.observed) for event in rejections] == [("open", True)] * 4
    stats = breaker.stats()
    assert (stats.observed_rejections, stats.rejected, stats.in_flight) == (4, 0, 0)
    assert breaker.retry_after == 0


def test_observe_only_goes_through_all_states(breaker: CircuitBreaker, clock: FakeClock) -> None:
    changes = listen(breaker, StateChanged)
    breaker.observe_only("new breaker")
    trip(breaker)
    fail(breaker, 5)  # would have been rejected: decides nothing
    assert breaker.state is State.OPEN
    clock.advance(10)
    probe = breaker.acquire()
    shadow = breaker.acquire()
    assert breaker.state is State.HALF_OPEN
    shadow.failure()
    assert breaker.state is State.HALF_OPEN
    probe.success()
    assert [change.to_state for change in changes] == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_automatic_after_observe_only_keeps_state_and_window(breaker: CircuitBreaker) -> None:
    breaker.observe_only("new breaker")
    trip(breaker)
    breaker.automatic("it behaves")
    assert breaker.state is State.OPEN
    assert is_rejected(breaker)


def test_observe_only_keeps_what_was_open(breaker: CircuitBreaker) -> None:
    trip(breaker)
    breaker.observe_only("look at it")
    assert breaker.state is State.OPEN
    assert not is_rejected(breaker)


def test_observe_only_after_forced_open_starts_closed(breaker: CircuitBreaker) -> None:
    breaker.force_open("maintenance")
    breaker.observe_only("watch")
    assert breaker.state is State.CLOSED
    assert not is_rejected(breaker)


# Reset


@from_every_state
def test_reset_closes_with_an_empty_window_and_keeps_counters(
    breaker: CircuitBreaker, clock: FakeClock, before: Callable[[CircuitBreaker, FakeClock], Any]
) -> None:
    fail(breaker)
    succeed(breaker)
    held = before(breaker, clock)
    failed = breaker.stats().failed
    breaker.reset("fixed")
    stats = breaker.stats()
    assert (stats.state, stats.window_calls, stats.consecutive_failures, stats.attempt) == (State.CLOSED, 0, 0, 0)
    assert stats.failed == failed
    clock.advance(1_000)
    assert breaker.state is State.CLOSED
    del held


@every_mode
def test_reset_ends_every_mode(breaker: CircuitBreaker, mode: str, control: Control) -> None:
    getattr(breaker, mode)("deploying")
    breaker.reset("all done")
    assert breaker.control is Control.AUTOMATIC
    assert breaker.state is State.CLOSED


def test_reset_is_announced_before_the_change_of_state(breaker: CircuitBreaker) -> None:
    trip(breaker)
    seen = listen(breaker)
    breaker.reset("fixed")
    assert [type(event) for event in seen] == [BreakerReset, StateChanged]
    assert seen[0].reason == "fixed"
    assert (seen[1].to_state, seen[1].reason, seen[1].detail) == (State.CLOSED, "operator", "fixed")


def test_reset_frees_the_probe_slot(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    breaker.reset()
    trip(breaker)
    clock.advance(10)
    assert breaker.acquire().success()
    assert probe.failure()
    assert breaker.state is State.CLOSED


# Nothing else


def test_breaker_starts_no_thread_and_no_timer(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Nothing is there that could fire later or keep the process alive."""
    before = threading.active_count()
    reach_probing(breaker, clock)
    succeed(breaker)
    breaker.force_open("maintenance")
    assert threading.active_count() == before


def test_settings_survive_operator_control(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(), clock=clock)
    breaker.force_open("maintenance")
    breaker.reset()
    assert breaker.settings == settings()
