"""Reading what Python source imports, for the tests of the direction of imports."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECLOSER = ROOT / "packages/recloser/src/recloser"
SERVICE = ROOT / "packages/incident-manager/src/incident_manager"


@dataclass(frozen=True)
class Import:
    """One imported name: ``from module import name``, or ``import module`` when the name is None."""

    file: Path
    line: int
    module: str
    name: str | None

    def __str__(self) -> str:
        what = f"import {self.module}" if self.name is None else f"from {self.module} import {self.name}"
        return f"{self.file.relative_to(ROOT)}:{self.line}: {what}"

    def within(self, package: str) -> bool:
        """Whether what is imported is the package or lies in it."""
        full = self.module if self.name is None else f"{self.module}.{self.name}"
        return full == package or full.startswith(f"{package}.")


def imports_below(folder: Path) -> list[Import]:
    """Every import in every module below the folder: also inside functions and under TYPE_CHECKING."""
    [base] = [parent for parent in folder.parents if parent.name == "src"]
    return [found for file in sorted(folder.rglob("*.py")) for found in imports_of(file, base)]


def imports_of(file: Path, base: Path) -> Iterator[Import]:
    """Every import in one file, relative ones resolved; ``base`` is the folder to put on the path for it."""
    package = ".".join(file.parent.relative_to(base).parts)
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (Import(file, node.lineno, module, alias.name) for alias in node.names)
