"""Time is passed in: the fake clock only moves when told, the system clock is the machine's."""

import math
import time

import pytest

from recloser import CircuitBreaker, Clock, SystemClock
from recloser.testing import FakeClock


def test_fake_clock_moves_both_readings_when_told(clock: FakeClock) -> None:
    before = clock.monotonic(), clock.time()
    clock.advance(2.5)
    clock.advance(0)
    assert (clock.monotonic(), clock.time()) == (before[0] + 2.5, before[1] + 2.5)


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_fake_clock_moves_forward_only(clock: FakeClock, seconds: float) -> None:
    before = clock.monotonic()
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(seconds)
    assert clock.monotonic() == before


def test_wall_time_of_a_fake_clock_can_be_corrected_alone(clock: FakeClock) -> None:
    before = clock.monotonic()
    clock.set_time(5.0)
    assert (clock.monotonic(), clock.time()) == (before, 5.0)
    assert repr(clock) == "FakeClock(monotonic=1000.0, time=5.0)"


def test_both_clocks_are_clocks(clock: FakeClock) -> None:
    assert isinstance(clock, Clock)
    assert isinstance(SystemClock(), Clock)
    assert not isinstance(time.time, Clock)


def test_system_clock_is_the_machine_s() -> None:
    clock = SystemClock()
    assert time.monotonic() <= clock.monotonic() <= time.monotonic()
    assert time.time() <= clock.time() <= time.time()
    assert repr(clock) == "SystemClock()"


def test_breaker_runs_on_the_system_clock_unless_told_otherwise() -> None:
    breaker = CircuitBreaker("db")
    before = time.time()
    stats = breaker.stats()
    assert before - 60 <= stats.since.timestamp() <= time.time()
    assert stats.time_in_state >= 0
