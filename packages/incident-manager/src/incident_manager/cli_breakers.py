"""The commands on the circuit breakers of a running service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from incident_manager.cli_client import (
    DEFAULT_URL,
    ApiClient,
    ExitCode,
    JsonOption,
    TokenFileOption,
    UrlOption,
    segment,
)
from incident_manager.cli_parts import fail, out, print_json
from incident_manager.cli_tables import facts, moment, table
from incident_manager.history.window import parse_window
from incident_manager.report.figures import duration, percent

WindowOption = Annotated[str, typer.Option(help="How far to look back, from 1 minute to 90 days: 1h, 24h, 7d, PT90M.")]
CHANGES = 20
"""Changes of state that one breaker is shown with."""


def breakers(
    name: Annotated[str | None, typer.Argument(help="Only this one, with its last changes of state.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Show the circuit breakers of the service, or all about one of them."""
    with ApiClient(url, token_file) as client:
        if name is None:
            _list(client.get("/v1/circuit-breakers")["circuit_breakers"], as_json)
            return
        path = f"/v1/circuit-breakers/{segment(name)}"
        found = client.get(path)
        changes = client.get(f"{path}/transitions", {"limit": CHANGES})["transitions"]
    if as_json:
        print_json({**found, "history": changes})
        return
    out.print(facts(_facts(found)))
    columns = ("at", "from", "to", "reason", "detail", "after")
    rows = (
        (moment(one["at"]), one["from_state"], one["to_state"], one["reason"], one["detail"], duration(one["stayed"]))
        for one in changes
    )
    if changes:
        out.print(table("Last changes", columns, rows))


def kpis(
    window: WindowOption = "24h",
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Show what the circuit breakers were good for in the last hours or days."""
    checked_window(window)
    with ApiClient(url, token_file) as client:
        found = client.get("/v1/circuit-breakers/kpis", {"window": window})
    if as_json:
        print_json(found)
        return
    columns = (
        "circuit breaker", "calls", "availability", "rejected", "openings", "open", "recovery", "p99", "p99 without",
        "failures avoided", "incidents avoided",
    )  # fmt: skip
    rows = [_figures(one["name"], one) for one in found["circuit_breakers"]]
    out.print(table(f"Since {moment(found['since'])} (UTC)", columns, [*rows, _figures("all", found["total"])]))
    begins = found["history_since"]
    if begins is None or begins > found["since"]:
        out.print(f"The history begins {'now' if begins is None else moment(begins)}.", highlight=False)


def checked_window(window: str) -> float:
    """The seconds of `--window`, or the end of the program."""
    try:
        return parse_window(window)
    except ValueError as error:
        fail(f"--window {error}", ExitCode.USAGE)


def _list(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = ("name", "state", "control", "for", "retry in", "successful", "failed", "rejected", "last failure")
    rows = (
        (
            *(one[name] for name in ("name", "state", "control")),
            *(duration(one[name]) for name in ("time_in_state", "retry_after")),
            *(one[name] for name in ("successful", "failed", "rejected", "last_failure")),
        )
        for one in found
    )
    out.print(table(None, columns, rows))


def _facts(found: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = ", ".join(f"{count} {status}" for status, count in found["calls"].items() if count)
    return [
        *((name.replace("_", " "), found[name]) for name in ("name", "state", "control", "control_reason")),
        ("since", moment(found["since"])),
        ("retry in", duration(found["retry_after"])),
        ("calls", calls),
        ("in flight", found["in_flight"]),
        ("failure rate", percent(found["failure_rate"])),
        ("last failure", found["last_failure"]),
    ]


def _figures(name: str, one: dict[str, Any]) -> tuple[object, ...]:
    return (
        name,
        one["calls"],
        percent(one["availability"]),
        percent(one["rejection_rate"]),
        one["openings"],
        duration(one["open_seconds"]),
        duration(one["time_to_recovery"]),
        duration(one["p99"]),
        duration(one["p99_without_breaker"]),
        one["failures_avoided"],
        one["incidents_avoided"],
    )
