"""From pydantic's validation errors to problems that name the source, the key, the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from incident_manager.config_errors import Problem, shown, unknown_key
from incident_manager.config_positions import Positions, dotted, nearest

Key: TypeAlias = str | int
KnownKeys: TypeAlias = Callable[[Sequence[Key]], Collection[str]]
"""The keys that may stand below a path."""

SECRET_KEYS = frozenset(
    {
        "url",
        "secret",
        "headers",
        "database_url",
        "cache_url",
        "token",
        "tokens",
        "routing_key",
        "password",
        "templates",
        "session_key",
        "sentinel_secret",
        "key",
    }
)
"""Values below these keys are never shown."""

_SHOULD_HAVE = re.compile(r"^\w+ should have")
_RULES = {"missing": "is required", "union_tag_not_found": "is required"}


@dataclass(frozen=True)
class Layer:
    """Settings from one source; a later layer wins over an earlier one.

    Attributes:
        name: What to call the source of a path.
        values: What it says.
        positions: Where its keys stand; empty if it is no file.
    """

    name: Callable[[Sequence[Key]], str]
    values: Mapping[str, Any]
    positions: Positions = field(default_factory=dict)


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """The values of all layers; mappings are joined, anything else is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _join(merged, layer.values)
    return merged


def problems_of(error: ValidationError, layers: Sequence[Layer], known_keys: KnownKeys) -> list[Problem]:
    """What pydantic found, in the terms of whoever wrote the settings."""
    merged = merge(layers)
    details = error.errors(include_url=False, include_input=False)
    return [_problem(detail, merged, layers, known_keys) for detail in details]


def _join(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for key, value in above.items():
        known = joined.get(key)
        joined[key] = _join(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return joined


def _problem(
    detail: ErrorDetails, merged: Mapping[str, Any], layers: Sequence[Layer], known_keys: KnownKeys
) -> Problem:
    kind = detail["type"]
    context = detail.get("ctx", {})
    path = _existing(detail["loc"], merged)
    if kind == "missing":
        path = [*path, detail["loc"][-1]]
    elif kind.startswith("union_tag"):
        path = [*path, "type"]
    path += context.get("path", [])
    rule = _rule(detail)
    if kind == "extra_forbidden":
        rule = unknown_key(str(path[-1]), known_keys(path[:-1]))
    value = context.get("value") or _value(kind, path, merged)
    layer = _source(path, layers)
    return Problem(layer.name(path), dotted(path), rule, value, nearest(layer.positions, path))


def _existing(loc: Sequence[Key], values: Any) -> list[Key]:
    """The part of a location that stands in the settings; pydantic adds the names of union members to it."""
    path: list[Key] = []
    for key in loc:
        found = _below(values, key)
        if found is not None:
            path.append(key)
            values = found[0]
    return path


def _below(values: Any, key: Key) -> tuple[Any] | None:
    if isinstance(values, Mapping) and key in values:
        return (values[key],)
    if isinstance(values, list | tuple) and isinstance(key, int) and key < len(values):
        return (values[key],)
    return None


def _source(path: Sequence[Key], layers: Sequence[Layer]) -> Layer:
    """The layer that says most about a path; the last of equals."""
    best = max(layers, key=lambda layer: len(_existing(path, layer.values)))
    depth = len(_existing(path, best.values))
    last = [layer for layer in layers if len(_existing(path, layer.values)) == depth][-1]
    return last if depth else layers[0]


def _rule(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind in _RULES:
        return _RULES[kind]
    if kind == "union_tag_invalid":
        return f"must be one of {detail['ctx']['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    message = _SHOULD_HAVE.sub("must have", message)
    return message.replace("Input should be", "must be", 1)


def _value(kind: str, path: Sequence[Key], values: Any) -> str | None:
    if kind in ("missing", "extra_forbidden", "union_tag_not_found") or SECRET_KEYS.intersection(map(str, path)):
        return None  # what stands under a mistyped key may be a secret too
    for key in path:
        found = _below(values, key)
        if found is None:
            return None
        values = found[0]
    return None if isinstance(values, Mapping) else shown(values)
