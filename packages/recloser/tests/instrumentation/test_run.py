"""`recloser run`: the program is the process itself, and is what it would be without."""

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packages.recloser.tests.instrumentation.programs import BIN, RECLOSER, Programs, closed_port, wait_until

FAILING = """
import sys, urllib.request, requests
for _ in range(8):
    try:
        requests.get("http://127.0.0.1:%d/", timeout=5)
    except requests.ConnectionError as error:
        print(type(error).__name__)
"""


def failing() -> str:
    return FAILING % closed_port()


def protected_calls(output: str) -> int:
    return output.split().count("CircuitOpenConnectionError")


# The program's calls are protected, however it is started


def test_script_is_protected(programs: Programs) -> None:
    done = programs.python(failing())
    assert done.stdout.split() == ["ConnectionError"] * 5 + ["CircuitOpenConnectionError"] * 3
    assert done.stderr == ""


def test_module_is_protected(programs: Programs) -> None:
    programs.write("package/__init__.py", "")
    programs.write("package/__main__.py", failing())
    assert protected_calls(programs.run(sys.executable, "-m", "package").stdout) == 3


def test_code_of_the_command_line_is_protected(programs: Programs) -> None:
    assert protected_calls(programs.run(sys.executable, "-c", failing()).stdout) == 3


def test_console_script_is_protected(programs: Programs) -> None:
    script = programs.write("tool", f"#!{sys.executable}\n{failing()}")
    script.chmod(0o755)
    assert protected_calls(programs.run(script).stdout) == 3


def test_python_that_the_program_starts_is_protected(programs: Programs) -> None:
    child = programs.write("child.py", failing())
    middle = programs.write("middle.py", f"import subprocess, sys; subprocess.run([sys.executable, {str(child)!r}])")
    done = programs.python(f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(middle)!r}]))")
    assert protected_calls(done.stdout) == 3


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_of_multiprocessing_is_protected_and_reports(programs: Programs, method: str, tmp_path: Path) -> None:
    source = f"""
import multiprocessing

def work():
    import requests
    for _ in range(8):
        try:
            requests.get("http://127.0.0.1:{closed_port()}/", timeout=5)
        except requests.ConnectionError as error:
            print(type(error).__name__, flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
    print(process.exitcode)
"""
    report = tmp_path / "report.jsonl"
    done = programs.python(source, options=["--report", str(report)])
    assert protected_calls(done.stdout) == 3
    assert done.stdout.split()[-1] == "0"
    [written] = programs.reports(report)
    [dependency] = written["dependencies"]
    assert (dependency["failed"], dependency["rejected"], dependency["openings"]) == (5, 3, 1)


def test_forked_child_reports_only_what_it_did_itself(programs: Programs, tmp_path: Path) -> None:
    source = f"""
import os, sys, requests

def ask(times):
    for _ in range(times):
        try:
            requests.get("http://127.0.0.1:{closed_port()}/", timeout=5)
        except requests.ConnectionError:
            pass

ask(2)
child = os.fork()
ask(1 if child else 2)
if child:
    os.waitpid(child, 0)
"""
    report = tmp_path / "report.json"
    assert programs.python(source, options=["--report", str(report)]).returncode == 0
    counts = [written["dependencies"][0]["failed"] for written in programs.reports(report)]
    assert sorted(counts) == [2, 3]
    assert len({written["pid"] for written in programs.reports(report)}) == 2


# It is what it would be without


def test_program_is_the_process_that_was_started(programs: Programs) -> None:
    process = programs.start(sys.executable, "-c", "import os; print(os.getpid())")
    output, _ = process.communicate(timeout=60)
    assert int(output) == process.pid


