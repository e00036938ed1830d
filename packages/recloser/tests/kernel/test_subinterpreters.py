"""Each interpreter of the process has a kernel of its own, types and state included."""

import importlib
import sys
from typing import Any

import pytest

import recloser

PROGRAM = f"""
import sys
sys.path[:] = {sys.path!r}
import asyncio, recloser
from recloser import CircuitBreaker, CircuitOpenError, Settings
assert recloser.kernel_name() == {recloser.kernel_name()!r}
breaker = CircuitBreaker("sub", Settings(failure_threshold=2))

@breaker
def work(a):
    return 1 / a

assert work(1) == 1
for _ in range(2):
    try:
        work(0)
    except ZeroDivisionError:
        pass
try:
    work(1)
    raise AssertionError("not rejected")
except CircuitOpenError:
    pass
breaker.reset()

@breaker
async def work_async(a):
    return a

call = work_async(3)
try:
    call.send(None)
except StopIteration as stop:
    assert stop.value == 3
assert breaker.stats().successful == 2, breaker.stats()
"""


def interpreters() -> Any:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    pytest.skip("this Python has no module for interpreters")


@pytest.mark.parametrize("isolated", [False, True], ids=["shared GIL", "own GIL"])
def test_several_interpreters_one_after_the_other(isolated: bool) -> None:
    module = interpreters()
    for _ in range(3):
        run(module, isolated)
    breaker = recloser.CircuitBreaker("main")
    assert breaker(lambda: 5)() == 5


def run(module: Any, isolated: bool) -> None:
    if sys.version_info >= (3, 13):
        interpreter = module.create("isolated" if isolated else "legacy", reqrefs=False)
    else:
        interpreter = module.create(isolated=isolated)
    try:
        if sys.version_info >= (3, 13):
            problem = module.exec(interpreter, PROGRAM)
            assert problem is None, problem
        else:
            module.run_string(interpreter, PROGRAM)
    finally:
        module.destroy(interpreter)
