"""The breakers of several worker processes as one: `Workers(registry, directory)`, for gunicorn, uvicorn and the like.

Each worker writes what it counts into a file of the directory, in the background; whichever worker is scraped adds
the files up. Counters of workers that are gone stay in the sum, their gauges vanish with them. It needs a
system with `flock` (Linux, macOS, BSD) and a directory on a local disk.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recloser.breaker import CircuitBreaker
from recloser.errors import SettingsError
from recloser.events import State
from recloser.registry import Registry
from recloser.settings import check_seconds
from recloser.telemetry import _directory
from recloser.telemetry._directory import Departed, Member, SharedDirectory
from recloser.telemetry._readings import Counts, Reading, Readings, evictions_of, read_breaker, since, together, total

__all__ = ["Workers"]

logger = logging.getLogger("recloser")

_MOST_FORGOTTEN = 10_000
"""Names of removed breakers whose counts a worker remembers, for the case that another worker still has them."""

_SHARE_OF_TIME = 0.05
"""Writing may take this share of a processor's time at most, however short the interval."""


class Workers:
    """The breakers of all worker processes that share a directory.

    Make one in each worker, or once before the server forks, and give it to a `BreakerCollector`. A protected call
    pays nothing: a thread of this object reads the breakers every `interval`. A worker takes part from its first
    call on, or when it is scraped, so that a supervising process that only has imported the application does not.

    A worker that ends in order writes its last reading. What one has counted since its last writing is lost when it
    is killed. The counters of the directory are never set back; delete it, while no worker runs, to begin anew.

    Args:
        registry: This process's breakers.
        directory: Shared by the workers of one server and by nobody else; made if there is none. It may be
            `PROMETHEUS_MULTIPROC_DIR`.
        interval: Seconds between two writings.
        keep_departed: Seconds for which a name keeps its counters when no living worker has a breaker of this name.

    Raises:
        SettingsError: `interval` or `keep_departed` is not a number of seconds, or the system has no `flock`.
        OSError: The directory cannot be made or written to.
    """

    _closed: bool
    _failing: bool
    _writing: threading.Lock
    _thread: threading.Thread | None

    def __init__(
        self,
        registry: Registry,
        directory: str | os.PathLike[str],
        *,
        interval: float = 1.0,
        keep_departed: float = 3_600.0,
    ) -> None:
        check_seconds("interval", interval)
        check_seconds("keep_departed", keep_departed, zero=True)
        if not _directory.AVAILABLE:
            raise SettingsError("directory", str(directory), "cannot be shared: this system has no flock")
        self.registry = registry
        self.interval = interval
        self.keep_departed = keep_departed
        self._directory = SharedDirectory(Path(directory))
        self._begin({}, {})
        _all.add(self)
        self._start()
        atexit.register(_close, weakref.ref(self))

    def read(self) -> Readings:
        """The breakers of all living workers, with the counters of those that are gone.

        Raises:
            TimeoutError: Another worker has held the directory for 5 s.
            OSError: The directory cannot be read or written.
        """
        self._write(join=True)
        with self._directory.locked():
            members, departed = self._directory.gather(self.keep_departed)
        return _merged(members, departed)

    def close(self) -> None:
        """Write the last reading and stop. The worker then counts as gone."""
        self._stop()
        with self._writing:
            if not self._closed:
                self._closed = True
                self._write_now(join=False)
                self._directory.leave()

    # One life: from the start, or from a fork, to the end of the process

    def _begin(self, counted: dict[CircuitBreaker, Counts], evicted: dict[str, Counts]) -> None:
        self._closed = False
        self._failing = False
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = None
        # What had been counted before this life began: it belongs to the process that forked.
        self._before = weakref.WeakKeyDictionary(counted)
        self._evicted_before = evicted
        # Held from one writing to the next, so that the last counts of a breaker that is removed are seen.
        self._seen: dict[str, CircuitBreaker] = {}
        self._forgotten: dict[str, Counts] = {}

    def _start(self) -> None:
        if not self._closed and self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(
                target=_run, args=(weakref.ref(self),), name="recloser-workers", daemon=True
            )
            self._thread.start()

    def _stop(self) -> None:
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _in_child(self) -> None:
        closed = self._closed
        self._directory.forget()
        self._begin(
            {breaker: read_breaker(breaker).counts for breaker in self.registry},
            {keyed.name: evictions_of(keyed.evictions) for keyed in self.registry.keyed_collections()},
        )
        self._closed = closed

    # Writing

    def _write(self, *, join: bool) -> None:
        with self._writing:
            if not self._closed:
                self._write_now(join=join)

    def _write_now(self, *, join: bool) -> None:
        readings = self._own()
        if join or self._directory.joined or _has_counted(readings):
            self._directory.write(Member(readings.breakers, self._forgotten, readings.evictions))

    def _own(self) -> Readings:
        present = {breaker.name: breaker for breaker in self.registry}
        for name, breaker in self._seen.items():
            if present.get(name) is not breaker:
                self._forget(name, self._read(breaker).counts)
        self._seen = present
        evicted = {keyed.name: evictions_of(keyed.evictions) for keyed in self.registry.keyed_collections()}
        return Readings(
            [self._read(breaker) for breaker in present.values()],
            {name: since(self._evicted_before.get(name, {}), counts) for name, counts in evicted.items()},
        )

    def _read(self, breaker: CircuitBreaker) -> Reading:
        reading = read_breaker(breaker)
        return Reading(reading.name, since(self._before.get(breaker, {}), reading.counts), reading.condition)

    def _forget(self, name: str, counts: Counts) -> None:
        counts = total((self._forgotten.pop(name, {}), counts))
        self._forgotten[name] = counts
        while len(self._forgotten) > _MOST_FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]

    def _run_once(self) -> float:
        """Write, and say for how long to rest."""
        started = time.monotonic()
        try:
            self._write(join=False)
        except OSError:
            if not self._failing:  # said once, not every second
                logger.exception("readings of the breakers cannot be written to %s", self._directory.path)
            self._failing = True
        else:
            self._failing = False
        return max(self.interval, (time.monotonic() - started) / _SHARE_OF_TIME)


