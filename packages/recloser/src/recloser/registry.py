"""Many breakers under one roof: found by name, read and operated together."""

from __future__ import annotations

import fnmatch
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from recloser import forks
from recloser.breaker import CircuitBreaker
from recloser.clock import Clock, SystemClock
from recloser.errors import DuplicateBreakerError, SettingsError, UnknownBreakerError
from recloser.events import Event, Listener, State
from recloser.keyed import KeyedBreakers
from recloser.settings import Settings, nearest
from recloser.stats import Stats


@dataclass(frozen=True, slots=True)
class RegistryHealth:
    """How many breakers are in which state.

    Attributes:
        total: All of them.
        closed: Calls go through.
        open: Calls are rejected.
        half_open: Being probed.
        healthy: Whether every one of them is closed.
    """

    total: int
    closed: int
    open: int
    half_open: int

    @property
    def healthy(self) -> bool:
        """Whether every breaker is closed."""
        return self.closed == self.total

    def to_dict(self) -> dict[str, Any]:
        """The same as values that JSON can hold."""
        return {
            "total": self.total,
            "closed": self.closed,
            "open": self.open,
            "half_open": self.half_open,
            "healthy": self.healthy,
        }


class Selection:
    """Some breakers of a registry, operated with one word. Each method returns the names it reached."""

    def __init__(self, breakers: list[CircuitBreaker]) -> None:
        self._breakers = breakers

    def __iter__(self) -> Iterator[CircuitBreaker]:
        return iter(self._breakers)

    def __len__(self) -> int:
        return len(self._breakers)

    def _each(self, action: Callable[[CircuitBreaker], None]) -> list[str]:
        for breaker in self._breakers:
            action(breaker)
        return [breaker.name for breaker in self._breakers]

    def force_open(self, reason: str) -> list[str]:
        """See `CircuitBreaker.force_open`."""
        return self._each(lambda breaker: breaker.force_open(reason))

    def force_closed(self, reason: str) -> list[str]:
        """See `CircuitBreaker.force_closed`."""
        return self._each(lambda breaker: breaker.force_closed(reason))

    def disable(self, reason: str) -> list[str]:
        """See `CircuitBreaker.disable`."""
        return self._each(lambda breaker: breaker.disable(reason))

    def observe_only(self, reason: str) -> list[str]:
        """See `CircuitBreaker.observe_only`."""
        return self._each(lambda breaker: breaker.observe_only(reason))

    def automatic(self, reason: str) -> list[str]:
        """See `CircuitBreaker.automatic`."""
        return self._each(lambda breaker: breaker.automatic(reason))

    def reset(self, reason: str = "reset") -> list[str]:
        """See `CircuitBreaker.reset`."""
        return self._each(lambda breaker: breaker.reset(reason))


class Group:
    """Breakers that share settings. A breaker's own overrides win over the group's, the group's over the registry's.

    Attributes:
        name: The group's name; its breakers carry it as the tag `group`.
        settings: What its breakers start from.
    """

    def __init__(self, registry: Registry, name: str, settings: Settings) -> None:
        self._registry = registry
        self.name = name
        self.settings = settings

    def get_or_create(self, name: str, **overrides: Any) -> CircuitBreaker:
        """The breaker of this name, made from the group's settings and the overrides if there is none.

        Tags are added to the group's. Without overrides a breaker of the group is taken as it is.

        Raises:
            DuplicateBreakerError: It exists with other settings.
            SettingsError: An override was refused.
        """
        known = self._registry.get(name)
        if not overrides and known is not None and self._holds(known):
            return known
        if "tags" in overrides:
            overrides["tags"] = {**self.settings.tags, **overrides["tags"]}
        return self._registry.get_or_create(name, self.settings.replace(**overrides))

    def _holds(self, breaker: CircuitBreaker) -> bool:
        return breaker.settings.tags.get("group") == self.name

    def select(self) -> Selection:
        """The group's breakers."""
        return Selection([breaker for breaker in self._registry if self._holds(breaker)])


