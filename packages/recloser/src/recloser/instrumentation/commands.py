"""The commands of `recloser` that run a program, and that talk to one: their arguments and what they print."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recloser.instrumentation.admin.client import AdminError, ask, find, runs_of
from recloser.instrumentation.admin.folder import Socket, default_folder
from recloser.instrumentation.options import Options
from recloser.instrumentation.report import as_text
from recloser.instrumentation.run import RunError, run
from recloser.operations import OPERATIONS
from recloser.top.command import add_top, run_top

OK, REFUSED, USAGE = 0, 1, 2

_PATTERN = "a name, or a pattern such as 'http:*'"


def add_run(commands: Any) -> None:
    """Add `recloser run`."""
    parser = commands.add_parser(
        "run",
        help="run a program with a breaker in front of each of its dependencies",
        usage="recloser run [OPTION...] [--] COMMAND [ARGUMENT...]",
        epilog="exit codes: the program's own; 2 wrong usage or a refused configuration, 126 the command cannot be "
        "executed, 127 there is no such command",
    )
    parser.add_argument("--config", metavar="FILE", help="settings: a .yaml, .yml or .toml file")
    parser.add_argument("--observe-only", action="store_true", help="reject nothing; report what would have been")
    parser.add_argument("--report", metavar="FILE", help="where reports go (- for standard error, the default)")
    parser.add_argument("--metrics-port", metavar="N", type=int, help="serve Prometheus metrics on this port")
    parser.add_argument("--metrics-host", metavar="ADDRESS", default="127.0.0.1", help="at this address")
    _add_folder(parser)
    parser.add_argument("--no-admin-socket", action="store_true", help="without admin sockets")
    parser.add_argument("program", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run")
    parser.set_defaults(command=_run)


def add_admin(commands: Any) -> None:
    """Add the commands that talk to processes under `recloser run`."""
    listing = _add(commands, "list", "the breakers of running programs", _list)
    listing.add_argument("name", metavar="PATTERN", nargs="?", default="*", help=_PATTERN)
    listing.add_argument("--json", action="store_true", help="print JSON")
    add_top(_add(commands, "top", "the breakers of running programs, kept up to date", run_top))
    _add(commands, "show", "all about one breaker, as JSON", _show).add_argument("name", metavar="NAME")
    _add(commands, "metrics", "the Prometheus metrics of one process", _metrics)
    report = _add(commands, "report", "what the breakers have seen so far", _report)
    report.add_argument("--json", action="store_true", help="print JSON")
    for name, operation in OPERATIONS.items():
        parser = _add(commands, name, operation.meaning, _operate)
        parser.add_argument("name", metavar="PATTERN", help=_PATTERN)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="for the next person on call")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(operation=name)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words for `recloser` and those after the first `--` of `recloser run`, which are the program's."""
    if not argv or argv[0] != "run" or "--" not in argv:
        return list(argv), []
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at:])


def _add(commands: Any, name: str, meaning: str, command: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning)
    parser.add_argument("--pid", type=int, metavar="N", help="of this process only")
    parser.add_argument("--run", type=int, metavar="N", help="of this run only: its first process and all below it")
    _add_folder(parser)
    parser.set_defaults(command=command)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--admin-socket", metavar="FOLDER", type=Path, default=default_folder(), help="the folder of admin sockets"
    )


def _run(arguments: argparse.Namespace) -> int:
    program: list[str] = arguments.program
    after = arguments.after
    command = [*program, *after] if program else after[1:]
    options = Options(
        pid=os.getpid(),
        config=arguments.config,
        observe_only=arguments.observe_only,
        admin_folder=None if arguments.no_admin_socket else str(arguments.admin_socket),
        metrics_port=arguments.metrics_port,
        metrics_host=arguments.metrics_host,
        report=arguments.report,
    )
    try:
        run(options, command)
    except RunError as error:
        print(f"recloser: {error}", file=sys.stderr)
        return error.code
    return OK


def _found(arguments: argparse.Namespace) -> list[Socket]:
    found = find(arguments.admin_socket, pid=arguments.pid, run=arguments.run)
    if not found:
        raise AdminError(f"no process with an admin socket in {arguments.admin_socket}{_chosen(arguments)}")
    return found


def _chosen(arguments: argparse.Namespace) -> str:
    chosen = [f"--{name} {getattr(arguments, name)}" for name in ("pid", "run") if getattr(arguments, name)]
    return f" for {' '.join(chosen)}" if chosen else ""


def _list(arguments: argparse.Namespace) -> int:
    answers = [ask(each.path, {"command": "list", "name": arguments.name}) for each in _found(arguments)]
    if arguments.json:
        rows = [{"pid": answer["pid"], **row} for answer in answers for row in answer["result"]]
        print(json.dumps(rows, indent=2))
        return OK
    cells = [("pid", "program", "name", "state", "control", "calls", "failed", "rejected", "would be")]
    for answer in answers:
        for row in answer["result"]:
            numbers = map(str, (row["calls"], row["failed"], row["rejected"], row["would_be_rejected"]))
            cells.append((str(answer["pid"]), answer["program"], row["name"], row["state"], row["control"], *numbers))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for cell in cells:
        print("  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip())
    return OK


def _show(arguments: argparse.Namespace) -> int:
    for each in _found(arguments):
        answer = ask(each.path, {"command": "show", "name": arguments.name})
        print(json.dumps({"pid": answer["pid"], **answer["result"]}, indent=2))
    return OK


def _metrics(arguments: argparse.Namespace) -> int:
    found = _found(arguments)
    if len(found) > 1:
        raise AdminError(f"choose a process with --pid: {', '.join(str(each.pid) for each in found)}")
    print(ask(found[0].path, {"command": "metrics"})["result"], end="")
    return OK


def _report(arguments: argparse.Namespace) -> int:
    reports = [ask(each.path, {"command": "report"})["result"] for each in _found(arguments)]
    print(json.dumps(reports, indent=2) if arguments.json else "".join(map(as_text, reports)).removesuffix("\n"))
    return OK


def _operate(arguments: argparse.Namespace) -> int:
    found = _found(arguments)
    runs = runs_of(found)
    if len(runs) > 1:
        raise AdminError(f"several programs are running: choose one with --run: {', '.join(map(str, runs))}")
    request = {"command": arguments.operation, "name": arguments.name, "reason": arguments.reason}
    reached: list[dict[str, Any]] = []
    for each in found:
        for name in ask(each.path, request)["result"]:
            reached.append({"pid": each.pid, "name": name})
            if not arguments.json:
                print(f"{each.pid}: {name}")
    if not reached:
        raise AdminError(f"no breaker is called {arguments.name!r} in {'this process' if len(found) == 1 else 'these'}")
    if arguments.json:
        print(json.dumps(reached, indent=2))
    return OK
