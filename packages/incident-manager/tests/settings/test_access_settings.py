"""Tokens in the settings: complete, strong, and never shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.settings import load_settings

STRONG = "s3cret-" + "x" * 40


def test_tokens_are_taken_from_the_file_and_the_environment(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_TOKEN", STRONG)
    monkeypatch.setenv("INCIDENT_MANAGER_TOKENS__PROM__TOKEN", STRONG + "2")
    monkeypatch.setenv("INCIDENT_MANAGER_TOKENS__PROM__ROLES", '["ingest"]')
    settings = load_settings(write("tokens:\n  ops: {roles: [respond], token: '${OPS_TOKEN}'}\nauth: tokens"))
    assert settings.tokens.keys() == {"ops", "prom"}
    assert settings.auth == "tokens"
    assert STRONG not in repr(settings)


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        ("tokens: {ops: {roles: [read]}}", "tokens.ops", "give either token or hash"),
        (f"tokens: {{ops: {{roles: [], token: {STRONG}}}}}", "tokens.ops.roles", "at least 1"),
        (f"tokens: {{ops: {{roles: [root], token: {STRONG}}}}}", "tokens.ops.roles", "'ingest'"),
        (f"tokens: {{ops: {{roles: read, token: {STRONG}}}}}", "tokens.ops.roles", "must be a list"),
        ("tokens: {ops: {roles: [read], token: s3cret-short}}", "tokens.ops.token", "at least 32 printable"),
        (f"tokens: {{ops: {{roles: [read], token: '{STRONG} x'}}}}", "tokens.ops.token", "without spaces"),
        ("tokens: {ops: {roles: [read], hash: s3cret-hash}}", "tokens.ops.hash", "must be sha256:"),
        (f"tokens: {{ops: {STRONG}}}", "tokens.ops", "must be a valid dictionary"),
        (f"tokens: {{OPS: {{roles: [read], token: {STRONG}}}}}", "tokens.OPS", "must be 1 to 63"),
        (f"tokens: {{ops: {{roles: [read], tokn: {STRONG}}}}}", "tokens.ops", "did you mean 'token'"),
        ("auth: maybe", "auth", "'auto', 'tokens' or 'none'"),
        ("access: {rate: {per_second: 0, burst: 1}}", "access.rate.per_second", "greater than 0"),
        ("access: {session_key: s3cret-short}", "access.session_key", "at least 32 printable"),
        ("access: {session_life: 5}", "access.session_life", "greater than or equal to 60"),
        ("access: {max_streams: 0}", "access.max_streams", "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_shown(
    write: Callable[[str], Path], text: str, path: str, rule: str
) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(write(text))
    message = str(caught.value)
    assert path in message
    assert rule in message
    assert "s3cret" not in message
