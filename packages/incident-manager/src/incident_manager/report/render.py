"""Writing the report: one page of HTML that needs nothing else, or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from incident_manager.api.breaker_history_schemas import CircuitBreakersKpis
from incident_manager.api.incident_schemas import IncidentOut
from incident_manager.report.charts import HEIGHT, WIDTH, calls_chart, open_shares, sparkline
from incident_manager.report.figures import duration, percent
from incident_manager.report.form import ReportFormat
from incident_manager.report.incidents import incident_figures

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


def render(kpis: CircuitBreakersKpis, incidents: Sequence[IncidentOut], form: ReportFormat) -> str:
    """Return the report.

    Args:
        kpis: Of the window that it is about.
        incidents: Those that were opened in it.
        form: HTML or Markdown.
    """
    is_html = form is ReportFormat.HTML
    environment = Environment(
        loader=PackageLoader("incident_manager.report", "templates"),
        autoescape=is_html,  # noqa: S701 - what Markdown escapes, `md` does
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "duration": duration,
        "percent": percent,
        "moment": _moment,
        "sparkline": sparkline,
        "md": _escaped,
    }
    return environment.get_template("report.html" if is_html else "report.md").render(
        kpis=kpis,
        incidents=incident_figures(incidents),
        chart=calls_chart(kpis.total.slices),
        width=WIDTH,
        height=HEIGHT,
        open_shares=lambda breaker: open_shares(breaker.slices, kpis.window),
    )


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _escaped(text: object) -> str:
    """A text whose characters mean nothing to Markdown."""
    line = "".join(character if character.isprintable() else " " for character in str(text))
    return _MARKS.sub(r"\\\1", line)
