"""Completion of the command line in a shell: the code that a shell needs, and what it is answered.

The work is argcomplete's. It is imported only when a shell asks, so that no command pays for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

OK, REFUSED = 0, 1
SHELLS = ("bash", "zsh", "fish")

_ASKED = "_ARGCOMPLETE"
_MISSING = "completion needs argcomplete: install recloser[completion]"


def add_completion(commands: Any) -> None:
    """Add `recloser completion`."""
    parser = commands.add_parser("completion", help="print what makes a shell complete this command")
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    parser.set_defaults(command=_print)


def answer(parser: argparse.ArgumentParser) -> None:
    """If a shell asks how a command line may go on, tell it, and end the process."""
    if _ASKED not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:
        sys.exit(REFUSED)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _print(arguments: argparse.Namespace) -> int:
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        print(f"recloser: {_MISSING}", file=sys.stderr)
        return REFUSED
    print(shellcode(["recloser"], shell=arguments.shell))
    return OK