def test_arguments_folder_input_and_exit_code_are_the_programs(programs: Programs) -> None:
    source = "import os, sys, requests; print(sys.argv[1:], os.getcwd(), sys.stdin.read()); sys.exit(7)"
    path = programs.write("sub/program.py", source)
    done = programs.run(sys.executable, path, "--config", "x", "--", "-v", stdin="typed")
    assert done.stdout == f"['--config', 'x', '--', '-v'] {programs.folder} typed\n"
    assert done.returncode == 7


def test_separator_may_be_left_out(programs: Programs) -> None:
    command = [RECLOSER, "run", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--report", "--", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=programs.folder)
    assert done.stdout == "['--report', '--', 'x']\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_signal_ends_the_program_as_it_would_without(programs: Programs, number: signal.Signals) -> None:
    source = "import requests, signal, time; print('ready', flush=True); time.sleep(60)"
    process = programs.start(sys.executable, "-c", source)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number is signal.SIGINT)


def test_handler_of_the_program_gets_the_signal(programs: Programs) -> None:
    source = """
import requests, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
print("ready", flush=True)
time.sleep(60)
"""
    process = programs.start(sys.executable, "-c", source)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(timeout=60) == 3


def test_module_path_and_loaded_modules_are_as_without(programs: Programs) -> None:
    source = "import sys, json; print(json.dumps([sys.path[1:], 'recloser' in sys.modules]))"
    with_it = json.loads(programs.python(source).stdout)
    without = subprocess.run([sys.executable, programs.folder / "program.py"], capture_output=True, text=True)
    assert with_it == json.loads(without.stdout)


def test_client_module_is_as_without(programs: Programs) -> None:
    source = """
import json, requests
spec = requests.__spec__
print(json.dumps([type(spec.loader).__name__, vars(spec.loader), spec.origin, spec.loader is requests.__loader__]))
"""
    with_it = programs.python(source).stdout
    without = subprocess.run([sys.executable, programs.folder / "program.py"], capture_output=True, text=True)
    assert with_it == without.stdout


def test_client_that_the_program_does_not_use_is_not_imported(programs: Programs) -> None:
    source = "import sys, requests; print(sorted({'httpx', 'redis', 'sqlalchemy', 'openai'} & set(sys.modules)))"
    assert programs.python(source).stdout == "[]\n"


