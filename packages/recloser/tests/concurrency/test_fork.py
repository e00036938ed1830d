"""After `os.fork` both processes go on: no lock is held in the child, and calls in flight belong to the parent.

Each test is a program of its own, so that nothing of the test run is forked.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

PRELUDE = """
import os, sys, threading, traceback
from recloser import *
from recloser.testing import FakeClock

clock = FakeClock()
breaker = CircuitBreaker("db", Settings(failure_threshold=3, open_for=10), clock=clock)

def fail(times):
    for _ in range(times):
        breaker.acquire().failure()

def is_rejected():
    try:
        breaker.acquire().ignore()
    except CircuitOpenError:
        return True
    return False

def in_child(check):
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the child failed"
"""


def run(program: str) -> str:
    """Run a program that must end well within 30 s and complain of nothing; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_child_goes_on_with_the_state_and_on_its_own() -> None:
    run("""
        fail(2)
        def check():
            assert breaker.stats().consecutive_failures == 2
            fail(1)
            assert breaker.state is State.OPEN
        in_child(check)
        assert breaker.state is State.CLOSED
        assert breaker.stats().failed == 2
    """)


def test_open_circuit_stays_open_in_the_child() -> None:
    run("""
        fail(3)
        clock.advance(4)
        def check():
            assert breaker.retry_after == 6
            assert is_rejected()
            clock.advance(6)
            breaker.acquire().success()
            assert breaker.state is State.CLOSED
        in_child(check)
        assert breaker.state is State.OPEN
    """)


def test_locks_are_free_in_the_child_though_threads_were_in_them() -> None:
    """Forked again and again while threads are calling."""
    run("""
        registry = Registry()
        hosts = registry.keyed("host", max_breakers=5)
        stop = threading.Event()
        def work():
            number = 0
            while not stop.is_set():
                number += 1
                breaker.call(int)
                hosts[number % 10].call(int)
                breaker.stats()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        def check():
            breaker.call(int)
            assert breaker.stats().in_flight == 0
            for number in range(10):
                hosts[number].call(int)
            registry.get_or_create("new").call(int)
        for _ in range(30):
            in_child(check)
        stop.set()
        for thread in threads:
            thread.join()
        assert breaker.stats().in_flight == 0
    """)


def test_fork_while_another_thread_makes_a_breaker_in_a_registry() -> None:
    """The two take their locks in the same order."""
    run("""
        making, forking = threading.Event(), threading.Event()
        class SlowClock(FakeClock):
            def monotonic(self):
                if threading.current_thread() is maker:
                    making.set()
                    forking.wait()
                    threading.Event().wait(0.05)  # let the other thread come as far as it can
                return super().monotonic()
        registry = Registry(clock=SlowClock())
        maker = threading.Thread(target=registry.get_or_create, args=("db",))
        os.register_at_fork(before=forking.set)  # runs before the library's own
        maker.start()
        making.wait()
        in_child(lambda: registry.get_or_create("other").call(int))
        maker.join()
        assert len(registry) == 1
    """)


def test_calls_in_flight_belong_to_the_parent() -> None:
    run("""
        permit = breaker.acquire()
        def check():
            assert breaker.stats().in_flight == 0
            assert breaker.evictable
            permit.failure()
            assert breaker.stats().in_flight == 0
            assert breaker.stats().consecutive_failures == 0
        in_child(check)
        assert breaker.stats().in_flight == 1
        assert permit.success()
        assert breaker.stats().in_flight == 0
    """)


def test_protected_function_that_forks_ends_in_both() -> None:
    run("""
        @breaker
        def forks():
            return os.fork()
        pid = forks()
        stats = breaker.stats()
        assert (stats.in_flight, stats.successful) == (0, 1)
        if pid == 0:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)


def test_child_may_probe_though_the_parent_does() -> None:
    run("""
        fail(3)
        clock.advance(10)
        probe = breaker.acquire()
        def check():
            assert breaker.state is State.OPEN
            mine = breaker.acquire()
            probe.failure()
            assert breaker.state is State.HALF_OPEN
            mine.success()
            assert breaker.state is State.CLOSED
        in_child(check)
        assert breaker.state is State.HALF_OPEN
        assert is_rejected()
    """)


def test_listeners_hear_in_the_child_what_happens_there() -> None:
    run("""
        heard = []
        breaker.add_listener(heard.append, (StateChanged,))
        def check():
            fail(3)
            assert [event.to_state for event in heard] == [State.OPEN]
        in_child(check)
        assert heard == []
    """)


def test_listener_may_fork() -> None:
    run("""
        children = []
        def forks(event):
            children.append(os.fork())
        breaker.add_listener(forks, (StateChanged,))
        fail(3)
        assert breaker.state is State.OPEN
        if children == [0]:
            clock.advance(10)
            heard = []
            breaker.add_listener(heard.append, (CallFinished,))
            breaker.force_closed("the child goes on")
            breaker.acquire().success()
            assert len(heard) == 1
            os._exit(0)
        assert os.waitpid(children[0], 0)[1] == 0
    """)


def test_operator_control_is_inherited() -> None:
    run("""
        breaker.force_open("maintenance")
        def check():
            assert breaker.control is Control.FORCED_OPEN
            assert is_rejected()
        in_child(check)
    """)


def test_child_of_a_child() -> None:
    run("""
        permit = breaker.acquire()
        in_child(lambda: in_child(lambda: breaker.call(int)))
        permit.success()
    """)


def test_pre_fork_server_with_multiprocessing() -> None:
    """Workers made after first use."""
    printed = run("""
        import multiprocessing
        context = multiprocessing.get_context("fork")
        breaker.call(int)
        def serve(number):
            fail(3)
            assert breaker.state is State.OPEN
        workers = [context.Process(target=serve, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print([worker.exitcode for worker in workers], breaker.state)
    """)
    assert printed == "[0, 0, 0, 0] closed\n"
