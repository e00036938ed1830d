import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.domain.severity import Severity
from incident_manager.settings import Settings, SlackDestination, WebhookDestination, load_settings

Write = Callable[..., Path]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()

FULL = """
port: 9000
data_dir: /srv/incidents
destinations:
  ops-slack:
    type: slack
    url: https://hooks.slack.com/services/T/B/X
  pager:
    type: webhook
    url: http://127.0.0.1:9/hook
    secret: ${PAGER_SECRET}
    allow_private: true
    headers: {Authorization: "Bearer ${PAGER_TOKEN}"}
routes:
  - severities: [P0, high]
    destinations: [ops-slack, pager]
breakers:
  "notify:pager": {open_for: 5}
dispatcher:
  batch: 3
"""


def test_without_file_and_environment_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path("data"))
    assert settings == Settings()


def test_yaml_file_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_SECRET", SECRET)
    monkeypatch.setenv("PAGER_TOKEN", "t0ken")
    settings = load_settings(write(FULL))
    slack, pager = settings.destinations["ops-slack"], settings.destinations["pager"]
    assert isinstance(slack, SlackDestination)
    assert isinstance(pager, WebhookDestination)
    assert slack.max_per_second == 1.0
    assert pager.secret is not None
    assert pager.secret.get_secret_value() == SECRET
    assert pager.headers["Authorization"].get_secret_value() == "Bearer t0ken"
    assert settings.routes is not None
    assert settings.routes[0].severities == {Severity.P0, Severity.P1}
    assert (settings.port, settings.dispatcher.batch, settings.dispatcher.lease) == (9000, 3, 60.0)
    assert settings.store_url == "sqlite+aiosqlite:////srv/incidents/incidents.db"


def test_toml_file_is_read(write: Write) -> None:
    text = 'port = 9001\n[destinations.hook]\ntype = "webhook"\nurl = "https://example.org/x"\n'
    settings = load_settings(write(text, "settings.toml"))
    assert settings.port == 9001
    assert settings.destinations["hook"].url.get_secret_value() == "https://example.org/x"


def test_empty_file_is_the_defaults(write: Write) -> None:
    assert load_settings(write("# nothing\n")) == Settings()


def test_command_line_wins_over_environment_and_environment_over_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("port: 1\nhost: file\ndispatcher: {batch: 1, lease: 100}\n")
    monkeypatch.setenv("INCIDENT_MANAGER_PORT", "2")
    monkeypatch.setenv("INCIDENT_MANAGER_HOST", "environment")
    monkeypatch.setenv("INCIDENT_MANAGER_DISPATCHER__BATCH", "2")
    settings = load_settings(path, {"port": 3, "host": None})
    assert (settings.port, settings.host) == (3, "environment")
    assert (settings.dispatcher.batch, settings.dispatcher.lease) == (2, 100)


def test_environment_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_CONFIG", str(write("port: 4\n")))
    assert load_settings().port == 4


def test_structured_value_comes_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_DESTINATIONS", '{"hook": {"type": "webhook", "url": "https://example.org/"}}')
    assert list(load_settings().destinations) == ["hook"]


def test_one_key_of_a_destination_comes_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_DESTINATIONS__HOOK__SECRET", SECRET)
    settings = load_settings(write("destinations: {hook: {type: webhook, url: https://example.org/}}\n"))
    hook = settings.destinations["hook"]
    assert isinstance(hook, WebhookDestination)
    assert hook.secret is not None
    assert hook.secret.get_secret_value() == SECRET


def test_variables_of_kubernetes_service_links_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("INCIDENT_MANAGER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("INCIDENT_MANAGER_SERVICE_PORT_HTTP", "8080")
    monkeypatch.setenv("INCIDENT_MANAGER_PORT_8080_TCP_ADDR", "10.0.0.1")
    assert load_settings() == Settings()


def test_settings_made_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_PORT", "2")
    assert Settings().port == 8080


def test_database_url_replaces_the_embedded_database() -> None:
    settings = load_settings(overrides={"database_url": "sqlite+aiosqlite:////x/y.db"})
    assert settings.store_url == "sqlite+aiosqlite:////x/y.db"


def test_secrets_are_not_in_the_text_of_settings(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_SECRET", SECRET)
    monkeypatch.setenv("PAGER_TOKEN", "t0ken")
    text = repr(load_settings(write(FULL)))
    assert "ops-slack" in text
    for secret in (SECRET, "t0ken", "services/T/B/X", "/hook"):
        assert secret not in text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"absent\.yaml: cannot be read \(No such file"):
        load_settings(tmp_path / "absent.yaml")