def test_forking_gives_no_warning_about_threads_of_ours(programs: Programs) -> None:
    source = """
import os, threading, requests
before = threading.active_count()
child = os.fork()
if not child:
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    done = programs.python(source, PYTHONWARNINGS="error")
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


# Other people's startup code and Pythons


def test_sitecustomize_that_was_there_before_is_run(programs: Programs) -> None:
    programs.write("custom/sitecustomize.py", "import builtins; builtins.customised = True")
    path = os.pathsep.join(filter(None, [str(programs.folder / "custom"), os.environ.get("PYTHONPATH", "")]))
    source = f"import builtins, sitecustomize; print(builtins.customised, sitecustomize.__file__)\n{failing()}"
    done = programs.python(source, PYTHONPATH=path)
    assert done.stdout.splitlines()[0] == f"True {programs.folder}/custom/sitecustomize.py"
    assert protected_calls(done.stdout) == 3


def test_error_in_a_sitecustomize_that_was_there_before_is_reported_as_without(programs: Programs) -> None:
    programs.write("custom/sitecustomize.py", "1 / 0")
    done = programs.python(failing(), PYTHONPATH=str(programs.folder / "custom"))
    assert "ZeroDivisionError" in done.stderr
    assert protected_calls(done.stdout) == 3


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which nothing is installed."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin/python"


def test_python_without_recloser_goes_on_working(programs: Programs, other_python: Path) -> None:
    programs.write("redis.py", "print('a module of the program')")
    child = f"import subprocess; subprocess.run([{str(other_python)!r}, '-c', 'import redis'], check=True)"
    done = programs.run(sys.executable, "-c", child)
    assert (done.stdout, done.stderr, done.returncode) == ("a module of the program\n", "", 0)


def test_command_whose_python_has_no_recloser_says_so(programs: Programs, other_python: Path) -> None:
    programs.write("redis.py", "print('a module of the program')")
    done = programs.run(other_python, "-c", "import redis")
    assert (done.stdout, done.returncode) == ("a module of the program\n", 0)
    assert done.stderr.startswith(f"recloser: not protected: {other_python}: No module named 'recloser'")


def test_client_that_cannot_be_patched_works_and_the_log_says_why(programs: Programs) -> None:
    programs.write("aiohttp.py", "class ClientSession:\n    pass\n")
    done = programs.python("import aiohttp; print(aiohttp.ClientSession.__name__)")
    assert (done.stdout, done.returncode) == ("ClientSession\n", 0)
    assert "aiohttp could not be protected; it works as without recloser" in done.stderr


def test_module_of_the_program_that_fails_to_import_fails_as_without(programs: Programs) -> None:
    programs.write("redis.py", "raise ValueError('broken')")
    done = programs.python("import redis")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: broken\n")


# What is refused before the program starts


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--config", "missing.yaml"], "missing.yaml: cannot be read: No such file or directory"),
        (["--config", "wrong.yaml"], "wrong.yaml: instrument.kinds.http.open_for: -1: must be a finite number"),
        (["--metrics-port", "0"], "--metrics-port 0: must be a port, 1 to 65535"),
        (["--report", "missing/report.json"], "--report missing/report.json: cannot be written"),
        (["--admin-socket", "a" * 100], "the path of a socket in it would have"),
        (["--admin-socket", "wrong.yaml"], "--admin-socket wrong.yaml: cannot be a folder of sockets"),
    ],
)
def test_wrong_option_is_refused_before_the_program_starts(
    programs: Programs, options: list[str], problem: str
) -> None:
    programs.write("wrong.yaml", "instrument: {kinds: {http: {open_for: -1}}}")
    done = programs.run(sys.executable, "-c", "print('started')", options=options)
    assert (done.stdout, done.returncode) == ("", 2)
    assert problem in done.stderr


def test_command_that_does_not_exist_is_127(programs: Programs) -> None:
    done = programs.run("no-such-command")
    assert (done.returncode, done.stderr) == (127, "recloser: no-such-command: no such command\n")


def test_command_that_cannot_be_executed_is_126(programs: Programs) -> None:
    path = programs.write("plain.txt", "text")
    assert programs.run(path).returncode == 126


def test_no_command_is_refused(programs: Programs) -> None:
    done = programs.run()
    assert done.returncode == 2
    assert "no command: recloser run [OPTION...] -- COMMAND" in done.stderr


# Metrics


def test_metrics_are_served_on_the_port(programs: Programs) -> None:
    port = closed_port()
    source = failing() + "\nprint('ready', flush=True)\nsys.stdin.read()"
    process = programs.start(sys.executable, "-c", source, options=["--metrics-port", str(port)])
    assert process.stdout is not None
    wait_until(lambda: process.stdout and process.stdout.readline() == "ready\n", "the program")
    scrape = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
    text = subprocess.run([sys.executable, "-c", scrape], capture_output=True, text=True, timeout=60).stdout
    process.communicate("", timeout=60)
    assert 'recloser_circuit_breaker_state{name="http:127.0.0.1:' in text
    assert 'status="rejected"} 3.0' in text


def test_taken_port_of_metrics_is_logged_and_the_program_runs(programs: Programs) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = programs.run(sys.executable, "-c", failing(), options=["--metrics-port", str(port)])
    assert protected_calls(done.stdout) == 3
    assert f"serves no metrics on 127.0.0.1:{port}" in done.stderr


def test_help_names_every_option(programs: Programs) -> None:
    done = subprocess.run([BIN / "recloser", "run", "--help"], capture_output=True, text=True, timeout=60)
    for option in ("--config", "--observe-only", "--report", "--metrics-port", "--admin-socket", "--no-admin-socket"):
        assert option in done.stdout
