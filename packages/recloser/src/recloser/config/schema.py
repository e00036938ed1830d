"""The keys a configuration may hold: how each is written, and how one value of it is checked."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from recloser.errors import ConfigError, SettingsError
from recloser.presets import PRESETS
from recloser.recovery import Adaptive, Exponential, Fixed, Linear
from recloser.settings import CountWindow, Settings, TimeWindow, nearest

ENVIRONMENT = "environment"
NO_VALUE = "none"
"""How "no such rule" and "no cap" are written where there is no null: in TOML and in variables."""

STRATEGIES = {"fixed": Fixed, "linear": Linear, "exponential": Exponential, "adaptive": Adaptive}
STRATEGY_KEYS = {
    "fixed": {"max_open", "jitter"},
    "linear": {"max_open", "jitter", "increment"},
    "exponential": {"max_open", "jitter", "factor"},
    "adaptive": {"max_open", "jitter", "factor"},
}
# With these values any single other value makes a valid combination, so that Settings itself can check one value.
_ALONE = Settings(failure_rate_threshold=1.0, slow_call_duration=1.0, window=TimeWindow(), open_for=0.0)


@dataclass(frozen=True)
class Key:
    """One setting as it is written in a file or a variable.

    Attributes:
        check: Raises `SettingsError` when it refuses a value.
        type: Type of the value, other than None.
        optional: Whether None is a value.
    """

    check: Callable[[Any], object]
    type: type
    optional: bool = False


def _setting(name: str, kind: type, *, optional: bool = False) -> Key:
    return Key(lambda value: _ALONE.replace(**{name: value}), kind, optional)


def _flag(value: object) -> None:
    if not isinstance(value, bool):
        raise SettingsError("flag", value, "must be true or false")


def _strategy(value: object) -> None:
    if not isinstance(value, str) or value not in STRATEGIES:
        raise SettingsError("strategy", value, "is not a strategy" + hint(value, STRATEGIES))


def _number(make: Callable[[Any], object], *, optional: bool = False) -> Key:
    def check(value: object) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not (optional and value is None):
            raise SettingsError("number", value, "must be a number")
        make(value)

    return Key(check, float, optional)


KEYS: Mapping[str, Key] = {
    "failure_threshold": _setting("failure_threshold", int, optional=True),
    "failure_rate_threshold": _setting("failure_rate_threshold", float, optional=True),
    "slow_call_duration": _setting("slow_call_duration", float, optional=True),
    "slow_call_rate_threshold": _setting("slow_call_rate_threshold", float, optional=True),
    "count_in_flight_slow_calls": Key(_flag, bool),
    "window.size": Key(lambda value: CountWindow(size=value), int),
    "window.duration": Key(lambda value: TimeWindow(duration=value), float),
    "window.buckets": Key(lambda value: TimeWindow(buckets=value), int),
    "minimum_calls": _setting("minimum_calls", int),
    "open_for": _setting("open_for", float),
    "recovery.strategy": Key(_strategy, str),
    "recovery.increment": _number(lambda value: Linear(increment=value), optional=True),
    "recovery.factor": _number(lambda value: Exponential(factor=value)),
    "recovery.max_open": _number(lambda value: Fixed(max_open=value), optional=True),
    "recovery.jitter": _number(lambda value: Fixed(jitter=value)),
    "half_open_max_calls": _setting("half_open_max_calls", int),
    "success_threshold": _setting("success_threshold", int),
    "half_open_timeout": _setting("half_open_timeout", float),
    "max_retry_after": _setting("max_retry_after", float),
}
"""The settings by dotted name, in the order in which they are explained; `tags.*` come after them."""

SECTIONS = ("window", "recovery", "tags")


class Given(NamedTuple):
    """A value and where it was given.

    Attributes:
        value: The value.
        source: The file, `environment`, `code` or `library default`.
        path: The key in the file or the name of the variable; empty for the other two.
        preset: Name of the preset that gave it, if one did.
    """

    value: Any
    source: str
    path: str = ""
    preset: str | None = None

    def __str__(self) -> str:
        place = f"{self.source}: {self.path}" if self.path else self.source
        return f"{place} (preset {self.preset})" if self.preset else place

    def refused(self, rule: str) -> ConfigError:
        """The error that says why the value cannot be."""
        return ConfigError(self.source, self.path, f"{short(self.value)}: {rule}")


Level = dict[str, Given]
"""What one entry, one preset or the environment gives: dotted setting to value."""


def checked(name: str, given: Given) -> Given:
    """The value as `Settings` will have it.

    Raises:
        ConfigError: It was refused.
    """
    if name.startswith("tags."):
        if not isinstance(given.value, str):
            raise given.refused("must be text (quote it)")
        return given
    key = KEYS[name]
    value = None if key.optional and given.value == NO_VALUE else given.value
    try:
        key.check(value)
        if key.type is float and value is not None:
            value = float(value)
    except SettingsError as error:
        alternative = f", or {NO_VALUE}" if key.optional else ""
        raise given.refused(error.rule + alternative) from None
    except OverflowError:
        raise given.refused("is too large") from None
    return given._replace(value=value)


def from_text(name: str, text: str) -> object:
    """The value a variable means; what cannot be read stays text, for `checked` to refuse."""
    kind = str if name.startswith("tags.") else KEYS[name].type
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        return text.strip()


def check_level(level: Level) -> None:
    """Refuse keys that contradict each other in one entry.

    Raises:
        ConfigError: A key was refused.
    """
    if "window.size" in level:
        for name in ("window.duration", "window.buckets"):
            if name in level:
                raise level[name].refused("a window has either a size, or a duration and buckets")
    if "recovery.strategy" in level:
        check_strategy(level)


def check_strategy(values: Level) -> None:
    """Refuse what the strategy of recovery does not have.

    Raises:
        ConfigError: A key was refused.
    """
    strategy = values["recovery.strategy"]
    known = STRATEGY_KEYS[strategy.value]
    for name, given in values.items():
        if name.startswith("recovery.") and name != "recovery.strategy" and name.split(".")[1] not in known:
            has = ", ".join(sorted(known))
            raise given.refused(f"the strategy {strategy.value!r} ({strategy}) has no such key; it has {has}")


def _preset_fields() -> list[str]:
    # A preset is asked for what it says even where it says the same as the library: its 5 failures are meant. All
    # presets speak of the same settings, which are those where any of them differs from the library.
    library = Settings()
    made = [preset() for preset in PRESETS.values()]
    return [name for name in KEYS if "." not in name and any(differs(name, item, library) for item in made)]


def differs(name: str, one: Settings, other: Settings) -> bool:
    """Whether two settings differ in one field."""
    return bool(getattr(one, name) != getattr(other, name))


PRESET_FIELDS = tuple(_preset_fields())


def preset_level(given: Given) -> Level:
    """What a preset gives, as values that come from the key which names it.

    Raises:
        ConfigError: There is no such preset.
    """
    if not isinstance(given.value, str) or given.value not in PRESETS:
        raise given.refused("is not a preset" + hint(given.value, PRESETS))
    settings = PRESETS[given.value]()
    return {name: given._replace(value=getattr(settings, name), preset=given.value) for name in PRESET_FIELDS}


def hint(value: object, known: Iterable[str]) -> str:
    """The end of a refusal: the nearest known word, or all of them."""
    names = list(known)
    alike = nearest(value, names) if isinstance(value, str) else None
    if alike is not None:
        return f"; did you mean {alike!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def short(value: object) -> str:
    """A value for people: long and deep ones are cut, so that an error never outgrows the file."""
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def dotted(*parts: str) -> str:
    """A path of keys; those that would not read as one word are quoted."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part, ensure_ascii=False) for part in parts)
