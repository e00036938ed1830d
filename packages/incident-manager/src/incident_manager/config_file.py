"""Reading a settings file into plain values: YAML or TOML, with `${NAME}` taken from the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from incident_manager.config_errors import InvalidSettingsError, Problem

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_config_file(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The contents of a settings file; `${NAME}` in any text stands for an environment variable.

    Raises:
        InvalidSettingsError: It cannot be read or parsed, or names a variable that is not set.
    """
    text = _read(path)
    values = _parse(path, text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        rule = f"must hold keys and values at the top level, not a {type(values).__name__}"
        raise InvalidSettingsError([Problem(str(path), "", rule)])
    problems: list[Problem] = []
    filled = _fill(values, environment, str(path), "", problems)
    if problems:
        raise InvalidSettingsError(problems)
    return dict(filled)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise InvalidSettingsError([Problem(str(path), "", f"cannot be read ({exc.strerror})")]) from None
    except UnicodeDecodeError:
        raise InvalidSettingsError([Problem(str(path), "", "must be text in UTF-8")]) from None


def _parse(path: Path, text: str) -> Any:
    # Parsers quote the line at fault, which may hold a secret: only the place and the problem are passed on.
    match path.suffix.lower():
        case ".yaml" | ".yml":
            try:
                return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader that also refuses repeated keys
            except yaml.YAMLError as exc:
                raise InvalidSettingsError([Problem(str(path), "", f"is not valid YAML{_place(exc)}")]) from None
        case ".toml":
            try:
                return tomllib.loads(text)
            except tomllib.TOMLDecodeError as exc:
                where = re.search(r"\(at [^()]*\)\Z", str(exc))
                rule = f"is not valid TOML {where[0]}" if where else "is not valid TOML"
                raise InvalidSettingsError([Problem(str(path), "", rule)]) from None
        case _:
            raise InvalidSettingsError([Problem(str(path), "", "must be named .yaml, .yml or .toml")])


def _place(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None)
    if mark is None:
        return ""
    return f" (line {mark.line + 1}, column {mark.column + 1}: {problem})"


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


def _fill(value: Any, environment: Mapping[str, str], source: str, path: str, problems: list[Problem]) -> Any:
    """Replace `${NAME}` in every text below a value."""
    if isinstance(value, str):
        missing = [name for name in _VARIABLE.findall(value) if name not in environment]
        rule = "needs the environment variable {}, which is not set"
        problems.extend(Problem(source, path, rule.format(name)) for name in missing)
        return _VARIABLE.sub(lambda found: environment.get(found[1], ""), value)
    if isinstance(value, dict):
        return {
            key: _fill(item, environment, source, f"{path}.{key}".lstrip("."), problems) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_fill(item, environment, source, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    return value
