"""A configuration file that is applied anew whenever it changes."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from recloser.config import applied, files
from recloser.config.config import Config
from recloser.errors import ConfigError, SettingsError
from recloser.registry import Registry

logger = logging.getLogger("recloser")


class ConfigWatcher:
    """Applies a configuration file to a registry, and again whenever its content changes.

    A change is taken when the file reads the same twice in a row, so that one which is still being written is left
    alone. A file that is refused is logged once and changes nothing; the settings before it stay until it is valid.
    State, windows and counters of the breakers stay in any case.

    The thread does not survive `os.fork`: call `start` in each worker process.

    Args:
        path: The file; see `load_config`.
        registry: Whose breakers it configures.
        interval: Seconds between two looks at the file.
        environ: The variables; see `load_config`.
        on_change: Called with the names of the breakers that got new settings, if there are any. An error in it is
            logged.

    Attributes:
        config: The configuration in force; None before the first.
        error: Why the file as it is now was refused; None when it is in force.

    Raises:
        SettingsError: `interval` was refused.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        registry: Registry,
        *,
        interval: float = 5.0,
        environ: Mapping[str, str] = os.environ,
        on_change: Callable[[list[str]], object] | None = None,
    ) -> None:
        if not (interval > 0 and math.isfinite(interval)):
            raise SettingsError("interval", interval, "must be a finite number of seconds, greater than 0")
        self.config: Config | None = None
        self.error: ConfigError | None = None
        self._path = Path(path)
        self._registry = registry
        self._interval = interval
        self._environ = environ
        self._on_change = on_change
        self._taken: bytes | str | None = None
        self._noticed: bytes | str | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Apply the file and watch it from a daemon thread. Does nothing when it runs already.

        Raises:
            ConfigError: The file is refused: there are no settings before it that could stay.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        self._announce(self._load())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="recloser-config", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the settings stay. Waits for a reload that is under way."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def check(self) -> list[str]:
        """Reload now. A file that is refused is logged, see `error`, and changes nothing.

        Returns:
            The names of the breakers that got new settings.
        """
        before = self.error
        try:
            changed = self._load()
        except ConfigError as error:
            if before is None or str(before) != str(error):
                logger.error("the old settings stay, the configuration is refused: %s", error)
            return []
        if before is not None:
            logger.info("the configuration %s is valid again", self._path)
        self._announce(changed)
        return changed

    def __enter__(self) -> Self:
        """As `start`."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `stop`."""
        self.stop()

    def _load(self) -> list[str]:
        with applied.lock:  # from reading to applying: two reloads at once must not end with the older file
            self._taken = content = self._content()
            try:
                if isinstance(content, str):
                    raise ConfigError(str(self._path), "", content)
                config = Config(files.parse(str(self._path), content), self._environ)
                changed = config.apply(self._registry)
            except ConfigError as error:
                self.error = error
                raise
            self.config, self.error = config, None
            return changed

    def _content(self) -> bytes | str:
        """What is in the file, or why that cannot be said."""
        try:
            return files.read(self._path)[1]
        except ConfigError as error:
            return error.problem

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            try:
                self._look()
            except Exception:  # whatever it was, the next look may go well
                logger.exception("the configuration %s could not be reloaded", self._path)

    def _look(self) -> None:
        # The content itself is compared: a small file costs nothing to read, and times and sizes can deceive.
        content = self._content()
        if content != self._taken and content == self._noticed:
            self.check()
        self._noticed = content

    def _announce(self, changed: list[str]) -> None:
        if not changed:
            return
        logger.info("%s gave new settings to %s", self._path, ", ".join(changed))
        if self._on_change is not None:
            try:
                self._on_change(changed)
            except Exception:  # user code; the settings are in force whatever it does
                logger.exception("on_change of the configuration %s failed", self._path)
