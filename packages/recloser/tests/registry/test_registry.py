"""Breakers by name: one per name, found again, read and operated together."""

import gc
import threading
import weakref
from typing import Any

import pytest
from packages.recloser.tests.support import fail, is_rejected, settings, succeed, trip

import recloser
from recloser import (
    CallFinished,
    CircuitBreaker,
    Control,
    DuplicateBreakerError,
    Event,
    Registry,
    Settings,
    SettingsError,
    State,
    StateChanged,
    UnknownBreakerError,
)
from recloser.testing import FakeClock


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


def test_name_is_asked_for_twice_and_is_one_breaker(registry: Registry) -> None:
    breaker = registry.get_or_create("db")
    assert registry.get_or_create("db") is registry["db"] is registry.get("db") is breaker
    assert len(registry) == 1


def test_a_hundred_names_are_a_hundred_breakers(registry: Registry) -> None:
    """Nothing is overwritten in silence."""
    breakers = [registry.get_or_create(f"db-{number}") for number in range(100)]
    assert len(set(map(id, breakers))) == len(registry) == 100
    assert list(registry) == breakers


def test_settings_of_the_registry_are_the_default(registry: Registry) -> None:
    assert registry.get_or_create("a").settings == settings()
    assert registry.get_or_create("b", settings(open_for=5)).settings.open_for == 5


def test_same_name_with_the_same_settings_is_the_same_breaker(registry: Registry) -> None:
    assert registry.get_or_create("db", settings(open_for=5)) is registry.get_or_create("db", settings(open_for=5))


def test_same_name_with_other_settings_is_refused(registry: Registry) -> None:
    registry.get_or_create("db", settings(open_for=5))
    with pytest.raises(DuplicateBreakerError, match="'db' exists with other settings"):
        registry.get_or_create("db", settings(open_for=6))


def test_without_settings_whatever_exists_is_taken(registry: Registry) -> None:
    breaker = registry.get_or_create("db", settings(open_for=5))
    assert registry.get_or_create("db") is breaker


def test_code_that_asks_with_its_settings_still_finds_a_breaker_that_was_reconfigured(registry: Registry) -> None:
    """Hot reload must not break the call sites."""
    breaker = registry.get_or_create("db", settings(open_for=5))
    breaker.reconfigure(settings(open_for=50))
    assert registry.get_or_create("db", settings(open_for=5)) is breaker
    assert registry.get_or_create("db", settings(open_for=50)) is breaker
    assert breaker.settings.open_for == 50
    with pytest.raises(DuplicateBreakerError):
        registry.get_or_create("db", settings(open_for=500))


