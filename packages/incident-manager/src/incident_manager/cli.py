"""Command line of the incident manager.

Commands that ask a running service end with the codes of `incident_manager.cli_client.ExitCode`. The others end with 0,
with 1 when it could not be done, and with 2 when the command or the settings are wrong; `serve` ends with 3 when the
service cannot start.
"""

from pathlib import Path
from typing import Annotated

import typer

from incident_manager.cli_backup import backup, restore
from incident_manager.cli_breakers import breakers, kpis
from incident_manager.cli_client import DEFAULT_URL, ApiClient, TokenFileOption, UrlOption
from incident_manager.cli_incidents import ack, deliveries, incidents, resolve, show
from incident_manager.cli_parts import ConfigOption, fail, out, settings_or_exit
from incident_manager.cli_report import report
from incident_manager.cli_tokens import tokens
from incident_manager.domain.severity import Severity

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turns alerts into incidents and notifies people, whatever is failing.",
)
app.add_typer(tokens, name="tokens")
app.command()(backup)
app.command()(restore)
ASKING = "Ask a running service"
for command in (incidents, show, ack, resolve, deliveries, breakers, kpis, report):
    app.command(rich_help_panel=ASKING)(command)


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.  [default: 8080]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database.  [default: data]")] = None,
    config: ConfigOption = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM."""
    from incident_manager import server  # the web stack takes its time to import; other commands need none of it
    from incident_manager.app import create_app
    from incident_manager.settings.load import SettingsSource

    settings = settings_or_exit(config, host=host, port=port, data_dir=data_dir)
    server.configure_logging(settings.log_level)
    try:
        bound = server.listen(settings.host, settings.port)
    except server.ListenError as error:
        fail(str(error), 1)
    overrides = {"host": host, "port": port, "data_dir": data_dir}
    server.run(create_app(settings, source=SettingsSource(config, overrides)), bound)


@app.command()
def migrate(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database.  [default: data]")] = None,
    config: ConfigOption = None,
) -> None:
    """Bring the database to the schema of this version, and say what that took. `serve` does the same by itself."""
    import asyncio

    from incident_manager.domain.errors import IncidentManagerError
    from incident_manager.protection import DATABASE
    from incident_manager.store.database import Store
    from incident_manager.store.postgres import Connections
    from recloser import CircuitBreaker, presets

    settings = settings_or_exit(config, data_dir=data_dir)
    breaker = CircuitBreaker(DATABASE, presets.database())
    store = Store(settings.store_url, breaker, connections=Connections(**settings.database.model_dump()))
    try:
        done = asyncio.run(store.migrate())
    except IncidentManagerError as error:
        fail(f"{error}" + (f"\n{error.__cause__}" if error.__cause__ else ""), 1)
    if done.before == done.after:
        out.print(f"The database has schema {done.after} already.", highlight=False)
    else:
        out.print(f"The database was brought from schema {done.before or 'none'} to {done.after}.", highlight=False)


@app.command()
def check_config(config: ConfigOption = None) -> None:
    """Check the settings and show what they come to. Exit code 2 when something is wrong."""
    from incident_manager.catalog_file import read_catalog
    from incident_manager.config_errors import InvalidSettingsError
    from incident_manager.config_summary import summary

    settings = settings_or_exit(config)
    if settings.catalog is not None:
        try:
            read_catalog(settings.catalog.file)
        except InvalidSettingsError as error:
            fail(str(error), 2)
    for part in summary(settings):
        out.print(part)
    out.print("[green]The settings are good.[/]")


@app.command(rich_help_panel=ASKING)
def send_test_alert(
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    title: Annotated[str, typer.Option(help="What is wrong, in one line.")] = "Test alert",
    severity: Annotated[str, typer.Option(help="P0 to P4, or a usual word such as warning.")] = "info",
    source: Annotated[str, typer.Option(help="Which system says so.")] = "incident-manager-cli",
    key: Annotated[str, typer.Option(help="Identity: alerts with the same key belong to one incident.")] = "test",
    resolved: Annotated[bool, typer.Option("--resolved", help="Say that the trouble is over.")] = False,
) -> None:
    """Send one alert to a running service and show what became of it."""
    try:
        word = Severity.parse(severity)
    except ValueError as error:
        fail(f"--severity: {error}", 2)
    status = "resolved" if resolved else "firing"
    alert = {"title": title, "severity": word, "source": source, "dedup_key": key, "status": status}
    with ApiClient(url, token_file) as client:
        [accepted] = client.post("/v1/alerts", alert)["alerts"]
    incident = accepted["incident_id"] or "none"
    out.print(
        f"{accepted['action']}: alert {accepted['alert_id']}, incident {incident}", highlight=False, soft_wrap=True
    )


@app.command("test-destination")
def try_destination(
    name: Annotated[str, typer.Argument(help="Name of the destination in the settings.")],
    config: ConfigOption = None,
) -> None:
    """Send a notification that is marked as a test to one destination now, and show what it answers.

    A destination that wakes somebody is told of the end right after. Exit code 1 when it was not delivered.
    """
    import asyncio

    from incident_manager.notify.trial import send_trials

    settings = settings_or_exit(config)
    if name not in settings.destinations:
        fail(f"{name}: no such destination; there are: {', '.join(settings.destinations) or 'none'}", 2)
    results = asyncio.run(send_trials(name, settings))
    for result in results:
        took = f"after {result.seconds:.2f} s"
        if result.error is not None:
            fail(f"{name}: the {result.event} notification was not delivered {took}: {result.error}", 1)
        out.print(f"{name}: {result.event} notification delivered {took}", highlight=False, markup=False)
        for warning in result.warnings:
            out.print(f"{name}: warning: {warning}", highlight=False, markup=False, style="yellow")


@app.command()
def demo() -> None:
    """Show it working in a minute: an alert, a receiver that dies, the circuit opens, everything arrives.

    Exit code 1 when a notification was lost.
    """
    from incident_manager.demo import DemoError, run_demo

    try:
        complete = run_demo(out)
    except DemoError as error:
        fail(str(error), 1)
    if not complete:
        fail("a notification was lost", 1)
