"""What the tests ask of a breaker."""

from recloser import CircuitBreaker


def outcomes(breaker: CircuitBreaker) -> dict[str, int]:
    """How calls ended, without the zeros."""
    return {status: count for status, count in breaker.stats().calls.items() if count}
