"""The ratios as bars."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import CROWDS, FLOOR, SINGLE
from benchmarks.rounds import Results

OURS, OTHERS, GROUND = "#1b6ca8", "#b4bcc4", "#d8dde2"


def draw(results: Results, path: Path) -> None:
    """Write the picture; the ending of the name decides the format.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "recloser"
    from matplotlib import pyplot

    scenarios = {scenario.name: scenario for scenario in results.scenarios}
    names = SINGLE + CROWDS
    figure, axes = pyplot.subplots(4, 2, figsize=(11, 15), layout="constrained")
    for axis, name in zip(axes.flat, names, strict=True):
        bars = []
        for label in results.candidates:
            ratio = results.of(name, label).ratio()
            if ratio is not None:
                bars.append((label, ratio))
        labels = [label for label, _ in bars]
        middles = [ratio.median for _, ratio in bars]
        spread = [[r.median - r.low for _, r in bars], [r.high - r.median for _, r in bars]]
        colours = [GROUND if n in FLOOR else OURS if n.startswith("recloser") else OTHERS for n in labels]
        axis.barh(labels, middles, xerr=spread, color=colours, error_kw={"elinewidth": 0.8})
        axis.axvline(1, color="#444", linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.invert_yaxis()
        scenario = scenarios[name]
        what = "throughput" if scenario.throughput else "time"
        axis.set_title(f"{scenario.title}: {what} / {scenario.floor}", fontsize=10)
        for position, middle in enumerate(middles):
            axis.annotate(
                f"{middle:.3g}", (middle, position), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
            )
        axis.margins(x=0.15)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
