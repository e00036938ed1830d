"""Which permit belongs to which `with breaker:` block.

One breaker is entered by many threads, tasks and generators at once, and they need not leave in the order in which
they came; a generator may even be resumed in another thread. So a block is known by the frame it stands in: the frame
that enters is the frame that leaves. Where that is not so (`contextlib.ExitStack`), the newest block that the same
thread and task entered is taken.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import NamedTuple

from recloser.forks import ForkAware
from recloser.permits import Permit


class _Block(NamedTuple):
    permit: Permit
    runner: tuple[int, int]


class OpenBlocks:
    """The `with` blocks of one breaker that have been entered and not left."""

    __slots__ = ("_by_frame", "_owner")

    def __init__(self, owner: ForkAware) -> None:
        self._by_frame: dict[int, list[_Block]] = {}
        # Its lock is ours. A finaliser that leaves a block while this thread is inside touches another frame's entry.
        self._owner = owner

    def enter(self, permit: Permit, depth: int) -> None:
        """Remember the permit of the block in the frame `depth` calls up."""
        block = _Block(permit, _runner())
        # The frame lives as long as the block is open, so nobody else has its id meanwhile.
        frame = id(sys._getframe(depth))
        with self._owner.lock:
            self._by_frame.setdefault(frame, []).append(block)

    def leave(self, depth: int) -> Permit:
        """The permit of the block in the frame `depth` calls up, which is forgotten.

        Raises:
            RuntimeError: No block is open.
        """
        frame = id(sys._getframe(depth))
        with self._owner.lock:
            if frame not in self._by_frame:
                frame = self._entered_elsewhere()
            blocks = self._by_frame[frame]
            block = blocks.pop()
            if not blocks:
                del self._by_frame[frame]
        return block.permit

    def _entered_elsewhere(self) -> int:
        runner = _runner()
        entered = [(frame, blocks[-1]) for frame, blocks in list(self._by_frame.items()) if blocks]
        for frame, block in reversed(entered):
            if block.runner == runner:
                return frame
        if not entered:
            raise RuntimeError("left a `with breaker:` block that was never entered")
        return entered[-1][0]


def _runner() -> tuple[int, int]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)
