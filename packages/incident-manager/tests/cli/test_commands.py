"""The commands, run as the user runs them."""

import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from commands import run, run_program
from testing.live import LiveApp
from testing.receiver import Receiver

from incident_manager.app import create_app
from incident_manager.settings import Settings

SECRET_PATH = "T000/B000/secret"
GOOD = f"""
destinations:
  ops-slack: {{type: slack, url: "https://hooks.slack.com/services/{SECRET_PATH}"}}
  desk: {{type: webhook, url: "https://desk.example.org/hook"}}
routes:
  - severities: [critical, high]
    destinations: [ops-slack]
breakers:
  "notify:desk": {{open_for: 7}}
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A running service."""
    with LiveApp(create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))) as live:
        yield live


def test_check_config_shows_what_the_settings_come_to_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = run("check-config", "--config", "good.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]
    assert "ops-slack slack hooks.slack.com P0, P1" in lines
    assert "desk webhook desk.example.org nothing" in lines
    assert any(line.startswith("notify:desk") and "7 s" in line for line in lines)
    assert SECRET_PATH not in done.stdout
    assert "The settings are good." in lines


def test_check_config_names_everything_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("port: high\ndestinations: {ops: {type: webhook, url: 'ftp://x'}}\n")
    done = run("check-config", "--config", "bad.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "bad.yaml:1:1: port:" in done.stderr
    assert "bad.yaml:2:37: destinations.ops.url:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_settings_file_that_is_not_there(tmp_path: Path, command: str) -> None:
    done = run(command, "--config", "nowhere.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_send_test_alert_says_what_became_of_it(tmp_path: Path, live: LiveApp) -> None:
    opened = run("send-test-alert", "--url", live.url, "--severity", "warning", folder=tmp_path)
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout.startswith("opened: alert alt_")
    repeated = run("send-test-alert", "--url", live.url, folder=tmp_path)
    assert repeated.stdout.startswith("updated: ")
    resolved = run("send-test-alert", "--url", live.url, "--resolved", folder=tmp_path)
    assert resolved.stdout.startswith("resolved: ")
    incident = resolved.stdout.split()[-1]
    with live.client() as client:
        assert client.get(f"/v1/incidents/{incident}").json()["status"] == "resolved"


def test_send_test_alert_without_a_service(tmp_path: Path) -> None:
    done = run("send-test-alert", "--url", "http://127.0.0.1:1", folder=tmp_path)
    assert done.returncode == 3
    assert "http://127.0.0.1:1 does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_send_test_alert_that_is_refused(tmp_path: Path, live: LiveApp) -> None:
    done = run("send-test-alert", "--url", live.url, "--title", " ", folder=tmp_path)
    assert done.returncode == 2
    assert "title" in done.stderr


def test_send_test_alert_with_a_severity_that_is_none(tmp_path: Path) -> None:
    done = run("send-test-alert", "--severity", "awful", folder=tmp_path)
    assert done.returncode == 2
    assert "--severity: 'awful' is not a severity" in done.stderr


def test_serve_on_a_taken_port_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_program("serve", "--port", port, folder=tmp_path)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_that_cannot_make_its_database_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_program("serve", "--port", "0", "--data-dir", "file", folder=tmp_path)
    assert done.returncode == 3
    assert "cannot start: the database cannot be made" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_on_a_free_port_says_where_and_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "incident_manager", "serve", "--port", "0", "--data-dir", "kept/here"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = list(itertools.islice(process.stderr, 4))
            assert "WARNING incident_manager.app: no destination is set" in said[0]
            assert "the database was brought from schema none to" in said[1]
            assert "WARNING incident_manager.access.control: no token is set" in said[2]
            assert "INFO    incident_manager.server: listening on http://127.0.0.1:" in said[3]
            port = int(said[3].rsplit(":", 1)[1])
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            process.send_signal(number)
            rest = process.stderr.read()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()  # a failure above must not wait for its end
    assert [line.split(": ", 1)[1] for line in rest.splitlines()] == ["finishing what runs, then ending", "ended"]
    assert (tmp_path / "kept/here/incidents.db").exists()


def test_demo_tells_the_story_and_loses_nothing(tmp_path: Path) -> None:
    done = run_program("demo", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    story = [
        "is stored as incident",
        "The receiver has the notification",
        "The receiver dies.",
        "The circuit notify:ops is open",
        "The receiver is back.",
        "The circuit notify:ops is closed.",
        "Sentinel, which rates severities, dies.",
        "Its severity was rated by rules",
        "Sentinel is back.",
        "the severity was rated by sentinel.",
        "7 alerts taken, 7 notifications arrived, 0 lost.",
    ]
    places = [done.stdout.find(part) for part in story]
    assert -1 not in places
    assert places == sorted(places)


def test_test_destination_sends_a_marked_notification_and_ends_what_it_began(tmp_path: Path) -> None:
    with Receiver(202) as receiver:
        pager = {"type": "pagerduty", "routing_key": "0" * 32, "url": receiver.url, "allow_private": True}
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({"destinations": {"pager": pager}}))
        done = run("test-destination", "pager", "--config", "s.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("pager: triggered notification delivered after ")
    assert second.startswith("pager: resolved notification delivered after ")
    beginning, end = (request.json for request in receiver.requests)
    assert "nothing is wrong" in beginning["payload"]["summary"]
    assert (end["event_action"], end["dedup_key"]) == ("resolve", beginning["dedup_key"])


def test_test_destination_says_why_it_was_not_delivered(tmp_path: Path) -> None:
    with Receiver(404) as receiver:
        hook = {"type": "webhook", "url": f"{receiver.url}/{SECRET_PATH}", "allow_private": True}
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({"destinations": {"desk": hook}}))
        done = run("test-destination", "desk", "--config", "s.yaml", folder=tmp_path)
    assert done.returncode == 1
    assert "desk: the triggered notification was not delivered after" in done.stderr
    assert "127.0.0.1 answered 404" in done.stderr
    assert SECRET_PATH not in done.stderr + done.stdout


def test_test_destination_names_the_destinations_there_are(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = run("test-destination", "fax", "--config", "good.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "fax: no such destination; there are: ops-slack, desk" in done.stderr
