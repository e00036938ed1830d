"""Reads the breakers for everybody who watches, once for all, in a thread of its own.

The thread begins with the first viewer and ends a while after the last. Reading does not happen in the event loop,
which has other things to do, nor in its pool of threads: when a dependency hangs, these may all wait for it, and then
is the time when somebody wants to see the page.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from recloser.breaker import CircuitBreaker
from recloser.dashboard.frames import Frame, Row, group_lines, groups_of
from recloser.dashboard.history import History
from recloser.dashboard.samples import Samples, slot_of
from recloser.registry import Registry

logger = logging.getLogger("recloser")

INTERVAL = 1.0
"""Seconds between two readings, at the least."""

SHARE = 0.1
"""Part of the thread's time that reading may take: with very many breakers it reads less often."""

GLANCE = 0.1
"""Seconds between two looks whether something has happened that is to be shown at once."""

LINGER = 900.0
"""Seconds for which it goes on when nobody watches, so that the next viewer sees the last minutes."""


class Viewer:
    """Somebody who waits for frames, in one event loop. Frames that come while he is busy are skipped.

    Attributes:
        since: When he came, in monotonic seconds: he is shown no reading that began before.
        frame: The latest one; None before the first.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.frame: Frame | None = None
        self._loop = asyncio.get_running_loop()
        self._fresh = asyncio.Event()

    def show(self, frame: Frame) -> bool:
        """Give him a frame, from any thread; False when his loop is gone."""
        self.frame = frame
        try:
            self._loop.call_soon_threadsafe(self._fresh.set)
        except RuntimeError:
            return False
        return True

    async def next(self, seconds: float) -> Frame | None:
        """The latest frame, as soon as there is one he has not had; None when there is none for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._fresh.wait()
        except TimeoutError:
            return None
        self._fresh.clear()
        return self.frame


class Sampler:
    """Makes frames of a registry for viewers.

    Args:
        registry: The breakers.
        history: Tells whether something has happened.
        clock: Monotonic seconds.
    """

    def __init__(self, registry: Registry, history: History, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._history = history
        self._clock = clock
        self._samples: weakref.WeakKeyDictionary[CircuitBreaker, Samples] = weakref.WeakKeyDictionary()
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._viewers: set[Viewer] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def _begin_in_child(self) -> None:
        if self._pid != os.getpid():
            self._begin()  # a forked child: the thread, who watched, and who holds the lock, are the parent's

    def watch(self) -> Viewer:
        """Be shown every frame from now on, the first one at once; `leave` ends it.

        Raises:
            RuntimeError: The thread could not begin; the next viewer tries again.
        """
        self._begin_in_child()
        viewer = Viewer(self._clock())
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="recloser dashboard", daemon=True)
                thread.start()
                self._thread = thread
            self._viewers.add(viewer)
        self._wake.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Show him nothing more."""
        self._begin_in_child()
        with self._lock:
            self._viewers.discard(viewer)

    @property
    def viewers(self) -> int:
        """How many watch."""
        self._begin_in_child()
        return len(self._viewers)

    def stop(self) -> None:
        """End the thread; a new viewer begins it again."""
        self._begin_in_child()
        with self._lock:
            thread, self._stopping = self._thread, True
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._lock:
            self._stopping = False

    def _run(self) -> None:
        self._samples.clear()  # what was before is from the time of another thread, and long ago
        watched = self._clock()
        while True:
            self._wake.clear()
            began = self._clock()
            try:
                self._show(self.read())
            except Exception:  # a clock or a recovery strategy of the user's: the next reading may go well
                logger.exception("the breakers could not be read for the dashboard")
            ended = self._clock()
            with self._lock:
                watched = ended if self._viewers else watched
                if self._stopping or ended - watched > LINGER:
                    self._thread = None
                    return
            self._wait(began, ended)

    def _wait(self, began: float, ended: float) -> None:
        # A listener may run where a lock must not be taken: it cannot wake this thread, so this thread looks.
        until = ended + pause_after(ended - began)
        while not self._wake.wait(min(GLANCE, max(0.0, until - self._clock()))):
            if self._clock() >= until or (self._viewers and self._history.has_news):
                break
        time.sleep(max(0.0, ended + (ended - began) - self._clock()))  # however many ask, half of the time is rest

    def _show(self, frame: Frame) -> None:
        with self._lock:
            viewers = [viewer for viewer in self._viewers if viewer.since <= frame.asked]
        for viewer in viewers:
            if not viewer.show(frame):
                self.leave(viewer)

    def read(self) -> Frame:
        """Read all breakers now. Only the thread calls it, or a test without one."""
        now = self._clock()
        entries = self._history.collect()
        collections = self._registry.keyed_collections()
        keyed = {collection.name: collection for collection in collections}
        rows = []
        for breaker in self._registry:
            stats = breaker.stats()
            sampled = self._samples.setdefault(breaker, Samples())
            sampled.add(stats, now)
            rows.append(Row(stats, sampled.bars, slot_of(now), groups_of(stats, keyed)))
        self._number += 1
        rows.sort(key=lambda row: row.urgency)
        return Frame(self._number, now, rows, group_lines(rows, collections), entries)


def pause_after(took: float) -> float:
    """Seconds to wait after a reading that took so many, unless something happens."""
    return max(INTERVAL, took / SHARE)
