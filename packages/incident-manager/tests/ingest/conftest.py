"""Property tests that do not fail because others use the machine too, and payloads of real senders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("patient", settings(deadline=None))
settings.load_profile("patient")


@pytest.fixture(scope="session")
def payload() -> Callable[[str], Any]:
    """`payload("grafana-firing")`: the value of one of the files in `payloads`, new each time."""
    folder = Path(__file__).parent / "payloads"

    def read(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_text())

    return read
