"""`recloser top` as a command: once into a pipe, again and again on a terminal that it leaves as it was."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages.recloser.tests.instrumentation.programs import Programs
from packages.recloser.tests.support import settings

from recloser import Registry
from recloser.cli import main
from recloser.instrumentation.admin.commands import Commands
from recloser.instrumentation.admin.server import AdminServer
from recloser.instrumentation.report import Recorder

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def registry() -> Registry:
    made = Registry(settings())
    made.get_or_create("http:example.com")
    made.get_or_create("redis:cache").force_open("an exercise")
    return made


@pytest.fixture
def sockets(registry: Registry, tmp_path: Path) -> Iterator[str]:
    """The folder of the admin socket of this process."""
    with Programs(tmp_path) as programs:
        recorder = Recorder(registry, observe_only=False)
        server = AdminServer(programs.sockets, os.getpid(), Commands(registry, recorder).answer)
        server.start()
        yield str(programs.sockets)
        server.stop()
        recorder.stop()


def test_pipe_gets_the_table_once(sockets: str, capsys: Output) -> None:
    assert main(["top", "--admin-socket", sockets]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split()[:3] == ["state", "name", "program"]
    assert [row.split()[:2] for row in rows] == [["open", "redis:cache"], ["closed", "http:example.com"]]


def test_json_is_for_programs(sockets: str, capsys: Output) -> None:
    assert main(["top", "http:*", "--json", "--admin-socket", sockets]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["name"], found["state"], found["calls"]) == ("http:example.com", "closed", 0)


def test_filters_and_order(sockets: str, capsys: Output) -> None:
    assert main(["top", "--once", "--state", "closed", "--admin-socket", sockets]) == 0
    assert "redis:cache" not in capsys.readouterr().out
    assert main(["top", "--once", "--sort", "name", "--admin-socket", sockets]) == 0
    assert [row.split()[1] for row in capsys.readouterr().out.splitlines()[1:]] == ["http:example.com", "redis:cache"]


def test_nothing_to_be_read_is_code_1(tmp_path: Path, capsys: Output) -> None:
    assert main(["top", "--once", "--admin-socket", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"recloser: no process with an admin socket in {tmp_path}\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--interval", "0"], "must be 0.1 to 3600 seconds"),
        (["--interval", "nan"], "must be 0.1 to 3600 seconds"),
        (["--url", "ftp://x"], "must be such as http://127.0.0.1:9090/metrics"),
        (["--url", "http://ana:secret@x"], "without a user"),
        (["--sort", "luck"], "invalid choice"),
    ],
)
def test_wrong_usage_is_code_2(words: list[str], problem: str, capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["top", *words])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert problem in said
    assert "secret" not in said


class Terminal:
    """`recloser top` on a terminal of its own."""

    def __init__(self, sockets: str, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(100, 24)
        self.before = termios.tcgetattr(theirs)
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "recloser", "top", "--interval", "0.1", "--admin-socket", sockets],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**kept, "TERM": "xterm", **variables},
            start_new_session=True,
        )
        self._theirs = theirs
        self.seen = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self._theirs)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def shows(self, text: str, since: int = 0) -> str:
        """What has been written since a place, as soon as the text is in it."""
        deadline = time.monotonic() + 30
        while text not in self.seen[since:]:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen[since:][-2000:]!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self.seen += os.read(self._ours, 65_536).decode()
        return self.seen[since:]

    def end(self) -> int:
        """The exit code; what is written until then is seen."""
        self.shows(LEAVE)
        return self.process.wait(timeout=30)


def test_terminal_is_kept_up_to_date_follows_its_size_and_is_left_as_it_was(sockets: str, registry: Registry) -> None:
    with Terminal(sockets) as terminal:
        assert terminal.shows("http:example.com").count(ENTER) == 1
        assert "\x1b[31mopen\x1b[0m" in terminal.seen
        assert terminal.settings != terminal.before
        registry["http:example.com"].force_open("now")
        terminal.shows("2 open")
        terminal.press("s")
        terminal.shows("sorted by calls")
        at = len(terminal.seen)
        terminal.resize(40, 5)
        terminal.process.send_signal(signal.SIGWINCH)
        frame = terminal.shows("http:exampl…", at).rpartition("\x1b[H")[2]
        assert all(len(re.sub(r"\x1b\[\d*[mKJ]", "", line)) <= 40 for line in frame.splitlines())
        at = len(terminal.seen)
        terminal.process.send_signal(signal.SIGTSTP)  # nobody could make it go on, so that the system does at once
        assert terminal.shows(ENTER, at).index(LEAVE) < terminal.seen[at:].index(ENTER)
        terminal.shows("http:exampl…", len(terminal.seen))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert terminal.settings == terminal.before
        assert terminal.process.stderr is not None
        assert terminal.process.stderr.read() == b""


def test_q_ends_it_and_sigterm_leaves_the_terminal_as_it_was(sockets: str) -> None:
    with Terminal(sockets, NO_COLOR="1") as terminal, Terminal(sockets) as other:
        terminal.shows("redis:cache")
        assert "\x1b[31m" not in terminal.seen
        terminal.press("q")
        assert terminal.end() == 0
        other.shows("redis:cache")
        other.process.terminate()
        assert other.end() == 128 + signal.SIGTERM
        assert other.settings == other.before


def test_escape_ends_it_and_arrow_keys_do_not(sockets: str) -> None:
    with Terminal(sockets) as terminal:
        terminal.shows("sorted by urgency")
        terminal.press("\x1b[A\x1bOB\x1b[1;5C" * 20 + "s")
        terminal.shows("sorted by calls")
        terminal.press("\x1b")
        assert terminal.end() == 0


def test_dumb_terminal_gets_the_table_once(sockets: str) -> None:
    with Terminal(sockets, TERM="dumb") as terminal:
        assert ENTER not in terminal.shows("http:example.com")
        assert terminal.process.wait(timeout=30) == 0


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str, capsys: Output) -> None:
    assert main(["completion", shell]) == 0
    assert "recloser" in capsys.readouterr().out


def test_completion_without_argcomplete_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    assert main(["completion", "bash"]) == 1
    assert "install recloser[completion]" in capsys.readouterr().err


def test_bash_completes_commands_and_choices() -> None:
    program = Path(sys.executable).with_name("recloser")
    script = f"""
        PATH={program.parent}:$PATH
        eval "$(recloser completion bash)"
        for line in 'recloser conf' 'recloser top --sort rej'; do
            COMP_LINE=$line COMP_POINT=${{#line}} COMP_TYPE=9 COMPREPLY=()
            _python_argcomplete recloser
            echo "${{COMPREPLY[@]}}"
        done
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert [line.strip() for line in done.stdout.splitlines()] == ["config", "rejected"]
