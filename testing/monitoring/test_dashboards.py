"""The dashboards are those of the code, as Grafana's own schema wants them."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from testing.monitoring.files import DASHBOARDS, GRAFANA, load, panels


def schema(name: str) -> Any:
    return jsonschema_rs.validator_for(json.loads((GRAFANA / f"schema/{name}.json").read_text()))


def complaints(name: str, value: Any) -> list[str]:
    return [f"{error.instance_path}: {error.message}" for error in schema(name).iter_errors(value)]


# The newer form cannot be imported or provisioned as a file by the Grafanas that most people run.
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_dashboards_are_up_to_date() -> None:
    """If not: make dashboards."""
    from deploy.grafana.source.__main__ import written

    assert {file: file.read_text() for file in DASHBOARDS} == written()


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboard_is_as_grafanas_schema_wants_it(file: Path) -> None:
    document = load(file)
    assert complaints("dashboard", document) == []
    for panel in panels(document):
        kind = panel["type"].replace("-", "")
        assert complaints(f"{kind}.options", panel["options"]) == [], panel["title"]
        own = panel["fieldConfig"]["defaults"].get("custom")
        assert own is None or complaints(f"{kind}.field", own) == [], panel["title"]


@pytest.mark.parametrize("name", ["dashboard", "timeseries.options", "timeseries.field", "stat.options"])
def test_schema_refuses_what_it_does_not_know(name: str) -> None:
    assert complaints(name, {"schemaVersion": 1, "nonsense": True}) != []


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_have_a_place_of_their_own_and_ask_the_chosen_prometheus(file: Path) -> None:
    taken: set[tuple[int, int]] = set()
    titles = [panel["title"] for panel in panels(load(file))]
    assert len(titles) == len(set(titles))
    for panel in load(file)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another one"
        taken |= cells
        if panel["type"] != "row":
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_dashboards_are_told_apart_and_provisioned() -> None:
    assert len({load(file)["uid"] for file in DASHBOARDS}) == len(DASHBOARDS) == 3
    provisioning = GRAFANA / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards/recloser.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
