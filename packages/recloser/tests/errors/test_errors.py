"""The errors: one tree, messages that help, picklable, and never in the place of the call's own exception."""

import copy
import gc
import inspect
import pickle
import traceback
import weakref
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, boom_async, fail, is_rejected, reach_probing, settings, trip

import recloser
from recloser import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    DuplicateBreakerError,
    RecloserError,
    Settings,
    SettingsError,
    SnapshotError,
    State,
    UnknownBreakerError,
)
from recloser.testing import FakeClock

ERRORS: list[RecloserError] = [
    CircuitOpenError("db", "open", 3.5, "Boom: down"),
    CircuitOpenError("db", "open", reason="forced_open"),
    CircuitOpenError(breaker="db", state="half_open", retry_after=1.0, reason="half_open_full"),
    SettingsError("open_for", -1, "must be positive"),
    ConfigError("recloser.yaml", "breakers.db.open_for", "must be positive"),
    DuplicateBreakerError("db"),
    UnknownBreakerError("bd", "db"),
    SnapshotError("version", 9, "must be 1"),
]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@every_error
@pytest.mark.parametrize("way", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_round_trip_is_identical(error: RecloserError, way: Any) -> None:
    same = way(error)
    assert type(same) is type(error)
    assert vars(same) == vars(error)
    assert str(same) == str(error)
    assert repr(same) == repr(error)


def test_every_public_error_is_in_the_tree_and_in_this_file() -> None:
    public = {getattr(recloser, name) for name in recloser.__all__}
    errors = {thing for thing in public if inspect.isclass(thing) and issubclass(thing, BaseException)}
    assert all(issubclass(error, RecloserError) for error in errors)
    assert errors - {RecloserError} == {type(error) for error in ERRORS}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(SettingsError, ValueError), (ConfigError, ValueError), (SnapshotError, ValueError),
     (DuplicateBreakerError, ValueError), (UnknownBreakerError, KeyError)],
)  # fmt: skip
def test_errors_are_also_what_python_would_raise(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CircuitOpenError("db", "open", 3.5, "Boom: down"),
         "circuit 'db' is open, retry after 3.5 s (last failure: Boom: down)"),
        (CircuitOpenError("db", "open", reason="forced_open"), "circuit 'db' is held open by an operator"),
        (CircuitOpenError("db", "half_open", 12, reason="half_open_full"),
         "circuit 'db' is half-open and all its probe slots are taken, retry after 12 s"),
        (SettingsError("open_for", -1, "must be positive"), "open_for=-1: must be positive"),
        (ConfigError("a.yaml", "breakers.db", "x"), "a.yaml: breakers.db: x"),
        (ConfigError("a.yaml", "", "not a mapping"), "a.yaml: not a mapping"),
        (UnknownBreakerError("bd", "db"), "no breaker named 'bd'; did you mean 'db'?"),
        (UnknownBreakerError("x"), "no breaker named 'x'"),
    ],
)  # fmt: skip
def test_message_says_what_happened_and_what_to_do(error: Exception, text: str) -> None:
    assert str(error) == text


def test_rejection_tells_all(breaker: CircuitBreaker, clock: FakeClock) -> None:
    trip(breaker)
    clock.advance(4)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    error = caught.value
    assert (error.breaker, error.state, error.retry_after, error.last_failure, error.reason) == (
        "db",
        "open",
        6,
        "Boom: down",
        "open",
    )
    assert error.__cause__ is None
    assert error.__context__ is None


def test_reasons_of_rejection_can_be_told_apart(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Open, half-open with its slots taken, held open by an operator."""
    reasons = []

    def reject() -> None:
        with pytest.raises(CircuitOpenError) as caught:
            breaker.acquire()
        reasons.append((caught.value.reason, caught.value.state))

    trip(breaker)
    reject()
    clock.advance(10)
    probe = breaker.acquire()
    reject()
    breaker.force_open("maintenance")
    reject()
    probe.ignore()
    assert reasons == [("open", "open"), ("half_open_full", "half_open"), ("forced_open", "open")]


def test_each_rejection_is_an_instance_of_its_own(breaker: CircuitBreaker) -> None:
    trip(breaker)
    errors = []
    for _ in range(2):
        with pytest.raises(CircuitOpenError) as caught:
            breaker.acquire()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_tripping_call_raises_the_original_with_its_traceback(breaker: CircuitBreaker) -> None:
    """Only rejected calls raise the breaker's error."""
    fail(breaker, 2)
    error = ConnectionError("refused")

    def deep() -> None:
        raise error

    with pytest.raises(ConnectionError) as caught:
        breaker.call(deep)
    assert breaker.state is State.OPEN
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "deep"


async def test_tripping_call_raises_the_original_with_its_traceback_async(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    with pytest.raises(Boom) as caught:
        await breaker.call(boom_async)
    assert breaker.state is State.OPEN
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "boom_async"


def test_last_failure_keeps_nothing_alive(breaker: CircuitBreaker) -> None:
    """Neither the exception nor the locals of the failing frame."""

    class Big:
        pass

    def failing() -> weakref.ref[Big]:
        local = Big()
        kept.append(weakref.ref(local))
        raise Boom("down")

    kept: list[weakref.ref[Big]] = []
    for _ in range(3):
        with pytest.raises(Boom):
            breaker.call(failing)
    assert is_rejected(breaker)
    gc.collect()
    assert breaker.last_failure == "Boom: down"
    assert [ref() for ref in kept] == [None] * 3


def test_last_failure_is_short_whatever_the_error_says(breaker: CircuitBreaker) -> None:
    with pytest.raises(ValueError), breaker:
        raise ValueError("x" * 10_000)
    assert breaker.last_failure is not None
    assert len(breaker.last_failure) == 200
    assert breaker.last_failure.endswith("...")


def test_last_failure_survives_an_error_that_cannot_be_described(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError("no words")

    with pytest.raises(Mute), breaker:
        raise Mute
    assert breaker.last_failure is not None
    assert breaker.last_failure.endswith("Mute")
    assert breaker.stats().failed == 1


def test_name_must_be_words() -> None:
    names: list[Any] = ["", "  ", None, 3, b"db"]
    for name in names:
        with pytest.raises(SettingsError, match="name="):
            CircuitBreaker(name)


def test_settings_must_be_settings() -> None:
    things: list[Any] = [{"open_for": 3}, "http_api", 3]
    for thing in things:
        with pytest.raises(SettingsError, match="settings="):
            CircuitBreaker("db", thing)


def test_breaker_says_what_it_is(breaker: CircuitBreaker, clock: FakeClock) -> None:
    assert repr(breaker) == "<CircuitBreaker 'db': closed>"
    reach_probing(breaker, clock)
    assert repr(breaker) == "<CircuitBreaker 'db': open>"


def test_two_names_are_two_breakers(clock: FakeClock) -> None:
    first, second = (CircuitBreaker(name, settings(), clock=clock) for name in ("a", "b"))
    trip(first)
    assert second.state is State.CLOSED


@pytest.mark.parametrize("value", [10**400, 10**10_000, "x" * 1_000], ids=["long", "longer", "text"])
def test_value_of_any_size_is_refused_in_a_short_message(value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(open_for=value)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300
    assert caught.value.value == value
