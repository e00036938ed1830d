"""Exactly one person is on call at each moment, and hand-overs are at the same time on the wall all year."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.oncall import Rotation

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = Rotation(people=("ana", "bo", "cy"), zone=BERLIN, first=date(2026, 1, 5), at=time(9))


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("saturday", "hours"),
    [((2026, 3, 28), 7 * 24 - 1), ((2026, 10, 24), 7 * 24 + 1)],
    ids=["clocks go forward", "clocks go back"],
)
def test_one_person_is_on_call_at_each_minute_of_a_weekend_in_which_clocks_change(
    saturday: tuple[int, int, int], hours: int
) -> None:
    begin = local(*saturday)
    monday = datetime.combine(date(*saturday) + timedelta(days=2), time(9), BERLIN).astimezone(UTC)
    before, after = WEEKLY.shift(begin), WEEKLY.shift(monday)
    assert before.ends_at == after.starts_at == monday
    assert before.ends_at - before.starts_at == timedelta(hours=hours)
    assert before.person != after.person
    for minute in range(3 * 24 * 60):
        moment = begin + timedelta(minutes=minute)
        assert WEEKLY.shift(moment) == (before if moment < monday else after)


@pytest.mark.parametrize(
    ("moment", "person"),
    [
        (local(2026, 1, 5, 8, 59), "cy"),
        (local(2026, 1, 5, 9), "ana"),
        (local(2026, 1, 12, 8, 59), "ana"),
        (local(2026, 1, 12, 9), "bo"),
        (local(2026, 1, 26, 9), "ana"),
        (local(2025, 12, 22, 9), "bo"),
    ],
    ids=str,
)
def test_turns_go_round_before_and_after_the_first(moment: datetime, person: str) -> None:
    assert WEEKLY.shift(moment).person == person


@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    at=st.times(),
    first=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    weeks=st.integers(1, 4),
    moment=st.integers(1_546_300_800, 1_924_992_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_shifts_follow_one_another_without_gap_or_overlap(
    zone: str, at: time, first: date, weeks: int, moment: datetime
) -> None:
    rotation = Rotation(people=("ana", "bo"), zone=ZoneInfo(zone), first=first, at=at, weeks=weeks)
    shift = rotation.shift(moment)
    assert shift.starts_at <= moment < shift.ends_at
    assert rotation.shift(shift.starts_at) == shift
    following = rotation.shift(shift.ends_at)
    assert following.starts_at == shift.ends_at
    assert following.person != shift.person
