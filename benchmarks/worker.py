"""One process of the benchmark: it holds one kernel of recloser, and times what it is asked to, one line a request.

python -m benchmarks.worker {"peers": true, "scale": {...}}
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any

import recloser
from benchmarks import measure, peers
from benchmarks.peers import Candidate
from benchmarks.rules import Scale
from benchmarks.scenarios import Sampler, UnsupportedError, scenarios


class Worker:
    """Prepares the candidates for one scenario at a time, and takes samples of them."""

    def __init__(self, scale: Scale, candidates: list[Candidate]) -> None:
        self._scale = scale
        self._candidates = candidates
        self._scenarios = {scenario.name: scenario for scenario in scenarios(scale)}
        self._samplers: dict[str, Sampler] = {}
        self._run = asyncio.new_event_loop().run_until_complete

    def prepare(self, scenario: str) -> dict[str, str | None]:
        """For each candidate None, or the reason why it takes no part."""
        self._samplers.clear()
        reasons: dict[str, str | None] = {}
        for candidate in self._candidates:
            try:
                prepare = self._scenarios[scenario].prepare
                self._samplers[candidate.label] = prepare(candidate, self._scale, self._run)
                reasons[candidate.label] = None
            except UnsupportedError as reason:
                reasons[candidate.label] = str(reason)
            except Exception as error:
                reasons[candidate.label] = f"failed: {type(error).__name__}: {error}"
        measure.settle()
        return reasons

    def sample(self, candidate: str) -> dict[str, float] | str:
        """One sample, or the error that a candidate of the scenario ran into."""
        try:
            return self._samplers[candidate]()
        except Exception as error:
            return f"failed: {type(error).__name__}: {error}"


def describe(candidates: list[Candidate], missing: dict[str, str]) -> dict[str, Any]:
    """Who takes part in this process."""
    return {
        "kernel": recloser.kernel_name(),
        "missing": missing,
        "candidates": [
            {
                "label": candidate.label,
                "distribution": candidate.distribution,
                "version": version(candidate.distribution) if candidate.distribution else "",
                "sync": candidate.sync,
                "asynchronous": candidate.asynchronous,
                "features": vars(candidate.features),
            }
            for candidate in candidates
        ],
    }


def main() -> None:
    """Serve requests until the input ends."""
    arguments = json.loads(sys.argv[1])
    scale = {**arguments["scale"], "windows": tuple(arguments["scale"]["windows"])}
    candidates, missing = peers.load(peers=arguments["peers"])
    worker = Worker(Scale(**scale), candidates)
    print(json.dumps(describe(candidates, missing)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = worker.prepare(request["prepare"]) if "prepare" in request else worker.sample(request["sample"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
