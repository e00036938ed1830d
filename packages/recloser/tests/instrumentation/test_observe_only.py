"""`--observe-only`: nothing is rejected, and the report says what would have been."""

import json
import re
import signal
import sys
from pathlib import Path

import pytest
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import Programs, closed_port
from packages.recloser.tests.integrations.raw_server import RawServer, answer

from recloser import Control, State

ASKING = """
import requests
for _ in range(20):
    try:
        print(requests.get("http://127.0.0.1:{port}/", timeout=5).status_code)
    except requests.ConnectionError as error:
        print(type(error).__name__)
"""


def test_every_call_reaches_the_dependency(programs: Programs, server: RawServer) -> None:
    server.otherwise = [answer(500)]
    done = programs.python(ASKING.format(port=server.port), options=["--observe-only"])
    assert done.stdout.split() == ["500"] * 20
    assert len(server.requests) == 20


def test_report_says_what_would_have_been_rejected_and_when_it_would_have_opened(programs: Programs) -> None:
    port = closed_port()
    done = programs.python(ASKING.format(port=port), options=["--observe-only"])
    title, head, row = done.stderr.splitlines()
    assert re.fullmatch(r"recloser: process \d+ \(program\.py\), \d+\.\d s", title)
    assert head.split("  ")[0:2] == ["", "dependency"]
    expected = rf"  http:127\.0\.0\.1:{port} +20 +20 +0 +15  once, first at \d{{4}}-\S+: consecutive_failures"
    assert re.fullmatch(expected, row)


def test_report_as_json(programs: Programs, tmp_path: Path) -> None:
    path, port = tmp_path / "report.json", closed_port()
    done = programs.python(ASKING.format(port=port), options=["--observe-only", "--report", str(path)])
    assert done.stderr == ""
    written = json.loads(path.read_text())
    assert (written["observe_only"], written["program"]) == (True, "program.py")
    [dependency] = written["dependencies"]
    assert dependency.pop("first_opening")["reason"] == "consecutive_failures"
    assert dependency == {
        "name": f"http:127.0.0.1:{port}",
        "calls": 20,
        "failed": 20,
        "slow": 0,
        "rejected": 0,
        "would_be_rejected": 15,
        "openings": 1,
    }


def test_healthy_dependency_would_never_have_opened(programs: Programs, server: RawServer) -> None:
    done = programs.python(ASKING.format(port=server.port), options=["--observe-only"])
    assert done.stderr.splitlines()[-1].split() == [f"http:127.0.0.1:{server.port}", "20", "0", "0", "0", "never"]


def test_process_that_called_nothing_reports_nothing(programs: Programs) -> None:
    assert programs.python("import requests", options=["--observe-only"]).stderr == ""


def test_program_that_ends_by_an_exception_reports(programs: Programs) -> None:
    done = programs.python(ASKING.format(port=closed_port()) + "\n1 / 0", options=["--observe-only"])
    assert done.returncode == 1
    assert "would be rejected" in done.stderr


@pytest.mark.parametrize(
    ("handling", "code"),
    [("pass", -signal.SIGTERM), ("signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))", 3)],
    ids=["not handled", "handled"],
)
def test_program_that_ends_on_sigterm_reports(programs: Programs, handling: str, code: int) -> None:
    source = (
        ASKING.format(port=closed_port())
        + f"""
import signal, sys, time
{handling}
print("ready", flush=True)
time.sleep(60)
"""
    )
    process = programs.start(sys.executable, "-c", source, options=["--observe-only"])
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert errors.count("would be rejected") == 1
    assert process.returncode == code


def test_report_of_a_running_program(programs: Programs) -> None:
    source = ASKING.format(port=closed_port()) + "\nimport sys; print('ready', flush=True); sys.stdin.read()"
    process = programs.start(sys.executable, "-c", source, options=["--observe-only"])
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    text = programs.operate("report").stdout
    assert "would be rejected" in text
    assert text.splitlines()[-1].split()[1:5] == ["20", "20", "0", "15"]
    process.communicate("", timeout=60)


def test_file_may_ask_for_it(programs: Programs) -> None:
    programs.write("breakers.toml", "[instrument]\nobserve_only = true\n")
    done = programs.python(ASKING.format(port=closed_port()), options=["--config", "breakers.toml"])
    assert "CircuitOpenConnectionError" not in done.stdout
    assert "would be rejected" in done.stderr


def test_breakers_are_in_shadow_mode_before_their_first_call(instrument: Instrument, server: RawServer) -> None:
    import requests

    registry = instrument(observe_only=True).registry
    server.otherwise = [answer(500)]
    for _ in range(3):
        assert requests.get(server.url, timeout=5).status_code == 500
    [breaker] = registry
    assert (breaker.control, breaker.state, breaker.stats().observed_rejections) == (
        Control.OBSERVE_ONLY,
        State.OPEN,
        1,
    )
