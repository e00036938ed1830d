"""The admin socket: what an operator can see and do, and that nobody can hold a process up with it."""

import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packages.recloser.tests.instrumentation.programs import Programs, closed_port, wait_until
from packages.recloser.tests.support import settings

from recloser import CircuitOpenError, Registry
from recloser.instrumentation.admin import server as server_module
from recloser.instrumentation.admin.client import AdminError, ask, find
from recloser.instrumentation.admin.commands import Commands
from recloser.instrumentation.admin.folder import FolderError, default_folder, prepare, sockets
from recloser.instrumentation.admin.server import AdminServer
from recloser.instrumentation.report import Recorder


@pytest.fixture
def registry() -> Registry:
    made = Registry(settings())
    made.get_or_create("http:example.com")
    made.get_or_create("redis:cache")
    return made


@pytest.fixture
def folder(programs: Programs) -> Path:
    return programs.sockets


@pytest.fixture
def admin(registry: Registry, folder: Path) -> Iterator[AdminServer]:
    recorder = Recorder(registry, observe_only=False)
    server = AdminServer(folder, os.getpid(), Commands(registry, recorder).answer)
    server.start()
    yield server
    server.stop()
    recorder.stop()


def asked(admin: AdminServer, command: str, **words: Any) -> Any:
    assert admin.path is not None
    return ask(admin.path, {"command": command, **words})["result"]


def connect(admin: AdminServer) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(30)
    connection.connect(str(admin.path))
    return connection


# What it does


def test_list_names_each_breaker_with_its_state(admin: AdminServer) -> None:
    rows = asked(admin, "list")
    assert [(row["name"], row["state"], row["control"]) for row in rows] == [
        ("http:example.com", "closed", "automatic"),
        ("redis:cache", "closed", "automatic"),
    ]


def test_show_says_all_about_one(admin: AdminServer, registry: Registry) -> None:
    registry["redis:cache"].call(lambda: None)
    assert asked(admin, "show", name="redis:cache")["calls"]["success"] == 1


def test_open_close_observe_automatic_and_reset(admin: AdminServer, registry: Registry) -> None:
    breaker = registry["http:example.com"]
    controls = []
    for command in ("open", "close", "observe", "automatic", "open", "reset"):
        assert asked(admin, command, name="http:*", reason="an exercise") == ["http:example.com"]
        controls.append(str(breaker.control))
    assert controls == ["forced_open", "forced_closed", "observe_only", "automatic", "forced_open", "automatic"]
    assert registry["redis:cache"].control == "automatic"


def test_opened_breaker_rejects_with_the_operators_words(admin: AdminServer, registry: Registry) -> None:
    asked(admin, "open", name="http:example.com", reason="the partner asked for it")
    assert registry["http:example.com"].control_reason == "the partner asked for it"
    with pytest.raises(CircuitOpenError):
        registry["http:example.com"].call(lambda: None)


def test_reset_does_not_end_the_shadow_mode_of_a_program(registry: Registry) -> None:
    recorder = Recorder(registry, observe_only=True)
    registry["redis:cache"].force_open("an exercise")
    answered = Commands(registry, recorder).answer({"command": "reset", "name": "redis:*", "reason": "it is over"})
    recorder.stop()
    assert answered["result"] == ["redis:cache"]
    assert (str(registry["redis:cache"].state), str(registry["redis:cache"].control)) == ("closed", "observe_only")


def test_metrics_are_those_of_prometheus(admin: AdminServer) -> None:
    assert 'recloser_circuit_breaker_state{name="redis:cache"} 0.0' in asked(admin, "metrics")


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"command": "launch"}, "unknown command; there are list, show"),
        ({"command": "show", "name": "redis:cach"}, "no breaker named 'redis:cach'; did you mean 'redis:cache'?"),
        ({"command": "open", "name": "redis:*"}, "reason='': must be a non-empty text"),
        ([1], "a request is a JSON object on one line"),
    ],
)
def test_wrong_request_is_told_why(admin: AdminServer, request_: Any, problem: str) -> None:
    assert admin.path is not None
    with pytest.raises(AdminError) as caught:
        ask(admin.path, request_)
    assert problem in str(caught.value)


# Nobody else, and not for long


