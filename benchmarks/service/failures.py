"""Latency of the service while something it depends on fails, beside its latency just before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from testing.receiver import Receiver
from testing.servers import PostgresServer, ValkeyServer
from testing.service import IncidentManager, eventually

from benchmarks.measure import Spread
from benchmarks.service.load import Job, Measured
from benchmarks.service.scale import Scale
from benchmarks.service.sender import Sender
from benchmarks.service.shapes import MIXED
from incident_manager.demo.llm import edge_agent, governance, sentinel, shield
from incident_manager.demo.llm.faults import Fault
from incident_manager.demo.llm.server import ServiceServer

TRIPS_WITHIN = 90.0
"""Seconds of sending after which a circuit that has not opened is an error."""

TIMEOUT = 1.0
"""Seconds that receivers and LLM services get; with the defaults, 10 and 30, a trip would take minutes."""

OPEN_FOR = 30.0
"""Seconds that circuits stay open; longer than a window."""


@dataclass(frozen=True)
class Trial:
    """A healthy window, a trip, and a window after it."""

    healthy: Measured
    until_open: float
    failing: Measured

    @property
    def ratio(self) -> float:
        """99th percentile after the trip, over the healthy one."""
        return self.failing.p99 / self.healthy.p99


@dataclass(frozen=True)
class Failing:
    """Every trial of one failure."""

    name: str
    trials: Sequence[Trial]

    def ratio(self) -> Spread:
        """Of the 99th percentiles, over the trials."""
        return Spread.of([trial.ratio for trial in self.trials])

    def spread(self, read: Callable[[Trial], float]) -> Spread:
        """A figure over the trials."""
        return Spread.of([read(trial) for trial in self.trials])


class Surroundings:
    """The service with everything that it can depend on, all of it real and on this machine."""

    def __init__(self, stack: ExitStack) -> None:
        self.postgres = stack.enter_context(PostgresServer(fsync=True))
        self.valkey = stack.enter_context(ValkeyServer())
        self.receiver = stack.enter_context(Receiver())
        routes = (sentinel.ROUTES, shield.ROUTES, edge_agent.ROUTES, governance.ROUTES)
        self.llm = [stack.enter_context(ServiceServer(each)) for each in routes]
        self.service = stack.enter_context(IncidentManager(self._settings()))
        self.client = stack.enter_context(self.service.client())

    def _settings(self) -> dict[str, Any]:
        patience = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT}
        own: tuple[dict[str, Any], ...] = (
            {"dialect": "native"},
            {},
            {"model": "small-1"},
            {"frameworks": ["GDPR"]},
        )
        names = ("sentinel", "shield", "edge_agent", "governance")
        services = {
            name: {"url": server.url, **patience, **extra}
            for name, server, extra in zip(names, self.llm, own, strict=True)
        }
        breakers = ["database", "cache", "notify:ops", *(f"{name.replace('_', '-')}-llm" for name in names)]
        return {
            "database_url": self.postgres.url,
            "cache_url": self.valkey.url,
            "destinations": {"ops": {"type": "webhook", "url": self.receiver.url, "allow_private": True}},
            "dispatcher": {"send_timeout": TIMEOUT},
            "services": services,
            "assessment": {"hold": 2.5, "patience": TIMEOUT},
            "breakers": {name: {"failure_threshold": 3, "open_for": OPEN_FOR} for name in breakers},
        }

    def state(self, breaker: str) -> str:
        """The state of a circuit."""
        answer = self.client.get(f"/v1/circuit-breakers/{breaker}").raise_for_status()
        return str(answer.json()["state"])

    def recover(self) -> None:
        """Close every circuit, and return when the journal is empty."""
        self.client.post("/v1/circuit-breakers/reset-all", json={}).raise_for_status()
        metric = "llm_incident_manager_journal_entries 0.0"
        eventually(lambda: self.client.get("/metrics").text, lambda text: metric in text, timeout=120)


@dataclass(frozen=True)
class Failure:
    """Something that can go wrong.

    Attributes:
        circuits: Those that must open.
        begin: Makes it go wrong.
        end: Mends it.
    """

    name: str
    circuits: Sequence[str]
    begin: Callable[[Surroundings], None]
    end: Callable[[Surroundings], None]


def _let_llm(fault: Fault) -> Callable[[Surroundings], None]:
    def switch(around: Surroundings) -> None:
        for server in around.llm:
            server.switch.fault = fault

    return switch


def _start(around: Surroundings) -> None:
    around.postgres.start()


def _listen(around: Surroundings) -> None:
    around.receiver.start()


FAILURES = (
    Failure("receiver of notifications refuses", ["notify:ops"], lambda a: a.receiver.stop(), _listen),
    Failure(
        "receiver of notifications hangs",
        ["notify:ops"],
        lambda a: a.receiver.gate.clear(),
        lambda a: a.receiver.gate.set(),
    ),
    Failure("Valkey frozen", ["cache"], lambda a: a.valkey.freeze(), lambda a: a.valkey.thaw()),
    Failure("PostgreSQL killed", ["database"], lambda a: a.postgres.kill(), _start),
    Failure("PostgreSQL frozen", ["database"], lambda a: a.postgres.freeze(), lambda a: a.postgres.thaw()),
    Failure(
        "LLM services hang",
        ["sentinel-llm", "shield-llm", "edge-agent-llm", "governance-llm"],
        _let_llm(Fault.HANG),
        _let_llm(Fault.NONE),
    ),
)


def measure(
    sender: Sender, scale: Scale, progress: Callable[[str], None], failures: Sequence[Failure] = FAILURES
) -> list[Failing]:
    """Measure each failure, with a healthy window before each trial."""
    found: dict[str, list[Trial]] = {failure.name: [] for failure in failures}
    with _surroundings() as around:
        job = Job(around.service.port, MIXED, scale.window, scale.rate)
        sender.do(job)  # known troubles, connections, plans of statements
        for number in range(scale.trials):
            for failure in failures:
                progress(f"{failure.name}, {number + 1} of {scale.trials}")
                found[failure.name].append(_trial(sender, job, around, failure))
    return [Failing(name, trials) for name, trials in found.items()]


def _trial(sender: Sender, job: Job, around: Surroundings, failure: Failure) -> Trial:
    healthy = sender.do(job)
    failure.begin(around)
    try:
        began = time.monotonic()
        while not all(around.state(name) == "open" for name in failure.circuits):
            if time.monotonic() - began > TRIPS_WITHIN:
                raise RuntimeError(f"{failure.name}: {failure.circuits} are not all open after {TRIPS_WITHIN:g} s")
            sender.do(replace(job, seconds=0.5))
        until_open = time.monotonic() - began
        failing = sender.do(job)
    finally:
        failure.end(around)
    around.recover()
    return Trial(healthy, until_open, failing)


@contextmanager
def _surroundings() -> Iterator[Surroundings]:
    with ExitStack() as stack:
        yield Surroundings(stack)
