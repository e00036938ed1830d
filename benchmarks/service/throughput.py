"""Alerts a second, of the service and of a bare endpoint with the same framework, server, driver and database."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from testing.servers import PostgresServer, Server
from testing.service import IncidentManager

from benchmarks.measure import Spread
from benchmarks.rounds import ROOT
from benchmarks.service.load import Job, Measured
from benchmarks.service.scale import Scale
from benchmarks.service.sender import Sender
from benchmarks.service.shapes import BATCH, REPEATED, SINGLE, Shape

SHAPES = (SINGLE, REPEATED, BATCH)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """Both, one directly after the other."""

    bare: Measured
    service: Measured


@dataclass(frozen=True)
class Throughput:
    """Every pair of one shape on one store."""

    store: str
    shape: Shape
    pairs: Sequence[Pair]

    def ratio(self) -> Spread:
        """Alerts a second of the service, divided by those of the bare endpoint in the same pair."""
        return Spread.of([pair.service.rate / pair.bare.rate for pair in self.pairs])

    def spread(self, side: str, figure: str) -> Spread:
        """A figure of one side, `bare` or `service`, over the pairs."""
        return Spread.of([getattr(getattr(pair, side), figure) for pair in self.pairs])


class BareEndpoint(Server):
    """`benchmarks.service.bare` in a process of its own."""

    name = "bare-endpoint"

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._database_url = database_url

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "benchmarks.service.bare", str(self.port), self._database_url]

    def _environment(self) -> Mapping[str, str]:
        return {**super()._environment(), "PYTHONPATH": str(ROOT)}

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")


def measure(sender: Sender, scale: Scale, progress: Progress) -> list[Throughput]:
    """Measure each shape on each store."""
    found: list[Throughput] = []
    most = scale.senders
    shapes = SHAPES if most is None else [replace(shape, senders=min(shape.senders, most)) for shape in SHAPES]
    for store, opened in (("SQLite", _on_sqlite), ("PostgreSQL", _on_postgres)):
        with opened() as (bare, service):
            for shape in shapes:
                progress(f"{store}: {shape.name}")
                found.append(Throughput(store, shape, list(_pairs(sender, bare, service, shape, scale))))
    return found


def _pairs(sender: Sender, bare: Server, service: Server, shape: Shape, scale: Scale) -> Iterator[Pair]:
    jobs = {server: Job(server.port, shape, scale.seconds) for server in (bare, service)}
    for server in jobs:  # connections, plans of statements, known troubles
        sender.do(replace(jobs[server], seconds=scale.seconds / 4))
    for number in range(scale.pairs):
        order = (bare, service) if number % 2 == 0 else (service, bare)
        found = {server: _all_taken(sender.do(jobs[server])) for server in order}
        yield Pair(found[bare], found[service])


def _all_taken(measured: Measured) -> Measured:
    """What was measured, if the alerts were stored and not refused or set aside.

    Raises:
        RuntimeError: They were.
    """
    if measured.refused or measured.journaled:
        raise RuntimeError(f"not all alerts were stored in the database: {measured}")
    return measured


@contextmanager
def _on_sqlite() -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        service = stack.enter_context(IncidentManager())
        bare = BareEndpoint("sqlite:///bare.db")
        yield stack.enter_context(bare), service


@contextmanager
def _on_postgres() -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(fsync=True))
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bare")
        service = stack.enter_context(IncidentManager({"database_url": postgres.url}))
        bare = BareEndpoint(postgres.url.rpartition("/")[0] + "/bare")
        yield stack.enter_context(bare), service
