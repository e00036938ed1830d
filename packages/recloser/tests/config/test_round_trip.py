"""Any settings that a file can hold come back from it as they were."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from recloser import (
    Adaptive,
    CountWindow,
    Exponential,
    Fixed,
    Linear,
    Settings,
    SettingsError,
    TimeWindow,
    load_config,
)

COUNT = st.integers(1, 1_000)
RATIO = st.floats(0, 1, exclude_min=True)
SECONDS = st.floats(0, 1e6, exclude_min=True) | st.integers(1, 1_000_000)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1)
CAP = st.none() | st.floats(1e6, 1e9)  # never below `open_for`
JITTER = st.floats(0, 1)
FACTOR = st.floats(1, 1e6, exclude_min=True)
RECOVERY = st.one_of(
    st.builds(Fixed, max_open=CAP, jitter=JITTER),
    st.builds(Linear, max_open=CAP, jitter=JITTER, increment=st.none() | SECONDS),
    st.builds(Exponential, max_open=CAP, jitter=JITTER, factor=FACTOR),
    st.builds(Adaptive, max_open=CAP, jitter=JITTER, factor=FACTOR),
)
WINDOW = st.builds(CountWindow, st.integers(1, 1_000_000)) | st.builds(TimeWindow, SECONDS, st.integers(2, 1_000))


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    window = draw(WINDOW)
    values: dict[str, Any] = {
        "failure_threshold": draw(st.none() | COUNT),
        "failure_rate_threshold": draw(st.none() | RATIO),
        "slow_call_duration": draw(st.none() | SECONDS),
        "slow_call_rate_threshold": draw(st.none() | RATIO),
        "count_in_flight_slow_calls": draw(st.booleans()),
        "window": window,
        "minimum_calls": draw(st.integers(1, min(1_000, getattr(window, "size", 1_000)))),
        "open_for": draw(SECONDS | st.just(0)),
        "recovery": draw(RECOVERY),
        "half_open_max_calls": draw(COUNT),
        "success_threshold": draw(COUNT),
        "half_open_timeout": draw(SECONDS),
        "max_retry_after": draw(SECONDS),
        "tags": draw(st.dictionaries(TEXT.filter(lambda key: key != "group" and key.strip()), TEXT, max_size=3)),
    }
    while True:  # make it valid: leave out what is refused
        try:
            return Settings(**values)
        except SettingsError as error:
            del values[error.field]


def written(settings: Settings) -> dict[str, Any]:
    """Settings as a file has them: every key, nothing left to a default."""
    fields = {name: getattr(settings, name) for name in SIMPLE}
    window = settings.window
    recovery = {"strategy": type(settings.recovery).__name__.lower(), **vars(settings.recovery)}
    del recovery["random"]
    return {**fields, "window": vars(window), "recovery": recovery, "tags": dict(settings.tags)}


SIMPLE = [
    "failure_threshold",
    "failure_rate_threshold",
    "slow_call_duration",
    "slow_call_rate_threshold",
    "count_in_flight_slow_calls",
    "minimum_calls",
    "open_for",
    "half_open_max_calls",
    "success_threshold",
    "half_open_timeout",
    "max_retry_after",
]


def toml(data: dict[str, Any], *path: str) -> str:
    """A table and its tables as TOML. What is None is written `"none"`."""
    lines = [f"[{'.'.join(json.dumps(part, ensure_ascii=False) for part in path)}]"] if path else []
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    for key, value in data.items():
        if key not in tables:
            text = "none" if value is None else value
            lines.append(f"{json.dumps(key, ensure_ascii=False)} = {json.dumps(text, ensure_ascii=False)}")
    return "\n".join([*lines, *(toml(value, *path, key) for key, value in tables.items())])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round-trip")


@hypothesis_settings(deadline=None)  # files, on a machine that others use
@given(settings=any_settings(), name=TEXT.filter(lambda name: bool(name.strip())))
def test_settings_come_back_from_both_kinds_of_file(folder: Path, settings: Settings, name: str) -> None:
    data = {"breakers": {name: written(settings)}}
    (folder / "a.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    (folder / "a.toml").write_text(toml(data), encoding="utf-8")
    for file in ("a.yaml", "a.toml"):
        config = load_config(folder / file, {})
        assert config.names == [name]
        assert config.settings_for(name) == settings


@hypothesis_settings(deadline=None)  # files, on a machine that others use
@given(settings=any_settings())
def test_explained_values_are_those_in_force(folder: Path, settings: Settings) -> None:
    (folder / "b.toml").write_text(toml({"breakers": {"a": written(settings)}}), encoding="utf-8")
    rows = load_config(folder / "b.toml", {}).explain("a")
    told: dict[str, Any] = {}
    for row in rows:
        section, _, key = row.field.partition(".")
        told.setdefault(section, {})[key] = row.value
        assert row.source.startswith(f"{folder / 'b.toml'}: breakers.a.{section}")
    assert flatten(told) == written(settings)


def flatten(told: dict[str, Any]) -> dict[str, Any]:
    """`{"open_for": {"": 3}}` as `{"open_for": 3}`; sections stay."""
    simple = {key: value[""] for key, value in told.items() if list(value) == [""]}
    return {"tags": {}, **told, **simple}
