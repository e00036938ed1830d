"""The errors recloser raises: one small tree under `RecloserError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RecloserError(Exception):
    """Base class of every error that recloser raises itself."""


class CircuitOpenError(RecloserError):
    """A call was rejected without reaching the dependency.

    A fresh instance is made per rejection; it can be pickled and carries text, never another exception's frames.

    Attributes:
        breaker: Name of the breaker that rejected the call.
        state: State at the rejection: `"open"` or `"half_open"`.
        retry_after: Seconds after which a call may be admitted (at the latest, when the probe slots are taken), or
            None when only an operator can tell (forced open).
        last_failure: The last counted failure as text (`"ConnectError: refused"`), or None.
        reason: `"open"`, `"half_open_full"` or `"forced_open"`.
    """

    def __init__(
        self,
        breaker: str,
        state: str,
        retry_after: float | None = None,
        last_failure: str | None = None,
        reason: str = "open",
    ) -> None:
        # Everything is in `args`, where the compiled kernel can put it without running any code of this class.
        super().__init__(breaker, state, retry_after, last_failure, reason)

    @property
    def breaker(self) -> str:
        name: str = self.args[0]
        return name

    @property
    def state(self) -> str:
        state: str = self.args[1]
        return state

    @property
    def retry_after(self) -> float | None:
        seconds: float | None = self.args[2]
        return seconds

    @property
    def last_failure(self) -> str | None:
        text: str | None = self.args[3]
        return text

    @property
    def reason(self) -> str:
        reason: str = self.args[4]
        return reason

    # The message is built when somebody reads it: a rejection must not pay for formatting.
    def __str__(self) -> str:
        if self.reason == "forced_open":
            text = f"circuit {self.breaker!r} is held open by an operator"
        elif self.reason == "half_open_full":
            text = f"circuit {self.breaker!r} is half-open and all its probe slots are taken"
        else:
            text = f"circuit {self.breaker!r} is open"
        if self.retry_after is not None:
            text += f", retry after {self.retry_after:.3g} s"
        if self.last_failure is not None:
            text += f" (last failure: {self.last_failure})"
        return text

    def __repr__(self) -> str:
        return (
            f"CircuitOpenError(breaker={self.breaker!r}, state={self.state!r}, "
            f"retry_after={self.retry_after!r}, last_failure={self.last_failure!r}, reason={self.reason!r})"
        )

    def __reduce__(self) -> tuple[Callable[..., CircuitOpenError], tuple[Any, ...]]:
        return type(self), self.args


class SettingsError(RecloserError, ValueError):
    """A setting, or a combination of settings, was refused.

    Attributes:
        field: Name (or dotted path) of the setting.
        value: The value that was given.
        rule: What the value must satisfy.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}={_shown(value)}: {rule}")
        self.field = field
        self.value = value
        self.rule = rule

    def __reduce__(self) -> tuple[Callable[..., SettingsError], tuple[Any, ...]]:
        return type(self), (self.field, self.value, self.rule)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value that cannot even be shown must not hide the rule it breaks
        text = f"<a {type(value).__name__} that cannot be shown>"
    return text if len(text) <= 200 else text[:197] + "..."


class ConfigError(RecloserError, ValueError):
    """A configuration file or environment variable was refused.

    Attributes:
        source: The file, or `environment`, that holds the value.
        path: Dotted path of the key, for example `breakers.payments.open_for`.
    """

    def __init__(self, source: str, path: str, problem: str) -> None:
        super().__init__(f"{source}: {path}: {problem}" if path else f"{source}: {problem}")
        self.source = source
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[Callable[..., ConfigError], tuple[Any, ...]]:
        return type(self), (self.source, self.path, self.problem)


class DuplicateBreakerError(RecloserError, ValueError):
    """A name was asked for a second time with other settings.

    Attributes:
        name: The name that is taken.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a breaker named {name!r} exists with other settings; "
            "use its settings, another name, or breaker.reconfigure(...)"
        )
        self.name = name

    def __reduce__(self) -> tuple[Callable[..., DuplicateBreakerError], tuple[Any, ...]]:
        return type(self), (self.name,)


class UnknownBreakerError(RecloserError, KeyError):
    """No breaker of this name is registered.

    Attributes:
        name: The name that was asked for.
        nearest: The most similar registered name, or None.
    """

    def __init__(self, name: str, nearest: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.nearest = nearest

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"no breaker named {self.name!r}{hint}"

    def __reduce__(self) -> tuple[Callable[..., UnknownBreakerError], tuple[Any, ...]]:
        return type(self), (self.name, self.nearest)


class SnapshotError(RecloserError, ValueError):
    """A snapshot could not be restored: it is malformed or from another version.

    Attributes:
        field: The member at fault.
        value: The value it has.
        rule: What it must satisfy.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"snapshot {field}={value!r}: {rule}")
        self.field = field
        self.value = value
        self.rule = rule

    def __reduce__(self) -> tuple[Callable[..., SnapshotError], tuple[Any, ...]]:
        return type(self), (self.field, self.value, self.rule)
