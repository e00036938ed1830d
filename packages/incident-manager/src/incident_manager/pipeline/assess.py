"""Assesses incidents off the way of alerts: asks the services, lets rules stand in, and asks again later."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from incident_manager.domain.assessment import Assessment, Finding, Job
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.incident import Incident
from incident_manager.llm.errors import LlmServiceError, RequestRefusedError
from incident_manager.llm.jobs import Assessor
from incident_manager.moments import now_of
from incident_manager.notify.backoff import Backoff
from incident_manager.notify.pacing import Pause, keep_on, pause
from incident_manager.pipeline.findings import keep
from incident_manager.pipeline.plan import NO_ASSESSMENT, AssessmentPlan
from incident_manager.pipeline.presentation import cleaned
from incident_manager.pipeline.router import Router
from incident_manager.store import assessments
from incident_manager.store.assessments import AssessmentQueue, Settled
from incident_manager.store.database import Store
from incident_manager.store.leases import new_worker
from incident_manager.store.repository import UnitOfWork
from recloser import BreakerReset, CircuitOpenError, Clock, ControlChanged, Event, State, StateChanged

logger = logging.getLogger(__name__)

_LEAST_WAIT = 0.2


@dataclass(frozen=True, kw_only=True)
class AssessmentPolicy:
    """How services are asked. Durations are seconds.

    Args:
        at_once: Incidents assessed at the same time.
        patience: How long a service may take before the rules stand in for it; its answer counts when it comes.
        lease: How long a claim lasts; longer than the longest call.
        backoff: Waits between the attempts of one job.
        give_up_after: Age at which a job is left with what the rules said.
        poll: The longest time without looking.
    """

    at_once: int = 8
    patience: float = 3.0
    lease: float = 120.0
    backoff: Backoff = field(default_factory=lambda: Backoff(base=5.0, maximum=300.0))
    give_up_after: float = 24 * 3600.0
    poll: float = 15.0


class Settlement(StrEnum):
    """What one attempt at a job came to."""

    ANSWERED = "answered"
    """The service's answer is kept."""
    LATE = "late"
    """Rules stand in while the service is still at work."""
    POSTPONED = "postponed"
    """Rules stand in, and the service is asked again later."""
    LEFT = "left"
    """Rules stand in for good."""


