"""What the end of a delivery says about the destination, for its breaker."""

from __future__ import annotations

from typing import Any

from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError, UnexpectedDeliveryError
from recloser import Outcome, Verdict


def classify_delivery(exc: BaseException | None, result: Any) -> Verdict | Outcome | None:
    """A classifier for `recloser.Settings`.

    A refused notification says nothing about the destination's health: it answered. A request for less traffic opens
    the circuit for as long as it asked. Everything else that kept the notification from arriving is a failure.
    """
    match exc:
        case PermanentDeliveryError() | UnexpectedDeliveryError():
            return Outcome.IGNORED
        case TransientDeliveryError(throttled=True):
            return Verdict(Outcome.THROTTLED, retry_after=exc.retry_after)
        case _:
            return None
