"""Run the samples of one page in order, in one temporary folder, on free ports."""

import difflib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from testing.samples.page import RUNNABLE, Block, Page
from testing.servers import free_port

ROOT = Path(__file__).parent.parent.parent
SERVICE_PORT = "8080"
TIME_LIMIT = 60.0
"""Seconds for one block, for a server to listen, and for an `eventually` to come true."""

SHELL = ["bash", "-euo", "pipefail", "-c"]
# `make` belongs to the repository, wherever the page's folder is.
PRELUDE = f'make() {{ command make --no-print-directory -C "{ROOT}" "$@"; }}\n'


@dataclass
class Folder:
    """Where a page runs: its folder, its ports, its processes in the background, and a folder for their sockets."""

    path: Path
    ports: dict[str, str]
    runtime: str
    background: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Our programs on the path, and the service's defaults turned to this folder."""
        port = self.ports.get(SERVICE_PORT, SERVICE_PORT)
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("INCIDENT_MANAGER_", "MAKE"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            "VENV": str(Path(sys.executable).parent.parent),
            "PORT": port,
            "DATA_DIR": str(self.path / "data"),
            "XDG_RUNTIME_DIR": self.runtime,
        }

    def here(self, text: str) -> str:
        """The page's text with its ports replaced by ours."""
        return _replace_ports(text, self.ports)

    def as_on_page(self, text: str) -> str:
        """Output of a program with our ports replaced by the page's."""
        return _replace_ports(text, {ours: pages for pages, ours in self.ports.items()})


def _replace_ports(text: str, ports: dict[str, str]) -> str:
    if not ports:
        return text
    return re.sub(rf"\b({'|'.join(ports)})\b", lambda match: ports[match[1]], text)


def run_page(page: Page, path: Path) -> list[str]:
    """Run every sample of a page in the folder ``path``; return the reasons of those that are not run.

    Raises:
        SampleError: A sample failed, or printed something else than the page says.
    """
    not_run = []
    with ExitStack() as stack:
        runtime = stack.enter_context(TemporaryDirectory(prefix="run-"))  # not below `path`: sockets need a short one
        folder = Folder(path, {port: str(free_port()) for port in page.ports}, runtime)
        stack.callback(_stop_all, folder)
        if _needs_service(page):
            stack.enter_context(_service(page, folder))
        for block in page.blocks:
            if "not-run" in block.options:
                not_run.append(f"{page.path.name}:{block.line}: {block.options['not-run']}")
            else:
                _run_block(block, folder)
    return not_run


def _needs_service(page: Page) -> bool:
    """Whether the page asks the service for something without having started it."""
    starts = any(block.options.get("port") == SERVICE_PORT for block in page.blocks)
    used = [block for block in page.blocks if block.language in RUNNABLE or "file" in block.options]
    return SERVICE_PORT in Page(page.path, tuple(used)).ports and not starts


@contextmanager
def _service(page: Page, folder: Folder) -> Iterator[None]:
    options = {"background": "service", "port": SERVICE_PORT}
    command = f"incident-manager serve --port {SERVICE_PORT} --data-dir data"
    _start(Block(page.path, 0, "bash", command, options), folder)
    yield
    _stop("service", folder)


def _run_block(block: Block, folder: Folder) -> None:
    if block.language == "stop":
        _stop(block.options["stop"], folder)
    elif "file" in block.options:
        (folder.path / block.options["file"]).write_text(folder.here(block.text))
    elif "background" in block.options:
        _start(block, folder)
    elif block.language == "console":
        for sample in _session(block):
            _check(sample, folder)
    elif block.language in RUNNABLE:
        _check(block, folder)


def _session(block: Block) -> Iterator[Block]:
    """The commands of a console block, each with what it prints below it."""
    command, output = "", ""
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield Block(block.page, block.line, "bash", command, block.options, output)
            command, output = line[2:], ""
        elif command.endswith("\\\n"):
            command += line
        elif command:
            output += line
        else:
            raise block.error('a console block begins with "$ " and a command')
    yield Block(block.page, block.line, "bash", command, block.options, output)


def _check(block: Block, folder: Folder) -> None:
    """Run one block; again and again until it is right, if it says `eventually`."""
    deadline = time.monotonic() + TIME_LIMIT
    while problem := _problem(block, folder):
        if "eventually" not in block.options or time.monotonic() > deadline:
            raise block.error(problem)
        time.sleep(0.2)


def _problem(block: Block, folder: Folder) -> str | None:
    """What is wrong with one run of a block; None when nothing is."""
    done = subprocess.run(
        _command(block, folder),
        cwd=folder.path,
        env=folder.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT * 2,
    )
    if done.returncode != 0:
        return f"it ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    printed = folder.as_on_page(done.stdout)
    if block.expected is None or matches(block.expected, printed):
        return None
    difference = difflib.unified_diff(
        block.expected.splitlines(), printed.splitlines(), "on the page", "printed", lineterm=""
    )
    return "it prints something else:\n" + "\n".join(difference)


def _command(block: Block, folder: Folder) -> list[str]:
    text = folder.here(block.text)
    return [sys.executable, "-c", text] if block.language == "python" else [*SHELL, PRELUDE + text]


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as expected: ``...`` is any text in a line, and a line of ``...`` any lines.

    Blanks at the ends of lines and empty lines at both ends do not count.
    """
    parts = []
    for line in expected.strip().splitlines():
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"[ \t]*\n")
    return re.fullmatch("".join(parts), printed.strip() + "\n") is not None


def _start(block: Block, folder: Folder) -> None:
    """Start a block in the background and wait until it listens."""
    name, port = block.options["background"], block.options.get("port")
    if port is None:
        raise block.error("a background sample says on which port it listens: port=8080")
    if name in folder.background:
        raise block.error(f"{name} runs already; stop it first")
    log = folder.path / f"{name}.log"
    with log.open("ab") as output:
        folder.background[name] = process = subprocess.Popen(
            _command(block, folder),
            cwd=folder.path,
            env=folder.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + TIME_LIMIT
    while not _listens(int(folder.ports[port])):
        if process.poll() is not None or time.monotonic() > deadline:
            raise block.error(f"it does not listen on port {port}:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(name: str, folder: Folder) -> None:
    """Stop what a background block started, as Ctrl-C does, with all its children."""
    process = folder.background.pop(name)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=15)


def _stop_all(folder: Folder) -> None:
    for name in list(folder.background):
        _stop(name, folder)
