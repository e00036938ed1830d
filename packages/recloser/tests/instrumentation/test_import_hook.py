"""Being told of an import, and nothing else: modules, specs and loaders are as without."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloser.instrumentation.imports import ImportHook


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The imports of `hooked_module` that the hook has told of."""
    (tmp_path / "hooked_module.py").write_text("value = 1\n")
    (tmp_path / "broken_module.py").write_text("raise ValueError('broken')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []
    hook = ImportHook(["hooked_module", "broken_module"], names.append)
    hook.install()
    yield names
    hook.remove()
    sys.modules.pop("hooked_module", None)


def test_import_is_told_of_once_the_code_has_run(told: list[str]) -> None:
    module = importlib.import_module("hooked_module")
    importlib.import_module("hooked_module")
    assert (told, module.value) == (["hooked_module"], 1)


def test_reload_is_told_of_again(told: list[str]) -> None:
    importlib.reload(importlib.import_module("hooked_module"))
    assert told == ["hooked_module", "hooked_module"]


def test_looking_for_a_module_is_no_import(told: list[str]) -> None:
    assert importlib.util.find_spec("hooked_module") is not None
    assert told == []


def test_loader_is_as_without(told: list[str]) -> None:
    module = importlib.import_module("hooked_module")
    assert module.__spec__ is not None
    assert "exec_module" not in vars(module.__spec__.loader)


def test_module_that_fails_is_not_told_of(told: list[str]) -> None:
    with pytest.raises(ValueError, match="broken"):
        importlib.import_module("broken_module")
    assert told == []
    assert "broken_module" not in sys.modules


def test_module_that_is_not_there_is_not_there(told: list[str]) -> None:
    hook = ImportHook(["no_such_module"], told.append)
    hook.install()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module")
    hook.remove()
    assert told == []
