"""Events as records of the standard library's logging."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from packages.recloser.tests.support import fail, is_rejected, settings, succeed, trip

import recloser
from recloser import CircuitBreaker, Registry
from recloser.telemetry.logging import log_events
from recloser.testing import FakeClock

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Records(logging.Handler):
    """Keeps each record as a formatter for JSON would write it, and reads it back."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        own = {key: value for key, value in vars(record).items() if key not in STANDARD}
        line = {"level": record.levelname, "message": record.getMessage(), **own}
        self.seen.append(json.loads(json.dumps(line)))

    @property
    def lines(self) -> list[str]:
        return [f"{line['level']} {line['message']}" for line in self.seen]


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logger = logging.getLogger("recloser.events")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


def test_changes_of_state_are_told_to_people(registry: Registry, records: Records, clock: FakeClock) -> None:
    log_events(registry)
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(10)
    succeed(db)
    assert records.lines == [
        "WARNING circuit 'db' opened for 10 s: consecutive_failures (Boom: down)",
        "INFO circuit 'db' is half_open: open_elapsed",
        "INFO circuit 'db' is closed: probes_succeeded",
    ]


def test_values_are_attributes(registry: Registry, records: Records) -> None:
    log_events(registry)
    trip(registry.get_or_create("db"))
    [record] = records.seen
    assert {key: value for key, value in record.items() if key not in ("level", "message")} == {
        "event": "state_changed",
        "breaker": "db",
        "from_state": "closed",
        "to_state": "open",
        "reason": "consecutive_failures",
        "detail": "Boom: down",
        "open_for": 10.0,
        "attempt": 1,
    }


def test_operators_are_told_of(registry: Registry, records: Records) -> None:
    log_events(registry)
    db = registry.get_or_create("db")
    db.force_open("moving house")
    db.automatic("done")
    db.reset("fresh start")
    assert "WARNING circuit 'db' is under control 'forced_open': moving house" in records.lines
    assert "WARNING circuit 'db' opened until an operator ends it: operator (moving house)" in records.lines
    assert "INFO circuit 'db' is under control 'automatic': done" in records.lines
    assert "INFO circuit 'db' was reset: fresh start" in records.lines


def test_single_calls_are_logged_only_when_asked_for(registry: Registry, records: Records) -> None:
    log_events(registry)
    db = registry.get_or_create("db")
    succeed(db)
    trip(db)
    is_rejected(db)
    assert len(records.seen) == 1


def test_rejections(registry: Registry, records: Records) -> None:
    log_events(registry, rejections=True)
    db = registry.get_or_create("db")
    trip(db)
    is_rejected(db)
    assert records.lines[1:] == ["DEBUG circuit 'db' rejected a call: open"]
    assert (records.seen[1]["event"], records.seen[1]["retry_after"]) == ("call_rejected", 10.0)


def test_rejections_of_shadow_mode(registry: Registry, records: Records) -> None:
    log_events(registry, rejections=True)
    db = registry.get_or_create("db")
    db.observe_only("trying it out")
    trip(db)
    assert not is_rejected(db)
    assert records.lines[-1] == "DEBUG circuit 'db' would have rejected a call: open"


def test_calls(registry: Registry, records: Records, clock: FakeClock) -> None:
    log_events(registry, calls=True)
    db = registry.get_or_create("db")
    db.call(clock.advance, 0.25)
    fail(db)
    assert records.lines == [
        "DEBUG call through circuit 'db': success after 0.25 s",
        "DEBUG call through circuit 'db': failure after 0 s",
    ]
    assert records.seen[0]["outcome"] == "success"


def test_logger_of_the_user_and_a_single_breaker(breaker: CircuitBreaker) -> None:
    handler = Records()
    logger = logging.Logger("mine", logging.WARNING)
    logger.addHandler(handler)
    log_events(breaker, logger)
    trip(breaker)
    breaker.reset()
    assert [line["event"] for line in handler.seen] == ["state_changed"]


def test_it_can_be_stopped(registry: Registry, records: Records) -> None:
    stop = log_events(registry)
    db = registry.get_or_create("db")
    stop()
    trip(db)
    assert records.seen == []


def test_message_is_one_line_whatever_the_failure_says(registry: Registry, records: Records) -> None:
    log_events(registry)
    db = registry.get_or_create("db", settings(failure_threshold=1))
    db.acquire().failure(ConnectionError("refused\nINFO all is well"))
    db.reset("done\r\nERROR not at all")
    assert records.lines == [
        "WARNING circuit 'db' opened for 10 s: consecutive_failures (ConnectionError: refused INFO all is well)",
        "INFO circuit 'db' was reset: done ERROR not at all",
        "INFO circuit 'db' is closed: operator",
    ]
    assert records.seen[0]["detail"] == "ConnectionError: refused\nINFO all is well"


EVENTS = [
    recloser.StateChanged(
        breaker="db", time=0, from_state=recloser.State.CLOSED, to_state=recloser.State.OPEN, reason="x"
    ),
    recloser.ControlChanged(
        breaker="db", time=0, from_control=recloser.Control.AUTOMATIC, to_control=recloser.Control.DISABLED, reason="x"
    ),
    recloser.BreakerReset(breaker="db", time=0, reason="x"),
    recloser.CallRejected(breaker="db", time=0, reason="open", retry_after=1.0),
    recloser.CallFinished(breaker="db", time=0, outcome=recloser.Outcome.SUCCESS, duration=0.1, late=False),
]


def test_every_kind_of_event_has_its_own_attributes(records: Records) -> None:
    """And none that `logging` keeps for itself, which it refuses."""
    source = Source()
    log_events(source, rejections=True, calls=True)
    for event in EVENTS:
        source.listener(event)
    for event, record in zip(EVENTS, records.seen, strict=True):
        members = {field.name for field in dataclasses.fields(event)} - {"time"}
        assert set(record) == members | {"level", "message", "event"}
    assert {type(event).__name__ for event in EVENTS} == {kind.__name__ for kind in recloser.Event.__subclasses__()}


class Source:
    """Hands a listener its events."""

    def __init__(self) -> None:
        self.listener: Callable[[recloser.Event], object] = print

    def add_listener(
        self, listener: Callable[[recloser.Event], object], kinds: tuple[type[recloser.Event], ...]
    ) -> Callable[[], None]:
        self.listener = listener
        return lambda: None
