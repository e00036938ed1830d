"""What we would publish: each wheel is built, put into a bare environment and used there.

One development environment hides undeclared imports and forgotten files; these tests do not have one.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import recloser
from testing.source import ROOT

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def build_wheel(project: Path, target: Path, **variables: str) -> Path:
    """Build a project's wheel with the setuptools at hand: no isolation, no network, nothing left behind."""
    source = target / "source"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "build", "tests", "*.so", "*.pyd")
    shutil.copytree(project, source, ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)],
        cwd=source,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def recloser_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT / "packages/recloser", tmp_path_factory.mktemp("recloser"))


@pytest.fixture(scope="module")
def service_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT / "packages/incident-manager", tmp_path_factory.mktemp("service"))


class Environment:
    """A virtual environment with nothing in it, not even pip."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin/python"
        self.packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))

    def install(self, wheel: Path) -> None:
        """Unpack the wheel without its dependencies, as an installer does it."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.packages)

    def run(self, program: str, *, borrowed: str = "") -> str:
        """Output of a program; ``borrowed`` is a folder of packages to use besides those installed here."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}
        if borrowed:
            environment["PYTHONPATH"] = borrowed  # its .pth files, and so our editable installs, stay out of it
        done = subprocess.run(
            [self.python, "-W", "error", "-c", program],
            cwd=self.packages,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, recloser_wheel: Path) -> Environment:
    """An environment with the library alone."""
    environment = Environment(tmp_path_factory.mktemp("bare"))
    environment.install(recloser_wheel)
    return environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, recloser_wheel: Path, service_wheel: Path) -> Environment:
    """An environment with both wheels."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(recloser_wheel)
    environment.install(service_wheel)
    return environment


IMPORT_ALL = """
import importlib, pkgutil, {package} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.endswith("__main__") or ".migrations." in module.name:  # scripts, run by others
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name)
"""


def test_library_protects_a_call_in_a_bare_environment(bare: Environment) -> None:
    program = """
from recloser import CircuitBreaker, CircuitOpenError, Settings
breaker = CircuitBreaker("sample", Settings(failure_threshold=1))
assert breaker.call(lambda: 42) == 42
try:
    breaker.call(lambda: 1 / 0)
except ZeroDivisionError:
    pass
try:
    breaker.call(lambda: 42)
except CircuitOpenError as error:
    print(error.breaker)
"""
    assert bare.run(program) == "sample"


BROUGHT_BY_EXTRAS = {
    "aiohttp",
    "anthropic",
    "asyncpg",
    "grpc",
    "httpx",
    "httpx2",
    "openai",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pytest",
    "redis",
    "requests",
    "sqlalchemy",
    "stamina",
    "starlette",
    "tenacity",
    "valkey",
    "yaml",
}


def test_library_without_extras_misses_only_what_the_extras_bring(bare: Environment) -> None:
    missing = [line.split() for line in bare.run(IMPORT_ALL.format(package="recloser")).splitlines()]
    assert {wanted.split(".")[0] for _, wanted in missing} <= BROUGHT_BY_EXTRAS, missing


def test_library_needs_no_distribution(recloser_wheel: Path) -> None:
    required = [line for line in metadata(recloser_wheel).splitlines() if line.startswith("Requires-Dist:")]
    assert required, "the extras are gone"
    assert all("extra ==" in line for line in required), required


def test_every_module_of_the_service_imports_from_its_wheel(installed: Environment) -> None:
    borrowed = sysconfig.get_path("purelib")
    assert installed.run(IMPORT_ALL.format(package="incident_manager"), borrowed=borrowed) == ""
    where = installed.run("import incident_manager, recloser; print(recloser.__file__)", borrowed=borrowed)
    assert Path(where).is_relative_to(installed.packages), "the wheel was not what was tested"


def test_installed_service_prints_its_help(installed: Environment) -> None:
    program = "import sys; from incident_manager.cli import main; sys.argv[1:] = ['--help']; main()"
    output = installed.run(program, borrowed=sysconfig.get_path("purelib"))
    for command in ("serve", "check-config", "send-test-alert", "demo"):
        assert command in output


def test_service_wheel_names_its_command(service_wheel: Path) -> None:
    parser = ConfigParser()
    parser.read_string(read(service_wheel, "entry_points.txt"))
    assert dict(parser["console_scripts"]) == {"incident-manager": "incident_manager.cli:main"}


def test_wheels_hold_every_source_file_and_the_typing_marker(recloser_wheel: Path, service_wheel: Path) -> None:
    for wheel, source in [
        (recloser_wheel, ROOT / "packages/recloser/src"),
        (service_wheel, ROOT / "packages/incident-manager/src"),
    ]:
        names = set(zipfile.ZipFile(wheel).namelist())
        wanted = {
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file()
            and "__pycache__" not in path.parts
            and ".egg-info" not in str(path)
            and path.suffix not in (".c", ".h", ".so", ".pyd")  # sources of the extension, and what is built in place
        }
        assert any(name.endswith("py.typed") for name in wanted)
        assert wanted <= names, f"{wheel.name} lacks {sorted(wanted - names)}"


@pytest.mark.skipif(recloser.kernel_name() != "c", reason="the compiled kernel was not built here")
def test_library_wheel_holds_the_compiled_kernel_and_not_its_source(recloser_wheel: Path, bare: Environment) -> None:
    names = zipfile.ZipFile(recloser_wheel).namelist()
    assert any(name.startswith("recloser/kernel/_kernel.") and name.endswith((".so", ".pyd")) for name in names)
    assert not any(name.endswith((".c", ".h")) for name in names)
    assert bare.run("import recloser; print(recloser.kernel_name())") == "c"


def test_library_builds_without_a_compiler(tmp_path: Path) -> None:
    wheel = build_wheel(ROOT / "packages/recloser", tmp_path, CC="/nowhere/cc")
    assert not any("_kernel.c" in name for name in zipfile.ZipFile(wheel).namelist())
    environment = Environment(tmp_path / "environment")
    environment.install(wheel)
    assert environment.run("import recloser; print(recloser.kernel_name())") == "python"


def metadata(wheel: Path) -> str:
    return read(wheel, "METADATA")


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        [path] = [entry for entry in archive.namelist() if entry.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()
