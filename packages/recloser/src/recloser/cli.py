"""The command line: `recloser`, or `python -m recloser`.

Exit codes: 0 all is well, 1 the configuration is refused or no running program can be asked, 2 the command was not
understood or names an unknown breaker. `recloser run` becomes the program, and so has its exit code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from recloser import completion
from recloser.config import Config, Explained, load_config
from recloser.errors import ConfigError, UnknownBreakerError
from recloser.instrumentation import commands as instrumentation
from recloser.instrumentation.admin.client import AdminError

OK, REFUSED, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Its words; None takes those of the process.

    Returns:
        The exit code.

    Raises:
        SystemExit: The command was not understood (code 2), or help was asked for (code 0).
    """
    ours, after = instrumentation.split(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    completion.answer(parser)
    arguments = parser.parse_args(ours, argparse.Namespace(after=after))
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ConfigError as error:
        print(f"recloser: {error}", file=sys.stderr)
        return REFUSED
    except AdminError as error:
        print(f"recloser: {error}", file=sys.stderr)
        return REFUSED
    except UnknownBreakerError as error:
        print(f"recloser: {arguments.file}: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recloser",
        description="Circuit breakers for Python.",
        epilog="exit codes: 0 ok, 1 the configuration is refused or no program can be asked, 2 wrong usage or an "
        "unknown breaker",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    config = commands.add_parser("config", help="check and explain configuration files")
    actions = config.add_subparsers(required=True, metavar="ACTION")

    check = actions.add_parser("check", help="say whether a file and the environment are valid")
    check.add_argument("file", metavar="FILE", help="a .yaml, .yml or .toml file")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command=_check)

    explain = actions.add_parser("explain", help="show a breaker's settings and where each comes from")
    explain.add_argument("name", metavar="NAME", help="the breaker")
    explain.add_argument("--file", metavar="FILE", required=True, help="a .yaml, .yml or .toml file")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(command=_explain)

    instrumentation.add_run(commands)
    instrumentation.add_admin(commands)
    completion.add_completion(commands)
    return parser


def _check(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.file)
    if arguments.json:
        found = {"file": config.source, "breakers": list(config.names), "unmatched": list(config.unmatched)}
        print(json.dumps(found, indent=2))
        return OK
    for variable in config.unmatched:
        print(f"{variable} names no breaker of this file; it can only mean one made in code")
    count = len(config.names)
    print(f"{arguments.file}: ok, {count} breaker{'' if count == 1 else 's'}")
    return OK


def _explain(arguments: argparse.Namespace) -> int:
    config: Config = load_config(arguments.file)
    rows = config.explain(arguments.name)
    if arguments.json:
        settings = [row._asdict() for row in rows]
        print(json.dumps({"name": arguments.name, "file": config.source, "settings": settings}, indent=2))
    else:
        print(_table(rows))
    return OK


def _table(rows: list[Explained]) -> str:
    cells = [("field", "value", "source"), *((row.field, _written(row.value), row.source) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    return "\n".join(f"{field:<{widths[0]}}  {value:<{widths[1]}}  {source}" for field, value, source in cells)


def _written(value: object) -> str:
    """A value as files write it."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
