"""What the breakers of one process have seen, for people and for programs."""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.events import State, StateChanged
from recloser.registry import Registry
from recloser.summaries import Counts


@dataclass(frozen=True)
class Opening:
    """The first time that a circuit opened.

    Attributes:
        time: When (UTC).
        reason: The rule that was broken; see `recloser.StateChanged`.
    """

    time: datetime.datetime
    reason: str


class Recorder:
    """Reads a registry's counters, and remembers when each of its circuits opened first.

    Args:
        registry: The breakers.
        observe_only: Whether they are in shadow mode; also an attribute.
    """

    def __init__(self, registry: Registry, *, observe_only: bool) -> None:
        self._registry = registry
        self.observe_only = observe_only
        self._before: Mapping[str, Counts] = {}
        self._first: dict[str, Opening] = {}
        self._started = time.monotonic()
        self.stop = registry.add_listener(self._opened, (StateChanged,))

    def _opened(self, event: StateChanged) -> None:
        if event.to_state is State.OPEN:
            when = datetime.datetime.fromtimestamp(event.time, datetime.UTC)
            self._first.setdefault(event.breaker, Opening(when, event.reason))

    def after_fork(self) -> None:
        """In a forked child: what the parent has counted is the parent's."""
        self._before = {name: Counts.of(stats) for name, stats in self._registry.stats().items()}
        self._first.clear()
        self._started = time.monotonic()

    def report(self) -> dict[str, Any]:
        """The report as values that JSON can hold. Dependencies that were not called are left out."""
        rows = []
        for name, stats in self._registry.stats().items():
            counts = Counts.of(stats).since(self._before.get(name, Counts()))
            if counts != Counts():
                first = self._first.get(name)
                opened = None if first is None else {"time": first.time.isoformat(), "reason": first.reason}
                rows.append({"name": name, **vars(counts), "first_opening": opened})
        return {
            "pid": os.getpid(),
            "program": program(),
            "seconds": round(time.monotonic() - self._started, 3),
            "observe_only": self.observe_only,
            "dependencies": rows,
        }

    def write(self, target: str) -> None:
        """Append the report to a file (`.json` and `.jsonl`: one line per process), or to standard error for `-`.

        Nothing is written when nothing was called.
        """
        report = self.report()
        if not report["dependencies"]:
            return
        if target == "-":
            sys.stderr.write(as_text(report))
            sys.stderr.flush()
            return
        text = json.dumps(report) + "\n" if Path(target).suffix in (".json", ".jsonl") else as_text(report)
        # One write to the end of the file: processes that end at the same time do not mix.
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def program() -> str:
    """The program as people know it: the name of its script, without its arguments, which may hold secrets."""
    return os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) and sys.argv[0] else "python"


def as_text(report: Mapping[str, Any]) -> str:
    """A report as a table."""
    shadow = report["observe_only"]
    rejected = "would be rejected" if shadow else "rejected"
    title = f"recloser: process {report['pid']} ({report['program']}), {report['seconds']:.1f} s"
    cells = [("dependency", "calls", "failed", "slow", rejected, "would have opened" if shadow else "opened")]
    for row in report["dependencies"]:
        refused = row["would_be_rejected"] if shadow else row["rejected"]
        cells.append((row["name"], *map(str, (row["calls"], row["failed"], row["slow"], refused)), _opened(row)))
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    lines = [title]
    for name, *numbers, opened in cells:
        columns = [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join(["", *columns, opened]))
    return "\n".join(lines) + "\n"


def _opened(row: Mapping[str, Any]) -> str:
    if not row["openings"]:
        return "never"
    first = row["first_opening"]
    times = "once" if row["openings"] == 1 else f"{row['openings']} times"
    return times if first is None else f"{times}, first at {first['time']}: {first['reason']}"
