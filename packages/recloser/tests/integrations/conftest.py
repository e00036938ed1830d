"""Fixtures of the clients' tests: a server with faults, and a registry on a clock that only moves when told."""

from collections.abc import Iterator

import pytest
from packages.recloser.tests.integrations.raw_server import RawServer
from packages.recloser.tests.support import settings

from recloser import Registry
from recloser.testing import FakeClock


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """Its breakers open after 3 failures in a row, for 10 s; one probe closes them."""
    return Registry(settings(), clock=clock)
