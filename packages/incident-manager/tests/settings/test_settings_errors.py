"""Every refusal names the file, the key, the value (unless it is secret) and the rule."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.config_positions import yaml_positions
from incident_manager.settings import load_settings

Write = Callable[..., Path]
HOOK = "destinations: {hook: {type: webhook, url: https://example.org/}}\n"


def refusal(path: Path | None) -> str:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port: 70000", "port: must be less than or equal to 65535; given 70000"),
        ("port: [1]", "port: must be a valid integer; given [1]"),
        ("prot: 1", "prot: unknown key; did you mean 'port'? known keys: access, "),
        ("dispatcher: {batch: 0}", "dispatcher.batch: must be greater than or equal to 1; given 0"),
        ("dispatcher: {bach: 1}", "dispatcher.bach: unknown key; did you mean 'batch'?"),
        ("dispatcher: {poll: .inf}", "dispatcher.poll: must be a finite number; given inf"),
        ("dispatcher: {lease: 5}", "dispatcher: lease (5 s) must be longer than send_timeout (10 s)"),
        ("dispatcher: {backoff_max: 0.5}", "dispatcher: backoff_max (0.5 s) must not be below backoff_base"),
        ("destinations: {hook: {type: webhook}}", "destinations.hook.url: is required"),
        ("destinations: {hook: {url: 'https://x.org/'}}", "destinations.hook.type: is required"),
        (
            "destinations: {hook: {type: fax, url: 'https://x.org/'}}",
            "destinations.hook.type: must be one of 'webhook', 'slack', 'slack_api', 'pagerduty', 'email'; given 'fax'",
        ),
        (
            "destinations: {Hook: {type: webhook, url: 'https://x.org/'}}",
            "destinations.Hook: must be 1 to 63 of a-z, 0-9, '.', '_' and '-', not a mark first; given 'Hook'",
        ),
        (
            "destinations: {hook: {type: slack, url: 'https://x.org/', secret: s}}",
            "destinations.hook.secret: unknown key; known keys: allow_private, max_per_second, pages, templates, ",
        ),
        (HOOK + "routes: [{severities: [P0], destinations: [hok]}]", "routes[0].destinations[0]: must be the name"),
        (HOOK + "routes: [{severities: [P9], destinations: [hook]}]", "routes[0].severities: 'P9' is not a severity"),
        (HOOK + "routes: [{severities: P0, destinations: [hook]}]", "routes[0].severities: must be a list; given 'P0'"),
        (HOOK + "routes: [{destination: [hook]}]", "routes[0].destination: unknown key; did you mean 'destinations'?"),
        (HOOK + "breakers: {'notify:hok': {}}", "breakers.notify:hok: no such breaker; did you mean 'notify:hook'?"),
        ("breakers: {database: {open_for: -1}}", "breakers.database.open_for: must be a finite number of seconds"),
        ("breakers: {database: {open_four: 1}}", "breakers.database.open_four: is not a setting of a breaker; did you"),
        ("breakers: {database: {window: 5}}", "breakers.database.window: must be {calls: number} or {seconds: number}"),
        ("breakers: {database: {window: {calls: 0}}}", "breakers.database.window.size: must be a whole number, 1 or"),
        ("breakers: {database: {preset: fast}}", "breakers.database.preset: must be one of cache, database, http_api"),
        (
            HOOK + "rotations: {r: {people: [hok], zone: UTC, first: 2026-01-05}}",
            "rotations.r.people[0]: must be the na",
        ),
        (HOOK + "rotations: {hook: {people: [hook], zone: UTC, first: 2026-01-05}}", "rotations.hook: must not be the"),
        (
            HOOK + "rotations: {r: {people: [hook], zone: Berlin, first: 2026-01-05}}",
            "rotations.r.zone: must be a time",
        ),
        ("grouping: [{name: a, labels: []}]", "grouping[0].labels: must have at least 1 item"),
        ("grouping: [{name: a, labels: [x, x]}]", "grouping[0].labels: names 'x' twice"),
        ("grouping: [{name: a, labels: [x]}, {name: a, labels: [y]}]", "grouping[1].name: must be of one rule only"),
        ("grouping: [{name: a, labels: [x], notify: some}]", "grouping[0].notify: must be 'first' or 'all'; given 'so"),
        ("port: 1\nport: 2", "the key 'port' occurs twice"),
        ("port: [1", ":1:9: is not valid YAML (expected ',' or ']'"),
        ("- port", "must hold keys and values at the top level, not a list"),
        (
            "host: ${NO_SUCH_VARIABLE_HERE}",
            "host: needs the environment variable NO_SUCH_VARIABLE_HERE, which is not set",
        ),
    ],
)
def test_mistake_in_a_file(write: Write, text: str, expected: str) -> None:
    path = write(text)
    message = refusal(path)
    assert re.match(re.escape(str(path)) + r":(\d+:\d+:)? ", message)
    assert expected in message


YAML = """\
port: 1
destinations:
  hook:
    type: webhook
    url: https://example.org/
routes:
  - destinations: [hook]
    escalation: [{after: 5, destinations: [hook, hok]}]
dispatcher: {batch: 0,
  bach: 1}
"""
TOML = """\
# A comment
port = 1
text = '''
host = 5
'''

[destinations.hook]
type = "webhook"
  url = "https://example.org/"

