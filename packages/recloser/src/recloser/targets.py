"""What zero-code instrumentation knows: the clients it patches, and the kinds of dependency behind them.

Only data: nothing here imports a client. A new client is one more entry of `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

KINDS: Mapping[str, str] = {
    "anthropic": "llm_service",
    "database": "database",
    "grpc": "http_api",
    "http": "http_api",
    "mariadb": "database",
    "mssql": "database",
    "mysql": "database",
    "openai": "llm_service",
    "oracle": "database",
    "postgresql": "database",
    "redis": "cache",
    "sqlite": "database",
    "valkey": "cache",
}
"""The preset of each kind of dependency. A breaker's name starts with its kind: `http:api.example.com`."""


class Target(NamedTuple):
    """A client that can be patched.

    Attributes:
        client: The package that programs import; also its name in `leave_out`.
        patch: `module:function`, below `recloser.instrumentation.clients`; called once the client is imported.
        carries: Clients that are built on this one and need it patched.
    """

    client: str
    patch: str
    carries: tuple[str, ...] = ()


TARGETS = (
    Target("aiohttp", "aiohttp:patch"),
    Target("anthropic", "sdks:patch_anthropic"),
    Target("asyncpg", "asyncpg:patch"),
    Target("grpc", "grpc:patch"),
    Target("httpx", "httpx:patch_httpx", carries=("anthropic", "openai")),
    Target("httpx2", "httpx:patch_httpx2", carries=("anthropic", "openai")),
    Target("openai", "sdks:patch_openai"),
    Target("psycopg", "psycopg:patch"),
    Target("redis", "redis:patch_redis"),
    Target("requests", "requests:patch"),
    Target("sqlalchemy", "sqlalchemy:patch"),
    Target("valkey", "redis:patch_valkey"),
)
"""The clients, in the order of their names."""
