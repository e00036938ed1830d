"""`uninstrument()`: everything is again the very object that it was."""

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
import requests
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import closed_port

import recloser
from recloser import Registry
from recloser.targets import TARGETS

MODULES = ("aiohttp", "anthropic", "asyncpg", "grpc", "httpx", "httpx2", "openai", "psycopg", "redis", "requests",
           "sqlalchemy", "valkey")  # fmt: skip


def everything() -> dict[str, object]:
    """Every attribute of every class and module of the clients, by its path."""
    seen: dict[str, object] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in (*MODULES, "recloser") or type(module) is not ModuleType or ".types" in name:
            continue
        for key, value in list(vars(module).items()):
            seen[f"{name}.{key}"] = value
            if issubclass(type(value), type) and vars(value).get("__module__") == name:  # no proxy notices that
                seen.update({f"{name}.{key}.{inner}": found for inner, found in list(vars(value).items())})
    return seen


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    for name in MODULES:
        importlib.import_module(name)
    recloser.instrument(registry=Registry())  # imports all that patching needs
    recloser.uninstrument()


def test_every_client_that_is_known_is_looked_at() -> None:
    assert sorted(target.client for target in TARGETS) == list(MODULES)


def test_instrument_replaces_and_uninstrument_puts_back_the_same_objects(instrument: Instrument) -> None:
    before = everything()
    done = instrument()
    during = {path for path, value in everything().items() if before.get(path) is not value}
    assert done.failed == {}
    assert set(done.patched) == set(MODULES)
    for names in done.patched.values():
        assert all(any(path.endswith(name.rpartition(".")[2]) for path in during) for name in names)
    recloser.uninstrument()
    after = everything()
    changed = [path for path, value in before.items() if after.get(path) is not value]
    assert [path for path in changed if not path.endswith(("._active", "._lock"))] == []


def test_instrument_again_after_uninstrument(instrument: Instrument) -> None:
    port = closed_port()
    for _ in range(3):
        registry = instrument().registry
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}", timeout=5)
        assert registry[f"http:127.0.0.1:{port}"].stats().failed == 1
        recloser.uninstrument()


def test_uninstrument_without_instrument_does_nothing() -> None:
    recloser.uninstrument()


def test_what_somebody_has_replaced_since_stays_and_asks_no_breaker(
    instrument: Instrument, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = vars(requests.adapters.HTTPAdapter)["send"]
    registry, port = instrument().registry, closed_port()
    ours = requests.adapters.HTTPAdapter.send

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(self, *args, **kwargs)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", theirs)
    recloser.uninstrument()
    assert requests.adapters.HTTPAdapter.send is theirs
    assert "requests.adapters.HTTPAdapter.send of requests was replaced by somebody else" in caplog.text
    for _ in range(5):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}", timeout=5)
    assert len(registry) == 0
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", before)


def test_import_hook_is_gone(instrument: Instrument) -> None:
    before = list(sys.meta_path)
    instrument()
    assert len(sys.meta_path) == len(before) + 1
    recloser.uninstrument()
    assert sys.meta_path == before


def test_breakers_stay_in_their_registry(instrument: Instrument) -> None:
    registry, port = instrument().registry, closed_port()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}", timeout=5)
    recloser.uninstrument()
    assert registry[f"http:127.0.0.1:{port}"].stats().failed == 1


def test_importing_recloser_does_not_import_instrumentation() -> None:
    import subprocess

    source = "import sys, recloser; print([name for name in sys.modules if 'instrumentation' in name])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
    assert {"instrument", "uninstrument", "Instrumentation"} <= set(recloser.__all__)
    with pytest.raises(AttributeError, match="no attribute 'instruments'"):
        _ = recloser.instruments  # type: ignore[attr-defined]
