"""What was measured of the service, as Markdown and as JSON."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measure import Spread
from benchmarks.report import platform_line, table
from benchmarks.service.failures import OPEN_FOR, TIMEOUT, Failing
from benchmarks.service.scale import Scale
from benchmarks.service.throughput import Throughput

BEGIN, END = "<!-- begin: make bench-service -->", "<!-- end: make bench-service -->"


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        load: The machine's load average of one minute, before and after; more than the number of cores means that
            other programs took their share.
    """

    scale: Scale
    throughput: Sequence[Throughput]
    failures: Sequence[Failing]
    load: tuple[float, float]


def to_json(results: Results, today: datetime.date) -> dict[str, Any]:
    """Every single measurement. Durations are seconds."""
    return {"date": today.isoformat(), "where": platform_line(today), "cores": os.cpu_count(), **asdict(results)}


def report(results: Results, today: datetime.date) -> str:
    """The whole page."""
    return _PAGE.format(
        where=platform_line(today),
        conditions=conditions(results),
        pairs=results.scale.pairs,
        seconds=results.scale.seconds,
        trials=results.scale.trials,
        window=results.scale.window,
        rate=results.scale.rate,
        timeout=TIMEOUT,
        open_for=OPEN_FOR,
        throughput=throughput_table(results.throughput),
        failures=failures_table(results.failures),
        busy=max(
            sender.busy for each in results.throughput for pair in each.pairs for sender in (pair.bare, pair.service)
        ),
    )


def summary(results: Results, today: datetime.date) -> str:
    """The part that the documentation shows."""
    tables = f"{throughput_table(results.throughput)}\n\n{failures_table(results.failures)}"
    return f"{platform_line(today)}. {conditions(results)}\n\n{tables}"


def conditions(results: Results) -> str:
    """What the figures must be read with."""
    before, after = results.load
    return (
        f"{os.cpu_count()} cores, shared by the sender, the server that is measured and the database; "
        f"load average {before:.1f} at the start and {after:.1f} at the end."
    )


def throughput_table(measured: Sequence[Throughput]) -> str:
    """Alerts a second and p99, of both, and the ratio with its quartiles."""
    head = ["store", "requests", "bare, alerts/s", "service, alerts/s", "ratio", "bare, p99", "service, p99"]
    rows = []
    for each in measured:
        figures = [f"{each.spread(side, 'rate').median:,.0f}" for side in ("bare", "service")]
        p99 = [milliseconds(each.spread(side, "p99")) for side in ("bare", "service")]
        rows.append(
            [f"{each.store}, {each.shape.senders} senders", each.shape.name, *figures, ratio(each.ratio()), *p99]
        )
    return table(head, rows).replace("| ---: | ---: |", "| --- | ---: |", 1)


def failures_table(measured: Sequence[Failing]) -> str:
    """p99 healthy and failing, and the ratio with its quartiles."""
    head = ["what fails", "open after", "p99 healthy", "p99 after the trip", "ratio", "into the journal", "refused"]
    rows = []
    for each in measured:
        journaled = sum(trial.failing.journaled for trial in each.trials)
        sent = sum(trial.failing.alerts for trial in each.trials)
        refused = sum(sum(trial.failing.refused.values()) for trial in each.trials)
        rows.append(
            [
                each.name,
                f"{each.spread(lambda trial: trial.until_open).median:.1f} s",
                milliseconds(each.spread(lambda trial: trial.healthy.p99)),
                milliseconds(each.spread(lambda trial: trial.failing.p99)),
                ratio(each.ratio()),
                f"{journaled} of {sent}",
                str(refused),
            ]
        )
    return table(head, rows)


def milliseconds(seconds: Spread) -> str:
    """A median duration."""
    return f"{seconds.median * 1000:,.0f} ms"


def ratio(spread: Spread) -> str:
    """A median with its quartiles."""
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


_PAGE = """# What the incident manager takes

`make bench-service` writes this page, and every single measurement into `service.json` beside it. {where}.
{conditions}

The sender is a process of its own that speaks HTTP on bare sockets; it used at most {busy:.0%} of a core.

## Throughput

The service with its default settings, beside a *bare endpoint* (`benchmarks/service/bare.py`): FastAPI on uvicorn
with one worker and the same driver, which reads the same JSON, inserts the alert as one row, commits and answers.
Both wait for the disk at each commit: SQLite in WAL mode with `synchronous = FULL`, PostgreSQL with `fsync = on`.
Each connection sends its next request when the last one was answered. {pairs} pairs of {seconds:g} s, one directly
after the other and in changing order. Figures are medians; a ratio is one of a pair, with the quartiles over the
pairs.

An answer of the service means more: the alert is checked, compared with what is open and silenced, and stored with
its incident, the timeline and the notifications that it owes.

{throughput}

## While a dependency fails

The service on PostgreSQL, with a Valkey, a receiver of notifications and small servers that speak the contracts of
the four LLM services. {rate:g} requests a second of one alert, 1 in 20 of a new trouble, whether earlier ones were
answered or not; a latency counts from the moment the request was due. In each of {trials} trials: {window:g} s
healthy, the failure, requests until the circuit is open, {window:g} s. Circuits open after 3 failures and stay open
for {open_for:g} s; receivers and LLM services get {timeout:g} s. "Into the journal" counts alerts that were
accepted while the database could not be used.

{failures}
"""
