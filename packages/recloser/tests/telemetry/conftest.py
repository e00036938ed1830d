"""The programs of Prometheus."""

import pytest
from testing.servers.programs import require
from testing.servers.prometheus import prometheus_binary, promtool_binary


@pytest.fixture
def prometheus_program() -> None:
    """For tests that run Prometheus."""
    require(prometheus_binary)


@pytest.fixture
def promtool() -> str:
    """The path of promtool; skips where it is not installed."""
    require(promtool_binary)
    return str(promtool_binary())
