"""Many senders at once, each with alerts of its own, who remember what was answered."""

import asyncio
import itertools
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2


@dataclass
class Burst:
    """Posts different alerts from ``senders`` connections until the service is gone."""

    url: str
    senders: int = 24
    name: str = field(default_factory=lambda: f"burst {secrets.token_hex(4)}")
    accepted: dict[str, str] = field(default_factory=dict)
    """Titles by incident, of the alerts that were answered 202."""
    other_answers: list[int] = field(default_factory=list)
    unanswered: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, count: int, interrupt: Callable[[], None]) -> None:
        """Send; after ``count`` alerts were accepted, interrupt the service while the sending goes on."""
        tasks = [asyncio.create_task(self._send(sender)) for sender in range(self.senders)]
        async with asyncio.timeout(120):
            while len(self.accepted) < count:
                self._changed.clear()
                await self._changed.wait()
            await asyncio.to_thread(interrupt)
            await asyncio.gather(*tasks)

    async def _send(self, sender: int) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=60) as client:
            number = 0
            while True:
                title = f"{self.name} {sender}-{number}"
                try:
                    answer = await client.post("/v1/alerts", json={"title": title, "dedup_key": title})
                except httpx2.TransportError:
                    self.unanswered += 1
                    return
                if answer.status_code == 202:
                    self.accepted[answer.json()["alerts"][0]["incident_id"]] = title
                else:
                    self.other_answers.append(answer.status_code)
                self._changed.set()
                number += 1


@dataclass
class Traffic:
    """Posts different alerts from ``senders`` connections until it is left, and remembers every answer.

    ::

        async with Traffic(service.url) as traffic:
            await traffic.answers(100)  # a hundred more
    """

    url: str
    senders: int = 8
    accepted: list[str] = field(default_factory=list)
    """Titles of the alerts that were answered 202."""
    actions: list[str] = field(default_factory=list)
    """What the answers said, in the order of their coming."""
    answered: list[tuple[float, float]] = field(default_factory=list)
    """When each was sent (monotonic) and how long its answer took, in seconds."""
    other_answers: list[int] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _stopping: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> "Traffic":
        name = secrets.token_hex(4)
        self._tasks = [asyncio.create_task(self._send(f"{name} {sender}")) for sender in range(self.senders)]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def answers(self, count: int, action: str | None = None, timeout: float = 60) -> None:
        """Wait for so many more answers, with this action if one is given."""
        seen = len(self.actions)
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: sum(action in (None, one) for one in self.actions[seen:]) >= count)

    async def _send(self, name: str) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=60) as client:
            for number in itertools.count():
                if self._stopping:
                    return
                title, sent = f"{name}-{number}", time.monotonic()
                try:
                    answer = await client.post("/v1/alerts", json={"title": title, "dedup_key": title})
                except httpx2.TransportError:
                    self.unanswered.append(title)
                    await asyncio.sleep(0.05)
                    continue
                self.answered.append((sent, time.monotonic() - sent))
                if answer.status_code == 202:
                    self.accepted.append(title)
                    action = answer.json()["alerts"][0]["action"]
                else:
                    self.other_answers.append(answer.status_code)
                    action = str(answer.status_code)
                async with self._changed:
                    self.actions.append(action)
                    self._changed.notify_all()


def all_incidents(client: httpx2.Client) -> dict[str, Any]:
    """Every incident of the service, by id."""
    found: dict[str, Any] = {}
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/incidents", params=params).raise_for_status().json()
        found |= {incident["id"]: incident for incident in page["incidents"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def integrity(folder: Path) -> str:
    """What SQLite says of the database: "ok", or what is wrong."""
    connection = sqlite3.connect(folder / "data/incidents.db")
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
