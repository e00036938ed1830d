"""The way in of alerts: into the database, or into the journal while that cannot be used."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from incident_manager.domain.alert import Alert
from incident_manager.domain.errors import DuplicateOpenIncidentError, JournalUnavailableError, StoreUnavailableError
from incident_manager.pipeline.coalesce import Coalescer
from incident_manager.pipeline.correlate import Accepted, Action
from incident_manager.pipeline.order import order_of
from incident_manager.pipeline.process import GROUP_LIMIT, AlertPipeline
from incident_manager.pipeline.replay import Replay
from incident_manager.store.journal import Journal

logger = logging.getLogger(__name__)


class AlertIntake:
    """Takes alerts, whatever the state of the database. Await `start` before and `stop` after use.

    While something waits in the journal, what comes goes behind it, so that alerts count in the order of their coming.
    An alert may be stored and journaled as well, when nobody can tell whether a commit succeeded; it counts once.

    Attributes:
        taken: What became of how many alerts, since the start.
        refused: How many could not be taken.

    Args:
        pipeline: Stores alerts in the database.
        journal: Open.
        patience: Seconds that the database may take before an alert goes into the journal instead.
    """

    def __init__(self, pipeline: AlertPipeline, journal: Journal, patience: float) -> None:
        self.taken: Counter[Action] = Counter()
        self.refused = 0
        self._pipeline = pipeline
        self._journal = journal
        self._patience = patience
        self._replay = Replay(pipeline, journal)
        self._journaling: Coalescer[Sequence[Alert], None] = Coalescer(self._append, weigh=len, limit=GROUP_LIMIT)

    async def start(self) -> None:
        """Begin with what an earlier process left in the journal."""
        self._replay.start()

    async def stop(self) -> None:
        """End; what waits in the journal stays there."""
        await self._replay.stop()

    async def accept(self, alerts: Sequence[Alert]) -> list[Accepted]:
        """Take the alerts of one request. They are on disk when this returns; when it raises, none is accepted.

        Returns:
            What became of each alert, in the order given.

        Raises:
            JournalUnavailableError: Neither the database nor the journal can take them.
        """
        try:
            accepted = await self._take(alerts) if alerts else []
        except JournalUnavailableError:
            self.refused += len(alerts)
            raise
        self.taken.update(one.action for one in accepted)
        return accepted

    async def _take(self, alerts: Sequence[Alert]) -> list[Accepted]:
        try:
            async with asyncio.timeout(self._patience):
                await self._replay.last_batch_is_done()
                if self._journal.state.waiting == 0:
                    return await self._pipeline.accept(alerts)
        except (StoreUnavailableError, DuplicateOpenIncidentError, TimeoutError) as error:
            logger.debug("alerts go into the journal: %s", error or "the database takes too long")
        await self._journaling.submit([alerts[index] for index in order_of(alerts)])
        self._replay.wake()
        return [Accepted(alert.id, None, Action.JOURNALED) for alert in alerts]

    async def _append(self, requests: Sequence[Sequence[Alert]]) -> list[None]:
        await self._journal.append([alert for alerts in requests for alert in alerts])
        return [None] * len(requests)
