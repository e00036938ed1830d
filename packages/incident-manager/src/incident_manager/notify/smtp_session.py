"""One conversation with a mail server: connect to a checked address, secure it, log in, hand over one message.

SMTP is RFC 5321: an answer of 4xx is about now, one of 5xx about ever. What a server answers before it has heard the
sender's address is about the session and not about the message, so there 5xx too may be otherwise later: a password
that is put right delivers what waits.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.ssrf import Resolver, checked_addresses, resolve
from incident_manager.notify.wording import cut, one_line

_CONNECTING = "connecting"
_SHOWN = 200
_UNAVAILABLE = 421
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mail is handed over, and how.

    Args:
        host: Its name, which its certificate must carry, or its address.
        port: Its port.
        starttls: Whether the connection is secured by STARTTLS; it is not used unless it can be.
        tls: Trust for TLS; None without TLS.
        username: Who logs in; None without.
        password: The password.
        allow_private: Whether it may stand at a private or loopback address.
        timeout: Seconds for the whole conversation.
        resolver: Where addresses come from.
    """

    host: str
    port: int
    starttls: bool = False
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    allow_private: bool = False
    timeout: float = 10.0
    resolver: Resolver = resolve


@dataclass
class Outcome:
    """What became of each recipient.

    Attributes:
        accepted: Those the server has taken responsibility for.
        deferred: Those it does not take now, with its answer.
        refused: Those it never takes, with its answer.
    """

    accepted: list[str] = field(default_factory=list)
    deferred: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


async def hand_over(server: MailServer, sender: str, recipients: Sequence[str], message: bytes) -> Outcome:
    """Hand over one message, over a connection of its own, and tell what became of each recipient.

    A connection of its own, because notifications are few and a kept one would mostly be found closed.

    Raises:
        TransientDeliveryError: The server cannot be reached, or does not take the message now.
        PermanentDeliveryError: It does not take the message at all.
    """
    session = _Session(server)
    try:
        async with asyncio.timeout(server.timeout):
            return await session.run(sender, recipients, message)
    except TimeoutError:  # SMTPTimeoutError is one
        problem = f"no answer from {server.host} within {server.timeout:g} s"
    except SMTPServerDisconnected:
        problem = f"{server.host} ended the connection while {session.doing}"
    except SMTPResponseException as exc:
        text = f"{server.host} answered {session.shown(exc)} while {session.doing}"
        if session.about_the_message and 500 <= exc.code < 600:
            raise PermanentDeliveryError(text) from None
        problem = text
    except (SMTPException, OSError) as exc:
        problem = _problem(exc, session)
    finally:
        session.close()
    # Outside the handlers, so that no exception that may hold a password is chained to what gets logged.
    raise TransientDeliveryError(problem, may_have_arrived=session.all_sent)


def _problem(exc: Exception, session: _Session) -> str:
    """Why there was no conversation, or no secure one."""
    server = session.server
    cause = exc if isinstance(exc, OSError) and not isinstance(exc, SMTPException) else exc.__cause__
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "verify_message", "") or cause.reason or "the handshake failed"
        return f"no secure connection to {server.host}: {reason}"
    if isinstance(cause, OSError):
        if session.doing != _CONNECTING:
            return f"the connection to {server.host} broke while {session.doing}"
        return f"could not connect to {server.host} port {server.port}"
    return f"{server.host} cannot be used for {session.doing}: {session.redacted(str(exc))}"


class _Session:
    def __init__(self, server: MailServer) -> None:
        self.server = server
        self._client: SMTP | None = None
        self._socket: socket.socket | None = None
        self._transport: asyncio.WriteTransport | None = None
        self.doing = _CONNECTING
        self.about_the_message = False
        self.all_sent = False

    async def run(self, sender: str, recipients: Sequence[str], message: bytes) -> Outcome:
        client = await self._connect()
        self.doing, self.about_the_message = "naming the sender", True
        await client.mail(sender)
        self.doing = "naming the recipients"
        outcome = await self._name(client, recipients)
        if outcome.accepted:
            self.doing, self.all_sent = "handing over the message", True
            try:
                await client.data(message)
            except SMTPResponseException:
                self.all_sent = False
                raise
            self.all_sent = False
        with suppress(SMTPException, OSError):  # it has the message, whatever becomes of the goodbye
            await client.quit()
        return outcome

    async def _connect(self) -> SMTP:
        server = self.server
        addresses = await checked_addresses(
            server.host, server.port, allow_private=server.allow_private, resolver=server.resolver
        )
        self._socket = await _connected(addresses, server.port, server.timeout)
        self._client = client = SMTP(
            hostname=server.host,
            sock=self._socket,
            local_hostname=_own_name(),
            timeout=server.timeout,
            use_tls=server.tls is not None and not server.starttls,
            start_tls=False,
            tls_context=server.tls,
        )
        await client.connect()
        # Before STARTTLS: one that fails forgets it.
        self._transport = cast(asyncio.WriteTransport | None, client.transport)
        if server.starttls:
            self.doing = "STARTTLS"
            await client.starttls()
        if server.username is not None:
            self.doing = "logging in"
            await client.login(server.username, server.password or "")
        return client

    async def _name(self, client: SMTP, recipients: Sequence[str]) -> Outcome:
        outcome = Outcome()
        for recipient in recipients:
            try:
                await client.rcpt(recipient)
            except SMTPRecipientRefused as exc:
                if exc.code == _UNAVAILABLE:
                    raise
                group = outcome.refused if 500 <= exc.code < 600 else outcome.deferred
                group[recipient] = self.shown(exc)
            else:
                outcome.accepted.append(recipient)
        return outcome

    def close(self) -> None:
        """Let go of the connection at once, whatever state it is in and whatever the server still says."""
        if self._client is not None:
            self._client.close()
        if self._transport is not None:  # closed by TLS it would wait for the server's goodbye
            self._transport.abort()
        elif self._socket is not None:
            with suppress(OSError):  # it may have ended
                self._socket.shutdown(socket.SHUT_RDWR)  # whatever holds it sees its end, and closes it

    def shown(self, exc: SMTPResponseException) -> str:
        """An answer, fit to be shown. What is said to a login is left out: it may repeat what was sent."""
        return f"{exc.code} {self.redacted(exc.message)}" if self.about_the_message else str(exc.code)

    def redacted(self, text: str) -> str:
        password = self.server.password
        return cut(one_line(text.replace(password, "***") if password else text), _SHOWN)


async def _connected(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    """A connection to the first address that takes one."""
    for address in addresses[:-1]:
        with suppress(OSError):  # TimeoutError is one; the next address may do
            async with asyncio.timeout(timeout / len(addresses)):
                return await _connected_to(address, port)
    return await _connected_to(addresses[-1], port)


async def _connected_to(address: str, port: int) -> socket.socket:
    version = ipaddress.ip_address(address.partition("%")[0]).version
    made = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"
