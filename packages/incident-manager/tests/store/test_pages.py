"""Incidents are chosen by conditions and walked through page by page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import new_alert
from incident_manager.domain.errors import InvalidCursorError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.domain.severity import Severity
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter, Page, select_page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(number: int, **fields: object) -> Incident:
    alert = new_alert(source="s", title=f"number {number}", received_at=NOW + number * MINUTE)
    return replace(open_from_alert(alert)[0], **fields)  # type: ignore[arg-type]


async def page(store: Store, where: IncidentFilter, limit: int = 50, cursor: str | None = None) -> Page:
    return await store.read(lambda unit: unit.list(where, limit, cursor))


async def numbers(store: Store, where: IncidentFilter) -> list[str]:
    return [found.title.removeprefix("number ") for found in (await page(store, where)).incidents]


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_pages_give_every_incident_once_newest_first(store: Store, limit: int) -> None:
    await store.run(lambda unit: unit.insert(*(incident(number) for number in range(7))))
    found, cursor, pages = list[str](), None, 0
    while pages == 0 or cursor is not None:
        part = await page(store, IncidentFilter(), limit, cursor)
        assert len(part.incidents) <= limit
        found += [one.title for one in part.incidents]
        cursor, pages = part.next_cursor, pages + 1
    assert found == [f"number {number}" for number in range(6, -1, -1)]
    assert pages == -(-7 // limit)


async def test_incidents_of_one_millisecond_are_all_given(store: Store) -> None:
    same = [incident(0, fingerprint=f"{number:064x}") for number in range(9)]
    await store.run(lambda unit: unit.insert(*same))
    first = await page(store, IncidentFilter(), 5)
    rest = await page(store, IncidentFilter(), 5, first.next_cursor)
    assert {one.id for one in [*first.incidents, *rest.incidents]} == {one.id for one in same}
    assert rest.next_cursor is None


async def test_an_incident_that_comes_between_two_pages_moves_no_other(store: Store) -> None:
    await store.run(lambda unit: unit.insert(*(incident(number) for number in range(4))))
    first = await page(store, IncidentFilter(), 2)
    await store.run(lambda unit: unit.insert(incident(9)))
    second = await page(store, IncidentFilter(), 2, first.next_cursor)
    assert [one.title for one in second.incidents] == ["number 1", "number 0"]


async def test_nothing_is_a_page_without_a_next(store: Store) -> None:
    assert await page(store, IncidentFilter()) == Page([], None)


async def test_conditions_are_combined(store: Store) -> None:
    rows = [
        incident(0),
        incident(1, status=Status.RESOLVED, severity=Severity.P0),
        incident(2, severity=Severity.P0, assignee="ada", source="grafana"),
        incident(3, status=Status.TRIAGED, acknowledged_at=NOW, title="number 3: 100% _full_"),
    ]
    await store.run(lambda unit: unit.insert(*rows))
    for where, expected in (
        (IncidentFilter(statuses=[Status.DETECTED]), ["2", "0"]),
        (IncidentFilter(statuses=[Status.TRIAGED, Status.RESOLVED]), ["3: 100% _full_", "1"]),
        (IncidentFilter(severities=[Severity.P0]), ["2", "1"]),
        (IncidentFilter(severities=[Severity.P0], statuses=[Status.DETECTED]), ["2"]),
        (IncidentFilter(sources=["grafana"]), ["2"]),
        (IncidentFilter(assignee="ada"), ["2"]),
        (IncidentFilter(fingerprint=rows[1].fingerprint), ["1"]),
        (IncidentFilter(acknowledged=True), ["3: 100% _full_"]),
        (IncidentFilter(acknowledged=False), ["2", "1", "0"]),
        (IncidentFilter(text="0% _F"), ["3: 100% _full_"]),
        (IncidentFilter(text="r_3"), []),
        (IncidentFilter(since=NOW + MINUTE, until=NOW + 3 * MINUTE), ["2", "1"]),
    ):
        assert await numbers(store, where) == expected, where


@pytest.mark.parametrize("cursor", ["", "x", "!!", "aW5jXzEyMw", "é", "aW5jXw==" * 50])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError, match="use the next_cursor of the previous page"):
        select_page(IncidentFilter(), 10, cursor)


@given(st.text())
def test_no_text_breaks_the_reading_of_cursors(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        select_page(IncidentFilter(), 10, cursor)
