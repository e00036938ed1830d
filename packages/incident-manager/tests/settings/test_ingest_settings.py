"""Settings of the ways in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.settings import load_settings

Write = Callable[..., Path]


def test_alerts_hold_for_five_minutes_and_sentinel_need_not_sign_by_default() -> None:
    ingest = load_settings().ingest
    assert (ingest.resolve_timeout, ingest.sentinel_secret) == (300.0, None)


def test_sentinels_secret_comes_from_the_environment_and_is_not_in_the_text_of_settings(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_SECRET", "s3cret")
    settings = load_settings(write("ingest: {sentinel_secret: '${SENTINEL_SECRET}', resolve_timeout: 60}"))
    assert settings.ingest.sentinel_secret is not None
    assert settings.ingest.sentinel_secret.get_secret_value() == "s3cret"
    assert settings.ingest.resolve_timeout == 60.0
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ingest: {sentinel_secret: ''}", "ingest.sentinel_secret: must not be blank"),
        ("ingest: {sentinel_secret: [s3cret]}", "ingest.sentinel_secret: must be a valid string"),
        ("ingest: {resolve_timeout: 0}", "ingest.resolve_timeout: must be greater than 0; given 0"),
        ("ingest: {resolve_timout: 5}", "ingest.resolve_timout: unknown key; did you mean 'resolve_timeout'?"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(write: Write, text: str, expected: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(write(text))
    assert expected in str(caught.value)
    assert "s3cret" not in str(caught.value)
