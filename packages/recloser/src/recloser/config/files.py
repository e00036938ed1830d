"""A configuration file read into its entries. Nothing here knows what the breakers will be made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloser.config.schema import (
    KEYS,
    SECTIONS,
    Given,
    Level,
    check_level,
    checked,
    dotted,
    hint,
    preset_level,
    short,
)
from recloser.errors import ConfigError
from recloser.targets import KINDS, TARGETS

if TYPE_CHECKING:
    import yaml

_TOP = ("defaults", "groups", "breakers", "instrument")
_INSTRUMENT = ("observe_only", "leave_out", "kinds")
_FIELDS = tuple(dict.fromkeys(name.split(".")[0] for name in KEYS))
_SUFFIXES = {".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}


@dataclass(frozen=True)
class Entry:
    """`defaults`, one group or one breaker.

    Attributes:
        preset: What its preset gives.
        values: What it gives itself.
        group: The group it names, if any.
    """

    preset: Level = field(default_factory=dict)
    values: Level = field(default_factory=dict)
    group: Given | None = None


@dataclass(frozen=True)
class Instrument:
    """What a file says of a program that is protected without an edit; see `recloser.instrument`.

    Attributes:
        observe_only: Whether nothing is ever rejected.
        leave_out: Clients that are not touched (`redis`), and patterns of names of breakers (`http:localhost*`).
        kinds: Settings by kind of dependency: `http` for all that are called `http:...`.
    """

    observe_only: bool = False
    leave_out: tuple[str, ...] = ()
    kinds: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """The entries of a file."""

    source: str
    defaults: Entry = field(default_factory=Entry)
    groups: Mapping[str, Entry] = field(default_factory=dict)
    breakers: Mapping[str, Entry] = field(default_factory=dict)
    instrument: Instrument | None = None


def read(path: Path) -> tuple[str, bytes]:
    """The file's name for people, and its content.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return str(path), path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror or error}") from None


