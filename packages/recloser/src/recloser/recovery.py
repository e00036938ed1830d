"""How long a circuit stays open: a function of the attempt and of how bad it was.

A strategy is given the configured base time (`Settings.open_for`, seconds) and an `Opening`, and returns seconds.
It runs outside every lock, so it may be any code of yours; an error in it is logged and the base time used.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from recloser.errors import SettingsError
from recloser.outcomes import Outcome


class Opening(NamedTuple):
    """What is known at the moment a circuit opens.

    Attributes:
        attempt: 1 for the first opening since the circuit was last closed, 2 for the next, and so on. It survives
            half-open and starts anew when the circuit closes.
        failure_rate: Failed calls over all calls in the window, a ratio 0..1; 1.0 when the window is empty.
        last_outcome: The outcome that opened it, or None when a half-open period ran out.
    """

    attempt: int
    failure_rate: float
    last_outcome: Outcome | None


@runtime_checkable
class Recovery(Protocol):
    """A recovery strategy."""

    def open_duration(self, base: float, opening: Opening) -> float:
        """Seconds to stay open, given the base time in seconds."""
        ...


RecoveryFunction: TypeAlias = Callable[[int, float, Outcome | None], float]
"""A strategy as a plain function of (attempt, failure rate, last outcome) that returns seconds."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_cap(max_open: float | None) -> None:
    if max_open is not None and not (_is_number(max_open) and max_open > 0):
        raise SettingsError("max_open", max_open, "must be greater than 0 seconds, or None for no cap")


def _check_jitter(jitter: float) -> None:
    if not (_is_number(jitter) and 0 <= jitter <= 1):
        raise SettingsError("jitter", jitter, "must be a ratio between 0 and 1")


def _random() -> float:
    # By name, so that a pickled strategy draws from the random numbers of the process that unpickles it.
    return random.random()  # noqa: S311 - jitter is no secret


@dataclass(frozen=True, kw_only=True)
class _Strategy:
    """What all strategies share: a cap and jitter.

    Args:
        max_open: The longest open time in seconds, jitter included; None for no cap.
        jitter: Ratio 0..1. The time is multiplied by a random number from `1 - jitter` to `1 + jitter`, so that a
            fleet does not probe in step.
        random: Source of numbers in 0..1, for reproducible tests.
    """

    max_open: float | None = None
    jitter: float = 0.0
    random: Callable[[], float] = field(default=_random, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_cap(self.max_open)
        _check_jitter(self.jitter)
        if not callable(self.random):
            raise SettingsError("random", self.random, "must be a function that returns numbers in 0..1")

    def _raw(self, base: float, opening: Opening) -> float:
        raise NotImplementedError

    def open_duration(self, base: float, opening: Opening) -> float:
        """Seconds to stay open: the strategy's own time, jittered, then capped."""
        try:
            seconds = self._raw(base, opening)
        except OverflowError:
            seconds = math.inf
        if self.jitter:
            seconds *= 1.0 + self.jitter * (2.0 * self.random() - 1.0)
        return seconds if self.max_open is None else min(seconds, self.max_open)


@dataclass(frozen=True, kw_only=True)
class Fixed(_Strategy):
    """Always the base time."""

    def _raw(self, base: float, opening: Opening) -> float:
        return base


@dataclass(frozen=True, kw_only=True)
class Linear(_Strategy):
    """`base + increment * (attempt - 1)`.

    Args:
        increment: Seconds added with each attempt; None adds the base time.
        max_open: Cap in seconds (default 600).
    """

    increment: float | None = None
    max_open: float | None = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        increment = self.increment
        if increment is not None and not (_is_number(increment) and 0 < increment < math.inf):
            raise SettingsError(
                "increment", self.increment, "must be greater than 0 seconds, or None for the base time"
            )

    def _raw(self, base: float, opening: Opening) -> float:
        increment = base if self.increment is None else self.increment
        return base + increment * (opening.attempt - 1)


def _check_factor(factor: float) -> None:
    if not (_is_number(factor) and 1 < factor < math.inf):
        raise SettingsError("factor", factor, "must be greater than 1 (use Fixed for a constant time)")


@dataclass(frozen=True, kw_only=True)
class Exponential(_Strategy):
    """`base * factor ** (attempt - 1)`.

    Args:
        factor: Growth per attempt, greater than 1.
        max_open: Cap in seconds (default 600).
    """

    factor: float = 2.0
    max_open: float | None = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factor(self.factor)

    def _raw(self, base: float, opening: Opening) -> float:
        return float(base * self.factor ** (opening.attempt - 1))


@dataclass(frozen=True, kw_only=True)
class Adaptive(_Strategy):
    """Between fixed and exponential, by how much is failing.

    `base * (1 + failure_rate * (factor ** (attempt - 1) - 1))`: a dependency that fails altogether backs off
    exponentially, one that fails for some calls is tried again nearly as soon as the first time.

    Args:
        factor: Growth per attempt at a failure rate of 1, greater than 1.
        max_open: Cap in seconds (default 600).
    """

    factor: float = 2.0
    max_open: float | None = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factor(self.factor)

    def _raw(self, base: float, opening: Opening) -> float:
        return float(base * (1.0 + opening.failure_rate * (self.factor ** (opening.attempt - 1) - 1.0)))


def open_duration(recovery: Recovery | RecoveryFunction, base: float, opening: Opening) -> float:
    """Ask a strategy or a function for the open time, and check its answer.

    Raises:
        SettingsError: The answer is not a finite number of seconds >= 0: a circuit must not stay open for ever.
    """
    seconds = recovery.open_duration(base, opening) if isinstance(recovery, Recovery) else recovery(*opening)
    if not (_is_number(seconds) and 0 <= seconds < math.inf):
        raise SettingsError("recovery", seconds, "must return a number of seconds, 0 or more")
    return float(seconds)
