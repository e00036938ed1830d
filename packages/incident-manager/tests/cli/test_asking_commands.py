"""The commands that ask a running service: what they show, what they change, and how they end."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from commands import wide_output
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually
from typer.testing import CliRunner, Result

from incident_manager import cli_client, cli_parts
from incident_manager.access.roles import Role
from incident_manager.access.tokens import new_token
from incident_manager.app import create_app
from incident_manager.cli import app
from incident_manager.settings import Settings
from incident_manager.settings.load import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE

Run = Callable[..., Result]
HOSTILE = "boom \x1b[31m[red]\x07"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A running service that tells a receiver of everything."""
    with Receiver() as receiver:
        destination: Any = {"type": "webhook", "url": receiver.url, "allow_private": True}
        settings = Settings(data_dir=tmp_path_factory.mktemp("data"), destinations={"ops": destination})
        with LiveApp(create_app(settings)) as live:
            yield live


@pytest.fixture
def client(live: LiveApp) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


@pytest.fixture
def run(live: LiveApp, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, with wide output, against the running service."""
    for variable in (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(URL_VARIABLE, live.url)

    def run(*words: str) -> Result:
        with wide_output():
            return CliRunner().invoke(app, words)

    return run


@pytest.fixture
def incident(client: httpx2.Client) -> Any:
    """A new open incident that the receiver has been told of."""
    alert = {"title": "Checkout is slow", "severity": "critical", "source": "cli", "labels": {"team": "payments"}}
    [accepted] = client.post("/v1/alerts", json=alert).raise_for_status().json()["alerts"]
    found = eventually(
        lambda: client.get(f"/v1/incidents/{accepted['incident_id']}").json(),
        lambda found: all(one["status"] == "delivered" for one in found["notifications"]),
    )
    yield found
    client.post(f"/v1/incidents/{found['id']}/resolve")


def lines(done: Result) -> list[str]:
    """What was printed, without the frames of tables."""
    assert done.exit_code == 0, done.output
    return [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]


def test_incidents_are_a_table_for_people(run: Run, incident: Any) -> None:
    [line] = [line for line in lines(run("incidents", "--open")) if incident["id"] in line]
    assert line.startswith(f"{incident['id']} P0 Checkout is slow detected cli 1 ")


def test_title_can_be_read_on_a_narrow_terminal(run: Run, incident: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_parts.out, "width", 80)
    [line] = [line for line in lines(CliRunner().invoke(app, ["incidents", "--open"])) if incident["id"] in line]
    assert line == f"{incident['id']} P0 Checkout is slow"


def test_incidents_are_json_for_programs(run: Run, incident: Any) -> None:
    found = json.loads(run("incidents", "--json", "--limit", "1").stdout)
    assert [one["id"] for one in found] == [incident["id"]]


@pytest.mark.parametrize(
    "words",
    [
        ["--severity", "critical", "--label", "team=payments"],
        ["--source", "cli", "--unacknowledged", "--since", "1h"],
        ["--status", "detected", "--text", "CHECKOUT", "--order", "updated"],
    ],
)
def test_filters_that_match(run: Run, incident: Any, words: list[str]) -> None:
    assert incident["id"] in [one["id"] for one in json.loads(run("incidents", "--json", *words).stdout)]


@pytest.mark.parametrize(
    "words",
    [
        ["--severity", "P4"],
        ["--label", "team=search"],
        ["--acknowledged"],
        ["--assignee", "nobody"],
        ["--until", "2020-01-01T00:00:00Z"],
        ["--status", "closed"],
    ],
)
def test_filters_that_do_not(run: Run, incident: Any, words: list[str]) -> None:
    assert incident["id"] not in [one["id"] for one in json.loads(run("incidents", "--json", *words).stdout)]


def test_more_than_one_page_is_fetched(run: Run, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_client, "PAGE", 2)
    alerts = [{"title": f"t{number}", "source": "pages", "dedup_key": f"{number}"} for number in range(6)]
    client.post("/v1/alerts", json={"alerts": alerts}).raise_for_status()
    found = json.loads(run("incidents", "--source", "pages", "--limit", "5", "--json").stdout)
    assert len({one["id"] for one in found}) == 5


def test_show_tells_all_about_one(run: Run, incident: Any) -> None:
    shown = lines(run("show", incident["id"]))
    assert "title Checkout is slow" in shown
    assert "labels team=payments" in shown
    assert any(line.startswith("ops triggered delivered 1 ") for line in shown)
    assert json.loads(run("show", incident["id"], "--json").stdout)["timeline"] == incident["timeline"]


def test_what_a_sender_wrote_is_no_command_to_the_terminal(run: Run, client: httpx2.Client) -> None:
    [accepted] = client.post("/v1/alerts", json={"title": HOSTILE, "source": "evil"}).json()["alerts"]
    for words in (
        ["incidents", "--source", "evil"],
        ["show", accepted["incident_id"]],
        ["ack", accepted["incident_id"]],
    ):
        done = run(*words)
        assert done.exit_code == 0, done.output
        assert "boom  [31m[red]" in done.stdout
        assert not {"\x1b", "\x07"} & set(done.stdout)


def test_ack_and_resolve_change_several_at_once(run: Run, client: httpx2.Client) -> None:
    alerts = [{"title": "t", "source": "many", "dedup_key": f"{number}"} for number in range(2)]
    ids = [one["incident_id"] for one in client.post("/v1/alerts", json={"alerts": alerts}).json()["alerts"]]
    acknowledged = run("ack", *ids, "--by", "ana")
    assert acknowledged.stdout.splitlines() == [f"{each}: acknowledged by ana: t" for each in ids]
    resolved = run("resolve", *ids, "--by", "ana", "--resolution", "restarted", "--json")
    assert [(one["status"], one["resolution"]) for one in json.loads(resolved.stdout)] == [
        ("resolved", "restarted")
    ] * 2


def test_deliveries_of_an_incident_and_what_waits(run: Run, incident: Any) -> None:
    assert any(line.startswith("ops triggered delivered 1 ") for line in lines(run("deliveries", incident["id"])))
    assert json.loads(run("deliveries", incident["id"], "--json").stdout) == incident["notifications"]
    assert set(json.loads(run("deliveries", "--json").stdout)) == {"waiting_notifications", "delivery_problems"}


def test_deliveries_that_wait_are_counted_by_destination(run: Run, client: httpx2.Client) -> None:
    def until_nothing_waits() -> None:
        eventually(lambda: run("deliveries").stdout, lambda text: text == "No notification waits.\n")

    until_nothing_waits()  # of the tests before
    client.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "maintenance"}).raise_for_status()
    try:
        client.post("/v1/alerts", json={"title": "waits", "source": "waits"}).raise_for_status()
        assert "ops 1" in lines(run("deliveries"))
    finally:
        client.post("/v1/circuit-breakers/notify:ops/reset").raise_for_status()
    until_nothing_waits()


def test_breakers_are_listed_and_one_is_shown_with_its_history(run: Run, client: httpx2.Client) -> None:
    assert any(line.startswith("database closed automatic ") for line in lines(run("breakers")))
    client.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "a test"}).raise_for_status()
    client.post("/v1/circuit-breakers/notify:ops/reset", json={"reason": "all is well"}).raise_for_status()
    shown = eventually(
        lambda: json.loads(run("breakers", "notify:ops", "--json").stdout),
        lambda found: [one["detail"] for one in found["history"][:2]] == ["all is well", "a test"],
    )
    assert [one["to_state"] for one in shown["history"][:2]] == ["closed", "open"]
    assert "state closed" in lines(run("breakers", "notify:ops"))
    assert {one["name"] for one in json.loads(run("breakers", "--json").stdout)} == {"database", "notify:ops"}


def test_kpis_are_shown(run: Run) -> None:
    shown = lines(run("kpis", "--window", "1h"))
    assert any(line.startswith("database ") and "100.00%" in line for line in shown)
    assert any(line.startswith("The history begins ") for line in shown)
    assert json.loads(run("kpis", "--json").stdout)["window"] == 86400.0


# How they end


def test_service_that_does_not_answer_is_code_3(run: Run) -> None:
    done = run("incidents", "--url", "http://127.0.0.1:1")
    assert done.exit_code == 3
    assert "http://127.0.0.1:1 does not answer: " in done.stderr


def test_database_that_is_away_is_code_3(run: Run, client: httpx2.Client) -> None:
    client.post("/v1/circuit-breakers/database/open", json={"reason": "test"}).raise_for_status()
    try:
        done = run("incidents")
    finally:
        client.post("/v1/circuit-breakers/database/reset").raise_for_status()
    assert done.exit_code == 3
    assert "try again in" in done.stderr


def test_what_is_not_there_is_code_5(run: Run) -> None:
    for words, message in (
        (["show", "inc_1"], "no incident has the id 'inc_1'"),
        (["ack", "../health"], "has no such thing"),
        (["breakers", "databse"], "did you mean 'database'"),
    ):
        done = run(*words)
        assert done.exit_code == 5, words
        assert message in done.stderr


def test_conflict_is_code_6_and_says_what_to_do(run: Run, incident: Any) -> None:
    done = run("ack", incident["id"], "--version", "99")
    assert done.exit_code == 6
    assert "incident-manager show" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["incidents", "--url", "ftp://x"], "--url must be an address such as"),
        (["incidents", "--url", "http://ana:secret@localhost"], "--url must hold no user or password"),
        (["incidents", "--open", "--status", "closed"], "exclude each other"),
        (["incidents", "--since", "yesterday"], "--since must be such as"),
        (["incidents", "--severity", "awful"], "awful"),
        (["incidents", "--label", "team"], "must be name=value"),
        (["incidents", "--token-file", "nowhere"], "--token-file nowhere: No such file"),
        (["kpis", "--window", "1s"], "--window must be 1 minute to 90 days"),
        (["ack", "inc_1", "inc_2", "--version", "1"], "--version goes with one incident"),
        (["ack"], "Missing argument"),
        (["incidents", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_usage_is_code_2(run: Run, words: list[str], message: str) -> None:
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert "secret" not in done.stderr


def test_address_with_a_path_too_much_is_told_from_a_missing_incident(run: Run, live: LiveApp) -> None:
    done = run("incidents", "--url", f"{live.url}/docs")
    assert done.exit_code == 5
    assert "is --url right?" in done.stderr


# Tokens


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a service that asks for tokens, and a token that may read."""
    token, text = new_token("reader", frozenset([Role.READ]), datetime.now(UTC), None)
    tokens: Any = {"reader": {"hash": f"sha256:{token.digest}", "roles": ["read"]}}
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), tokens=tokens)
    with LiveApp(create_app(settings)) as live:
        yield live.url, text


