"""`window` and `recovery` are inherited key by key; what another window or strategy cannot use is left behind."""

import pytest
from packages.recloser.tests.config.conftest import Load

from recloser import Adaptive, ConfigError, CountWindow, Exponential, Fixed, Linear, Opening, Settings, TimeWindow
from recloser.recovery import Recovery

HOUR = Opening(1, 1.0, None)


def after_an_hour(attempt: int, failure_rate: float, last_outcome: object) -> float:
    return 3600.0


@pytest.mark.parametrize(
    ("default", "own", "window"),
    [
        ("{size: 20}", "{}", CountWindow(20)),
        ("{size: 20}", "{size: 30}", CountWindow(30)),
        ("{size: 20}", "{duration: 30}", TimeWindow(30.0, 10)),
        ("{duration: 30, buckets: 5}", "{duration: 60}", TimeWindow(60.0, 5)),
        ("{duration: 30, buckets: 5}", "{buckets: 6}", TimeWindow(30.0, 6)),
        ("{duration: 30, buckets: 5}", "{size: 20}", CountWindow(20)),
    ],
)
def test_windows_are_inherited_by_key(load: Load, default: str, own: str, window: object) -> None:
    config = load(f"defaults: {{window: {default}}}\nbreakers: {{a: {{window: {own}}}}}")
    assert config.settings_for("a").window == window


@pytest.mark.parametrize(
    ("default", "own", "recovery"),
    [
        ("{strategy: linear, increment: 5}", "{}", Linear(increment=5.0)),
        ("{strategy: linear, increment: 5}", "{max_open: 90}", Linear(increment=5.0, max_open=90.0)),
        ("{strategy: linear, increment: 5, jitter: 0.1}", "{strategy: exponential}", Exponential(jitter=0.1)),
        ("{strategy: exponential, factor: 3}", "{strategy: adaptive}", Adaptive(factor=3.0)),
        ("{strategy: exponential, factor: 3}", "{strategy: exponential}", Exponential(factor=3.0)),
        ("{strategy: exponential, max_open: 90}", "{strategy: fixed}", Fixed(max_open=90.0)),
        ("{jitter: 0.2}", "{max_open: 90}", Fixed(jitter=0.2, max_open=90.0)),
        ("{strategy: linear, max_open: 90}", "{max_open: none}", Linear(max_open=None)),
        ("{strategy: linear, increment: 5}", "{increment: null}", Linear(increment=None)),
    ],
)
def test_recovery_is_inherited_by_key(load: Load, default: str, own: str, recovery: Recovery) -> None:
    config = load(f"defaults: {{recovery: {default}}}\nbreakers: {{a: {{recovery: {own}}}}}")
    assert config.settings_for("a").recovery == recovery


def test_defaults_of_one_strategy_are_not_handed_to_another(load: Load) -> None:
    """Fixed has no cap; an exponential one that the file asks for keeps the cap of its own."""
    config = load("breakers: {a: {recovery: {strategy: exponential}}}")
    assert config.settings_for("a").recovery == Exponential(max_open=600.0)
    assert config.settings_for("a", Settings(recovery=Linear())).recovery == Exponential(max_open=600.0)
    code = Settings(recovery=Linear(max_open=40.0, increment=3.0))
    assert config.settings_for("a", code).recovery == Exponential(max_open=40.0)


def test_strategy_in_code_stays_until_the_file_speaks_of_recovery(load: Load) -> None:
    silent = load("breakers: {a: {open_for: 3}}")
    code = Settings(recovery=after_an_hour)
    assert silent.settings_for("a", code).recovery is after_an_hour
    [row] = [row for row in silent.explain("a", code) if row.field.startswith("recovery")]
    assert row == ("recovery.strategy", "after_an_hour", "code")
    outspoken = load("breakers: {a: {recovery: {jitter: 0.1}}}")
    assert outspoken.settings_for("a", code).recovery == Fixed(jitter=0.1)


def test_randomness_given_in_code_stays_with_its_strategy(load: Load) -> None:
    config = load("breakers: {a: {open_for: 3}}")
    recovery = config.settings_for("a", Settings(recovery=Fixed(jitter=1.0, random=lambda: 1.0))).recovery
    assert isinstance(recovery, Fixed)
    assert recovery.open_duration(3.0, HOUR) == 6.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "breakers: {a: {window: {size: 5, duration: 3}}}",
            "breakers.yaml: breakers.a.window.duration: 3.0: a window has either a size, or a duration and buckets",
        ),
        (
            "breakers: {a: {window: {buckets: 5}}}",
            "breakers.yaml: breakers.a.window.buckets: 5: the window has a size; buckets need a duration",
        ),
        (
            "breakers: {a: {recovery: {strategy: linear, factor: 3}}}",
            "breakers.yaml: breakers.a.recovery.factor: 3.0: the strategy 'linear' (breakers.yaml: "
            "breakers.a.recovery.strategy) has no such key; it has increment, jitter, max_open",
        ),
        (
            "defaults: {recovery: {strategy: linear}}\nbreakers: {a: {recovery: {factor: 3}}}",
            "breakers.yaml: breakers.a.recovery.factor: 3.0: the strategy 'linear' (breakers.yaml: "
            "defaults.recovery.strategy) has no such key; it has increment, jitter, max_open",
        ),
        (
            "breakers: {a: {recovery: {increment: 3}}}",
            "breakers.yaml: breakers.a.recovery.increment: 3.0: the strategy 'fixed' (library default) "
            "has no such key; it has jitter, max_open",
        ),
    ],
)
def test_keys_without_their_window_or_strategy_are_refused(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == message