class AssessmentWorker:
    """Assesses what waits, until stopped. Use `start` and `stop`, from one event loop.

    Attributes:
        settled: How many attempts at each job came to what, since the start.

    Args:
        store: Where incidents and assessments are kept.
        assessors: Who does each job.
        router: Who is told when an incident proves worse.
        clock: Time.
        on_enqueued: Called after a commit that made notifications due, or after which groups are to be looked at again;
            it must not block.
        plan: What else is found out about incidents.
        policy: How services are asked.
        pause: How to wait.
    """

    def __init__(
        self,
        store: Store,
        assessors: Iterable[Assessor],
        router: Router,
        clock: Clock,
        on_enqueued: Callable[[], None],
        plan: AssessmentPlan = NO_ASSESSMENT,
        policy: AssessmentPolicy | None = None,
        pause: Pause = pause,
    ) -> None:
        self.queue = AssessmentQueue(store)
        self.problem: str | None = None
        self.settled: Counter[tuple[Job, Settlement]] = Counter()
        self._store = store
        self._assessors = {assessor.job: assessor for assessor in assessors}
        self._router = router
        self._clock = clock
        self._on_enqueued = on_enqueued
        self._plan = plan
        self._policy = policy or AssessmentPolicy()
        self._pause = pause
        self._worker = new_worker("assess")
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._recovered: set[Job] = set()
        self._task: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._unsubscribe: list[Callable[[], None]] = []

    @property
    def jobs(self) -> Collection[Job]:
        """What is found out: the jobs that somebody does."""
        return self._assessors.keys()

    async def start(self) -> None:
        """Begin; what an earlier process left is assessed too."""
        loop = asyncio.get_running_loop()
        for job, assessor in self._assessors.items():

            def changed(event: Event, job: Job = job, assessor: Assessor = assessor) -> None:
                if assessor.breaker.state is State.CLOSED:
                    loop.call_soon_threadsafe(self._recover, job)

            kinds = (StateChanged, ControlChanged, BreakerReset)
            self._unsubscribe.append(assessor.breaker.add_listener(changed, kinds))
        self._task = asyncio.create_task(self._run(), name="assess incidents")

    async def stop(self) -> None:
        """Stop asking, and give back what was claimed: another process, or the next one, asks again."""
        self._stopping.set()
        self._wake.set()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        tasks = [*self._running, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self.queue.release(self._worker)
        except StoreUnavailableError as error:
            logger.warning("the claimed assessments stay claimed until their lease ends: %s", error)

    def wake(self) -> None:
        """Look now: there are new incidents. To be called in the worker's event loop."""
        self._wake.set()

    async def finish(self) -> None:
        """Wait for the end of what is under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _recover(self, job: Job) -> None:
        self._recovered.add(job)
        self._wake.set()

    async def _run(self) -> None:
        await keep_on(
            self.step,
            name="assessing",
            report=self._report,
            backoff=self._policy.backoff,
            wake=self._wake,
            stopping=self._stopping,
            pause=self._pause,
        )

    def _report(self, problem: str | None) -> None:
        self.problem = problem

    async def step(self) -> float:
        """Begin to assess what is due, as far as there is room.

        Returns:
            Seconds after which to look again; 0 when there may be more.

        Raises:
            StoreUnavailableError: The store could not be read or written.
        """
        self._wake.clear()
        if self._recovered:
            recovered, self._recovered = self._recovered, set()
            await self.queue.hasten(recovered, self._now())
        if len(self._running) >= self._policy.at_once:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        room = self._policy.at_once - len(self._running)
        claimed = await self.queue.claim(
            worker=self._worker, now=self._now(), lease=self._policy.lease, limit=room * len(Job)
        )
        for _, jobs in groupby(sorted(claimed, key=_incident), key=_incident):
            task = asyncio.create_task(self._assess_safely(list(jobs)))
            self._running.add(task)
            task.add_done_callback(self._ended)
        if claimed:
            return 0.0
        due = await self.queue.next_due()
        if due is None:
            return self._policy.poll
        return min(max((due - self._now()).total_seconds(), _LEAST_WAIT), self._policy.poll)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()  # what was put off has a new time

    async def _assess_safely(self, due: Sequence[Assessment]) -> None:
        """Assess one incident; what goes wrong is tried again when the lease ends."""
        incident_id = due[0].incident_id
        try:
            await self._assess(incident_id, due)
        except StoreUnavailableError as error:
            logger.warning("the assessment of %s is put off: %s", incident_id, error)
        except Exception:  # a fault of ours must not end the assessment of others
            logger.exception("the assessment of %s met an unexpected error", incident_id)

    async def _assess(self, incident_id: str, due: Collection[Assessment]) -> None:
        """Do the jobs of one incident: the scan first, since the others may only see what it lets through."""
        incident, known = await self._store.read(lambda unit: _load(unit, incident_id))
        jobs = {item.job: item for item in due}
        late: dict[Job, asyncio.Task[Finding]] = {}
        try:
            if Job.SECURITY in jobs:
                late |= await self._round(incident, {Job.SECURITY: jobs.pop(Job.SECURITY)}, incident, known)
            if jobs:
                late |= await self._round(incident, jobs, cleaned(incident, known.values()), known)
            if late:
                await asyncio.wait(late.values())
                done = {item.job: item for item in due if item.job in late}
                await self._keep(incident, [self._settled(done[job], task, incident) for job, task in late.items()])
        finally:
            for task in late.values():
                task.cancel()

    async def _round(
        self, incident: Incident, jobs: Mapping[Job, Assessment], shown: Incident, known: dict[Job, Finding]
    ) -> dict[Job, asyncio.Task[Finding]]:
        """Ask for several jobs at once, and keep what is known when the patience ends; return those still asked."""
        tasks = {job: asyncio.create_task(self._ask(job, shown), name=f"{job} of {incident.id}") for job in jobs}
        try:
            await asyncio.wait(tasks.values(), timeout=self._policy.patience)
        except asyncio.CancelledError:
            for task in tasks.values():
                task.cancel()
            raise
        results = []
        for job, task in tasks.items():
            settled = self._settled(jobs[job], task, shown)
            known[job] = settled.finding
            results.append(settled)
        await self._keep(incident, results)
        return {job: task for job, task in tasks.items() if not task.done()}

    async def _ask(self, job: Job, incident: Incident) -> Finding:
        assessor = self._assessors.get(job)
        if assessor is None:  # the service was taken out of the settings
            raise RequestRefusedError(job.value, "no service is configured for it any more")
        return await assessor.ask(incident)

    def _settled(self, item: Assessment, task: asyncio.Task[Finding], incident: Incident) -> Settled:
        """What is to be kept of a job now; counted."""
        settlement, settled = self._settlement(item, task, incident)
        self.settled[item.job, settlement] += 1
        return settled

    def _settlement(
        self, item: Assessment, task: asyncio.Task[Finding], incident: Incident
    ) -> tuple[Settlement, Settled]:
        if not task.done():
            return Settlement.LATE, Settled(self._stand_in(item, incident), is_running=True)
        error = task.exception()
        if error is None:
            return Settlement.ANSWERED, Settled(task.result())
        finding = self._stand_in(item, incident)
        if isinstance(error, RequestRefusedError):
            logger.warning("%s of %s stays with %s: %s", item.job, item.incident_id, finding.by, error)
            return Settlement.LEFT, Settled(finding)
        if not isinstance(error, LlmServiceError | CircuitOpenError):
            logger.error("%s of %s met an unexpected error", item.job, item.incident_id, exc_info=error)
        age = (self._now() - item.created_at).total_seconds()
        if age >= self._policy.give_up_after:
            logger.warning("%s of %s stays with %s after %.1f h", item.job, item.incident_id, finding.by, age / 3600)
            return Settlement.LEFT, Settled(finding)
        later = self._now() + timedelta(seconds=self._wait(item, error))
        return Settlement.POSTPONED, Settled(finding, pending_until=later)

    def _stand_in(self, item: Assessment, incident: Incident) -> Finding:
        if item.finding is not None:
            return item.finding
        assessor = self._assessors.get(item.job)
        return _nothing(item.job) if assessor is None else assessor.fallback(incident)

    def _wait(self, item: Assessment, error: BaseException) -> float:
        wait = self._policy.backoff.after(item.attempts + 1)
        retry_after = getattr(error, "retry_after", None)
        return wait if retry_after is None else max(wait, self._policy.backoff.as_asked(retry_after))

    async def _keep(self, incident: Incident, results: Collection[Settled]) -> None:
        at = self._now()
        router, plan = self._router, self._plan
        due = await self._store.run(lambda unit: keep(unit, incident.id, self._worker, list(results), router, at, plan))
        if due:
            self._on_enqueued()

    def _now(self) -> datetime:
        return now_of(self._clock)


def _incident(item: Assessment) -> str:
    return item.incident_id


def _nothing(job: Job) -> Finding:
    """Of a job whose service was taken out of the settings."""
    return Finding(job=job, by="nobody", is_fallback=True)


async def _load(unit: UnitOfWork, incident_id: str) -> tuple[Incident, dict[Job, Finding]]:
    incident = await unit.get(incident_id)
    known = await assessments.of_incident(unit, incident_id)
    return incident, {item.job: item.finding for item in known if item.finding is not None}
