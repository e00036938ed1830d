"""What an operator may do to a breaker: the same words on the command line, on admin sockets and on the live page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recloser.breaker import CircuitBreaker
from recloser.events import Control


@dataclass(frozen=True)
class Operation:
    """One thing that an operator may do.

    Attributes:
        name: Its word.
        meaning: What it does, for people.
        control: Who decides afterwards.
        apply: Does it, with the operator's reason.
    """

    name: str
    meaning: str
    control: Control
    apply: Callable[[CircuitBreaker, str], None]


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("open", "reject every call", Control.FORCED_OPEN, CircuitBreaker.force_open),
        Operation(
            "close",
            "let every call through, and let nothing open the circuit",
            Control.FORCED_CLOSED,
            CircuitBreaker.force_closed,
        ),
        Operation(
            "observe",
            "shadow mode: decide and record, reject nothing",
            Control.OBSERVE_ONLY,
            CircuitBreaker.observe_only,
        ),
        Operation("automatic", "give control back to the breaker", Control.AUTOMATIC, CircuitBreaker.automatic),
        Operation("reset", "automatic, closed, with an empty window", Control.AUTOMATIC, CircuitBreaker.reset),
    )
}
"""The operations by their word, in the order in which people read them."""
