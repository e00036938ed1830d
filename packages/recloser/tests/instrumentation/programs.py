"""Programs under `recloser run`: real processes, their sockets and their reports."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BIN = Path(sys.executable).parent
RECLOSER = str(BIN / "recloser")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true value of a condition, asked again and again until the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return value


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Programs:
    """Starts them, and ends those that still run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._short = tempfile.TemporaryDirectory(prefix="rc-")  # the path of a socket must be short
        self.sockets = Path(self._short.name, "s")
        self._running: list[subprocess.Popen[str]] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECLOSER_")},
            "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
        self._short.cleanup()

    def write(self, name: str, source: str) -> Path:
        """A file in the folder of the programs."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    def start(self, *command: str | Path, options: Sequence[str] = (), **variables: str) -> subprocess.Popen[str]:
        """Start a command under `recloser run`, in a process group of its own."""
        words = [RECLOSER, "run", "--admin-socket", str(self.sockets), *options, "--", *map(str, command)]
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def run(
        self, *command: str | Path, options: Sequence[str] = (), stdin: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command under `recloser run` to its end."""
        process = self.start(*command, options=options, **variables)
        output, errors = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def python(
        self, source: str, *arguments: str, options: Sequence[str] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script under `recloser run`."""
        return self.run(sys.executable, self.write("program.py", source), *arguments, options=options, **variables)

    def operate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `recloser` to what is running."""
        command = [RECLOSER, *words, "--admin-socket", str(self.sockets)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=self.environment)

    def breakers(self) -> list[dict[str, Any]]:
        """The breakers of what is running; empty while nothing listens."""
        done = self.operate("list", "--json")
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def reports(self, path: Path) -> list[dict[str, Any]]:
        """The reports in a file."""
        return [json.loads(line) for line in path.read_text().splitlines()]
