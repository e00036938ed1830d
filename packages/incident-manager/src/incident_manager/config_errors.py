"""What is wrong with the settings, said so that it can be put right: file, key, value, rule."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from incident_manager.config_positions import Position
from incident_manager.domain.errors import IncidentManagerError

_SHOWN = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        source: The file, `command line`, or `environment variable NAME`.
        path: Dotted path of the key (`destinations.ops.url`); empty for the file as a whole.
        rule: What is expected instead.
        value: What was given, fit to be shown; None when it is secret or says nothing.
        position: Where in the file; None when it is not in one.
    """

    source: str
    path: str
    rule: str
    value: str | None = None
    position: Position | None = None

    def __str__(self) -> str:
        at = "" if self.position is None else f":{self.position.line}:{self.position.column}"
        place = f"{self.source}{at}: {self.path}" if self.path else f"{self.source}{at}"
        given = "" if self.value is None else f"; given {self.value}"
        return f"{place}: {self.rule}{given}"


class InvalidSettingsError(IncidentManagerError):
    """The settings cannot be used; the service does not start.

    Attributes:
        problems: All that is wrong, not the first thing only.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def shown(value: Any) -> str:
    """A value in a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def unknown_key(key: str, known: Collection[str]) -> str:
    """The rule that an unknown key breaks, with the key that was probably meant."""
    alike = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    meant = f"did you mean {alike[0]!r}? " if alike else ""
    return f"unknown key; {meant}known keys: {', '.join(sorted(known))}"
