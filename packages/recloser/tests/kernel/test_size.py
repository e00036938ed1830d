"""A breaker is small and quick to make: there may be one per host, tenant or shard."""

import gc
import sysconfig
import time
import tracemalloc

import pytest
from packages.recloser.tests.kernel.twins import needs_compiled

from recloser import CircuitBreaker, CountWindow, Settings

SETTINGS = Settings(
    failure_rate_threshold=0.5, slow_call_duration=1.0, slow_call_rate_threshold=0.5, window=CountWindow(100)
)
NAMES = [f"breaker {number}" for number in range(10_000)]


@needs_compiled
@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="each object has a larger header")
def test_breaker_with_window_and_histogram_takes_at_most_a_kilobyte() -> None:
    CircuitBreaker("warm up", SETTINGS)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        breakers = [CircuitBreaker(name, SETTINGS) for name in NAMES]
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / len(breakers)
    finally:
        tracemalloc.stop()
    assert each <= 1_024


def test_making_one_takes_less_than_a_tenth_of_a_millisecond() -> None:
    best = min(time_making(1_000) for _ in range(5))
    assert best < 1e-4


def time_making(count: int) -> float:
    started = time.thread_time()
    breakers = [CircuitBreaker(name, SETTINGS) for name in NAMES[:count]]
    return (time.thread_time() - started) / len(breakers)
