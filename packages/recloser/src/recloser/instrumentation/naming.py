"""What the breakers of instrumented clients are called after their kind: never a user, a password or a query."""

from __future__ import annotations

from recloser.integrations._http import host_key

_DEFAULT_PORTS = {
    "mariadb": 3306,
    "mssql": 1433,
    "mysql": 3306,
    "oracle": 1521,
    "postgresql": 5432,
    "redis": 6379,
    "valkey": 6379,
}


def server(kind: str, host: str | None, port: int | str | None) -> str:
    """`db.example.com`, with the port if it is not the usual one; the path of a Unix domain socket as it is."""
    if host and host.startswith("/"):
        return host
    number = int(port) if port is not None and str(port).isdecimal() else None
    return host_key(kind, host or "localhost", None if number == _DEFAULT_PORTS.get(kind) else number)


def database(kind: str, host: str | None, port: int | str | None, name: str | None) -> str:
    """`db.example.com/orders`."""
    return f"{server(kind, host, port)}/{name}" if name else server(kind, host, port)
