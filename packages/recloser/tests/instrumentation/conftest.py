"""Fixtures of the tests of instrumentation: this process instrumented, and programs under `recloser run`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packages.recloser.tests.instrumentation.programs import Programs
from packages.recloser.tests.integrations.raw_server import RawServer

import recloser
from recloser import Instrumentation, Registry
from recloser.testing import FakeClock

Instrument = Callable[..., Instrumentation]

SENSITIVE = """
instrument:
  kinds:
    grpc: {failure_threshold: 2}
    http: {failure_threshold: 2}
    postgresql: {failure_threshold: 2}
    sqlite: {failure_threshold: 2}
    redis: {failure_threshold: 2}
    valkey: {failure_threshold: 2}
    openai: {failure_threshold: 2}
    anthropic: {failure_threshold: 2}
"""
"""A configuration by which two failures in a row open every circuit."""


@pytest.fixture
def sensitive(tmp_path: Path) -> Path:
    """A file that says so."""
    path = tmp_path / "breakers.yaml"
    path.write_text(SENSITIVE)
    return path


@pytest.fixture
def instrument(sensitive: Path, clock: FakeClock) -> Iterator[Instrument]:
    """`recloser.instrument`, undone at the end; two failures open every circuit, on a clock that stands still."""

    def start(config: Any = sensitive, **options: Any) -> Instrumentation:
        return recloser.instrument(config, **{"registry": Registry(clock=clock), **options})

    yield start
    recloser.uninstrument()


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Starts programs under `recloser run`, in a folder of their own; none outlives the test."""
    with Programs(tmp_path) as started:
        yield started
