"""A breaker on the Python kernel, and what it protects in Python, whatever kernel is in use."""

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from recloser import CircuitBreaker, Settings, calls, circuit, kernel_name
from recloser.clock import Clock
from recloser.kernel.python import Kernel as PythonKernel

needs_compiled = pytest.mark.skipif(kernel_name() != "c", reason="the compiled kernel is not in use")

_FORMS = {
    calls.Kind.FUNCTION: calls._function,
    calls.Kind.COROUTINE: calls._coroutine,
    calls.Kind.GENERATOR: calls._generator,
    calls.Kind.ASYNC_GENERATOR: calls._async_generator,
}


def python_breaker(name: str, settings: Settings, clock: Clock) -> CircuitBreaker:
    with mock.patch.object(circuit, "Kernel", PythonKernel):
        return CircuitBreaker(name, settings, clock=clock)


def python_protected(breaker: CircuitBreaker, fn: Callable[..., Any]) -> Callable[..., Any]:
    return functools.update_wrapper(_FORMS[calls.kind_of(fn)](breaker._controller, fn), fn)
