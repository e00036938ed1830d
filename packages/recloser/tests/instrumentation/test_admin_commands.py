"""The commands that talk to processes, as programs use them: JSON in place of tables."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages.recloser.tests.instrumentation.programs import Programs
from packages.recloser.tests.support import settings

from recloser import Registry
from recloser.cli import main
from recloser.instrumentation.admin.commands import Commands
from recloser.instrumentation.admin.server import AdminServer
from recloser.instrumentation.report import Recorder

Output = pytest.CaptureFixture[str]


@pytest.fixture
def registry() -> Registry:
    made = Registry(settings())
    made.get_or_create("http:a")
    made.get_or_create("http:b").call(lambda: None)
    return made


@pytest.fixture
def sockets(registry: Registry, programs: Programs) -> Iterator[str]:
    """The folder of the admin socket of this process."""
    recorder = Recorder(registry, observe_only=False)
    server = AdminServer(programs.sockets, os.getpid(), Commands(registry, recorder).answer)
    server.start()
    yield str(programs.sockets)
    server.stop()
    recorder.stop()


@pytest.mark.parametrize("command", ["open", "close", "observe", "automatic", "reset"])
def test_operation_names_what_it_reached(sockets: str, command: str, capsys: Output) -> None:
    words = [command, "http:*", "--reason", "an exercise", "--admin-socket", sockets]
    assert main([*words, "--json"]) == 0
    reached = [{"pid": os.getpid(), "name": name} for name in ("http:a", "http:b")]
    assert json.loads(capsys.readouterr().out) == reached
    assert main(words) == 0
    assert capsys.readouterr().out == f"{os.getpid()}: http:a\n{os.getpid()}: http:b\n"


def test_operation_that_reaches_nothing_is_code_1_and_prints_nothing(sockets: str, capsys: Output) -> None:
    assert main(["open", "grpc:*", "--reason", "x", "--json", "--admin-socket", sockets]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "recloser: no breaker is called 'grpc:*' in this process\n")


def test_report_is_one_entry_for_each_process(sockets: str, capsys: Output) -> None:
    assert main(["report", "--json", "--admin-socket", sockets]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["pid"], [row["name"] for row in found["dependencies"]]) == (os.getpid(), ["http:b"])
    assert main(["report", "--admin-socket", sockets]) == 0
    assert capsys.readouterr().out.startswith(f"recloser: process {os.getpid()} ")


def test_checked_configuration_as_json(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breakers.toml").write_text("[breakers.payments]\nopen_for = 3\n")
    monkeypatch.setenv("RECLOSER_PAYMENT__OPEN_FOR", "3")
    assert main(["config", "check", str(tmp_path / "breakers.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(tmp_path / "breakers.toml"),
        "breakers": ["payments"],
        "unmatched": ["RECLOSER_PAYMENT__OPEN_FOR"],
    }
