"""The report: what it says, in HTML and Markdown, and that nothing in it can be anything but text."""

import html.parser
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_manager.api.breaker_history_schemas import CircuitBreakersKpis, SliceOut
from incident_manager.api.incident_schemas import IncidentOut
from incident_manager.domain.alert import new_alert
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.history.kpis import by_breaker, kpis
from incident_manager.history.records import Tally
from incident_manager.history.summary import Summary
from incident_manager.report.charts import HEIGHT, WIDTH, calls_chart, open_shares, sparkline
from incident_manager.report.form import ReportFormat
from incident_manager.report.incidents import incident_figures
from incident_manager.report.render import render

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = 'x"><script>alert(1)</script> | **b** `c`'


def figures(*names: str) -> CircuitBreakersKpis:
    """A day in which each breaker was open for the last hour."""
    tallies = [
        Tally(
            instance="a",
            breaker=name,
            starts_at=NOW - timedelta(hours=hours),
            ends_at=NOW - timedelta(hours=hours - 1),
            succeeded=90 if hours > 1 else 0,
            failed=10,
            rejected=0 if hours > 1 else 90,
            closed_seconds=3600.0 if hours > 1 else 0.0,
            open_seconds=0.0 if hours > 1 else 3600.0,
        )
        for name in names
        for hours in (2, 1)
    ]
    since = NOW - DAY
    summary = Summary(
        window=86400.0,
        since=since,
        until=NOW,
        history_since=NOW - timedelta(hours=2),
        total=kpis(tallies, [], since, NOW),
        breakers=by_breaker(names, tallies, [], since, NOW),
    )
    return CircuitBreakersKpis.of(summary)


def incident(severity: str, **changes: Any) -> IncidentOut:
    opened, _ = open_from_alert(new_alert(source="test", title="t", severity=severity, received_at=NOW))  # type: ignore[arg-type]
    return IncidentOut.model_validate(opened).model_copy(update=changes)


class Page(html.parser.HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_html_needs_nothing_else() -> None:
    text = render(figures("database"), [], ReportFormat.HTML)
    page = Page(text)
    assert page.links == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == 2
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_html_shows_the_figures_of_each_breaker_and_of_all() -> None:
    words = Page(render(figures("database", "notify:ops"), [], ReportFormat.HTML)).words
    for name in ("database", "notify:ops"):
        at = words.index(name, words.index("Figures"))
        assert [word for word in words[at:] if word][:4] == [name, "200", "45.00%", "45.00%"]
    assert "400" in words


def test_names_are_text_and_nothing_else() -> None:
    page = Page(render(figures(HOSTILE), [], ReportFormat.HTML))
    assert "script" not in page.tags
    assert HOSTILE in page.words
    written = render(figures(HOSTILE), [], ReportFormat.MARKDOWN)
    [row] = [line for line in written.splitlines() if "script" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 14
    assert not re.search(r"(?<!\\)[<`]", row)


def test_markdown_shows_the_course_in_blocks() -> None:
    written = render(figures("database"), [], ReportFormat.MARKDOWN)
    assert f"calls     {'·' * 22}██  200" in written
    assert f"rejected  {'·' * 23}█  90" in written
    assert f"| database | {'·' * 23}█ | 200 |" in written


@pytest.mark.parametrize("form", ReportFormat)
def test_empty_history_is_a_report_too(form: ReportFormat) -> None:
    nothing = figures().model_copy(update={"history_since": None})
    assert "The history begins now" in render(nothing, [], form)


def test_incidents_are_counted_by_severity_the_worst_first() -> None:
    found = incident_figures(
        [
            incident("P2", resolved_at=NOW + timedelta(minutes=30), alert_count=5),
            incident("P0", acknowledged_at=NOW + timedelta(minutes=1)),
            incident("P0", acknowledged_at=NOW + timedelta(minutes=3), resolved_at=NOW + timedelta(minutes=10)),
        ]
    )
    assert [(one.name, one.opened, one.still_open, one.alerts) for one in found] == [
        ("P0", 2, 1, 2), ("P2", 1, 0, 5), ("all", 3, 1, 7),
    ]  # fmt: skip
    assert [(one.time_to_acknowledge, one.time_to_resolve) for one in found] == [
        (120.0, 600.0), (None, 1800.0), (120.0, 1200.0),
    ]  # fmt: skip


slices = st.lists(
    st.tuples(*(st.floats(0, 1e6) for _ in range(4))).map(
        lambda parts: SliceOut(
            at=NOW,
            calls=sum(parts[:3]),
            failed=parts[0],
            rejected=parts[1],
            open_seconds=parts[3],
        )
    ),
    max_size=24,
)


@settings(max_examples=50, deadline=None)
@given(slices)
def test_marks_stay_within_the_chart(found: Sequence[SliceOut]) -> None:
    for column in calls_chart(found).columns:
        for bar in column.bars:
            assert bar.x >= 0 and bar.x + bar.width <= WIDTH + 1e-6  # noqa: PT018
            assert bar.y >= -1e-6 and bar.y + bar.height <= HEIGHT + 1e-6  # noqa: PT018
    assert all(0 <= share <= 1 for share in open_shares(found, 86400.0))
    assert len(sparkline([one.calls for one in found])) == len(found)