def parse(source: str, content: bytes) -> File:
    """The entries of a file, each value checked by itself.

    Raises:
        ConfigError: The file is not what its suffix says, or a key or a value was refused.
    """
    suffix = Path(source).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ConfigError(source, "", f"its name must end in {', '.join(_SUFFIXES)}: {suffix or 'no suffix'!r} is none")
    language = _SUFFIXES[suffix]
    try:
        text = content.decode("utf-8-sig")
        data = _toml(text) if language == "TOML" else _yaml(text, source)
    except RecursionError:
        raise ConfigError(source, "", "is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(source, "", f"is not valid {language}: {error}") from None
    return _file(source, {} if data is None else data)


def _toml(text: str) -> object:
    import tomllib

    return tomllib.loads(text)


def _yaml(text: str, source: str) -> object:
    try:
        import yaml
    except ImportError:
        problem = "reading YAML needs PyYAML: pip install 'recloser[yaml]', or write the file in TOML"
        raise ConfigError(source, "", problem) from None
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        # Looked for before anything is constructed: afterwards merged keys (`<<`) could not be told from twins.
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_twins(root, source)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(source, "", f"is not valid YAML: {error.problem or error.context}{place}") from None
    except yaml.reader.ReaderError as error:
        problem = f"the character {chr(error.character)!a} at position {error.position} is not allowed"
        raise ConfigError(source, "", f"is not valid YAML: {problem}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _refuse_twins(root: yaml.Node, source: str) -> None:
    import yaml

    todo: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    seen: set[int] = set()  # an alias leads to the same node again, perhaps in a circle
    while todo:
        node, path = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, path) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    where = f"first on line {lines[name]}, again on line {line}"
                    raise ConfigError(source, dotted(*path, key.value), f"is given twice: {where}")
                lines[name] = line
                todo.append((value, (*path, key.value)))


def _file(source: str, data: object) -> File:
    top = _mapping(data, Given(data, source), _TOP)
    groups = {
        name: _entry(source, dotted("groups", name), entry, breaker=False)
        for name, entry in _mapping(top.get("groups", {}), Given(top.get("groups"), source, "groups")).items()
    }
    breakers = {
        name: _entry(source, dotted("breakers", name), entry, breaker=True)
        for name, entry in _mapping(top.get("breakers", {}), Given(top.get("breakers"), source, "breakers")).items()
    }
    for entry in breakers.values():
        if entry.group is not None and entry.group.value not in list(groups):  # a list: it may be unhashable
            raise entry.group.refused("is not a group of this file" + hint(entry.group.value, groups))
    defaults = _entry(source, "defaults", top.get("defaults", {}), breaker=False)
    instrument = _instrument(source, top["instrument"]) if "instrument" in top else None
    return File(source, defaults, groups, breakers, instrument)


def _instrument(source: str, data: object) -> Instrument:
    given = _mapping(data, Given(data, source, "instrument"), _INSTRUMENT)
    observe_only = Given(given.get("observe_only", False), source, "instrument.observe_only")
    if not isinstance(observe_only.value, bool):
        raise observe_only.refused("must be true or false")
    kinds = _mapping(given.get("kinds", {}), Given(given.get("kinds"), source, "instrument.kinds"), tuple(KINDS))
    return Instrument(
        observe_only.value,
        _leave_out(Given(given.get("leave_out", []), source, "instrument.leave_out")),
        {kind: _entry(source, f"instrument.kinds.{kind}", entry, breaker=False) for kind, entry in kinds.items()},
    )


def _leave_out(given: Given) -> tuple[str, ...]:
    if not isinstance(given.value, list):
        raise given.refused("must be a list of clients and of patterns of names, such as [redis, 'http:localhost*']")
    clients = [target.client for target in TARGETS]
    for name in given.value:
        if not isinstance(name, str) or (":" not in name and name not in clients):
            known = f"is neither a client ({', '.join(clients)}) nor a pattern of names, such as 'http:localhost*'"
            raise given._replace(value=name).refused(known)
    return tuple(given.value)


def _mapping(data: object, given: Given, known: tuple[str, ...] | None = None) -> dict[str, Any]:
    """`data` as a mapping of text keys, all of them known.

    A section without content (`breakers:` in YAML) is an empty one.
    """
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise given.refused("must be a mapping" + (f" with the keys {', '.join(known)}" if known else ""))
    for key in data:
        if not isinstance(key, str) or not key.strip():
            raise ConfigError(given.source, given.path, f"the key {short(key)} must be a non-empty text (quote it)")
        if known is not None and key not in known:
            path = f"{given.path}.{dotted(key)}" if given.path else dotted(key)
            raise ConfigError(given.source, path, "is not a known key" + hint(key, known))
    return data


def _entry(source: str, path: str, data: object, *, breaker: bool) -> Entry:
    known = ("preset", *(("group",) if breaker else ()), *_FIELDS, "tags")
    preset: Level = {}
    values: Level = {}
    group: Given | None = None
    for key, value in _mapping(data, Given(data, source, path), known).items():
        given = Given(value, source, f"{path}.{key}")
        if key == "preset":
            preset = preset_level(given)
        elif key == "group":
            group = given
        elif key in SECTIONS:
            values.update(_section(key, given))
        else:
            values[key] = checked(key, given)
    check_level(values)
    if group is not None:
        values["tags.group"] = group
    return Entry(preset, values, group)


def _section(section: str, given: Given) -> Level:
    """`window`, `recovery` or `tags`."""
    known = None if section == "tags" else tuple(key.split(".")[1] for key in KEYS if key.startswith(f"{section}."))
    values: Level = {}
    for key, value in _mapping(given.value, given, known).items():
        inner = given._replace(value=value, path=f"{given.path}.{dotted(key)}")
        if section == "tags" and key == "group":
            raise inner.refused("this tag is set by the key `group` of a breaker")
        values[f"{section}.{key}"] = checked(f"{section}.{key}", inner)
    return values
