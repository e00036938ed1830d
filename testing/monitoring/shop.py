"""A program with circuit breakers that Prometheus scrapes: what users of the library have."""

import socket
import threading
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server

from recloser import CircuitBreaker, CircuitOpenError, CountWindow, Registry, Settings
from recloser.telemetry.prometheus import BreakerCollector
from testing.servers import free_port

DATABASE = Settings(
    failure_threshold=5,
    failure_rate_threshold=0.9,
    slow_call_rate_threshold=0.9,
    slow_call_duration=5.0,
    minimum_calls=5,
    window=CountWindow(50),
    open_for=0.4,
    success_threshold=1,
)
FLAKY = Settings(failure_threshold=1, open_for=0.01, success_threshold=1)


class Shop:
    """Connects to its database over and over, in front of which is the breaker `orders-db`.

    Args:
        database: The port of its database.
    """

    def __init__(self, database: int) -> None:
        self.port = free_port()
        self.registry = Registry()
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shop")
        metrics = CollectorRegistry()
        BreakerCollector(self.registry, register=metrics)
        self._orders = self.registry.get_or_create("orders-db", DATABASE)
        self._mail = self.registry.get_or_create("mail", FLAKY)
        self._endpoint, self._serving = start_http_server(self.port, "127.0.0.1", metrics)

    def flap(self, times: int) -> None:
        """Use a mail server that goes away and comes back so many times."""
        port = free_port()
        for _ in range(times):
            _connect(self._mail, port)
            with socket.create_server(("127.0.0.1", port)):
                while not _connect(self._mail, port):
                    self._stopping.wait(0.005)

    def _work(self) -> None:
        while not self._stopping.wait(0.03):
            _connect(self._orders, self._database)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._endpoint.shutdown()
        self._endpoint.server_close()
        self._serving.join()


def _connect(breaker: CircuitBreaker, port: int) -> bool:
    """Whether a connection could be made."""
    try:
        breaker.call(socket.create_connection, ("127.0.0.1", port), 1.0).close()
    except (CircuitOpenError, OSError):
        return False
    return True
