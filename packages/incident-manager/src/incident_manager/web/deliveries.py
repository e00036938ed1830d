"""The notifications that wait to be sent."""

from __future__ import annotations

from starlette.responses import Response

from incident_manager.api.errors import ApiError
from incident_manager.store.backlog import owed, waiting_deliveries
from incident_manager.store.repository import UnitOfWork
from incident_manager.web.views import BacklogView, DeliveriesView, WaitingView
from incident_manager.web.visit import Visit

PAGE = 100
"""Notifications in one page."""


async def show(visit: Visit) -> Response:
    """The list, the first enqueued first."""
    services, given = visit.services, visit.request.query_params
    destination, after, now = given.get("destination") or None, _after(given.get("after", "")), services.now()

    async def read(unit: UnitOfWork) -> DeliveriesView:
        found = await waiting_deliveries(unit, destination=destination, after=after, limit=PAGE + 1)
        shown = [
            WaitingView.model_validate(
                {
                    **{name: getattr(one, name) for name in WaitingView.model_fields if name != "title"},
                    "title": str(one.payload.get("title", "")),
                }
            )
            for one in found[:PAGE]
        ]
        return DeliveriesView(
            deliveries=shown,
            next_after=shown[-1].sequence if len(found) > PAGE else None,
            backlog=BacklogView.of(await owed(unit, now)),
        )

    question = {"page": "deliveries", "destination": destination, "after": after}
    found = await services.reads.get(DeliveriesView, question, lambda: services.store.read(read))
    return visit.page(
        "deliveries.html",
        backlog=found.answer.backlog,
        database_away=found.stale is not None,
        stale=found.stale,
        found=found.answer,
        destination=destination,
        destinations=sorted({*services.dispatcher.lanes, *(one.destination for one in found.answer.backlog)}),
        circuits={name.removeprefix("notify:"): stats for name, stats in services.registry.stats().items()},
    )


def _after(given: str) -> int:
    if not given:
        return 0
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise ApiError(422, "invalid_cursor", "after: must be the number that the page before gave", field="after")
    return int(given)
