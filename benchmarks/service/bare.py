"""The bare endpoint: the least that a service with the same framework, server and driver can do to keep an alert.

    python -m benchmarks.service.bare PORT DATABASE_URL

It reads the JSON, inserts the alert as one row of one table, commits, and answers 202. It checks nothing, looks nothing
up and tells nobody. A notification of Alertmanager becomes one transaction with a row for each alert.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import aiosqlite
import asyncpg  # type: ignore[import-untyped]
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

_COLUMNS = (
    "id, received_at, status, title, description, source, severity, labels, annotations, starts_at, dedup_key, "
    "generator_url"
)
_TABLE = (
    f"CREATE TABLE alerts ({', '.join(f'{name} text NOT NULL' for name in _COLUMNS.split(', '))}, PRIMARY KEY (id))"
)
_WIDTH = len(_COLUMNS.split(", "))

Row = tuple[str, ...]


class Database(Protocol):
    """Keeps rows; when `insert` returns, they are on disk."""

    async def insert(self, rows: Sequence[Row]) -> None: ...

    async def close(self) -> None: ...


class Sqlite:
    """One connection: SQLite has one writer at a time."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._statement = f"INSERT INTO alerts ({_COLUMNS}) VALUES ({', '.join('?' * _WIDTH)})"

    @classmethod
    async def open(cls, path: str) -> Sqlite:
        connection = await aiosqlite.connect(path, isolation_level=None)
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute(_TABLE)
        return cls(connection)

    async def insert(self, rows: Sequence[Row]) -> None:
        async with self._turn:
            if len(rows) == 1:  # a statement alone is a transaction
                await self._connection.execute(self._statement, rows[0])
                return
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._connection.executemany(self._statement, rows)
            await self._connection.execute("COMMIT")

    async def close(self) -> None:
        await self._connection.close()


class Postgres:
    """A pool of the driver, as it is by default: ten connections."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._statement = f"INSERT INTO alerts ({_COLUMNS}) VALUES ({', '.join(f'${n + 1}' for n in range(_WIDTH))})"

    @classmethod
    async def open(cls, url: str) -> Postgres:
        pool = await asyncpg.create_pool(url)
        await pool.execute(_TABLE)
        return cls(pool)

    async def insert(self, rows: Sequence[Row]) -> None:
        async with self._pool.acquire() as connection:
            if len(rows) == 1:
                await connection.execute(self._statement, *rows[0])
            else:
                await connection.executemany(self._statement, rows)  # one transaction

    async def close(self) -> None:
        await self._pool.close()


def create_app(url: str) -> FastAPI:
    """The application on `sqlite:///path` or `postgresql://...`."""
    database: Database

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal database
        path = url.removeprefix("sqlite:///")
        database = await (Postgres.open(url) if path == url else Sqlite.open(path))
        yield
        await database.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> None: ...

    @app.post("/v1/alerts")
    async def take_alert(request: Request) -> JSONResponse:
        row = _row(await request.json())
        await database.insert([row])
        return JSONResponse({"id": row[0]}, 202)

    @app.post("/v1/ingest/alertmanager")
    async def take_notification(request: Request) -> JSONResponse:
        rows = [_row_of_alertmanager(alert) for alert in (await request.json())["alerts"]]
        await database.insert(rows)
        return JSONResponse({"ids": [row[0] for row in rows]}, 202)

    return app


def _row(alert: dict[str, Any]) -> Row:
    return _made(
        "firing",
        alert["title"],
        alert["description"],
        alert["source"],
        alert["severity"],
        json.dumps(alert["labels"]),
        json.dumps(alert["annotations"]),
        alert["starts_at"],
        alert["dedup_key"],
        alert["generator_url"],
    )


def _row_of_alertmanager(alert: dict[str, Any]) -> Row:
    labels, annotations = alert["labels"], alert["annotations"]
    return _made(
        alert["status"],
        annotations["summary"],
        annotations["description"],
        "alertmanager",
        labels["severity"],
        json.dumps(labels),
        json.dumps(annotations),
        alert["startsAt"],
        alert["fingerprint"],
        alert["generatorURL"],
    )


def _made(*values: str) -> Row:
    return (str(uuid.uuid4()), datetime.now(UTC).isoformat(), *values)


def main() -> None:
    """Serve until SIGTERM."""
    port, url = sys.argv[1:]
    uvicorn.run(create_app(url), port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
