"""The public types, as mypy sees them: the files must check in strict mode, with no expectation unfulfilled."""

import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).with_name("api.py")
INTEGRATIONS = Path(__file__).with_name("integrations.py")
STRICT = ["--strict", "--config-file=", "--python-version=3.11", "--no-error-summary"]


def test_types_are_what_users_rely_on_and_a_wrong_expectation_is_an_error(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """All in one run, which is most of the time it takes. Without `py.typed` everything would be `Any`, and fine."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from recloser import CircuitBreaker\nx: int = CircuitBreaker('db').call(str, 3)\n")
    assert request.config.cache is not None
    cache = request.config.cache.mkdir("mypy")  # remembers what has been checked, between test runs
    command = [sys.executable, "-m", "mypy", *STRICT, f"--cache-dir={cache}", API, INTEGRATIONS, wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    [error] = done.stdout.splitlines()
    assert "wrong.py:2: error: Incompatible types in assignment" in error
