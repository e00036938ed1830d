"""Backups of the embedded database: made while the service runs, checked before they take its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from alembic.script import ScriptDirectory

from incident_manager.domain.errors import IncidentManagerError
from incident_manager.store.migrate import alembic_config

LOCK_PATIENCE = 2.0
"""Seconds that others get to let go of a database that is to be replaced."""


class BackupError(IncidentManagerError):
    """A backup could not be made or used; nothing was changed."""


def back_up(database: Path, target: Path, *, force: bool = False) -> int:
    """Write one consistent state of a database that others may be writing to a file, and return its size in bytes.

    The file appears complete or not at all, and is on the disk when this returns.

    Args:
        database: The database.
        target: The file to be written.
        force: Whether a file that is there is replaced.

    Raises:
        BackupError: There is no database, the target exists, or a file cannot be read or written.
    """
    if not force and target.exists():
        raise BackupError(f"{target} exists: name another file, or say --force to replace it")
    with _errors(f"{database} cannot be backed up to {target}"), _new_file_beside(target) as new:
        with closing(_opened(database, "rw")) as source, closing(sqlite3.connect(new)) as copy:
            # In one step: in WAL mode writers do not wait for it, and none makes it begin anew.
            # https://www.sqlite.org/backup.html
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it in the one file
        _check(new)
        _flush(new)
        size = new.stat().st_size
        if force:
            os.replace(new, target)
        else:
            os.link(new, target)  # unlike a renaming, it replaces nothing that has come meanwhile
        _flush(target.parent)
    return size


def restore(backup: Path, database: Path, lock: Path) -> Path | None:
    """Put a backup in the place of a database, and return where the old one is kept; None if there was none.

    Args:
        backup: What `back_up` wrote.
        database: The database.
        lock: The journal of the service, which holds it for as long as it runs.

    Raises:
        BackupError: The backup is damaged, no database of ours or of a later version; or a service uses the database.
    """
    with _errors(f"{backup} cannot be restored to {database}"):
        _check(backup)
        database.parent.mkdir(parents=True, exist_ok=True)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with _held(lock), _new_file_beside(database) as new:
            shutil.copyfile(backup, new)
            _check(new)
            _flush(new)
            kept = _set_aside(database)
            os.replace(new, database)
            _flush(database.parent)
    return kept


def _set_aside(database: Path) -> Path | None:
    """Give the old database a second name, complete in one file."""
    if not database.exists():
        return None
    with closing(_opened(database, "rw")) as old:
        try:
            old.execute("PRAGMA journal_mode = DELETE")  # refused while anybody else has it open
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise _in_use(database) from error
            # A damaged one is kept as it is: it is what the backup is to replace.
    kept = database.with_name(f"{database.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    os.link(database, kept)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{database}{suffix}", f"{kept}{suffix}")
    return kept


def _check(path: Path) -> None:
    """Raise BackupError unless it is a sound database that this version can use."""
    with closing(_opened(path, "ro")) as connection:
        try:
            [found] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{path} is no sound database of the incident manager: {error}") from error
    if found != "ok" or dangling is not None:
        raise BackupError(
            f"{path} is damaged: {found if found != 'ok' else f'a row of {dangling[0]} refers to nothing'}"
        )
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if revision is None or revision[0] not in known:
        raise BackupError(f"{path} was made by a later version of the incident manager; restore it with that one")


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold what a running service holds."""
    with closing(sqlite3.connect(lock, timeout=LOCK_PATIENCE, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise _in_use(lock) from error
            raise
        yield


def _in_use(path: Path) -> BackupError:
    return BackupError(f"{path} is in use: stop the service first")


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn what the system or SQLite says into a BackupError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{what}: {error}") from error


@contextmanager
def _new_file_beside(path: Path) -> Iterator[Path]:
    """An empty file in the same folder, which only its owner may read; it is gone afterwards."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield new
    finally:
        for name in (new, Path(f"{new}-journal")):
            name.unlink(missing_ok=True)


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=LOCK_PATIENCE)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
