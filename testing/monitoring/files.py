"""The files that users copy: rules, configurations, dashboards, runbooks."""

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
RUNBOOKS = ROOT / "docs/runbooks"
RULES = sorted(PROMETHEUS.glob("*.rules.yml"))
DASHBOARDS = sorted(GRAFANA.glob("*.json"))


def rules() -> list[dict[str, Any]]:
    """Every rule, recording and alerting."""
    documents = [yaml.safe_load(file.read_text()) for file in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules, by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def load(file: Path) -> dict[str, Any]:
    """A dashboard."""
    document: dict[str, Any] = json.loads(file.read_text())
    return document
