"""The results as Markdown."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measure import Spread
from benchmarks.peers.floor import BareCall, EmptyWrapper
from benchmarks.rounds import Results, Series

SINGLE = ("closed", "closed_async", "rejected", "rejected_async", "failing", "failing_async")
CROWDS = ("threads", "tasks")
GENERATORS = ("generator_1", "generator_100", "async_generator_1", "async_generator_100")
FLOOR = (BareCall.label, EmptyWrapper.label)


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table of words."""
    return table(head, rows).replace("---:", "---")


def duration(seconds: float) -> str:
    """Seconds with three digits and the unit that suits them."""
    for unit, factor in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 1_000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def times(ratio: float) -> str:
    """A ratio with as many digits as it deserves."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def ratio_of(series: Series) -> str:
    """The ratio to the floor, or a dash."""
    ratio = series.ratio()
    return "-" if ratio is None else times(ratio.median)


def platform_line(today: datetime.date) -> str:
    """Where and when."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{today.isoformat()}, {python}, {platform.system()} on {processor()}"


def processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def summary(results: Results) -> str:
    """One line for each candidate: its ratios to the floor."""
    return _ratios(results, SINGLE + CROWDS, list(results.candidates))


def generators(results: Results) -> str:
    """The same for generators that are read to their end, for the candidates that protect the reading."""
    measured = [label for label in results.candidates if any(results.of(name, label).samples for name in GENERATORS)]
    return _ratios(results, GENERATORS, measured)


def _ratios(results: Results, names: tuple[str, ...], labels: list[str]) -> str:
    scenarios = [scenario for scenario in results.scenarios if scenario.name in names]
    head = ["candidate", *[scenario.title for scenario in scenarios]]
    rows = [
        [
            label,
            *[ratio_of(results.of(scenario.name, label)) for scenario in scenarios],
        ]
        for label in labels
    ]
    return table(head, rows)


def detail(results: Results, scenario: str) -> str:
    """Median, quartiles and ratio of one scenario."""

    def row(label: str, series: Series) -> list[str]:
        if not series.samples:
            return [label, series.reason or "-", "", "", ""]
        spread, ratio = series.spread(), series.ratio()
        return [
            label,
            duration(spread.median),
            f"{duration(spread.low)} to {duration(spread.high)}",
            times(ratio.median) if ratio else "-",
            f"{times(ratio.low)} to {times(ratio.high)}" if ratio else "-",
        ]

    head = ["candidate", "median", "quartiles", "ratio", "quartiles"]
    return table(head, [row(label, results.of(scenario, label)) for label in results.candidates])


def half_open(results: Results) -> str:
    """How many callers reached the dependency before its first answer, and in all; how long the crowd took."""

    def cells(series: Series) -> list[str]:
        if not series.samples:
            return [series.reason or "-", "", ""]
        early, came = series.spread("early"), series.spread("came")
        return [whole(early), whole(came), duration(series.spread().median)]

    head = ["candidate", "threads: early", "in all", "time", "tasks: early", "in all", "time"]
    rows = [
        [label, *cells(results.of("half_open", label)), *cells(results.of("half_open_async", label))]
        for label in breakers(results)
    ]
    return table(head, rows)


def whole(spread: Spread) -> str:
    """A count, with its quartiles where they differ."""
    if spread.low == spread.high:
        return f"{spread.median:.0f}"
    return f"{spread.median:.0f} ({spread.low:.0f} to {spread.high:.0f})"


def many(results: Results) -> str:
    """Memory and time of making many breakers."""

    def cell(series: Series, read: Callable[[Series], str]) -> str:
        return read(series) if series.samples else series.reason or "-"

    head = ["candidate", "bytes, new", "bytes, window full", f"creation, each of {results.scale.created:,}"]
    rows = [
        [
            label,
            cell(results.of("memory", label), lambda series: f"{series.spread('new').median:,.0f}"),
            cell(results.of("memory", label), lambda series: f"{series.spread('used').median:,.0f}"),
            cell(results.of("creation", label), lambda series: duration(series.spread().median)),
        ]
        for label in breakers(results)
    ]
    return table(head, rows)


