"""A rate holds in the long run, and lets a burst through after a rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.access.rates import Rate, RateLimiter


def test_a_burst_is_let_through_and_the_next_one_waits() -> None:
    limiter = RateLimiter[str](Rate(per_second=2.0, burst=3))
    assert [limiter.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.take("a", 100.0) == pytest.approx(0.5)


def test_after_the_wait_it_said_one_is_let_through_and_no_more() -> None:
    limiter = RateLimiter[str](Rate(per_second=2.0, burst=1))
    limiter.take("a", 0.0)
    wait = limiter.take("a", 0.0)
    assert limiter.take("a", wait) == 0.0
    assert limiter.take("a", wait) > 0.0


def test_keys_do_not_share() -> None:
    limiter = RateLimiter[str](Rate(per_second=1.0, burst=1))
    limiter.take("a", 0.0)
    assert limiter.take("b", 0.0) == 0.0


def test_keys_unused_for_longest_are_forgotten_first() -> None:
    limiter = RateLimiter[int](Rate(per_second=0.001, burst=1), max_keys=3)
    for key in (1, 2, 3):
        limiter.take(key, 0.0)
    assert limiter.take(1, 1.0) > 0.0  # used again, so that 2 is the oldest now
    limiter.take(4, 2.0)
    assert len(limiter) == 3
    assert limiter.take(1, 3.0) > 0.0
    assert limiter.take(2, 3.0) == 0.0


def test_a_clock_that_stands_still_or_steps_back_gives_nothing() -> None:
    limiter = RateLimiter[str](Rate(per_second=1.0, burst=1))
    limiter.take("a", 10.0)
    assert limiter.take("a", 5.0) > 0.0
    assert limiter.take("a", 10.5) > 0.0


@given(
    per_second=st.floats(0.1, 100.0),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate_together(per_second: float, burst: int, steps: list[float]) -> None:
    limiter = RateLimiter[str](Rate(per_second, burst))
    now, taken = 0.0, 0
    for step in steps:
        now += step
        taken += limiter.take("a", now) == 0.0
    assert taken <= burst + per_second * now + 1e-6
