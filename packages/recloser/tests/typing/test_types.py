"""The public types, as mypy sees them: the files must check in strict mode, with no expectation unfulfilled."""

import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).with_name("api.py")
INTEGRATIONS = Path(__file__).with_name("integrations.py")
STRICT = ["--strict", "--config-file=", "--python-version=3.11", "--no-error-summary"]


def mypy(file: Path, cache: Path) -> str:
    """What mypy reports, in strict mode and without the settings of this repository."""
    command = [sys.executable, "-m", "mypy", *STRICT, f"--cache-dir={cache}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def cache(request: pytest.FixtureRequest) -> Path:
    """A folder where mypy remembers what it has checked, between test runs."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("mypy")


def test_public_types_are_what_users_rely_on(cache: Path) -> None:
    """Fallbacks and errors included."""
    assert mypy(API, cache) == ""


def test_types_of_the_integrations_fit_those_of_their_clients(cache: Path) -> None:
    assert mypy(INTEGRATIONS, cache) == ""


def test_wrong_expectation_would_be_seen(cache: Path, tmp_path: Path) -> None:
    """The library is found with its types: without `py.typed` everything would be `Any` and nothing an error."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from recloser import CircuitBreaker\nx: int = CircuitBreaker('db').call(str, 3)\n")
    assert "Incompatible types in assignment" in mypy(wrong, cache)
