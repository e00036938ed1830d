"""Who wins: library, code, defaults, group, breaker, environment; a preset counts where it is written."""

import pytest
from packages.recloser.tests.config.conftest import Load

from recloser import Config, Settings, UnknownBreakerError, load_config, presets

# One line per level, each of which says `open_for`, from the farthest to the nearest.
LEVELS = {
    "defaults.preset": "defaults: {preset: cache}",
    "defaults.open_for": "defaults: {preset: cache, open_for: 1}",
    "groups.apis.preset": "groups: {apis: {preset: database}}",
    "groups.apis.open_for": "groups: {apis: {preset: database, open_for: 2}}",
    "breakers.payments.preset": "breakers: {payments: {group: apis, preset: llm_service}}",
    "breakers.payments.open_for": "breakers: {payments: {group: apis, preset: llm_service, open_for: 3}}",
}
WINS = [20.0, 1.0, 10.0, 2.0, 120.0, 3.0]


@pytest.mark.parametrize("count", range(1, 7))
def test_each_level_wins_over_all_farther_ones(load: Load, count: int) -> None:
    chosen: dict[str, str] = {"groups": "groups: {apis: {}}", "breakers": "breakers: {payments: {group: apis}}"}
    for path, line in list(LEVELS.items())[:count]:
        chosen[path.split(".")[0]] = line
    config = load("\n".join(chosen.values()))
    assert config.settings_for("payments").open_for == WINS[count - 1]
    assert source(config, "open_for").startswith(f"breakers.yaml: {list(LEVELS)[count - 1]}")


def test_environment_wins_over_everything(load: Load) -> None:
    config = load("\n".join(list(LEVELS.values())[1::2]), RECLOSER_PAYMENTS__OPEN_FOR="4")
    assert config.settings_for("payments").open_for == 4.0
    assert source(config, "open_for") == "environment: RECLOSER_PAYMENTS__OPEN_FOR"


def test_without_any_word_the_library_decides(load: Load) -> None:
    config = load("breakers: {payments: {}}")
    assert config.settings_for("payments") == Settings()
    assert {row.source for row in config.explain("payments")} == {"library default"}


def test_code_wins_over_the_library_and_loses_to_the_file(load: Load) -> None:
    config = load("defaults: {minimum_calls: 7}\nbreakers: {payments: {open_for: 3}}")
    code = presets.llm_service(minimum_calls=5, ignore=(KeyError,))
    made = config.settings_for("payments", code)
    assert made == code.replace(minimum_calls=7, open_for=3.0)
    sources = {row.field: row.source for row in config.explain("payments", code)}
    assert sources["failure_threshold"] == "code"
    assert sources["minimum_calls"] == "breakers.yaml: defaults.minimum_calls"
    assert sources["max_retry_after"] == "library default"


def test_preset_of_a_breaker_means_all_it_says_even_what_the_library_says_too(load: Load) -> None:
    """5 failures are the library's default as well; `defaults` must not shine through."""
    config = load("defaults: {failure_threshold: 50}\nbreakers: {payments: {preset: http_api}}")
    assert config.settings_for("payments") == presets.http_api()


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_preset_gives_exactly_its_settings(load: Load, name: str) -> None:
    assert load(f"breakers: {{a: {{preset: {name}}}}}").settings_for("a") == presets.PRESETS[name]()


def test_preset_leaves_alone_what_it_does_not_speak_of(load: Load) -> None:
    config = load("defaults: {half_open_timeout: 9, tags: {team: core}}\nbreakers: {a: {preset: cache}}")
    assert config.settings_for("a") == presets.cache(half_open_timeout=9.0, tags={"team": "core"})


def test_group_is_a_tag_as_groups_made_in_code_have_it(load: Load) -> None:
    config = load("groups: {apis: {tags: {team: web}}}\nbreakers: {a: {group: apis, tags: {tier: '1'}}}")
    assert config.settings_for("a").tags == {"team": "web", "tier": "1", "group": "apis"}
    assert source(config, "tags.group", "a") == "breakers.yaml: breakers.a.group"


def test_environment_alone_changes_settings_in_code() -> None:
    config = load_config(None, {"RECLOSER_SEARCH__OPEN_FOR": "2"})
    code = presets.cache()
    assert config.settings_for("search", code) == presets.cache(open_for=2.0)
    assert {row.field: row.source for row in config.explain("search", code)}["open_for"] == (
        "environment: RECLOSER_SEARCH__OPEN_FOR"
    )


def test_breaker_that_the_file_does_not_have_is_refused_with_the_nearest(load: Load) -> None:
    config = load("breakers: {payments: {}, search: {}}")
    with pytest.raises(UnknownBreakerError, match="did you mean 'search'"):
        config.settings_for("serch")
    with pytest.raises(UnknownBreakerError, match="did you mean 'payments'"):
        config.explain("payment")


def source(config: Config, field: str, name: str = "payments") -> str:
    return {row.field: row.source for row in config.explain(name)}[field]
