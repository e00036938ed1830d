"""How long each strategy says, by attempt and failure rate."""

import copy
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest

from recloser import Adaptive, Exponential, Fixed, Linear, Opening, Outcome, Recovery, SettingsError


def times(strategy: Recovery, base: float = 10.0, attempts: int = 6, failure_rate: float = 1.0) -> list[float]:
    return [
        strategy.open_duration(base, Opening(attempt, failure_rate, Outcome.FAILURE))
        for attempt in range(1, attempts + 1)
    ]


def test_fixed_is_always_the_base_time() -> None:
    assert times(Fixed()) == [10] * 6


def test_linear_adds_the_base_time_unless_told_otherwise() -> None:
    assert times(Linear()) == [10, 20, 30, 40, 50, 60]
    assert times(Linear(increment=5)) == [10, 15, 20, 25, 30, 35]


def test_exponential_doubles_unless_told_otherwise() -> None:
    assert times(Exponential()) == [10, 20, 40, 80, 160, 320]
    assert times(Exponential(factor=3), attempts=4) == [10, 30, 90, 270]


def test_adaptive_is_exponential_when_everything_fails_and_fixed_when_nothing_does() -> None:
    assert times(Adaptive(), failure_rate=1.0) == times(Exponential())
    assert times(Adaptive(), failure_rate=0.0) == times(Fixed())
    assert times(Adaptive(), failure_rate=0.5) == [10, 15, 25, 45, 85, 165]


@pytest.mark.parametrize("strategy", [Linear(max_open=25), Exponential(max_open=25), Adaptive(max_open=25)])
def test_cap_holds(strategy: Recovery) -> None:
    assert times(strategy) == [10, 20, 25, 25, 25, 25]


@pytest.mark.parametrize("strategy", [Linear(), Exponential(), Adaptive()])
def test_cap_is_ten_minutes_unless_told_otherwise(strategy: Recovery) -> None:
    assert strategy.open_duration(10, Opening(1_000, 1.0, None)) == 600


@pytest.mark.parametrize("strategy", [Exponential(), Adaptive()])
def test_attempts_beyond_what_a_float_can_hold_are_the_cap(strategy: Recovery) -> None:
    assert strategy.open_duration(10, Opening(1_000_000, 1.0, None)) == 600


@pytest.mark.parametrize(("number", "seconds"), [(0.0, 8.0), (0.25, 9.0), (0.5, 10.0), (0.75, 11.0), (1.0, 12.0)])
def test_jitter_spreads_around_the_time(number: float, seconds: float) -> None:
    assert Fixed(jitter=0.2, random=lambda: number).open_duration(10, Opening(1, 1.0, None)) == pytest.approx(seconds)


def test_jitter_never_exceeds_the_cap() -> None:
    strategy = Exponential(jitter=0.5, max_open=60)
    assert all(0 < seconds <= 60 for attempt in range(50) for seconds in times(strategy))


def test_without_jitter_no_number_is_drawn() -> None:
    def never() -> float:
        raise AssertionError("drawn")

    assert times(Fixed(random=never)) == [10] * 6


def test_numbers_are_drawn_from_the_given_source() -> None:
    numbers: Iterator[float] = iter([0.0, 1.0])
    strategy = Fixed(jitter=1.0, random=lambda: next(numbers))
    assert times(strategy, attempts=2) == [0, 20]


@pytest.mark.parametrize("kind", [Fixed, Linear, Exponential, Adaptive])
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"max_open": 0}, "max_open"),
        ({"max_open": -1}, "max_open"),
        ({"max_open": float("nan")}, "max_open"),
        ({"max_open": "60"}, "max_open"),
        ({"max_open": True}, "max_open"),
        ({"jitter": -0.1}, "jitter"),
        ({"jitter": 1.1}, "jitter"),
        ({"jitter": float("nan")}, "jitter"),
        ({"jitter": "0.1"}, "jitter"),
        ({"random": 0.5}, "random"),
    ],
)
def test_impossible_value_is_refused(kind: Any, values: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(**values)
    assert caught.value.field == field
    assert caught.value.value is values[field]


@pytest.mark.parametrize("increment", [0, -1, float("nan"), float("inf"), "5", True])
def test_impossible_increment_is_refused(increment: Any) -> None:
    with pytest.raises(SettingsError, match="increment="):
        Linear(increment=increment)


@pytest.mark.parametrize("kind", [Exponential, Adaptive])
@pytest.mark.parametrize("factor", [1, 0.5, 0, -2, float("nan"), float("inf"), "2", True])
def test_impossible_factor_is_refused(kind: Any, factor: Any) -> None:
    with pytest.raises(SettingsError, match="factor="):
        kind(factor=factor)


@pytest.mark.parametrize("strategy", [Fixed(), Linear(increment=3), Exponential(jitter=0.1), Adaptive(max_open=None)])
def test_strategies_are_values(strategy: Recovery) -> None:
    assert copy.deepcopy(strategy) == strategy
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert hash(copy.deepcopy(strategy)) == hash(strategy)
    assert isinstance(strategy, Recovery)


def test_pickled_strategy_does_not_carry_the_sender_s_random_numbers() -> None:
    """A fleet of workers that were sent one strategy must not jitter in step."""
    sent = pickle.dumps(Fixed(jitter=1.0))
    state = random.getstate()
    try:
        workers = []
        for seed in (1, 2):
            random.seed(seed)
            workers.append(times(pickle.loads(sent)))
    finally:
        random.setstate(state)
    assert workers[0] != workers[1]
