"""One breaker per key, bounded in number; what matters is never forgotten."""

import threading
from typing import Any

import pytest
from packages.recloser.tests.support import fail, reach_probing, settings, succeed, trip

from recloser import DuplicateBreakerError, Event, KeyedBreakers, Permit, Registry, SettingsError, State, StateChanged
from recloser.testing import FakeClock


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


@pytest.fixture
def hosts(registry: Registry) -> KeyedBreakers:
    """Room for three."""
    return registry.keyed("host", max_breakers=3)


def test_key_has_a_breaker_of_its_own(hosts: KeyedBreakers) -> None:
    trip(hosts["a"])
    assert hosts["a"].state is State.OPEN
    assert hosts["b"].state is State.CLOSED
    assert hosts["a"] is hosts.get("a")


def test_breaker_is_named_after_collection_and_key(registry: Registry, hosts: KeyedBreakers) -> None:
    assert hosts["a"].name == "host:a"
    assert registry["host:a"] is hosts["a"]


def test_query_of_a_key_is_part_of_it(hosts: KeyedBreakers) -> None:
    """What is a key is the caller's choice; no part is cut off."""
    assert hosts["/a?x=1"] is not hosts["/a?x=2"]


def test_least_recently_used_makes_room(registry: Registry, hosts: KeyedBreakers) -> None:
    for key in "abc":
        succeed(hosts[key])
    assert hosts["a"].state is State.CLOSED  # used again
    assert hosts["d"].state is State.CLOSED
    assert [key for key in "abcd" if key in hosts] == ["a", "c", "d"]
    assert len(hosts) == len(registry) == 3
    assert "host:b" not in registry


def test_open_breaker_is_never_evicted(hosts: KeyedBreakers) -> None:
    trip(hosts["a"])
    for number in range(20):
        succeed(hosts[number])
    assert "a" in hosts
    assert hosts["a"].state is State.OPEN
    assert len(hosts) == 3


def test_half_open_breaker_is_never_evicted(hosts: KeyedBreakers, clock: FakeClock) -> None:
    reach_probing(hosts["a"], clock)
    probe = hosts["a"].acquire()
    for number in range(20):
        succeed(hosts[number])
    assert "a" in hosts
    probe.ignore()
    for number in range(20):
        succeed(hosts[number])
    assert "a" in hosts


def test_breaker_with_a_call_in_flight_is_never_evicted(hosts: KeyedBreakers) -> None:
    permit = hosts["a"].acquire()
    for number in range(20):
        succeed(hosts[number])
    assert "a" in hosts
    permit.success()


@pytest.mark.parametrize("mode", ["force_open", "force_closed", "disable", "observe_only"])
def test_breaker_under_an_operator_s_control_is_never_evicted(hosts: KeyedBreakers, mode: str) -> None:
    getattr(hosts["a"], mode)("incident 7")
    for number in range(20):
        succeed(hosts[number])
    assert hosts["a"].control_reason == "incident 7"


def test_breaker_with_failures_goes_only_when_no_other_can(hosts: KeyedBreakers) -> None:
    fail(hosts["a"], 2)
    for number in range(20):
        succeed(hosts[number])
    assert hosts["a"].stats().consecutive_failures == 2
    for key in (18, 19):
        fail(hosts[key])
    assert hosts["new"].state is State.CLOSED
    assert len(hosts) == 3
    assert "a" not in hosts  # of those with failures, the least recently used


def test_bound_is_exceeded_rather_than_forgetting_an_open_one(hosts: KeyedBreakers) -> None:
    for number in range(10):
        trip(hosts[number])
    assert len(hosts) == 10
    for number in range(10):
        assert hosts[number].state is State.OPEN


def test_breaker_that_is_not_used_is_retired(registry: Registry, clock: FakeClock) -> None:
    hosts = registry.keyed("host", retire_after=60)
    succeed(hosts["a"])
    fail(hosts["b"])
    trip(hosts["c"])
    hosts["d"].force_open("incident 7")
    clock.advance(59)
    succeed(hosts["b"])
    clock.advance(1)
    succeed(hosts["new"])
    assert [key for key in "abcd" if key in hosts] == ["b", "d"]


