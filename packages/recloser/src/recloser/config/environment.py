"""Overrides in the environment: `RECLOSER_<NAME>__<FIELD>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recloser.config.schema import ENVIRONMENT, KEYS, Given, Level, check_level, checked, from_text
from recloser.errors import ConfigError
from recloser.settings import nearest

PREFIX = "RECLOSER_"
_IN_FILE_ONLY = ("preset", "group")


def variable_part(name: str) -> str:
    """A breaker's name as variables spell it: upper case, every other character than A-Z and 0-9 a `_`."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


class Override(NamedTuple):
    """One variable."""

    breaker: str
    setting: str
    given: Given


class Overrides:
    """All overrides of an environment.

    Args:
        environ: The variables.
        names: The breakers of the file, to find a variable that only lacks an underscore.

    Raises:
        ConfigError: A variable names an unknown setting, or its value was refused.
    """

    def __init__(self, environ: Mapping[str, str], names: Iterable[str]) -> None:
        self.levels: dict[str, Level] = {}
        parts = {variable_part(name) for name in names}
        for variable in sorted(environ):
            rest = variable.removeprefix(PREFIX)
            if rest == variable:
                continue
            if "__" not in rest:
                _refuse_single_underscore(variable, rest, parts)
                continue  # RECLOSER_KERNEL, or another program's
            override = _override(variable, rest, environ[variable])
            self.levels.setdefault(override.breaker, {})[override.setting] = override.given
        for level in self.levels.values():
            check_level(level)

    def level(self, name: str) -> Level:
        """What the environment gives the breaker of this name."""
        return self.levels.get(variable_part(name), {})

    def refuse_ambiguous(self, names: Iterable[str]) -> None:
        """Refuse overrides that two of these breakers could take for theirs.

        Raises:
            ConfigError: There is one.
        """
        owners: dict[str, str] = {}
        for name in names:
            part = variable_part(name)
            owner = owners.setdefault(part, name)
            if owner != name and part in self.levels:
                given = next(iter(self.levels[part].values()))
                problem = f"means the breakers {owner!r} and {name!r}; rename one of them"
                raise ConfigError(ENVIRONMENT, given.path, problem)

    def unmatched(self, names: Iterable[str]) -> list[str]:
        """The variables that override none of these breakers."""
        parts = {variable_part(name) for name in names}
        return [given.path for part, level in self.levels.items() if part not in parts for given in level.values()]


def _override(variable: str, rest: str, text: str) -> Override:
    # A name may itself contain `__`: the leftmost one that a known setting follows is the separator.
    for match in re.finditer("(?=__)", rest):
        breaker, field = rest[: match.start()], rest[match.start() + 2 :]
        setting = _setting(field)
        if setting is not None and breaker:
            if not text.strip():
                raise ConfigError(ENVIRONMENT, variable, "is empty; unset it to override nothing")
            given = Given(from_text(setting, text), ENVIRONMENT, variable)
            if breaker != variable_part(breaker):
                raise ConfigError(ENVIRONMENT, variable, "must be in upper case")
            return Override(breaker, setting, checked(setting, given))
    raise _unknown_setting(variable, rest)


def _setting(field: str) -> str | None:
    """The dotted name of a setting, from the end of a variable."""
    if field != field.upper():
        return None
    name = field.lower().replace("__", ".")
    if name.startswith("tags.") and name not in ("tags.", "tags.group"):
        return name
    return name if name in KEYS else None


def _unknown_setting(variable: str, rest: str) -> ConfigError:
    breaker, _, field = rest.partition("__")
    name = field.lower().replace("__", ".")
    if name in _IN_FILE_ONLY or name == "tags.group":
        return ConfigError(ENVIRONMENT, variable, "presets and groups are chosen in the file; override single settings")
    alike = nearest(name, KEYS)
    if alike is None or not breaker:
        known = ", ".join(_field(key) for key in KEYS)
        return ConfigError(ENVIRONMENT, variable, f"{field!r} is not a setting; known: {known}, TAGS__<TAG>")
    meant = f"{PREFIX}{variable_part(breaker)}__{_field(alike)}"
    return ConfigError(ENVIRONMENT, variable, f"{field!r} is not a setting; did you mean {meant}?")


def _field(setting: str) -> str:
    return setting.upper().replace(".", "__")


def _refuse_single_underscore(variable: str, rest: str, parts: set[str]) -> None:
    for key in KEYS:
        part = rest.removesuffix(f"_{_field(key)}")
        if part != rest and part in parts:
            meant = f"{PREFIX}{part}__{_field(key)}"
            raise ConfigError(ENVIRONMENT, variable, f"overrides nothing; did you mean {meant}?")
