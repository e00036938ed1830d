"""How the service is doing, as the API tells it."""

from typing import Literal

from pydantic import (
    Field,
)

from incident_manager.api.circuit_breaker_schemas import CircuitBreakersHealth
from incident_manager.api.schemas import Model


class Alive(Model):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(Model):
    """The service takes requests."""

    status: Literal["ready"] = "ready"
    database: Literal["open", "starting"] = Field(
        description="`starting`: not reached since the start; alerts are journaled, all else is answered 503."
    )


class JournalHealth(Model):
    """The alerts that were accepted while the database could not be used."""

    waiting: int = Field(description="Alerts that are not in the database yet.")
    oldest_age: float = Field(description="Seconds that the first of them has waited; 0 when none waits.")
    set_aside: int = Field(description="Alerts that the database refused. They are kept, and tried at the next start.")
    bytes: int = Field(description="Size of all of them.")


class Health(Model):
    """The service and what it depends on. The service itself is up whatever this says."""

    status: Literal["healthy", "degraded"] = Field(
        description="`degraded` while a circuit is not closed, the database cannot be asked, "
        "alerts are in the journal, deliveries stand still, or a changed file is refused."
    )
    version: str
    journal: JournalHealth
    circuit_breakers: CircuitBreakersHealth
    waiting_notifications: dict[str, int] | None = Field(
        description="Notifications not delivered yet, by destination; null while the database cannot be asked."
    )
    delivery_problems: dict[str, str] = Field(
        description="What keeps notifications of a destination from being worked on, other than an open circuit."
    )
    configuration_problems: dict[str, str] = Field(
        description="Why a file that has changed is refused; what it said before is still in force. By `settings` and "
        "`catalog`."
    )
