"""What `recloser run` tells the processes of the program, in one environment variable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from recloser.targets import TARGETS

VARIABLE = "RECLOSER_RUN"


@dataclass(frozen=True)
class Options:
    """How the processes of one run are instrumented.

    Attributes:
        pid: The process that `recloser run` becomes; it names the run.
        config: A configuration file, absolute, or None.
        observe_only: Whether nothing is ever rejected.
        admin_folder: Where each process has its admin socket, or None for none.
        metrics_port: Where the first process serves its metrics, or None.
        metrics_host: The address it does so at.
        report: Where a report goes at the end: a file, `-` for standard error, or None.
    """

    pid: int
    config: str | None = None
    observe_only: bool = False
    admin_folder: str | None = None
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    report: str | None = None

    def to_variable(self) -> str:
        """The value of the variable."""
        return json.dumps({**dataclasses.asdict(self), "clients": [target.client for target in TARGETS]})


def from_environment(environ: Mapping[str, str]) -> Options:
    """The options of the run that this process belongs to."""
    values = json.loads(environ[VARIABLE])
    del values["clients"]  # for the Pythons without recloser
    return Options(**values)
