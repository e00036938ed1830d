"""Any key that is not known is refused, with the nearest one that is."""

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings
from packages.recloser.tests.config.conftest import Load

from recloser import ConfigError, load_config
from recloser.config.schema import KEYS

FIELDS = sorted({name.split(".")[0] for name in KEYS} | {"preset", "tags"})
PLACES = {
    (): ["defaults", "groups", "breakers"],
    ("defaults",): FIELDS,
    ("groups", "apis"): FIELDS,
    ("breakers", "payments"): [*FIELDS, "group"],
    ("defaults", "window"): ["size", "duration", "buckets"],
    ("breakers", "payments", "recovery"): ["strategy", "increment", "factor", "max_open", "jitter"],
}
LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz_")


@st.composite
def misspelt(draw: st.DrawFn, word: str) -> str:
    """The word with a letter too many, one too few, or a wrong one."""
    at = draw(st.integers(0, len(word) - 1))
    return word[:at] + draw(st.one_of(st.just(""), LETTERS)) + word[at + draw(st.integers(0, 1)) :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unknown")


def refusal(folder: Path, place: tuple[str, ...], key: str) -> ConfigError:
    """What is said of a file with this key at this place. JSON is YAML, too."""
    data: object = {key: None}
    for part in reversed(place):
        data = {part: data}
    path = folder / "breakers.yaml"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    return caught.value


@settings(deadline=None)  # files, on a machine that others use
@given(data=st.data())
def test_misspelt_key_is_refused_with_the_one_that_was_meant(folder: Path, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(list(PLACES)))
    meant = data.draw(st.sampled_from(PLACES[place]))
    key = data.draw(misspelt(meant))
    assume(key.strip() and key not in PLACES[place])
    error = refusal(folder, place, key)
    assert error.path == ".".join([*place, key])
    assert error.problem == f"is not a known key; did you mean {meant!r}?"


@settings(deadline=None)  # files, on a machine that others use
@given(data=st.data(), key=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=60))
def test_any_other_key_is_refused(folder: Path, data: st.DataObject, key: str) -> None:
    place = data.draw(st.sampled_from(list(PLACES)))
    assume(key.strip() and key not in PLACES[place])
    problem = refusal(folder, place, key).problem
    assert problem.startswith("is not a known key; ")
    assert any(known in problem for known in PLACES[place])


def test_rules_on_exceptions_are_not_for_files(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"breakers\.a\.failure_on: is not a known key"):
        load("breakers: {a: {failure_on: OSError}}")


def test_group_of_a_group_is_unknown(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"groups\.a\.group: is not a known key"):
        load("groups: {a: {group: b}, b: {}}")
