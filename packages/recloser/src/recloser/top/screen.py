"""A terminal that is drawn on again and again, and is left as it was found."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from types import FrameType

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_ENDING = (signal.SIGTERM, signal.SIGHUP)

_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)  # ECMA-48, 5.4; and Alt with a key
_LONGEST = 32
_HASTE = 0.05
"""Seconds within which a terminal sends the rest of a sequence: after these, Escape was pressed."""

RESIZED = "resize"
"""What `wait` returns when the terminal has another size, or is ours again."""


class Screen:
    """The alternate screen of the terminal at standard input and output, while `open` lasts."""

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._keys)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Take the terminal; give it back however this ends: Ctrl-C, SIGTERM and a closed terminal included.

        Raises:
            SystemExit: SIGTERM or SIGHUP came, with 128 and the signal's number.
        """
        handlers = {each: signal.signal(each, _end) for each in _ENDING}
        for each in (signal.SIGWINCH, signal.SIGCONT):
            handlers[each] = signal.signal(each, self._changed)
        handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        wakeup = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            self._take()
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
                self._give_back()
            os.close(self._woken)
            os.close(self._wake)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return shutil.get_terminal_size()

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines from the top, without flicker; those below the last line of the terminal are left out."""
        height = self.size[1]
        self._write(_HOME + f"{_END_OF_LINE}\n".join(lines[:height]) + _END_OF_LINE + _REST)

    def wait(self, seconds: float) -> str:
        """Wait for a key, at most so long; return what it sends, `RESIZED`, or nothing."""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self._keys, self._woken], [], [], max(0.0, deadline - time.monotonic()))
            if self._woken in ready:
                numbers = os.read(self._woken, 512)
                if signal.SIGCONT in numbers:
                    self._take()
                if {signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP} & set(numbers):
                    return RESIZED
            elif ready:
                return self._key().decode("latin-1") or "q"  # nobody will ever press a key again
            else:
                return ""

    def _key(self) -> bytes:
        """What one key sends: a character, or a sequence that begins with Escape, as that of an arrow does."""
        key = more = os.read(self._keys, 1)
        while more and key.startswith(b"\x1b") and len(key) < _LONGEST and not _SEQUENCE.fullmatch(key):
            ready, _, _ = select.select([self._keys], [], [], _HASTE)
            more = os.read(self._keys, 1) if ready else b""
            key += more
        return key

    def _take(self) -> None:
        tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._write(_ENTER)

    def _give_back(self) -> None:
        self._write(_LEAVE)
        termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Stop as Ctrl-Z asks, with the terminal as the shell expects it, and go on when told."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        self._take()

    def _changed(self, number: int, frame: FrameType | None) -> None:
        """Nothing: the number of the signal is what `wait` is woken with."""

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
