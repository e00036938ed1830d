"""The programs of Prometheus."""

import pytest
from testing.servers import prometheus_program


@pytest.fixture
def promtool() -> str:
    """The path of promtool; skips where it is not installed."""
    return prometheus_program("promtool")
