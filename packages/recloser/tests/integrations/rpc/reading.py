"""What the tests ask of a registry whose breakers belong to one service."""

import time
from collections.abc import Callable

from recloser import CircuitBreaker, Registry


def only(registry: Registry) -> CircuitBreaker:
    """The one breaker there is."""
    [breaker] = registry
    return breaker


def outcomes(registry: Registry) -> dict[str, int]:
    """How calls ended, without the zeros."""
    return {status: count for status, count in only(registry).stats().calls.items() if count}


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true within 10 s; other threads make it so."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
