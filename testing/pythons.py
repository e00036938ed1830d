"""Run the library's tests on every CPython that the project supports and this machine has.

    python testing/pythons.py [pytest arguments]

Each version gets a virtual environment of its own (`.venv-3.12`), made from the lock file. A version that is not
found is named and skipped; the exit code tells whether any run failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def candidates(version: str) -> list[str]:
    """Programs that may be Python `version`: on the path, or installed by pyenv."""
    found = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}")))
    return [program for program in found if program]


def find(version: str) -> str | None:
    """A working interpreter of this version, or None. A pyenv shim may be on the path and not work."""
    for program in candidates(version):
        check = [program, "-c", "import sys, venv; print('.'.join(map(str, sys.version_info[:2])))"]
        answer = subprocess.run(check, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return program
    return None


def prepare(version: str, program: str) -> Path:
    """The interpreter of an environment that holds the locked dependencies and both packages."""
    folder = ROOT / f".venv-{version}"
    python = folder / "bin" / "python"
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", program, str(folder)], check=True)
    subprocess.run([*install, "--require-hashes", "-r", "locks/dev.txt"], cwd=ROOT, check=True)
    packages = ["-e", "packages/recloser", "-e", "packages/incident-manager"]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", *packages], cwd=ROOT, check=True)
    return python


def main(arguments: list[str]) -> int:
    """Run the tests everywhere; 1 if a run failed or no interpreter was found."""
    results: dict[str, str] = {}
    for version in VERSIONS:
        program = find(version)
        if program is None:
            results[version] = "not on this machine"
            continue
        python = prepare(version, program)
        command = [str(python), "-m", "pytest", "-q", "packages/recloser/tests", *arguments]
        print(f"== CPython {version}", flush=True)
        results[version] = "passed" if subprocess.run(command, cwd=ROOT, check=False).returncode == 0 else "FAILED"
    for version, result in results.items():
        print(f"CPython {version}: {result}")
    return int("FAILED" in results.values() or "passed" not in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
