"""The window of the last `size` calls: which calls it holds, and what a call that fails late changes in it."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.windows import CountRing

FAILED, SLOW, FINE = (True, False), (False, True), (False, False)
FAILED_SLOWLY = (True, True)

calls_of_all_kinds = st.lists(st.sampled_from([FAILED, SLOW, FINE, FAILED_SLOWLY]), max_size=40)


def ring_of(size: int, *calls: tuple[bool, bool]) -> CountRing:
    ring = CountRing(size)
    for failure, slow in calls:
        ring.record(failure, slow, 0.0)
    return ring


def totals(ring: CountRing) -> tuple[int, int, int]:
    return ring.calls, ring.failures, ring.slow


def test_new_window_is_empty() -> None:
    ring = CountRing(3)
    assert totals(ring) == (0, 0, 0)
    assert ring.entries() == []


@given(size=st.integers(1, 8), calls=calls_of_all_kinds)
def test_window_is_the_last_calls_however_they_are_entered(size: int, calls: list[tuple[bool, bool]]) -> None:
    ring = CountRing(size)
    last: deque[tuple[bool, bool]] = deque(maxlen=size)
    for failure, slow in calls:
        if (failure, slow) == FINE:
            ring.succeed(0.0)
        else:
            ring.record(failure, slow, 0.0)
        last.append((failure, slow))
        assert ring.entries() == list(last)
        assert totals(ring) == (len(last), sum(item[0] for item in last), sum(item[1] for item in last))


@given(size=st.integers(1, 8), calls=calls_of_all_kinds.filter(len), data=st.data())
def test_call_that_fails_late_is_a_failure_where_it_stands(
    size: int, calls: list[tuple[bool, bool]], data: st.DataObject
) -> None:
    ring = CountRing(size)
    tokens = [ring.record(failure, slow, 0.0) for failure, slow in calls]
    chosen = data.draw(st.integers(0, len(calls) - 1))
    ring.amend_failure(tokens[chosen], 0.0)
    expected = [(failure or at == chosen, slow) for at, (failure, slow) in enumerate(calls)][-size:]
    assert ring.entries() == expected
    assert ring.failures == sum(failure for failure, _ in expected)


def test_oldest_call_leaves_when_one_more_comes() -> None:
    ring = ring_of(2, FAILED_SLOWLY, FINE)
    assert totals(ring) == (2, 1, 1)
    ring.succeed(0.0)
    assert totals(ring) == (2, 0, 0)


def test_window_is_never_fuller_than_its_size() -> None:
    ring = CountRing(2)
    for calls in (1, 2, 2, 2):
        ring.succeed(0.0)
        assert ring.calls == calls


def test_only_a_call_that_is_still_in_the_window_can_fail_late() -> None:
    ring = CountRing(2)
    token = ring.record(False, True, 0.0)
    ring.succeed(0.0)
    ring.amend_failure(token, 0.0)
    assert ring.entries() == [FAILED_SLOWLY, FINE]
    gone = ring_of(2)
    token = gone.record(False, True, 0.0)
    for _ in range(2):
        gone.record(False, False, 0.0)
    gone.amend_failure(token, 0.0)
    assert gone.entries() == [FINE, FINE]
    assert gone.failures == 0


def test_call_fails_once() -> None:
    ring = CountRing(4)
    token = ring.record(False, True, 0.0)
    ring.record(True, False, 0.0)
    ring.amend_failure(token, 0.0)
    ring.amend_failure(token, 0.0)
    assert totals(ring) == (2, 2, 1)


def test_time_changes_nothing() -> None:
    ring = ring_of(3, FAILED, SLOW)
    ring.advance(1e9)
    assert ring.entries() == [FAILED, SLOW]


@pytest.mark.parametrize("before", [1, 3, 5])
def test_cleared_window_is_like_a_new_one(before: int) -> None:
    ring = CountRing(3)
    token = ring.record(True, True, 0.0)
    for _ in range(before):
        ring.record(True, True, 0.0)
    ring.clear()
    assert totals(ring) == (0, 0, 0)
    assert ring.entries() == []
    ring.amend_failure(token, 0.0)
    assert ring.failures == 0
    for calls in (1, 2, 3, 3):
        ring.succeed(0.0)
        assert totals(ring) == (calls, 0, 0)
