"""A directory in which workers leave what they have counted, and in which the living are told from the dead.

    recloser.lock                 held while a worker joins, and while the files are gathered
    recloser-worker-ID.lock       held by a worker for as long as it lives; the system lets go of it when it dies
    recloser-worker-ID.json       the worker's last reading, replaced as a whole
    recloser-departed.json        what the dead had counted, replaced as a whole

A dead worker's counts are added to those of the departed before its files are removed, and its ID is written down with
them: whoever dies in between leaves nothing that would be counted twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recloser.telemetry._readings import Counts, Reading, condition_from_json, condition_to_json, total

try:
    import fcntl
except ImportError:  # Windows
    AVAILABLE = False
else:
    AVAILABLE = True

logger = logging.getLogger("recloser")

_PATIENCE = 5.0
"""Seconds to wait for the directory's lock, which is held for milliseconds."""

_WORKER = "recloser-worker-"
_DEPARTED = "recloser-departed.json"


@dataclass(frozen=True, slots=True)
class Member:
    """What one worker has counted: by its breakers, by those that were removed, and by keyed collections."""

    breakers: list[Reading]
    removed: Mapping[str, Counts]
    evictions: Mapping[str, Counts]


@dataclass(slots=True)
class Departed:
    """What workers that are gone had counted.

    Attributes:
        counts: By the breakers they had.
        removed: By breakers that they had removed before they went.
        evictions: By keyed collections.
        at: When a name was last added to, in Unix seconds.
        added: IDs of the workers whose files may still be there, though they are in here.
    """

    counts: dict[str, Counts] = field(default_factory=dict)
    removed: dict[str, Counts] = field(default_factory=dict)
    evictions: dict[str, Counts] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)

    def add(self, worker: str, member: Member, now: float) -> None:
        """A worker is gone."""
        own = {reading.name: reading.counts for reading in member.breakers}
        for known, more in ((self.counts, own), (self.removed, member.removed), (self.evictions, member.evictions)):
            for name, counts in more.items():
                known[name] = total((known.get(name, {}), counts))
        self.at.update(dict.fromkeys((*own, *member.removed), now))
        self.added.append(worker)

    def drop_forgotten(self, living: set[str], before: float) -> None:
        """Forget the names that no worker has any more, and that were last added to at this Unix time or before."""
        for name in [name for name, at in self.at.items() if at <= before and name not in living]:
            del self.at[name]
            self.counts.pop(name, None)
            self.removed.pop(name, None)


class SharedDirectory:
    """The directory, as one worker sees it.

    Args:
        path: Made if there is none.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._worker = ""
        self._close_lock: weakref.finalize[..., Any] | None = None
        self._held: set[int] = set()

    @property
    def joined(self) -> bool:
        """Whether this worker has left a reading."""
        return self._close_lock is not None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory.

        Raises:
            TimeoutError: Somebody else has held it for too long.
        """
        descriptor = os.open(self.path / "recloser.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held.add(descriptor)
        try:
            self._wait_for(descriptor)
            try:
                yield
            finally:
                # Not only closed: a child that was forked meanwhile holds it open, too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._held.discard(descriptor)
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not _take(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} has been held by another worker for {_PATIENCE:g} s")
            time.sleep(0.002)

    def write(self, member: Member) -> None:
        """Leave a reading in the place of the last one; the first one makes this worker a member."""
        if not self._is_member():
            self._join()
        values = {
            "breakers": [
                {
                    "name": reading.name,
                    "counts": reading.counts,
                    "condition": reading.condition and condition_to_json(reading.condition),
                }
                for reading in member.breakers
            ],
            "removed": member.removed,
            "evictions": member.evictions,
        }
        _replace(self._file("json"), values)

    def _is_member(self) -> bool:
        # Somebody may have emptied the directory under us.
        return self._close_lock is not None and self._file("lock").exists()

    def _join(self) -> None:
        self.leave()
        self.path.mkdir(parents=True, exist_ok=True)
        self._worker = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        with self.locked():
            descriptor = os.open(self._file("lock"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._close_lock = weakref.finalize(self, os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Be counted as gone. The last reading stays."""
        if self._close_lock is not None:
            self._close_lock()
            self._close_lock = None

    def forget(self) -> None:
        """In a forked child: the membership, and what another thread was doing, are the parent's."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held = set()
        self.leave()

    def gather(self, keep: float) -> tuple[list[Member], Departed]:
        """What the living have left, and what the dead had counted. The caller holds the directory.

        Args:
            keep: Seconds to keep what the dead had counted of names that no living worker has.

        Raises:
            ValueError: The file of the departed is damaged.
        """
        living: list[Member] = []
        departed = self._departed()
        workers = self._workers()
        known = [worker for worker in departed.added if worker in workers]
        dead = []
        departed.added = known
        now = time.time()
        for worker in workers:
            if self._lives(worker):
                member = self._member(worker)
                if member is not None:
                    living.append(member)
                continue
            dead.append(worker)
            if worker not in known and (member := self._member(worker)) is not None:
                departed.add(worker, member, now)
        departed.drop_forgotten({reading.name for member in living for reading in member.breakers}, now - keep)
        if dead:
            self._bury(dead, departed)
        return living, departed

    def _bury(self, dead: list[str], departed: Departed) -> None:
        values = {name: getattr(departed, name) for name in Departed.__slots__}
        _replace(self.path / _DEPARTED, values, durable=True)
        for worker in dead:
            for suffix in ("json.new", "json", "lock"):
                self._file(suffix, worker).unlink(missing_ok=True)

    def _workers(self) -> list[str]:
        files = (path.name.removeprefix(_WORKER) for path in self.path.glob(f"{_WORKER}*"))
        return list(dict.fromkeys(sorted(name.partition(".")[0] for name in files)))

    def _lives(self, worker: str) -> bool:
        if worker == self._worker and self.joined:
            return True
        try:
            descriptor = os.open(self._file("lock", worker), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _take(descriptor)
        finally:
            os.close(descriptor)

    def _departed(self) -> Departed:
        try:
            return Departed(**json.loads((self.path / _DEPARTED).read_bytes()))
        except FileNotFoundError:
            return Departed()
        except (ValueError, TypeError) as exc:
            raise ValueError(f"{self.path / _DEPARTED} is damaged ({exc}): delete it, and counters begin anew") from exc

    def _member(self, worker: str) -> Member | None:
        try:
            values = json.loads(self._file("json", worker).read_bytes())
        except FileNotFoundError:  # it has joined and not written yet
            return None
        except ValueError as exc:  # the machine went down while it was written
            logger.warning("the reading of worker %s in %s is damaged and left out: %s", worker, self.path, exc)
            return None
        breakers = [
            Reading(one["name"], one["counts"], one["condition"] and condition_from_json(one["condition"]))
            for one in values["breakers"]
        ]
        return Member(breakers, values["removed"], values["evictions"])

    def _file(self, suffix: str, worker: str | None = None) -> Path:
        return self.path / f"{_WORKER}{self._worker if worker is None else worker}.{suffix}"


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, values: object, *, durable: bool = False) -> None:
    new = path.with_name(f"{path.name}.new")
    with open(new, "w", encoding="utf-8", opener=_private) as file:
        json.dump(values, file, separators=(",", ":"))
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(new, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
