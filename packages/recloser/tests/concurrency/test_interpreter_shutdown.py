"""A program may end at any point: no complaint, no delay, whatever permits, streams and threads are left."""

import subprocess
import sys
import textwrap

import pytest

PROGRAMS = {
    "permit held": "permit = breaker.acquire()",
    "permit in a cycle": "permit = breaker.acquire(); cycle = [permit]; cycle.append(cycle)",
    "block never left": "breaker.__enter__()",
    "generator suspended": """
        @breaker
        def items():
            yield 1
            yield 2
        stream = items()
        next(stream)
    """,
    "guarded stream suspended": """
        stream = breaker.acquire().guard_stream([1, 2])
        next(stream)
    """,
    "async generator suspended": """
        @breaker
        async def items():
            yield 1
            yield 2
        async def main():
            global stream
            stream = items()
            await anext(stream)
        asyncio.run(main())
    """,
    "daemon thread in a call": """
        started = threading.Event()
        def stuck():
            started.set()
            threading.Event().wait()
        threading.Thread(target=breaker.call, args=(stuck,), daemon=True).start()
        started.wait()
    """,
    "async listener whose loop is gone": """
        async def listener(event):
            pass
        async def main():
            breaker.add_listener(listener)
            breaker.call(int)
            await asyncio.sleep(0)
        asyncio.run(main())
        breaker.call(int)
    """,
    "call in atexit": """
        import atexit
        atexit.register(breaker.call, int)
    """,
    "exit in a call": """
        import sys
        breaker.call(sys.exit, 0)
    """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_program_ends_in_silence(program: str) -> None:
    prelude = "import asyncio, threading\nfrom recloser import CircuitBreaker\nbreaker = CircuitBreaker('db')\n"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", prelude + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
