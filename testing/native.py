"""Check the compiled kernel with the compiler's own means.

    python testing/native.py [pytest arguments]

First it must compile without a warning for every CPython that this machine has, as a free-threaded build as well.
Then the tests of the kernel run on a copy of the library whose extension was built with AddressSanitizer and
UndefinedBehaviorSanitizer: reading freed memory, an index out of bounds or an overflow ends the run.
Then a debug build of CPython counts references over rounds of every kind of call (testing/refleaks.py), if there is
one: `DEBUG_PYTHON` names it, else `python3.13d`, `python3.13-dbg` and the like are looked for on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testing.pythons import VERSIONS, find
from testing.source import ROOT

PROJECT = ROOT / "packages/recloser"
SOURCE = PROJECT / "src/recloser/kernel/_kernel.c"
TESTS = [f"packages/recloser/tests/{name}" for name in ("kernel", "ways_in", "cancellation", "concurrency", "streams")]
STRICT = ["-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1"]


def compiler() -> str:
    """The C compiler.

    Raises:
        SystemExit: There is none.
    """
    program = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if program is None:
        raise SystemExit("no C compiler: there is no compiled kernel to check on this machine")
    return program


def include_of(program: str) -> str:
    """Where the headers of a Python are."""
    ask = [program, "-c", "import sysconfig; print(sysconfig.get_path('include'))"]
    return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()


def compile_everywhere() -> None:
    """Compile for each Python, strictly. Raises CalledProcessError when that fails."""
    for version in VERSIONS:
        program = find(version)
        if program is None or not (Path(include_of(program)) / "Python.h").exists():
            print(f"CPython {version}: no headers on this machine")
            continue
        own_headers = version.endswith("t")  # of a free-threaded build, which defines it itself
        threaded = [[], ["-DPy_GIL_DISABLED=1"]] if version >= "3.13" and not own_headers else [[]]
        for define in threaded:
            command = [compiler(), "-fsyntax-only", "-O2", *STRICT, *define, f"-I{include_of(program)}", str(SOURCE)]
            subprocess.run(command, check=True)
            print(f"CPython {version}{', without the GIL' if define else ''}: no warning", flush=True)


def build_sanitized(folder: Path) -> Path:
    """A copy of the library with a sanitized extension; the folder to import it from."""
    copy = folder / "recloser"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("*.so", "*.egg-info", "build", "tests", "__pycache__"))
    environment = {**os.environ, "CC": compiler(), "CFLAGS": " ".join([*STRICT, *SANITIZE])}
    environment["LDFLAGS"] = SANITIZE[0]
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=copy, env=environment, check=True)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    if not (copy / f"src/recloser/kernel/_kernel{suffix}").exists():
        raise SystemExit("the sanitized extension was not built")
    return copy / "src"


def run_tests(source: Path, arguments: list[str]) -> int:
    """Run the tests on that library; the exit code."""
    find_library = [compiler(), "-print-file-name=libasan.so"]
    library = subprocess.run(find_library, check=True, capture_output=True, text=True).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        # Python itself keeps memory to the end; tests/kernel/test_nothing_leaks.py looks for what we lose.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(source),
        "RECLOSER_KERNEL": "c",
    }
    where = [sys.executable, "-c", "from recloser.kernel import _kernel; print(_kernel.__file__)"]
    used = subprocess.run(where, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(used).is_relative_to(source):
        raise SystemExit(f"the tests would use {used}, which is not sanitized")
    command = [sys.executable, "-m", "pytest", "-q", *TESTS, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def find_debug_build() -> str | None:
    """A CPython that counts references, or None."""
    names = [f"python{version}{suffix}" for version in VERSIONS for suffix in ("d", "-dbg")]
    for name in filter(None, [os.environ.get("DEBUG_PYTHON"), *names]):
        program = shutil.which(name)
        ask = "import sys, venv; sys.exit(not hasattr(sys, 'gettotalrefcount'))"
        if (
            program is not None
            and subprocess.run([program, "-c", ask], check=False, capture_output=True).returncode == 0
        ):
            return program
    return None


def count_references(folder: Path) -> int:
    """Build for the debug Python and let it count; the exit code, 0 without one."""
    program = find_debug_build()
    if program is None:
        print("references not counted: no debug build of CPython (name one with DEBUG_PYTHON)")
        return 0
    copy = folder / "counted"
    shutil.copytree(PROJECT / "src", copy, ignore=shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__"))
    ask = [program, "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"]
    suffix = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    target = copy / f"recloser/kernel/_kernel{suffix}"
    build = [compiler(), "-shared", "-fPIC", "-O1", *STRICT, f"-I{include_of(program)}", str(SOURCE), "-o", str(target)]
    subprocess.run(build, check=True)
    environment = {**os.environ, "PYTHONPATH": str(copy), "RECLOSER_KERNEL": "c"}
    return subprocess.run([program, str(ROOT / "testing/refleaks.py")], env=environment, check=False).returncode


def main(arguments: list[str]) -> int:
    """Compile strictly, then test sanitized, then count references."""
    compile_everywhere()
    with tempfile.TemporaryDirectory(prefix="recloser-native-") as folder:
        tested = run_tests(build_sanitized(Path(folder)), arguments)
        return tested or count_references(Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
