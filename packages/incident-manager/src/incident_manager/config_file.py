"""Reading a settings file into plain values: YAML or TOML, with `${NAME}` taken from the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from incident_manager.config_errors import InvalidSettingsError, Problem
from incident_manager.config_positions import Position, Positions, dotted, nearest, toml_positions, yaml_positions

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a settings file says.

    Attributes:
        values: Plain values, with the environment's in place of `${NAME}`.
        positions: Where its keys stand.
    """

    values: dict[str, Any] = field(default_factory=dict)
    positions: Positions = field(default_factory=dict)


def read_config_file(path: Path, environment: Mapping[str, str]) -> ConfigFile:
    """The contents of a settings file; `${NAME}` in any text stands for an environment variable.

    Raises:
        InvalidSettingsError: It cannot be read or parsed, or names a variable that is not set.
    """
    text = _read(path)
    values, positions = _parse(path, text)
    if values is None:
        return ConfigFile()
    if not isinstance(values, dict):
        rule = f"must hold keys and values at the top level, not a {type(values).__name__}"
        raise InvalidSettingsError([Problem(str(path), "", rule)])
    missing: list[tuple[Sequence[str | int], str]] = []
    filled = _fill(values, environment, (), missing)
    if missing:
        rule = "needs the environment variable {}, which is not set"
        raise InvalidSettingsError(
            Problem(str(path), dotted(key), rule.format(name), position=nearest(positions, key))
            for key, name in missing
        )
    return ConfigFile(dict(filled), positions)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise InvalidSettingsError([Problem(str(path), "", f"cannot be read ({exc.strerror})")]) from None
    except UnicodeDecodeError:
        raise InvalidSettingsError([Problem(str(path), "", "must be text in UTF-8")]) from None


def _parse(path: Path, text: str) -> tuple[Any, Positions]:
    # Parsers quote the line at fault, which may hold a secret: only the place and the problem are passed on.
    match path.suffix.lower():
        case ".yaml" | ".yml":
            try:
                values = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader that also refuses repeated keys
            except yaml.YAMLError as exc:
                raise InvalidSettingsError([_not_yaml(path, exc)]) from None
            return values, yaml_positions(text)
        case ".toml":
            try:
                values = tomllib.loads(text)
            except tomllib.TOMLDecodeError as exc:
                raise InvalidSettingsError([_not_toml(path, exc)]) from None
            return values, toml_positions(text)
        case _:
            raise InvalidSettingsError([Problem(str(path), "", "must be named .yaml, .yml or .toml")])


def _not_yaml(path: Path, exc: yaml.YAMLError) -> Problem:
    mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
    why = "" if problem is None else f" ({problem})"
    at = None if mark is None else Position(mark.line + 1, mark.column + 1)
    return Problem(str(path), "", f"is not valid YAML{why}", position=at)


def _not_toml(path: Path, exc: tomllib.TOMLDecodeError) -> Problem:
    place = re.search(r"\(at line (\d+), column (\d+)\)\Z", str(exc))
    if place is None:
        return Problem(str(path), "", "is not valid TOML: it ends too early")
    return Problem(str(path), "", "is not valid TOML", position=Position(int(place[1]), int(place[2])))


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that occurs twice: YAML would drop the first one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True) if key_node.tag != "tag:yaml.org,2002:merge" else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _fill(
    value: Any,
    environment: Mapping[str, str],
    path: tuple[str | int, ...],
    missing: list[tuple[Sequence[str | int], str]],
) -> Any:
    """Replace `${NAME}` in every text below a value, and note where a name has no value."""
    if isinstance(value, str):
        missing.extend((path, name) for name in _VARIABLE.findall(value) if name not in environment)
        return _VARIABLE.sub(lambda found: environment.get(found[1], ""), value)
    if isinstance(value, dict):
        return {key: _fill(item, environment, (*path, key), missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environment, (*path, index), missing) for index, item in enumerate(value)]
    return value
