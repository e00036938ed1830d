"""A watched file is applied when it changes; a broken one is logged once and changes nothing."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages.recloser.tests.support import fail, rates

from recloser import ConfigError, ConfigWatcher, Registry, Settings, SettingsError, State, presets
from recloser.config import applied
from recloser.testing import FakeClock

LIMIT = 30.0
"""Seconds after which a test that waits for the watcher's thread gives up."""


class Changes:
    """Hears of changes, and waits for one."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self._condition = threading.Condition()

    def __call__(self, names: list[str]) -> None:
        with self._condition:
            self.seen.append(names)
            self._condition.notify_all()

    def wait(self, count: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: len(self.seen) >= count, LIMIT), self.seen


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock=clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "breakers.yaml", 1)


def write(path: Path, open_for: object) -> Path:
    path.write_text(f"breakers: {{payments: {{open_for: {open_for}}}}}")
    return path


@pytest.fixture
def watcher(path: Path, registry: Registry) -> Iterator[ConfigWatcher]:
    """Started, and too slow to see anything by itself."""
    with ConfigWatcher(path, registry, interval=3_600, environ={}) as watcher:
        yield watcher


def test_file_is_applied_at_the_start(watcher: ConfigWatcher, registry: Registry) -> None:
    assert registry["payments"].settings.open_for == 1.0
    assert watcher.config is not None
    assert watcher.config.names == ["payments"]


def test_change_is_applied_on_request(watcher: ConfigWatcher, registry: Registry, path: Path) -> None:
    write(path, 2)
    assert watcher.check() == ["payments"]
    assert registry["payments"].settings.open_for == 2.0
    assert watcher.check() == []


def test_window_is_kept(watcher: ConfigWatcher, registry: Registry, path: Path) -> None:
    breaker = registry["payments"]
    breaker.reconfigure(rates(minimum_calls=4))
    fail(breaker, 3)
    path.write_text("breakers: {payments: {failure_rate_threshold: 0.9}}")
    watcher.check()
    assert breaker.stats().window_calls == 3
    fail(breaker, 1)
    assert breaker.state is State.OPEN


def test_rules_in_code_survive(watcher: ConfigWatcher, registry: Registry, path: Path) -> None:
    code = registry.get_or_create("search", presets.cache(ignore=(KeyError,)))
    path.write_text("breakers: {search: {open_for: 3}}")
    watcher.check()
    assert code.settings == presets.cache(ignore=(KeyError,), open_for=3.0)


def test_broken_file_is_logged_once_and_the_old_settings_stay(
    watcher: ConfigWatcher, registry: Registry, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "soon")
    assert [watcher.check(), watcher.check()] == [[], []]
    assert registry["payments"].settings.open_for == 1.0
    assert isinstance(watcher.error, ConfigError)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"{path}: breakers.payments.open_for: 'soon': must be a finite number" in caplog.text


def test_file_that_is_mended_is_applied(
    watcher: ConfigWatcher, registry: Registry, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "recloser")
    write(path, "soon")
    watcher.check()
    write(path, 3)
    assert watcher.check() == ["payments"]
    assert watcher.error is None
    assert registry["payments"].settings.open_for == 3.0
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "the old settings stay, the configuration is refused",
        f"the configuration {path} is valid again",
        f"{path} gave new settings to payments",
    ]


def test_another_mistake_is_logged_too(watcher: ConfigWatcher, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for value in ("soon", "soon", "later", "soon"):
        write(path, value)
        watcher.check()
    said = [record.getMessage().split("open_for: ")[1].split(":")[0] for record in caplog.records]
    assert said == ["'soon'", "'later'", "'soon'"]


def test_missing_file_changes_nothing_and_may_come_back(watcher: ConfigWatcher, registry: Registry, path: Path) -> None:
    path.unlink()
    assert watcher.check() == []
    assert watcher.error is not None
    assert "cannot be read" in str(watcher.error)
    assert registry["payments"].settings.open_for == 1.0
    write(path, 4)
    assert watcher.check() == ["payments"]


def test_broken_file_at_the_start_is_an_error(path: Path, registry: Registry) -> None:
    write(path, "soon")
    watcher = ConfigWatcher(path, registry, environ={})
    with pytest.raises(ConfigError, match="'soon'"):
        watcher.start()
    assert len(registry) == 0
    assert not any(thread.name == "recloser-config" for thread in threading.enumerate())


def test_breakers_made_since_get_their_overrides_at_once(path: Path, registry: Registry) -> None:
    environ = {"RECLOSER_SEARCH__OPEN_FOR": "9", "RECLOSER_PAYMENTS__OPEN_FOR": "8"}
    with ConfigWatcher(path, registry, interval=3_600, environ=environ) as watcher:
        assert registry["payments"].settings.open_for == 8.0
        search = registry.get_or_create("search", Settings())
        assert watcher.check() == []
        assert search.settings.open_for == 9.0


class SlowEnvironment(dict[str, str]):
    """Variables that the first reader has to wait for."""

    def __init__(self) -> None:
        self.asked, self.answers = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[str]:
        if not self.asked.is_set():
            self.asked.set()
            assert self.answers.wait(LIMIT)
        return super().__iter__()


def test_two_checks_at_once_end_with_the_newer_file(path: Path, registry: Registry) -> None:
    environ = SlowEnvironment()
    watcher = ConfigWatcher(path, registry, environ=environ)
    older, newer = threading.Thread(target=watcher.check), threading.Thread(target=watcher.check)
    older.start()
    assert environ.asked.wait(LIMIT), "it has read the file and not applied it"
    write(path, 2)
    newer.start()
    newer.join(0.2)
    environ.answers.set()
    older.join()
    newer.join()
    assert registry["payments"].settings.open_for == 2.0


# By itself, from its thread


def test_change_is_noticed(path: Path, registry: Registry) -> None:
    changes = Changes()
    with ConfigWatcher(path, registry, interval=0.01, environ={}, on_change=changes):
        write(path, 2)
        changes.wait(2)
        assert registry["payments"].settings.open_for == 2.0


def test_change_is_noticed_though_time_and_size_are_the_same(path: Path, registry: Registry) -> None:
    changes = Changes()
    before = path.stat()
    with ConfigWatcher(path, registry, interval=0.01, environ={}, on_change=changes):
        other = write(path.with_name("new.yaml"), 2)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
        assert path.stat().st_size == before.st_size
        changes.wait(2)
        assert registry["payments"].settings.open_for == 2.0


def test_broken_file_is_noticed_once_and_the_mended_one_too(
    path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:
                heard.set()

    handler = Handler()
    logging.getLogger("recloser").addHandler(handler)
    changes = Changes()
    try:
        with ConfigWatcher(path, registry, interval=0.01, environ={}, on_change=changes) as watcher:
            write(path, "soon")
            assert heard.wait(LIMIT)
            assert registry["payments"].settings.open_for == 1.0
            write(path, 2)
            changes.wait(2)
            assert watcher.error is None
    finally:
        logging.getLogger("recloser").removeHandler(handler)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_half_written_file_is_left_alone(path: Path, registry: Registry) -> None:
    """Each look sees another content: none of it is applied until two looks see the same."""
    watcher = ConfigWatcher(path, registry, interval=3_600, environ={})
    with watcher:
        for value in (2, 3, 4):
            write(path, value)
            watcher._look()
            assert registry["payments"].settings.open_for == 1.0
        watcher._look()
        assert registry["payments"].settings.open_for == 4.0


def test_file_that_did_not_change_is_not_loaded_again(watcher: ConfigWatcher) -> None:
    before = watcher.config
    for _ in range(3):
        watcher._look()
    assert watcher.config is before


def test_error_in_the_listener_is_logged_and_watching_goes_on(
    path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    changes = Changes()

    def raising(names: list[str]) -> None:
        changes(names)
        raise RuntimeError("in the listener")

    with ConfigWatcher(path, registry, interval=0.01, environ={}, on_change=raising):
        write(path, 2)
        changes.wait(2)
        write(path, 3)
        changes.wait(3)
    assert "in the listener" in caplog.text


def test_listener_may_use_the_watcher(path: Path, registry: Registry) -> None:
    seen: list[str] = []
    watcher: ConfigWatcher

    def again(names: list[str]) -> None:
        seen.extend(names)
        thread = threading.Thread(target=watcher.check)  # would wait for ever if a lock were held
        thread.start()
        thread.join(LIMIT)
        assert not thread.is_alive()

    watcher = ConfigWatcher(path, registry, interval=3_600, environ={}, on_change=again)
    with watcher:
        assert seen == ["payments"]


def test_stop_ends_the_thread_and_keeps_the_settings(path: Path, registry: Registry) -> None:
    watcher = ConfigWatcher(path, registry, interval=0.01, environ={})
    watcher.start()
    watcher.start()
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "recloser-config"] == [True]
    watcher.stop()
    watcher.stop()
    assert not any(thread.name == "recloser-config" for thread in threading.enumerate())
    write(path, 2)
    assert registry["payments"].settings.open_for == 1.0
    watcher.start()
    assert registry["payments"].settings.open_for == 2.0
    watcher.stop()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_interval_that_means_nothing_is_refused(path: Path, registry: Registry, interval: float) -> None:
    with pytest.raises(SettingsError, match="interval="):
        ConfigWatcher(path, registry, interval=interval)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_worker_starts_its_own_whatever_the_parent_was_doing(path: Path, registry: Registry) -> None:
    held, let_go = threading.Event(), threading.Event()

    def reload_slowly() -> None:
        with applied.lock:
            held.set()
            let_go.wait(LIMIT)

    other = threading.Thread(target=reload_slowly)
    with ConfigWatcher(path, registry, interval=3_600, environ={}) as watcher:
        other.start()
        assert held.wait(LIMIT)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(int(LIMIT))  # a child that waits for the parent's lock would wait for ever
                write(path, 2)
                watcher.start()
                alive = watcher._thread is not None and watcher._thread.is_alive()
                os._exit(0 if alive and registry["payments"].settings.open_for == 2.0 else 1)
            except BaseException:
                os._exit(2)
        let_go.set()
        other.join()
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