def test_token_comes_from_the_environment_or_a_file(
    run: Run, guarded: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, text = guarded
    (tmp_path / "token").write_text(f"{text}\n")
    assert run("incidents", "--url", url, "--token-file", str(tmp_path / "token")).exit_code == 0
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    assert run("breakers", "--url", url).exit_code == 0


def test_missing_wrong_and_weak_tokens_are_code_4(
    run: Run, guarded: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, text = guarded
    missing = run("incidents", "--url", url)
    assert (missing.exit_code, TOKEN_VARIABLE in missing.stderr) == (4, True)
    monkeypatch.setenv(TOKEN_VARIABLE, "im_wrong")
    wrong = run("incidents", "--url", url)
    assert wrong.exit_code == 4
    assert "im_wrong" not in wrong.output
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    weak = run("ack", "inc_" + "0" * 32, "--url", url)
    assert weak.exit_code == 4
    assert "the role respond is needed" in weak.stderr
    assert text not in weak.output


def test_token_that_is_no_word_is_code_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "two words")
    done = run("incidents")
    assert done.exit_code == 2
    assert "two words" not in done.output


def test_token_over_plain_http_to_another_machine_is_warned_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "im_some")
    assert "unencrypted" in run("incidents", "--url", "http://unknown.invalid:1").stderr
    assert "unencrypted" not in run("incidents", "--url", "http://127.0.0.1:1").stderr


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_commands_and_options(shell: str) -> None:
    words = "incident-manager inc"
    environment = {
        "_INCIDENT_MANAGER_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = CliRunner().invoke(app, [], prog_name="incident-manager", env=environment)
    assert "incidents" in done.stdout
    assert "resolve" not in done.stdout


# The report


def test_report_of_a_running_service(run: Run, incident: Any, tmp_path: Path) -> None:
    done = run("report", "--window", "1h")
    assert done.exit_code == 0, done.output
    assert "| notify:ops |" in done.stdout
    assert re.search(r"\| P0 \| [1-9]", done.stdout)
    page = tmp_path / "report.html"
    assert run("report", "--output", str(page)).stderr == f"written: {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run("report", "--output", str(page), "--format", "markdown").exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("# Incidents")


def test_report_straight_from_the_database(run: Run, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with LiveApp(create_app(settings)) as live, live.client() as client:
        client.post("/v1/alerts", json={"title": "t", "severity": "critical", "source": "s"}).raise_for_status()
    done = run("report", "--from-store", "--data-dir", str(tmp_path / "data"), "--window", "1h")
    assert done.exit_code == 0, done.output
    assert "| P0 | 1 | 1 | 1 |" in done.stdout
    assert "| database |" in done.stdout


def test_report_that_cannot_be_written_is_code_1(run: Run, tmp_path: Path) -> None:
    done = run("report", "--output", str(tmp_path / "nowhere" / "report.html"))
    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr
