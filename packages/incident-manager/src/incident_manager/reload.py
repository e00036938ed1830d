"""Files that are taken over again when they change, while the service runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.notify.pacing import Pause, pause

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reloadable:
    """What a file is for.

    Attributes:
        path: Where it is now; None if there is none.
        take: Take it over as a whole and tell whether that changed anything, or raise `InvalidSettingsError` and leave
            everything as it was.
    """

    path: Callable[[], Path | None]
    take: Callable[[], Awaitable[bool]]


class Reload:
    """Takes files over when their content changes, and when it is asked to. Use `start` and `stop`.

    A change is taken when the file reads the same twice in a row, so that one which is still being written is left
    alone. A file that is refused, or that is gone, changes nothing: it is logged once, and `problems` tells of it until
    it is good again.

    Args:
        files: By the name that log and health give them, in the order in which they are taken.
        every: Seconds between two looks; None looks only when asked.
        pause: How to wait.
    """

    def __init__(self, files: Mapping[str, Reloadable], *, every: float | None, pause: Pause = pause) -> None:
        self._files = dict(files)
        self._every = every
        self._pause = pause
        self._taken: dict[str, bytes | str | None] = {}
        self._noticed: dict[str, bytes | str | None] = {}
        self._problems: dict[str, str] = {}
        self._asked = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        for name, file in self._files.items():
            # It is taken once more: it may have changed since it was read for the start.
            self._taken[name], self._noticed[name] = None, await _content(file.path())
        self._task = asyncio.create_task(self._run(), name="reload changed files")

    async def stop(self) -> None:
        """Finish the reload under way, and end."""
        self._stopping = True
        self._asked.set()
        if self._task is not None:
            await self._task

    def ask(self) -> None:
        """Take every file over now, changed or not. To be called in the event loop."""
        self._asked.set()

    def problems(self) -> dict[str, str]:
        """Why a file is not in force as it is, by its name."""
        return dict(self._problems)

    def note(self, name: str, problem: str | None) -> None:
        """Tell of something about a file that does not keep it from being taken; None when there is nothing."""
        if problem is None:
            self._problems.pop(name, None)
        else:
            self._problems[name] = problem

    async def _run(self) -> None:
        while not self._stopping:
            if self._every is None:
                await self._asked.wait()
            else:
                await self._pause(self._asked, self._every)
            asked = self._asked.is_set()
            self._asked.clear()
            if not self._stopping:
                await self.look(at_once=asked)

    async def look(self, *, at_once: bool = False) -> None:
        """Look at every file once.

        Args:
            at_once: Take it now, changed or not.
        """
        for name, file in self._files.items():
            content = await _content(file.path())
            if content is not None and (at_once or self._is_new(name, content)):
                self._taken[name] = content
                await self._take(name, file)
            self._noticed[name] = content

    def _is_new(self, name: str, content: bytes | str) -> bool:
        return content != self._taken[name] and content == self._noticed[name]

    async def _take(self, name: str, file: Reloadable) -> None:
        before = self._problems.pop(name, None)
        try:
            changed = await file.take()
        except InvalidSettingsError as error:
            self._problems[name] = str(error)
            if before != str(error):
                logger.error("the %s stay as they were, the file is refused: %s", name, error)
        except Exception as error:  # a fault of ours, or of what the file names, must not end this for good
            self._taken[name] = None  # to be tried again, as what was at fault may pass without another file
            self._problems[name] = f"unexpected {type(error).__name__}; the log says where"
            logger.exception("the %s could not be taken over", name)
        else:
            if changed or before is not None:
                logger.info("the %s were taken over from %s", name, file.path())


async def _content(path: Path | None) -> bytes | str | None:
    """What is in a file, or why that cannot be said. Times and sizes can deceive; small files cost nothing to read."""
    if path is None:
        return None
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
