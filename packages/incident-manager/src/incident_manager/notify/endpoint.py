"""One HTTP address that notifications are posted to, and what its answers mean."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

import httpx2

from incident_manager.notify.errors import DestinationGoneError, PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.retry_after import parse_retry_after
from incident_manager.notify.ssrf import Resolver, checked_addresses, resolve
from recloser import Clock

RETRYABLE = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may succeed."""

_ANSWER_LIMIT = 16 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """What a receiver answered.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        text: The first 16 KiB of the body. May echo what was sent: never put it into an error as it is.
    """

    status: int
    headers: httpx2.Headers
    text: str


class _Progress:
    """How far a request came, for when there is no answer to tell."""

    def __init__(self) -> None:
        self.sending = False

    async def note(self, name: str, info: object) -> None:
        """A `trace` extension of httpx2: without any of its body a request cannot have been taken."""
        self.sending = self.sending or name.endswith(".send_request_body.started")


class HttpEndpoint:
    """Posts to one URL through checked addresses only; follows no redirect, uses no proxy, keeps no cookies.

    The transport is used without an `httpx2.AsyncClient` around it, because the client writes each URL to its log, and
    the URL of a webhook is often its secret.

    Args:
        url: Where to post; `http` or `https`.
        allow_private: Whether it may stand at a private or loopback address.
        timeout: Seconds for one post, from resolving the name to the end of the answer.
        clock: To read dates in Retry-After.
        resolver: Where addresses come from.
        verify: Trust for TLS, the system's by default.
    """

    def __init__(
        self,
        url: str,
        *,
        allow_private: bool,
        timeout: float,
        clock: Clock,
        resolver: Resolver = resolve,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._url = httpx2.URL(url)
        self._host = self._url.raw_host.decode("ascii")
        self._port = self._url.port or _DEFAULT_PORTS[self._url.scheme]
        self._allow_private = allow_private
        self._timeout = timeout
        self._clock = clock
        self._resolver = resolver
        # One transport for one host: its connections are pooled by address, and another host at the same address must
        # not be given a connection whose certificate was checked for this one.
        self._transport = httpx2.AsyncHTTPTransport(verify=verify if verify is not None else True)

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once and return the answer, whatever its status.

        Raises:
            TransientDeliveryError: There was no answer.
        """
        problem = f"no answer from {self._host} within {self._timeout:g} s"
        progress = _Progress()
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await checked_addresses(
                    self._host, self._port, allow_private=self._allow_private, resolver=self._resolver
                )
                return await self._post_to_any(addresses, body, headers, progress)
        except (TimeoutError, httpx2.TimeoutException):
            pass
        except httpx2.ConnectError as exc:
            problem = f"could not connect to {self._host} port {self._port}{_reason(exc)}"
        except httpx2.TransportError as exc:
            problem = f"the connection to {self._host} broke ({type(exc).__name__})"
        # Outside the handlers, so that no HTTP exception with its request is chained to what gets logged.
        raise TransientDeliveryError(problem, may_have_arrived=progress.sending)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def retry_after(self, answer: Answer) -> float | None:
        """Seconds the receiver asks to wait; None when it does not say."""
        return parse_retry_after(answer.headers.get("retry-after"), self._clock.time())

    def raise_for(self, answer: Answer, detail: str = "") -> None:
        """Return for a success, else raise what the status means for the delivery.

        Args:
            answer: The receiver's answer.
            detail: What else is known, fit to be shown.

        Raises:
            TransientDeliveryError: 408, 425, 429 and 5xx.
            DestinationGoneError: 410.
            PermanentDeliveryError: Any other status, redirects among them.
        """
        status = answer.status
        if 200 <= status < 300:
            return
        text = f"{self._host} answered {status}" + (f" ({detail})" if detail else "")
        if status in RETRYABLE or status >= 500:
            retry_after = self.retry_after(answer)
            throttled = status == 429 or (status == 503 and retry_after is not None)
            raise TransientDeliveryError(text, retry_after, throttled=throttled)
        if status == 410:
            raise DestinationGoneError(f"{text}: it wants no more notifications")
        if 300 <= status < 400:
            raise PermanentDeliveryError(f"{text}: redirects are not followed; set the final URL")
        raise PermanentDeliveryError(text)

    async def _post_to_any(
        self, addresses: list[str], body: bytes, headers: Mapping[str, str], progress: _Progress
    ) -> Answer:
        timeout = httpx2.Timeout(self._timeout, connect=self._timeout / len(addresses)).as_dict()
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, body, headers, timeout, progress)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing was sent: the next address may do
        return await self._post_to(addresses[-1], body, headers, timeout, progress)

    async def _post_to(
        self,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: dict[str, float | None],
        progress: _Progress,
    ) -> Answer:
        request = httpx2.Request(
            "POST",
            self._url.copy_with(host=address),
            headers={**headers, "Host": self._url.netloc.decode("ascii")},
            content=body,
            # The certificate is checked against the name, though the connection goes to the address.
            extensions={"sni_hostname": self._host, "timeout": timeout, "trace": progress.note},
        )
        response = await self._transport.handle_async_request(request)
        try:
            return Answer(response.status_code, response.headers, await _beginning(response))
        finally:
            await response.aclose()


async def _beginning(response: httpx2.Response) -> str:
    received = bytearray()
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            received += chunk
            if len(received) >= _ANSWER_LIMIT:
                break
    return bytes(received[:_ANSWER_LIMIT]).decode("utf-8", "replace")


def _reason(exc: BaseException) -> str:
    """Why a connection failed, from the error of TLS or the system beneath: their texts name no path."""
    found: BaseException | None = exc
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f": the certificate was refused ({found.verify_message})"
        if isinstance(found, ssl.SSLError):
            return f": TLS failed ({found.reason})"
        if isinstance(found, OSError) and found.errno:
            return f": {os.strerror(found.errno)}"
        found = found.__cause__ or found.__context__
    return ""
