"""What all HTTP clients have in common: what an answer means, which breaker a request asks, how long a call lasts.

Nothing here does any I/O, so that sync and async clients share all of it.
"""

from __future__ import annotations

import email.utils
import errno
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, Unpack

from recloser import presets
from recloser.breaker import CircuitBreaker
from recloser.errors import CircuitOpenError, DuplicateBreakerError, SettingsError
from recloser.integrations.options import Options
from recloser.outcomes import FAILURE, IGNORED, SUCCESS, Outcome, Verdict
from recloser.permits import Permit
from recloser.registry import default_registry
from recloser.settings import Settings

R = TypeVar("R")

FAILING = frozenset({408, 500, 502, 503, 504, *range(520, 530)})
"""Status codes by which a server, or a proxy in front of it, says that it could not do its job."""

UNREACHABLE = Verdict(Outcome.FAILURE, conclusive=False)
"""The request never got out."""

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_OUR_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


# What an answer means


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that Retry-After asks for, or None when it is absent or senseless.

    A date is taken relative to the answer's own Date, so that a clock that is wrong on either side does no harm; only
    without one it is compared with `now` (Unix seconds). A date that has passed is 0.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until = _unix_time(value)
    if until is None:
        return None
    sent = _unix_time(headers.get("date", ""))
    return max(0.0, until - (now if sent is None else sent))


