"""A wrong key or an empty account is our own fault: the circuit opens at once, for as long as the classifier says."""

import pytest
from packages.recloser.tests.support import Boom, listen, raising, reach_probing, settings

from recloser import CallFinished, CircuitBreaker, Outcome, State, StateChanged, Verdict
from recloser.testing import FakeClock


def api_with(clock: FakeClock, retry_after: float | None) -> CircuitBreaker:
    verdict = Verdict(Outcome.CONFIGURATION, retry_after)
    return CircuitBreaker("api", settings(classify=lambda exc, _: verdict, max_retry_after=60), clock=clock)


def call(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom):
        breaker.call(raising(Boom("401")))


@pytest.mark.parametrize(("asked", "open_for"), [(900, 900), (None, 10)])
def test_it_opens_at_once_under_its_own_name(clock: FakeClock, asked: float | None, open_for: float) -> None:
    api = api_with(clock, asked)
    events = listen(api, StateChanged, CallFinished)
    call(api)
    finished, change = events
    assert finished.outcome is Outcome.CONFIGURATION
    assert (change.reason, change.open_for, change.detail) == ("configuration", open_for, "Boom: 401")
    assert api.stats().calls["configuration"] == 1
    assert api.stats().window_calls == 0


def test_a_probe_with_a_wrong_key_opens_it_again(clock: FakeClock) -> None:
    api = CircuitBreaker("api", settings(), clock=clock)
    reach_probing(api, clock)
    api.acquire().settle(Boom("401"), otherwise=Verdict(Outcome.CONFIGURATION, 900))
    assert (api.state, api.retry_after) == (State.OPEN, 900)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.IGNORED),
        ({"failure_on": Boom}, Outcome.IGNORED),
        ({"classify": lambda exc, _: Outcome.FAILURE}, Outcome.FAILURE),
    ],
    ids=["default", "failure_on", "classify"],
)
def test_otherwise_takes_the_place_of_failure_on(
    clock: FakeClock, changes: dict[str, object], outcome: Outcome
) -> None:
    api = CircuitBreaker("api", settings(**changes), clock=clock)
    api.acquire().settle(Boom("x"), otherwise=Verdict(Outcome.IGNORED))
    assert api.stats().calls[outcome] == 1


def test_otherwise_is_the_last_word_on_a_result(clock: FakeClock) -> None:
    api = CircuitBreaker("api", settings(failure_on_result=lambda answer: answer == "bad"), clock=clock)
    api.acquire().settle(None, "bad", otherwise=Verdict(Outcome.IGNORED))
    api.acquire().settle(None, "odd", otherwise=Verdict(Outcome.IGNORED))
    assert (api.stats().calls["failure"], api.stats().calls["ignored"]) == (1, 1)
