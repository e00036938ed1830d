"""What an operator may ask of a process, as requests and answers that JSON can hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from recloser.breaker import CircuitBreaker
from recloser.errors import RecloserError
from recloser.instrumentation.report import Counts, Recorder, program
from recloser.registry import Registry, Selection


class Commands:
    """Answers the requests to one process.

    Args:
        registry: The breakers.
        recorder: What is reported of them.
    """

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder
        self._commands: dict[str, Callable[[dict[str, Any]], Any]] = {
            "list": self._list,
            "show": self._show,
            "metrics": self._metrics,
            "report": lambda request: self._recorder.report(),
            "open": lambda request: self._operate(request, Selection.force_open),
            "close": lambda request: self._operate(request, Selection.force_closed),
            "observe": lambda request: self._operate(request, Selection.observe_only),
            "automatic": lambda request: self._operate(request, Selection.automatic),
            "reset": lambda request: self._operate(request, self._reset),
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request: `ok` and `result`, or `error`."""
        command = self._commands.get(str(request.get("command")))
        if command is None:
            return {"ok": False, "error": f"unknown command; there are {', '.join(self._commands)}"}
        try:
            result = command(request)
        except (RecloserError, ImportError) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "pid": os.getpid(), "program": program(), "result": result}

    def _list(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [_line(breaker) for breaker in self._registry.select(str(request.get("name") or "*"))]

    def _show(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._registry[str(request.get("name"))].stats().to_dict()

    def _operate(self, request: dict[str, Any], action: Callable[[Selection, str], list[str]]) -> list[str]:
        return action(self._registry.select(str(request.get("name"))), str(request.get("reason") or ""))

    def _reset(self, breakers: Selection, reason: str) -> list[str]:
        reached = breakers.reset(reason)
        if self._recorder.observe_only:
            breakers.observe_only(reason)  # a reset ends what the breaker has seen, not the shadow mode of the program
        return reached

    def _metrics(self, request: dict[str, Any]) -> str:
        from prometheus_client import CollectorRegistry, generate_latest

        from recloser.telemetry.prometheus import BreakerCollector

        collected = CollectorRegistry()
        BreakerCollector(self._registry, register=collected)
        return generate_latest(collected).decode()


def _line(breaker: CircuitBreaker) -> dict[str, Any]:
    stats = breaker.stats()
    return {
        "name": stats.name,
        "state": str(stats.state),
        "control": str(stats.control),
        "control_reason": stats.control_reason,
        "retry_after": stats.retry_after,
        "last_failure": stats.last_failure,
        **vars(Counts.of(stats)),
    }
