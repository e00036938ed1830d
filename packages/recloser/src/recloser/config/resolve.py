"""One breaker's settings, from all that gives them. This is the one place that knows what wins over what.

    library defaults < the breaker's settings in code < `defaults` < its group < its own entry < the environment

An entry's preset counts as written in that entry, right below the entry's own values. So the nearer entry always
wins: a preset that a breaker chooses beats what `defaults` says, and a value in `defaults` never undoes it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from recloser.config.schema import KEYS, STRATEGIES, STRATEGY_KEYS, Given, Level, check_strategy, short
from recloser.errors import ConfigError, SettingsError
from recloser.settings import CountWindow, Settings, TimeWindow

LIBRARY = "library default"
CODE = "code"

Fields = Mapping[str, Any]
"""Settings as field to value: a combination that need not be valid until the file has had its say."""


def fields_of(settings: Settings) -> dict[str, Any]:
    """The fields of settings and their values."""
    return {item.name: getattr(settings, item.name) for item in dataclasses.fields(settings)}


_LIBRARY = fields_of(Settings())


def flat(fields: Fields) -> dict[str, Any]:
    """What a file could say of these settings, by dotted name; a strategy that is code is named as its class."""
    values = {name: fields[name] for name in KEYS if "." not in name}
    window, recovery = fields["window"], fields["recovery"]
    values |= {f"window.{item.name}": getattr(window, item.name) for item in dataclasses.fields(window)}
    name = strategy_name(recovery)
    if name is None:
        values["recovery.strategy"] = getattr(recovery, "__qualname__", type(recovery).__qualname__)
    else:
        values["recovery.strategy"] = name
        values |= {key: getattr(recovery, key.split(".")[1]) for key in _keys_of(name)}
    ordered = {name: values[name] for name in KEYS if name in values}
    return ordered | {f"tags.{key}": value for key, value in fields["tags"].items()}


def strategy_name(recovery: object) -> str | None:
    """What files call a strategy; None for one that only code can give."""
    return next((name for name, kind in STRATEGIES.items() if type(recovery) is kind), None)


def _keys_of(strategy: str) -> list[str]:
    return [f"recovery.{key}" for key in sorted(STRATEGY_KEYS[strategy])]


def base_level(code: Fields) -> Level:
    """What counts before any file: the code's settings where they differ from the library's."""
    library = flat(_LIBRARY)
    level = {
        name: Given(value, LIBRARY if name in library and library[name] == value else CODE)
        for name, value in flat(code).items()
    }
    strategy = strategy_name(code["recovery"])
    if strategy is None:
        del level["recovery.strategy"]
    else:
        # A strategy's own defaults are not handed down: another one has better ones.
        usual = STRATEGIES[strategy]()
        for name in _keys_of(strategy):
            if level[name].value == getattr(usual, name.split(".")[1]):
                del level[name]
    return level


def merge(levels: list[Level]) -> Level:
    """The values that win, from the farthest level to the nearest.

    Raises:
        ConfigError: A nested key has lost the window or the strategy that it belongs to.
    """
    merged: Level = {}
    for level in levels:
        for name in [name for name in merged if _displaced(name, level)]:
            del merged[name]
        merged.update(level)
    if "window.size" in merged and "window.buckets" in merged:
        raise merged["window.buckets"].refused("the window has a size; buckets need a duration")
    if "recovery.strategy" in merged:
        check_strategy(merged)
    return merged


def _displaced(name: str, level: Level) -> bool:
    """Whether an inherited value makes no sense any more with what the level says."""
    if name == "window.size":
        return "window.duration" in level
    if name in ("window.duration", "window.buckets"):
        return "window.size" in level
    if name.startswith("recovery.") and name != "recovery.strategy" and "recovery.strategy" in level:
        return name not in _keys_of(level["recovery.strategy"].value)
    return False


def build(merged: Level, code: Fields, source: str, breaker: str) -> Settings:
    """The settings these values make. What a file cannot say is the code's.

    Args:
        merged: The values that won.
        code: The breaker's settings in code.
        source: The file, for errors.
        breaker: Path of the breaker in it.

    Raises:
        ConfigError: The combination was refused.
    """
    values = dict(code) | {name: given.value for name, given in merged.items() if "." not in name}
    values["tags"] = {name[5:]: given.value for name, given in merged.items() if name.startswith("tags.")}
    try:
        for section, make in (("window", _window), ("recovery", _recovery)):
            leaves = {name.split(".")[1]: item for name, item in merged.items() if name.startswith(f"{section}.")}
            # Untouched, the code's own object stays: it may be a strategy of its own, or have its own randomness.
            if any(item.source not in (LIBRARY, CODE) for item in leaves.values()):
                values[section] = make({name: item.value for name, item in leaves.items()})
        return Settings(**values)
    except SettingsError as error:
        raise _refused(error, merged, source, breaker) from None


def _window(leaves: dict[str, Any]) -> CountWindow | TimeWindow:
    return CountWindow(**leaves) if "size" in leaves else TimeWindow(**leaves)


def _recovery(leaves: dict[str, Any]) -> object:
    return STRATEGIES[leaves.pop("strategy", "fixed")](**leaves)


def _refused(error: SettingsError, merged: Level, source: str, breaker: str) -> ConfigError:
    # The rule speaks of other settings as well: say where these were given.
    rule = error.rule + "".join(
        f" ({name} is from {item})"
        for name, item in merged.items()
        if item.path and name != error.field and re.search(rf"\b{re.escape(name)}\b", error.rule)
    )
    given = merged.get(error.field)
    if given is None or not given.path:
        origin = f" ({given.source})" if given else ""
        return ConfigError(source, breaker, f"{error.field}={short(error.value)}{origin}: {rule}")
    preset = f" ({error.field} of preset {given.preset})" if given.preset else ""
    where = "" if given.path.startswith(f"{breaker}.") else f" (for {breaker})"
    return ConfigError(given.source, given.path, f"{short(error.value)}{preset}: {rule}{where}")