def windows(results: Results) -> str:
    """Cost of a closed call against the size of the window, as a ratio: the machine's speed changes meanwhile."""
    sizes = results.scale.windows
    rows = [
        [label, *[ratio_of(results.of(f"window_{size}", label)) for size in sizes]]
        for label in results.candidates
        if results.of(f"window_{sizes[0]}", label).samples
    ]
    return table(["candidate", *[f"{size:,}" for size in sizes]], rows)


def breakers(results: Results) -> list[str]:
    """The candidates that are breakers."""
    return [label for label in results.candidates if label not in FLOOR]


def features(results: Results) -> str:
    """What each candidate is, and what it had on."""

    def yes(value: bool) -> str:
        return "yes" if value else "no"

    rows = []
    for label in breakers(results):
        about = results.candidates[label]
        on = about["features"]
        rows.append(
            [
                label,
                about["version"],
                on["window"],
                yes(on["slow_calls"]),
                yes(on["histogram"]),
                on["threads"],
                on["probe_limit"],
                yes(about["sync"]),
                yes(about["asynchronous"]),
            ]
        )
    head = [
        "candidate",
        "version",
        "window",
        "slow calls",
        "histogram",
        "safe for threads",
        "half-open",
        "sync",
        "async",
    ]
    return text_table(head, rows)


def notes(results: Results) -> str:
    """Remarks on single candidates, and who is missing."""
    lines = [
        f"- {label}: {results.candidates[label]['features']['note']}"
        for label in breakers(results)
        if results.candidates[label]["features"]["note"]
    ]
    lines += [f"- {name} is not in the tables: {reason}" for name, reason in results.missing.items()]
    return "\n".join(lines)


def report(results: Results, today: datetime.date, plot: str | None) -> str:
    """The whole page. `plot` is the picture's address as seen from the page."""
    titles = {scenario.name: scenario.title for scenario in results.scenarios}
    parts = [
        "# Results of `make bench`",
        platform_line(today) + ". How it is measured and how to read it: "
        "[performance](../docs/explanation/performance.md).",
        "## Ratios",
        "Single calls: time over an empty wrapper of the same kind (rejected: a wrapper that raises). Threads: "
        "throughput over unprotected calls, 1 is best. Tasks: time over unprotected tasks. `-`: does not apply, or is "
        "not offered.",
        summary(results),
    ]
    if plot is not None:
        parts.append(f"![Ratios as bars]({plot})")
    parts += [
        "## Generators",
        "Time of a call that is read to its end, over a wrapper that yields what the generator yields. Libraries for "
        "which a call ends when the generator has been made are left out: nothing is protected while it is read.",
        generators(results),
        "## Half-open",
        f"{results.scale.callers} callers come at the same time when the open time is over; the dependency needs 20 ms "
        "to answer, and all rules allow one probe where a library has such a limit. *Early* are the callers that "
        "reached it before its first answer.",
        half_open(results),
        "## Many breakers",
        many(results),
        "## Window size",
        "One closed sync call with the window full, over an empty wrapper timed in the same rounds.",
        windows(results),
        "## What was on",
        features(results),
        notes(results),
        "## All figures",
    ]
    for name in SINGLE + GENERATORS + CROWDS:
        parts += [f"### {titles[name][0].upper()}{titles[name][1:]}", detail(results, name)]
    return "\n\n".join(part for part in parts if part) + "\n"


BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def splice(page: str, block: str, begin_marker: str = BEGIN, end_marker: str = END) -> str:
    """The page with what lies between the two markers replaced.

    Raises:
        ValueError: The page has no such markers.
    """
    before, begin, rest = page.partition(begin_marker)
    _, end, after = rest.partition(end_marker)
    if not begin or not end:
        raise ValueError(f"the page has no {begin_marker} and {end_marker}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"