def test_socket_and_its_folder_are_the_users_alone(admin: AdminServer, folder: Path) -> None:
    assert admin.path is not None
    assert stat.S_IMODE(admin.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_who_says_nothing_holds_nobody_up(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PATIENCE", 0.05)
    with connect(admin) as silent:
        assert len(asked(admin, "list")) == 2
        assert silent.recv(1) == b""


def test_who_says_too_much_is_cut_off(admin: AdminServer) -> None:
    with connect(admin) as chatty, pytest.raises(ConnectionError):
        for _ in range(64):
            chatty.sendall(b"x" * 65_536)
    assert len(asked(admin, "list")) == 2


def test_who_hangs_up_in_the_middle_harms_nobody(admin: AdminServer) -> None:
    with connect(admin) as hasty:
        hasty.sendall(b'{"command": "li')
    with connect(admin) as hasty:
        hasty.sendall(b'{"command": "list"}\n')
    assert len(asked(admin, "list")) == 2


def test_stop_does_not_wait_for_who_is_connected(admin: AdminServer) -> None:
    with connect(admin):
        began = time.monotonic()
        admin.stop()
        assert time.monotonic() - began < server_module.PATIENCE


def test_end_removes_the_socket(admin: AdminServer, folder: Path) -> None:
    admin.stop()
    assert list(folder.iterdir()) == []


def test_sockets_of_dead_processes_are_removed(admin: AdminServer, folder: Path) -> None:
    child = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(child, 0)
    dead = [folder / f"{child}-{child}.{suffix}" for suffix in ("sock", "new")]
    for path in dead:
        path.touch()
    assert [each.pid for each in sockets(folder)] == [os.getpid()]
    assert not any(path.exists() for path in dead)


def test_socket_that_nobody_listens_on_is_removed(admin: AdminServer, folder: Path) -> None:
    stale = folder / f"1-{os.getppid()}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(stale))
    assert [each.pid for each in find(folder)] == [os.getpid()]
    assert not stale.exists()


def test_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(FolderError, match=r"others may write to it \(mode 777\)"):
        prepare(tmp_path)


def test_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    link = Path(tmp_path, "link")
    link.symlink_to(tmp_path)
    with pytest.raises(FolderError, match="is not a folder"):
        prepare(link)


def test_folder_of_the_session_is_taken_where_there_is_one(tmp_path: Path) -> None:
    assert default_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "recloser"
    assert default_folder({}).name == f"recloser-{os.geteuid()}"


# Forks


def test_forked_child_has_a_socket_of_its_own(admin: AdminServer, folder: Path) -> None:
    go_on, until = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - seen through its socket
        os.close(until)
        os.read(go_on, 1)
        os._exit(0)
    try:
        pids = wait_until(lambda: found if len(found := {each.pid for each in find(folder)}) == 2 else None, "a child")
        assert pids == {os.getpid(), child}
        [socket_of_child] = find(folder, pid=child)
        assert ask(socket_of_child.path, {"command": "list"})["pid"] == child
        assert len(asked(admin, "list")) == 2
    finally:
        os.close(until)
        os.waitpid(child, 0)
        os.close(go_on)


def test_no_thread_is_there_at_a_fork_and_it_goes_on_after_it(admin: AdminServer) -> None:
    seen: list[int] = []
    names = [thread.name for thread in threading.enumerate()]
    assert "recloser admin socket" in names
    admin.pause()
    seen.append(sum(thread.name == "recloser admin socket" for thread in threading.enumerate()))
    admin.resume()
    assert seen == [0]
    assert len(asked(admin, "list")) == 2


# The commands


def running(programs: Programs) -> Any:
    source = f"""
import requests, sys
try:
    requests.get("http://127.0.0.1:{closed_port()}/", timeout=5)
except requests.ConnectionError:
    print("ready", flush=True)
sys.stdin.read()
"""
    process = programs.start(sys.executable, "-c", source)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_list_is_a_table(programs: Programs) -> None:
    process = running(programs)
    head, row = programs.operate("list").stdout.splitlines()
    assert head.split() == ["pid", "program", "name", "state", "control", "calls", "failed", "rejected", "would", "be"]
    assert row.split()[0] == str(process.pid)
    assert row.split()[3:6] == ["closed", "automatic", "1"]


def test_show_is_json(programs: Programs) -> None:
    running(programs)
    [breaker] = programs.breakers()
    assert json.loads(programs.operate("show", breaker["name"]).stdout)["calls"]["failure"] == 1


def test_operating_reaches_all_processes_of_the_one_run(programs: Programs) -> None:
    process = running(programs)
    done = programs.operate("open", "http:*", "--reason", "maintenance")
    assert done.stdout.startswith(f"{process.pid}: http:127.0.0.1:")
    assert [row["control"] for row in programs.breakers()] == ["forced_open"]


def test_operating_needs_a_choice_between_runs(programs: Programs) -> None:
    first, second = running(programs), running(programs)
    done = programs.operate("open", "http:*", "--reason", "maintenance")
    assert done.returncode == 1
    runs = ", ".join(map(str, sorted([first.pid, second.pid])))
    assert done.stderr == f"recloser: several programs are running: choose one with --run: {runs}\n"
    assert programs.operate("open", "http:*", "--reason", "now", "--run", str(first.pid)).returncode == 0
    assert {row["pid"]: row["control"] for row in programs.breakers()} == {
        first.pid: "forced_open",
        second.pid: "automatic",
    }


def test_nobody_there_is_said(programs: Programs) -> None:
    done = programs.operate("list", "--pid", "1")
    assert done.returncode == 1
    assert done.stderr == f"recloser: no process with an admin socket in {programs.sockets} for --pid 1\n"


def test_name_that_no_breaker_has_is_said(programs: Programs) -> None:
    running(programs)
    done = programs.operate("open", "kafka:*", "--reason", "maintenance")
    assert (done.returncode, done.stderr) == (1, "recloser: no breaker is called 'kafka:*' in this process\n")


def test_killed_program_leaves_nothing_that_disturbs(programs: Programs) -> None:
    process = running(programs)
    process.kill()
    process.wait(timeout=30)
    assert programs.operate("list").returncode == 1
    assert list(programs.sockets.iterdir()) == []


def test_program_may_run_without(programs: Programs) -> None:
    source = "import requests, threading; print(threading.active_count())"
    done = programs.run(sys.executable, "-c", source, options=["--no-admin-socket"])
    assert done.stdout == "1\n"
    assert not programs.sockets.exists()
