"""The history of the circuit breakers, as it goes out over HTTP."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from incident_manager.api.schemas import Model
from recloser import State

if TYPE_CHECKING:
    from incident_manager.history.summary import Summary


class SliceOut(Model):
    """One of 24 equal parts of the window."""

    at: datetime = Field(description="When it begins.")
    calls: float = Field(description="Rejected ones included. A fraction where a counted span crosses the edge.")
    failed: float
    rejected: float
    open_seconds: float


class KpisOut(Model):
    """Key figures. Seconds and calls are added up over all processes of the service; ratios are 0 to 1."""

    observed_seconds: float = Field(description="How long processes looked, added up.")
    calls: int = Field(description="Succeeded, failed and rejected ones.")
    succeeded: int
    failed: int
    rejected: int
    availability: float | None = Field(description="`succeeded / calls`; null without calls.")
    rejection_rate: float | None = Field(description="`rejected / calls`; null without calls.")
    open_seconds: float
    open_ratio: float | None = Field(description="`open_seconds / observed_seconds`.")
    transitions: int = Field(description="Changes of state.")
    transitions_per_day: float = Field(description="`transitions` over the window's length in days.")
    openings: int
    mean_time_open: float | None = Field(description="Seconds; mean of the stays in open that ended in the window.")
    recoveries: int = Field(description="Circuits that closed again, without an operator's hand.")
    time_to_recovery: float | None = Field(
        description="Seconds; mean time from the closed state to the closed state, of the `recoveries`."
    )
    p99: float | None = Field(
        description="Seconds within which 99 of 100 callers had an answer, those rejected at once among them. Upper "
        "bound of a histogram's bucket; 60 stands for longer, too."
    )
    p99_without_breaker: float | None = Field(
        description="An estimate of the same without breakers: each rejected call takes as long as the failing calls "
        "of its breaker did in the window. Null when calls were rejected and none failed."
    )
    failures_avoided: int = Field(
        description="Calls that breakers rejected by themselves, which would have gone to a failing dependency; an "
        "upper bound of the failures that callers were spared."
    )
    incidents_avoided: int = Field(description="Those of the `recoveries` in which calls were rejected.")
    slices: list[SliceOut] = Field(description="The course of it, oldest first.")


class BreakerKpisOut(KpisOut):
    """The key figures of one circuit breaker."""

    name: str


class CircuitBreakersKpis(Model):
    """The key figures of the circuit breakers in a window of time."""

    window: float = Field(description="Its length in seconds.")
    since: datetime
    until: datetime
    history_since: datetime | None = Field(
        description="When the history begins. A window that begins earlier is not full."
    )
    total: KpisOut
    circuit_breakers: list[BreakerKpisOut]

    @classmethod
    def of(cls, summary: "Summary") -> Self:
        """A summary as it goes out."""
        return cls(
            window=summary.window,
            since=summary.since,
            until=summary.until,
            history_since=summary.history_since,
            total=KpisOut.model_validate(summary.total),
            circuit_breakers=[
                BreakerKpisOut(name=name, **dict(KpisOut.model_validate(kpis)))
                for name, kpis in summary.breakers.items()
            ],
        )


class TransitionOut(Model):
    """One change of state of a circuit breaker of one process of the service."""

    at: datetime
    instance: str = Field(description="The process.")
    from_state: State
    to_state: State
    reason: str = Field(description="The rule, such as `consecutive_failures`, `probe_failed` or `operator`.")
    detail: str | None = Field(description="The operator's words, or the failure that opened the circuit.")
    open_for: float | None = Field(description="For one that opens: seconds until the first probe.")
    attempt: int = Field(description="Openings since the circuit was last closed.")
    stayed: float = Field(description="Seconds in the state before.")
    recovery_seconds: float | None = Field(description="For one that closes: seconds since it was last closed.")
    rejected: int | None = Field(description="For one that closes: calls rejected since it was last closed.")
    by_operator: bool = Field(description="Whether an operator had a hand in it since the circuit was last closed.")


class TransitionPage(Model):
    """One page of changes of state, newest first."""

    transitions: list[TransitionOut]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")
