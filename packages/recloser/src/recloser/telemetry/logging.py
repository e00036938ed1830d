"""What happens to breakers, as structured records of the standard library's `logging`: `log_events(registry)`.

A record's message is for people. The same values are its attributes (`extra`), for formatters that write JSON.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from typing import Any, Protocol

from recloser.events import (
    BreakerReset,
    CallFinished,
    CallRejected,
    Control,
    ControlChanged,
    Event,
    Listener,
    State,
    StateChanged,
)

__all__ = ["log_events"]


class Source(Protocol):
    """A `Registry` or a `CircuitBreaker`."""

    def add_listener(self, listener: Listener, kinds: tuple[type[Event], ...]) -> Callable[[], None]:
        """Call `listener` for events of these kinds."""
        ...


def log_events(
    source: Source, logger: logging.Logger | None = None, *, rejections: bool = False, calls: bool = False
) -> Callable[[], None]:
    """Log the events of a registry's breakers, present and future, or of one breaker.

    An opening and an operator who takes control are warnings, other changes are information, and single calls are
    debugging. The attributes of a record are `event` (`state_changed`, `control_changed`, `breaker_reset`,
    `call_rejected` or `call_finished`), `breaker` and the members of the event; durations are seconds.

    Args:
        source: A `Registry` or a `CircuitBreaker`.
        logger: By default the logger `recloser.events`.
        rejections: Log each rejected call, too.
        calls: Log each call that ended, too. Every call then makes an event.

    Returns:
        A function that stops it.
    """
    target = logging.getLogger("recloser.events") if logger is None else logger
    kinds: list[type[Event]] = [StateChanged, ControlChanged, BreakerReset]
    kinds += [CallRejected] if rejections else []
    kinds += [CallFinished] if calls else []

    def log(event: Event) -> None:
        level = _level(event)
        if target.isEnabledFor(level):
            message, *arguments = _message(event)
            target.log(level, message, *arguments, extra=_attributes(event))

    return source.add_listener(log, tuple(kinds))


def _level(event: Event) -> int:
    if isinstance(event, CallRejected | CallFinished):
        return logging.DEBUG
    if isinstance(event, StateChanged) and event.to_state is State.OPEN:
        return logging.WARNING
    if isinstance(event, ControlChanged) and event.to_control is not Control.AUTOMATIC:
        return logging.WARNING
    return logging.INFO


def _message(event: Event) -> tuple[Any, ...]:
    match event:
        case StateChanged(to_state=State.OPEN):
            for_how_long = "until an operator ends it" if event.open_for is None else f"for {event.open_for:.3g} s"
            reason = f"{event.reason} ({_line(event.detail)})" if event.detail else event.reason
            return "circuit %r opened %s: %s", event.breaker, for_how_long, reason
        case StateChanged():
            return "circuit %r is %s: %s", event.breaker, event.to_state, event.reason
        case ControlChanged():
            return "circuit %r is under control %r: %s", event.breaker, str(event.to_control), _line(event.reason)
        case BreakerReset():
            return "circuit %r was reset: %s", event.breaker, _line(event.reason)
        case CallRejected():
            would = "would have " if event.observed else ""
            return "circuit %r %srejected a call: %s", event.breaker, would, event.reason
        case CallFinished():
            return "call through circuit %r: %s after %.3g s", event.breaker, event.outcome, event.duration
    return "circuit %r: %r", event.breaker, event


def _line(text: str) -> str:
    # What a dependency's error says must not be able to write a line of its own into a log of text.
    return " ".join(text.splitlines())


def _attributes(event: Event) -> dict[str, Any]:
    # `time` is left out: the record has its own. Enums become plain text, which every JSON encoder takes.
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event) if field.name != "time"}
    plain = {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
    return {"event": re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower(), **plain}