class _Listening:
    """One listener of all breakers. Those that are forgotten everywhere else are not kept for it."""

    def __init__(self, listener: Listener, kinds: tuple[type[Event], ...]) -> None:
        self._listener = listener
        self._kinds = kinds
        self._removers: weakref.WeakKeyDictionary[CircuitBreaker, Callable[[], None]] = weakref.WeakKeyDictionary()

    def start(self, breaker: CircuitBreaker) -> None:
        self._removers[breaker] = breaker.add_listener(self._listener, self._kinds)

    def stop(self) -> None:
        for remover in list(self._removers.values()):
            remover()


class Overlay(Protocol):
    """What an applied configuration does to settings in code."""

    def settings_over(self, breaker: CircuitBreaker, code: Settings) -> Settings:
        """The settings of a breaker that code asks for with `code`."""
        ...


class Registry:
    """Named breakers.

    Args:
        settings: What breakers start from that are asked for without settings.
        clock: Given to every breaker.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.lock = forks.OwnedLock()
        self._breakers: dict[str, CircuitBreaker] = {}
        self._asked: dict[str, Settings] = {}  # what code asked for, whatever a breaker has been reconfigured to
        self._overlay: Overlay | None = None
        self._groups: dict[str, Group] = {}
        self._keyed: dict[str, KeyedBreakers] = {}
        self._listeners: list[_Listening] = []
        forks.register(self, forks.REGISTRY)

    def get_or_create(self, name: str, settings: Settings | None = None) -> CircuitBreaker:
        """The breaker of this name, made if there is none.

        Args:
            name: Its name.
            settings: Its settings; None takes what exists, else the registry's.

        Where a configuration has been applied (`Config.apply`), what it says of the name wins over `settings`.

        Raises:
            DuplicateBreakerError: It exists, and neither was made with these settings nor has them now.
            ConfigError: The applied configuration and `settings` together make an invalid combination.
        """
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = self._make(name, settings or self.settings)
        if settings is None or settings in (self._asked.get(name), breaker.settings):
            return breaker
        if not self._is_first_word(name, settings):
            raise DuplicateBreakerError(name)
        breaker.reconfigure(self._overlaid(breaker, settings))
        return breaker

    def _make(self, name: str, code: Settings) -> CircuitBreaker:
        breaker = CircuitBreaker(name, code, clock=self.clock)
        breaker.reconfigure(self._overlaid(breaker, code))
        with self.lock:
            known = self._breakers.get(name)
            if known is not None:
                return known
            self._asked[name] = code
            return self._add(breaker)

    def _overlaid(self, breaker: CircuitBreaker, code: Settings) -> Settings:
        overlay = self._overlay
        return code if overlay is None else overlay.settings_over(breaker, code)

    def _is_first_word(self, name: str, settings: Settings) -> bool:
        # A configuration has made it, and now code asks for it for the first time.
        with self.lock:
            return self._asked.setdefault(name, settings) is settings

    def set_overlay(self, overlay: Overlay) -> None:
        """Let a configuration have its say on every breaker that is asked for from now on; see `Config.apply`."""
        self._overlay = overlay

    def add(self, breaker: CircuitBreaker) -> CircuitBreaker:
        """Register a breaker that was made elsewhere (restored from a snapshot, say).

        Raises:
            DuplicateBreakerError: Another breaker has its name.
        """
        with self.lock:
            known = self._breakers.get(breaker.name)
            if known is not None and known is not breaker:
                raise DuplicateBreakerError(breaker.name)
            if known is breaker:
                return breaker
            self._asked[breaker.name] = breaker.settings
            return self._add(breaker)

    def add_configured(self, name: str, settings: Settings) -> CircuitBreaker:
        """Make a breaker that no code has asked for yet. The first code that does may bring its own settings.

        Raises:
            DuplicateBreakerError: A breaker of this name exists.
        """
        with self.lock:
            if name in self._breakers:
                raise DuplicateBreakerError(name)
            return self._add(CircuitBreaker(name, settings, clock=self.clock))

    def _add(self, breaker: CircuitBreaker) -> CircuitBreaker:
        for listening in self._listeners:
            listening.start(breaker)
        self._breakers[breaker.name] = breaker
        return breaker

    def remove(self, name: str) -> CircuitBreaker:
        """Forget a breaker; whoever holds it may go on using it.

        Raises:
            UnknownBreakerError: There is none of this name.
        """
        with self.lock:
            breaker = self._breakers.pop(name, None)
            self._asked.pop(name, None)
        if breaker is None:
            raise UnknownBreakerError(name, nearest(name, self._breakers))
        return breaker

    def get(self, name: str) -> CircuitBreaker | None:
        """The breaker of this name, or None. One dictionary access."""
        return self._breakers.get(name)

    def __getitem__(self, name: str) -> CircuitBreaker:
        """The breaker of this name.

        Raises:
            UnknownBreakerError: There is none.
        """
        breaker = self._breakers.get(name)
        if breaker is None:
            raise UnknownBreakerError(name, nearest(name, list(self._breakers)))
        return breaker

    def __contains__(self, name: object) -> bool:
        return name in self._breakers

    def __iter__(self) -> Iterator[CircuitBreaker]:
        """The breakers as they are now, in the order in which they were made."""
        return iter(list(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    # Groups and keys

    def group(self, name: str, **overrides: Any) -> Group:
        """A group of breakers whose settings are the registry's with these overrides; the same one for a known name.

        Raises:
            SettingsError: An override was refused, or the group exists with other settings.
        """
        tags = {**self.settings.tags, **overrides.get("tags", {}), "group": name}
        settings = self.settings.replace(**{**overrides, "tags": tags})
        with self.lock:
            known = self._groups.setdefault(name, Group(self, name, settings))
        if overrides and known.settings != settings:
            raise SettingsError("group", name, "exists with other settings")
        return known

    def keyed(self, name: str, settings: Settings | None = None, **bounds: Any) -> KeyedBreakers:
        """Breakers made per key (a host, a tenant), bounded in number; the same collection for a known name.

        Args:
            name: What the key is; the breakers are called `name:key`.
            settings: Settings of each; None takes the registry's.
            bounds: `max_breakers` and `retire_after`, see `KeyedBreakers`.

        Raises:
            DuplicateBreakerError: The collection exists with other settings.
        """
        chosen = settings or self.settings
        with self.lock:
            known = self._keyed.get(name)
            if known is None:
                known = self._keyed[name] = KeyedBreakers(self, name, chosen, **bounds)
                return known
        given = {**bounds} if settings is None else {**bounds, "settings": settings}
        if any(getattr(known, field) != value for field, value in given.items()):
            raise DuplicateBreakerError(name)
        return known

    def keyed_collections(self) -> list[KeyedBreakers]:
        """The collections that `keyed` has made, in that order."""
        return list(self._keyed.values())

    # Together

    def select(self, pattern: str = "*") -> Selection:
        """The breakers whose name matches a shell pattern (`payments-*`), to be operated with one word."""
        return Selection([breaker for breaker in self if fnmatch.fnmatchcase(breaker.name, pattern)])

    def reset_all(self, reason: str = "reset") -> list[str]:
        """Reset every breaker; their names."""
        return self.select().reset(reason)

    def health(self) -> RegistryHealth:
        """How many breakers are in which state."""
        states = [breaker.state for breaker in self]
        return RegistryHealth(
            total=len(states),
            closed=states.count(State.CLOSED),
            open=states.count(State.OPEN),
            half_open=states.count(State.HALF_OPEN),
        )

    def stats(self) -> dict[str, Stats]:
        """A reading of every breaker, by name."""
        return {breaker.name: breaker.stats() for breaker in self}

    def add_listener(self, listener: Listener, kinds: tuple[type[Event], ...] = (Event,)) -> Callable[[], None]:
        """Listen to every breaker, present and future; see `CircuitBreaker.add_listener`.

        Returns:
            A function that removes the listener from all of them.
        """
        with self.lock:
            listening = _Listening(listener, kinds)
            for breaker in self._breakers.values():
                listening.start(breaker)
            self._listeners.append(listening)

        def remove() -> None:
            with self.lock:
                if listening in self._listeners:
                    self._listeners.remove(listening)
                listening.stop()

        return remove

    def after_fork(self) -> None:
        """In a forked child: the lock is new and nothing else is lost."""

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} breakers>"


default_registry = Registry()
"""The process-wide registry."""


def get_breaker(name: str, settings: Settings | None = None) -> CircuitBreaker:
    """The process-wide breaker of this name, made if there is none; see `Registry.get_or_create`."""
    return default_registry.get_or_create(name, settings)
