"""Changes as they happen: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Message, Send

from incident_manager.access.caller import Caller
from incident_manager.access.roles import Role
from incident_manager.api.authentication import CurrentCaller, requires
from incident_manager.api.errors import ApiError
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import SeverityIn
from incident_manager.api.services import Current, Services
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.timeline import TimelineKind
from incident_manager.store.changes import Change
from incident_manager.stream.subscription import CircuitChanged, Interest, Joined, Subscription

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/stream", tags=["stream"], route_class=StrictRoute, dependencies=[requires(Role.READ)])

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies and clients then know that the connection lives."""

SEND_TIMEOUT = 20.0
"""Seconds a client may leave the connection full before it is cut off."""

_EVENTS = {TimelineKind.OPENED: "incident.opened", TimelineKind.RESOLVED: "incident.resolved"}

_EXAMPLE = """event: incident.opened
id: 41
data: {"at": "2026-01-05T09:00:00Z", "actor": "source:prometheus", "kind": "opened", ...}

"""


class Topic(StrEnum):
    """What a client may follow."""

    INCIDENTS = "incidents"
    CIRCUIT_BREAKERS = "circuit_breakers"


class EventStream(StreamingResponse):
    """A stream that does not wait for ever for a client that reads nothing."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Send the stream, and cut off a client that leaves the connection full."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            logger.warning("a client of the stream reads nothing and is cut off")


async def interest(
    topic: Annotated[list[Topic] | None, Query(description="Only these; may be repeated.")] = None,
    incident_id: Annotated[list[str] | None, Query(description="Only of these incidents; may be repeated.")] = None,
    severity: Annotated[list[SeverityIn] | None, Query(description="Only of these; may be repeated.")] = None,
    source: Annotated[list[str] | None, Query(description="Only of these; may be repeated.")] = None,
) -> Interest:
    """Return what the query asks for."""
    topics = topic or list(Topic)
    return Interest(
        incidents=Topic.INCIDENTS in topics,
        circuit_breakers=Topic.CIRCUIT_BREAKERS in topics,
        incident_ids=frozenset(incident_id or ()),
        severities=frozenset(severity or ()),
        sources=frozenset(source or ()),
    )


async def last_event_id(
    header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The `id` of the last event that was received.")
    ] = None,
) -> int | None:
    """Return after which change the client wants to go on.

    Raises:
        ApiError: 422: no event had this id.
    """
    if not header:
        return None
    if not header.isascii() or not header.isdecimal() or len(header) > 18:
        raise ApiError(422, "invalid_request", "Last-Event-ID must be the id of an event", field="Last-Event-ID")
    return int(header)


async def subscription(
    services: Current, wanted: Annotated[Interest, Depends(interest)]
) -> AsyncIterator[Subscription]:
    """Give a subscription for as long as the answer is being sent."""
    with services.stream.subscribe(wanted) as found:
        yield found


@router.get(
    "",
    response_class=EventStream,
    responses={
        **errors(422, 503),
        200: {
            "description": "Events, until one side ends the connection.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
    },
)
async def follow(
    services: Current,
    caller: CurrentCaller,
    client: Annotated[Subscription, Depends(subscription)],
    last_id: Annotated[int | None, Depends(last_event_id)],
) -> EventStream:
    """Follow what happens, as server-sent events.

    `incident.opened`, `incident.changed` and `incident.resolved` are the lines of the incidents' histories, whichever
    process wrote them. Their `id` is the same in every process, so that a client that comes back with `Last-Event-ID`
    misses nothing; `joined` says that it has been told what it missed. `circuit_breakers` tells how all circuits of the
    answering process are when the client comes in, and `circuit_breaker` which one has changed since; neither is
    repeated. A comment is sent after 15 seconds of silence. A client that does not keep up is cut off.
    """
    events = _events(services, client, last_id, caller)
    return EventStream(events, headers={"X-Accel-Buffering": "no"})


async def _events(
    services: Services, client: Subscription, last_id: int | None, caller: Caller
) -> AsyncIterator[bytes]:
    if client.interest.circuit_breakers:
        yield _event("circuit_breakers", _circuits(services))
    else:
        yield KEEPALIVE_COMMENT
    while not client.has_ended:
        item = await client.next(HEARTBEAT)
        if not services.access.is_still_good(caller):
            return
        match item:
            case None:
                yield KEEPALIVE_COMMENT
            case Joined(position):
                async for missed in _missed(services, client, last_id, position):
                    yield missed
                if not client.has_ended:
                    yield _event("joined", {"position": position}, position)
            case CircuitChanged(data):
                yield _event("circuit_breaker", data)
            case Change():
                yield _change(item)


async def _missed(services: Services, client: Subscription, last_id: int | None, position: int) -> AsyncIterator[bytes]:
    """What happened between the last event a client had and its coming in."""
    if last_id is None or not client.interest.incidents:
        return
    try:
        async for change in services.stream.between(last_id, position):
            if client.interest.includes(change):
                yield _change(change)
    except StoreUnavailableError:
        client.end()  # it comes again with the same id


def _change(change: Change) -> bytes:
    data = {
        "at": _time(change.at),
        "actor": change.actor,
        "kind": change.kind,
        "message": change.message,
        "data": change.data,
        "incident": {
            "id": change.incident_id,
            "title": change.title,
            "severity": change.severity,
            "status": change.status,
            "source": change.source,
            "version": change.version,
            "assignee": change.assignee,
            "acknowledged_at": None if change.acknowledged_at is None else _time(change.acknowledged_at),
        },
    }
    return _event(_EVENTS.get(change.kind, "incident.changed"), data, change.sequence)


def _circuits(services: Services) -> dict[str, Any]:
    shown = services.registry.stats().values()
    return {"circuit_breakers": [{"name": s.name, "state": str(s.state), "control": str(s.control)} for s in shown]}


def _event(name: str, data: Any, number: int | None = None) -> bytes:
    text = json.dumps(data, ensure_ascii=False)
    return format_sse_event(data_str=text, event=name, id=None if number is None else str(number))


def _time(at: Any) -> str:
    return str(at.isoformat().replace("+00:00", "Z"))
