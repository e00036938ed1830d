"""The table of integrations on the pages that show it: `python -m testing.matrix` writes it, a test compares.

A new integration is a new line in `ROWS`. The tested versions are those of the locks, so `make lock` writes it, too.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- begin: integrations -->", "<!-- end: integrations -->"
PAGES = {
    ROOT / "README.md": "docs/how-to/",
    ROOT / "docs/reference/integrations.md": "../how-to/",
    ROOT / "packages/recloser/README.md": None,
}
"""Where the how-to pages are, seen from each page; None where they cannot be linked."""


@dataclass(frozen=True)
class Row:
    """One integration.

    Attributes:
        module: Its module of `recloser.integrations`.
        client: What it protects.
        extra: The extra of the same name; False where it needs nothing.
        run: Whether `recloser run` protects programs with it that are not edited.
        sync: Whether it protects synchronous code.
        asynchronous: Whether it protects asynchronous code.
        streams: What it does with what is streamed.
        tested: Distributions whose versions in the locks are tested.
        line: How it is used.
        page: The how-to page.
    """

    module: str
    client: str
    sync: bool
    asynchronous: bool
    streams: str
    tested: tuple[str, ...]
    line: str
    page: str
    extra: bool = True
    run: bool = True


_HTTP, _LLM, _DATA = "protect-http-clients.md", "protect-llm-sdks.md", "databases.md"
_INCOMING, _RETRIES = "incoming-http.md", "retries-timeouts-bulkheads.md"
_BODY = "response bodies"

ROWS = (
    Row("httpx", "httpx", True, True, _BODY, ("httpx",), "protect(client)", _HTTP),
    Row("httpx2", "httpx2", True, True, _BODY, ("httpx2",), "protect(client)", _HTTP),
    Row("requests", "requests", True, False, _BODY, ("requests",), "protect(session)", _HTTP),
    Row("aiohttp", "aiohttp", False, True, _BODY, ("aiohttp",), "protect(session)", _HTTP),
    Row("grpc", "grpcio", True, True, "requests and responses", ("grpcio",), "protect(channel)", "grpc.md"),
    Row(
        "openai", "openai", True, True, "chat completions, completions, responses", ("openai",),
        "protect(client)", _LLM,
    ),
    Row("anthropic", "anthropic", True, True, "messages", ("anthropic",), "protect(client)", _LLM),
    Row("sqlalchemy", "SQLAlchemy 2", True, True, "results", ("sqlalchemy",), "protect(engine, breaker)", _DATA),
    Row("asyncpg", "asyncpg", False, True, "cursors, COPY", ("asyncpg",), "create_pool(dsn, breaker=breaker)", _DATA),
    Row("psycopg", "psycopg 3", True, True, "`stream()`, COPY", ("psycopg",), "protected(Connection, breaker)", _DATA),
    Row("redis", "redis-py", True, True, "subscriptions", ("redis",), "protect(client, breaker)", _DATA),
    Row("valkey", "valkey-py", True, True, "subscriptions", ("valkey",), "protect(client, breaker)", _DATA),
    Row(
        "asgi", "Starlette, FastAPI, Litestar, any ASGI", False, True, "until the last byte",
        ("starlette", "fastapi", "litestar"), "CircuitBreakerMiddleware", _INCOMING, extra=False, run=False,
    ),
    Row(
        "starlette", "Starlette, FastAPI: 503 for a rejection", False, True, "-", ("starlette",),
        "circuit_open_handler", _INCOMING, run=False,
    ),
    Row(
        "wsgi", "Flask, any WSGI", True, False, "until the last byte", ("flask",),
        "CircuitBreakerMiddleware", _INCOMING, extra=False, run=False,
    ),
    Row("tenacity", "tenacity", True, True, "-", ("tenacity",), "retry_unless_open()", _RETRIES, run=False),
    Row("stamina", "stamina", True, True, "-", ("stamina",), "unless_open(...)", _RETRIES, run=False),
)  # fmt: skip


def table(how_to: str | None) -> str:
    """The table in Markdown.

    Args:
        how_to: The address of the how-to pages; None for no links.
    """
    now, before = locked("dev.txt"), locked("previous-clients.txt")
    titles = ["client", "extra", "sync", "async", "streams", "tested versions", "how", "`recloser run`"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in ROWS:
        versions = ", ".join(_versions(name, now, before, alone=len(row.tested) == 1) for name in row.tested)
        line = f"`{row.line}`" if how_to is None else f"[`{row.line}`]({how_to}{row.page})"
        cells = [row.client, f"`{row.module}`" if row.extra else "none needed", _yes(row.sync), _yes(row.asynchronous)]
        lines.append(f"| {' | '.join([*cells, row.streams, versions, line, _yes(row.run)])} |")
    return "\n".join(lines)


def _yes(offered: bool) -> str:
    return "yes" if offered else "-"


def _versions(name: str, now: dict[str, str], before: dict[str, str], *, alone: bool) -> str:
    versions = " and ".join(lock[name] for lock in (now, before) if name in lock)
    return versions if alone else f"{name} {versions}"


def locked(lock: str) -> dict[str, str]:
    """Major and minor version of each distribution of a lock file."""
    text = (ROOT / "locks" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\d+\.\d+)", text, re.MULTILINE))


def with_table(page: str, how_to: str | None) -> str:
    """A page with what stands between the markers replaced.

    Raises:
        ValueError: The page has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table(how_to)}\n\n{end}{after}"


def main() -> None:
    """Write the table into all pages."""
    for path, how_to in PAGES.items():
        path.write_text(with_table(path.read_text(), how_to))


if __name__ == "__main__":
    main()
