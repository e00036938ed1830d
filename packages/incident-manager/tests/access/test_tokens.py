"""Tokens are recognised by a digest, and open what their roles say."""

from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.access.caller import Caller
from incident_manager.access.control import is_loopback, network_of
from incident_manager.access.roles import Role, granted
from incident_manager.access.tokens import digest_of, new_token, parse_digest

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def test_a_token_shows_its_id_and_keeps_its_secret_to_itself() -> None:
    token, text = new_token("prometheus", frozenset({Role.INGEST}), NOW)
    assert text.startswith(f"im_{token.id}_")
    secret = text.removeprefix(f"im_{token.id}_")
    assert len(secret) == 43  # 256 bits in base64
    assert secret not in repr(token)
    assert token.digest == digest_of(text)


def test_no_two_tokens_are_the_same() -> None:
    made = [new_token("x", frozenset({Role.READ}), NOW)[1] for _ in range(100)]
    assert len(set(made)) == 100


@pytest.mark.parametrize(
    ("given_", "grants"),
    [
        ({Role.INGEST}, {Role.INGEST}),
        ({Role.READ}, {Role.READ}),
        ({Role.RESPOND}, {Role.RESPOND, Role.READ}),
        ({Role.ADMIN}, set(Role)),
        ({Role.INGEST, Role.READ}, {Role.INGEST, Role.READ}),
    ],
)
def test_roles_include_others(given_: set[Role], grants: set[Role]) -> None:
    assert granted(given_) == grants


def test_a_token_is_good_until_it_expires_or_is_revoked() -> None:
    token, _ = new_token("x", frozenset({Role.READ}), NOW, NOW + timedelta(hours=1))
    assert token.problem(NOW + timedelta(minutes=59)) is None
    assert token.problem(NOW + timedelta(hours=1)) == "the token has expired"


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "0" * 64, "md5:" + "0" * 64]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be sha256:"):
        parse_digest(text)


@pytest.mark.parametrize(
    ("claimed", "kept"), [(None, "chat-bot"), ("chat-bot", "chat-bot"), ("ana", "ana (token chat-bot)")]
)
def test_a_token_may_speak_for_others_and_is_named_too(claimed: str | None, kept: str) -> None:
    caller = Caller(token_id="1", name="chat-bot", roles=frozenset(), address="::1")
    assert caller.signature(claimed) == kept


@pytest.mark.parametrize(("claimed", "kept"), [(None, "api"), ("ana", "ana")])
def test_without_a_token_the_claim_stands_alone(claimed: str | None, kept: str) -> None:
    assert Caller(token_id=None, name="api", roles=frozenset(), address="::1").signature(claimed) == kept


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("Localhost.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.evil.org", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_client_counts_by_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
