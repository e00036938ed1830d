"""Measure the service and write the tables.

    python -m benchmarks.service [--quick] [--output FOLDER]

With the defaults it writes benchmarks/SERVICE.md, benchmarks/service.json, and the tables in
docs/explanation/performance.md. With `--quick` or `--tiny` it writes to build/benchmarks instead.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import splice
from benchmarks.rounds import ROOT
from benchmarks.service import failures, report, throughput
from benchmarks.service.report import Results
from benchmarks.service.scale import FULL, QUICK, TINY, Scale
from benchmarks.service.sender import Sender

PAGE = ROOT / "docs/explanation/performance.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.service", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="two minutes, for a first look; noisy")
    size.add_argument("--tiny", action="store_true", help="almost nothing, to see that it works")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write SERVICE.md and service.json")
    arguments = parser.parse_args(argv)
    scale = QUICK if arguments.quick else TINY if arguments.tiny else FULL

    results = measure(scale)
    published = scale is FULL and arguments.output is None
    folder = arguments.output or (ROOT / "benchmarks" if published else ROOT / "build/benchmarks")
    _write(results, folder, published=published)


def measure(scale: Scale) -> Results:
    """Measure everything."""
    before = os.getloadavg()[0]
    with Sender() as sender:
        taken = throughput.measure(sender, scale, _progress)
        failing = failures.measure(sender, scale, _progress)
    return Results(scale, taken, failing, (before, os.getloadavg()[0]))


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(results: Results, folder: Path, *, published: bool) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SERVICE.md").write_text(report.report(results, today))
    (folder / "service.json").write_text(json.dumps(report.to_json(results, today), indent=1) + "\n")
    summary = report.summary(results, today)
    if published:
        PAGE.write_text(splice(PAGE.read_text(), summary, report.BEGIN, report.END))
    print(summary)
    _progress(f"written: {folder / 'SERVICE.md'}")


if __name__ == "__main__":
    main()
