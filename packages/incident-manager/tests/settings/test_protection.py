import pytest

from incident_manager.protection import DATABASE, UnknownBreakerNameError, breaker_table, build_registry, notify_breaker
from recloser import CountWindow, SettingsError, TimeWindow, presets
from recloser.testing import FakeClock


def test_every_destination_and_the_database_have_a_breaker() -> None:
    registry = build_registry(breaker_table(["ops", "pager"]), FakeClock())
    assert [breaker.name for breaker in registry] == ["database", "notify:ops", "notify:pager"]


def test_overrides_change_only_what_they_name() -> None:
    table = breaker_table(["ops"], {"notify:ops": {"open_for": 5, "failure_threshold": 3}})
    plain = breaker_table(["ops"])
    assert table["notify:ops"] == plain["notify:ops"].replace(open_for=5, failure_threshold=3)
    assert table[DATABASE] == plain[DATABASE]


def test_preset_brings_its_numbers_and_keeps_what_is_a_failure() -> None:
    chosen = breaker_table(["ops"], {"notify:ops": {"preset": "llm_service", "open_for": 7}})["notify:ops"]
    preset = presets.llm_service()
    assert chosen.failure_threshold == preset.failure_threshold
    assert chosen.open_for == 7
    assert chosen.classify is breaker_table(["ops"])["notify:ops"].classify


@pytest.mark.parametrize(("given", "window"), [({"calls": 50}, CountWindow(50)), ({"seconds": 30}, TimeWindow(30))])
def test_window_is_of_calls_or_seconds(given: dict[str, int], window: object) -> None:
    changes = {"window": given, "failure_rate_threshold": 0.5}
    assert breaker_table([], {DATABASE: changes})[DATABASE].window == window


def test_unknown_breaker_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownBreakerNameError, match="did you mean 'database'"):
        breaker_table([], {"databse": {}})


def test_unreachable_combination_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing could open the circuit"):
        breaker_table([], {DATABASE: {"failure_threshold": None}})


def test_one_success_closes_the_breaker_of_a_destination() -> None:
    assert breaker_table(["ops"])[notify_breaker("ops")].success_threshold == 1
