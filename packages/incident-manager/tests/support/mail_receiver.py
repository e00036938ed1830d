"""A real mail server (aiosmtpd) that a test controls: it keeps messages, refuses by a script, hangs up and hangs."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections import deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HANG = "hang"
"""A reply: never answer."""
DROP = "drop"
"""A reply: end the connection without a word."""


@dataclass(frozen=True)
class Mail:
    """One message the server has taken."""

    recipients: list[str]
    raw: bytes
    secured: bool

    @property
    def content(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)

    def part(self, subtype: str) -> str:
        """The text of one alternative."""
        [part] = [part for part in self.content.walk() if part.get_content_type() == f"text/{subtype}"]
        return str(part.get_content())


class _Session(SMTP):
    """Remembers its transports: the plain one, and the one after STARTTLS."""

    transports: list[Any]

    def connection_made(self, transport: Any) -> None:
        self.transports.append(transport)
        super().connection_made(transport)


class MailReceiver:
    """Listens on 127.0.0.1, on a free port. Takes everything that `recipients` and `messages` do not say otherwise.

    Args:
        security: As in the settings.
        tls: The server's certificate.
        login: Name and password that are asked for.
    """

    def __init__(
        self,
        security: Literal["none", "starttls", "tls"] = "none",
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.mails: list[Mail] = []
        self.recipients: dict[str, deque[str]] = {}
        """Replies to each address, one a time it is named."""
        self.messages: deque[str] = deque()
        """Replies to messages."""
        self.named: list[str] = []
        """Addresses that were named, in order, refused ones too."""
        self.connections = 0
        self.port = 0
        self._security = security
        self._tls = tls
        self._login = login
        self._server: asyncio.Server | None = None
        self._ended = asyncio.Event()
        self._sessions: list[SMTP] = []
        self._transports: list[Any] = []

    async def __aenter__(self) -> MailReceiver:
        secured = self._tls if self._security == "tls" else None
        self._server = await asyncio.get_running_loop().create_server(
            self._session, "127.0.0.1", self.port, ssl=secured
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()

    async def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server is None:
            return
        self._ended.set()
        self._server.close()
        # A session whose STARTTLS failed forgets its transport, and nothing else ends its handler.
        for transport in self._transports:
            transport.abort()
        handlers = [session._handler_coroutine for session in self._sessions if session._handler_coroutine is not None]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)  # the loop drops a connection one round after it was aborted
        self._server = None

    def _session(self) -> SMTP:
        self.connections += 1
        more: dict[str, Any] = {}
        if self._security == "starttls":
            more |= {"tls_context": self._tls, "require_starttls": True}
        if self._login is not None:
            more |= {"authenticator": self._authenticate, "auth_required": True}
        if self._security != "starttls":
            more["auth_require_tls"] = False  # aiosmtpd knows of STARTTLS only
        with warnings.catch_warnings(action="ignore"):
            session = _Session(self, hostname="mail.example.test", loop=asyncio.get_running_loop(), **more)
        session.transports = self._transports
        self._sessions.append(session)
        return session

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._login, handled=False)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.named.append(address)
        replies = self.recipients.get(address)
        reply = replies.popleft() if replies else "250 OK"
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return await self._say(reply, server)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = self.messages.popleft() if self.messages else "250 OK"
        if reply.startswith("250"):
            secured = session.ssl is not None or self._security == "tls"
            self.mails.append(Mail(list(envelope.rcpt_tos), envelope.original_content or b"", secured))
        return await self._say(reply, server)

    async def _say(self, reply: str, server: SMTP) -> str:
        if reply == HANG:
            await self._ended.wait()
        if reply == DROP:
            server.transport.abort()
        return reply if reply[:1].isdigit() else "421 over"
