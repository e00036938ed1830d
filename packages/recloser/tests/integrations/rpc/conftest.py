"""Fixtures of the gRPC tests: a server that does what it is told."""

from collections.abc import Iterator

import pytest
from packages.recloser.tests.integrations.rpc.server import RpcServer


@pytest.fixture
def rpc_server() -> Iterator[RpcServer]:
    with RpcServer() as server:
        yield server
