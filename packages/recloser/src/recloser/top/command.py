"""The command `recloser top`: its arguments, and how it goes on."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from recloser.top.lines import ORDERS, Key, Line, Reading, chosen, ordered, rates
from recloser.top.table import summary, table

TOKEN_VARIABLE = "RECLOSER_TOKEN"  # noqa: S105 - the name of a variable
"""Names the variable that holds the bearer token for addresses."""

OK, REFUSED, USAGE = 0, 1, 2
_STATES = ("open", "half_open", "closed")
_QUIT = ("q", "\x1b", "\x04")


def add_top(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of `recloser top`, besides those of all commands that talk to processes."""
    parser.description = (
        "The breakers of running programs, kept up to date. In a pipe or a terminal that cannot do it, they are "
        "printed once. Keys: q ends it, s sorts by something else. Exit codes: 0 all is well, 1 printed once and "
        "nothing could be read, 2 wrong usage."
    )
    parser.add_argument("name", metavar="PATTERN", nargs="?", default="*", help="a name, or a pattern such as 'http:*'")
    parser.add_argument(
        "--url",
        metavar="URL",
        action="append",
        type=_address,
        default=[],
        help="in place of this machine's processes: a page of metrics or a dashboard; may be repeated; the bearer "
        f"token is taken from {TOKEN_VARIABLE}",
    )
    parser.add_argument("--interval", metavar="SECONDS", type=_interval, default=2.0, help="between two looks (2)")
    parser.add_argument("--sort", choices=ORDERS, default=ORDERS[0], help=f"what comes first ({ORDERS[0]})")
    parser.add_argument("--state", choices=_STATES, action="append", default=[], help="only these; may be repeated")
    parser.add_argument("--once", action="store_true", help="print once, and end")
    parser.add_argument("--json", action="store_true", help="print JSON once, and end")
    parser.set_defaults(command=run_top)


def run_top(arguments: argparse.Namespace) -> int:
    """Show the breakers until somebody has seen enough, or once."""
    if arguments.json or arguments.once or not _can_draw():
        return _print_once(arguments)
    try:
        _go_on(arguments)
    except KeyboardInterrupt:
        return OK
    return OK


def _can_draw() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print_once(arguments: argparse.Namespace) -> int:
    reading = _read(arguments)
    lines = ordered(chosen(reading.lines, arguments.name, arguments.state), arguments.sort, {})
    for problem in reading.problems:
        print(f"recloser: {problem}", file=sys.stderr)
    if arguments.json:
        print(json.dumps([asdict(one) for one in lines], indent=2))
    elif reading.lines:
        print("\n".join(table(lines, {}, None)))
    return OK if reading.lines or not reading.problems else REFUSED


def _go_on(arguments: argparse.Namespace) -> None:
    from recloser.top.screen import Screen  # there are systems without terminals of this kind

    screen = Screen()
    coloured = "NO_COLOR" not in os.environ
    order = ORDERS.index(arguments.sort)
    before: dict[Key, Line] = {}
    before_at = 0.0
    with screen.open():
        while True:
            reading, at = _read(arguments), time.monotonic()
            lines = chosen(reading.lines, arguments.name, arguments.state)
            speed = rates(lines, before, at - before_at)
            due = time.monotonic() + arguments.interval
            while True:
                width = screen.size[0]
                hint = f"   sorted by {ORDERS[order]}   q: quit, s: sort"
                head = summary(lines, reading.problems, hint, width)
                body = table(ordered(lines, ORDERS[order], speed), speed, width, coloured=coloured)
                screen.draw([*head, "", *body])
                key = screen.wait(due - time.monotonic())  # a new size only draws it again
                if key in _QUIT:
                    return
                if key == "s":
                    order = (order + 1) % len(ORDERS)
                elif not key:
                    break
            before, before_at = {one.key: one for one in reading.lines}, at


def _read(arguments: argparse.Namespace) -> Reading:
    from recloser.top.sources import read_address, read_sockets  # other commands need no HTTP client

    token = os.environ.get(TOKEN_VARIABLE)
    readings = [read_address(url, token) for url in arguments.url] or [
        read_sockets(arguments.admin_socket, arguments.pid, arguments.run)
    ]
    return Reading(_flat(each.lines for each in readings), _flat(each.problems for each in readings))


def _flat(many: Any) -> list[Any]:
    return [one for each in many for one in each]


def _address(text: str) -> str:
    """An address that was given. Raises ArgumentTypeError."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.username is not None:
        raise argparse.ArgumentTypeError("must be such as http://127.0.0.1:9090/metrics, without a user")
    return text


def _interval(text: str) -> float:
    """Seconds that were given. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be 0.1 to 3600 seconds: {text[:40]!r}")
    return seconds
