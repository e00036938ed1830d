"""Sessions of browsers: begun with a token, carried by a signed cookie, over when the token is."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, TimestampSigner

from incident_manager.access.directory import TokenDirectory
from incident_manager.access.roles import Role
from incident_manager.access.tokens import Token
from incident_manager.domain.errors import UnauthenticatedError
from recloser import Clock

logger = logging.getLogger(__name__)

KEY_BYTES = 32
_MOST_ENDED = 10_000
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]+")
"""Other characters are left out when it is decoded: many texts would be one signature."""
_SKEW = 60.0
"""Seconds by which the clock of the replica that began a session may be ahead of this one's."""
_OVER = "the session is over: sign in again"


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that has shown a token.

    Attributes:
        id: Random; not secret, for without its signature it opens nothing.
        ends_at: When it is over at the latest, in seconds since 1970.
    """

    id: str
    ends_at: float


class Sessions:
    """Begins, recognises and ends sessions. What a browser keeps of one holds no secret of the token.

    A session is signed with the key and with what is known of its token, so that it ends when the token is revoked,
    expires or gets another secret, and is good in every process that has the same key, also while the database is
    away. Signing out ends it in this process; elsewhere it ends with its time, if somebody kept a copy of the cookie.

    Args:
        directory: The tokens.
        clock: Time.
        key: What signs; at least `KEY_BYTES` random bytes.
        life: Seconds that a session lasts, whatever is done in it.
    """

    def __init__(self, directory: TokenDirectory, clock: Clock, *, key: bytes, life: float) -> None:
        self.life = life
        self._directory = directory
        self._clock = clock
        self._key = key
        self._ended: OrderedDict[str, float] = OrderedDict()

    def begin(self, token_id: str) -> str:
        """Return the text of a new session of a token, for the browser to keep.

        Raises:
            UnauthenticatedError: The token is not good.
        """
        token, _ = self._directory.recognise(token_id)
        return self._signer(token).sign(f"{secrets.token_urlsafe(16)}:{token.id}").decode()

    def resume(self, text: str) -> tuple[Session, Token, frozenset[Role]]:
        """Return the session that a browser shows, its token, and the roles that are granted now.

        Raises:
            UnauthenticatedError: It is none of ours, or is over.
        """
        session_id, _, token_id = text.rsplit(".", 2)[0].partition(":")
        token, roles = self._directory.recognise(token_id)
        if not _SIGNATURE.fullmatch(text.rpartition(".")[2]):
            raise UnauthenticatedError(_OVER, given=True)
        try:
            signed, begun = self._signer(token).unsign(text, return_timestamp=True)
        except BadSignature:
            raise UnauthenticatedError(_OVER, given=True) from None
        if not -_SKEW <= self._clock.time() - begun.timestamp() <= self.life:
            raise UnauthenticatedError(_OVER, given=True)
        if signed.decode() != f"{session_id}:{token_id}" or session_id in self._ended:
            raise UnauthenticatedError(_OVER, given=True)
        return Session(session_id, begun.timestamp() + self.life), token, roles

    def end(self, session: Session) -> None:
        """End a session before its time."""
        now = self._clock.time()
        while self._ended and (len(self._ended) >= _MOST_ENDED or next(iter(self._ended.values())) < now):
            self._ended.popitem(last=False)
        self._ended[session.id] = session.ends_at

    def is_over(self, session: Session) -> bool:
        """Tell whether a session has ended. Its token is another matter."""
        return session.id in self._ended or session.ends_at <= self._clock.time()

    def mark(self, browser: str) -> str:
        """Return what the forms of a browser carry, so that no other web site can send them.

        Args:
            browser: What tells this browser from others: the text of its session, or another secret of its own.
        """
        return hmac.digest(self._key, f"forms of {browser}".encode(), "sha256").hex()

    def _signer(self, token: Token) -> TimestampSigner:
        return _Signer(self._key, token, self._clock)


class _Signer(TimestampSigner):
    """Signs with our clock. The salt makes another secret of the same token another signature."""

    def __init__(self, key: bytes, token: Token, clock: Clock) -> None:
        salt = f"session of a browser: {token.digest}"
        super().__init__(key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        """The present second since 1970."""
        return int(self._clock.time())


def session_key(path: Path) -> bytes:
    """Return the key that signs the sessions: of a file, which is made if there is none.

    Where it can be neither read nor made, the key is a new one, and the sessions end with the process.

    Args:
        path: The file. Whoever can read it can make sessions, so that its owner alone can.
    """
    try:
        key = path.read_bytes() if path.exists() else _made(path)
        if len(key) >= KEY_BYTES:
            return key
        problem = f"it has {len(key)} bytes"
    except OSError as error:
        problem = str(error)
    logger.warning("sessions of browsers will end with this process, the key %s cannot be used: %s", path, problem)
    return secrets.token_bytes(KEY_BYTES)


def _made(path: Path) -> bytes:
    """Make the file, complete from the first moment on; another process may be faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # only its owner can read it
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    return path.read_bytes()
