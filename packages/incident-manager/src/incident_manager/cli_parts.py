"""What the commands have in common: where they print, how they read the settings, how they fail."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.settings import Settings, load_settings

out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file, YAML or TOML.", envvar="INCIDENT_MANAGER_CONFIG", show_envvar=True),
]
DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the embedded database.  [default: data]")]


def settings_or_exit(config: Path | None, **overrides: object) -> Settings:
    """The settings, or the end of the program with all that is wrong with them."""
    try:
        return load_settings(config, overrides)
    except InvalidSettingsError as error:
        fail(str(error), 2)


def print_json(value: object) -> None:
    """Print an answer for programs."""
    typer.echo(json.dumps(value, indent=2))


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and end."""
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)
