"""How much is measured. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        pairs: Of the bare endpoint and the service, for each shape and store.
        seconds: Of sending, for each half of a pair.
        trials: Of each failure.
        window: Of sending, healthy and again after the trip.
        rate: Requests a second while dependencies fail.
        senders: Connections at most; None for as many as a shape has.
    """

    pairs: int = 5
    seconds: float = 3.0
    trials: int = 2
    window: float = 8.0
    rate: float = 25.0
    senders: int | None = None


FULL = Scale()
QUICK = Scale(pairs=3, seconds=1.5, trials=1, window=4.0)
TINY = Scale(pairs=1, seconds=0.2, trials=1, window=0.2, rate=40.0, senders=4)
