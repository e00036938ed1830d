"""A response stream that settles its permit when it ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, TypeVar

from recloser.permits import Permit

logger = logging.getLogger("recloser")
T = TypeVar("T")

_TRUNCATED = "the stream ended without its terminal marker"
_REPORTED = "the stream reported an error"


class _Watch:
    """What has been seen of one stream."""

    __slots__ = ("_failure", "_permit", "_terminal")

    def __init__(
        self, permit: Permit, terminal: Callable[[Any], bool] | None, failure: Callable[[Any], bool] | None
    ) -> None:
        self._permit = permit
        self._terminal = terminal
        self._failure = failure

    def see(self, item: Any) -> None:
        self._permit.mark_first_item()
        try:
            if self._failure is not None and self._failure(item):
                self._permit.failure_described(_REPORTED)
            elif self._terminal is not None and self._terminal(item):
                self._permit.settle()  # whatever happens to the connection now, the answer is complete
        except Exception:  # a broken predicate must not break the stream it watches
            logger.exception("a stream predicate failed; the call is counted as a failure")
            self._permit.failure_described("a stream predicate failed")

    def end(self) -> None:
        if self._terminal is None:
            self._permit.settle()
        else:
            self._permit.failure_described(_TRUNCATED)  # unless the marker has settled it


def guard_stream(
    permit: Permit, stream: Any, terminal: Callable[[Any], bool] | None, failure: Callable[[Any], bool] | None
) -> Any:
    """See `Permit.guard_stream`."""
    watch = _Watch(permit, terminal, failure)
    if hasattr(stream, "__aiter__"):
        return _guard_async(stream, watch, permit)
    return _guard_sync(stream, watch, permit)


def _guard_sync(stream: Iterable[T], watch: _Watch, permit: Permit) -> Iterator[T]:
    try:
        for item in stream:
            watch.see(item)
            yield item
    except GeneratorExit:
        permit.ignore()
        raise
    except BaseException as exc:
        permit.settle(exc)
        raise
    else:
        watch.end()
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


async def _guard_async(stream: AsyncIterable[T], watch: _Watch, permit: Permit) -> AsyncIterator[T]:
    try:
        async for item in stream:
            watch.see(item)
            yield item
    except GeneratorExit:
        permit.ignore()
        raise
    except BaseException as exc:
        permit.settle(exc)
        raise
    else:
        watch.end()
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
