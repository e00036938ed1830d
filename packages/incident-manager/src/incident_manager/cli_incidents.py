"""The commands on the incidents of a running service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
from incident_manager.cli_tables import cell, facts, moment, table
from incident_manager.domain.incident import Status
from incident_manager.domain.order import SortOrder
from incident_manager.history.window import duration_of

_ENDED = (Status.RESOLVED, Status.CLOSED)
_NARROW, _WIDE = 100, 150
"""Characters of a line from which a list of incidents has more columns."""

IdsArgument = Annotated[list[str], typer.Argument(help="Their ids, as `incidents` shows them.")]
IdArgument = Annotated[str, typer.Argument(help="Its id, as `incidents` shows it.")]
ByOption = Annotated[str | None, typer.Option(help="Who says so.  [default: the token's name]")]
VersionOption = Annotated[int | None, typer.Option(min=1, help="The version you read; refused if it is another now.")]


def incidents(
    open_: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    status: Annotated[list[Status] | None, typer.Option(help="Only these; may be repeated.")] = None,
    severity: Annotated[
        list[str] | None, typer.Option(help="Only these: P0 to P4, or a usual word; may be repeated.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only of these; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only with NAME=VALUE; may be repeated.")] = None,
    assignee: Annotated[str | None, typer.Option(help="Only those that this person works on.")] = None,
    acknowledged: Annotated[
        bool | None,
        typer.Option("--acknowledged/--unacknowledged", help="Only those somebody has seen, or nobody."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Only with this in the title.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those created so long ago or later: 24h, 7d, or 2026-01-05T09:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those created before this; as --since.")] = None,
    order: Annotated[SortOrder, typer.Option(help="Which come first.")] = SortOrder.NEWEST,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="As many at most.")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """List incidents."""
    if open_ and status:
        fail("--open and --status exclude each other", ExitCode.USAGE)
    question = {
        "status": [one for one in Status if one not in _ENDED] if open_ else status or None,
        "severity": severity or None,
        "source": source or None,
        "label": label or None,
        "assignee": assignee,
        "acknowledged": acknowledged,
        "text": text,
        "since": _moment("--since", since),
        "until": _moment("--until", until),
        "order": order,
    }
    with ApiClient(url, token_file) as client:
        found = list(client.pages("/v1/incidents", "incidents", limit, question))
    if as_json:
        print_json(found)
        return
    out.print(_listed(found, out.width) if found else "No incidents.")


def show(
    incident_id: IdArgument,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Show one incident with its history and its notifications."""
    with ApiClient(url, token_file) as client:
        found = client.get(f"/v1/incidents/{segment(incident_id)}")
    if as_json:
        print_json(found)
        return
    out.print(facts(_facts(found)))
    history = ((moment(one["at"]), one["actor"], one["kind"], one["message"]) for one in found["timeline"])
    out.print(table("History", ("at", "who", "what", ""), history))
    if found["notifications"]:
        out.print(_deliveries(found["notifications"]))


