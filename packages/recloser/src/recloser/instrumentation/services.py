"""What a process offers while it is instrumented: an admin socket, metrics, and a report at its end."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing import util
from pathlib import Path
from typing import Any

from recloser.instrumentation.admin.commands import Commands
from recloser.instrumentation.admin.server import AdminServer
from recloser.instrumentation.report import Recorder
from recloser.registry import Registry

logger = logging.getLogger("recloser")

_PATIENCE = 3.0
"""Seconds that a report may take when the process is told to end."""


class Services:
    """Begins with the first client that the program uses, ends with the process.

    Args:
        registry: The breakers.
        observe_only: Whether they are in shadow mode.
        admin_folder: Where the admin socket is made; None for none.
        metrics: Address and port of the metrics; None for none.
        report: Where the report goes; see `Recorder.write`. None for none.
        run: The run that this process belongs to.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        observe_only: bool,
        admin_folder: Path | None,
        metrics: tuple[str, int] | None,
        report: str | None,
        run: int,
    ) -> None:
        self._registry = registry
        self._recorder = Recorder(registry, observe_only=observe_only)
        self._metrics = metrics
        self._report = report
        self._ended_in: int | None = None
        self._finalizer: util.Finalize | None = None
        self._stop_metrics: Callable[[bool], None] | None = None
        answer = Commands(registry, self._recorder).answer
        self._admin = None if admin_folder is None else AdminServer(admin_folder, run, answer)
        _alive.add(self)

    def start(self) -> None:
        """Begin."""
        atexit.register(self.end)
        # A child of multiprocessing leaves without atexit: this may be one, and one may be forked later.
        self._end_with_multiprocessing()
        util.register_after_fork(self, Services._end_with_multiprocessing)
        if self._admin is not None:
            self._admin.start()
        if self._metrics is not None:
            self._serve_metrics(*self._metrics)

    def end(self) -> None:
        """Write the report and remove the socket, once in a process."""
        if self._ended_in == os.getpid():
            return
        self._ended_in = os.getpid()
        if self._admin is not None:
            self._admin.stop()
        if self._report is not None:
            try:
                self._recorder.write(self._report)
            except OSError as error:
                logger.warning("the report could not be written to %s: %s", self._report, error)

    def stop(self) -> None:
        """End without a report."""
        _alive.discard(self)
        atexit.unregister(self.end)
        if self._finalizer is not None:
            self._finalizer.cancel()
        self._report = None
        self.end()
        self._recorder.stop()
        if self._stop_metrics is not None:
            self._stop_metrics(True)
            self._stop_metrics = None

    def after_fork(self) -> None:
        """In a forked child: it has counted nothing yet, and the port of the metrics is the parent's."""
        self._recorder.after_fork()
        if self._stop_metrics is not None:
            self._stop_metrics(False)
            self._stop_metrics = None

    def _end_with_multiprocessing(self) -> None:
        self._finalizer = util.Finalize(None, self.end, exitpriority=0)

    def _serve_metrics(self, host: str, port: int) -> None:
        try:
            self._stop_metrics = _serve_metrics(self._registry, host, port)
        except (OSError, ImportError) as error:
            logger.warning("process %d serves no metrics on %s:%d: %s", os.getpid(), host, port, error)


def _serve_metrics(registry: Registry, host: str, port: int) -> Callable[[bool], None]:
    from prometheus_client import CollectorRegistry, start_http_server

    from recloser.telemetry.prometheus import BreakerCollector

    collected = CollectorRegistry()
    BreakerCollector(registry, register=collected)
    served: Any = start_http_server(port, addr=host, registry=collected)
    server, thread = served

    def stop(ours: bool) -> None:
        if ours:
            server.shutdown()
            thread.join()
        server.server_close()

    return stop


_alive: weakref.WeakSet[Services] = weakref.WeakSet()


def end_all() -> None:
    """End the services of a process that a signal is about to end.

    In a thread of its own, and not for long: the main thread may be interrupted where it holds a lock that the report
    needs.
    """
    thread = threading.Thread(target=_end_all, daemon=True)
    thread.start()
    thread.join(timeout=_PATIENCE)


def _end_all() -> None:
    for services in list(_alive):
        services.end()


def _after_fork_in_child() -> None:
    for services in list(_alive):
        services.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
