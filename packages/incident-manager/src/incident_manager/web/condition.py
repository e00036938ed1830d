"""What does not work as it should, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from incident_manager.api.services import Services
from incident_manager.protection import DATABASE
from incident_manager.web.views import BacklogView
from recloser import Control, State, Stats

LATE = 60.0
"""Seconds that a notification may be overdue before the pages say so."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that does not work.

    Attributes:
        text: What it is, and what that means.
        link: The page that tells more; None when there is none.
    """

    text: str
    link: str | None = None


def troubles(services: Services, backlog: Sequence[BacklogView], *, database_away: bool = False) -> list[Trouble]:
    """Return what does not work now, the worst first; nothing when all is well.

    Args:
        services: The running service.
        backlog: What destinations should have by now.
        database_away: The database could not be asked just now, whatever its circuit says.
    """
    stats = services.registry.stats()
    found: list[Trouble] = []
    if database_away or is_troubled(stats[DATABASE]):
        found.append(Trouble("The database cannot be used. Alerts are still accepted, into the journal.", "/breakers/"))
    found += _of_journal(services)
    found += _of_circuits(each for name, each in stats.items() if name != DATABASE)
    found += _of_deliveries(services, backlog, services.now())
    return found


def is_troubled(stats: Stats) -> bool:
    """Tell whether a circuit keeps calls back, or an operator has taken it over."""
    return stats.state is not State.CLOSED or stats.control is not Control.AUTOMATIC


def _of_circuits(circuits: Iterable[Stats]) -> Iterable[Trouble]:
    """Those that an operator has taken over one by one, with the reason; the others together, by their state."""
    troubled = [each for each in circuits if is_troubled(each)]
    for each in troubled:
        if each.control is not Control.AUTOMATIC:
            why = f": {each.control_reason}" if each.control_reason else ""
            yield Trouble(f"The circuit {each.name} is {_words(each.control)} by an operator{why}.", "/breakers/")
    for state in (State.OPEN, State.HALF_OPEN):
        names = [each.name for each in troubled if each.control is Control.AUTOMATIC and each.state is state]
        if names:
            are = "circuit is" if len(names) == 1 else "circuits are"
            yield Trouble(f"{len(names)} {are} {_words(state)}: {', '.join(names)}.", "/breakers/")


def _of_journal(services: Services) -> list[Trouble]:
    state = services.journal.state
    found = []
    if state.waiting:
        found.append(Trouble(f"{_counted(state.waiting, 'alert')} in the journal, not in the database yet."))
    if state.set_aside:
        found.append(Trouble(f"{_counted(state.set_aside, 'alert')} set aside: the database refused them."))
    return found


def _of_deliveries(services: Services, backlog: Sequence[BacklogView], now: datetime) -> list[Trouble]:
    found = [
        Trouble(f"Deliveries to {name} stand still: {problem}.", "/deliveries")
        for name, problem in services.dispatcher.problems().items()
    ]
    for late in backlog:
        overdue = (now - late.since).total_seconds()
        if overdue >= LATE:
            count = _counted(late.waiting, "notification")
            text = f"{count} waiting for {late.destination}, the first for {age(overdue)}."
            found.append(Trouble(text, "/deliveries"))
    return found


def age(seconds: float) -> str:
    """Return how long ago something was, roughly, as people say it: `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0.0, seconds)
    for unit, length, upto in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86_400)):
        if seconds < upto:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 86_400:.0f} d"


def _words(value: State | Control) -> str:
    return str(value).replace("_", " ")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
