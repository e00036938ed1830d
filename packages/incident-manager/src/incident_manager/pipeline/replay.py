"""From the journal into the database, in order, as soon as the database can be used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from incident_manager.domain.alert import Alert
from incident_manager.domain.errors import DuplicateOpenIncidentError, StoreUnavailableError
from incident_manager.notify.pacing import pause
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.journal import Entry, Journal

logger = logging.getLogger(__name__)

BATCH = 500
"""Alerts in one transaction."""

_LONGEST_PAUSE = 1.0
"""Seconds between two tries at most. While a breaker holds callers off, a try costs nothing."""

_GRACE = 10.0


class Replay:
    """Empties the journal. Use `start` and `stop`, from one event loop.

    An alert is forgotten by the journal after it was committed to the database; dying in between does no harm, since
    an alert that is stored already is passed over.

    Args:
        pipeline: Stores the alerts.
        journal: Open.
    """

    def __init__(self, pipeline: AlertPipeline, journal: Journal) -> None:
        self._pipeline = pipeline
        self._journal = journal
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="replay of the journal")

    async def stop(self) -> None:
        """Finish the transaction under way, and end."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_GRACE)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Look now: something was journaled."""
        self._wake.set()

    async def last_batch_is_done(self) -> None:
        """Return at once, unless the last alerts that wait are being stored just now; then when they are.

        Without this pause the journal would never be empty while alerts keep coming.
        """
        await self._open.wait()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            seconds = None
            try:
                await self._drain()
            except StoreUnavailableError as error:
                seconds = min(error.retry_after, _LONGEST_PAUSE)
            except DuplicateOpenIncidentError:
                seconds = 0.0
            except Exception:  # a fault of ours must not end it for good
                logger.exception("the journal could not be replayed")
                seconds = _LONGEST_PAUSE
            finally:
                self._open.set()
            await pause(self._stopping if seconds is not None else self._wake, seconds)

    async def _drain(self) -> None:
        before = self._journal.state.waiting
        stored = 0
        while self._journal.state.waiting and not self._stopping.is_set():
            if stored and self._journal.state.waiting <= BATCH:
                self._open.clear()  # the database has just proved that it works, so this is short
            entries = await self._journal.first(BATCH)
            await self._store(entries)
            stored += len(entries)
        if before and not self._journal.state.waiting:
            logger.info("the journal is empty again: %d alerts went into the database", stored)

    async def _store(self, entries: Sequence[Entry]) -> None:
        """Store entries and forget them; set aside those that the database refuses."""
        try:
            await self._pipeline.replay(_alerts(entries))
        except (StoreUnavailableError, DuplicateOpenIncidentError):
            raise
        except Exception as error:
            if len(entries) > 1:  # find the one that is at fault
                middle = len(entries) // 2
                await self._store(entries[:middle])
                await self._store(entries[middle:])
                return
            logger.exception("an alert in the journal cannot be stored; it is set aside until the next start")
            await self._journal.set_aside(entries[0], type(error).__name__)
        else:
            await self._journal.remove(entries)


def _alerts(entries: Sequence[Entry]) -> list[Alert]:
    return [entry.alert() for entry in entries]