def test_threads_that_ask_at_once_get_one_breaker(registry: Registry) -> None:
    barrier = threading.Barrier(8)
    got: list[CircuitBreaker] = []

    def ask() -> None:
        barrier.wait()
        got.append(registry.get_or_create("db"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == 1


def test_unknown_name_is_an_error_with_the_nearest_one(registry: Registry) -> None:
    registry.get_or_create("payments")
    with pytest.raises(UnknownBreakerError, match="no breaker named 'paymets'; did you mean 'payments'") as caught:
        registry["paymets"]
    assert caught.value.nearest == "payments"
    assert registry.get("paymets") is None
    assert "paymets" not in registry
    assert "payments" in registry


def test_removed_breaker_is_forgotten_and_still_works(registry: Registry) -> None:
    breaker = registry.get_or_create("db")
    assert registry.remove("db") is breaker
    assert "db" not in registry
    succeed(breaker)
    assert registry.get_or_create("db", settings(open_for=5)) is not breaker
    with pytest.raises(UnknownBreakerError):
        registry.remove("nothing")


def test_breaker_made_elsewhere_can_be_added(registry: Registry, clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(), clock=clock)
    assert registry.add(breaker) is breaker
    assert registry.add(breaker) is registry["db"] is breaker
    assert registry.get_or_create("db", settings()) is breaker
    with pytest.raises(DuplicateBreakerError):
        registry.add(CircuitBreaker("db", settings(), clock=clock))


def test_process_wide_registry() -> None:
    name = "registry-test-process-wide"
    try:
        assert recloser.get_breaker(name) is recloser.default_registry[name]
    finally:
        recloser.default_registry.remove(name)


def test_registry_says_what_it_is(registry: Registry) -> None:
    registry.get_or_create("db")
    assert repr(registry) == "<Registry of 1 breakers>"


# Listening


def test_listener_hears_present_and_future_breakers(registry: Registry) -> None:
    heard: list[str] = []
    registry.get_or_create("old")
    remove = registry.add_listener(lambda event: heard.append(event.breaker), (StateChanged,))
    registry.get_or_create("new")
    for breaker in registry:
        trip(breaker)
    assert heard == ["old", "new"]
    remove()
    registry.get_or_create("newest")
    registry.reset_all()
    trip(registry["newest"])
    assert heard == ["old", "new"]


def test_breaker_in_the_place_of_another_is_heard_too(registry: Registry, clock: FakeClock) -> None:
    """Events are not lost when one breaker replaces another."""
    heard: list[Event] = []
    registry.add_listener(heard.append, (StateChanged,))
    registry.get_or_create("db")
    registry.remove("db")
    trip(registry.add(CircuitBreaker("db", settings(), clock=clock)))
    assert len(heard) == 1


def test_listener_is_given_to_a_breaker_once(registry: Registry, clock: FakeClock) -> None:
    """No event twice."""
    heard: list[Event] = []
    registry.add_listener(heard.append, (CallFinished,))
    breaker = registry.add(CircuitBreaker("db", settings(), clock=clock))
    registry.add(breaker)
    registry.get_or_create("db")
    succeed(breaker)
    assert len(heard) == 1


def test_listener_does_not_keep_removed_breakers_alive(registry: Registry) -> None:
    """Whatever comes and goes leaves nothing behind."""
    registry.add_listener(lambda event: None)
    gone = []
    for number in range(10):
        breaker = registry.get_or_create(f"db-{number}")
        gone.append((weakref.ref(breaker), weakref.ref(breaker._controller)))
        registry.remove(breaker.name)
        del breaker
    gc.collect()
    assert [(breaker(), controller()) for breaker, controller in gone] == [(None, None)] * 10


# Together


def test_health_counts_the_states(registry: Registry, clock: FakeClock) -> None:
    assert registry.health().to_dict() == {"total": 0, "closed": 0, "open": 0, "half_open": 0, "healthy": True}
    breakers = [registry.get_or_create(name) for name in ("a", "b", "c", "d")]
    trip(breakers[1])
    trip(breakers[2])
    clock.advance(10)
    probe = breakers[2].acquire()
    health = registry.health()
    assert (health.total, health.closed, health.open, health.half_open, health.healthy) == (4, 2, 1, 1, False)
    probe.success()
    breakers[1].reset()
    assert registry.health().healthy


def test_stats_are_by_name(registry: Registry) -> None:
    succeed(registry.get_or_create("a"))
    registry.get_or_create("b")
    stats = registry.stats()
    assert list(stats) == ["a", "b"]
    assert stats["a"].successful == 1


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["pay-eu", "pay-us", "search"]),
        ("pay-*", ["pay-eu", "pay-us"]),
        ("search", ["search"]),
        ("PAY-*", []),
        ("pay-[eu]u", ["pay-eu"]),
    ],
)
def test_selection_by_pattern(registry: Registry, pattern: str, names: list[str]) -> None:
    for name in ("pay-eu", "pay-us", "search"):
        registry.get_or_create(name)
    selection = registry.select(pattern)
    assert [breaker.name for breaker in selection] == names
    assert len(selection) == len(names)


@pytest.mark.parametrize(
    ("mode", "control"),
    [
        ("force_open", Control.FORCED_OPEN),
        ("force_closed", Control.FORCED_CLOSED),
        ("disable", Control.DISABLED),
        ("observe_only", Control.OBSERVE_ONLY),
    ],
)
def test_selection_is_operated_with_one_word(registry: Registry, mode: str, control: Control) -> None:
    for name in ("pay-eu", "pay-us", "search"):
        registry.get_or_create(name)
    assert getattr(registry.select("pay-*"), mode)("maintenance") == ["pay-eu", "pay-us"]
    assert [breaker.control for breaker in registry] == [control, control, Control.AUTOMATIC]
    assert registry.select("pay-*").automatic("done") == ["pay-eu", "pay-us"]
    assert {breaker.control for breaker in registry} == {Control.AUTOMATIC}


