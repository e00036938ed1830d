"""Where the keys of a settings file stand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the top of the file."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file, counted from 1."""

    line: int
    column: int


Positions: TypeAlias = Mapping[Path, Position]


def nearest(positions: Positions, path: Sequence[str | int]) -> Position | None:
    """Return where a key stands, or else what holds it; None when nothing of it is in the file."""
    known = tuple(path)
    while known and known not in positions:
        known = known[:-1]
    return positions.get(known)


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as people write it: `routes[0].destinations[1]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def yaml_positions(text: str) -> dict[Path, Position]:
    """Find the keys and the items of a YAML file that can be parsed."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return {} if root is None else dict(_of_node(root, ()))


def _of_node(node: yaml.Node, path: Path) -> Iterator[tuple[Path, Position]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            yield below, Position(key.start_mark.line + 1, key.start_mark.column + 1)
            yield from _of_node(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            below = (*path, index)
            yield below, Position(item.start_mark.line + 1, item.start_mark.column + 1)
            yield from _of_node(item, below)


def toml_positions(text: str) -> dict[Path, Position]:
    """Find the keys of a TOML file that can be parsed; items of a list stand where the list's key does.

    The standard parser tells no places. It is given one statement after the other instead, so that what a statement
    is stays its business.
    """
    found: dict[Path, Position] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        values = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(values, arrays, is_array=statement.lstrip().startswith("[["))
            found[table] = Position(line, _column(statement))
            for length in range(1, len(table)):
                found.setdefault(table[:length], found[table])
            continue
        for path in _paths(values):
            found.setdefault((*table, *path), _within(statement, line, path))
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut the text into what the parser accepts by itself, each with the number of its first line."""
    pending: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if pending else number
        pending.append(line)
        statement = "\n".join(pending)
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        yield first, statement
        pending = []


def _header(values: dict[str, Any], arrays: dict[Path, int], *, is_array: bool) -> Path:
    """Return the path of the table that a header begins; `arrays` counts the tables of each array of tables."""
    names: list[str] = []
    below: Any = values
    while isinstance(below, dict) and below:
        [(name, below)] = below.items()
        names.append(name)
    path: Path = ()
    for index, name in enumerate(names):
        path = (*path, name)
        if is_array and index == len(names) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path


def _paths(values: Any) -> Iterator[Path]:
    items: Iterator[tuple[str | int, Any]]
    if isinstance(values, dict):
        items = iter(values.items())
    elif isinstance(values, list):
        items = enumerate(values)
    else:
        return
    for key, value in items:
        yield (key,)
        for below in _paths(value):
            yield (key, *below)


def _within(statement: str, line: int, path: Path) -> Position:
    """Return where a key stands in its statement: the statement begins with the first one, others are looked for."""
    names = [key for key in path if isinstance(key, str)]
    match = re.search(rf"""(?<![\w-])["']?{re.escape(names[-1])}["']?\s*[=.]""", statement)
    if match is None:
        return Position(line, _column(statement))
    before = statement[: match.start()]
    return Position(line + before.count("\n"), match.start() - (before.rfind("\n") + 1) + 1)


def _column(statement: str) -> int:
    return len(statement) - len(statement.lstrip()) + 1