def _has_counted(readings: Readings) -> bool:
    return any(
        value
        for reading in readings.breakers
        for key, value in reading.counts.items()
        if not key.startswith("state_seconds ")
    ) or any(value for counts in readings.evictions.values() for value in counts.values())


def _run(reference: weakref.ref[Workers]) -> None:
    workers = reference()
    if workers is None:
        return
    stopping, rest = workers._stopping, workers.interval
    while True:
        del workers  # so that an object that nobody holds any more ends its thread
        if stopping.wait(rest):
            return
        workers = reference()
        if workers is None:
            return
        rest = workers._run_once()


def _close(reference: weakref.ref[Workers]) -> None:
    workers = reference()
    if workers is not None:
        workers.close()


def _merged(members: list[Member], departed: Departed) -> Readings:
    names: dict[str, list[Reading]] = {name: [] for name in departed.counts}
    for member in members:
        for reading in member.breakers:
            names.setdefault(reading.name, []).append(reading)
    counts_of_removed = [member.removed for member in members]
    return Readings(
        [
            _one(name, readings, [departed.counts, departed.removed, *counts_of_removed])
            for name, readings in names.items()
            if readings or name in departed.counts
        ],
        _by_name([departed.evictions, *(member.evictions for member in members)]),
    )


def _one(name: str, readings: list[Reading], more: list[Mapping[str, Counts]]) -> Reading:
    counts = total((*(reading.counts for reading in readings), *(source[name] for source in more if name in source)))
    conditions = [reading.condition for reading in readings if reading.condition is not None]
    states = [condition.state for condition in conditions]
    return Reading(
        name,
        counts,
        together(conditions) if conditions else None,
        {state: states.count(state) for state in State},
    )


def _by_name(sources: list[Mapping[str, Counts]]) -> dict[str, Counts]:
    names = dict.fromkeys(name for source in sources for name in source)
    return {name: total(source[name] for source in sources if name in source) for name in names}


# Over a fork no thread of ours may run, and what the parent has counted is not the child's.

_all: weakref.WeakSet[Workers] = weakref.WeakSet()


def _before_fork() -> None:
    for workers in list(_all):
        workers._stop()


def _after_fork_in_parent() -> None:
    for workers in list(_all):
        workers._start()


def _after_fork_in_child() -> None:
    for workers in list(_all):
        workers._in_child()
        workers._start()


_HOOKS: dict[str, Any] = {
    "before": _before_fork,
    "after_in_parent": _after_fork_in_parent,
    "after_in_child": _after_fork_in_child,
}

# `recloser.forks` has been imported before: its locks are taken after this thread has stopped, and are new in the
# child before the breakers are read.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(**_HOOKS)
