"""Real files in a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recloser import Config, load_config

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write `breakers.yaml` (or another name) into an empty folder, go there and load it, with these variables."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str, name: str = "breakers.yaml", **environ: str) -> Config:
        Path(name).write_text(text)
        return load_config(name, environ)

    return write_and_load
