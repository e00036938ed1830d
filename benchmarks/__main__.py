"""Measure everything and write the tables and the picture.

    python -m benchmarks [--quick] [--output FOLDER]

With the defaults it writes benchmarks/RESULTS.md, docs/explanation/performance.svg, and the table in
docs/explanation/performance.md. With `--quick` or `--tiny` it writes to build/benchmarks instead.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.plot import draw
from benchmarks.rounds import ROOT, Results, measure_all
from benchmarks.rules import FULL, QUICK, TINY

PAGE = ROOT / "docs/explanation/performance.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="half a minute, for a first look; noisy")
    size.add_argument("--tiny", action="store_true", help="one round of almost nothing, to see that it works")
    parser.add_argument("--ours", action="store_true", help="measure recloser and the floor only")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write RESULTS.md and performance.svg")
    arguments = parser.parse_args(argv)
    scale = QUICK if arguments.quick else TINY if arguments.tiny else FULL

    started = time.monotonic()
    results = measure_all(scale, peers=not arguments.ours, progress=_progress)
    _progress(f"done in {time.monotonic() - started:.0f} s")

    published = scale is FULL and not arguments.ours and arguments.output is None
    folder = arguments.output or (ROOT / "benchmarks" if published else ROOT / "build/benchmarks")
    _write(results, folder, published=published)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(results: Results, folder: Path, *, published: bool) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    plot: Path | None = PAGE.with_suffix(".svg") if published else folder / "performance.svg"
    assert plot is not None
    try:
        draw(results, plot)
    except ImportError as error:
        _progress(f"no picture: {error}")
        plot = None
    folder.mkdir(parents=True, exist_ok=True)
    address = None if plot is None else Path(os.path.relpath(plot, folder)).as_posix()
    (folder / "RESULTS.md").write_text(report.report(results, today, address))
    if published:
        block = f"{report.platform_line(today)}.\n\n{report.summary(results)}\n\n{report.generators(results)}"
        PAGE.write_text(report.splice(PAGE.read_text(), block))
    print(report.summary(results), report.generators(results), sep="\n\n")
    _progress(f"written: {folder / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
