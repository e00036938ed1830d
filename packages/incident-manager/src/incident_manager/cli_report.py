"""The command that writes the report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from incident_manager.api.breaker_history_schemas import CircuitBreakersKpis
from incident_manager.api.incident_schemas import IncidentOut
from incident_manager.cli_breakers import WindowOption, checked_window
from incident_manager.cli_client import DEFAULT_URL, ApiClient, ExitCode, TokenFileOption, UrlOption
from incident_manager.cli_parts import ConfigOption, DataDirOption, err, fail, settings_or_exit
from incident_manager.domain.errors import IncidentManagerError
from incident_manager.report.form import ReportFormat
from incident_manager.settings import Settings
from recloser import CircuitBreaker, presets

if TYPE_CHECKING:
    from incident_manager.store.database import Store

MOST_INCIDENTS = 10_000
"""Incidents that a report counts; of more, the newest."""

_PAGE = 200
_Found = tuple[CircuitBreakersKpis, list[IncidentOut]]


def report(
    window: WindowOption = "7d",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.  [default: standard output]", dir_okay=False)
    ] = None,
    form: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="What to write.  [default: by the name of the file, else markdown]"),
    ] = None,
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Read the database of the settings; the service need not run.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
) -> None:
    """Write a report on incidents and circuit breakers: one page of HTML that needs nothing else, or Markdown."""
    from incident_manager.report.render import render

    seconds = checked_window(window)
    if from_store:
        kpis, incidents = _from_store(settings_or_exit(config, data_dir=data_dir), seconds)
    else:
        kpis, incidents = _from_service(ApiClient(url, token_file), window)
    if len(incidents) == MOST_INCIDENTS:
        err.print(f"warning: the report counts the newest {MOST_INCIDENTS} incidents only", style="yellow")
    text = render(kpis, incidents, form or _form_of(output))
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"--output {output}: {error.strerror}", ExitCode.REFUSED)
    err.print(f"written: {output}", highlight=False, markup=False, soft_wrap=True)


def _form_of(output: Path | None) -> ReportFormat:
    is_html = output is not None and output.suffix.lower() in (".html", ".htm")
    return ReportFormat.HTML if is_html else ReportFormat.MARKDOWN


def _from_service(opened: ApiClient, window: str) -> _Found:
    with opened as client:
        answer = client.get("/v1/circuit-breakers/kpis", {"window": window})
        try:
            kpis = CircuitBreakersKpis.model_validate(answer)
            question = {"since": kpis.since.isoformat(), "until": kpis.until.isoformat()}
            found = client.pages("/v1/incidents", "incidents", MOST_INCIDENTS, question)
            return kpis, [IncidentOut.model_validate(one) for one in found]
        except ValidationError as error:
            fail(f"the service is of another version than this command: {error.error_count()} parts of its answer "
                 "are not as expected", ExitCode.REFUSED)  # fmt: skip


def _from_store(settings: Settings, window: float) -> _Found:
    from incident_manager.history.summary import summarise
    from incident_manager.store.database import Store
    from incident_manager.store.postgres import Connections

    async def run() -> _Found:
        breaker = CircuitBreaker("database", presets.database())
        store = Store(settings.store_url, breaker, connections=Connections(**settings.database.model_dump()))
        try:
            await store.start()
            until = datetime.now(UTC)
            summary = await summarise(store, [], window, until)
            return CircuitBreakersKpis.of(summary), await _incidents(store, until - timedelta(seconds=window), until)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except IncidentManagerError as error:
        fail(str(error), ExitCode.REFUSED)


async def _incidents(store: Store, since: datetime, until: datetime) -> list[IncidentOut]:
    from incident_manager.store.paging import IncidentFilter

    where = IncidentFilter(since=since, until=until)
    found: list[IncidentOut] = []
    cursor: str | None = None
    while len(found) < MOST_INCIDENTS:
        at = cursor
        page = await store.read(lambda unit, at=at: unit.list(where, limit=_PAGE, cursor=at))  # type: ignore[misc]
        found += [IncidentOut.model_validate(one) for one in page.incidents]
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
