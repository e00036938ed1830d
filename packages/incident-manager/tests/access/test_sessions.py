"""Sessions of browsers: signed, bounded in time, over when their token is."""

import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.access.directory import TokenDirectory
from incident_manager.access.roles import Role
from incident_manager.access.sessions import KEY_BYTES, Sessions, session_key
from incident_manager.access.tokens import Token, new_token
from incident_manager.domain.errors import UnauthenticatedError
from incident_manager.store.database import Store
from recloser import CircuitBreaker
from recloser.testing import FakeClock

LIFE = 3600.0
KEY = b"k" * KEY_BYTES
CLOCK = FakeClock()


def moment(clock: FakeClock) -> datetime:
    return datetime.fromtimestamp(clock.time(), UTC)


def sessions_of(*tokens: Token, clock: FakeClock = CLOCK, key: bytes = KEY) -> Sessions:
    """The sessions of a process whose settings have these tokens."""
    store = Store("sqlite:///never-opened.db", CircuitBreaker("database"))
    directory = TokenDirectory(store, clock, tokens, refresh=5, stale_after=3600)
    return Sessions(directory, clock, key=key, life=LIFE)


ANA, _ = new_token("ana", frozenset({Role.RESPOND}), moment(CLOCK))
BEN, _ = new_token("ben", frozenset({Role.READ}), moment(CLOCK))


def test_session_is_resumed_until_its_time_is_over() -> None:
    clock = FakeClock()
    sessions = sessions_of(ANA, clock=clock)
    text = sessions.begin(ANA.id)
    clock.advance(LIFE - 1)
    session, token, roles = sessions.resume(text)
    assert (token, roles) == (ANA, {Role.RESPOND, Role.READ})
    assert not sessions.is_over(session)
    clock.advance(2)
    assert sessions.is_over(session)
    with pytest.raises(UnauthenticatedError):
        sessions.resume(text)


def test_session_of_a_replica_whose_clock_is_a_little_ahead_is_good() -> None:
    ahead, behind = FakeClock(), FakeClock()
    ahead.advance(3)
    text = sessions_of(ANA, clock=ahead).begin(ANA.id)
    assert sessions_of(ANA, clock=behind).resume(text)[1] == ANA
    ahead.advance(3600)
    with pytest.raises(UnauthenticatedError):
        sessions_of(ANA, clock=behind).resume(sessions_of(ANA, clock=ahead).begin(ANA.id))


def test_ended_session_is_over_at_once_and_others_go_on() -> None:
    sessions = sessions_of(ANA)
    text, other = sessions.begin(ANA.id), sessions.begin(ANA.id)
    session, _, _ = sessions.resume(text)
    sessions.end(session)
    assert sessions.is_over(session)
    with pytest.raises(UnauthenticatedError):
        sessions.resume(text)
    assert sessions.resume(other)


def test_session_is_good_wherever_the_key_is_the_same() -> None:
    text = sessions_of(ANA).begin(ANA.id)
    assert sessions_of(ANA).resume(text)[1] == ANA
    with pytest.raises(UnauthenticatedError):
        sessions_of(ANA, key=b"x" * KEY_BYTES).resume(text)


@pytest.mark.parametrize(
    "changed",
    [
        lambda token: {"revoked_at": token.created_at},
        lambda token: {"expires_at": token.created_at},
        lambda token: {"digest": "0" * 64},
        lambda token: {"id": "000000000000"},
    ],
    ids=["revoked", "expired", "another secret", "gone"],
)
def test_session_ends_with_its_token(changed: Callable[[Token], dict[str, object]]) -> None:
    text = sessions_of(ANA).begin(ANA.id)
    with pytest.raises(UnauthenticatedError):
        sessions_of(replace(ANA, **changed(ANA))).resume(text)  # type: ignore[arg-type]


def test_session_of_one_token_is_none_of_another() -> None:
    sessions = sessions_of(ANA, BEN)
    text = sessions.begin(BEN.id)
    with pytest.raises(UnauthenticatedError):
        sessions.resume(text.replace(BEN.id, ANA.id))


@given(st.text(max_size=60), st.integers(0, 120))
def test_whatever_else_is_shown_opens_nothing(text: str, position: int) -> None:
    sessions = sessions_of(ANA)
    good = sessions.begin(ANA.id)
    position %= len(good) - 1  # of the last character of base64 some bits mean nothing
    forged = good[:position] + text + good[position + 1 :]
    for shown in (text, forged):
        if shown != good:
            with pytest.raises(UnauthenticatedError):
                sessions.resume(shown)


def test_signature_has_one_spelling() -> None:
    sessions = sessions_of(ANA)
    good = sessions.begin(ANA.id)
    for other in (f"{good[:-5]} {good[-5:]}", f"{good[:-5]}é{good[-5:]}", f"{good}="):
        with pytest.raises(UnauthenticatedError):
            sessions.resume(other)


def test_mark_of_forms_tells_browsers_and_keys_apart() -> None:
    sessions = sessions_of(ANA)
    assert sessions.mark("a") == sessions.mark("a")
    assert len({sessions.mark("a"), sessions.mark("b"), sessions_of(ANA, key=b"x" * KEY_BYTES).mark("a")}) == 3


def test_key_is_made_once_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "data/session.key"
    key = session_key(path)
    assert len(key) == KEY_BYTES
    assert session_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_key_that_cannot_be_kept_is_good_for_this_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "short.key").write_bytes(b"short")
    (tmp_path / "file").touch()
    for path in (tmp_path / "short.key", tmp_path / "file/session.key"):
        assert len(session_key(path)) == KEY_BYTES
        assert session_key(path) != session_key(path)
    assert "sessions of browsers will end with this process" in caplog.text


def test_lately_ended_sessions_are_remembered_no_longer_than_they_would_have_lasted() -> None:
    clock = FakeClock()
    sessions = sessions_of(ANA, clock=clock)
    first, _, _ = sessions.resume(sessions.begin(ANA.id))
    sessions.end(first)
    clock.advance(timedelta(seconds=LIFE + 1).total_seconds())
    second, _, _ = sessions.resume(sessions.begin(ANA.id))
    sessions.end(second)
    assert sessions.is_over(first)
    assert sessions.is_over(second)
