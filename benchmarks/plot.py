"""The ratios as points on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import CROWDS, FLOOR, GENERATORS, SINGLE
from benchmarks.rounds import Results

OURS, OTHERS, GROUND = "#1b6ca8", "#555c63", "#a7afb7"


def colour(label: str) -> str:
    """Ours, another library's, or the floor's."""
    if label in FLOOR:
        return GROUND
    return OURS if label.startswith("recloser") else OTHERS


def draw(results: Results, path: Path) -> None:
    """Write the picture; the ending of the name decides the format.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "recloser", "svg.fonttype": "none"})
    from matplotlib import pyplot, ticker

    scenarios = {scenario.name: scenario for scenario in results.scenarios}
    figure, axes = pyplot.subplots(6, 2, figsize=(11, 21), layout="constrained")
    for axis, name in zip(axes.flat, SINGLE + GENERATORS + CROWDS, strict=True):
        ratios = {label: results.of(name, label).ratio() for label in results.candidates}
        shown = {label: ratio for label, ratio in ratios.items() if ratio is not None}
        for position, (label, ratio) in enumerate(shown.items()):
            sides = [[ratio.median - ratio.low], [ratio.high - ratio.median]]
            axis.errorbar(ratio.median, position, xerr=sides, fmt="o", color=colour(label), markersize=6)
            axis.annotate(
                f"{ratio.median:.3g}",
                (ratio.high, position),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        scenario = scenarios[name]
        axis.set_title(f"{scenario.title}: {'throughput' if scenario.throughput else 'time'} / floor", fontsize=10)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.axvline(1, color="#444", linewidth=0.8, linestyle=":")
        axis.set_yticks(range(len(shown)), list(shown))
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.grid(axis="both", color="#eceff1")
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
