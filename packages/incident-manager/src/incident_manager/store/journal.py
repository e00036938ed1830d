"""The journal: where alerts wait, safe from a crash, while the database cannot be used.

A small SQLite file beside the service. It belongs to one process at a time.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from incident_manager.domain.alert import Alert
from incident_manager.domain.errors import JournalError, JournalFullError, JournalUnavailableError
from recloser import Clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_AFTER = 5.0
"""Seconds after which a sender should try again when the journal cannot take an alert."""

_ALERT = TypeAdapter(Alert)
_LOCK_TIMEOUT = 1.0
_SETTINGS = (
    "PRAGMA locking_mode = EXCLUSIVE",  # two processes would both replay it
    "PRAGMA auto_vacuum = FULL",  # space goes back to the disk when entries go
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # on the disk when an append returns
)
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    journaled_at REAL NOT NULL,
    alert BLOB NOT NULL,
    error TEXT
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert that waits.

    Attributes:
        sequence: Its place.
        size: Bytes it takes.
        document: The alert, as JSON.
    """

    sequence: int
    size: int
    document: bytes

    def alert(self) -> Alert:
        """The alert. Raises ValueError when it cannot be read."""
        return _ALERT.validate_json(self.document)


@dataclass(frozen=True, slots=True)
class JournalState:
    """What is in the journal.

    Attributes:
        waiting: Alerts not yet in the database.
        set_aside: Alerts that the database refused; they are tried again after a restart.
        size: Bytes of both.
        oldest: When the first one that waits was journaled, in seconds since 1970; None when none waits.
    """

    waiting: int = 0
    set_aside: int = 0
    size: int = 0
    oldest: float | None = None


class Journal:
    """Alerts in the order of their coming. Await `open` before and `close` after use.

    Each method is one transaction, made by a thread of the journal's own: it is never half done, even when the caller
    is cancelled. All of them raise `JournalUnavailableError` when the file cannot be read or written.

    Args:
        path: The file; its folder is made.
        max_alerts: Entries at most.
        max_bytes: Bytes of alerts at most. The file itself is about a tenth larger.
        clock: Time of the entries.
    """

    def __init__(self, path: Path, *, max_alerts: int, max_bytes: int, clock: Clock) -> None:
        self._path = path
        self._max_alerts = max_alerts
        self._max_bytes = max_bytes
        self._clock = clock
        self._state = JournalState()
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")

    @property
    def state(self) -> JournalState:
        """What is in it now."""
        return self._state

    @property
    def oldest_age(self) -> float:
        """Seconds that the first one has waited; 0 when none waits."""
        oldest = self._state.oldest
        return 0.0 if oldest is None else max(0.0, self._clock.time() - oldest)

    async def open(self) -> None:
        """Open the file. What an earlier process left waits again, what it had set aside too.

        Raises:
            JournalError: It cannot be used, or another process uses it.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"the journal {self._path} cannot be opened: {error}") from error
        if self._state.waiting:
            logger.warning("%d alerts wait in the journal", self._state.waiting)

    async def close(self) -> None:
        """Finish what is being written and close the file. What waits stays in it."""
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._connection = None
        self._thread.shutdown()

    async def append(self, alerts: Sequence[Alert]) -> None:
        """Add alerts: all of them are on the disk when this returns, or none if it raises.

        Raises:
            JournalFullError: They do not fit.
        """
        documents = [_ALERT.dump_json(alert) for alert in alerts]
        await self._run(lambda connection: self._append(connection, documents))

    async def first(self, limit: int) -> list[Entry]:
        """Return up to `limit` entries that wait, oldest first."""
        return await self._run(lambda connection: _first(connection, limit))

    async def remove(self, entries: Sequence[Entry]) -> None:
        """Forget entries: they are in the database."""
        await self._run(lambda connection: self._remove(connection, entries))

    async def set_aside(self, entry: Entry, error: str) -> None:
        """Keep an entry that the database refuses, and let those behind it pass."""
        await self._run(lambda connection: self._set_aside(connection, entry, error))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise RuntimeError("the journal is not open: await Journal.open() before using it, and not after close()")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _transaction, connection, work)
        except sqlite3.Error as error:
            logger.error("the journal %s cannot be used: %s", self._path, error)
            raise JournalUnavailableError(f"the journal cannot be used: {error}", RETRY_AFTER) from error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            for statement in (*_SETTINGS, _TABLE):
                connection.execute(statement)
            connection.execute("UPDATE entries SET error = NULL WHERE error IS NOT NULL")
            row = connection.execute("SELECT count(*), coalesce(sum(length(alert)), 0) FROM entries").fetchone()
            self._state = JournalState(row[0], 0, row[1], _oldest(connection))
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    # These run in the journal's thread, within a transaction.

    def _append(self, connection: sqlite3.Connection, documents: Sequence[bytes]) -> Callable[[], None]:
        state, size = self._state, sum(map(len, documents))
        entries = state.waiting + state.set_aside + len(documents)
        if entries > self._max_alerts or state.size + size > self._max_bytes:
            raise JournalFullError(f"the journal is full: {entries - len(documents)} alerts wait", RETRY_AFTER)
        now = self._clock.time()
        connection.executemany(
            "INSERT INTO entries (journaled_at, alert) VALUES (?, ?)", [(now, document) for document in documents]
        )
        oldest = now if state.oldest is None else state.oldest
        return self._becoming(JournalState(state.waiting + len(documents), state.set_aside, state.size + size, oldest))

    def _remove(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> Callable[[], None]:
        connection.executemany("DELETE FROM entries WHERE sequence = ?", [(entry.sequence,) for entry in entries])
        state, size = self._state, sum(entry.size for entry in entries)
        left = state.waiting - len(entries)
        return self._becoming(JournalState(left, state.set_aside, state.size - size, _oldest(connection)))

    def _set_aside(self, connection: sqlite3.Connection, entry: Entry, error: str) -> Callable[[], None]:
        connection.execute("UPDATE entries SET error = ? WHERE sequence = ?", (error, entry.sequence))
        state = self._state
        return self._becoming(JournalState(state.waiting - 1, state.set_aside + 1, state.size, _oldest(connection)))

    def _becoming(self, state: JournalState) -> Callable[[], None]:
        def committed() -> None:
            self._state = state

        return committed


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do `work` in one transaction; what it returns is called after the commit, if it can be."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if callable(result):
        result()
    return result


def _first(connection: sqlite3.Connection, limit: int) -> list[Entry]:
    rows = connection.execute(
        "SELECT sequence, length(alert), alert FROM entries WHERE error IS NULL ORDER BY sequence LIMIT ?", (limit,)
    )
    return [Entry(*row) for row in rows]


def _oldest(connection: sqlite3.Connection) -> float | None:
    query = "SELECT journaled_at FROM entries WHERE error IS NULL ORDER BY sequence LIMIT 1"
    row = connection.execute(query).fetchone()
    return None if row is None else float(row[0])
