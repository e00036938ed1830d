"""What an operator may ask of a process, as requests and answers that JSON can hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from recloser.errors import RecloserError
from recloser.instrumentation.report import Recorder, program
from recloser.operations import OPERATIONS, Operation
from recloser.registry import Registry
from recloser.summaries import summary


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
            **{name: partial(self._operate, OPERATIONS[name]) for name in OPERATIONS},
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
        return [summary(breaker.stats()) for breaker in self._registry.select(str(request.get("name") or "*"))]

    def _show(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._registry[str(request.get("name"))].stats().to_dict()

    def _operate(self, operation: Operation, request: dict[str, Any]) -> list[str]:
        reason = str(request.get("reason") or "")
        reached = self._registry.select(str(request.get("name")))
        for breaker in reached:
            operation.apply(breaker, reason)
            if operation.name == "reset" and self._recorder.observe_only:
                # A reset ends what the breaker has seen, not the shadow mode of the program.
                breaker.observe_only(reason)
        return [breaker.name for breaker in reached]

    def _metrics(self, request: dict[str, Any]) -> str:
        from prometheus_client import CollectorRegistry, generate_latest

        from recloser.telemetry.prometheus import BreakerCollector

        collected = CollectorRegistry()
        BreakerCollector(self._registry, register=collected)
        return generate_latest(collected).decode()
