"""A configuration makes and changes breakers, all or none, and they keep what they know."""

import threading

import pytest
from packages.recloser.tests.config.conftest import Load
from packages.recloser.tests.support import boom, fail, rates, reach_probing, settings, succeed, trip

from recloser import (
    CircuitBreaker,
    Clock,
    ConfigError,
    CountWindow,
    DuplicateBreakerError,
    Fixed,
    Outcome,
    Registry,
    Settings,
    State,
    load_config,
    presets,
)
from recloser.testing import FakeClock


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock=clock)


def test_breakers_of_the_file_are_made(load: Load, registry: Registry) -> None:
    config = load("breakers: {payments: {preset: http_api}, search: {open_for: 2}}")
    assert config.apply(registry) == ["payments", "search"]
    assert registry["payments"].settings == presets.http_api()
    assert registry["search"].settings == Settings(open_for=2.0)


def test_only_what_changed_is_named(load: Load, registry: Registry) -> None:
    config = load("breakers: {payments: {preset: http_api}, search: {open_for: 2}}")
    config.apply(registry)
    assert config.apply(registry) == []
    assert load("breakers: {payments: {preset: http_api}, search: {open_for: 3}}").apply(registry) == ["search"]


def test_made_breakers_start_from_the_settings_of_the_registry(load: Load, clock: FakeClock) -> None:
    registry = Registry(Settings(ignore=(KeyError,), minimum_calls=4), clock=clock)
    load("breakers: {payments: {open_for: 2}}").apply(registry)
    assert registry["payments"].settings == Settings(ignore=(KeyError,), minimum_calls=4, open_for=2.0)


def test_window_state_and_counters_are_kept(load: Load, registry: Registry) -> None:
    breaker = registry.get_or_create("payments", rates(minimum_calls=4, failure_rate_threshold=0.75))
    succeed(breaker, 2)
    fail(breaker, 1)
    load("breakers: {payments: {failure_rate_threshold: 0.5}}").apply(registry)
    assert breaker.stats().window_calls == 3
    assert breaker.state is State.CLOSED
    with pytest.raises(Exception, match="down"):
        breaker.call(boom)
    assert breaker.state is State.OPEN, "the two calls before the change count: 2 of 4 failed"
    assert breaker.stats().calls[Outcome.FAILURE] == 2


def test_open_breaker_stays_open_for_the_time_it_began_with(load: Load, registry: Registry, clock: FakeClock) -> None:
    breaker = registry.get_or_create("payments", settings(open_for=10.0))
    trip(breaker)
    clock.advance(4.0)
    load("breakers: {payments: {open_for: 60}}").apply(registry)
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 6.0


def test_what_only_code_can_say_survives(load: Load, registry: Registry) -> None:
    def refused(result: object) -> bool:
        return result == "refused"

    def classify(exc: BaseException | None, result: object) -> None:
        return None

    code = Settings(
        failure_on=(OSError,),
        ignore=(KeyError,),
        unreachable=(TimeoutError,),
        failure_on_result=refused,
        classify=classify,
        recovery=Fixed(jitter=0.3),
        tags={"owner": "core"},
        half_open_timeout=7.0,
    )
    breaker = registry.get_or_create("payments", code)
    load("breakers: {payments: {open_for: 2, tags: {team: web}}}").apply(registry)
    assert breaker.settings == code.replace(open_for=2.0, tags={"owner": "core", "team": "web"})


def test_what_the_file_no_longer_says_is_again_as_in_code(load: Load, registry: Registry) -> None:
    code = Settings(open_for=11.0, recovery=lambda *_: 3.0, tags={"owner": "core"})
    breaker = registry.get_or_create("payments", code)
    load("breakers: {payments: {open_for: 2, recovery: {jitter: 0.5}, tags: {team: web}}}").apply(registry)
    assert breaker.settings == code.replace(
        open_for=2.0, recovery=Fixed(jitter=0.5), tags={"owner": "core", "team": "web"}
    )
    assert load("breakers: {payments: {}}").apply(registry) == ["payments"]
    assert breaker.settings == code


def test_breaker_that_the_file_no_longer_names_is_again_as_in_code(load: Load, registry: Registry) -> None:
    code = presets.database(ignore=(KeyError,))
    breaker = registry.get_or_create("payments", code)
    load("breakers: {payments: {open_for: 2}, search: {open_for: 3}}").apply(registry)
    assert load("breakers: {}").apply(registry) == ["payments", "search"]
    assert breaker.settings == code
    assert registry["search"].settings == registry.settings


def test_what_code_changes_later_survives_the_next_file(load: Load, registry: Registry) -> None:
    load("breakers: {payments: {open_for: 2}}").apply(registry)
    breaker = registry["payments"]
    breaker.reconfigure(breaker.settings.replace(ignore=(KeyError,), minimum_calls=3))
    load("breakers: {payments: {half_open_timeout: 4}}").apply(registry)
    assert breaker.settings == Settings(ignore=(KeyError,), minimum_calls=3, half_open_timeout=4.0)


def test_breakers_that_nothing_names_are_left_alone(load: Load, registry: Registry) -> None:
    other = registry.get_or_create("other", presets.cache())
    load("defaults: {open_for: 99}\nbreakers: {payments: {}}").apply(registry)
    assert other.settings == presets.cache()


