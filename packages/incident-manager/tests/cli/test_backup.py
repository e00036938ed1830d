"""Backups are made while alerts arrive, and restored with all that had been accepted before."""

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import run
from testing.burst import Traffic
from testing.service import IncidentManager


@pytest.fixture(scope="module")
def service() -> Iterator[IncidentManager]:
    with IncidentManager() as service:
        yield service


def titles(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {title for (title,) in connection.execute("SELECT title FROM incidents")}


def waiting_files(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".new")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of one incident, and a backup of it. Tests have a copy."""
    folder = tmp_path_factory.mktemp("made")
    assert run("migrate", folder=folder).returncode == 0
    insert(folder, "first")
    done = run("backup", "backup.db", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """What `made` holds."""
    return shutil.copytree(made, tmp_path / "copy")


def insert(folder: Path, title: str) -> None:
    with closing(sqlite3.connect(folder / "data/incidents.db")) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(incidents)") if row[3]]
        values = dict.fromkeys(names, "2026-01-01 00:00:00") | {"labels": "{}", "annotations": "{}"}
        values |= {"id": f"inc_{title}", "title": title, "status": "detected", "severity": "P2", "fingerprint": title}
        marks = ", ".join("?" for _ in values)
        connection.execute(f"INSERT INTO incidents ({', '.join(values)}) VALUES ({marks})", list(values.values()))


async def test_backup_under_load_holds_everything_accepted_before_it(service: IncidentManager) -> None:
    async with Traffic(service.url) as traffic:
        await traffic.answers(40)
        before = set(traffic.accepted)
        done = await asyncio.to_thread(run, "backup", "live.db", folder=service.folder)
        assert done.returncode == 0, done.stderr
        await traffic.answers(20)  # and the service goes on
    assert before <= titles(service.folder / "live.db")
    assert not (service.folder / "live.db-wal").exists()


async def test_restored_service_has_what_the_backup_holds_and_the_old_database_is_kept(
    service: IncidentManager,
) -> None:
    async with Traffic(service.url) as traffic:
        await traffic.answers(10)
    before = set(traffic.accepted)
    assert (await asyncio.to_thread(run, "backup", "restored.db", folder=service.folder)).returncode == 0
    async with Traffic(service.url) as later:
        await later.answers(10)

    refused = await asyncio.to_thread(run, "restore", "restored.db", folder=service.folder)
    assert (refused.returncode, "stop the service first" in refused.stderr) == (1, True)
    service.stop()
    done = await asyncio.to_thread(run, "restore", "restored.db", folder=service.folder)
    assert done.returncode == 0, done.stderr
    kept = Path(done.stdout.splitlines()[-1].partition(": ")[2])
    assert set(later.accepted) <= titles(kept)

    service.restart()
    with service.client() as client:
        found = {incident["title"] for incident in client.get("/v1/incidents?limit=200").json()["incidents"]}
        assert client.post("/v1/alerts", json={"title": "after"}).status_code == 202
    assert before <= found
    assert not found & set(later.accepted)


def test_file_that_is_there_is_replaced_only_by_force(folder: Path) -> None:
    insert(folder, "second")
    refused = run("backup", "backup.db", folder=folder)
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert titles(folder / "backup.db") == {"first"}
    assert run("backup", "backup.db", "--force", folder=folder).returncode == 0
    assert titles(folder / "backup.db") == {"first", "second"}
    assert waiting_files(folder) == []


def test_backup_is_its_owners_alone(folder: Path) -> None:
    assert stat.S_IMODE((folder / "backup.db").stat().st_mode) == 0o600


def test_restoring_into_an_empty_folder_makes_the_database(folder: Path) -> None:
    done = run("restore", "backup.db", "--data-dir", "other", folder=folder)
    assert done.returncode == 0, done.stderr
    assert titles(folder / "other/incidents.db") == {"first"}


def damaged(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[4096:8192] = os.urandom(4096)
    backup.write_bytes(content)


def of_a_later_version(backup: Path) -> None:
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def of_another_program(backup: Path) -> None:
    backup.unlink()
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")


def no_database(backup: Path) -> None:
    backup.write_text("not a database, whatever its name is " * 100)


def missing(backup: Path) -> None:
    backup.unlink()


@pytest.mark.parametrize("spoil", [damaged, of_a_later_version, of_another_program, no_database, missing])
def test_bad_backup_changes_nothing(folder: Path, spoil: "object") -> None:
    assert callable(spoil)
    spoil(folder / "backup.db")
    insert(folder, "second")
    done = run("restore", "backup.db", folder=folder)
    assert (done.returncode, "backup.db" in done.stderr) == (1, True)
    assert titles(folder / "data/incidents.db") == {"first", "second"}
    assert waiting_files(folder / "data") == []


def test_damaged_database_is_replaced_and_kept(folder: Path) -> None:
    broken = b"broken" * 1000
    (folder / "data/incidents.db").write_bytes(broken)
    done = run("restore", "backup.db", folder=folder)
    assert done.returncode == 0, done.stderr
    assert titles(folder / "data/incidents.db") == {"first"}
    [kept] = (folder / "data").glob("incidents.db.before-restore-*Z")
    assert kept.read_bytes() == broken


def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    done = run("backup", "backup.db", folder=tmp_path)
    assert (done.returncode, "incidents.db" in done.stderr) == (1, True)
    assert os.listdir(tmp_path) == []


def test_postgresql_has_its_own_tools(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("database_url: postgresql://db.internal/incidents\n")
    for command in ("backup", "restore"):
        done = run(command, "backup.db", "--config", "settings.yaml", folder=tmp_path)
        assert (done.returncode, "pg_dump" in done.stderr) == (2, True)
