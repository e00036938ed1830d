"""What a breaker looks like: every text of its card, and the lines of its sparkline.

Pure. The page is filled with these texts on the server, and kept up to date with the same ones in the browser.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias
from urllib.parse import quote, unquote

from recloser.dashboard.history import Entry
from recloser.dashboard.samples import BAR_SECONDS, BARS, Bar, latency_of
from recloser.events import BreakerReset, Control, ControlChanged, State, StateChanged
from recloser.stats import Stats

Texts: TypeAlias = dict[str, str]
"""The texts of a card or a line by the place they belong to."""

STATE_WORDS = {State.CLOSED: "Closed", State.OPEN: "Open", State.HALF_OPEN: "Half-open"}

CONTROL_WORDS = {
    Control.AUTOMATIC: "",
    Control.FORCED_OPEN: "Held open",
    Control.FORCED_CLOSED: "Held closed",
    Control.DISABLED: "Disabled",
    Control.OBSERVE_ONLY: "Observes only",
}

SPARK_WIDTH, SPARK_HEIGHT = 4 * BARS, 32
"""The coordinates of a sparkline."""

_MAX_NAME, _MAX_TEXT = 200, 300
_NOTHING = "–"  # noqa: RUF001 - the dash of an empty cell


def key_of(name: str) -> str:
    """A name as it stands in links and forms: ASCII only, and every name has another one."""
    return quote(name, safe="", errors="surrogatepass")


def name_of(key: str) -> str:
    """The name of a key; empty for what `key_of` has not made, as no breaker's name is."""
    try:
        return unquote(key, errors="surrogatepass")
    except UnicodeDecodeError:
        return ""


def shown(text: str, limit: int = _MAX_TEXT) -> str:
    """A text of somebody else's as it can be shown: in one line, not too long, and nothing that cannot be encoded."""
    line = " ".join(text[: limit + 1].split())
    safe = line.encode("utf-8", "backslashreplace").decode()
    return safe if len(text) <= limit else f"{safe[:limit]}…"


def card(stats: Stats, bars: Sequence[Bar], slot: int, groups: Sequence[str]) -> Texts:
    """The texts of a breaker's card.

    Args:
        stats: What it shows of itself.
        bars: Its last minutes, see `Samples`.
        slot: The slice of time of the reading.
        groups: What it belongs to.
    """
    latency = latency_of(stats, bars)
    failing = stats.state is not State.CLOSED or bool(stats.failure_rate)
    return {
        "key": key_of(stats.name),
        "name": shown(stats.name, _MAX_NAME),
        "state": str(stats.state),
        "state-word": STATE_WORDS[stats.state],
        "since": f"for {duration(stats.time_in_state)}",
        "control": str(stats.control),
        "control-word": CONTROL_WORDS[stats.control],
        "control-reason": shown(stats.control_reason or ""),
        "groups": ", ".join(shown(name, _MAX_NAME) for name in groups),
        "next": _next_probe(stats),
        "failure-rate": percent(stats.failure_rate),
        "slow-rate": percent(stats.slow_call_rate),
        "window": f"of {stats.window_calls} calls" if stats.window_calls != 1 else "of 1 call",
        "rejected": f"{stats.rejected:,}",
        "rejected-of": f"{stats.observed_rejections:,} would be" if stats.observed_rejections else "since start",
        "in-flight": f"{stats.in_flight:,}",
        "p50": bound(latency and latency.p50),
        "p95": bound(latency and latency.p95),
        "p99": bound(latency and latency.p99),
        "latency-of": "" if latency is None else "last 5 min" if latency.recent else "since start",
        "last-failure": shown(stats.last_failure or "") if failing else "",
        **sparkline(bars, slot),
    }


