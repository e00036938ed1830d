"""A registry on a clock that only moves when told, and settings that two failures trip."""

import pytest

from recloser import Registry, Settings
from recloser.testing import FakeClock

SETTINGS = Settings(failure_threshold=2, open_for=10.0)


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock=clock)
