"""Every alert has a runbook; what runbooks, rules and dashboards name exists, and their commands work."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import incident_manager.cli
import recloser.cli
from incident_manager.app import create_app
from incident_manager.settings import Settings
from recloser import Registry
from recloser.telemetry.prometheus import BreakerCollector
from testing.live import LiveApp
from testing.monitoring.files import DASHBOARDS, PROMETHEUS, ROOT, RULES, RUNBOOKS, alerts, load, panels, rules
from testing.servers import free_port
from testing.servers.programs import require
from testing.servers.prometheus import promtool_binary

PAGES = {page.stem: page.read_text() for page in sorted(RUNBOOKS.glob("*.md")) if page.stem != "index"}
INDEX = (RUNBOOKS / "index.md").read_text()
HOW_TO = (ROOT / "docs/how-to/alerts-and-dashboards.md").read_text()
NIGHT = (ROOT / "docs/how-to/operate.md").read_text()
SECTIONS = ["Meaning", "Impact", "What to look at", "Mitigate", "How it ends", "False positives"]
METRIC = re.compile(r"\b(?:recloser|llm_incident_manager)_[a-z0-9_]*[a-z0-9]\b")
TOKEN = "a-token-of-an-operator-0123456789abcdef-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PROGRAM = """
import sys, httpx
try:
    httpx.get("http://127.0.0.1:{port}/", timeout=5)
except httpx.ConnectError:
    print("ready", flush=True)
sys.stdin.read()
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert PAGES.keys() == alerts().keys()


@pytest.mark.parametrize("name", PAGES)
def test_runbook_says_everything_in_the_usual_order(name: str) -> None:
    page = PAGES[name]
    severity = alerts()[name]["labels"]["severity"]
    assert page.startswith(f"# {name}\n\nSeverity: {severity}. ")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert re.search(rf"^\| \[{name}\]\({name}\.md\) \| {severity} \| ", INDEX, re.MULTILINE), "it is not in the index"


def test_every_runbook_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    [listed] = [part["Runbooks"] for part in navigation if "Runbooks" in part]
    assert listed == ["runbooks/index.md", *({name: f"runbooks/{name}.md"} for name in alerts())]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """The service, with one destination and one LLM service that nobody calls."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    values: dict[str, Any] = {
        "data_dir": tmp_path_factory.mktemp("data"),
        "destinations": {"ops": {"type": "webhook", "url": nowhere, "allow_private": True}},
        "services": {"edge_agent": {"url": nowhere, "model": "small"}},
        "tokens": {"operator": {"roles": ["admin"], "token": TOKEN}},
    }
    with LiveApp(create_app(Settings(**values))) as service:
        yield service


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A program that is run by `recloser run`; the variables with which `recloser` finds it, and its one breaker."""
    port = free_port()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    running = subprocess.Popen(
        ["recloser", "run", "--", sys.executable, "-c", PROGRAM.format(port=port)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    yield {**environment, "BREAKER": f"http:127.0.0.1:{port}", "TOKEN": TOKEN}
    running.stdin.close()
    assert running.wait(timeout=30) == 0
    running.stdout.close()


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_runbook_work(name: str, service: LiveApp, program: dict[str, str]) -> None:
    commands = blocks(PAGES[name], "sh")
    assert commands
    for block in commands:
        environment = program if block.startswith("recloser") else {**program, "BREAKER": "notify:ops"}
        script = block.replace("localhost:8080", service.url.removeprefix("http://"))
        done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{block}{done.stdout}{done.stderr}"
        assert done.stdout, f"it shows nothing: {block}"


def test_commands_of_a_night_on_call_work_one_after_another(
    service: LiveApp,
    program: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"INCIDENT_MANAGER_URL": service.url, "INCIDENT_MANAGER_TOKEN": TOKEN}
    for name, value in {**told, **{name: program[name] for name in ("XDG_RUNTIME_DIR", "BREAKER")}}.items():
        monkeypatch.setenv(name, value)
    printed = dict[str, str]()
    for line in "".join(blocks(NIGHT, "sh")).splitlines():
        command, *words = map(os.path.expandvars, shlex.split(line))
        if command == "recloser":
            code = recloser.cli.main(words)
            printed[line] = capsys.readouterr().out
        else:
            done = CliRunner().invoke(incident_manager.cli.app, words, env={"COLUMNS": "200"})
            code, printed[line] = done.exit_code, done.output
        assert code == 0, f"{line}\n{printed[line]}"
        if opened := re.search(r"inc_\w+", printed[line]):
            monkeypatch.setenv("ID", opened[0])
    assert "forced_open" in printed["recloser list"], "it is not shown who holds the breaker"
    assert os.environ["ID"] not in printed["incident-manager incidents --open"]
    assert "notify:ops" in (tmp_path / "handover.md").read_text()


def test_runbooks_leave_the_breakers_as_they_were(service: LiveApp, program: dict[str, str]) -> None:
    """So that nobody who copies them forgets a breaker in the hands of an operator."""
    with service.client() as client:
        answer = client.get("/v1/circuit-breakers", headers=BEARER).raise_for_status()
        shown = answer.json()["circuit_breakers"]
    assert {one["control"] for one in shown} == {"automatic"}
    command = ["recloser", "show", program["BREAKER"]]
    assert "automatic" in subprocess.run(command, env=program, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def real(service: LiveApp) -> set[str]:
    """The names of all samples that a scrape of the service, and of a program with a breaker, can show."""
    shown = CollectorRegistry()
    registry = Registry()
    registry.get_or_create("db")
    BreakerCollector(registry, register=shown)
    service_page = httpx2.get(f"{service.url}/metrics", headers=BEARER, timeout=30).raise_for_status().text
    names = set[str]()
    for page in (service_page, generate_latest(shown).decode()):
        for family in text_string_to_metric_families(page):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names


def test_rules_name_metrics_that_exist(real: set[str]) -> None:
    named = {metric for rule in rules() for metric in METRIC.findall(rule["expr"])}
    assert named
    assert named <= real


def test_tests_of_the_rules_name_metrics_that_exist(real: set[str]) -> None:
    named = {metric for file in PROMETHEUS.glob("*.test.yml") for metric in METRIC.findall(file.read_text())}
    assert named
    assert named <= real


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboards_name_metrics_that_exist(file: Path, real: set[str]) -> None:
    document = load(file)
    queries = [target["expr"] for panel in panels(document) for target in panel["targets"]]
    queries += [json.dumps(variable.get("query")) for variable in document["templating"]["list"]]
    for prefix in ("recloser_", "llm_incident_manager_"):
        named = {metric for query in queries for metric in METRIC.findall(query.replace("${prefix}", prefix))}
        assert named
        assert named <= real


def test_pages_name_metrics_that_exist(real: set[str]) -> None:
    named = {metric for page in (*PAGES.values(), INDEX, HOW_TO) for metric in METRIC.findall(page)}
    assert named
    assert named - {"llm_incident_manager"} <= real


def test_queries_of_the_pages_are_valid(tmp_path: Path) -> None:
    require(promtool_binary)
    given = [block for page in (*PAGES.values(), HOW_TO) for block in blocks(page, "promql")]
    queries = [query for block in given for query in block.splitlines()]
    records = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))
    command = [promtool_binary(), "check", "rules", "rules.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    used = {
        name for query in queries for name in re.findall(r"\b(?:circuit_breaker|incident_manager):[a-z0-9_:]+", query)
    }
    assert used <= {rule["record"] for rule in rules() if "record" in rule}


def test_rules_have_no_file_of_their_own_that_is_not_loaded() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert sorted(config["rule_files"]) == [file.name for file in RULES]