def test_nothing_changes_when_one_breaker_cannot(load: Load, registry: Registry) -> None:
    """`search` has a window in code that is too small for the file's minimum of calls."""
    first = registry.get_or_create("payments", Settings())
    registry.get_or_create("search", rates(minimum_calls=2))
    config = load("breakers: {new: {}, payments: {open_for: 2}, search: {minimum_calls: 500}}")
    with pytest.raises(ConfigError) as caught:
        config.apply(registry)
    assert str(caught.value) == (
        "breakers.yaml: breakers.search.minimum_calls: 500: must be at most window.size=100, or no rate could ever be "
        "reached"
    )
    assert first.settings == Settings()
    assert "new" not in registry


def test_code_that_asks_again_finds_the_breaker(load: Load, registry: Registry) -> None:
    breaker = registry.get_or_create("payments", presets.http_api())
    load("breakers: {payments: {open_for: 2}}").apply(registry)
    assert registry.get_or_create("payments", presets.http_api()) is breaker
    assert registry.get_or_create("payments") is breaker


def test_group_can_be_operated_together(load: Load, registry: Registry) -> None:
    load("groups: {apis: {open_for: 2}}\nbreakers: {a: {group: apis}, b: {group: apis}, c: {}}").apply(registry)
    assert registry.group("apis").select().force_open("maintenance") == ["a", "b"]


def test_forgotten_breakers_are_not_held(load: Load, registry: Registry) -> None:
    import gc
    import weakref

    load("breakers: {payments: {open_for: 2}}").apply(registry)
    gone = weakref.ref(registry.remove("payments"))
    gc.collect()
    assert gone() is None


def test_configurations_applied_at_once_follow_one_after_the_other(registry: Registry) -> None:
    """While one is being applied (a listener stands still in it), another waits; none is half in force."""
    names = ["a", "b", "c"]
    for name in names:
        registry.get_or_create(name, rates(half_open_timeout=5.0))
    first, second = (
        load_config(None, {f"RECLOSER_{name.upper()}__OPEN_FOR": value for name in names}) for value in "12"
    )
    stands, goes_on = threading.Event(), threading.Event()
    bring_to_a_half_open_period_that_is_over(registry["b"], registry.clock)

    def stand_still(event: object) -> None:
        stands.set()
        assert goes_on.wait(30.0)

    registry["b"].add_listener(stand_still)
    one = threading.Thread(target=first.apply, args=(registry,))
    other = threading.Thread(target=second.apply, args=(registry,))
    one.start()
    assert stands.wait(30.0), "reconfiguring finds the half-open period over, and tells the listener"
    other.start()
    other.join(0.2)
    assert [registry[name].settings.open_for for name in names] == [1.0, 1.0, 10.0], "`c` is still to come"
    goes_on.set()
    one.join()
    other.join()
    assert [registry[name].settings.open_for for name in names] == [2.0, 2.0, 2.0]


def bring_to_a_half_open_period_that_is_over(breaker: CircuitBreaker, clock: Clock) -> None:
    assert isinstance(clock, FakeClock)
    reach_probing(breaker, clock)
    breaker.acquire()
    clock.advance(breaker.settings.half_open_timeout + 1.0)


def test_code_may_ask_for_a_breaker_that_the_file_has_made(load: Load, registry: Registry) -> None:
    load("breakers: {payments: {open_for: 2}}").apply(registry)
    breaker = registry["payments"]
    code = Settings(ignore=(KeyError,), open_for=9.0, minimum_calls=4)
    assert registry.get_or_create("payments", code) is breaker
    assert breaker.settings == code.replace(open_for=2.0), "the file wins over code, code over the library"
    assert registry.get_or_create("payments", code) is breaker
    with pytest.raises(DuplicateBreakerError):
        registry.get_or_create("payments", Settings(minimum_calls=3))


def test_breaker_that_is_made_after_the_file_was_applied_obeys_it(load: Load, registry: Registry) -> None:
    load("defaults: {success_threshold: 2}\nbreakers: {'host:a.example': {open_for: 2}}").apply(registry)
    keyed = registry.keyed("host", Settings(open_for=9.0))
    assert keyed.get("a.example").settings.open_for == 2.0
    assert keyed.get("b.example").settings.open_for == 9.0


def test_late_code_survives_the_next_file(load: Load, registry: Registry) -> None:
    load("breakers: {payments: {open_for: 2}}").apply(registry)
    code = Settings(ignore=(KeyError,), open_for=9.0)
    breaker = registry.get_or_create("payments", code)
    load("breakers: {payments: {minimum_calls: 3}}").apply(registry)
    assert breaker.settings == code.replace(minimum_calls=3)


def test_late_code_that_contradicts_the_file_is_refused(load: Load, registry: Registry) -> None:
    load("breakers: {payments: {failure_threshold: none, failure_rate_threshold: 0.5, minimum_calls: 50}}").apply(
        registry
    )
    with pytest.raises(ConfigError, match="minimum_calls"):
        registry.get_or_create("payments", Settings(window=CountWindow(20)))
