"""Variables `RECLOSER_<NAME>__<FIELD>`: how names are spelt, what is refused, what is left alone."""

import pytest
from packages.recloser.tests.config.conftest import Load

from recloser import CircuitBreaker, ConfigError, CountWindow, Exponential, Registry, Settings, TimeWindow, load_config
from recloser.config.schema import KEYS

FILE = "breakers: {payments: {}, api.example.com: {}, größe-2: {}}"


@pytest.mark.parametrize(
    ("field", "text", "changes"),
    [
        ("FAILURE_THRESHOLD", "7", {"failure_threshold": 7}),
        ("FAILURE_THRESHOLD", " 7 ", {"failure_threshold": 7}),
        ("FAILURE_RATE_THRESHOLD", "0.25", {"failure_rate_threshold": 0.25}),
        ("SLOW_CALL_DURATION", "2", {"slow_call_duration": 2.0}),
        ("SLOW_CALL_DURATION", "none", {"slow_call_duration": None}),
        ("WINDOW__SIZE", "50", {"window": CountWindow(50)}),
        ("WINDOW__DURATION", "1.5", {"window": TimeWindow(1.5)}),
        ("MINIMUM_CALLS", "3", {"minimum_calls": 3}),
        ("OPEN_FOR", "0", {"open_for": 0.0}),
        ("OPEN_FOR", "1e2", {"open_for": 100.0}),
        ("HALF_OPEN_TIMEOUT", "5", {"half_open_timeout": 5.0}),
        ("HALF_OPEN_MAX_CALLS", "5", {"half_open_max_calls": 5}),
        ("SUCCESS_THRESHOLD", "5", {"success_threshold": 5}),
        ("MAX_RETRY_AFTER", "60", {"max_retry_after": 60.0}),
        ("RECOVERY__STRATEGY", "exponential", {"recovery": Exponential()}),
        ("TAGS__TEAM", "Search & Co", {"tags": {"team": "Search & Co"}}),
    ],
)
def test_variable_changes_its_setting_and_no_other(
    load: Load, field: str, text: str, changes: dict[str, object]
) -> None:
    config = load(FILE, **{f"RECLOSER_PAYMENTS__{field}": text})
    assert config.settings_for("payments") == Settings().replace(**changes)
    assert config.settings_for("api.example.com") == Settings()


def test_nested_variables_change_single_keys(load: Load) -> None:
    config = load(
        "breakers: {a: {recovery: {strategy: exponential, factor: 3, max_open: 900}, window: {duration: 60}}}",
        RECLOSER_A__RECOVERY__MAX_OPEN="120",
        RECLOSER_A__RECOVERY__JITTER="0.2",
        RECLOSER_A__WINDOW__BUCKETS="6",
    )
    assert config.settings_for("a").recovery == Exponential(factor=3.0, max_open=120.0, jitter=0.2)
    assert config.settings_for("a").window == TimeWindow(60.0, 6)


