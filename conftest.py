"""Real servers for every test that asks: started once a session, on the first use, on free ports.

A test that hurts a server starts one of its own instead: ``with PostgresServer() as postgres: ...``.
"""

import signal
from collections.abc import Iterator

import pytest
from testing.servers import PostgresServer, SmtpServer, ValkeyServer


def pytest_configure() -> None:
    """Let programs that tests start know Ctrl-C, also where a shell runs us in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server, shared by the session."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A running Valkey server, shared by the session."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def smtp() -> Iterator[SmtpServer]:
    """A running SMTP server, shared by the session."""
    with SmtpServer() as server:
        yield server
