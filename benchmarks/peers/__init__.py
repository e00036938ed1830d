"""The candidates: the floor, recloser, and its peers. Each module adapts one library and lists its `CANDIDATES`."""

from __future__ import annotations

from importlib import import_module

from benchmarks.peers.base import Candidate, Features

__all__ = ["PEERS", "Candidate", "Features", "load"]

PEERS = ("interlock", "circuitbreaker", "pybreaker", "purgatory", "aiobreaker", "fluxgate", "pyresilience", "hyx")


def load(*, peers: bool) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates of this process, and the reason why each peer that cannot be imported is left out."""
    found: list[Candidate] = []
    missing: dict[str, str] = {}
    for module in ("floor", "ours", *(PEERS if peers else ())):
        try:
            found.extend(import_module(f"{__name__}.{module}").CANDIDATES)
        except Exception as error:
            if module not in PEERS:
                raise
            missing[module] = f"cannot be imported: {type(error).__name__}: {error}"
    return found, missing
