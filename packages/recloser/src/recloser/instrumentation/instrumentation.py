"""Putting the clients of a program behind breakers from outside, and taking that back."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from recloser.breaker import CircuitBreaker
from recloser.config import Config, load_config
from recloser.errors import ConfigError
from recloser.events import Control
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.imports import ImportHook
from recloser.instrumentation.patches import Patches
from recloser.instrumentation.services import Services
from recloser.registry import Registry
from recloser.settings import Settings
from recloser.targets import TARGETS, Target

logger = logging.getLogger("recloser")

SHADOW = "observe_only of the instrumentation"
"""The reason that breakers in shadow mode show."""


class Instrumentation:
    """What `instrument` has done to this process.

    Attributes:
        registry: Holds the breakers of the dependencies; the program's own breakers are not in it.
        observe_only: Whether nothing is ever rejected.
        failed: Clients that could not be patched, and why; they work as without instrumentation.
        services: What the process offers besides: admin socket, metrics, report.
    """

    def __init__(self, config: Config, registry: Registry, *, observe_only: bool) -> None:
        self.registry = registry
        self._config = config
        self.observe_only = observe_only
        self.failed: dict[str, str] = {}
        self._lock = threading.RLock()
        self.services: Services | None = None
        self._dependencies = Dependencies(registry, config.instrument.leave_out, keep=observe_only)
        self._targets = {target.client: target for target in TARGETS if self._is_wanted(target)}
        self._patches: list[tuple[str, Patches]] = []  # twice for a client that has been reloaded
        self._on_first_patch: list[Callable[[], None]] = []
        self._hook = ImportHook(self._targets, self._imported)
        config.apply(registry)
        registry.set_overlay(_Overlay(config, observe_only=observe_only))
        if observe_only:
            registry.select().observe_only(SHADOW)

    @property
    def patched(self) -> dict[str, tuple[str, ...]]:
        """The clients that are protected, and what has been replaced in each."""
        return {client: patches.names for client, patches in self._patches}

    @property
    def waiting(self) -> tuple[str, ...]:
        """The clients that will be protected if the program imports them."""
        return tuple(client for client in self._targets if client not in (*self.patched, *self.failed))

    def start(self) -> None:
        """Protect the clients that are imported now, and those that will be."""
        self._hook.install()
        for client in self._targets:
            if client in sys.modules:
                importlib.import_module(client)  # another thread may be in the middle of it
                self._imported(client)

    def on_first_patch(self, action: Callable[[], None]) -> None:
        """Do something once the program uses a client; at once, if it does so already."""
        with self._lock:
            if not self._patches:
                self._on_first_patch.append(action)
                return
        action()

    def undo(self) -> None:
        """Make every client what it was. The breakers stay where they are, and nobody asks them any more."""
        with self._lock:
            self._hook.remove()
            self._dependencies.active = False
            self.registry.set_overlay(self._config)
            while self._patches:
                client, patches = self._patches.pop()
                for name in patches.undo():
                    logger.warning("%s of %s was replaced by somebody else since and stays so", name, client)

    def after_fork(self) -> None:
        """In a forked child: another thread may have held the lock, and is gone."""
        self._lock = threading.RLock()

    def _is_wanted(self, target: Target) -> bool:
        return any(map(self._dependencies.wants_client, (target.client, *target.carries)))

    def _imported(self, client: str) -> None:
        # Nothing is locked while a client is patched: that imports, and an import may wait for another thread's.
        patches = Patches()
        try:
            _patch_of(self._targets[client])(patches, self._dependencies)
        except Exception as error:  # whatever the client has become: the program must run
            logger.exception("%s could not be protected; it works as without recloser", client)
            patches.undo()
            self.failed[client] = f"{type(error).__name__}: {error}"
            return
        with self._lock:
            actions, self._on_first_patch = self._on_first_patch, []
            self._patches.append((client, patches))
        for action in actions:
            action()


class _Overlay:
    """Lets a configuration have its say on each breaker, and puts it into shadow mode before its first call."""

    def __init__(self, config: Config, *, observe_only: bool) -> None:
        self._config = config
        self._observe_only = observe_only

    def settings_over(self, breaker: CircuitBreaker, code: Settings) -> Settings:
        if self._observe_only and breaker.control is Control.AUTOMATIC:
            breaker.observe_only(SHADOW)
        try:
            return self._config.settings_over(breaker, code)
        except ConfigError as error:  # found out in the middle of a call of the program, which must not end by it
            logger.error("%s has the settings of its kind: %s", breaker.name, error)
            return code


def _patch_of(target: Target) -> Callable[[Patches, Dependencies], None]:
    module, _, function = target.patch.partition(":")
    patch: Callable[[Patches, Dependencies], None] = getattr(
        importlib.import_module(f"recloser.instrumentation.clients.{module}"), function
    )
    return patch


_lock = threading.RLock()
_active: Instrumentation | None = None


def instrument(
    config: str | os.PathLike[str] | Config | None = None,
    *,
    observe_only: bool | None = None,
    registry: Registry | None = None,
    admin_folder: str | os.PathLike[str] | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    report: str | os.PathLike[str] | None = None,
    run: int | None = None,
) -> Instrumentation:
    """Put a breaker in front of each dependency that this process reaches through a client that recloser knows.

    Clients that are imported already are patched now, others when they are imported. Clients made before are
    protected as well, but for `asyncpg` pools (their statements are, their connecting is not) and names such as
    `psycopg.connect` that a module has taken for itself before. What the program protects itself stays as it is.

    Args:
        config: A file for `load_config`, whose section `instrument` is meant for this, or what that returns; None
            takes presets by kind, and the environment.
        observe_only: Shadow mode: decide and record, reject nothing. None takes the file's word, else False.
        registry: Where the breakers are made; default: one of its own, so that they never meet those of the program.
        admin_folder: A folder for the admin socket of each process, which `recloser list` and its like talk to; None
            for none. `recloser.instrumentation.admin_folder()` is the one that they look into.
        metrics_port: Port to serve Prometheus metrics on; None for none. Needs `recloser[prometheus]`.
        metrics_host: Address to do so at.
        report: Where to write what was seen when the process ends: a file, `-` for standard error, None for nowhere.
        run: Number of the run that this process belongs to; default: its own process id.

    Returns:
        What was done. When this process is instrumented already, that stays as it is and is returned.

    Raises:
        ConfigError: The configuration was refused. Nothing has changed.
    """
    global _active
    with _lock:
        if _active is not None:
            logger.warning("this process is instrumented already; uninstrument() it first to do so differently")
            return _active
        chosen = config if isinstance(config, Config) else load_config(config)
        shadow = chosen.instrument.observe_only if observe_only is None else observe_only
        made = Instrumentation(chosen, Registry() if registry is None else registry, observe_only=shadow)
        made.services = Services(
            made.registry,
            observe_only=shadow,
            admin_folder=None if admin_folder is None else Path(admin_folder),
            metrics=None if metrics_port is None else (metrics_host, metrics_port),
            report=None if report is None else os.fspath(report),
            run=os.getpid() if run is None else run,
        )
        made.on_first_patch(made.services.start)
        made.start()
        _active = made
        return made


def uninstrument() -> None:
    """Undo `instrument`: each client is again exactly what it was, and no breaker is asked any more.

    The breakers stay in their registry with what they have counted. Responses that are being read and calls that are
    under way end as they began. Without instrumentation nothing happens.
    """
    global _active
    with _lock:
        if _active is not None:
            _active.undo()
            if _active.services is not None:
                _active.services.stop()
            _active = None


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it, and is gone
    if _active is not None:
        _active.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
