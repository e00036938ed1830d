"""The thresholds that every candidate is given, as far as it knows them, and how much is measured."""

from __future__ import annotations

from dataclasses import dataclass

LONG = 3600.0
"""Seconds to stay open, where a run must not see the circuit recover."""


@dataclass(frozen=True)
class Rules:
    """When to open and how to recover. Probes: one at a time, one success closes the circuit."""

    failures: int = 5
    rate: float = 0.5
    window: int = 100
    minimum_calls: int = 20
    slow_after: float = 1.0
    slow_rate: float = 0.5
    open_for: float = LONG
    half_open_timeout: float = 60.0


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int = 41
    few_rounds: int = 15
    """Rounds of the scenarios in which one timing takes long by nature."""
    creation_rounds: int = 3
    budget: float = 0.004
    """Seconds that one timing of a fast call should take."""
    callers: int = 20
    threads: int = 8
    io_calls: int = 40
    """Calls of 1 ms by each thread."""
    tasks: int = 10_000
    kept: int = 1_000
    """Breakers whose memory is measured."""
    created: int = 100_000
    windows: tuple[int, ...] = (10, 100, 1_000, 10_000, 100_000)


FULL = Scale()
QUICK = Scale(rounds=9, few_rounds=3, creation_rounds=1, budget=0.002, io_calls=20, kept=300, created=10_000)
TINY = Scale(
    rounds=1,
    few_rounds=1,
    creation_rounds=1,
    budget=0.0002,
    callers=4,
    threads=2,
    io_calls=2,
    tasks=20,
    kept=10,
    created=20,
    windows=(10, 20),
)
