"""A breaker, and servers that a test may hurt."""

from collections.abc import Iterator

import pytest
from testing.servers import PostgresServer, ValkeyServer


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey server of the test's own."""
    with ValkeyServer() as server:
        yield server
