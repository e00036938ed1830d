"""Fixtures of all tests: a clock that only moves when told, and a breaker on it."""

import hypothesis
import pytest
from packages.recloser.tests.support import settings as make_settings

from recloser import CircuitBreaker
from recloser.testing import FakeClock

# Fewer examples for mutation testing, where the tests run a thousand times (`--hypothesis-profile mutants`).
hypothesis.settings.register_profile("mutants", max_examples=30, derandomize=True, deadline=None, database=None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """Opens after 3 failures in a row, for 10 s; one probe closes it."""
    return CircuitBreaker("db", make_settings(), clock=clock)
