"""Fixtures of all tests: a clock that only moves when told, and a breaker on it."""

import pytest
from packages.recloser.tests.support import settings as make_settings

from recloser import CircuitBreaker
from recloser.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """Opens after 3 failures in a row, for 10 s; one probe closes it."""
    return CircuitBreaker("db", make_settings(), clock=clock)
