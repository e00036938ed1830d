"""A change of an incident that a request asks for: its condition, and what the audit log holds of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from incident_manager.access.caller import Caller
from incident_manager.api.authentication import caller_of
from incident_manager.api.change import Change, IdempotencyKey, differences, digest_of
from incident_manager.api.incident_schemas import IncidentOut
from incident_manager.api.preconditions import TAGS_PATTERN, IfMatch, entity_tag
from incident_manager.api.services import Services, current
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.witness import Witness
from incident_manager.store.repository import UnitOfWork

_UNINTERESTING = frozenset({"version", "updated_at", "last_seen"})

IfMatchHeader = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="`ETag` of the incident that was read; 412 if it has another version now.",
        examples=['"3-0123456789abcdef"'],
        json_schema_extra={"pattern": TAGS_PATTERN},
    ),
]


Shown = Callable[[Incident], str]
"""The JSON text that answers a change."""


def _as_it_is(incident: Incident) -> str:
    return IncidentOut.model_validate(incident).model_dump_json()


class IncidentChange(Change, Witness):
    """Accompanies a change of an incident through its transaction.

    Args:
        services: The running service.
        caller: Who asks.
        request: SHA-256 of the request.
        key: The idempotency key.
        condition: What the incident must be.
    """

    def __init__(self, services: Services, caller: Caller, request: str, key: str | None, condition: IfMatch) -> None:
        super().__init__(services, caller, request, key)
        self._condition = condition
        self._action = ""
        self._status = 200
        self._shown: Shown = _as_it_is

    async def answer(
        self, action: str, work: Callable[[], Awaitable[Incident]], status: int = 200, shown: Shown = _as_it_is
    ) -> Response:
        """Make the change, unless it was made before, and return its answer.

        Args:
            action: Its name in the audit log.
            work: Makes the change, in one transaction that this object witnesses.
            status: The HTTP status of the answer.
            shown: How the incident is shown.
        """
        self._action, self._status, self._shown = action, status, shown
        return await self.made(work)

    def approve(self, incident: Incident) -> None:
        """Hold the incident against `If-Match`."""
        self._condition.check(incident)

    async def after(self, unit: UnitOfWork, before: Incident | None, after: Incident) -> None:
        """Write the audit entry, and the answer for repetitions."""
        body = self._shown(after)
        headers = {"ETag": entity_tag(after.version, body.encode())}
        if before is None:
            headers["Location"] = f"/v1/incidents/{after.id}"
        changes = _changes(before, after) if after != before else None
        await self.record(
            unit,
            action=self._action,
            target=after.id,
            changes=changes,
            body=body,
            status=self._status,
            headers=headers,
        )


def _changes(before: Incident | None, after: Incident) -> dict[str, Any]:
    """Tell what became of each part of an incident; of a new one, what it is that is not nothing."""
    new = after.to_dict()
    old = dict.fromkeys(new) if before is None else before.to_dict()
    return {name: change for name, change in differences(old, new).items() if name not in _UNINTERESTING}


async def incident_change(
    request: Request,
    services: Annotated[Services, Depends(current)],
    caller: Annotated[Caller, Depends(caller_of)],
    key: IdempotencyKey = None,
) -> IncidentChange:
    """Return the change that a request without `If-Match` asks for.

    Raises:
        ApiError: 422: a header cannot be read.
    """
    return await _change(request, services, caller, key, None)


async def conditional_change(
    request: Request,
    services: Annotated[Services, Depends(current)],
    caller: Annotated[Caller, Depends(caller_of)],
    key: IdempotencyKey = None,
    if_match: IfMatchHeader = None,
) -> IncidentChange:
    """Return the change that a request with or without `If-Match` asks for.

    Raises:
        ApiError: 422: a header cannot be read.
    """
    return await _change(request, services, caller, key, if_match)


async def _change(
    request: Request, services: Services, caller: Caller, key: str | None, if_match: str | None
) -> IncidentChange:
    return IncidentChange(services, caller, await digest_of(request, key), key, IfMatch(if_match))


NewIncident = Annotated[IncidentChange, Depends(incident_change)]
ChangedIncident = Annotated[IncidentChange, Depends(conditional_change)]
