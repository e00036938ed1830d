"""The alerting rules and queries of the how-to page, run by promtool on made-up time."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from recloser import Registry
from recloser.telemetry.multiprocess import Workers
from recloser.telemetry.prometheus import BreakerCollector

PAGE = (Path(__file__).parents[4] / "docs/how-to/prometheus.md").read_text()
BREAKER = "recloser_circuit_breaker_"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def firing(name: str, severity: str, summary: str, **labels: str) -> dict[str, Any]:
    return {
        "exp_labels": {"name": name, "severity": severity, **labels},
        "exp_annotations": {"summary": summary},
    }


NOT_CLOSED = firing("db", "critical", "db has been failing for 5 minutes")
FLAPPING = firing(
    "db", "warning", "db has opened more than 5 times in half an hour", from_state="closed", to_state="open"
)
HELD = firing(
    "db",
    "warning",
    "db is under control disabled since 4 hours: is that still meant?",
    control="disabled",
)


@pytest.mark.parametrize(
    ("alert", "series", "values", "quiet_at", "fires_at", "expected"),
    [
        # Open, with a look at half-open every third minute.
        ("CircuitNotClosed", 'state{name="db"}', "0 1 1 2 1 1 2 1 1 2", "5m", "6m", NOT_CLOSED),
        (
            "CircuitFlapping",
            'state_transitions_total{name="db", from_state="closed", to_state="open"}',
            "0+1x40",
            "5m",
            "20m",
            FLAPPING,
        ),
        ("CircuitHeldByOperator", 'control{name="db", control="disabled"}', "1x300", "239m", "241m", HELD),
    ],
)
def test_alert_of_the_page_fires_when_it_should(
    tmp_path: Path,
    promtool: str,
    alert: str,
    series: str,
    values: str,
    quiet_at: str,
    fires_at: str,
    expected: dict[str, Any],
) -> None:
    [rules] = blocks("yaml")
    (tmp_path / "rules.yml").write_text(rules)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": BREAKER + series, "values": values}],
                "alert_rule_test": [
                    {"eval_time": quiet_at, "alertname": alert, "exp_alerts": []},
                    {"eval_time": fires_at, "alertname": alert, "exp_alerts": [expected]},
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_queries_of_the_page_are_valid(tmp_path: Path, promtool: str) -> None:
    queries = [query for block in blocks("promql") for query in re.split(r"\n\n", block)]
    assert len(queries) >= 5
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_on_the_page_and_every_metric_of_the_page_exists(tmp_path: Path) -> None:
    workers = Workers(Registry(), tmp_path)
    shown = CollectorRegistry()
    BreakerCollector(workers, register=shown)
    families = parse(generate_latest(shown).decode())
    exist = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    workers.close()
    rows = [
        line.split("|")[1]
        for line in PAGE.splitlines()
        if re.match(r"\| `[a-z_]+`[,` a-z_]*\| (gauge|counter|hist)", line)
    ]
    documented = {BREAKER + name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert documented == exist
    used = set(re.findall(rf"{BREAKER}[a-z_]+", PAGE)) - {BREAKER, BREAKER + "rejections"}
    assert {re.sub("_(bucket|count)$", "", name) for name in used} <= exist
