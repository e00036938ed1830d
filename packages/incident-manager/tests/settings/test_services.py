"""The settings of the LLM-ops services."""

from pathlib import Path

import pytest

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.protection import breaker_table
from incident_manager.settings import load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_each_service_has_a_breaker_that_can_be_tuned(config: Path) -> None:
    config.write_text(
        """
        services:
          sentinel: {url: "http://sentinel.internal", auth: {type: api_key, key: k}}
          edge_agent: {url: "http://edge.internal", model: small}
        breakers:
          sentinel-llm: {open_for: 7}
        """
    )
    settings = load_settings(config)
    table = breaker_table(settings.destinations, settings.breakers, settings.services.present)
    assert table.keys() == {"database", "sentinel-llm", "edge-agent-llm"}
    assert table["sentinel-llm"].open_for == 7
    assert table["edge-agent-llm"].open_for == 120


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {sentinel: {url: 'ftp://x'}}", "services.sentinel.url"),
        ("services: {sentinel: {url: 'http://user:hush@x'}}", "must hold no user name, password"),
        ("services: {sentinel: {url: 'http://x', dialect: klingon}}", "services.sentinel.dialect"),
        ("services: {edge_agent: {url: 'http://x'}}", "services.edge_agent.model"),
        ("services: {governance: {url: 'http://x', frameworks: []}}", "services.governance.frameworks"),
        ("services: {shield: {url: 'http://x', auth: {type: magic}}}", "services.shield.auth.type"),
        ("services: {shields: {url: 'http://x'}}", "did you mean 'shield'"),
        ("assessment: {hold: 4, patience: 3}", "must be 0, or longer than two times patience"),
        ("breakers: {sentinel-llm: {open_for: 7}}", "no such breaker"),
    ],
)
def test_wrong_value_is_named(config: Path, text: str, problem: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(config)
    assert problem in str(caught.value)
    assert "hush" not in str(caught.value)


def test_credentials_are_not_shown(config: Path) -> None:
    config.write_text("services: {shield: {url: 'http://x', auth: {type: bearer, token: hush}}}")
    assert "hush" not in repr(load_settings(config))
