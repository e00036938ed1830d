"""The commands of the service: within this process, which is quick, or as programs, which have signals and sockets."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from incident_manager import cli_parts
from incident_manager.cli import app


@contextlib.contextmanager
def wide_output() -> Iterator[None]:
    """Keep tables from being cut: a console that is made where COLUMNS is set keeps to that for ever."""
    before = cli_parts.out.width, cli_parts.err.width
    cli_parts.out.width = cli_parts.err.width = 250
    yield
    cli_parts.out.width, cli_parts.err.width = before


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command within this process, with wide output and an environment without settings."""
    settings: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INCIDENT_MANAGER_")}
    with contextlib.chdir(folder), wide_output():
        done = CliRunner().invoke(app, arguments, env={**settings, "COLUMNS": "200", "NO_COLOR": "1"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def run_program(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a program to its end, with the same output and environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("INCIDENT_MANAGER_")}
    return subprocess.run(
        [sys.executable, "-m", "incident_manager", *arguments],
        cwd=folder,
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
