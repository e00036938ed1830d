"""A finaliser or a signal handler may run in the middle of the breaker's own locked section, in the same thread.

The clock of these tests does what it is told to while the breaker, with its lock held, asks it for the time. Each test
runs in a process of its own, which ends itself if it hangs.
"""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from recloser import kernel_name

needs_signals = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX signals")

PRELUDE = """
import faulthandler, gc, signal
faulthandler.dump_traceback_later(20, exit=True)

from recloser import CircuitBreaker, CircuitOpenError, Control, Outcome, Settings, State, StateChanged

class Clock:
    inside = None

    def monotonic(self):
        action, self.inside = self.inside, None
        if action is not None:
            action()
        return 1_000.0

    def time(self):
        return 0.0

class Pause:
    def __await__(self):
        yield

clock = Clock()
breaker = CircuitBreaker("db", Settings(failure_threshold=2, open_for=10.0), clock=clock)

def within(action):
    # Do it while the breaker's lock is held by this thread.
    done = []
    clock.inside = lambda: done.append(action())
    breaker.state
    return done[0]

def fail():
    raise OSError("down")

def dropped(*suspended):
    # Only the garbage collector can find them.
    cycle = [*suspended]
    cycle.append(cycle)
"""

SUSPENDED = {
    "generator": """
        @breaker
        def items():
            yield 1
        call = items()
        next(call)
    """,
    "async generator": """
        @breaker
        async def items():
            yield 1
        call = items()
        try:
            call.asend(None).send(None)
        except StopIteration:
            pass
    """,
    "coroutine": """
        @breaker
        async def work():
            await Pause()
        call = work()
        call.send(None)
    """,
    "permit": """
        call = breaker.acquire()
    """,
    "block": """
        def work():
            with breaker:
                yield
        call = work()
        next(call)
    """,
    "block of a permit": """
        def work():
            with breaker.acquire():
                yield
        call = work()
        next(call)
    """,
    "guarded stream": """
        call = breaker.acquire().guard_stream(iter([1, 2]))
        next(call)
    """,
}


def run(*parts: str, kernel: str = kernel_name()) -> None:
    script = PRELUDE + "".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        env={**os.environ, "RECLOSER_KERNEL": kernel},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("form", SUSPENDED)
def test_collected_call_is_settled(form: str) -> None:
    run(
        SUSPENDED[form],
        """
        assert breaker.stats().in_flight == 1
        dropped(call)
        del call
        within(gc.collect)
        stats = breaker.stats()
        assert stats.in_flight == 0
        assert stats.calls[Outcome.IGNORED] + stats.calls[Outcome.RELEASED] == 1, stats
        """,
    )


@pytest.mark.parametrize("form", SUSPENDED)
def test_dropped_probe_gives_its_slot_back(form: str) -> None:
    run(
        """
        for _ in range(2):
            try:
                breaker.call(fail)
            except OSError:
                pass
        breaker.reconfigure(Settings(half_open_max_calls=1, open_for=0.0))
        breaker.force_open("test")
        breaker.observe_only("test")
        breaker.automatic("test")
        for _ in range(5):
            try:
                breaker.call(fail)
            except OSError:
                pass
        """,
        SUSPENDED[form],
        """
        assert breaker.state is State.HALF_OPEN
        dropped(call)
        del call
        within(gc.collect)
        assert breaker.stats().in_flight == 0
        assert breaker.call(lambda: "admitted") == "admitted"
        """,
    )


def test_finaliser_that_calls_gets_through_a_closed_circuit() -> None:
    run(
        """
        assert within(lambda: breaker.call(lambda: "fine")) == "fine"
        assert breaker.stats().calls[Outcome.SUCCESS] == 1
        with breaker as permit:
            assert within(permit.success)
            assert permit.settled
        assert breaker.stats().calls[Outcome.SUCCESS] == 2
        """
    )


def test_failures_inside_open_the_circuit_once_the_section_is_left() -> None:
    run(
        """
        seen = []
        breaker.add_listener(lambda event: seen.append(event.reason), (StateChanged,))

        def fail_twice():
            for _ in range(2):
                try:
                    breaker.call(fail)
                except OSError:
                    pass
            return breaker.state

        assert within(fail_twice) is State.CLOSED
        assert seen == ["consecutive_failures"]
        assert breaker.state is State.OPEN
        assert breaker.stats().in_flight == 0
        """
    )


def test_success_inside_that_breaks_a_rule_opens_the_circuit() -> None:
    run(
        """
        breaker.reconfigure(Settings(failure_threshold=None, failure_rate_threshold=0.5, minimum_calls=2))
        try:
            breaker.call(fail)
        except OSError:
            pass
        assert within(lambda: breaker.call(lambda: "fine")) == "fine"
        assert breaker.state is State.OPEN
        """
    )


def test_probe_is_refused_inside() -> None:
    # To let it through would change what is being changed.
    run(
        """
        breaker.reconfigure(Settings(failure_threshold=1, open_for=0.0))
        try:
            breaker.call(fail)
        except OSError:
            pass
        try:
            within(lambda: breaker.call(lambda: "fine"))
        except CircuitOpenError as exc:
            assert exc.retry_after == 0.0
        else:
            raise AssertionError("it was let through")
        assert breaker.call(lambda: "fine") == "fine"
        assert breaker.state is State.CLOSED
        """
    )


@pytest.mark.parametrize("form", ["generator", "async generator", "coroutine"])
def test_kernel_in_python_settles_them_too(form: str) -> None:
    run(
        SUSPENDED[form],
        "dropped(call)\ndel call\nwithin(gc.collect)\nassert not breaker.stats().in_flight",
        kernel="python",
    )


@needs_signals
def test_signal_handler_may_operate_the_breaker() -> None:
    run(
        """
        signal.signal(signal.SIGUSR1, lambda number, frame: breaker.force_open("by signal"))
        within(lambda: signal.raise_signal(signal.SIGUSR1))
        assert breaker.control is Control.FORCED_OPEN
        assert breaker.control_reason == "by signal"
        """
    )


@needs_signals
def test_signal_handler_may_read_and_listen() -> None:
    run(
        """
        seen = []

        def handle(number, frame):
            assert breaker.state is State.CLOSED
            assert breaker.stats().in_flight == 0
            breaker.add_listener(seen.append)

        signal.signal(signal.SIGUSR1, handle)
        within(lambda: signal.raise_signal(signal.SIGUSR1))
        breaker.call(lambda: None)
        assert len(seen) == 1
        """
    )
