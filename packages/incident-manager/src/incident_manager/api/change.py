"""A change that a request asks for: its record, and its answer, which a repetition gets again."""

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
from incident_manager.api.request_id import current_request_id
from incident_manager.api.services import Services, current
from incident_manager.store.audit import AuditEntry, add_audit
from incident_manager.store.idempotency import KEPT_FOR, KeptAnswer, SameKeyAtOnceError, find_answer, keep_answer
from incident_manager.store.repository import UnitOfWork

ATTEMPTS = 3
"""Transactions tried while requests with the same key are served elsewhere at the same moment."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

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


class _AnsweredBefore(Exception):
    def __init__(self, answer: KeptAnswer) -> None:
        self.answer = answer


class Change:
    """Accompanies a change through its transaction: what is audited and kept is stored with it, or not at all.

    Args:
        services: The running service.
        caller: Who asks.
        request: SHA-256 of the request.
        key: The idempotency key.
    """

    def __init__(self, services: Services, caller: Caller, request: str, key: str | None) -> None:
        self._services = services
        self._caller = caller
        self._request = request
        self._key = key
        self._by = ""
        self._kept: KeptAnswer | None = None

    def by(self, claimed: str | None) -> str:
        """Return the name under which the change is kept."""
        self._by = self._caller.signature(claimed)
        return self._by

    async def made(self, work: Callable[[], Awaitable[object]]) -> Response:
        """Make the change, unless it was made before, and return its answer.

        Args:
            work: Makes the change, in one transaction that calls `before` first and `record` last.

        Raises:
            ApiError: 409: requests with the same key are served elsewhere.
        """
        for _ in range(ATTEMPTS):
            try:
                await work()
            except _AnsweredBefore as found:
                return _response(found.answer, {"Idempotent-Replayed": "true"})
            except SameKeyAtOnceError:
                continue
            assert self._kept is not None, "the work was not recorded"
            return _response(self._kept)
        message = "a request with the same Idempotency-Key is being served; repeat it in a moment"
        raise ApiError(409, "idempotency_key_in_use", message, field="Idempotency-Key")

    async def before(self, unit: UnitOfWork) -> None:
        """Look for an answer that was given to the same request before."""
        if self._key is not None:
            found = await find_answer(unit, self._caller.key, self._key, self._request, self._oldest())
            if found is not None:
                raise _AnsweredBefore(found)

    async def record(
        self,
        unit: UnitOfWork,
        *,
        action: str,
        target: str,
        changes: dict[str, Any] | None,
        body: str,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write the audit entry, and the answer for repetitions.

        Args:
            unit: The transaction of the change.
            action: Its name in the audit log.
            target: The id of what is changed.
            changes: What became of each part; None if nothing changed, and nothing is to be audited.
            body: JSON text of the answer.
            status: HTTP status of the answer.
            headers: Further headers of the answer.
        """
        self._kept = answer = KeptAnswer(request=self._request, status=status, headers=headers or {}, body=body)
        if changes is not None:
            await add_audit(unit, [self._entry(action, target, changes)])
        if self._key is not None:
            await keep_answer(unit, self._caller.key, self._key, answer, self._services.now(), self._oldest())

    def _entry(self, action: str, target: str, changes: dict[str, Any]) -> AuditEntry:
        return AuditEntry(
            at=self._services.now(),
            token_id=self._caller.token_id,
            actor=self._by,
            address=self._caller.address,
            action=action,
            target=target,
            changes=changes,
            request_id=current_request_id(),
        )

    def _oldest(self) -> datetime:
        return self._services.now() - timedelta(seconds=KEPT_FOR)


def differences(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Tell what became of each part, for the audit log; of something new, what it is."""
    old = before or {}
    return {
        name: {"from": old.get(name), "to": value}
        for name, value in after.items()
        if before is None or old.get(name) != value
    }


def _response(answer: KeptAnswer, more: dict[str, str] | None = None) -> Response:
    headers = {**answer.headers, **(more or {})}
    return Response(answer.body, answer.status, headers=headers, media_type="application/json")


async def digest_of(request: Request, key: str | None) -> str:
    """Return what tells one request from another: method, path, and body byte for byte.

    Raises:
        ApiError: 422: the idempotency key is none.
    """
    if key is not None and not _KEY.fullmatch(key):
        message = "Idempotency-Key must be 1 to 255 visible ASCII characters"
        raise ApiError(422, "invalid_request", message, field="Idempotency-Key")
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    digest.update(await request.body())
    return digest.hexdigest()


async def change_of(
    request: Request,
    services: Annotated[Services, Depends(current)],
    caller: Annotated[Caller, Depends(caller_of)],
    key: IdempotencyKey = None,
) -> Change:
    """Return the change that a request asks for.

    Raises:
        ApiError: 422: a header cannot be read.
    """
    return Change(services, caller, await digest_of(request, key), key)


AnyChange = Annotated[Change, Depends(change_of)]
