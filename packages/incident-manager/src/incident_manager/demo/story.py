"""What happens in the demo, step by step, and whether anything was lost."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from incident_manager.demo.llm import sentinel
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.demo.receiver import Receiver
from incident_manager.demo.service import BREAKER, OPEN_FOR, Service

STEP_LIMIT = 45.0
"""Seconds after which a step has failed."""

WHILE_DOWN = ("HighLatency", "QueueGrowing", "ErrorBudgetBurn", "TokenQuotaNear", "ModelDrift")


class DemoError(Exception):
    """The demo could not be played; the message says where it stopped."""


class Teller:
    """Shows the step that runs and writes what has happened, with the seconds since the start."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        """Write one line of the story."""
        self._console.print(
            f"[dim]{time.monotonic() - self.started:6.1f} s[/]  {text}", highlight=False, soft_wrap=True
        )

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show what runs now."""
        task = self._progress.add_task(what, total=None)
        try:
            yield
        finally:
            self._progress.remove_task(task)

    def wait(self, what: str, done: Callable[[], bool], service: Service) -> None:
        """Wait until something has happened. Raises DemoError."""
        deadline = time.monotonic() + STEP_LIMIT
        with self.step(what):
            while not done():
                if service.has_ended():
                    raise DemoError(f"the service ended while waiting for: {what}\n{service.log}")
                if time.monotonic() > deadline:
                    raise DemoError(f"{what}: not within {STEP_LIMIT:g} s\n{service.log}")
                time.sleep(0.05)


def run_demo(console: Console) -> bool:
    """Play the story and print what happened; return whether every notification arrived.

    Raises:
        DemoError: A step did not happen.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    receiver = Receiver()
    receiver.start()
    with (
        ServiceServer(sentinel.ROUTES) as rating,
        tempfile.TemporaryDirectory(prefix="incident-manager-demo-") as folder,
        Progress(*columns, console=console, transient=True) as progress,
        Service(Path(folder), receiver.url, rating.url) as service,
    ):
        teller = Teller(console, progress)
        try:
            incidents = _play(teller, service, receiver)
            incidents |= _play_assessment(teller, service, rating)
        finally:
            receiver.stop()
        return _report(console, teller, service, receiver, incidents)


def _play(teller: Teller, service: Service, receiver: Receiver) -> dict[str, str]:
    """The story; returns the incidents' titles by id."""
    teller.wait("Starting the service", service.has_started, service)
    teller.say(f"The service runs on {service.url}. It notifies a webhook at {receiver.url}.")

    first = service.post_alert("DiskFull", "db-1")
    incidents = {first: "DiskFull on db-1"}
    teller.say(f"Alertmanager sends [b]DiskFull on db-1[/]. It is stored as incident {first}.")
    teller.wait("Waiting for the notification", lambda: bool(receiver.notifications), service)
    rated_by = service.incident(first)["assessment"]["classified_by"]
    teller.say(f"The receiver has the notification, with a valid signature. The severity was rated by {rated_by}.")

    receiver.stop()
    teller.say("[red]The receiver dies.[/] Five more alerts arrive.")
    for name in WHILE_DOWN:
        incidents[service.post_alert(name, "web-1")] = f"{name} on web-1"
    teller.say("All five are stored and answered 202. Their notifications wait.")
    teller.wait("Waiting for the circuit to open", lambda: service.circuit()["state"] == "open", service)
    circuit = service.circuit()
    teller.say(
        f"[red]The circuit {BREAKER} is open[/] after {circuit['failed']} failures in a row "
        f"({circuit['last_failure']}). Nobody is called for {OPEN_FOR:g} s."
    )

    receiver.start()
    teller.say("[green]The receiver is back.[/]")
    teller.wait("Waiting for every notification", lambda: _owed(service, incidents) == 0, service)
    teller.say("The circuit let one call through to test the receiver, and then all of them.")
    teller.wait("Waiting for the circuit to close", lambda: service.circuit()["state"] == "closed", service)
    teller.say(f"[green]The circuit {BREAKER} is closed.[/]")
    return incidents


def _play_assessment(teller: Teller, service: Service, rating: ServiceServer) -> dict[str, str]:
    """The service that rates severities dies and comes back; returns the incident's title by id."""
    rating.stop()
    teller.say("[red]Sentinel, which rates severities, dies.[/] Another alert arrives.")
    incident_id = service.post_alert("AnswersDrift", "llm-1")
    incidents = {incident_id: "AnswersDrift on llm-1"}

    def rated_by() -> str | None:
        found: str | None = service.incident(incident_id)["assessment"]["classified_by"]
        return found

    teller.wait("Waiting for its severity", lambda: rated_by() is not None, service)
    teller.say(f"Its severity was rated by {rated_by()}, and the incident says so.")
    teller.wait("Waiting for its notification", lambda: _owed(service, incidents) == 0, service)
    rating.start()
    teller.say("[green]Sentinel is back.[/]")
    teller.wait("Waiting for Sentinel to be asked again", lambda: rated_by() == "sentinel", service)
    teller.say("What was put off is done: the severity was rated by sentinel.")
    return incidents


def _owed(service: Service, incidents: dict[str, str]) -> int:
    """How many notifications are not delivered."""
    notifications = [entry for found in incidents for entry in service.incident(found)["notifications"]]
    return sum(entry["status"] != "delivered" for entry in notifications)


def _report(console: Console, teller: Teller, service: Service, receiver: Receiver, incidents: dict[str, str]) -> bool:
    """Print which notification arrived when, as the receiver saw it; return whether all did."""
    table = Table("alert", "incident", "sends", "arrived", title="What happened")
    lost = 0
    for incident_id, title in incidents.items():
        for owed in service.incident(incident_id)["notifications"]:
            arrived = receiver.notifications.get(owed["id"])
            lost += arrived is None
            when = f"{arrived.at - teller.started:.1f} s" if arrived else "[red]never[/]"
            table.add_row(title, incident_id, str(owed["attempts"]), when)
    console.print(table)
    taken, arrived_count = len(incidents), len(receiver.notifications)
    console.print(f"{taken} alerts taken, {arrived_count} notifications arrived, {lost} lost.")
    return lost == 0 and arrived_count == taken and receiver.forgeries == 0
