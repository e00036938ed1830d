"""The table of integrations says what there is, and which versions are tested."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from recloser.targets import TARGETS
from testing import matrix
from testing.source import RECLOSER, ROOT

PROJECT = tomllib.loads((ROOT / "packages/recloser/pyproject.toml").read_text())["project"]
NOT_INTEGRATIONS = {"completion", "opentelemetry", "prometheus", "yaml"}
"""Extras of telemetry, of configuration files and of the command line, which have pages of their own."""

ROWS = pytest.mark.parametrize("row", matrix.ROWS, ids=lambda row: row.module)


@pytest.mark.parametrize("path", matrix.PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_shows_the_table(path: Path) -> None:
    page = path.read_text()
    shown = matrix.with_table(page, matrix.PAGES[path])
    assert page == shown, "run `python -m testing.matrix`"


def test_every_integration_has_a_row() -> None:
    modules = {path.stem for path in (RECLOSER / "integrations").glob("[a-z]*.py")} - {"options"}  # types for callers
    assert {row.module for row in matrix.ROWS} == modules


def test_every_extra_has_a_row() -> None:
    extras = set(PROJECT["optional-dependencies"]) - NOT_INTEGRATIONS
    assert {row.module for row in matrix.ROWS if row.extra} == extras


def test_clients_of_recloser_run_are_those_that_it_patches() -> None:
    assert {row.module for row in matrix.ROWS if row.run} == {target.client for target in TARGETS}


@ROWS
def test_versions_are_tested_ones_that_the_extra_allows(row: matrix.Row) -> None:
    now, before = matrix.locked("dev.txt"), matrix.locked("previous-clients.txt")
    assert set(row.tested) <= set(now), "the tests do not install it"
    for requirement in PROJECT["optional-dependencies"].get(row.module, ()):
        name, _, least = requirement.lower().partition(">=")
        for lock in (now, before):
            if name in lock:
                assert numbers(lock[name]) >= numbers(least)[:2]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@ROWS
def test_line_begins_with_a_name_of_the_module_and_is_explained_on_the_page(row: matrix.Row) -> None:
    name = re.match(r"\w+", row.line)
    assert name is not None
    module = importlib.import_module(f"recloser.integrations.{row.module}")
    assert name[0] in module.__all__
    page = (ROOT / "docs/how-to" / row.page).read_text()
    assert re.search(rf"\b{row.module}\b", page)
    assert re.search(rf"\b{name[0]}\b", page)
