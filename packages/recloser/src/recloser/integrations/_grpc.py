"""What sync and async gRPC have in common: what a status says of the server, and which breaker a call asks."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, TypeAlias, Unpack

import grpc

from recloser import presets
from recloser.errors import CircuitOpenError
from recloser.integrations._http import Breakers, Exchange, retry_after_seconds
from recloser.integrations._retry_info import retry_delay
from recloser.integrations.options import Options
from recloser.outcomes import FAILURE, IGNORED, SUCCESS, Outcome, Verdict
from recloser.settings import check_seconds

logger = logging.getLogger("recloser")

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_FAILING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)

# The client's own words on what never came to the server, or what it would not take from it. They have no code of
# their own: a broken request iterator is UNKNOWN, for example.
_OUR_OWN_FAULTS = (
    "Exception iterating requests!",
    "Exception serializing request!",
    "message larger than max",
)

_LONGEST_DESCRIPTION = 200


class Rpc(NamedTuple):
    """What a `key` function is given.

    Attributes:
        target: Of the channel, as it was given.
        method: `/package.Service/Method`.
    """

    target: str
    method: str

    @property
    def service(self) -> str:
        """`package.Service`."""
        return self.method.strip("/").rpartition("/")[0]


def target_and_service(rpc: Rpc) -> str:
    """The default key: `payments.internal:443/payments.v1.Payments`."""
    return f"{rpc.target}/{rpc.service}"


class Policy:
    """Decides about the calls of one channel: the interceptors do only what is between its decisions.

    Args:
        target: Of the channel.
        patience: Seconds. A call whose own deadline is shorter and passes says nothing about the server; None takes
            every deadline for a fair one.
        wants: Whether a call is to ask a breaker at all; default: each is.
        options: See `recloser.integrations.options.Options`.

    Raises:
        TypeError: An option is unknown.
        SettingsError: The options contradict each other, or `patience` is not a number of seconds.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    def __init__(
        self,
        target: str,
        patience: float | None = None,
        wants: Callable[[Rpc], bool] | None = None,
        **options: Unpack[Options[Rpc]],
    ) -> None:
        if patience is not None:
            check_seconds("patience", patience)
        self._target = target
        self._patience = patience
        self._wants = wants
        self._breakers = Breakers(target_and_service, presets.http_api, "grpc", **options)

    def begin(self, details: Any) -> Exchange | None:
        """Ask for leave to make a call; None when nobody is to be asked.

        Raises:
            CircuitOpenError: It is rejected.
        """
        rpc = Rpc(self._target, method_of(details))
        if self._wants is not None and not self._wants(rpc):
            return None
        impatient = self._patience is not None and details.timeout is not None and details.timeout < self._patience
        return self._breakers.begin(rpc, partial(judge, impatient=impatient))


_asked: ContextVar[str | None] = ContextVar("recloser_grpc_asked", default=None)


@contextlib.contextmanager
def asking(details: Any) -> Iterator[None]:
    """A block in which a call that asked a breaker is handed to the next interceptor."""
    token = _asked.set(method_of(details))
    try:
        yield
    finally:
        _asked.reset(token)


def has_asked(rpc: Rpc) -> bool:
    """Whether an interceptor around this one has asked a breaker for the same call."""
    return _asked.get() == rpc.method


def method_of(details: Any) -> str:
    """`/package.Service/Method`."""
    method: str | bytes = details.method
    return method.decode() if isinstance(method, bytes) else method


def judge(exc: BaseException, *, impatient: bool = False) -> Verdict:
    """What the error of a call says of the server.

    Args:
        exc: Anything a call may raise.
        impatient: Whether a deadline that has passed was too short to say anything.
    """
    if isinstance(exc, CircuitOpenError) or not isinstance(exc, grpc.RpcError):
        return IGNORED  # another breaker, or an error of the caller's own
    try:
        code = exc.code()
        if impatient and code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return IGNORED
        trailing: Any = exc.trailing_metadata()
        return verdict_on_status(code, exc.details(), trailing)
    except Exception:  # an error of another interceptor's making: it must still reach the caller
        logger.exception("an error of gRPC could not be judged; the call is counted as a failure")
        return FAILURE


def verdict_on_status(code: grpc.StatusCode, details: str | None, trailing: Metadata | None) -> Verdict:
    """What a status says of the server. Most codes are its answers: it did its job, though not as the caller hoped.

    Args:
        code: The status code.
        details: Its text, if it has one.
        trailing: The trailing metadata, in which a server may say how long to wait.
    """
    failed = f"{code.name}: {details}" if details else code.name
    failed = failed if len(failed) <= _LONGEST_DESCRIPTION else failed[: _LONGEST_DESCRIPTION - 3] + "..."
    if code is grpc.StatusCode.CANCELLED or (details and any(words in details for words in _OUR_OWN_FAULTS)):
        return IGNORED
    pushed_back = code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    wait = seconds_to_wait(trailing or (), time.time()) if pushed_back else None
    if wait is not None or code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Verdict(Outcome.THROTTLED, wait, failed=failed)
    return Verdict(Outcome.FAILURE, failed=failed) if code in _FAILING else SUCCESS


def seconds_to_wait(trailing: Metadata, now: float) -> float | None:
    """How long a server asks to be left alone, or None when it does not say.

    It may say so by `google.rpc.RetryInfo` in its status, by `grpc-retry-pushback-ms` (gRFC A6) or by `retry-after`.

    Args:
        trailing: The trailing metadata.
        now: Unix seconds, for a `retry-after` that is a date.
    """
    said = {key: value for key, value in trailing}  # noqa: C416 - dict() would take the metadata of grpc.aio for a mapping
    status = said.get("grpc-status-details-bin")
    delay = retry_delay(status) if isinstance(status, bytes) else None
    if delay is not None:
        return delay
    pushback = said.get("grpc-retry-pushback-ms")
    if isinstance(pushback, str) and pushback.isascii() and pushback.isdigit() and len(pushback) <= 10:
        return int(pushback) / 1_000
    after = said.get("retry-after")
    return retry_after_seconds({"retry-after": after}, now) if isinstance(after, str) else None


class CircuitOpenRpcError(CircuitOpenError, grpc.RpcError):
    """A call was rejected without being sent; code that handles gRPC's own errors handles this one, too."""

    def code(self) -> grpc.StatusCode:
        """UNAVAILABLE, what a call to a server that is down would end in."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Why the call was rejected."""
        return str(self)

    def initial_metadata(self) -> Any:
        """Nothing: no server has answered."""
        return ()

    def trailing_metadata(self) -> Any:
        """`retry-after` in seconds, if it is known when a call may be admitted."""
        return () if self.retry_after is None else (("retry-after", f"{self.retry_after:.3f}"),)

    def debug_error_string(self) -> str:
        """The same as the details."""
        return str(self)