def _next_probe(stats: Stats) -> str:
    if stats.state is State.HALF_OPEN:
        return f"Probing now, {stats.probes_in_flight} in flight"
    if stats.state is State.CLOSED:
        return ""
    if stats.control is Control.OBSERVE_ONLY:
        return "Calls go through"
    if stats.retry_after is None:
        return "Until an operator ends it"
    if stats.retry_after <= 0:
        return "Next call is a probe"
    return f"Next probe in {duration(math.ceil(stats.retry_after))}"


def percent(ratio: float | None) -> str:
    """A ratio of 0 to 1; what is not 0 is not shown as 0, and what is not all is not shown as 100."""
    if ratio is None:
        return _NOTHING
    rounded = round(100 * ratio)
    if rounded == 0 and ratio > 0:
        return "<1 %"
    return ">99 %" if rounded == 100 and ratio < 1 else f"{rounded} %"


def bound(seconds: float | None) -> str:
    """The upper bound of a latency."""
    if seconds is None:
        return _NOTHING
    if math.isinf(seconds):
        return "> 60 s"
    return f"≤ {seconds * 1_000:g} ms" if seconds < 1 else f"≤ {seconds:g} s"


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length or (unit == "min" and whole >= length):
            return f"{whole // length} {unit}"
    return f"{whole} s"


# Sparklines: one column per slice of time, from below: succeeded, failed, rejected.


def sparkline(bars: Iterable[Bar], slot: int) -> Texts:
    """The three paths of a sparkline, and what it says in words."""
    first = slot - BARS + 1
    seen = [bar for bar in bars if bar.slot >= first]
    highest = max((bar.succeeded + bar.failed + bar.rejected for bar in seen), default=1)
    scale = SPARK_HEIGHT / max(1, highest)

    def path(part: Callable[[Bar], int], below: Callable[[Bar], int]) -> str:
        columns = [(4 * (bar.slot - first), part(bar) * scale, below(bar) * scale) for bar in seen if part(bar)]
        return "".join(f"M{x} {SPARK_HEIGHT - base:.4g}h3v{-max(1.0, height):.4g}h-3z" for x, height, base in columns)

    sums = [sum(column) for column in zip(*(bar[1:4] for bar in seen), strict=True)] or [0, 0, 0]
    seen_calls = f"{sum(sums):,} call{'s' if sum(sums) != 1 else ''}, {sums[1]:,} failed, {sums[2]:,} rejected"
    return {
        "spark-succeeded": path(lambda bar: bar.succeeded, lambda bar: 0),
        "spark-failed": path(lambda bar: bar.failed, lambda bar: bar.succeeded),
        "spark-rejected": path(lambda bar: bar.rejected, lambda bar: bar.succeeded + bar.failed),
        "spark-text": f"{seen_calls if sum(sums) else 'No calls seen'} in the last {duration(BARS * BAR_SECONDS)}",
    }


# History


def line(entry: Entry) -> Texts:
    """The texts of one change."""
    event = entry.event
    when = datetime.datetime.fromtimestamp(event.time, datetime.UTC)
    kind, what, why = _what(event)
    return {
        "number": str(entry.number),
        "iso": when.isoformat(timespec="milliseconds"),
        "time": when.strftime("%b %d %H:%M:%S"),
        "key": key_of(event.breaker),
        "name": shown(event.breaker, _MAX_NAME),
        "kind": kind,
        "what": what,
        "why": shown(why),
        "who": "" if entry.who is None else f"by {shown(entry.who, _MAX_NAME)}",
    }


def _what(event: StateChanged | ControlChanged | BreakerReset) -> tuple[str, str, str]:
    if isinstance(event, BreakerReset):
        return "reset", "was reset", event.reason
    if isinstance(event, ControlChanged):
        return "control", CONTROL_WORDS[event.to_control].lower() or "is automatic again", event.reason
    word = "opened" if event.to_state is State.OPEN else f"is {STATE_WORDS[event.to_state].lower()}"
    for_how_long = "" if event.open_for is None else f" for {duration(round(event.open_for))}"
    reason = event.reason.replace("_", " ")
    return str(event.to_state), word + for_how_long, f"{reason}: {event.detail}" if event.detail else reason
