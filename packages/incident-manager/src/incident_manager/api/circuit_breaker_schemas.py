"""Circuit breakers, as the API shows and operates them."""

from datetime import datetime

from pydantic import (
    Field,
)

from incident_manager.api.schemas import Command, Line, Model
from recloser import Control, State


class TransitionCount(Model):
    """How often one change of state happened."""

    from_state: State
    to_state: State
    count: int


class CircuitBreakerOut(Model):
    """One circuit breaker as it is now. Counters have grown since the service was started."""

    name: str
    state: State
    control: Control = Field(description="Who decides: `automatic`, or what an operator has ordered.")
    control_reason: str | None
    since: datetime = Field(description="When the state last changed.")
    time_in_state: float = Field(description="Seconds since then.")
    retry_after: float | None = Field(description="Seconds until a call may go through; null when an operator decides.")
    calls: dict[str, int] = Field(description="Calls by how they ended, and `rejected` ones.")
    successful: int
    failed: int
    rejected: int
    in_flight: int
    consecutive_failures: int
    failure_rate: float | None = Field(description="Failed calls over calls in the window, 0 to 1.")
    slow_call_rate: float | None
    window_calls: int
    attempt: int = Field(description="Openings since it was last closed.")
    transitions: list[TransitionCount]
    last_failure: str | None


class CircuitBreakersHealth(Model):
    """How many circuit breakers are in which state."""

    total: int
    closed: int
    open: int
    half_open: int
    healthy: bool = Field(description="Every one of them is closed.")


class CircuitBreakerList(Model):
    """All circuit breakers of the service."""

    circuit_breakers: list[CircuitBreakerOut]


class Order(Command):
    """Why an operator takes over; it is shown until the breaker is reset."""

    reason: Line


class Reset(Command):
    """Why an operator gives control back."""

    reason: Line = "reset"


class ResetAll(Model):
    """What was reset."""

    reset: list[str] = Field(description="Names of the circuit breakers, all of them.")


# Tokens and audit
