"""What every server under test has in common: a process, a port, a folder, and ways to hurt it."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from testing.servers.accounts import Account, private_folder

HOST = "127.0.0.1"


class ServerStartError(RuntimeError):
    """A server did not come up; the text holds the end of its log."""


_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    Taken below the range the kernel gives to outgoing connections. A port of that range could be taken by any
    client while our server is down, and a client that connects to it could even be connected to itself. Test
    processes that run side by side have ports of their own, since the port is not held until it is used.
    """
    for port in random.sample(range(20_000 + _PROCESS, 32_000, _PROCESSES), 200):
        with contextlib.suppress(OSError):
            _bind_once(port)
            return port
    raise OSError("no free port found between 20000 and 32000")


def _bind_once(port: int) -> None:
    """Take the port and give it back. Raises OSError when somebody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


class Server(ABC):
    """One server process on one port, with its data in a temporary folder.

    Args:
        port: Port to listen on; a free one when left out. It stays the same over restarts.
        start_timeout: Seconds a start may take before `ServerStartError`.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, *, port: int | None = None, start_timeout: float = 30.0) -> None:
        self.port = port if port is not None else free_port()
        self.start_timeout = start_timeout
        self.account = self._account()
        self.folder = private_folder(f"{self.name}-", self.account)
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        atexit.register(self.close)

    # What a kind of server says of itself.

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def _answers(self, connection: socket.socket) -> bool:
        """Whether the server answers a request of its own protocol on a fresh connection."""

    def _account(self) -> Account | None:
        """The account to run as; None for our own."""
        return None

    def _prepare(self) -> None:  # noqa: B027 - most servers have nothing to prepare
        """Create the data before a start; called every time, so it must find existing data."""

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "LC_ALL": "C"}

    # What tests do with it.

    @property
    def running(self) -> bool:
        """Whether the process lives (a frozen one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id. Raises RuntimeError when the server does not run."""
        if self._process is None or not self.running:
            raise RuntimeError(f"the {self.name} server is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the server and return when it has answered a request. Does nothing when it runs.

        Raises:
            ServerStartError: It exited, or did not answer within ``start_timeout`` seconds.
        """
        if self.running:
            return self
        self._frozen = False
        try:
            _bind_once(self.port)  # or somebody else's server might answer for ours
        except OSError as error:
            raise ServerStartError(f"{self.name} cannot listen on port {self.port}: {error}") from error
        self._prepare()
        self._process = self._spawn(self._command())
        self._wait_until_ready(self._process)
        return self

    def stop(self) -> None:
        """Ask the server to end, and return when it has. Its data stays."""
        if not self.running:
            return
        self.thaw()
        assert self._process is not None
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server and its children with SIGKILL, and return when they are gone. Its data stays."""
        if not self.running:
            return
        assert self._process is not None
        family = process_family(self._process.pid)
        _signal_all(family, signal.SIGKILL)
        self._process.wait(timeout=15)
        _wait_until_gone(family)
        self._frozen = False

    def freeze(self) -> None:
        """Stop the server and its children with SIGSTOP: connections open and hang."""
        family = process_family(self.pid)
        _signal_all(family, signal.SIGSTOP)
        self._frozen = True
        _wait_until_stopped(family)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        if self._frozen:
            _signal_all(process_family(self.pid), signal.SIGCONT)
            self._frozen = False

    def restart(self) -> Self:
        """Stop the server if it runs, and start it on the same port with the same data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        atexit.unregister(self.close)
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How it is done.

    @property
    def log(self) -> str:
        """All the server has printed."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _spawn(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        words = [str(part) for part in command]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                words if self.account is None else self.account.command(words),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal must not end it behind our back
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_timeout
        while time.monotonic() < deadline:
            if self._answers_now():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=0.02)
                raise ServerStartError(f"{self.name} exited with {code} on start:\n{self.log[-2000:]}")
        self.kill()
        waited = f"{self.name} did not answer on port {self.port} within {self.start_timeout} s"
        raise ServerStartError(f"{waited}:\n{self.log[-2000:]}")

    def _answers_now(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                return self._answers(connection)
        except OSError:
            return False


def process_family(pid: int) -> list[int]:
    """The process and all its descendants, parents first.

    A process group is not enough: PostgreSQL gives every backend a session of its own.
    """
    children: dict[int, list[int]] = {}
    for child, parent in _all_processes():
        children.setdefault(parent, []).append(child)
    family = [pid]
    for member in family:
        family.extend(children.get(member, []))
    return family


def _all_processes() -> list[tuple[int, int]]:
    """(pid, parent's pid) of all processes."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        return [(int(pid), int(parent)) for pid, parent in (line.split() for line in listing.splitlines())]
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, int(stat[1])) for pid in pids if (stat := _proc_stat(pid))]


def _proc_stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the command's name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_stopped(pids: list[int]) -> None:
    """SIGSTOP takes effect at a thread's next turn: until then it may still answer."""
    deadline = time.monotonic() + 15
    while left := [thread for pid in pids for thread in Path(f"/proc/{pid}/task").glob("*") if _runs(thread)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"threads {left} survived SIGSTOP for 15 s")
        time.sleep(0.001)


def _runs(thread: Path) -> bool:
    try:
        state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has ended
        return False
    return state not in "TtZX"


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 15
    while left := [pid for pid in pids if _alive(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} survived SIGKILL for 15 s")
        time.sleep(0.005)


def _alive(pid: int) -> bool:
    stat = _proc_stat(pid)
    if stat is not None:
        return stat[0] not in "ZX"  # nobody may be there to reap an orphan in a container
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
