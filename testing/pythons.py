"""Run the library's tests on every CPython that the project supports and this machine has.

    python testing/pythons.py [pytest arguments]

Each version gets a virtual environment of its own (`.venv-3.12`), made from the lock file. A version that is not
found is named and skipped; the exit code tells whether any run failed. Programs outside of the path are named in
`PYTHONS`, separated as in PATH.

A free-threaded build (`3.13t`) has no wheels of many clients: it runs the tests that need none, without the GIL.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t")
WITHOUT_CLIENTS = (
    "kernel", "ways_in", "cancellation", "concurrency", "properties", "model", "machine", "half_open", "tripping",
    "streams", "registry", "events", "operator", "outcomes", "recovery", "settings", "snapshots", "windows", "errors",
)  # fmt: skip
TOOLS = ("anyio", "hypothesis", "pytest", "pytest-asyncio", "pytest-xdist", "setuptools", "trio")


def candidates(version: str) -> list[str]:
    """Programs that may be Python `version`: named in PYTHONS, on the path, or installed by pyenv."""
    found = [*os.environ.get("PYTHONS", "").split(os.pathsep), shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}")))
    return [program for program in found if program]


def find(version: str) -> str | None:
    """A working interpreter of this version, or None. A pyenv shim may be on the path and not work."""
    for program in candidates(version):
        ask = "import sys, sysconfig, venv; threaded = sysconfig.get_config_var('Py_GIL_DISABLED') or 0"
        ask += "; print('.'.join(map(str, sys.version_info[:2])) + 't' * threaded)"
        check = [program, "-c", ask]
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
    packages = ["-e", "packages/recloser"]
    if version.endswith("t"):
        subprocess.run([*install, "--only-binary", ":all:", *TOOLS], cwd=ROOT, check=True)
    else:
        subprocess.run([*install, "--require-hashes", "-r", "locks/dev.txt"], cwd=ROOT, check=True)
        packages += ["-e", "packages/incident-manager"]
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
        folders = [f"/{name}" for name in WITHOUT_CLIENTS] if version.endswith("t") else [""]
        tests = [f"packages/recloser/tests{folder}" for folder in folders]
        environment = {**os.environ, "PYTHON_GIL": "0"} if version.endswith("t") else None
        print(f"== CPython {version}", flush=True)
        run = subprocess.run(
            [str(python), "-m", "pytest", "-q", *tests, *arguments], cwd=ROOT, env=environment, check=False
        )
        results[version] = "passed" if run.returncode == 0 else "FAILED"
    for version, result in results.items():
        print(f"CPython {version}: {result}")
    return int("FAILED" in results.values() or "passed" not in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
