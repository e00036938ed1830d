"""One call is protected once, by the outermost client that makes it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

protected: ContextVar[bool] = ContextVar("recloser_protected", default=False)
"""Whether a client that is built on another one (an engine on a driver) has asked a breaker already."""


class Outermost:
    """A block in which the clients inside leave protection to this one."""

    __slots__ = ("_block", "_token")

    def __init__(self, block: AbstractContextManager[object]) -> None:
        self._block = block
        self._token: Token[bool] | None = None

    def __enter__(self) -> Any:
        entered = self._block.__enter__()
        self._token = protected.set(True)
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            protected.reset(self._token)
        self._block.__exit__(kind, exc, traceback)
