"""How the service is doing: one reading, of which `/health` and `/metrics` tell the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.moments import now_of
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.store.backlog import Backlog, read_backlog
from incident_manager.store.database import Store
from incident_manager.store.journal import Journal, JournalState
from recloser import Clock, Registry, RegistryHealth

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that the database may take to answer. It is less than a probe or a scrape waits, so that these get to hear of
all the rest while the database hangs."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How the service is doing.

    Attributes:
        breakers: How many of its circuits are in which state.
        backlog: What is not done yet; None while the database cannot tell.
        journal: What is in the journal.
        journal_age: Seconds that the first alert has waited in it; 0 when none waits.
        delivery_problems: What keeps notifications of a destination from being worked on, other than an open circuit.
        configuration_problems: Why a file is not in force as it is, by its name.
    """

    breakers: RegistryHealth
    backlog: Backlog | None
    journal: JournalState
    journal_age: float
    delivery_problems: Mapping[str, str]
    configuration_problems: Mapping[str, str]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with anything it depends on. It takes alerts either way."""
        journaled = self.journal.waiting + self.journal.set_aside
        problems = self.delivery_problems or self.configuration_problems or journaled
        return self.breakers.healthy and self.backlog is not None and not problems


class ConditionReader:
    """Reads the condition.

    Args:
        registry: The breakers.
        store: Asked on each reading, for `PATIENCE` seconds at most.
        journal: The journal.
        dispatcher: The lanes of the destinations.
        clock: Time.
        refused: Which files are not in force as they are, and why.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        refused: Callable[[], Mapping[str, str]],
    ) -> None:
        self._registry = registry
        self._store = store
        self._journal = journal
        self._dispatcher = dispatcher
        self._clock = clock
        self._refused = refused

    async def read(self) -> Condition:
        """How it is doing now."""
        backlog = await self._backlog()
        return Condition(
            breakers=self._registry.health(),
            backlog=backlog,
            journal=self._journal.state,
            journal_age=self._journal.oldest_age,
            delivery_problems=self._dispatcher.problems(),
            configuration_problems=self._refused(),
        )

    async def _backlog(self) -> Backlog | None:
        now = now_of(self._clock)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._store.read(lambda unit: read_backlog(unit, now))
        except StoreUnavailableError as error:
            logger.debug("the backlog is not known: %s", error)
        except TimeoutError:
            logger.debug("the backlog is not known: the database did not answer within %g s", PATIENCE)
        return None