[[routes]]
destinations = ["hook"]
[[routes]]
destinations = [
  "hook",  # [not.a.table]
]
escalation = [{after = 5, destinations = ["hok"]}]

[dispatcher]
batch = 0
"""


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (
            YAML,
            "settings.yaml",
            ["8:50: routes[0].escalation[0].destinations[1]: must be the name", "9:14: dispatcher.batch"],
        ),
        (YAML, "settings.yaml", ["10:3: dispatcher.bach: unknown key"]),
        (
            TOML,
            "settings.toml",
            ["3:1: text: unknown key", "17:27: routes[1].escalation[0].destinations[0]: must be the"],
        ),
        (TOML, "settings.toml", ["20:1: dispatcher.batch: must be greater than or equal to 1; given 0"]),
        ("port = 1\nport = 2\n", "settings.toml", ["2:9: is not valid TOML"]),
        ("port = 1\nhost = [1,\n", "settings.toml", ["is not valid TOML: it ends too early"]),
        ("[dispatcher]\nlease = 5\n", "settings.toml", ["1:1: dispatcher: lease (5 s) must be longer"]),
        ("a: 1\nhost: ${NO_SUCH}\n", "settings.yaml", ["2:1: host: needs the environment variable NO_SUCH"]),
        ("destinations:\n  hook: {type: webhook}\n", "settings.yaml", ["2:3: destinations.hook.url: is required"]),
        ("port: 1\n\nport: 2\n", "settings.yaml", ["3:1: is not valid YAML (the key 'port' occurs twice)"]),
    ],
    ids=str,
)
def test_mistake_is_named_with_line_and_column(write: Write, text: str, name: str, expected: list[str]) -> None:
    path = write(text, name)
    message = refusal(path)
    for part in expected:
        assert f"{path}:{part}" in message or f"{path}: {part}" in message


def test_value_of_the_environment_is_named_without_a_line(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_PORT", "70000")
    assert refusal(write("port: 1")).startswith("environment variable INCIDENT_MANAGER_PORT: port: must be less")


TEXTS = st.text("ab\"'\n#[]={}", max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.booleans() | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_every_key_of_a_file_has_a_position(values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values, allow_unicode=True)
    lines = text.splitlines()
    positions = yaml_positions(text)
    for key in values:
        assert 1 <= positions[key,].line <= len(lines)
    assert set(values) == {path[0] for path in positions}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://SECRET.org/", "must be a http:// or https:// URL with a host"),
        ("/SECRET", "must be a http:// or https:// URL with a host"),
        ("https://user:SECRET@example.org/", "must not hold a user name or password; use headers"),
        ("http://10.0.0.1/SECRET", "leads to a private or reserved address; set allow_private: true"),
        ("http://[::ffff:127.0.0.1]/SECRET", "leads to a loopback address"),
        ("http://2130706433/SECRET", "leads to a loopback address"),
        ("http://localhost:80/SECRET", "leads to this machine itself"),
        ("http://169.254.169.254/SECRET", "leads to a cloud metadata address"),
    ],
)
def test_unusable_url_is_refused_and_not_repeated(write: Write, url: str, expected: str) -> None:
    message = refusal(write(f"destinations: {{hook: {{type: webhook, url: '{url}'}}}}"))
    assert f"destinations.hook.url: {expected}" in message
    assert "SECRET" not in message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("secret: SECRET", "secret"),
        ("secret: whsec_SECRET", "secret"),
        ("secert: SECRET", "secert"),
        ("headers: {Webhook-Id: SECRET}", "headers"),
        ("headers: {'a b': SECRET}", "headers"),
        ('headers: {x: "SECRET\\r\\ny: z"}', "headers"),
        ("secret: [SECRET]", "secret"),
    ],
)
def test_refusal_of_a_secret_names_the_key_and_not_the_secret(write: Write, line: str, key: str) -> None:
    message = refusal(write(f"destinations:\n  hook:\n    type: webhook\n    url: https://x.org/\n    {line}\n"))
    assert f"destinations.hook.{key}" in message
    assert "SECRET" not in message


def test_broken_file_is_not_quoted(write: Write) -> None:
    for name, text in (("s.yaml", "secret: 'SECRET\nport: 1"), ("s.toml", "secret = 'SECRET\n")):
        message = refusal(write(text, name))
        assert "is not valid" in message
        assert "SECRET" not in message


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    message = refusal(write("port: -1\nhots: x\ndispatcher: {batch: many}\n"))
    assert len(message.splitlines()) == 3


def test_variable_is_named_when_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_DISPATCHER__BATCH", "many")
    assert refusal(None).startswith(
        "environment variable INCIDENT_MANAGER_DISPATCHER__BATCH: dispatcher.batch: must be"
    )


def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_DATADIR", "/x")
    assert "INCIDENT_MANAGER_DATADIR: unknown key; did you mean 'data_dir'?" in refusal(None)


def test_variable_that_is_not_json_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT_MANAGER_DESTINATIONS", "{SECRET")
    assert refusal(None) == "environment variable INCIDENT_MANAGER_DESTINATIONS: must be JSON"


def test_command_line_is_named_when_it_is_wrong(write: Write) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(write("port: 1"), {"port": 70000})
    assert str(caught.value).startswith("command line: port: must be less than or equal to 65535; given 70000")


def test_file_of_another_kind_is_refused(write: Write) -> None:
    assert refusal(write("", "settings.ini")).endswith("must be named .yaml, .yml or .toml")