def _unix_time(date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def verdict_on_status(status: int, headers: Mapping[str, str], now: float) -> Verdict:
    """What a status code says of the server. 4xx are its successes: it answered, though not what the caller hoped for.

    Args:
        status: The HTTP status code.
        headers: Of the answer; looked up in lower case, so the mapping must not care or be in lower case.
        now: Unix seconds, for a Retry-After that is a date.
    """
    if status == 429 or (status == 503 and "retry-after" in headers):
        return Verdict(Outcome.THROTTLED, retry_after_seconds(headers, now), failed=f"HTTP {status}")
    if status in FAILING:
        return Verdict(Outcome.FAILURE, failed=f"HTTP {status}")
    return SUCCESS


def has_no_body(method: str, status: int, headers: Mapping[str, str]) -> bool:
    """Whether the answer is complete with its headers."""
    return method == "HEAD" or status < 200 or status in (204, 304) or headers.get("content-length", "").strip() == "0"


@dataclass(frozen=True)
class ExceptionTable:
    """What one client's exceptions mean.

    Attributes:
        local: The request never got out: a full pool, a request that cannot be written.
        failing: The server or the way to it failed.

    Others are errors of the caller's own (a body that raises, a hook), which say nothing about the server.
    """

    local: tuple[type[BaseException], ...]
    failing: tuple[type[BaseException], ...]

    def judge(self, exc: BaseException) -> Verdict:
        """The verdict on an exception."""
        if isinstance(exc, CircuitOpenError):
            return IGNORED  # of another breaker inside this one: nobody was asked
        if isinstance(exc, self.local):
            return UNREACHABLE
        if isinstance(exc, self.failing):
            return UNREACHABLE if _is_our_limit(exc) else FAILURE
        return IGNORED


def _is_our_limit(exc: BaseException) -> bool:
    """Whether the reason behind an exception is that this machine has no more file descriptors, ports or memory."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [exc]
    while pending:
        cause = pending.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in _OUR_OWN_LIMITS:
            return True
        pending += [cause.__cause__, cause.__context__]
        pending += [inner for inner in cause.args if isinstance(inner, BaseException)]
    return False


# How long a call lasts


class Watch(Protocol):
    """Judges the body of an answer while it passes."""

    def see(self, chunk: bytes) -> Verdict | None:
        """Bytes of the body; a verdict when the rest does not matter any more."""

    def end(self) -> Verdict:
        """The body has ended."""

    def closed(self) -> Verdict:
        """The caller closed the body before its end."""


class Exchange:
    """One request and its answer, body included. Settles its permit once; what comes later changes nothing.

    Args:
        permit: Leave to make the request.
        judge: The client's verdict on an exception.
        settings: Those of the breaker.
    """

    __slots__ = ("_permit", "_response", "_watch", "judge", "settings")

    def __init__(self, permit: Permit, judge: Callable[[BaseException], Verdict], settings: Settings) -> None:
        self._permit = permit
        self.judge = judge
        self.settings = settings
        self._response: object = None
        self._watch: Watch | None = None

    @property
    def settled(self) -> bool:
        """Whether the outcome is known."""
        return self._permit.settled

    @property
    def permit(self) -> Permit:
        """What it holds until it is settled."""
        return self._permit

    def first_byte(self) -> None:
        """The time until now is the latency; later words change nothing."""
        self._permit.mark_first_item()

    def answered(self, verdict: Verdict, response: object = None) -> None:
        """The head of the answer has come, and nothing of the body can change the verdict."""
        self._permit.settle(None, response, otherwise=verdict)

    def expect_body(self, response: object = None, watch: Watch | None = None) -> None:
        """The head of the answer has come; the body decides.

        Args:
            response: Shown at the end to the breaker's own rules, if it has any for results.
            watch: Judges the body; without one its complete arrival is a success.
        """
        # A response that nobody is going to look at is not kept: it holds its stream, and that holds this exchange.
        looked_at = self.settings.classify is not None or self.settings.failure_on_result is not None
        self._response = response if looked_at else None
        self._watch = watch

    def see(self, chunk: bytes) -> None:
        """Bytes of the body."""
        if self._watch is not None:
            verdict = self._watch.see(chunk)
            if verdict is not None:
                self._conclude(verdict)

    def ended(self) -> None:
        """The body is complete."""
        self._conclude(SUCCESS if self._watch is None else self._watch.end())

    def closed(self) -> None:
        """The caller does not want the rest of the body."""
        self._conclude(IGNORED if self._watch is None else self._watch.closed())

    def raised(self, exc: BaseException) -> None:
        """The request, or reading its answer, raised."""
        self._permit.settle(exc, otherwise=self.judge(exc))
        self._response = None

    def _conclude(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.IGNORED:
            self._permit.ignore()  # there is nothing that the breaker's own rules could be asked about
        else:
            self._permit.settle(None, self._response, otherwise=verdict)
        self._response = None


# Which breaker a request asks


class Breakers(Generic[R]):
    """Finds the breaker of a request.

    Args:
        host_of: The default key of a request.
        preset: Settings when neither the options nor the registry say anything.
        default_name: What the breakers are called when the options don't say.
        options: See `Options`.

    Raises:
        TypeError: An option is unknown.
        SettingsError: `breaker` is given together with something that it makes useless.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    def __init__(
        self,
        host_of: Callable[[R], Hashable],
        preset: Callable[[], Settings] = presets.http_api,
        default_name: str = "http",
        **options: Unpack[Options[R]],
    ) -> None:
        unknown = set(options) - set(Options.__annotations__)
        if unknown:
            raise TypeError(f"unknown options {sorted(unknown)}: there are {sorted(Options.__annotations__)}")
        self._breaker = options.pop("breaker", None)
        if self._breaker is not None:
            if options:
                raise SettingsError("breaker", self._breaker, f"makes {sorted(options)} useless: give one or the other")
            return
        self._key = options.get("key", host_of)
        registry = options.get("registry", default_registry)
        name = options.get("name", default_name)
        bounds: dict[str, Any] = {"max_breakers": options["max_breakers"]} if "max_breakers" in options else {}
        settings = options.get("settings")
        if settings is not None:
            self._keyed = registry.keyed(name, settings, **bounds)
            return
        try:
            self._keyed = registry.keyed(name, preset() if registry.settings == Settings() else None, **bounds)
        except DuplicateBreakerError:
            self._keyed = registry.keyed(name, **bounds)  # who asks for nothing takes what there is

    def of(self, request: R) -> CircuitBreaker:
        """The breaker of a request."""
        return self._breaker if self._breaker is not None else self._keyed.get(self._key(request))

    def begin(self, request: R, judge: Callable[[BaseException], Verdict]) -> Exchange:
        """Ask the breaker of a request for leave.

        Raises:
            CircuitOpenError: The request is rejected.
        """
        breaker = self.of(request)
        return Exchange(breaker.acquire(), judge, breaker.settings)


def host_key(scheme: str, host: str | None, port: int | None) -> str:
    """`api.example.com`, with the port if it is not the usual one; never credentials, path or query."""
    name = (host or "").rstrip(".").lower()
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return name if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def reasons_of(error: CircuitOpenError) -> tuple[str, str, float | None, str | None, str]:
    """The arguments that make a rejection of another type say the same."""
    return error.breaker, error.state, error.retry_after, error.last_failure, error.reason