def test_open_breaker_is_retired_only_after_its_open_time(registry: Registry, clock: FakeClock) -> None:
    hosts = registry.keyed("host", settings(open_for=100), retire_after=60)
    trip(hosts["a"])
    clock.advance(99)
    succeed(hosts["new"])
    assert "a" in hosts
    clock.advance(1)
    succeed(hosts["newer"])
    assert "a" not in hosts


def test_breaker_with_a_call_in_flight_is_not_retired(registry: Registry, clock: FakeClock) -> None:
    hosts = registry.keyed("host", retire_after=60)
    permits: list[Permit] = [hosts["a"].acquire()]
    reach_probing(hosts["b"], clock)
    permits.append(hosts["b"].acquire())
    clock.advance(59)
    hosts.get("new")
    clock.advance(1)
    hosts.get("newer")
    assert "a" in hosts
    assert "b" in hosts
    for permit in permits:
        permit.ignore()


def test_forgotten_key_starts_anew(hosts: KeyedBreakers) -> None:
    old = hosts["a"]
    for number in range(3):
        succeed(hosts[number])
    assert "a" not in hosts
    assert hosts["a"] is not old


def test_listener_may_ask_for_a_breaker(registry: Registry, clock: FakeClock) -> None:
    """No lock of the collection is held while a listener runs, whoever finds out that a probe has hung."""
    heard: list[Event] = []

    def asks(event: StateChanged) -> None:
        heard.append(event)
        succeed(hosts["asked by the listener"])

    hosts = registry.keyed("host", max_breakers=1, retire_after=30)
    reach_probing(hosts["a"], clock)
    probe = hosts["a"].acquire()
    registry.add_listener(asks, (StateChanged,))
    clock.advance(60)
    succeed(hosts["b"])
    assert hosts["a"].state is State.OPEN
    assert len(heard) == 1
    assert probe.settled


def test_recovery_strategy_may_ask_for_a_breaker(registry: Registry, clock: FakeClock) -> None:
    def asks(*_: object) -> float:
        succeed(hosts["asked by the strategy"])
        return 5.0

    hosts = registry.keyed("host", settings(recovery=asks), max_breakers=1)
    reach_probing(hosts["a"], clock)
    probe = hosts["a"].acquire()
    clock.advance(60)
    succeed(hosts["b"])
    assert hosts["a"].retry_after == 5
    assert probe.settled


def test_collection_is_found_again(registry: Registry) -> None:
    hosts = registry.keyed("host", settings(open_for=5), max_breakers=7)
    assert registry.keyed("host") is hosts
    assert registry.keyed("host", settings(open_for=5), max_breakers=7) is hosts
    assert hosts["a"].settings.open_for == 5


@pytest.mark.parametrize("other", [{"settings": settings(open_for=6)}, {"max_breakers": 8}, {"retire_after": 1}])
def test_collection_with_other_settings_is_refused(registry: Registry, other: dict[str, Any]) -> None:
    registry.keyed("host", settings(open_for=5), max_breakers=7)
    with pytest.raises(DuplicateBreakerError):
        registry.keyed("host", **other)


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_breakers": 0},
        {"max_breakers": 1.5},
        {"max_breakers": True},
        {"max_breakers": None},
        {"retire_after": 0},
        {"retire_after": -1},
        {"retire_after": float("nan")},
        {"retire_after": "60"},
    ],
    ids=str,
)
def test_impossible_bound_is_refused(registry: Registry, bounds: dict[str, Any]) -> None:
    [(field, _)] = bounds.items()
    with pytest.raises(SettingsError, match=f"{field}="):
        registry.keyed("host", **bounds)
    assert registry.keyed("host").max_breakers == 1_000


def test_threads_share_the_breaker_of_a_key(registry: Registry) -> None:
    hosts = registry.keyed("host", max_breakers=2)
    barrier = threading.Barrier(8)
    seen: list[int] = []

    def work() -> None:
        barrier.wait()
        for number in range(200):
            breaker = hosts[number % 2]
            succeed(breaker)
            seen.append(id(breaker))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 2
    assert sum(hosts[key].stats().successful for key in (0, 1)) == 1_600
