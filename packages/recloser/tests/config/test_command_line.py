"""`recloser config check` and `recloser config explain`, as processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
defaults: {preset: http_api}
groups: {apis: {recovery: {strategy: exponential, max_open: 300}}}
breakers:
  payments: {group: apis, failure_threshold: none, failure_rate_threshold: 0.5}
  search: {}
"""
MODULE = [sys.executable, "-m", "recloser"]
PROGRAM = [str(Path(sys.executable).with_name("recloser"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "breakers.yaml").write_text(FILE)
    return tmp_path


def run(folder: Path, *words: str, program: list[str] = MODULE, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RECLOSER_")}
    return subprocess.run(
        [*program, *words],
        cwd=folder,
        env={**environ, "COLUMNS": "120", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("program", [MODULE, PROGRAM], ids=["module", "entry point"])
def test_valid_file_is_ok(folder: Path, program: list[str]) -> None:
    done = run(folder, "config", "check", "breakers.yaml", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "breakers.yaml: ok, 2 breakers\n", "")


def test_variables_that_match_nothing_are_named(folder: Path) -> None:
    done = run(folder, "config", "check", "breakers.yaml", RECLOSER_PAYMENT__OPEN_FOR="3")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "RECLOSER_PAYMENT__OPEN_FOR names no breaker of this file; it can only mean one made in code",
        "breakers.yaml: ok, 2 breakers",
    ]


@pytest.mark.parametrize("words", [["check", "broken.toml"], ["explain", "a", "--file", "broken.toml"]])
def test_invalid_file_is_1_and_one_line(folder: Path, words: list[str]) -> None:
    (folder / "broken.toml").write_text("[breakers.a]\nopen_four = 3\n")
    done = run(folder, "config", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "recloser: broken.toml: breakers.a.open_four: is not a known key; did you mean 'open_for'?\n"
    )


def test_invalid_variable_is_1(folder: Path) -> None:
    done = run(folder, "config", "check", "breakers.yaml", RECLOSER_SEARCH__OPEN_FOR="soon")
    assert done.returncode == 1
    assert done.stderr == (
        "recloser: environment: RECLOSER_SEARCH__OPEN_FOR: 'soon': must be a finite number of seconds, 0 or more\n"
    )


def test_missing_file_is_1(folder: Path) -> None:
    done = run(folder, "config", "check", "none.yaml")
    assert (done.returncode, done.stderr) == (1, "recloser: none.yaml: cannot be read: No such file or directory\n")


def test_unknown_breaker_is_2(folder: Path) -> None:
    done = run(folder, "config", "explain", "serch", "--file", "breakers.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "recloser: breakers.yaml: no breaker named 'serch'; did you mean 'search'?\n"


@pytest.mark.parametrize("words", [[], ["config"], ["config", "check"], ["config", "explain", "a"], ["confg"]])
def test_wrong_usage_is_2(folder: Path, words: list[str]) -> None:
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: recloser")


def test_help_tells_the_exit_codes(folder: Path) -> None:
    done = run(folder, "--help")
    assert done.returncode == 0
    told = " ".join(done.stdout.split())
    assert "exit codes: 0 ok, 1 the configuration is refused or no program can be asked, 2 wrong usage" in told


def test_explain_shows_every_setting_with_its_source(folder: Path) -> None:
    done = run(
        folder,
        *("config", "explain", "payments", "--file", "breakers.yaml"),
        RECLOSER_PAYMENTS__RECOVERY__MAX_OPEN="60",
    )
    assert (done.returncode, done.stderr) == (0, "")
    table = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert table == [
        ["field", "value", "source"],
        ["failure_threshold", "none", "breakers.yaml: breakers.payments.failure_threshold"],
        ["failure_rate_threshold", "0.5", "breakers.yaml: breakers.payments.failure_rate_threshold"],
        ["slow_call_duration", "none", "library default"],
        ["slow_call_rate_threshold", "none", "library default"],
        ["count_in_flight_slow_calls", "false", "library default"],
        ["window.size", "100", "library default"],
        ["minimum_calls", "10", "library default"],
        ["open_for", "30.0", "breakers.yaml: defaults.preset (preset http_api)"],
        ["recovery.strategy", "exponential", "breakers.yaml: groups.apis.recovery.strategy"],
        ["recovery.factor", "2.0", "library default"],
        ["recovery.max_open", "60.0", "environment: RECLOSER_PAYMENTS__RECOVERY__MAX_OPEN"],
        ["recovery.jitter", "0.0", "library default"],
        ["half_open_max_calls", "3", "breakers.yaml: defaults.preset (preset http_api)"],
        ["success_threshold", "2", "breakers.yaml: defaults.preset (preset http_api)"],
        ["half_open_timeout", "60.0", "library default"],
        ["max_retry_after", "3600.0", "library default"],
        ["tags.group", "apis", "breakers.yaml: breakers.payments.group"],
    ]
    columns = {line.index(row[2]) for line, row in zip(done.stdout.splitlines(), table, strict=True)}
    assert len(columns) == 1, "the sources stand below each other"


def test_explain_prints_json(folder: Path) -> None:
    done = run(folder, "config", "explain", "payments", "--file", "breakers.yaml", "--json")
    data = json.loads(done.stdout)
    assert (data["name"], data["file"]) == ("payments", "breakers.yaml")
    assert data["settings"][0] == {
        "field": "failure_threshold",
        "value": None,
        "source": "breakers.yaml: breakers.payments.failure_threshold",
    }
    assert len(data["settings"]) == 17
