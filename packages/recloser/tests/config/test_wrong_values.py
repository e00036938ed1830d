"""A wrong value is refused with the file, the path, the value and the rule."""

import pytest
from packages.recloser.tests.config.conftest import Load

from recloser import ConfigError
from recloser.config.schema import KEYS

SECONDS = "must be a finite number of seconds, greater than 0"
SECONDS_OR_ZERO = "must be a finite number of seconds, 0 or more"
COUNT = "must be a whole number, 1 or more"
RATIO = "must be a ratio greater than 0 and at most 1 (0.5 is 50 %)"

WRONG = [
    ("failure_threshold", "0", f"0: {COUNT}, or none"),
    ("failure_threshold", "2.0", f"2.0: {COUNT}, or none"),
    ("failure_threshold", "true", f"True: {COUNT}, or none"),
    ("failure_rate_threshold", "50", f"50: {RATIO}, or none"),
    ("failure_rate_threshold", "50%", f"'50%': {RATIO}, or none"),
    ("slow_call_duration", "-1", f"-1: {SECONDS}, or none"),
    ("slow_call_rate_threshold", ".nan", f"nan: {RATIO}, or none"),
    ("count_in_flight_slow_calls", "1", "1: must be true or false"),
    ("window.size", "0", f"0: {COUNT}"),
    ("window.size", "1000001", "1000001: must be at most 1,000,000 calls"),
    ("window.duration", "none", f"'none': {SECONDS}"),
    ("window.buckets", "1", "1: must be a whole number, 2 or more"),
    ("minimum_calls", "[3]", f"[3]: {COUNT}"),
    ("open_for", "", f"None: {SECONDS_OR_ZERO}"),
    ("open_for", "30s", f"'30s': {SECONDS_OR_ZERO}"),
    ("open_for", ".inf", f"inf: {SECONDS_OR_ZERO}"),
    ("open_for", "1" + "0" * 400, "1000"),
    ("recovery.strategy", "exponentail", "'exponentail': is not a strategy; did you mean 'exponential'?"),
    ("recovery.strategy", "7", "7: is not a strategy; known: fixed, linear, exponential, adaptive"),
    ("recovery.increment", "0", "0: must be greater than 0 seconds, or None for the base time, or none"),
    ("recovery.factor", "'2'", "'2': must be a number"),
    ("recovery.factor", "1", "1: must be greater than 1 (use Fixed for a constant time)"),
    ("recovery.max_open", "true", "True: must be a number, or none"),
    ("recovery.jitter", "1.5", "1.5: must be a ratio between 0 and 1"),
    ("half_open_max_calls", "0", f"0: {COUNT}"),
    ("success_threshold", "two", f"'two': {COUNT}"),
    ("half_open_timeout", "0", f"0: {SECONDS}"),
    ("max_retry_after", "0", f"0: {SECONDS}"),
]


def test_every_setting_is_among_the_wrong_ones() -> None:
    assert {path for path, _, _ in WRONG} == set(KEYS)


@pytest.mark.parametrize("entry", ["defaults", "groups.g", "breakers.b"])
@pytest.mark.parametrize(("path", "value", "problem"), WRONG)
def test_wrong_value_is_refused_wherever_it_is(load: Load, entry: str, path: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(nested(f"{entry}.{path}", value))
    assert (caught.value.source, caught.value.path) == ("breakers.yaml", f"{entry}.{path}")
    if len(value) > 100:
        assert caught.value.problem.endswith(f": {SECONDS_OR_ZERO}")
        assert len(caught.value.problem) < 150
    else:
        assert caught.value.problem == problem


def nested(path: str, value: str) -> str:
    """YAML with one value at a dotted path."""
    first, *rest = path.split(".")
    return f"{first}: " + "".join(f"{{{part}: " for part in rest) + value + "}" * len(rest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "breakers.yaml: [1]: must be a mapping with the keys defaults, groups, breakers"),
        ("breakers: [a]", "breakers.yaml: breakers: ['a']: must be a mapping"),
        ("breakers: {a: 30}", "breakers.yaml: breakers.a: 30: must be a mapping with the keys preset, group, "),
        ("defaults: {window: 100}", "breakers.yaml: defaults.window: 100: must be a mapping with the keys size, "),
        ("breakers: {yes: {}}", "breakers.yaml: breakers: the key True must be a non-empty text (quote it)"),
        ("breakers: {' ': {}}", "breakers.yaml: breakers: the key ' ' must be a non-empty text (quote it)"),
        (
            "defaults: {preset: http}",
            "breakers.yaml: defaults.preset: 'http': is not a preset; did you mean 'http_api'?",
        ),
        ("defaults: {preset: []}", "breakers.yaml: defaults.preset: []: is not a preset; known: http_api, "),
        (
            "groups: {apis: {}}\nbreakers: {a: {group: api}}",
            "breakers.yaml: breakers.a.group: 'api': is not a group of this file; did you mean 'apis'?",
        ),
        ("breakers: {a: {group: [x]}}", "breakers.yaml: breakers.a.group: ['x']: is not a group of this file"),
        (
            "defaults: {tags: {since: 2024-01-01}}",
            "breakers.yaml: defaults.tags.since: datetime.date(2024, 1, 1): must ",
        ),
        (
            "defaults: {tags: {group: x}}",
            "breakers.yaml: defaults.tags.group: 'x': this tag is set by the key `group` ",
        ),
        (
            "breakers: {api.example.com: {tags: {'a b': 1}}}",
            'breakers.yaml: breakers."api.example.com".tags."a b": 1: must be text (quote it)',
        ),
    ],
)
def test_wrong_shape_is_refused(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(message)


def test_combination_is_refused_where_its_values_were_given(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            "defaults: {minimum_calls: 50, failure_rate_threshold: 0.5}\nbreakers: {a: {}}",
            RECLOSER_A__WINDOW__SIZE="20",
        )
    assert str(caught.value) == (
        "breakers.yaml: defaults.minimum_calls: 50: must be at most window.size=20, or no rate could ever be reached "
        "(window.size is from environment: RECLOSER_A__WINDOW__SIZE) (for breakers.a)"
    )


def test_combination_with_a_library_default_names_the_breaker(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("breakers: {a: {failure_rate_threshold: 0.5, window: {size: 5}}}")
    assert (caught.value.source, caught.value.path) == ("breakers.yaml", "breakers.a")
    assert caught.value.problem == (
        "minimum_calls=10 (library default): must be at most window.size=5, or no rate could ever be reached "
        "(window.size is from breakers.yaml: breakers.a.window.size)"
    )


def test_combination_with_a_preset_says_so(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("breakers: {a: {preset: llm_service, recovery: {max_open: 60}}}")
    assert str(caught.value) == (
        "breakers.yaml: breakers.a.preset: 120.0 (open_for of preset llm_service): must be at most "
        "recovery.max_open=60.0 seconds (recovery.max_open is from breakers.yaml: breakers.a.recovery.max_open)"
    )


def test_defaults_need_not_be_complete_by_themselves(load: Load) -> None:
    config = load("defaults: {slow_call_rate_threshold: 0.5}\nbreakers: {a: {slow_call_duration: 2}}")
    assert config.settings_for("a").slow_call_rate_threshold == 0.5
