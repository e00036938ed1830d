"""Workers that share a directory are shown as one: counters never go back, and what is gone shows no state."""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packages.recloser.tests.support import fail, is_rejected, rates, settings, succeed, trip
from packages.recloser.tests.telemetry.scraping import Samples, labels_of, scrape, value
from prometheus_client import CollectorRegistry

from recloser import Registry, SettingsError
from recloser.telemetry.multiprocess import Workers
from recloser.telemetry.prometheus import BreakerCollector
from recloser.testing import FakeClock

NEVER = 3_600.0
"""An interval that does not pass while a test runs: only scrapes write."""


class Worker:
    """One worker: breakers, its place in the directory, and a Prometheus registry."""

    def __init__(self, directory: Path, *, clock: FakeClock | None = None, keep_departed: float = 3_600.0) -> None:
        self.registry = Registry(settings(), clock=clock)
        self.workers = Workers(self.registry, directory, interval=NEVER, keep_departed=keep_departed)
        self.prometheus = CollectorRegistry()
        BreakerCollector(self.workers, register=self.prometheus)

    def scrape(self) -> Samples:
        return scrape(self.prometheus)


@pytest.fixture
def pair(tmp_path: Path, clock: FakeClock) -> Iterator[tuple[Worker, Worker]]:
    both = Worker(tmp_path, clock=clock), Worker(tmp_path, clock=clock)
    yield both
    for worker in both:
        worker.workers.close()


