"""Programs that no wheel brings: where they are, or why not."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FETCHED = Path(sys.prefix) / "servers/usr/bin"
"""Where `make test` has `fetch-programs.sh` put what the system does not have."""


class ProgramMissingError(RuntimeError):
    """A program is not on this machine."""


def find_program(variable: str, *names: str) -> Path:
    """The first of these programs that is there: in the folder the variable names, else in PATH, else fetched.

    Raises:
        ProgramMissingError: None is there.
    """
    given = os.environ.get(variable)
    for folder in [given] if given else [os.environ.get("PATH", os.defpath), str(FETCHED)]:
        for name in names:
            if found := shutil.which(name, path=folder):
                return Path(found)
    places = f"{variable}={given}" if given else "PATH"
    raise ProgramMissingError(
        f"none of {', '.join(names)} in {places}; install it, name its folder in {variable}, or run "
        f"testing/servers/fetch-programs.sh {Path(sys.prefix) / 'servers'} where apt-get is"
    )


def require(*programs: Callable[[], Path]) -> None:
    """Skip the test, or the tests of the fixture, where one of the programs is missing.

    In CI they fail instead: there nobody would notice that they never run.
    """
    try:
        for find in programs:
            find()
    except ProgramMissingError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
