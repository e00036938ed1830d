"""What answers of the service look like to people: tables of plain text.

Whatever a sender of alerts wrote is shown, and none of it reaches the terminal as a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from incident_manager.report.figures import duration

_COLOURS = {
    "P0": "bold red",
    "P1": "red",
    "P2": "yellow",
    "open": "red",
    "half_open": "yellow",
    "closed": "green",
    "failed": "red",
    "pending": "yellow",
    "delivered": "green",
}


def cell(value: object) -> Text:
    """A value as text without control characters, coloured if it is a word that matters."""
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    clean = "".join(character if character.isprintable() else " " for character in text)
    return Text(clean, style=_COLOURS.get(clean, ""))


def moment(value: str | None, now: datetime | None = None) -> str:
    """A timestamp of the API as people read it, in UTC; with the time that has passed since if `now` is given."""
    if value is None:
        return ""
    at = datetime.fromisoformat(value).astimezone(UTC)
    shown = f"{at:%Y-%m-%d %H:%M:%S}"
    return shown if now is None else f"{shown} ({duration((now - at).total_seconds())} ago)"


def table(title: str | None, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table of cells. The first column names the rows, and is never cut."""
    made = Table(title=None if title is None else Text(title), title_justify="left")
    for number, name in enumerate(columns):
        made.add_column(name, no_wrap=number == 0)
    for row in rows:
        made.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return made


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values, those without a value left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, "", [], {}):
            made.add_row(Text(name, style="bold"), cell(value))
    return made
