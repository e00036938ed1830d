"""Command line of the incident manager."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import httpx2
import typer
from rich.console import Console

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.domain.severity import Severity
from incident_manager.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns alerts into incidents and notifies people, whatever is failing.",
)
out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file, YAML or TOML.", envvar="INCIDENT_MANAGER_CONFIG", show_envvar=True),
]


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

    settings = _settings(config, host=host, port=port, data_dir=data_dir)
    server.configure_logging()
    try:
        bound = server.listen(settings.host, settings.port)
    except server.ListenError as error:
        _fail(str(error), 1)
    server.run(create_app(settings), bound)


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

    settings = _settings(config, data_dir=data_dir)
    breaker = CircuitBreaker(DATABASE, presets.database())
    store = Store(settings.store_url, breaker, connections=Connections(**settings.database.model_dump()))
    try:
        done = asyncio.run(store.migrate())
    except IncidentManagerError as error:
        _fail(f"{error}" + (f"\n{error.__cause__}" if error.__cause__ else ""), 1)
    if done.before == done.after:
        out.print(f"The database has schema {done.after} already.", highlight=False)
    else:
        out.print(f"The database was brought from schema {done.before or 'none'} to {done.after}.", highlight=False)


@app.command()
def check_config(config: ConfigOption = None) -> None:
    """Check the settings and show what they come to. Exit code 2 when something is wrong."""
    from incident_manager.config_summary import summary

    settings = _settings(config)
    for part in summary(settings):
        out.print(part)
    out.print("[green]The settings are good.[/]")


@app.command()
def send_test_alert(
    url: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:8080",
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
        _fail(f"--severity: {error}", 2)
    status = "resolved" if resolved else "firing"
    alert = {"title": title, "severity": word, "source": source, "dedup_key": key, "status": status}
    try:
        answer = httpx2.post(f"{url.rstrip('/')}/v1/alerts", json=alert, timeout=30)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        _fail(f"{url} does not answer: {error}", 1)
    if answer.status_code != 202:
        _fail(f"{url} answered {answer.status_code}: {answer.text}", 1)
    [accepted] = answer.json()["alerts"]
    incident = accepted["incident_id"] or "none"
    out.print(f"{accepted['action']}: alert {accepted['alert_id']}, incident {incident}", highlight=False)


@app.command()
def demo() -> None:
    """Show it working in a minute: an alert, a receiver that dies, the circuit opens, everything arrives.

    Exit code 1 when a notification was lost.
    """
    from incident_manager.demo import DemoError, run_demo

    try:
        complete = run_demo(out)
    except DemoError as error:
        _fail(str(error), 1)
    if not complete:
        _fail("a notification was lost", 1)


def _settings(config: Path | None, **overrides: object) -> Settings:
    """The settings, or the end of the program with all that is wrong with them."""
    try:
        return load_settings(config, overrides)
    except InvalidSettingsError as error:
        _fail(str(error), 2)


def _fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and end."""
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)
