"""A change that a request asks for: its conditions, its record, and its answer, which a repetition gets again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from incident_manager.access.caller import Caller
from incident_manager.api.authentication import caller_of
from incident_manager.api.errors import ApiError
from incident_manager.api.preconditions import TAGS_PATTERN, IfMatch, entity_tag
from incident_manager.api.request_id import current_request_id
from incident_manager.api.schemas import IncidentOut
from incident_manager.api.services import Services, current
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.witness import Witness
from incident_manager.store.audit import AuditEntry, add_audit
from incident_manager.store.idempotency import KEPT_FOR, KeptAnswer, SameKeyAtOnceError, find_answer, keep_answer
from incident_manager.store.repository import UnitOfWork

ATTEMPTS = 3
"""Transactions tried while requests with the same key are served elsewhere at the same moment."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_UNINTERESTING = frozenset({"version", "updated_at", "last_seen"})

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 visible ASCII characters, new for each change. The same key with the same request gives"
        " the same answer for 24 hours and changes nothing again; with another request it is refused (422).",
        examples=["4f1c2b9e-0d7a-4b4e-9d7e-1f6f0c2f5a11"],
        json_schema_extra={"pattern": "^[!-~]{1,255}$"},
    ),
]
IfMatchHeader = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="`ETag` of the incident that was read; 412 if it has another version now.",
        examples=['"3-0123456789abcdef"'],
        json_schema_extra={"pattern": TAGS_PATTERN},
    ),
]


class _AnsweredBefore(Exception):
    def __init__(self, answer: KeptAnswer) -> None:
        self.answer = answer


class IncidentChange(Witness):
    """Accompanies a change through its transaction: what is audited and kept is stored with it, or not at all.

    Args:
        services: The running service.
        caller: Who asks.
        request: SHA-256 of the request.
        key: The idempotency key.
        condition: What the incident must be.
    """

    def __init__(self, services: Services, caller: Caller, request: str, key: str | None, condition: IfMatch) -> None:
        self._services = services
        self._caller = caller
        self._request = request
        self._key = key
        self._condition = condition
        self._action = ""
        self._by = ""
        self._status = 200
        self._kept: KeptAnswer | None = None

    def by(self, claimed: str | None) -> str:
        """Return the name under which the change is kept."""
        self._by = self._caller.signature(claimed)
        return self._by

    async def answer(self, action: str, work: Callable[[], Awaitable[Incident]], status: int = 200) -> Response:
        """Make the change, unless it was made before, and return its answer.

        Args:
            action: Its name in the audit log.
            work: Makes the change, in one transaction that this object witnesses.
            status: The HTTP status of the answer.
        """
        self._action, self._status = action, status
        for _ in range(ATTEMPTS):
            try:
                await work()
            except _AnsweredBefore as found:
                return _response(found.answer, {"Idempotent-Replayed": "true"})
            except SameKeyAtOnceError:
                continue
            assert self._kept is not None, "the work was not witnessed"
            return _response(self._kept)
        message = "a request with the same Idempotency-Key is being served; repeat it in a moment"
        raise ApiError(409, "idempotency_key_in_use", message, field="Idempotency-Key")

    async def before(self, unit: UnitOfWork) -> None:
        """Look for an answer that was given to the same request before."""
        if self._key is not None:
            found = await find_answer(unit, self._caller.key, self._key, self._request, self._oldest())
            if found is not None:
                raise _AnsweredBefore(found)

    def approve(self, incident: Incident) -> None:
        """Hold the incident against `If-Match`."""
        self._condition.check(incident)

    async def after(self, unit: UnitOfWork, before: Incident | None, after: Incident) -> None:
        """Write the audit entry, and the answer for repetitions."""
        self._kept = answer = self._answer_for(before, after)
        if after != before:
            await add_audit(unit, [self._entry(before, after)])
        if self._key is not None:
            await keep_answer(unit, self._caller.key, self._key, answer, self._services.now(), self._oldest())

    def _answer_for(self, before: Incident | None, after: Incident) -> KeptAnswer:
        body = IncidentOut.model_validate(after).model_dump_json()
        headers = {"ETag": entity_tag(after.version, body.encode())}
        if before is None:
            headers["Location"] = f"/v1/incidents/{after.id}"
        return KeptAnswer(request=self._request, status=self._status, headers=headers, body=body)

    def _entry(self, before: Incident | None, after: Incident) -> AuditEntry:
        return AuditEntry(
            at=self._services.now(),
            token_id=self._caller.token_id,
            actor=self._by,
            address=self._caller.address,
            action=self._action,
            target=after.id,
            changes=_changes(before, after),
            request_id=current_request_id(),
        )

    def _oldest(self) -> datetime:
        return self._services.now() - timedelta(seconds=KEPT_FOR)


def _changes(before: Incident | None, after: Incident) -> dict[str, Any]:
    """Tell what became of each part of an incident; of a new one, what it is."""
    new = after.to_dict()
    old = dict.fromkeys(new) if before is None else before.to_dict()
    return {
        name: {"from": old[name], "to": new[name]}
        for name in new
        if old[name] != new[name] and name not in _UNINTERESTING
    }


def _response(answer: KeptAnswer, more: dict[str, str] | None = None) -> Response:
    headers = {**answer.headers, **(more or {})}
    return Response(answer.body, answer.status, headers=headers, media_type="application/json")


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
    if key is not None and not _KEY.fullmatch(key):
        message = "Idempotency-Key must be 1 to 255 visible ASCII characters"
        raise ApiError(422, "invalid_request", message, field="Idempotency-Key")
    return IncidentChange(services, caller, await _digest(request), key, IfMatch(if_match))


async def _digest(request: Request) -> str:
    """Return what tells one request from another: method, path, and body byte for byte."""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    digest.update(await request.body())
    return digest.hexdigest()


NewIncident = Annotated[IncidentChange, Depends(incident_change)]
ChangedIncident = Annotated[IncidentChange, Depends(conditional_change)]
