"""One destination's line of deliveries: claim, send through its breaker, settle; in order, one at a time."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from incident_manager.domain.delivery import MAY_HAVE_ARRIVED, PAGES, Delivery
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.moments import now_of
from incident_manager.notify.errors import (
    DeliveryError,
    DestinationGoneError,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnexpectedDeliveryError,
)
from incident_manager.notify.notifier import Notifier, Receipt
from incident_manager.notify.outbox import Outbox
from incident_manager.notify.pacing import DispatchPolicy, Pause, keep_on, pause
from recloser import CircuitBreaker, CircuitOpenError, Clock, State

logger = logging.getLogger(__name__)

_LEAST_WAIT = 0.2
"""Seconds to wait for a row that is due but leased or behind another one, so that looking again is no busy loop."""


class Attempt(StrEnum):
    """How an attempt to deliver ended."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    """Not now; it is tried again."""
    FAILED = "failed"
    """Never."""
    CANCELLED = "cancelled"
    """It was a page that nobody needs any more, and it was not sent."""


class Lane:
    """Delivers to one destination, until stopped.

    While the breaker rejects, rows are deferred to its retry time: they are not sent, not counted as attempts and not
    failed. What happens to the store is survived: a lane that cannot read waits and says so in `problem`; one that
    cannot write the outcome of a send keeps it and tries again before it sends anything else.

    Attributes:
        problem: What keeps it from working; None while nothing does.
        attempts: How many attempts ended in which way, since the start.

    Args:
        destination: Its name.
        notifier: How to send.
        breaker: What guards it, named `notify:<destination>`.
        outbox: Where deliveries wait.
        worker: Who holds the leases; differs for every lane of every process.
        clock: Time.
        policy: How deliveries are tried.
        interval: Least seconds between two sends.
        pages: Whether a notification there wakes somebody: then none is sent for an incident that was acknowledged or
            resolved while it waited.
        pause: How to wait.
    """

    def __init__(
        self,
        destination: str,
        notifier: Notifier,
        breaker: CircuitBreaker,
        outbox: Outbox,
        *,
        worker: str,
        clock: Clock,
        policy: DispatchPolicy,
        interval: float = 0.0,
        pages: bool = False,
        pause: Pause = pause,
    ) -> None:
        self.destination = destination
        self.worker = worker
        self.problem: str | None = None
        self.attempts: Counter[Attempt] = Counter()
        self._notifier = notifier
        self._breaker = breaker
        self._outbox = outbox
        self._clock = clock
        self._policy = policy
        self._interval = interval
        self._pages = pages
        self._pause = pause
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._next_send = clock.monotonic()
        self._deferred_until: datetime | None = None
        self._holds_rows = False

    def wake(self) -> None:
        """Look now: something was enqueued, or the breaker changed."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the send under way and end."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `stop`; an error never ends it."""
        await keep_on(
            self.step,
            name=f"the lane of {self.destination}",
            report=self._report,
            backoff=self._policy.store_backoff,
            wake=self._wake,
            stopping=self._stopping,
            pause=self._pause,
        )

    async def step(self) -> float:
        """Send what is due, up to one batch.

        Returns:
            Seconds after which to look again; 0 when there may be more.

        Raises:
            StoreUnavailableError: The outbox could not be read or written.
        """
        self._wake.clear()
        if self._holds_rows:  # the store went away in the middle of a batch
            await self._outbox.release(self.worker)
            self._holds_rows = False
        held = await self._held()
        if held is not None:
            return held
        now = self._now()
        if self._deferred_until is not None:
            if now < self._deferred_until:  # an operator let calls through before the retry time
                await self._outbox.hasten(destination=self.destination, at=now)
            self._deferred_until = None
        batch = await self._outbox.claim(
            destination=self.destination,
            worker=self.worker,
            now=now,
            lease=self._policy.lease,
            limit=self._policy.batch,
        )
        if not batch:
            return await self._until_due()
        lease_ends = self._clock.monotonic() + self._policy.lease
        self._holds_rows = True
        if not await self._send_all(batch, lease_ends):
            await self._outbox.release(self.worker)
        self._holds_rows = False
        return 0.0

    async def _held(self) -> float | None:
        """Seconds to wait because the breaker rejects calls; None when it would let one through."""
        retry_after = self._breaker.retry_after
        if retry_after == 0:
            return None
        if retry_after is None or self._breaker.state is not State.OPEN:
            # Nobody knows for how long; the rows stay due, so that they go out as soon as the breaker allows.
            return self._policy.poll
        self._deferred_until = self._now() + timedelta(seconds=retry_after)
        await self._outbox.defer(destination=self.destination, until=self._deferred_until)
        return retry_after

    async def _until_due(self) -> float:
        due = await self._outbox.next_due(self.destination)
        if due is None:
            return self._policy.poll
        return min(max((due - self._now()).total_seconds(), _LEAST_WAIT), self._policy.poll)

    async def _send_all(self, batch: Sequence[Delivery], lease_ends: float) -> bool:
        """Send a batch in order; False when rows of it are left."""
        for delivery in batch:
            if self._breaker.retry_after != 0:
                return False
            await self._keep_pace()
            now = self._clock.monotonic()
            if self._stopping.is_set() or now + self._policy.send_timeout > lease_ends:
                return False
            if await self._is_superseded(delivery):
                self.attempts[Attempt.CANCELLED] += 1
                continue
            self._next_send = now + self._interval
            if not await self._deliver(delivery):
                return False
        return True

    async def _keep_pace(self) -> None:
        while not self._stopping.is_set() and (wait := self._next_send - self._clock.monotonic()) > 0:
            await self._pause(self._stopping, wait)

    async def _is_superseded(self, delivery: Delivery) -> bool:
        if not self._pages or delivery.event not in PAGES:
            return False
        return await self._outbox.cancel_superseded(destination=self.destination, id=delivery.id, at=self._now())

    async def _deliver(self, delivery: Delivery) -> bool:
        """Send one and settle it; False when the breaker rejected the send."""
        try:
            receipt = await self._breaker.call(self._send, delivery)
        except CircuitOpenError:
            return False
        except TransientDeliveryError as exc:
            await self._retry(delivery, exc)
        except DestinationGoneError as exc:
            # An operator's hold, because nothing but a person's decision makes this destination want messages again.
            self._breaker.force_open(f"{exc}; reset the breaker to try again")
            await self._fail(delivery, str(exc))
        except PermanentDeliveryError as exc:
            await self._fail(delivery, str(exc))
        else:
            await self._succeed(delivery, receipt)
        return True

    async def _send(self, delivery: Delivery) -> Receipt:
        limit = self._policy.send_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._notifier.send(delivery)
        except DeliveryError:
            raise
        except TimeoutError:
            raise TransientDeliveryError(f"sending took longer than {limit:g} s", may_have_arrived=True) from None
        except Exception as exc:  # noqa: BLE001 - logged; others must be delivered, and this one when it is mended
            raise _unexpected(self.destination, delivery, exc) from None

    async def _succeed(self, delivery: Delivery, receipt: Receipt) -> None:
        logger.debug("%s was delivered to %s", delivery.id, self.destination)
        for warning in receipt.warnings:
            logger.warning("%s was delivered to %s, but %s", delivery.id, self.destination, warning)
        self.attempts[Attempt.DELIVERED] += 1
        await self._settle(
            lambda: self._outbox.mark_delivered(
                delivery.id, self.worker, self._now(), receipt=receipt.kept, warnings=receipt.warnings
            )
        )

    async def _retry(self, delivery: Delivery, failure: TransientDeliveryError) -> None:
        error = str(failure)
        age = (self._now() - delivery.created_at).total_seconds()
        if age >= self._policy.give_up_after:
            await self._fail(delivery, f"given up after {age / 3600:.1f} h: {error}")
            return
        self.attempts[Attempt.RETRIED] += 1
        attempts = delivery.attempts + 1
        backoff = self._policy.backoff
        asked = failure.retry_after
        seconds = backoff.after(attempts) if asked is None else backoff.as_asked(asked)
        logger.warning(
            "%s was not delivered to %s (attempt %d), next in %.1f s: %s",
            delivery.id,
            self.destination,
            attempts,
            seconds,
            error,
        )
        at = self._now() + timedelta(seconds=seconds)
        receipt = {**delivery.receipt, **failure.receipt}
        if failure.may_have_arrived:
            receipt[MAY_HAVE_ARRIVED] = True
        await self._settle(
            lambda: self._outbox.retry_later(
                delivery.id, self.worker, at, error, count_attempt=True, receipt=receipt or None
            )
        )

    async def _fail(self, delivery: Delivery, error: str) -> None:
        logger.error("%s will not be delivered to %s: %s", delivery.id, self.destination, error)
        self.attempts[Attempt.FAILED] += 1
        await self._settle(lambda: self._outbox.mark_failed(delivery.id, self.worker, self._now(), error))

    async def _settle(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write an outcome, however long the store is away: forgetting it would send the same again."""
        failures = 0
        while True:
            try:
                await write()
            except StoreUnavailableError as exc:
                if self._stopping.is_set():
                    raise
                failures += 1
                self._report(f"the store is away: {exc}")
                await self._pause(self._stopping, self._policy.store_backoff.after(failures))
            else:
                return

    def _report(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            logger.warning("deliveries to %s are interrupted: %s", self.destination, problem)
        elif problem is None and self.problem is not None:
            logger.info("deliveries to %s go on", self.destination)
        self.problem = problem

    def _now(self) -> datetime:
        return now_of(self._clock)


def _unexpected(destination: str, delivery: Delivery, exc: Exception) -> UnexpectedDeliveryError:
    """Log where an unexpected error came from. Its text is left out: it may hold a URL or a secret."""
    where = "".join(traceback.format_tb(exc.__traceback__))
    logger.error("sending %s to %s met an unexpected %s\n%s", delivery.id, destination, type(exc).__name__, where)
    return UnexpectedDeliveryError(f"unexpected {type(exc).__name__} while sending; the log says where")
