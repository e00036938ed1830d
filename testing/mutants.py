"""Change the state machine in every small way, and see whether a test notices.

    make mutants

Runs mutmut on the five pure modules that decide (machine, circuit, windows, recovery, outcomes) with the tests of
their behaviour, prints what survived and the score: mutants noticed over all mutants. Exit code 1 below the wanted
score.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "packages" / "recloser"
WANTED = 0.95
NOTICED = ("killed", "timeout", "suspicious", "segfault", "caught_by_type_check")


def run() -> dict[str, int]:
    """Run mutmut; the number of mutants by what became of them."""
    mutmut = [str(Path(sys.executable).parent / "mutmut")]
    # The mutants are of the Python code: the compiled kernel must not stand in for part of it.
    environment = {**os.environ, "RECLOSER_KERNEL": "python"}
    children = str(os.cpu_count() or 1)
    subprocess.run([*mutmut, "run", "--max-children", children], cwd=PACKAGE, env=environment, check=True)
    subprocess.run([*mutmut, "export-cicd-stats"], cwd=PACKAGE, env=environment, check=True)
    print(subprocess.run([*mutmut, "results"], cwd=PACKAGE, capture_output=True, text=True, check=True).stdout)
    stats: dict[str, int] = json.loads((PACKAGE / "mutants" / "mutmut-cicd-stats.json").read_text())
    return stats


def main() -> int:
    """Print the score; 1 when it is too low."""
    stats = run()
    total = stats["total"] - stats.get("skipped", 0)
    noticed = sum(stats.get(name, 0) for name in NOTICED)
    print(f"{noticed} of {total} mutants noticed: {noticed / total:.1%} (wanted: {WANTED:.0%})")
    return int(noticed / total < WANTED)


if __name__ == "__main__":
    sys.exit(main())
