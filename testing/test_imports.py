"""Who may import whom: the shape of the two packages, kept by a test."""

import importlib
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from testing.source import RECLOSER, ROOT, SERVICE, Import, imports_below, imports_of

OPEN_TO_USERS = (
    "recloser.presets",
    "recloser.testing",
    "recloser.telemetry",
    "recloser.integrations",
    "recloser.dashboard",
)
"""Besides `recloser` itself: the modules a user of the library may import from, with all below them."""


def listed(imports: list[Import]) -> str:
    return "\n".join(str(found) for found in imports)


def test_domain_imports_nothing_of_ours_outside_domain() -> None:
    ours = [i for i in imports_below(SERVICE / "domain") if i.module.split(".")[0] in ("incident_manager", "recloser")]
    assert ours, "the reader of imports found none at all"
    wrong = [found for found in ours if not found.within("incident_manager.domain")]
    assert not wrong, listed(wrong)


def test_library_knows_nothing_of_the_service() -> None:
    imports = imports_below(RECLOSER)
    assert any(found.within("recloser") for found in imports)
    wrong = [found for found in imports if found.within("incident_manager")]
    assert not wrong, listed(wrong)


def test_service_uses_only_public_names_of_the_library() -> None:
    imports = [found for found in imports_below(SERVICE) if found.within("recloser")]
    assert imports, "the service does not use the library"
    wrong = [found for found in imports if not is_public(found)]
    assert not wrong, listed(wrong)


def is_public(found: Import) -> bool:
    """Whether the import takes a name of ``__all__`` from a module that users may see."""
    module = found.module
    if module != "recloser" and not is_open(module):
        return False
    if found.name is None:
        return True
    return found.name in public_names(module) or is_open(f"{module}.{found.name}")


def public_names(module: str) -> set[str]:
    """The names a module lists; without a list, those it defines itself and does not mark as private."""
    members = vars(importlib.import_module(module))
    own = {
        name
        for name, value in members.items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", module) == module
    }
    return set(members.get("__all__", own))


def is_open(module: str) -> bool:
    """Whether the module is one of `OPEN_TO_USERS` or lies below one, with no private part in its name."""
    return any(f"{module}.".startswith(f"{name}.") for name in OPEN_TO_USERS) and "._" not in module


def test_only_entry_points_import_the_composition_root() -> None:
    entry_points = {SERVICE / "cli.py", SERVICE / "demo.py", SERVICE / "__main__.py"}
    wrong = [i for i in imports_below(SERVICE) if i.within("incident_manager.app") and i.file not in entry_points]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("part", ["domain", "ingest", "pipeline", "store", "notify"])
def test_inner_parts_do_not_know_the_web(part: str) -> None:
    web = ("incident_manager.api", "fastapi", "starlette", "uvicorn", "typer", "rich")
    imports = imports_below(SERVICE / part)
    assert imports, f"no imports found in {part}"
    wrong = [found for found in imports if any(found.within(package) for package in web)]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize(
    ("source", "project"),
    [
        pytest.param(RECLOSER, ROOT / "packages/recloser", id="recloser"),
        pytest.param(SERVICE, ROOT / "packages/incident-manager", id="incident-manager"),
    ],
)
def test_every_third_party_import_is_a_declared_dependency(source: Path, project: Path) -> None:
    declared = declared_distributions(project)
    if "pydantic" in declared:
        declared.add("pydantic-core")  # pydantic pins it exactly, and documents it as part of itself
    providers = importlib.metadata.packages_distributions()
    wrong = []
    for found in imports_below(source):
        top = found.module.split(".")[0]
        if top in sys.stdlib_module_names or top == source.name:
            continue
        if not {normal(name) for name in providers.get(top, [])} & declared:
            wrong.append(found)
    assert not wrong, listed(wrong)


def declared_distributions(project: Path) -> set[str]:
    """Names of the distributions a project asks for itself, extras included."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    extras = table.get("optional-dependencies", {}).values()
    requirements = [*table["dependencies"], *(line for extra in extras for line in extra)]
    return {normal(re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]) for line in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_reader_of_imports_sees_all_kinds(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sample.py").write_text("import a.b\nfrom . import c\ndef f():\n    from .d import e as g\n")
    found = [(i.line, i.module, i.name) for i in imports_of(package / "sample.py", tmp_path)]
    assert found == [(1, "a.b", None), (2, "package", "c"), (4, "package.d", "e")]
