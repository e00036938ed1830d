"""The public types, as mypy sees them: `api.py` must check in strict mode, with no expectation unfulfilled.

`integrations.py` holds what is expected of the integrations. It takes long to check, and `make lint` does it.
"""

import subprocess
import sys
from pathlib import Path

API = Path(__file__).with_name("api.py")
ROOT = Path(__file__).parents[4]


def test_types_are_what_users_rely_on_and_a_wrong_expectation_is_an_error(tmp_path: Path) -> None:
    """All in one run, which is most of the time it takes. Without `py.typed` everything would be `Any`, and fine."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from recloser import CircuitBreaker\nx: int = CircuitBreaker('db').call(str, 3)\n")
    # With the settings of `make lint`, which leaves what it has checked behind: alone it takes long.
    command: list[str | Path] = [sys.executable, "-m", "mypy", "--no-error-summary", API, wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    [error] = done.stdout.splitlines()
    assert "wrong.py:2: error: Incompatible types in assignment" in error
