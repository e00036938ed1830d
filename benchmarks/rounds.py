"""The rounds: in each, every candidate of every process is timed once, in a new random order, one at a time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import Spread
from benchmarks.rules import Scale
from benchmarks.scenarios import Scenario, scenarios

ROOT = Path(__file__).parent.parent


class WorkerError(Exception):
    """A worker process could not start, or ended."""


class Process:
    """One worker process with one kernel."""

    def __init__(self, kernel: str, scale: Scale, *, peers: bool) -> None:
        arguments = json.dumps({"peers": peers, "scale": asdict(scale)})
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", arguments],
            cwd=ROOT,
            env={**os.environ, "RECLOSER_KERNEL": kernel},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def start(self) -> None:
        """Wait until it serves.

        Raises:
            WorkerError: It ended instead.
        """
        self.about = self._read()

    def ask(self, **request: str) -> Any:
        """Send one request and wait for the answer.

        Raises:
            WorkerError: The process has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines()
            raise WorkerError(lines[-1] if lines else "the worker process ended")
        return json.loads(line)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.__exit__(kind, exc, traceback)
        self._errors.close()


@dataclass
class Series:
    """What one candidate did in one scenario."""

    samples: list[dict[str, float]] = field(default_factory=list)
    floor: list[dict[str, float]] = field(default_factory=list)
    """The samples of the floor in the same rounds and the same process."""
    reason: str | None = None
    """Why there are no samples."""
    throughput: bool = False
    """Whether the ratio is one of throughput, not of time."""

    def spread(self, key: str = "seconds") -> Spread:
        """Median and quartiles over the rounds."""
        return Spread.of([sample[key] for sample in self.samples])

    def ratio(self) -> Spread | None:
        """Median and quartiles of the ratio to the floor, taken within each round."""
        if not self.floor or not self.samples:
            return None
        ratios = [mine["seconds"] / its["seconds"] for mine, its in zip(self.samples, self.floor, strict=True)]
        return Spread.of([1 / ratio for ratio in ratios] if self.throughput else ratios)


@dataclass
class Results:
    """All that was measured."""

    scale: Scale
    scenarios: list[Scenario]
    candidates: dict[str, dict[str, Any]]
    missing: dict[str, str]
    series: dict[str, dict[str, Series]] = field(default_factory=dict)

    def of(self, scenario: str, candidate: str) -> Series:
        """The series of one candidate in one scenario."""
        return self.series[scenario][candidate]


def measure_all(scale: Scale, *, peers: bool, progress: Callable[[str], None]) -> Results:
    """Start the processes and run every scenario."""
    with ExitStack() as stack:
        main = stack.enter_context(Process("python", scale, peers=peers))
        main.start()
        processes = [main]
        candidates = {about["label"]: about for about in main.about["candidates"]}
        missing = dict(main.about["missing"])
        try:
            native = stack.enter_context(Process("c", scale, peers=False))
            native.start()
        except WorkerError as error:
            missing["recloser C"] = str(error)
        else:
            if native.about["kernel"] == "c":
                processes.append(native)
                ours = native.about["candidates"][-1]
                candidates = _insert_before(candidates, "recloser Python", ours)
            else:
                missing["recloser C"] = "this installation has no C kernel"
        results = Results(scale, scenarios(scale), candidates, missing)
        for scenario in results.scenarios:
            progress(scenario.title)
            results.series[scenario.name] = _measure(scenario, processes, scale)
    return results


def _insert_before(candidates: dict[str, Any], before: str, new: dict[str, Any]) -> dict[str, Any]:
    inserted: dict[str, Any] = {}
    for label, about in candidates.items():
        if label == before:
            inserted[new["label"]] = new
        inserted[label] = about
    return inserted


def _measure(scenario: Scenario, processes: list[Process], scale: Scale) -> dict[str, Series]:
    series = [
        {label: Series(reason=reason) for label, reason in process.ask(prepare=scenario.name).items()}
        for process in processes
    ]
    rounds = scale.rounds
    if scenario.few:
        rounds = scale.creation_rounds if scenario.name in ("memory", "creation") else scale.few_rounds
    for _ in range(rounds):
        order = [(n, label) for n, found in enumerate(series) for label in found if found[label].reason is None]
        random.shuffle(order)
        for number, label in order:
            sample = processes[number].ask(sample=label)
            if isinstance(sample, str):
                series[number][label] = Series(reason=sample)
            else:
                series[number][label].samples.append(sample)
    merged: dict[str, Series] = {}
    for found in series:
        for label, one in found.items():
            if scenario.floor is not None and found[scenario.floor].samples:
                one.floor = found[scenario.floor].samples
            one.throughput = scenario.throughput
            merged.setdefault(label, one)
    return merged
