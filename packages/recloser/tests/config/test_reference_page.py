"""The reference page lists every key with the default it has."""

from pathlib import Path

import yaml
from packages.recloser.tests.config.conftest import Load

from recloser import presets
from recloser.config.schema import KEYS, PRESET_FIELDS

PAGE = (Path(__file__).parents[4] / "docs/reference/configuration.md").read_text()


def documented() -> dict[str, str]:
    """Key and default of each row of the table of keys."""
    section = PAGE.split("## Keys of an entry")[1].split("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[2].strip(" |") if len(row) > 2 else "" for row in rows}


def test_every_key_is_documented() -> None:
    assert list(documented()) == ["preset", "group", *KEYS, "tags.<tag>"]


def test_documented_defaults_are_those_of_the_library(load: Load) -> None:
    config = load(
        "breakers:\n  a: {}\n  b: {window: {duration: 1}, recovery: {strategy: linear}}\n"
        "  c: {recovery: {strategy: exponential}}\n  d: {recovery: {strategy: adaptive}}\n"
    )
    explained = {name: {row.field: row.value for row in config.explain(name)} for name in config.names}
    said = documented()
    assert said.pop("recovery.max_open") == "600; `fixed`: none"
    assert [explained[name]["recovery.max_open"] for name in "abcd"] == [None, 600.0, 600.0, 600.0]
    for field, default in said.items():
        if default:
            values = [
                fields[field] for name, fields in explained.items() if field in fields and (name, field) not in OWN
            ]
            expected = None if default == "none" else yaml.safe_load(default)
            assert values, field
            assert set(values) == {expected}, field


OWN = {(name, "recovery.strategy") for name in "bcd"}
"""What the entries above say themselves."""


def test_documented_presets_and_what_they_give_are_complete() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `preset`"))
    assert all(f"`{name}`" in row for name in presets.PRESETS)
    sentence = PAGE.split("A preset gives four settings")[1].split(".")[0]
    assert all(f"`{name}`" in sentence for name in PRESET_FIELDS)
    assert len(PRESET_FIELDS) == 4
