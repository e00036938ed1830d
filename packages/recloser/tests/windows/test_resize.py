"""A window of another shape keeps what fits: the newest calls, or the age of each bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser import CountWindow, TimeWindow
from recloser.windows import BucketRing, CountRing, make_window, resize


def count_ring(size: int, calls: list[tuple[bool, bool]]) -> CountRing:
    ring = CountRing(size)
    for failure, slow in calls:
        ring.record(failure, slow, 0.0)
    return ring


def test_window_has_the_shape_it_was_given() -> None:
    few = make_window(CountWindow(2))
    for at in range(5):
        few.record(True, False, float(at))
    assert few.calls == 2
    brief = make_window(TimeWindow(2.0, 4))
    for at in range(5):
        brief.record(True, False, at / 2)
    assert brief.calls == 4


@given(
    calls=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30), old=st.integers(1, 12), new=st.integers(1, 12)
)
def test_count_to_count_keeps_the_newest(calls: list[tuple[bool, bool]], old: int, new: int) -> None:
    resized = resize(count_ring(old, calls), CountWindow(new), 0.0)
    assert isinstance(resized, CountRing)
    assert resized.entries() == calls[-min(old, new) :]


def test_time_to_time_keeps_the_age_of_each_bucket() -> None:
    old = BucketRing(8.0, 8)
    for at, failure, slow in ((0.0, True, False), (1.0, False, True), (5.0, True, True), (5.5, False, False)):
        old.record(failure, slow, at)
    new = resize(old, TimeWindow(8.0, 4), 6.0)
    assert isinstance(new, BucketRing)
    assert new.entries() == [(0.0, 2, 1, 1), (4.0, 2, 1, 1)]
    new.advance(8.0)
    assert new.entries() == [(4.0, 2, 1, 1)]


@pytest.mark.parametrize("spec", [CountWindow(10), TimeWindow(8.0, 4)])
def test_what_has_left_the_old_window_is_not_kept(spec: CountWindow | TimeWindow) -> None:
    old = BucketRing(4.0, 4)
    old.record(True, True, 0.0)
    old.record(False, True, 2.0)
    new = resize(old, spec, 4.0)
    assert (new.calls, new.failures, new.slow) == (1, 0, 1)


@pytest.mark.parametrize("spec", [TimeWindow(2.0, 2), TimeWindow(4.0, 2)])
def test_what_is_too_old_for_the_new_window_is_not_kept(spec: TimeWindow) -> None:
    old = BucketRing(10.0, 10)
    old.record(True, True, 0.0)
    old.record(False, True, 6.0)
    new = resize(old, spec, 7.0)
    assert (new.calls, new.failures, new.slow) == (1, 0, 1)


def test_count_to_time_enters_the_calls_as_of_now() -> None:
    new = resize(count_ring(5, [(True, False), (False, True), (False, False)]), TimeWindow(4.0, 4), 100.5)
    assert isinstance(new, BucketRing)
    assert new.entries() == [(100.0, 3, 1, 1)]


def test_time_to_count_keeps_failures_and_slow_calls() -> None:
    old = BucketRing(4.0, 4)
    old.add(0.0, 3, 2, 1)
    old.add(1.0, 2, 0, 1)
    new = resize(old, CountWindow(10), 1.0)
    assert (new.calls, new.failures, new.slow) == (5, 2, 2)


@given(calls=st.integers(1, 50), data=st.data(), size=st.integers(1, 60))
def test_time_to_count_keeps_the_rates_and_spreads_them_evenly(calls: int, data: st.DataObject, size: int) -> None:
    """So that the rates stay what they were while the old calls leave one by one."""
    failures, slow = data.draw(st.integers(0, calls)), data.draw(st.integers(0, calls))
    old = BucketRing(4.0, 4)
    old.add(0.0, calls, failures, slow)
    new = resize(old, CountWindow(size), 1.0)
    assert isinstance(new, CountRing)
    kept = min(calls, size)
    assert (new.calls, new.failures, new.slow) == (kept, round(failures * kept / calls), round(slow * kept / calls))
    for left in range(kept):
        newest = new.entries()[kept - left :]
        assert abs(sum(item[0] for item in newest) - left * new.failures / kept) < 1
        assert abs(sum(item[1] for item in newest) - left * new.slow / kept) < 1


def test_full_count_window_made_of_a_time_window_moves_on() -> None:
    old = BucketRing(4.0, 4)
    old.add(0.0, 8, 4, 8)
    new = resize(old, CountWindow(4), 1.0)
    assert isinstance(new, CountRing)
    assert new.entries() == [(False, True), (True, True), (False, True), (True, True)]
    new.succeed(1.0)
    new.succeed(1.0)
    assert (new.calls, new.failures, new.slow) == (4, 1, 2)


def test_empty_time_window_becomes_an_empty_count_window() -> None:
    new = resize(BucketRing(4.0, 4), CountWindow(4), 1.0)
    assert (new.calls, new.failures, new.slow) == (0, 0, 0)
