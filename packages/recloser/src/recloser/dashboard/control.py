"""An operator's word from the page: checked, carried out, logged and audited."""

from __future__ import annotations

import datetime
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from recloser.breaker import CircuitBreaker
from recloser.dashboard.history import History
from recloser.dashboard.http import HttpError
from recloser.operations import OPERATIONS, Operation
from recloser.registry import Registry

logger = logging.getLogger("recloser.dashboard")

MAX_REASON = 500
"""Characters of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Somebody has operated a breaker from the page.

    Attributes:
        time: When (UTC).
        who: The name that `authorize` gave; `token` or `anonymous` where there is none.
        breaker: The breaker.
        operation: `open`, `close`, `observe`, `automatic` or `reset`.
        reason: His words.
    """

    time: datetime.datetime
    who: str
    breaker: str
    operation: str
    reason: str


Audit: TypeAlias = Callable[[AuditRecord], "Awaitable[None] | None"]
"""Is told of every operation."""


@dataclass(frozen=True)
class Order:
    """What is to be done, checked.

    Attributes:
        breaker: To this breaker.
        operation: This.
        reason: For this reason.
    """

    breaker: CircuitBreaker
    operation: Operation
    reason: str

    @classmethod
    def of(cls, fields: Mapping[str, Any], registry: Registry) -> Order:
        """The order that the fields of a request give.

        Raises:
            HttpError: A field was refused.
        """
        name = _text(fields, "breaker")
        breaker = registry.get(name)
        if breaker is None:
            raise HttpError(404, "unknown_breaker", f"breaker={name!r}: there is no breaker of this name")
        word = _text(fields, "operation")
        operation = OPERATIONS.get(word)
        if operation is None:
            raise HttpError(422, "invalid", f"operation={word!r}: must be one of {', '.join(OPERATIONS)}")
        reason = " ".join(_text(fields, "reason").split())
        if not reason or len(reason) > MAX_REASON:
            raise HttpError(
                422,
                "invalid",
                f"reason: must have 1 to {MAX_REASON} characters: the next person on call will want to know",
            )
        if not reason.isprintable():
            raise HttpError(422, "invalid", "reason: must have no control characters")
        return cls(breaker, operation, reason)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise HttpError(422, "invalid", f"{name}={value!r}: must be a text")
    return value


class Desk:
    """Carries orders out.

    Args:
        history: Remembers who gave them.
        audit: Is told of each; an error in it is logged.
    """

    def __init__(self, history: History, audit: Audit | None) -> None:
        self._history = history
        self._audit = audit

    async def carry_out(self, order: Order, who: str) -> AuditRecord:
        """Do it, and have it on record."""
        name = order.breaker.name
        record = AuditRecord(
            time=datetime.datetime.now(datetime.UTC),
            who=who,
            breaker=name,
            operation=order.operation.name,
            reason=order.reason,
        )
        with self._history.done_by(name, order.reason, who):
            order.operation.apply(order.breaker, order.reason)
        logger.warning(
            "%r operated circuit %r: %s (%s)",
            who,
            name,
            record.operation,
            order.reason,
            extra={
                "event": "operated",
                "who": who,
                "breaker": name,
                "operation": record.operation,
                "reason": order.reason,
            },
        )
        if self._audit is not None:
            try:
                pending = self._audit(record)
                if inspect.isawaitable(pending):
                    await pending
            except Exception:  # user code; it is done and logged, and who did it must not be told that it is not
                logger.exception("the audit of an operation on circuit %r failed", name)
        return record
