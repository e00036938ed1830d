"""What a breaker shows of itself."""

from __future__ import annotations

import dataclasses
import datetime
import math
from dataclasses import dataclass
from typing import Any

from recloser.events import Control, State
from recloser.kernel import BUCKET_BOUNDS, Reading
from recloser.machine import Machine
from recloser.outcomes import Outcome

_END_OF_TIME = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A consistent reading of one breaker. Counters only grow; they survive state changes and resets.

    Attributes:
        name: The breaker.
        state: Closed, open or half-open.
        control: Who decides.
        control_reason: The operator's words, or None when the breaker decides.
        since: When the state last changed (UTC).
        time_in_state: Seconds since then.
        state_seconds: Seconds spent in each state since the breaker was made, the present stay included.
        open_until: When an open circuit may be probed (UTC), which may lie in the past when no call has come since;
            None when it is not open, or only an operator can tell.
        retry_after: Seconds until a call may be admitted; 0 when one may be now, None when only an operator can tell.
        calls: Ended and rejected calls by status: each `Outcome`, and `rejected`.
        rejections: Rejected calls by reason: `open`, `half_open_full`, `forced_open`.
        observed_rejections: Calls that would have been rejected, but for shadow mode.
        in_flight: Calls admitted and not settled, probes included.
        probes_in_flight: Probes admitted and not settled.
        consecutive_failures: Failures since the last success, while closed.
        failure_rate: Failed calls over calls in the window (0..1), or None when it is empty.
        slow_call_rate: Slow calls over calls in the window (0..1), or None when it is empty.
        window_calls: Calls in the window.
        attempt: Openings since the circuit was last closed.
        transitions: How often each change of state happened.
        last_failure: The last counted failure as text.
        duration_buckets: Calls per bucket of `BUCKET_BOUNDS` (not cumulative), the last for what is longer.
        duration_sum: Seconds spent in those calls.
        tags: The settings' tags.
    """

    name: str
    state: State
    control: Control
    control_reason: str | None
    since: datetime.datetime
    time_in_state: float
    state_seconds: dict[State, float]
    open_until: datetime.datetime | None
    retry_after: float | None
    calls: dict[str, int]
    rejections: dict[str, int]
    observed_rejections: int
    in_flight: int
    probes_in_flight: int
    consecutive_failures: int
    failure_rate: float | None
    slow_call_rate: float | None
    window_calls: int
    attempt: int
    transitions: dict[tuple[State, State], int]
    last_failure: str | None
    duration_buckets: tuple[int, ...]
    duration_sum: float
    tags: dict[str, str]

    @property
    def successful(self) -> int:
        """Calls that succeeded, slow ones included."""
        return self.calls[Outcome.SUCCESS] + self.calls[Outcome.SLOW]

    @property
    def failed(self) -> int:
        """Calls that failed."""
        return self.calls[Outcome.FAILURE]

    @property
    def rejected(self) -> int:
        """Calls that were rejected."""
        return self.calls["rejected"]

    def percentile(self, ratio: float) -> float | None:
        """Upper bound in seconds of the latency bucket that holds this share (0..1) of the calls; None without calls.

        It is as exact as the histogram's buckets; beyond the last bound it is infinite.
        """
        total = sum(self.duration_buckets)
        if not total:
            return None
        seen = 0
        for bound, count in zip((*BUCKET_BOUNDS, float("inf")), self.duration_buckets, strict=True):
            seen += count
            if seen >= ratio * total:
                return bound
        return float("inf")

    def to_dict(self) -> dict[str, Any]:
        """The same as values that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["since"] = self.since.isoformat()
        values["open_until"] = None if self.open_until is None else self.open_until.isoformat()
        values["state_seconds"] = {str(state): seconds for state, seconds in self.state_seconds.items()}
        values["transitions"] = [
            {"from_state": str(pair[0]), "to_state": str(pair[1]), "count": count}
            for pair, count in self.transitions.items()
        ]
        values["duration_buckets"] = list(self.duration_buckets)
        return {**values, "state": str(self.state), "control": str(self.control)}


def read(machine: Machine, name: str, now: float, time: float) -> Stats:
    """Take a reading. The caller holds the breaker's lock; `now` is monotonic and `time` Unix seconds."""
    seen = machine.kernel.reading(now)
    in_state = max(0.0, now - machine.changed_at)
    return Stats(
        name=name,
        state=machine.state,
        control=machine.control,
        control_reason=machine.control_reason,
        since=datetime.datetime.fromtimestamp(time - in_state, datetime.UTC),
        time_in_state=in_state,
        state_seconds=machine.seconds_in(now),
        open_until=_open_until(machine, now, time),
        retry_after=machine.retry_after(now),
        calls=calls_by_status(seen),
        rejections=seen.rejections,
        observed_rejections=machine.observed_rejections,
        in_flight=seen.in_flight,
        probes_in_flight=machine.probes_in_flight,
        consecutive_failures=seen.consecutive_failures,
        failure_rate=seen.failure_rate,
        slow_call_rate=seen.slow_call_rate,
        window_calls=seen.window_calls,
        attempt=machine.attempt,
        transitions=dict(machine.transitions),
        last_failure=machine.last_failure,
        duration_buckets=seen.histogram,
        duration_sum=seen.duration_sum,
        tags=dict(machine.settings.tags),
    )


def calls_by_status(seen: Reading) -> dict[str, int]:
    """Ended and rejected calls by status: each `Outcome`, and `rejected`."""
    ended: dict[str, int] = {str(outcome): count for outcome, count in seen.counts.items()}
    return {**ended, "rejected": sum(seen.rejections.values())}


def _open_until(machine: Machine, now: float, time: float) -> datetime.datetime | None:
    if machine.state is not State.OPEN or not math.isfinite(machine.open_until):
        return None
    # Two clocks are read at slightly different moments: rounded, the same deadline reads the same each time.
    deadline = round(time + machine.open_until - now, 3)
    return datetime.datetime.fromtimestamp(min(deadline, _END_OF_TIME), datetime.UTC)