def ack(
    incident_ids: IdsArgument,
    by: ByOption = None,
    version: VersionOption = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Say that somebody has seen incidents. It ends at the first one that is refused."""
    _change(incident_ids, "ack", {"by": by, "version": version}, as_json, ApiClient(url, token_file))


def resolve(
    incident_ids: IdsArgument,
    resolution: Annotated[str | None, typer.Option(help="What solved it.")] = None,
    by: ByOption = None,
    version: VersionOption = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """End incidents. It ends at the first one that is refused."""
    body = {"by": by, "version": version, "resolution": resolution}
    _change(incident_ids, "resolve", body, as_json, ApiClient(url, token_file))


def deliveries(
    incident_id: Annotated[str | None, typer.Argument(help="Of this incident; without one, what waits.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Show the notifications of an incident, or how many wait for each destination and why."""
    with ApiClient(url, token_file) as client:
        if incident_id is not None:
            found = client.get(f"/v1/incidents/{segment(incident_id)}")["notifications"]
        else:
            found = client.get("/health")
            found = {name: found[name] for name in ("waiting_notifications", "delivery_problems")}
    if as_json:
        print_json(found)
    elif incident_id is not None:
        out.print(_deliveries(found) if found else "Nobody was to be told.")
    else:
        out.print(_waiting(found))


def _change(incident_ids: list[str], act: str, body: dict[str, Any], as_json: bool, opened: ApiClient) -> None:
    if body["version"] is not None and len(incident_ids) > 1:
        fail("--version goes with one incident", ExitCode.USAGE)
    with opened as client:
        done = []
        for incident_id in incident_ids:
            incident = client.post(f"/v1/incidents/{segment(incident_id)}/{act}", body)
            done.append(incident)
            if not as_json:
                who = incident["acknowledged_by"] if act == "ack" else incident["resolved_by"]
                word = "acknowledged" if act == "ack" else "resolved"
                out.print(cell(f"{incident['id']}: {word} by {who}: {incident['title']}"), soft_wrap=True)
    if as_json:
        print_json(done)


def _moment(option: str, value: str | None) -> str | None:
    """A moment as the API takes it: of a timestamp, or so long ago."""
    if value is None:
        return None
    seconds = duration_of(value)
    try:
        at = datetime.now(UTC) - timedelta(seconds=seconds) if seconds is not None else datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        fail(f"{option} must be such as 24h, 7d or 2026-01-05T09:00:00Z; given {value[:40]!r}", ExitCode.USAGE)
    return (at if at.tzinfo else at.astimezone()).isoformat()


def _listed(found: list[dict[str, Any]], width: int) -> Any:
    """A table of incidents; on a narrow terminal of what is needed to know and name them."""
    columns = ("id", "severity", "title", "status", "source", "alerts", "created", "acknowledged by", "assignee")
    shown = 3 if width < _NARROW else 5 if width < _WIDE else len(columns)
    return table(None, columns[:shown], (_line(one)[:shown] for one in found))


def _line(incident: dict[str, Any]) -> tuple[object, ...]:
    names = ("id", "severity", "title", "status", "source", "alert_count")
    rest = (incident["acknowledged_by"], incident["assignee"])
    return (*(incident[name] for name in names), moment(incident["created_at"]), *rest)


def _facts(incident: dict[str, Any]) -> list[tuple[str, Any]]:
    now = datetime.now(UTC)
    plain = ("id", "title", "severity", "status", "source", "description", "alert_count", "assignee", "version")
    labels = ", ".join(f"{name}={value}" for name, value in incident["labels"].items())
    found = incident["assessment"]
    return [
        *((name.replace("_", " "), incident[name]) for name in plain),
        ("labels", labels),
        ("created", moment(incident["created_at"], now)),
        ("acknowledged", _by(incident, "acknowledged")),
        ("resolved", _by(incident, "resolved")),
        ("resolution", incident["resolution"]),
        ("summary", found["summary"]),
        ("next steps", "; ".join(found["next_steps"] or ())),
        ("security", found["security"]),
        ("compliance", found["compliance"]),
        *incident["annotations"].items(),
    ]


def _by(incident: dict[str, Any], act: str) -> str:
    at = incident[f"{act}_at"]
    return "" if at is None else f"{moment(at)} by {incident[f'{act}_by']}"


def _deliveries(found: list[dict[str, Any]]) -> Any:
    columns = ("destination", "event", "status", "attempts", "created", "delivered", "last error")
    rows = (
        (
            *(one[name] for name in columns[:4]),
            moment(one["created_at"]),
            moment(one["delivered_at"]),
            one["last_error"],
        )
        for one in found
    )
    return table("Notifications", columns, rows)


def _waiting(found: dict[str, Any]) -> Any:
    waiting, problems = found["waiting_notifications"], found["delivery_problems"]
    if waiting is None:
        return "How many wait cannot be told while the database is away."
    names = sorted({*waiting, *problems})
    rows = ((name, waiting.get(name, 0), problems.get(name)) for name in names)
    return table(None, ("destination", "waiting", "problem"), rows) if names else "No notification waits."
