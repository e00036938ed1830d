"""A configuration: read, checked as a whole, asked, explained and applied."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recloser.breaker import CircuitBreaker
from recloser.config import applied, files
from recloser.config.environment import Overrides
from recloser.config.files import Entry, File, Instrument
from recloser.config.resolve import (
    CODE,
    LIBRARY,
    Fields,
    base_level,
    build,
    fields_of,
    flat,
    merge,
    strategy_name,
)
from recloser.config.schema import ENVIRONMENT, Level, dotted
from recloser.errors import UnknownBreakerError
from recloser.presets import PRESETS
from recloser.settings import Settings, nearest
from recloser.targets import KINDS

if TYPE_CHECKING:
    from recloser.registry import Registry

logger = logging.getLogger("recloser")


class Explained(NamedTuple):
    """One setting of a breaker, and what gave it.

    Attributes:
        field: Dotted name of the setting: `open_for`, `recovery.max_open`, `tags.team`.
        value: Its value. Durations are seconds, rates are ratios.
        source: `FILE: PATH` (with the preset, if one gave it), `environment: VARIABLE`, `code` or `library default`.
    """

    field: str
    value: Any
    source: str


class Config:
    """What a file and the environment say of breakers; from `load_config`.

    Attributes:
        source: The file's name, or `environment` when there is no file.
    """

    def __init__(self, file: File, environ: Mapping[str, str]) -> None:
        self.source = file.source
        self._file = file
        self._overrides = Overrides(environ, file.breakers)
        self._overrides.refuse_ambiguous(file.breakers)
        for name in file.breakers:
            self.settings_for(name)
        for kind in self.instrument.kinds:
            self.settings_for(f"{kind}:*")

    @property
    def names(self) -> list[str]:
        """The breakers of the file, in its order."""
        return list(self._file.breakers)

    @property
    def instrument(self) -> Instrument:
        """What it says of a program that is protected without an edit: the section `instrument`."""
        return self._file.instrument or Instrument()

    @property
    def unmatched(self) -> list[str]:
        """Override variables that name no breaker of the file: they wait for one that is made in code."""
        return self._overrides.unmatched(self._file.breakers)

    def settings_for(self, name: str, code: Settings | None = None) -> Settings:
        """The settings of a breaker.

        Args:
            name: The breaker.
            code: What your code gives it. Exception rules come from here, and whatever the file does not say. With
                it the name need not be in the file; the environment is asked all the same.

        Raises:
            UnknownBreakerError: The file does not have it, and no `code` was given.
            ConfigError: The file and `code` together make an invalid combination.
        """
        return self._resolve(name, self._code(name, code))[1]

    def explain(self, name: str, code: Settings | None = None) -> list[Explained]:
        """Every setting of a breaker with where it comes from; arguments and errors as for `settings_for`."""
        merged, settings = self._resolve(name, self._code(name, code))
        rows = []
        for field, value in flat(fields_of(settings)).items():
            unknown = CODE if field == "recovery.strategy" and strategy_name(settings.recovery) is None else LIBRARY
            rows.append(Explained(field, value, str(merged.get(field, unknown))))
        return rows

    def apply(self, registry: Registry) -> list[str]:
        """Give breakers their settings: those of the file, made where missing, and those the environment overrides.

        State, windows and counters stay. All settings are worked out before the first breaker changes. A breaker
        that an earlier configuration changed and this one does not name gets its settings in code back. What code
        asks the registry for later is overlaid in the same way, until another configuration is applied.

        Returns:
            The names of the breakers that are new or have other settings than before.

        Raises:
            ConfigError: Settings in code contradict the file, or a variable means two breakers. Nothing has changed.
        """
        with applied.lock:
            names = list(dict.fromkeys([*self.names, *(breaker.name for breaker in registry)]))
            self._overrides.refuse_ambiguous(names)
            plan = []
            for name in names:
                code, known = applied.code_of(registry, name)
                if known or self._entries(name) or self._overrides.level(name):
                    plan.append((name, code, self._resolve(name, code)[1]))
            for variable in self._overrides.unmatched(names):
                logger.warning("%s overrides no breaker of the file or the registry", variable)
            registry.set_overlay(self)
            return [name for name, code, settings in plan if applied.put(registry, name, code, settings)]

    def settings_over(self, breaker: CircuitBreaker, code: Settings) -> Settings:
        """The settings of a breaker that code asks a registry for, once this configuration is applied to it.

        Raises:
            ConfigError: The configuration and `code` together make an invalid combination.
        """
        fields = fields_of(code)
        settings = self._resolve(breaker.name, fields)[1]
        applied.note(breaker, fields, settings)
        return settings

    def _code(self, name: str, code: Settings | None) -> Fields:
        if code is None and self._file.instrument is not None and _kind_of(name) in KINDS:
            code = PRESETS[KINDS[_kind_of(name)]]()  # what instrumentation gives it
        if code is None and name not in self._file.breakers:
            raise UnknownBreakerError(name, nearest(name, self._file.breakers))
        return fields_of(code or Settings())

    def _entries(self, name: str) -> list[Entry]:
        """What the file says of a breaker, from the farthest entry to the nearest; empty when it says nothing."""
        entry = self._file.breakers.get(name)
        kind = self.instrument.kinds.get(_kind_of(name))
        group = self._file.groups[entry.group.value] if entry is not None and entry.group else None
        found = [each for each in (kind, group, entry) if each is not None]
        return [self._file.defaults, *found] if found else []

    def _resolve(self, name: str, code: Fields) -> tuple[Level, Settings]:
        levels = [base_level(code)]
        for each in self._entries(name):
            levels += [each.preset, each.values]
        merged = merge([*levels, self._overrides.level(name)])
        return merged, build(merged, code, self.source, dotted("breakers", name))


def _kind_of(name: str) -> str:
    """The kind of dependency in the name of a breaker that instrumentation has made: `http` of `http:example.com`."""
    kind, colon, _ = name.partition(":")
    return kind if colon else ""


def load_config(path: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration and check all of it.

    Args:
        path: A file ending in `.yaml`, `.yml` (needs the extra `recloser[yaml]`) or `.toml`; None for the
            environment alone.
        environ: The variables, among them the overrides `RECLOSER_<NAME>__<FIELD>`.

    Raises:
        ConfigError: The file cannot be read, or something in it or in the environment was refused.
    """
    if path is None:
        return Config(File(ENVIRONMENT), environ)
    return Config(files.parse(*files.read(Path(path))), environ)
