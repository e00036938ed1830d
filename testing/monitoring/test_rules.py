"""The rules and configurations are taken by Prometheus' own tools, and each alert is tried in each direction."""

import subprocess
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from testing.monitoring.files import PROMETHEUS, RULES, alerts
from testing.servers.alertmanager import amtool_binary
from testing.servers.programs import require
from testing.servers.prometheus import promtool_binary

TESTS = sorted(PROMETHEUS.glob("*.test.yml"))


def run(program: Path, *arguments: str | Path) -> None:
    """Run a tool in the folder of the rules; it has to be content."""
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def promtool() -> Path:
    require(promtool_binary)
    return promtool_binary()


def test_promtool_takes_the_rules_and_the_configuration(promtool: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    run(promtool, "check", "config", "prometheus.yml")


def test_amtool_takes_the_configuration() -> None:
    require(amtool_binary)
    run(amtool_binary(), "check-config", "alertmanager.yml")


@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("incident-manager", ["alertname=CircuitBreakerOpen", "job=shop"]),
        ("incident-manager", ["alertname=IncidentManagerDegraded", "job=incident-manager"]),
        ("nobody", ["alertname=CircuitBreakerOpen", "job=incident-manager"]),
        ("people", ["alertname=IncidentManagerAbsent", "job=incident-manager"]),
        ("people", ["alertname=IncidentManagerRefusesAlerts", "job=incident-manager"]),
        ("people", ["alertname=IncidentManagerJournalInUse", "job=incident-manager"]),
        ("people", ["alertname=IncidentManagerNotificationsDelayed", "job=incident-manager"]),
        ("people", ["alertname=IncidentManagerNotificationsFailing", "job=incident-manager"]),
    ],
)
def test_alerts_are_routed(receiver: str, labels: list[str]) -> None:
    require(amtool_binary)
    run(
        amtool_binary(),
        "config",
        "routes",
        "test",
        "--config.file=alertmanager.yml",
        f"--verify.receivers={receiver}",
        *labels,
    )


def test_rules_pass_their_tests(promtool: Path) -> None:
    run(promtool, "test", "rules", *TESTS)


def test_every_alert_is_tried_before_it_fires_while_it_fires_and_when_it_has_ended() -> None:
    tried: set[str] = set()
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            wanted: dict[str, list[bool]] = {}
            for case in test["alert_rule_test"]:
                wanted.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
            tried |= {
                alert for alert, fires in wanted.items() if [key for key, _ in groupby(fires)] == [False, True, False]
            }
    assert tried == alerts().keys()


@pytest.mark.parametrize(("name", "rule"), alerts().items())
def test_alert_says_how_bad_it_is_what_happened_and_what_to_do(name: str, rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/{name}/")
