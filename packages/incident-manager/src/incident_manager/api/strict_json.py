"""JSON as RFC 8259 means it, for bodies that strangers send.

Python's parser takes more than JSON (NaN, Infinity), silently drops duplicate keys, and passes on text that no
database can store (lone surrogates, U+0000). Each of these is refused here, before anything looks at the content.
"""

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Levels of arrays and objects within each other. Alerts need four."""


class JsonError(ValueError):
    """The text is not JSON that we take; the message says why."""


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        JsonError: Invalid UTF-8 or JSON, a duplicate key, a number that is not finite, a string that is not
            Unicode text, or more than `MAX_DEPTH` levels.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"the body is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise JsonError(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise JsonError(_TOO_DEEP) from None
    _check(value)
    return value


_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise JsonError(f"the key {_shown(duplicate)} occurs twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not a JSON number")


def _float(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise JsonError(f"the number {_shown(literal)} is too large")
    return number


def _int(literal: str) -> int:
    if len(literal) > 20:  # more than 64 bits; Python's own limit is thousands of digits
        raise JsonError(f"the number {_shown(literal)} is too large")
    return int(literal)


def _check(value: Any) -> None:
    """Refuse what parsed but cannot be used. Level by level, so that no depth exhausts the stack."""
    level, depth = [value], 0
    while level:
        containers = [item for item in level if isinstance(item, list | dict)]
        depth += bool(containers)
        if depth > MAX_DEPTH:
            raise JsonError(_TOO_DEEP)
        for text in level:
            if isinstance(text, str):
                _check_text(text)
        level = []
        for container in containers:
            level.extend(container)  # the items of a list, the keys of an object
            if isinstance(container, dict):
                level.extend(container.values())


def _check_text(text: str) -> None:
    if "\0" in text:
        raise JsonError(f"the string {_shown(text)} contains U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JsonError(f"the string {_shown(text)} contains half of a surrogate pair") from None


def _shown(text: str) -> str:
    """The text as JSON in ASCII, shortened, fit to stand in a message."""
    return json.dumps(text if len(text) <= 40 else text[:40] + "...")