def test_calls_of_all_workers_are_added_up(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    succeed(b.registry.get_or_create("db"), 3)
    fail(b.registry.get_or_create("api"))
    a.scrape()
    samples = b.scrape()
    assert value(samples, "successful_calls_total", name="db") == 5
    assert value(samples, "calls_total", name="db", status="success") == 5
    assert value(samples, "call_duration_seconds_count", name="db") == 5
    assert value(samples, "failed_calls_total", name="api") == 1
    assert samples == a.scrape()


def test_circuit_is_open_if_it_is_in_any_worker(pair: tuple[Worker, Worker], clock: FakeClock) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"))
    db = b.registry.get_or_create("db")
    trip(db)
    b.scrape()
    samples = a.scrape()
    assert value(samples, "state", name="db") == 1
    assert value(samples, "open_until_timestamp_seconds", name="db") == clock.time() + 10
    states = {state: value(samples, "workers", name="db", state=state) for state in ("closed", "open", "half_open")}
    assert states == {"closed": 1, "open": 1, "half_open": 0}
    clock.advance(10)
    probe = db.acquire()
    b.scrape()
    assert value(a.scrape(), "state", name="db") == 2
    probe.success()
    b.scrape()
    assert value(a.scrape(), "state", name="db") == 0


def test_ratio_is_that_of_all_windows_together(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    few, many = (one.registry.get_or_create("db", rates(failure_rate_threshold=0.9)) for one in pair)
    few_failed, many_failed = 1, 2
    succeed(few), fail(few, few_failed)
    succeed(many, 6), fail(many, many_failed)
    a.scrape()
    samples = b.scrape()
    assert value(samples, "window_calls", name="db") == 10
    assert value(samples, "failure_ratio", name="db") == pytest.approx(0.3)


def test_hold_of_an_operator_on_one_worker_shows(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"))
    b.registry.get_or_create("db").force_open("maintenance")
    b.scrape()
    samples = a.scrape()
    assert value(samples, "control", name="db", control="automatic") == 1
    assert value(samples, "control", name="db", control="forced_open") == 1
    assert value(samples, "open_until_timestamp_seconds", name="db") == math.inf


def test_counters_of_a_worker_that_is_gone_stay_and_its_state_does_not(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    db = a.registry.get_or_create("db")
    succeed(db)
    trip(db)
    is_rejected(db)
    a.workers.close()
    for _ in range(3):
        samples = b.scrape()
        assert value(samples, "successful_calls_total", name="db") == 1
        assert value(samples, "failed_calls_total", name="db") == 3
        assert value(samples, "rejections_total", name="db", reason="open") == 1
        for gauge in ("state", "open_until_timestamp_seconds", "in_flight_calls", "minimum_calls"):
            assert not list(labels_of(samples, gauge))
        assert value(samples, "workers", name="db", state="open") == 0


def test_worker_in_the_place_of_another_goes_on_counting(pair: tuple[Worker, Worker], tmp_path: Path) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    a.workers.close()
    b.scrape()
    c = Worker(tmp_path)
    succeed(c.registry.get_or_create("db"), 5)
    assert value(c.scrape(), "successful_calls_total", name="db") == 7
    c.workers.close()
    assert value(b.scrape(), "successful_calls_total", name="db") == 7
    assert len(list(tmp_path.glob("*.json"))) == 2  # b's own, and that of all who are gone


def test_restart_of_the_whole_server_goes_on_counting(tmp_path: Path) -> None:
    for total in (2, 4, 6):
        worker = Worker(tmp_path)
        succeed(worker.registry.get_or_create("db"), 2)
        assert value(worker.scrape(), "successful_calls_total", name="db") == total
        worker.workers.close()


def test_breaker_that_one_worker_removes_stays_in_the_sum_while_another_has_it(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    succeed(b.registry.get_or_create("db"), 3)
    a.scrape()
    succeed(a.registry["db"])
    a.registry.remove("db")
    a.scrape()
    assert value(b.scrape(), "successful_calls_total", name="db") == 6
    succeed(a.registry.get_or_create("db"), 4)
    a.scrape()
    assert value(b.scrape(), "successful_calls_total", name="db") == 10
    a.registry.remove("db")
    b.registry.remove("db")
    a.scrape()
    assert not list(labels_of(b.scrape(), "successful_calls_total"))


def test_breaker_that_takes_the_place_of_another_goes_on_counting(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    succeed(worker.registry.get_or_create("db"), 2)
    worker.scrape()
    worker.registry.remove("db")
    succeed(worker.registry.get_or_create("db"), 3)
    assert value(worker.scrape(), "successful_calls_total", name="db") == 5
    worker.workers.close()


def test_name_that_no_worker_has_any_more_is_forgotten_in_time(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    succeed(worker.registry.get_or_create("db"))
    worker.scrape()
    worker.workers.close()
    other = Worker(tmp_path, keep_departed=0)
    assert other.scrape() == {}
    other.workers.close()


def test_calls_of_evicted_breakers_are_added_up(pair: tuple[Worker, Worker]) -> None:
    a, b = pair
    for worker in pair:
        hosts = worker.registry.keyed("host", max_breakers=1)
        succeed(hosts["x"], 2)
        succeed(hosts["y"])
    a.scrape()
    assert value(b.scrape(), "evictions_total", collection="host") == 2
    a.workers.close()
    samples = b.scrape()
    assert value(samples, "evictions_total", collection="host") == 2
    assert value(samples, "evicted_calls_total", collection="host", status="success") == 4


def test_worker_that_has_not_been_called_takes_no_part(tmp_path: Path) -> None:
    idle = Worker(tmp_path)
    idle.registry.get_or_create("db")
    idle.workers.close()
    assert not list(tmp_path.iterdir())


def test_worker_that_ends_in_order_writes_its_last_reading(tmp_path: Path) -> None:
    ending, scraped = Worker(tmp_path), Worker(tmp_path)
    succeed(ending.registry.get_or_create("db"), 3)
    ending.workers.close()
    assert value(scraped.scrape(), "successful_calls_total", name="db") == 3
    scraped.workers.close()


def test_readings_are_written_in_the_background(tmp_path: Path) -> None:
    registry = Registry(settings())
    busy = Workers(registry, tmp_path, interval=0.01)
    succeed(registry.get_or_create("db"), 3)
    scraped = Worker(tmp_path)
    wait_until(lambda: any(tmp_path.glob("recloser-worker-*.json")))
    assert value(scraped.scrape(), "successful_calls_total", name="db") == 3
    busy.close()
    scraped.workers.close()


def test_directory_that_cannot_be_written_is_logged_once_and_used_again_when_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "breakers"
    registry = Registry(settings())
    workers = Workers(registry, directory, interval=0.01)
    shutil.rmtree(directory)
    directory.touch()
    succeed(registry.get_or_create("db"))
    wait_until(lambda: "cannot be written" in caplog.text)
    with pytest.raises(OSError, match="breakers"):
        workers.read()
    directory.unlink()
    wait_until(lambda: directory.is_dir() and any(directory.glob("recloser-worker-*.json")))
    workers.close()
    assert caplog.text.count("cannot be written") == 1


def wait_until(condition: Callable[[], bool]) -> None:
    """Until a thread has done its work."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_files_that_were_left_behind_are_not_counted_twice(pair: tuple[Worker, Worker], tmp_path: Path) -> None:
    """Whoever adds up the dead may die before it has removed their files."""
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    a.workers.close()
    left = {path: path.read_bytes() for path in tmp_path.glob("recloser-worker-*")}
    assert value(b.scrape(), "successful_calls_total", name="db") == 2
    for path, content in left.items():
        path.write_bytes(content)
    assert value(b.scrape(), "successful_calls_total", name="db") == 2
    assert not any(path.exists() for path in left)
    assert value(b.scrape(), "successful_calls_total", name="db") == 2


def test_directory_that_was_emptied_is_filled_again(pair: tuple[Worker, Worker], tmp_path: Path) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    a.scrape()
    for path in tmp_path.iterdir():
        path.unlink()
    a.scrape()
    assert value(b.scrape(), "successful_calls_total", name="db") == 2
    shutil.rmtree(tmp_path)
    a.scrape()
    assert value(b.scrape(), "successful_calls_total", name="db") == 2


def test_damaged_reading_of_a_worker_is_left_out(
    pair: tuple[Worker, Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair
    succeed(a.registry.get_or_create("db"), 2)
    a.scrape()
    [path] = tmp_path.glob("recloser-worker-*.json")
    path.write_bytes(b"{")
    succeed(b.registry.get_or_create("db"))
    assert value(b.scrape(), "successful_calls_total", name="db") == 1
    assert "damaged and left out" in caplog.text


def test_damaged_sum_of_those_who_are_gone_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    (tmp_path / "recloser-departed.json").write_bytes(b"{")
    with pytest.raises(ValueError, match=r"recloser-departed\.json is damaged .* delete it"):
        worker.scrape()
    worker.workers.close()


@pytest.mark.parametrize(("name", "wrong"), [("interval", 0), ("interval", "1"), ("keep_departed", -1)])
def test_wrong_arguments_are_refused(tmp_path: Path, name: str, wrong: object) -> None:
    with pytest.raises(SettingsError, match=name):
        Workers(Registry(), tmp_path, **{name: wrong})  # type: ignore[arg-type]


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        Workers(Registry(), tmp_path / "file")


def test_other_files_of_the_directory_are_left_alone(tmp_path: Path) -> None:
    """It may be that of prometheus_client's own multiprocess mode."""
    other = tmp_path / "counter_12.db"
    other.write_bytes(b"x")
    for _ in range(2):
        worker = Worker(tmp_path)
        succeed(worker.registry.get_or_create("db"))
        worker.scrape()
        worker.workers.close()
    assert other.read_bytes() == b"x"


def test_threads_end_with_the_object(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    worker = Worker(tmp_path)
    [thread] = set(threading.enumerate()) - before
    worker.workers.close()
    assert not thread.is_alive()


STEP = st.tuples(st.sampled_from(["call", "fail", "scrape", "restart", "remove"]), st.sampled_from([0, 1, 2]))


@hypothesis_settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_sum_is_exact_whatever_workers_come_and_go(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    directory = tmp_path_factory.mktemp("workers")
    unbreakable = settings(failure_threshold=None, failure_rate_threshold=1.0, minimum_calls=100)
    crew = [Worker(directory) for _ in range(3)]
    for worker in crew:
        worker.registry.get_or_create("kept", unbreakable)
    succeeded = failed = 0
    for step, number in steps:
        worker = crew[number]
        db = worker.registry.get_or_create("db", unbreakable)
        if step == "call":
            succeed(db)
            succeeded += 1
        elif step == "fail":
            fail(db)
            failed += 1
        elif step == "remove":
            worker.scrape()
            worker.registry.remove("db")
        elif step == "restart":
            worker.workers.close()
            crew[number] = Worker(directory)
        else:
            for one in crew:
                one.registry.get_or_create("db", unbreakable)
                one.scrape()
            samples = worker.scrape()
            assert value(samples, "successful_calls_total", name="db") == succeeded
            assert value(samples, "failed_calls_total", name="db") == failed
    for worker in crew:
        worker.workers.close()
    shutil.rmtree(directory)
