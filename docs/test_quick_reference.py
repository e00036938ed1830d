"""The tables of the quick reference are those of the code."""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import incident_manager.cli
import incident_manager.settings
import recloser
import recloser.cli
from recloser import presets, recovery
from recloser.operations import OPERATIONS
from recloser.telemetry import STATE_VALUES
from recloser.telemetry.prometheus import BreakerCollector

PAGE = (Path(__file__).parent / "reference/quick-reference.md").read_text()
PREFIX = "recloser_circuit_breaker_"


def rows(first_column: str) -> dict[str, list[str]]:
    """The table with this title of its first column: the other cells of each row, by the text of the first."""
    _, _, rest = PAGE.partition(f"\n| {first_column} |")
    assert rest, f"there is no table of {first_column}"
    table = rest.split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return {row[0].strip("` "): row[1:] for row in cells}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`(\w+)", cell)


def public(base: type) -> list[type]:
    """The classes below `base` that the library gives out."""
    found = [getattr(recloser, name) for name in recloser.__all__]
    return [one for one in found if isinstance(one, type) and issubclass(one, base) and one is not base]


def test_settings_and_their_defaults() -> None:
    default = recloser.Settings()
    fields = {field.name: repr(getattr(default, field.name)) for field in dataclasses.fields(recloser.Settings)}
    assert fields.pop("failure_on") == "(<class 'Exception'>,)"
    documented = {name: cells[0] for name, cells in rows("setting").items()}
    assert documented.pop("failure_on") == "(Exception,)"
    assert documented == fields
    assert list(rows("setting")) == [field.name for field in dataclasses.fields(recloser.Settings)]


def test_units_are_those_that_are_checked() -> None:
    """A number of seconds may be a fraction, a number of calls may not, and a ratio is at most 1."""
    valid = {"slow_call_duration": 1.0, "slow_call_rate_threshold": 0.5}
    for name, (_, unit, *_) in rows("setting").items():
        if unit in ("seconds", "ratio"):
            recloser.Settings(**{**valid, name: 0.5})
        if unit in ("calls", "ratio"):
            with pytest.raises(recloser.SettingsError):
                recloser.Settings(**{**valid, name: 1.5})


def test_presets_and_their_values() -> None:
    titles = quoted(PAGE.partition("| preset |")[2].splitlines()[0])
    documented = {name: [float(cell) for cell in cells] for name, cells in rows("preset").items()}
    assert documented == {
        name: [getattr(preset(), title) for title in titles] for name, preset in presets.PRESETS.items()
    }
    for preset in presets.PRESETS.values():
        assert preset().replace(**{title: getattr(recloser.Settings(), title) for title in titles}) == (
            recloser.Settings()
        ), "a preset gives more than the table says"


def test_recovery_strategies() -> None:
    opening = recloser.Opening(attempt=3, failure_rate=0.4, last_outcome=None)
    strategies = {name: cells for name, cells in rows("strategy").items() if name[0].isupper()}
    for call, (formula, cap) in strategies.items():
        strategy = getattr(recovery, call.split("(")[0])
        assert str(strategy().max_open).removesuffix(".0") == cap
        by_hand = eval(formula, {"b": 7, "n": 3, "r": 0.4, "factor": 2, "increment": 7})
        assert strategy().open_duration(7, opening) == pytest.approx(by_hand)
    assert [call.split("(")[0] for call in strategies] == ["Fixed", "Linear", "Exponential", "Adaptive"]


def test_outcomes() -> None:
    assert list(rows("outcome")) == [str(outcome) for outcome in recloser.Outcome]


def test_states_and_their_numbers() -> None:
    assert {state: float(cells[0]) for state, cells in rows("state").items()} == {
        str(state): value for state, value in STATE_VALUES.items()
    }


def test_controls_their_methods_and_commands() -> None:
    documented = rows("control")
    assert list(documented) == [str(control) for control in recloser.Control]
    commands = {command: control for control, cells in documented.items() for command in quoted(cells[1])}
    assert commands == {name: str(operation.control) for name, operation in OPERATIONS.items()}
    for control, cells in documented.items():
        for method in quoted(cells[0]):
            breaker = recloser.CircuitBreaker("documented")
            getattr(breaker, method)("tried")
            assert breaker.control == control


def test_events_and_what_they_have() -> None:
    common = {field.name for field in dataclasses.fields(recloser.Event)}
    assert {name: quoted(cells[0]) for name, cells in rows("event").items()} == {
        event.__name__: [field.name for field in dataclasses.fields(event) if field.name not in common]
        for event in public(recloser.Event)
    }


def test_reasons_of_changes() -> None:
    told = inspect.getdoc(recloser.StateChanged) or ""
    reasons = quoted(told.partition("reason:")[2].partition("detail:")[0])
    documented = [reason for first in rows("reason of `StateChanged`") for reason in re.findall(r"\w+", first)]
    assert sorted(documented) == sorted(reasons)


def test_errors_and_what_they_have() -> None:
    documented = {name: quoted(cells[1]) for name, cells in rows("error").items()}
    assert sorted(documented) == sorted(error.__name__ for error in public(recloser.RecloserError))
    for name, attributes in documented.items():
        assert attributes == list(inspect.signature(getattr(recloser, name).__init__).parameters)[1:]


def test_metrics_their_kinds_and_labels() -> None:
    settings = recloser.Settings(
        failure_rate_threshold=0.9, slow_call_duration=1, slow_call_rate_threshold=0.9, minimum_calls=1
    )
    registry = recloser.Registry(settings)
    breaker = registry.get_or_create("documented")
    breaker.call(int)
    breaker.force_open("so that calls are rejected")
    with pytest.raises(recloser.CircuitOpenError):
        breaker.call(int)
    hosts = registry.keyed("host", max_breakers=1)
    for host in ("a", "b"):
        hosts.get(host).call(int)
    real = {}
    for family in BreakerCollector(registry, register=None).collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        suffix = "_total" if family.type == "counter" else ""
        real[family.name.removeprefix(PREFIX) + suffix] = [family.type, sorted(labels)]
    assert {name: [cells[0], quoted(cells[1])] for name, cells in rows("metric").items()} == real


def test_commands_of_recloser(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recloser.cli.main(["--help"])
    commands = re.findall(r"^    (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(rows("`recloser`")) == sorted(commands)


def test_commands_of_the_incident_manager() -> None:
    group = typer.main.get_command(incident_manager.cli.app)
    assert sorted(rows("`incident-manager`")) == sorted(group.commands)  # type: ignore[attr-defined]


def test_settings_of_the_incident_manager_and_their_defaults() -> None:
    documented = {key: yaml.safe_load(cells[0]) for key, cells in rows("key").items()}
    assert documented == flat(incident_manager.settings.Settings().model_dump(mode="json"))


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {above + name: value}
    return found
