"""Workers that are forked: each child counts on its own, and none holds what belongs to its parent.

Each test is a program of its own, so that nothing of the test run is forked.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

PRELUDE = """
import os, signal, sys, threading, time, traceback
from recloser import *
from recloser.telemetry.multiprocess import Workers

registry = Registry(Settings(failure_threshold=3, open_for=3_600))
db = registry.get_or_create("db")

def count(workers, key):
    return sum(reading.counts[key] for reading in workers.read().breakers)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(program: str, directory: Path) -> None:
    """Run a program that must end well within 60 s and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(program), str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_child_counts_from_zero_and_the_parent_goes_on(tmp_path: Path) -> None:
    run(
        """
        workers = Workers(registry, sys.argv[1], interval=3600)
        for _ in range(5):
            db.call(str)
        def work():
            db.call(str)
            workers.close()
        assert ended(child(work)) == 0
        db.call(str)
        assert count(workers, "successful") == 7
        assert count(workers, "state_seconds closed") < 2 * time.monotonic()
        """,
        tmp_path,
    )


def test_child_that_is_killed_leaves_what_it_has_written_and_no_state(tmp_path: Path) -> None:
    run(
        """
        workers = Workers(registry, sys.argv[1], interval=0.01)
        def work():
            for _ in range(3):
                db.acquire().failure()
            signal.pause()
        pid = child(work)
        deadline = time.monotonic() + 30
        def shown():
            [reading] = workers.read().breakers
            return reading
        while shown().counts["failed"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert shown().condition.state is State.OPEN
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        assert shown().counts["failed"] == 3
        assert shown().condition.state is State.CLOSED
        assert shown().workers[State.OPEN] == 0
        """,
        tmp_path,
    )


def test_forks_in_the_middle_of_scrapes_neither_block_nor_lose_a_call(tmp_path: Path) -> None:
    run(
        """
        workers = Workers(registry, sys.argv[1], interval=0.01)
        stopped = threading.Event()
        def scrape():
            while not stopped.is_set():
                workers.read()
        threads = [threading.Thread(target=scrape) for _ in range(2)]
        for thread in threads:
            thread.start()
        def work():
            db.call(str)
            workers.read()
            workers.close()
        for _ in range(30):
            pids = [child(work) for _ in range(2)]
            assert [ended(pid) for pid in pids] == [0, 0]
        stopped.set()
        for thread in threads:
            thread.join()
        assert count(workers, "successful") == 60
        """,
        tmp_path,
    )


def test_child_that_lives_on_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    run(
        """
        workers = Workers(registry, sys.argv[1], interval=3600)
        ready, go_on = os.pipe(), os.pipe()
        def parent():
            db.acquire().failure()
            workers.read()
            def grandchild():
                os.write(ready[1], b"x")
                os.read(go_on[0], 1)
            child(grandchild)
            os.read(ready[0], 1)
        assert ended(child(parent)) == 0  # the parent is gone, its child is not
        [reading] = workers.read().breakers
        os.write(go_on[1], b"x")
        assert reading.counts["failed"] == 1
        assert sum(reading.workers.values()) == 1
        """,
        tmp_path,
    )


def test_no_thread_of_ours_runs_at_the_moment_of_a_fork(tmp_path: Path) -> None:
    """From 3.12 on, Python warns of a fork with several threads."""
    done = subprocess.run([sys.executable, "-c", FORK_WITHOUT_THREADS, str(tmp_path)], timeout=60)
    assert done.returncode == 0


FORK_WITHOUT_THREADS = """
import os, sys, threading
running = []
# Hooks that run before a fork run in reverse order: this one after that of the module, which is imported later.
os.register_at_fork(before=lambda: running.append(threading.active_count()))
from recloser import Registry
from recloser.telemetry.multiprocess import Workers

workers = Workers(Registry(), sys.argv[1], interval=0.001)
assert threading.active_count() == 2
pid = os.fork()
assert threading.active_count() == 2
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert running == [1]
"""
