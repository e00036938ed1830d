"""Pages that nobody has to be woken by any more: the incident was acknowledged or resolved before they were sent."""

from __future__ import annotations

from collections.abc import Sequence

from incident_manager.domain.delivery import MAY_HAVE_ARRIVED, PAGES, Delivery, DeliveryStatus


def superseded(delivery_id: str, history: Sequence[Delivery]) -> list[Delivery]:
    """Return what need not be sent instead of sending one page: the page and what follows only from it; or nothing.

    A page is superseded when its incident was acknowledged or resolved after it was enqueued. If the receiver was never
    told of the incident, it is not told of the acknowledgement or the end either; a receiver that was, or that may have
    been, is. A page enqueued after the acknowledgement, because the incident got worse, stands for itself.

    Args:
        delivery_id: The page that would be sent now, pending.
        history: Everything enqueued for its incident and destination, in order.
    """
    index = next(i for i, delivery in enumerate(history) if delivery.id == delivery_id)
    waiting = [delivery for delivery in history[index:] if delivery.status is DeliveryStatus.PENDING]
    if all(delivery.event in PAGES for delivery in waiting):
        return []
    obsolete = waiting[:1]
    if not any(_is_known(delivery) for delivery in history[: index + 1]):
        for delivery in waiting[1:]:
            if delivery.event in PAGES:
                break
            obsolete.append(delivery)
    return obsolete


def _is_known(delivery: Delivery) -> bool:
    if delivery.event not in PAGES:
        return False
    return delivery.status is DeliveryStatus.DELIVERED or bool(delivery.receipt.get(MAY_HAVE_ARRIVED))
