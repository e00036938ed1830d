"""A strategy that cannot be is refused with the field, the value and the rule; so is an answer that cannot be."""

import math
from typing import Any

import pytest

from recloser import Adaptive, Exponential, Fixed, Linear, Opening, Outcome, Settings, SettingsError
from recloser.recovery import open_duration

EVERY: list[Any] = [Fixed, Linear, Exponential, Adaptive]
GROWING: list[Any] = [Exponential, Adaptive]
OPENING = Opening(2, 0.5, Outcome.FAILURE)

MAX_OPEN = "must be greater than 0 seconds, or None for no cap"
JITTER = "must be a ratio between 0 and 1"
INCREMENT = "must be greater than 0 seconds, or None for the base time"
FACTOR = "must be greater than 1 (use Fixed for a constant time)"
ANSWER = "must return a number of seconds, 0 or more"


@pytest.mark.parametrize(
    ("kinds", "field", "value", "message"),
    [
        (EVERY, "max_open", 0, f"max_open=0: {MAX_OPEN}"),
        (EVERY, "max_open", -0.5, f"max_open=-0.5: {MAX_OPEN}"),
        (EVERY, "max_open", "60", f"max_open='60': {MAX_OPEN}"),
        (EVERY, "max_open", True, f"max_open=True: {MAX_OPEN}"),
        (EVERY, "jitter", -0.01, f"jitter=-0.01: {JITTER}"),
        (EVERY, "jitter", 1.01, f"jitter=1.01: {JITTER}"),
        (EVERY, "jitter", None, f"jitter=None: {JITTER}"),
        (EVERY, "random", 0.5, "random=0.5: must be a function that returns numbers in 0..1"),
        ([Linear], "increment", 0, f"increment=0: {INCREMENT}"),
        ([Linear], "increment", -1, f"increment=-1: {INCREMENT}"),
        ([Linear], "increment", math.inf, f"increment=inf: {INCREMENT}"),
        ([Linear], "increment", "5", f"increment='5': {INCREMENT}"),
        (GROWING, "factor", 1, f"factor=1: {FACTOR}"),
        (GROWING, "factor", 0.5, f"factor=0.5: {FACTOR}"),
        (GROWING, "factor", math.inf, f"factor=inf: {FACTOR}"),
        (GROWING, "factor", None, f"factor=None: {FACTOR}"),
    ],
)
def test_message_names_field_value_and_rule(kinds: list[Any], field: str, value: Any, message: str) -> None:
    for kind in kinds:
        with pytest.raises(SettingsError) as caught:
            kind(**{field: value})
        assert str(caught.value) == message
        assert caught.value.value is value


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    "values",
    [{"max_open": 0.001}, {"max_open": 1}, {"max_open": None}, {"jitter": 0}, {"jitter": 0.001}, {"jitter": 1}],
    ids=str,
)
def test_value_at_the_edge_is_taken(kind: Any, values: dict[str, Any]) -> None:
    assert kind(**values)


def test_strategy_at_the_edge_is_taken() -> None:
    assert Linear(increment=0.25, max_open=None).open_duration(10.0, OPENING) == 10.25
    assert Linear(increment=1).open_duration(10.0, OPENING) == 11.0
    assert Exponential(factor=1.5).open_duration(10.0, OPENING) == 15.0
    assert Adaptive(factor=1.5).open_duration(10.0, OPENING) == 12.5


@pytest.mark.parametrize("kind", GROWING)
def test_without_a_cap_attempts_beyond_what_a_float_can_hold_are_refused(kind: Any) -> None:
    """The circuit then stays open for its base time: never for ever."""
    opening = Opening(1_000_000, 1.0, None)
    assert kind(max_open=None).open_duration(10.0, opening) == math.inf
    with pytest.raises(SettingsError, match="recovery=inf"):
        open_duration(kind(max_open=None), 10.0, opening)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_jittered_time_that_overflows_is_the_cap(jitter: float) -> None:
    strategy = Exponential(jitter=jitter, random=lambda: 0.75)
    assert strategy.open_duration(10.0, Opening(1_000_000, 1.0, None)) == 600.0


@pytest.mark.parametrize("answer", [-0.001, math.inf, -math.inf, math.nan, None, "5", True])
def test_impossible_answer_is_refused(answer: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        open_duration(lambda attempt, rate, outcome: answer, 10.0, OPENING)
    assert str(caught.value) == f"recovery={answer!r}: {ANSWER}"


@pytest.mark.parametrize("answer", [0, 0.001, 5, 1e12])
def test_possible_answer_is_seconds(answer: float) -> None:
    seconds = open_duration(lambda attempt, rate, outcome: answer, 10.0, OPENING)
    assert seconds == answer
    assert isinstance(seconds, float)


def test_function_is_given_the_opening_and_a_strategy_the_base_time_too() -> None:
    given: list[object] = []

    def function(attempt: int, failure_rate: float, last_outcome: Outcome | None) -> float:
        given.append((attempt, failure_rate, last_outcome))
        return 1.0

    class Own:
        def open_duration(self, base: float, opening: Opening) -> float:
            given.append((base, opening))
            return 2.0

    assert open_duration(function, 10.0, OPENING) == 1.0
    assert open_duration(Own(), 10.0, OPENING) == 2.0
    assert given == [(2, 0.5, Outcome.FAILURE), (10.0, OPENING)]


def test_cap_may_not_be_shorter_than_the_base_time() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(open_for=60.0, recovery=Linear(max_open=30.0))
    assert str(caught.value) == "open_for=60.0: must be at most recovery.max_open=30.0 seconds"
