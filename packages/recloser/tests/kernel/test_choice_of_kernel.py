"""Which kernel is used is decided once, at import, and can be forced."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import recloser

WITHOUT_EXTENSION = "import sys; sys.modules['recloser.kernel._kernel'] = None\n"
PRINT = "import recloser; print(recloser.kernel_name())"


def run(program: str, forced: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "RECLOSER_KERNEL"}
    if forced is not None:
        environment["RECLOSER_KERNEL"] = forced
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def can_compile() -> bool:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    return shutil.which(compiler) is not None and (Path(sysconfig.get_path("include")) / "Python.h").exists()


@pytest.mark.skipif(not can_compile(), reason="no C compiler, or no headers of Python")
def test_compiled_kernel_is_used_where_it_can_be_built() -> None:
    assert run(PRINT, None).stdout.strip() == "c"


def test_python_can_be_forced() -> None:
    assert run(PRINT, "python").stdout.strip() == "python"


@pytest.mark.skipif(not can_compile(), reason="no C compiler, or no headers of Python")
def test_c_can_be_forced() -> None:
    assert run(PRINT, "c").stdout.strip() == "c"


def test_without_the_extension_python_is_used() -> None:
    assert run(WITHOUT_EXTENSION + PRINT, None).stdout.strip() == "python"


def test_forcing_c_without_the_extension_is_refused_with_advice() -> None:
    done = run(WITHOUT_EXTENSION + PRINT, "c")
    assert done.returncode != 0
    assert "ImportError: RECLOSER_KERNEL=c, but the compiled kernel cannot be imported" in done.stderr
    assert "compiler" in done.stderr


def test_unknown_kernel_is_refused() -> None:
    done = run(PRINT, "rust")
    assert done.returncode != 0
    assert "RECLOSER_KERNEL='rust': must be 'c' or 'python', or not be set" in done.stderr


def test_name_says_what_is_in_use() -> None:
    assert recloser.kernel_name() == os.environ.get("RECLOSER_KERNEL", recloser.kernel_name())
