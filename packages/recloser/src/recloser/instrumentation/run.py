"""`recloser run`: becomes the given command, whose Pythons then find what instruments them on their module path."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from recloser.config import load_config
from recloser.errors import ConfigError
from recloser.instrumentation.admin.folder import FolderError, prepare
from recloser.instrumentation.options import VARIABLE, Options

USAGE, NOT_EXECUTABLE, NOT_FOUND = 2, 126, 127

_INJECTED = Path(__file__).parent / "injected"


class RunError(Exception):
    """The command was not started.

    Attributes:
        code: The exit code.
    """

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code


def run(options: Options, command: Sequence[str]) -> None:
    """Become `command`: same process, so that its signals, its exit code and its terminal are its own.

    Raises:
        RunError: Something was refused, or the command cannot be executed; nothing has been started.
    """
    if not command:
        raise RunError(USAGE, "no command: recloser run [OPTION...] -- COMMAND [ARGUMENT...]")
    checked = _checked(options)
    path = os.environ.get("PYTHONPATH")
    environ = {
        **os.environ,
        VARIABLE: checked.to_variable(),
        "PYTHONPATH": f"{_INJECTED}{os.pathsep}{path}" if path else str(_INJECTED),
    }
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), environ)  # noqa: S606 - this is what the user asked for
    except FileNotFoundError:
        raise RunError(NOT_FOUND, f"{command[0]}: no such command") from None
    except OSError as error:
        raise RunError(NOT_EXECUTABLE, f"{command[0]}: {error.strerror}") from None


def _checked(options: Options) -> Options:
    """The options as the processes need them, wherever they change to."""
    try:
        config = load_config(options.config)
    except ConfigError as error:
        raise RunError(USAGE, str(error)) from None
    observe_only = options.observe_only or config.instrument.observe_only
    if options.admin_folder is not None:
        try:
            prepare(Path(options.admin_folder))
        except FolderError as error:
            raise RunError(USAGE, f"--admin-socket {options.admin_folder}: {error}") from None
    if options.metrics_port is not None:
        _check_metrics(options.metrics_port)
    return Options(
        pid=options.pid,
        config=None if options.config is None else os.path.abspath(options.config),
        observe_only=observe_only,
        admin_folder=None if options.admin_folder is None else os.path.abspath(options.admin_folder),
        metrics_port=options.metrics_port,
        metrics_host=options.metrics_host,
        report=_report(options.report, observe_only=observe_only),
    )


def _check_metrics(port: int) -> None:
    if not 0 < port < 65_536:
        raise RunError(USAGE, f"--metrics-port {port}: must be a port, 1 to 65535")
    if find_spec("prometheus_client") is None:
        raise RunError(USAGE, f"--metrics-port {port}: needs prometheus-client: pip install 'recloser[prometheus]'")


def _report(report: str | None, *, observe_only: bool) -> str | None:
    if report is None:
        return "-" if observe_only else None
    if report == "-":
        return report
    try:
        Path(report).write_bytes(b"")
    except OSError as error:
        raise RunError(USAGE, f"--report {report}: cannot be written: {error.strerror}") from None
    return os.path.abspath(report)
