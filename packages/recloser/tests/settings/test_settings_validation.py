"""Every value that cannot be, and every combination that could never take effect, is refused by name."""

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from recloser import CircuitBreaker, CountWindow, Exponential, Fixed, Settings, SettingsError, TimeWindow, presets

NAN, INF = math.nan, math.inf


def shown(value: object) -> str:
    """A test id that is the same in every process: text without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


COUNTS = [0, -1, 1.0, 2.5, "3", True, False, NAN]
SECONDS = [10**400, -1, -0.001, NAN, INF, -INF, "3", True, [3]]
RATIOS = [0, -0.1, 1.0001, 50, NAN, INF, "0.5", True]
RULES = [3, "ValueError", b"x", int, [int], ["ValueError"], [None], object()]

INVALID: dict[str, list[Any]] = {
    "failure_threshold": COUNTS,
    "failure_rate_threshold": RATIOS,
    "slow_call_duration": [*SECONDS, 0],
    "slow_call_rate_threshold": RATIOS,
    "count_in_flight_slow_calls": [1, 0, "yes", None],
    "window": [10, None, "60s", Fixed(), CountWindow],
    "minimum_calls": [*COUNTS, None],
    "open_for": [*SECONDS, None],
    "recovery": ["exponential", None, 3],
    "half_open_max_calls": [*COUNTS, None],
    "success_threshold": [*COUNTS, None],
    "half_open_timeout": [*SECONDS, 0, None],
    "failure_on": [*RULES, None],
    "ignore": [*RULES, None],
    "unreachable": [*RULES, None],
    "failure_on_result": [3, "x", True],
    "classify": [3, "x", True],
    "max_retry_after": [*SECONDS, 0, None],
    "tags": [None, "a=b", [("a", "b")], {"a": 1}, {1: "a"}],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(field, value, id=f"{field}={shown(value)}") for field, values in INVALID.items() for value in values],
)
def test_impossible_value_is_refused(field: str, value: Any) -> None:
    """Never silently replaced."""
    with pytest.raises(SettingsError) as caught:
        Settings(**{field: value})
    assert caught.value.field == field
    assert caught.value.rule


def test_every_field_has_impossible_values() -> None:
    assert set(INVALID) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda value: CountWindow(value), "window.size"),
        (lambda value: TimeWindow(60, value), "window.buckets"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, None, 10_000_000])
def test_impossible_window_is_refused(make: Callable[[Any], object], field: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        make(value)
    assert caught.value.field == field


@pytest.mark.parametrize("duration", [*SECONDS, 0, None])
def test_impossible_window_duration_is_refused(duration: Any) -> None:
    with pytest.raises(SettingsError, match=r"window\.duration"):
        TimeWindow(duration)


def test_window_of_one_bucket_is_refused() -> None:
    """It would be emptied at a fixed boundary."""
    with pytest.raises(SettingsError, match="2 or more"):
        TimeWindow(60, 1)


@pytest.mark.parametrize(
    ("combination", "field", "says"),
    [
        ({"failure_threshold": None}, "failure_threshold", "nothing could open the circuit"),
        (
            {"failure_rate_threshold": 0.5, "minimum_calls": 11, "window": CountWindow(10)},
            "minimum_calls",
            "at most window.size=10",
        ),
        (
            {"slow_call_rate_threshold": 0.5, "slow_call_duration": 1, "minimum_calls": 101},
            "minimum_calls",
            "at most window.size=100",
        ),
        ({"slow_call_rate_threshold": 0.5}, "slow_call_rate_threshold", "needs slow_call_duration"),
        ({"count_in_flight_slow_calls": True}, "count_in_flight_slow_calls", "needs slow_call_rate_threshold"),
        ({"open_for": 60, "recovery": Exponential(max_open=30)}, "open_for", "at most recovery.max_open=30"),
    ],
)
def test_combination_that_could_never_take_effect_is_refused(
    combination: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings(**combination)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "combination",
    [
        {"failure_threshold": None, "failure_rate_threshold": 0.5},
        {"failure_threshold": None, "slow_call_rate_threshold": 1.0, "slow_call_duration": 0.5},
        {"failure_threshold": None, "classify": lambda exc, result: None},
        {"failure_rate_threshold": 0.5, "minimum_calls": 10, "window": CountWindow(10)},
        {"failure_rate_threshold": 0.5, "minimum_calls": 1_000, "window": TimeWindow(1)},
        {"minimum_calls": 1_000},
        {"slow_call_duration": 1},
        {"success_threshold": 10, "half_open_max_calls": 1},
        {"open_for": 0},
        {"open_for": 30, "recovery": Exponential(max_open=30)},
        {"failure_threshold": 1_000_000_000},
        {"failure_rate_threshold": 1, "slow_call_duration": 1, "slow_call_rate_threshold": 1},
        {"window": CountWindow(1_000_000)},
        {"window": TimeWindow(0.001, 1_000)},
        {"recovery": lambda attempt, rate, outcome: 3.0},
        {"failure_on": (), "ignore": [], "unreachable": frozenset()},
        {"failure_on": [ValueError, lambda exc: True]},
        {"tags": {"team": "search"}},
    ],
    ids=shown,
)
def test_combination_at_the_edge_is_taken(combination: dict[str, Any]) -> None:
    assert Settings(**combination)


def test_message_names_field_value_and_rule() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(open_for=-3)
    assert str(caught.value) == "open_for=-3: must be a finite number of seconds, 0 or more"


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        Settings(5)  # type: ignore[misc]


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=presets.PRESETS)
def test_presets_take_overrides_and_are_validated(preset: Callable[..., Settings]) -> None:
    assert preset(open_for=7).open_for == 7
    with pytest.raises(SettingsError, match="open_for"):
        preset(open_for=-7)
    with pytest.raises(SettingsError, match="did you mean 'open_for'"):
        preset(open_fr=7)


@pytest.mark.parametrize(
    ("name", "open_for", "failures", "successes", "probes"),
    [
        ("http_api", 30, 5, 2, 3),
        ("llm_service", 120, 3, 2, 2),
        ("database", 10, 10, 3, 5),
        ("notifications", 60, 10, 2, 3),
        ("cache", 20, 8, 3, 4),
    ],
)
def test_presets_are_what_the_documentation_says(
    name: str, open_for: float, failures: int, successes: int, probes: int
) -> None:
    preset = presets.PRESETS[name]()
    assert preset == getattr(presets, name)()
    assert (preset.open_for, preset.failure_threshold) == (open_for, failures)
    assert (preset.success_threshold, preset.half_open_max_calls) == (successes, probes)


def test_defaults_make_a_breaker() -> None:
    assert CircuitBreaker("db").settings == Settings()


@pytest.mark.parametrize("field", ["failure_on", "ignore", "unreachable"])
@pytest.mark.parametrize("rule", [KeyboardInterrupt, asyncio.CancelledError, BaseException])
def test_exception_that_is_always_ignored_is_refused_in_a_rule(field: str, rule: type[BaseException]) -> None:
    with pytest.raises(SettingsError, match="would never be asked"):
        Settings(**{field: rule})  # type: ignore[arg-type]
