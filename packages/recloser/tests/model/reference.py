"""A naive breaker to compare the real one with: lists instead of rings, sums instead of totals, no hot path.

Written from the design's words, not from the code: it keeps every call it has ever seen and works everything out anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recloser import CountWindow, Settings, TimeWindow


@dataclass
class Call:
    """One admitted call."""

    generation: int
    started: float
    probe: bool
    ended: bool = False


@dataclass
class Reference:
    """The breaker as the design tells it."""

    settings: Settings
    state: str = "closed"
    control: str = "automatic"
    generation: int = 0
    attempt: int = 0
    successes: int = 0
    changed_at: float = 0.0
    open_until: float = 0.0
    calls: list[Call] = field(default_factory=list)
    history: list[tuple[float, bool, bool]] = field(default_factory=list)
    streak: int = 0
    path: list[tuple[str, str]] = field(default_factory=list)

    def go(self, state: str, at: float) -> None:
        self.generation += 1
        if state != self.state:
            self.path.append((self.state, state))
            self.state, self.changed_at = state, at

    def open(self, at: float, wait: float | None = None) -> None:
        self.attempt += 1
        self.successes = 0
        if wait is None:
            wait = self.settings.recovery(self.attempt, 0.0, None)  # type: ignore[operator]
        self.open_until = at + wait
        self.go("open", at)

    def close(self, at: float) -> None:
        self.attempt = self.successes = self.streak = 0
        self.history.clear()
        self.go("closed", at)

    def probes(self) -> list[Call]:
        return [c for c in self.calls if c.probe and not c.ended and c.generation == self.generation]

    def tick(self, now: float) -> None:
        if self.state != "half_open" or now < self.changed_at + self.settings.half_open_timeout:
            return
        end, began = self.changed_at + self.settings.half_open_timeout, self.changed_at
        running = self.probes()
        for call in running:
            call.ended = True
        if any(call.started <= began for call in running):
            self.open(end)
        else:
            self.open_until = end
            self.go("open", end)

    def admit(self, now: float) -> Call | str:
        self.tick(now)
        if self.control == "forced_open":
            return "forced_open"
        if self.state == "open":
            if now < self.open_until:
                return "open"
            self.go("half_open", now)
        if self.state == "half_open" and len(self.probes()) >= self.settings.half_open_max_calls:
            return "half_open_full"
        call = Call(self.generation, now, self.state == "half_open")
        self.calls.append(call)
        return call

    def rates(self, now: float) -> tuple[int, int, int]:
        window = self.settings.window
        if isinstance(window, CountWindow):
            seen = self.history[-window.size :]
        else:
            assert isinstance(window, TimeWindow)
            width = window.duration / window.buckets
            first = now // width - window.buckets + 1
            seen = [entry for entry in self.history if entry[0] // width >= first]
        return len(seen), sum(f for _, f, _ in seen), sum(s for _, _, s in seen)

    def must_trip(self, now: float) -> bool:
        s = self.settings
        if s.failure_threshold is not None and self.streak >= s.failure_threshold:
            return True
        total, failures, slow = self.rates(now)
        if total < s.minimum_calls:
            return False
        by_failures = s.failure_rate_threshold is not None and failures / total >= s.failure_rate_threshold
        return by_failures or (s.slow_call_rate_threshold is not None and slow / total >= s.slow_call_rate_threshold)

    def settle(self, call: Call, outcome: str, now: float, retry_after: float | None = None) -> None:
        if call.ended:
            return
        self.tick(now)
        if call.ended:
            return
        call.ended = True
        slow_after = self.settings.slow_call_duration
        slow = slow_after is not None and now - call.started >= slow_after
        if call.generation != self.generation:
            if outcome == "throttled" and retry_after is not None and self.state == "open":
                self.open_until = max(self.open_until, now + min(retry_after, self.settings.max_retry_after))
        elif outcome == "ignored":
            pass
        elif outcome == "throttled":
            wait = None if retry_after is None else min(retry_after, self.settings.max_retry_after)
            if self.control != "forced_closed":
                self.open(now, wait)
        elif self.state == "closed":
            self.history.append((now, outcome == "failure", slow))
            self.streak = self.streak + 1 if outcome == "failure" else 0
            if self.must_trip(now) and self.control != "forced_closed":
                self.open(now)
        elif outcome == "failure" or (slow and self.settings.slow_call_rate_threshold is not None):
            self.open(now)
        else:
            self.successes += 1
            if self.successes >= self.settings.success_threshold:
                self.close(now)

    def operate(self, action: str, now: float) -> None:
        self.tick(now)
        before, self.control = self.control, {"reset": "automatic"}.get(action, action)
        if action == "forced_open":
            self.open_until = float("inf")
            if self.state != "open":
                self.go("open", now)
        elif (
            action == "reset"
            or (action == "automatic" and before == "forced_open")
            or (action == "forced_closed" and self.state != "closed")
        ):
            self.close(now)

    def in_flight(self) -> int:
        return sum(not call.ended for call in self.calls)
