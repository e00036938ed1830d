"""The key figures of a window, from the store and from what it does not have yet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from incident_manager.history.kpis import Changes, Kpis, by_breaker, kpis, summed
from incident_manager.history.recorder import Unwritten
from incident_manager.history.records import Tally
from incident_manager.store.breaker_history import changes_between, first_tally, tallies_between
from incident_manager.store.database import Store
from incident_manager.store.repository import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Key figures.

    Attributes:
        window: Length of the window in seconds.
        since: Its beginning.
        until: Its end.
        history_since: When the history begins; None when there is none. A window that begins earlier is not full.
        total: All breakers together.
        breakers: Each of them, by name.
    """

    window: float
    since: datetime
    until: datetime
    history_since: datetime | None
    total: Kpis
    breakers: dict[str, Kpis]


async def summarise(
    store: Store, names: Collection[str], window: float, until: datetime, unwritten: Unwritten | None = None
) -> Summary:
    """Return the key figures of a window.

    Args:
        store: Where the history is kept.
        names: Breakers to show even if nothing is kept of them.
        window: Its length in seconds.
        until: Its end.
        unwritten: What this process has not written yet, if it records.

    Raises:
        StoreUnavailableError: The history cannot be read.
    """
    since = until - timedelta(seconds=window)
    own = unwritten or Unwritten("", (), 0, ())

    async def read(unit: UnitOfWork) -> tuple[list[Tally], list[Changes], datetime | None]:
        tallies = await tallies_between(unit, since, until)
        changes = await changes_between(unit, since, until, but_of=own.instance, from_number=own.next_number)
        return list(tallies), list(changes), await first_tally(unit)

    kept, changes, begins = await store.read(read)
    news = {(one.instance, one.breaker, one.starts_at): one for one in own.tallies}
    tallies = [one for one in kept if (one.instance, one.breaker, one.starts_at) not in news]
    tallies += [one for one in news.values() if one.ends_at > since and one.starts_at < until]
    changes += summed(one for one in own.transitions if since < one.at <= until)
    moments = [*([begins] if begins else []), *(one.starts_at for one in own.tallies)]
    # A long window of many breakers is too much to be added up between two requests.
    return await asyncio.to_thread(_summary, names, tallies, changes, since, until, min(moments, default=None))


def _summary(
    names: Collection[str],
    tallies: list[Tally],
    changes: list[Changes],
    since: datetime,
    until: datetime,
    begins: datetime | None,
) -> Summary:
    return Summary(
        window=(until - since).total_seconds(),
        since=since,
        until=until,
        history_since=begins,
        total=kpis(tallies, changes, since, until),
        breakers=by_breaker(names, tallies, changes, since, until),
    )
