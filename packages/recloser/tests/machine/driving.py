"""What the tests of the machine do with it. Times are arguments: there is no clock, no lock and no thread."""

from typing import Any

from packages.recloser.tests.support import settings

from recloser import Outcome, Verdict
from recloser.kernel import Reading
from recloser.machine import Machine
from recloser.tickets import Refusal, Settled, Ticket

OK = Verdict(Outcome.SUCCESS)
FAILED = Verdict(Outcome.FAILURE, failed="Boom: down")
IGNORED = Verdict(Outcome.IGNORED)


def make(now: float = 0.0, **changes: Any) -> Machine:
    """Opens after 3 failures in a row, for 10 s; one probe closes it."""
    return Machine(settings(**changes), now)


def admitted(machine: Machine, now: float) -> Ticket:
    """The ticket of a call that is let through."""
    decision = machine.admit(now)
    assert isinstance(decision, Ticket), decision
    return decision


def refused(machine: Machine, now: float) -> Refusal:
    """Why a call is not let through."""
    decision = machine.admit(now)
    assert isinstance(decision, Refusal), decision
    return decision


def call(machine: Machine, verdict: Verdict, now: float, took: float = 0.0) -> Settled:
    """One call from admission to outcome, which ends at `now`."""
    settled = machine.settle(admitted(machine, now - took), verdict, now)
    assert settled is not None
    return settled


def resolve(machine: Machine, seconds: float = 10.0) -> None:
    """Work the open time out, as the controller does."""
    assert machine.take_opening() is not None
    machine.resolve_opening(machine.generation, seconds)


def trip(machine: Machine, now: float, seconds: float = 10.0) -> None:
    """Fail until the circuit opens at `now`, for that long."""
    for _ in range(3):
        call(machine, FAILED, now)
    resolve(machine, seconds)


def news(machine: Machine) -> list[Any]:
    """What is to be announced, once."""
    return list(machine.take_changes())


def reading(machine: Machine) -> Reading:
    """What the kernel has counted. The window has forgotten what the last tick made it forget, and no more."""
    return machine.kernel.reading(0.0)