def test_reset_all(registry: Registry) -> None:
    for name in ("a", "b"):
        trip(registry.get_or_create(name))
    assert registry.reset_all("new day") == ["a", "b"]
    assert not any(is_rejected(breaker) for breaker in registry)


def test_clock_of_the_registry_is_its_breakers_clock(registry: Registry, clock: FakeClock) -> None:
    breaker = registry.get_or_create("db")
    trip(breaker)
    clock.advance(4)
    assert breaker.retry_after == 6


# Groups


def test_group_gives_its_settings(registry: Registry) -> None:
    group = registry.group("payments", open_for=5)
    breaker = group.get_or_create("pay-eu")
    assert breaker.settings == settings(open_for=5, tags={"group": "payments"})
    assert registry["pay-eu"] is breaker


def test_breaker_s_own_settings_win_over_the_group_s_over_the_registry_s(clock: FakeClock) -> None:
    registry = Registry(Settings(open_for=1, half_open_timeout=1, max_retry_after=1), clock=clock)
    group = registry.group("payments", half_open_timeout=2, max_retry_after=2)
    breaker = group.get_or_create("pay-eu", max_retry_after=3)
    chosen = breaker.settings
    assert (chosen.open_for, chosen.half_open_timeout, chosen.max_retry_after) == (1, 2, 3)


def test_group_is_found_again(registry: Registry) -> None:
    group = registry.group("payments", open_for=5)
    assert registry.group("payments") is registry.group("payments", open_for=5) is group


@pytest.mark.parametrize("other", [{"open_for": 6}, {"tags": {"team": "other"}}])
def test_group_with_other_settings_is_refused(registry: Registry, other: dict[str, Any]) -> None:
    registry.group("payments", open_for=5)
    with pytest.raises(SettingsError, match="exists with other settings"):
        registry.group("payments", **other)


def test_breaker_of_a_group_is_found_again(registry: Registry) -> None:
    group = registry.group("payments")
    breaker = group.get_or_create("pay-eu", open_for=7)
    assert group.get_or_create("pay-eu") is group.get_or_create("pay-eu", open_for=7) is breaker
    with pytest.raises(DuplicateBreakerError):
        group.get_or_create("pay-eu", open_for=8)


def test_name_outside_the_group_is_not_taken_for_one_of_it(registry: Registry) -> None:
    registry.get_or_create("search")
    with pytest.raises(DuplicateBreakerError):
        registry.group("payments").get_or_create("search")


def test_group_is_operated_with_one_word(registry: Registry) -> None:
    group = registry.group("payments")
    group.get_or_create("pay-eu")
    group.get_or_create("pay-us", tags={"region": "us"})
    registry.get_or_create("search")
    assert group.select().force_open("fraud") == ["pay-eu", "pay-us"]
    assert registry["search"].state is State.CLOSED


def test_tags_of_registry_group_and_breaker_add_up(clock: FakeClock) -> None:
    registry = Registry(Settings(tags={"env": "prod", "team": "core"}), clock=clock)
    group = registry.group("payments", tags={"team": "pay"})
    assert group.get_or_create("pay-eu", tags={"region": "eu"}).settings.tags == {
        "env": "prod",
        "team": "pay",
        "group": "payments",
        "region": "eu",
    }


def test_unknown_override_is_refused(registry: Registry) -> None:
    with pytest.raises(SettingsError, match="did you mean 'open_for'"):
        registry.group("payments", open_fr=5)
    with pytest.raises(SettingsError, match="did you mean 'open_for'"):
        registry.group("payments").get_or_create("pay-eu", open_fr=5)


def test_failures_of_one_breaker_are_not_another_s(registry: Registry) -> None:
    fail(registry.get_or_create("a"), 2)
    fail(registry.get_or_create("b"), 2)
    assert registry.health().healthy
