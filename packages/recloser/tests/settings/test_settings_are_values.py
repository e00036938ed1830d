"""Settings are values: frozen, equal by content, and they survive replacing, copying and pickling."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from recloser import Adaptive, CountWindow, Exponential, Linear, Settings, SettingsError, TimeWindow, presets

SOME = [
    Settings(),
    Settings(failure_on=(ConnectionError, TimeoutError), ignore=KeyError, tags={"team": "search"}),
    Settings(failure_rate_threshold=0.5, window=TimeWindow(30, 6), recovery=Exponential(jitter=0.2)),
    Settings(slow_call_duration=1, slow_call_rate_threshold=0.5, count_in_flight_slow_calls=True),
    Settings(recovery=Linear(increment=3)),
    Settings(recovery=Adaptive(), window=CountWindow(7)),
    presets.database(),
]


def round_trip(settings: Settings) -> Settings:
    copied: Settings = pickle.loads(pickle.dumps(settings))
    return copied


@pytest.mark.parametrize("settings", SOME)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, round_trip])
def test_copies_are_equal(settings: Settings, way: Callable[[Settings], Settings]) -> None:
    same = way(settings)
    assert same == settings
    assert hash(same) == hash(settings)
    assert same.replace(open_for=77) == settings.replace(open_for=77)


@pytest.mark.parametrize("settings", SOME)
def test_they_cannot_be_changed(settings: Settings) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.open_for = 3  # type: ignore[misc]


def test_replace_changes_one_and_keeps_the_rest() -> None:
    settings = Settings(failure_threshold=3, tags={"team": "search"}, ignore=KeyError)
    changed = settings.replace(open_for=1)
    assert changed.open_for == 1
    assert changed.replace(open_for=settings.open_for) == settings
    assert settings.open_for == 30


def test_replace_validates_anew() -> None:
    with pytest.raises(SettingsError, match="open_for"):
        Settings().replace(open_for=-1)
    with pytest.raises(SettingsError, match=r"at most window\.size"):
        Settings(failure_rate_threshold=0.5).replace(window=CountWindow(5))


def test_replace_refuses_what_is_no_setting_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="is not a setting; did you mean 'failure_threshold'"):
        Settings().replace(failure_treshold=3)
    with pytest.raises(SettingsError, match=r"is not a setting$"):
        Settings().replace(zzz=3)


def test_one_rule_and_a_list_of_it_are_the_same() -> None:
    assert Settings(ignore=KeyError) == Settings(ignore=[KeyError]) == Settings(ignore=(KeyError,))


def test_tags_of_the_caller_are_copied() -> None:
    tags = {"team": "search"}
    settings = Settings(tags=tags)
    tags["team"] = "other"
    assert settings.tags == {"team": "search"}


@pytest.mark.parametrize(
    "change",
    [{"open_for": 31.0}, {"failure_threshold": None, "failure_rate_threshold": 0.5}, {"tags": {"a": "b"}},
     {"recovery": Linear()}, {"window": CountWindow(99)}],
)  # fmt: skip
def test_other_values_are_unequal(change: dict[str, Any]) -> None:
    assert Settings(**change) != Settings()