def test_flags_are_words_of_any_case(load: Load) -> None:
    slow = {"RECLOSER_PAYMENTS__SLOW_CALL_DURATION": "1", "RECLOSER_PAYMENTS__SLOW_CALL_RATE_THRESHOLD": "1"}
    for text, value in {"true": True, "TRUE": True, "False": False}.items():
        config = load(FILE, RECLOSER_PAYMENTS__COUNT_IN_FLIGHT_SLOW_CALLS=text, **slow)
        assert config.settings_for("payments").count_in_flight_slow_calls is value


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("payments", "RECLOSER_PAYMENTS__OPEN_FOR"),
        ("api.example.com", "RECLOSER_API_EXAMPLE_COM__OPEN_FOR"),
        ("größe-2", "RECLOSER_GR_SSE_2__OPEN_FOR"),  # a small sharp s is two letters in upper case
        ("a--b", "RECLOSER_A__B__OPEN_FOR"),
        ("window", "RECLOSER_WINDOW__OPEN_FOR"),
        ("-", "RECLOSER____OPEN_FOR"),
    ],
)
def test_every_other_character_is_an_underscore(load: Load, name: str, variable: str) -> None:
    config = load(f"breakers: {{'{name}': {{}}}}", **{variable: "3"})
    assert config.settings_for(name).open_for == 3.0
    assert config.unmatched == []


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("RECLOSER_PAYMENTS__OPEN_FOR", "30s", "'30s': must be a finite number of seconds, 0 or more"),
        ("RECLOSER_PAYMENTS__OPEN_FOR", "inf", "inf: must be a finite number of seconds, 0 or more"),
        ("RECLOSER_PAYMENTS__OPEN_FOR", "none", "'none': must be a finite number of seconds, 0 or more"),
        ("RECLOSER_PAYMENTS__OPEN_FOR", " ", "is empty; unset it to override nothing"),
        ("RECLOSER_PAYMENTS__MINIMUM_CALLS", "2.5", "'2.5': must be a whole number, 1 or more"),
        ("RECLOSER_PAYMENTS__COUNT_IN_FLIGHT_SLOW_CALLS", "1", "'1': must be true or false"),
        ("RECLOSER_PAYMENTS__OPENFOR", "3", "'OPENFOR' is not a setting; did you mean RECLOSER_PAYMENTS__OPEN_FOR?"),
        (
            "RECLOSER_PAYMENTS__RECOVERY__MAXOPEN",
            "3",
            "'RECOVERY__MAXOPEN' is not a setting; did you mean RECLOSER_PAYMENTS__RECOVERY__MAX_OPEN?",
        ),
        ("RECLOSER_PAYMENTS__QQQ", "3", "'QQQ' is not a setting; known: FAILURE_THRESHOLD, "),
        ("RECLOSER_PAYMENTS__", "3", "'' is not a setting; known: FAILURE_THRESHOLD, "),
        ("RECLOSER___OPEN_FOR", "3", "'OPEN_FOR' is not a setting; known: FAILURE_THRESHOLD, "),
        ("RECLOSER_OTHER__OPENFOR", "3", "'OPENFOR' is not a setting; did you mean RECLOSER_OTHER__OPEN_FOR?"),
        ("RECLOSER_PAYMENTS__open_for", "3", "'open_for' is not a setting; did you mean RECLOSER_PAYMENTS__OPEN_FOR?"),
        ("RECLOSER_payments__OPEN_FOR", "3", "must be in upper case"),
        ("RECLOSER_PAYMENTS__TAGS__", "3", "'TAGS__' is not a setting; "),
        ("RECLOSER_PAYMENTS__TAGS__GROUP", "apis", "presets and groups are chosen in the file; "),
        ("RECLOSER_PAYMENTS__PRESET", "cache", "presets and groups are chosen in the file; override single settings"),
        ("RECLOSER_PAYMENTS__GROUP", "apis", "presets and groups are chosen in the file; override single settings"),
        ("RECLOSER_PAYMENTS_OPEN_FOR", "3", "overrides nothing; did you mean RECLOSER_PAYMENTS__OPEN_FOR?"),
        (
            "RECLOSER_API_EXAMPLE_COM_RECOVERY__JITTER",
            "3",
            "'JITTER' is not a setting; did you mean ",
        ),
    ],
)
def test_wrong_variable_is_refused(load: Load, variable: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(FILE, **{variable: text})
    assert (caught.value.source, caught.value.path) == ("environment", variable)
    assert caught.value.problem.startswith(problem)


def test_contradicting_variables_are_refused(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"RECLOSER_PAYMENTS__WINDOW__DURATION: 3\.0: a window has either"):
        load(FILE, RECLOSER_PAYMENTS__WINDOW__SIZE="3", RECLOSER_PAYMENTS__WINDOW__DURATION="3")


@pytest.mark.parametrize(
    "variable", ["RECLOSER_KERNEL", "RECLOSER_HOME", "RECLOSERS__OPEN_FOR", "recloser_payments__open_for", "PATH"]
)
def test_other_variables_are_left_alone(load: Load, variable: str) -> None:
    config = load(FILE, **{variable: "python"})
    assert config.settings_for("payments") == Settings()
    assert config.unmatched == []


def test_variable_that_means_two_breakers_is_refused(load: Load) -> None:
    text = "breakers: {a-b: {}, a.b: {}, c: {}}"
    assert load(text, RECLOSER_C__OPEN_FOR="3").names == ["a-b", "a.b", "c"]
    with pytest.raises(ConfigError) as caught:
        load(text, RECLOSER_A_B__OPEN_FOR="3")
    assert str(caught.value) == (
        "environment: RECLOSER_A_B__OPEN_FOR: means the breakers 'a-b' and 'a.b'; rename one of them"
    )


def test_variable_for_a_breaker_outside_the_file_waits_for_it(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    config = load(FILE, RECLOSER_SEARCH__OPEN_FOR="3", RECLOSER_SERCH__OPEN_FOR="4")
    assert config.unmatched == ["RECLOSER_SEARCH__OPEN_FOR", "RECLOSER_SERCH__OPEN_FOR"]
    registry = Registry()
    search = registry.get_or_create("search", Settings(minimum_calls=3))
    assert "search" in config.apply(registry)
    assert search.settings == Settings(minimum_calls=3, open_for=3.0)
    assert [record.getMessage() for record in caplog.records] == [
        "RECLOSER_SERCH__OPEN_FOR overrides no breaker of the file or the registry"
    ]


def test_variable_that_means_two_breakers_of_the_registry_is_refused_before_anything_changes(load: Load) -> None:
    registry = Registry()
    registry.add(CircuitBreaker("api-example-com"))
    config = load(FILE, RECLOSER_API_EXAMPLE_COM__OPEN_FOR="3")
    with pytest.raises(ConfigError, match=r"'api\.example\.com' and 'api-example-com'"):
        config.apply(registry)
    assert [breaker.name for breaker in registry] == ["api-example-com"]


def test_process_environment_is_asked_by_default(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    load(FILE)
    monkeypatch.setenv("RECLOSER_PAYMENTS__OPEN_FOR", "3")
    assert load_config("breakers.yaml").settings_for("payments").open_for == 3.0


def test_every_setting_can_be_overridden() -> None:
    for name in KEYS:
        variable = f"RECLOSER_A__{name.upper().replace('.', '__')}"
        with pytest.raises(ConfigError, match=f"environment: {variable}: '!': "):
            load_config(None, {variable: "!"})
