"""The window of the last seconds: it slides by one bucket, and a bucket leaves as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.windows import BucketRing

# Times are halves of a bucket of one second, and may be negative: a monotonic clock has no known origin.
moments = st.integers(-30, 30).map(lambda half: half / 2)
outcomes = st.sampled_from([(True, False), (False, True), (False, False), (True, True)])


def totals(ring: BucketRing) -> tuple[int, int, int]:
    return ring.calls, ring.failures, ring.slow


def test_new_window_is_empty() -> None:
    ring = BucketRing(10.0, 5)
    assert totals(ring) == (0, 0, 0)
    assert ring.entries() == []


@given(buckets=st.integers(2, 6), calls=st.lists(st.tuples(moments, outcomes), max_size=40))
def test_window_is_the_newest_buckets_however_calls_are_entered(
    buckets: int, calls: list[tuple[float, tuple[bool, bool]]]
) -> None:
    ring = BucketRing(float(buckets), buckets)
    seen: list[tuple[int, bool, bool]] = []
    for at, (failure, slow) in sorted(calls):
        if failure or slow:
            ring.record(failure, slow, at)
        else:
            ring.succeed(at)
        newest = int(at // 1.0)
        seen.append((newest, failure, slow))
        held = [item for item in seen if item[0] > newest - buckets]
        assert totals(ring) == (len(held), sum(item[1] for item in held), sum(item[2] for item in held))
        assert ring.entries() == [
            (
                float(epoch),
                sum(item[0] == epoch for item in held),
                sum(item[0] == epoch and item[1] for item in held),
                sum(item[0] == epoch and item[2] for item in held),
            )
            for epoch in sorted({item[0] for item in held})
        ]


@pytest.mark.parametrize(("at", "calls"), [(0.0, 3), (7.999, 3), (9.999, 3), (10.0, 0), (10.001, 0), (1e9, 0)])
def test_bucket_leaves_with_its_last_moment(at: float, calls: int) -> None:
    ring = BucketRing(10.0, 5)
    ring.record(True, False, 0.0)
    ring.record(False, True, 1.0)
    ring.succeed(1.999)
    ring.advance(at)
    assert ring.calls == calls
    assert (ring.failures, ring.slow) == ((1, 1) if calls else (0, 0))


def test_each_bucket_leaves_in_its_turn() -> None:
    ring = BucketRing(4.0, 4)
    for at in range(4):
        ring.record(True, True, float(at))
    for now, left in ((4.0, 3), (5.5, 2), (6.0, 1), (7.0, 0)):
        ring.advance(now)
        assert totals(ring) == (left, left, left)


def test_long_silence_empties_it() -> None:
    ring = BucketRing(4.0, 4)
    for at in range(4):
        ring.record(True, True, float(at))
    ring.advance(1_000_000.0)
    assert totals(ring) == (0, 0, 0)
    ring.succeed(1_000_000.0)
    assert ring.entries() == [(1_000_000.0, 1, 0, 0)]


def test_time_that_is_behind_enters_the_call_as_of_the_newest_bucket() -> None:
    """An outcome is entered as of the end of a half-open period, which may be a little behind the last call."""
    ring = BucketRing(4.0, 4)
    ring.record(True, False, 3.0)
    ring.record(True, False, 1.0)
    ring.advance(0.0)
    assert ring.entries() == [(3.0, 2, 2, 0)]


def test_entries_begin_at_the_start_of_their_bucket() -> None:
    ring = BucketRing(10.0, 4)
    for end in (2.4, 2.6, 9.9):
        ring.record(end > 9, end < 9, end)
    assert ring.entries() == [(0.0, 1, 0, 1), (2.5, 1, 0, 1), (7.5, 1, 1, 0)]


def test_many_calls_may_be_added_at_once() -> None:
    ring = BucketRing(4.0, 4)
    ring.add(0.5, 5, 2, 3)
    ring.add(0.9, 4, 1, 0)
    ring.add(2.0, 1, 0, 1)
    assert ring.entries() == [(0.0, 9, 3, 3), (2.0, 1, 0, 1)]
    assert totals(ring) == (10, 3, 4)
    ring.advance(4.0)
    assert totals(ring) == (1, 0, 1)


@pytest.mark.parametrize(("at", "fails"), [(0.5, True), (1.0, True), (3.999, True), (4.0, False), (9.0, False)])
def test_only_a_call_whose_bucket_is_still_there_can_fail_late(at: float, fails: bool) -> None:
    ring = BucketRing(4.0, 4)
    token = ring.record(False, True, 0.0)
    ring.succeed(at)
    ring.amend_failure(token, at)
    assert ring.failures == fails
    assert sum(failures for _, _, failures, _ in ring.entries()) == fails


def test_time_alone_takes_the_bucket_of_a_call_away() -> None:
    ring = BucketRing(4.0, 4)
    token = ring.record(False, True, 0.0)
    ring.amend_failure(token, 4.0)
    assert totals(ring) == (0, 0, 0)
    ring.succeed(4.0)
    assert ring.entries() == [(4.0, 1, 0, 0)]


def test_calls_of_one_bucket_fail_late_one_by_one() -> None:
    ring = BucketRing(4.0, 4)
    tokens = [ring.record(False, True, at) for at in (0.0, 0.5, 0.9)]
    other = ring.record(True, False, 1.0)
    for failures, token in enumerate(tokens, 1):
        ring.amend_failure(token, 2.0)
        assert totals(ring) == (4, failures + 1, 3)
        assert ring.entries() == [(0.0, 3, failures, 3), (1.0, 1, 1, 0)]
    ring.amend_failure(tokens[0], 2.0)
    ring.amend_failure(other, 2.0)
    assert totals(ring) == (4, 4, 3)  # there are no more calls than that


def test_call_that_failed_late_leaves_with_its_bucket() -> None:
    ring = BucketRing(4.0, 4)
    token = ring.record(False, True, 0.0)
    ring.record(True, False, 1.0)
    ring.amend_failure(token, 1.0)
    ring.advance(4.0)
    assert totals(ring) == (1, 1, 0)


def test_cleared_window_is_like_a_new_one() -> None:
    ring = BucketRing(4.0, 4)
    tokens = [ring.record(True, True, float(at)) for at in range(4)]
    ring.clear()
    assert totals(ring) == (0, 0, 0)
    assert ring.entries() == []
    ring.amend_failure(tokens[0], 0.0)
    assert ring.failures == 0
    for at in range(4):
        ring.succeed(float(at))
    assert ring.entries() == [(float(at), 1, 0, 0) for at in range(4)]
    ring.advance(5.0)
    assert totals(ring) == (2, 0, 0)


def test_cleared_window_may_begin_at_any_time() -> None:
    ring = BucketRing(4.0, 4)
    ring.record(True, True, 100.0)
    ring.clear()
    ring.record(True, False, 1.0)
    assert ring.entries() == [(1.0, 1, 1, 0)]
