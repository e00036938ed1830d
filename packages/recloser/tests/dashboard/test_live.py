"""What viewers of the live page are sent, and who reads the breakers for them."""

import asyncio
import contextlib
import gc
import json
import multiprocessing
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from packages.recloser.tests.dashboard.conftest import client_of, fail

from recloser import Registry
from recloser.dashboard import Dashboard, dashboard, sampler, stream
from recloser.dashboard.frames import Frame
from recloser.dashboard.history import History
from recloser.dashboard.sampler import Sampler
from recloser.testing import FakeClock


class Watching:
    """A connection to the stream of events, as a server sees it."""

    def __init__(self, page: Dashboard, query: str = "") -> None:
        self.events: list[dict[str, Any]] = []
        self.status = 0
        self.reads = asyncio.Event()  # what is sent is taken only while it is set
        self.reads.set()
        self._gone = asyncio.Event()
        self._sent = asyncio.Condition()
        scope = {"type": "http", "method": "GET", "path": "/events", "query_string": query.encode(), "headers": []}
        self.task = asyncio.create_task(page(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.status = message.get("status", self.status)
        text = message.get("body", b"").decode()
        if text.startswith("data: "):
            async with self._sent:
                self.events.append(json.loads(text.removeprefix("data: ")))
                self._sent.notify_all()

    async def until(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first event, of those that came or will come, for which this holds."""
        async with asyncio.timeout(30), self._sent:
            await self._sent.wait_for(lambda: any(wanted(event) for event in self.events))
        return next(event for event in self.events if wanted(event))

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 30)


@contextlib.asynccontextmanager
async def watching(page: Dashboard, query: str = "") -> AsyncIterator[Watching]:
    viewer = Watching(page, query)
    try:
        yield viewer
    finally:
        await viewer.leave()


def shown(event: dict[str, Any]) -> dict[str, str]:
    """The states of the cards of an event."""
    return {card["name"]: card["state"] for card in event["cards"]}


async def test_first_event_is_the_whole_page(registry: Registry, app: Dashboard) -> None:
    registry.get_or_create("search")
    fail(registry, "payments")
    async with watching(app) as viewer:
        first = await viewer.until(lambda event: True)
    assert shown(first) == {"payments": "open", "search": "closed"}
    assert first["order"] == ["payments", "search"]
    assert first["title"] == "(1 open) Circuit breakers"
    assert [line["what"] for line in first["lines"]] == ["opened for 30 s"]


async def test_later_events_hold_only_what_has_changed(registry: Registry, app: Dashboard) -> None:
    for name in ("payments", "search"):
        registry.get_or_create(name)
    async with watching(app) as viewer:
        await viewer.until(lambda event: event["first"])
        fail(registry, "payments")
        changed = await viewer.until(lambda event: not event["first"] and event["cards"])
        assert shown(changed) == {"payments": "open"}
        assert [line["name"] for line in changed["lines"]] == ["payments"]
        fail(registry, "search")
        later = await viewer.until(lambda event: "search" in shown(event) and not event["first"])
    assert [line["name"] for line in later["lines"]] == ["search"]


async def test_change_is_shown_long_before_the_next_reading_is_due(
    registry: Registry, app: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "INTERVAL", 3_600.0)
    registry.get_or_create("payments")
    async with watching(app) as viewer:
        await viewer.until(lambda event: event["first"])
        fail(registry, "payments")
        assert await viewer.until(lambda event: shown(event) == {"payments": "open"})


async def test_breakers_come_and_go(registry: Registry, app: Dashboard) -> None:
    registry.get_or_create("payments")
    async with watching(app) as viewer:
        await viewer.until(lambda event: event["first"])
        registry.get_or_create("new")
        await viewer.until(lambda event: event["order"] == ["new", "payments"])
        registry.remove("payments")
        assert await viewer.until(lambda event: event["order"] == ["new"])


async def test_viewer_is_sent_what_the_filter_admits(registry: Registry, app: Dashboard) -> None:
    fail(registry, "payments")
    fail(registry, "search")
    registry.get_or_create("pay-out")
    async with watching(app, "q=pay&state=open") as some, watching(app, "name=search") as one:
        assert shown(await some.until(lambda event: True)) == {"payments": "open"}
        first = await one.until(lambda event: True)
        assert (shown(first), [line["name"] for line in first["lines"]]) == ({"search": "open"}, ["search"])


async def test_viewer_who_reads_slowly_is_sent_fewer_events(
    registry: Registry, app: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "INTERVAL", 0.01)
    breaker = registry.get_or_create("payments")
    async with watching(app, "name=payments") as quick, watching(app, "name=payments") as slow:
        await slow.until(lambda event: True)
        slow.reads.clear()
        seen = len(slow.events)
        for number in range(20):
            (breaker.disable if number % 2 else breaker.force_closed)(f"reason {number}")
            await quick.until(lambda event: any(line["why"] == f"reason {number}" for line in event["lines"]))  # noqa: B023
        slow.reads.set()
        await slow.until(lambda event: any(line["why"] == "reason 19" for line in event["lines"]))
    caught_up = next(place for place, event in enumerate(slow.events) if "reason 19" in str(event["lines"]))
    assert caught_up - seen < 2 < len(quick.events), "at most the event that was on its way, and one more"
    told = [int(line["number"]) for event in slow.events for line in reversed(event["lines"])]
    assert told == sorted(set(told)), "a change is told once, in order"


async def test_stream_ends_after_a_while_so_that_a_server_can_stop(
    registry: Registry, app: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LASTS", 0.05)
    viewer = Watching(app)
    await asyncio.wait_for(viewer.task, 30)
    assert viewer.status == 200


async def test_viewer_who_does_not_read_is_forgotten(
    registry: Registry, app: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LASTS", 0.05)
    monkeypatch.setattr(stream, "QUIET", 0.05)
    viewer = Watching(app)
    viewer.reads.clear()
    await asyncio.wait_for(viewer.task, 30)
    assert await unwatched(app)


async def test_viewer_who_leaves_is_forgotten(registry: Registry, app: Dashboard) -> None:
    viewer = Watching(app)
    await viewer.until(lambda event: True)
    viewer.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await viewer.task
    async with watching(app) as other:
        await other.until(lambda event: True)
    assert await unwatched(app)


async def unwatched(page: Dashboard) -> bool:
    """Whether nobody watches: a reading for a request is for one viewer."""
    async with client_of(page) as client:
        return (await client.get("/api/breakers")).status_code == 200 and page.viewers == 0


async def test_number_of_viewers_is_bounded(app: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recloser.dashboard.app.STREAMS", 1)
    async with watching(app) as viewer:
        await viewer.until(lambda event: True)
        refused = Watching(app)
        await refused.task
        assert refused.status == 503
        assert not viewer.task.done()


@pytest.fixture
def shared(registry: Registry) -> Iterator[Sampler]:
    """A sampler without a page."""
    sampler = Sampler(registry, History(10))
    yield sampler
    sampler.stop()


async def test_hundred_viewers_share_a_reading(shared: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "INTERVAL", 3_600.0)
    all_are_here = threading.Event()
    frames = []
    read = shared.read

    def read_when_all_are_here() -> Frame:
        frames.append(read())
        assert all_are_here.wait(30)
        return frames[-1]

    monkeypatch.setattr(shared, "read", read_when_all_are_here)
    viewers = [shared.watch() for _ in range(100)]
    all_are_here.set()
    assert {frame.number for viewer in viewers if (frame := await viewer.next(30))} <= {1, 2}
    assert len(frames) <= 2, "one that began before some of them came, and one for these"


async def test_viewer_is_never_shown_a_reading_that_began_before_he_came(shared: Sampler) -> None:
    for _ in range(50):
        viewer = shared.watch()
        frame = await viewer.next(30)
        shared.leave(viewer)
        assert frame is not None
        assert frame.asked >= viewer.since


async def test_thread_ends_a_while_after_the_last_viewer_and_begins_again(
    shared: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "LINGER", 0.0)
    monkeypatch.setattr(sampler, "INTERVAL", 0.01)
    for _ in range(2):
        before = set(threading.enumerate())
        viewer = shared.watch()
        assert await viewer.next(30) is not None
        [thread] = set(threading.enumerate()) - before
        shared.leave(viewer)
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


async def test_thread_that_cannot_begin_is_tried_again(shared: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            shared.watch()
    shared.stop()
    assert shared.viewers == 0
    assert await shared.watch().next(30) is not None


async def test_calls_while_nothing_was_read_are_not_recent(registry: Registry, shared: Sampler) -> None:
    breaker = registry.get_or_create("payments")
    shown = []
    for _ in range(2):
        viewer = shared.watch()
        shown.append(await viewer.next(30))
        shared.leave(viewer)
        shared.stop()
        breaker.call(abs, 1)
    assert [row.bars for frame in shown if frame for row in frame.rows] == [(), ()]


class BrokenClock(FakeClock):
    """A clock of somebody's own that fails for a while."""

    broken = False

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def monotonic(self) -> float:
        if self.broken:
            self.asked.set()
            raise OSError("no clock")
        return super().monotonic()


async def test_reading_that_fails_is_logged_and_the_next_one_may_go_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sampler, "INTERVAL", 0.01)
    clock = BrokenClock()
    registry = Registry(clock=clock)
    registry.get_or_create("payments")
    shared = Sampler(registry, History(10))
    clock.broken = True
    viewer = shared.watch()
    try:
        assert await asyncio.to_thread(clock.asked.wait, 30)
        clock.broken = False
        assert await viewer.next(30) is not None
        assert "could not be read for the dashboard" in caplog.text
    finally:
        shared.stop()


async def test_request_gives_up_when_the_breakers_cannot_be_read(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recloser.dashboard.app.PATIENCE", 0.05)
    release = threading.Event()
    monkeypatch.setattr(Sampler, "read", lambda self: release.wait(30))
    try:
        answer = await client.get("/")
    finally:
        release.set()
        monkeypatch.undo()
    assert (answer.status_code, answer.json()["error"]) == (503, "not_read")


def test_closed_page_is_forgotten_by_the_registry(registry: Registry) -> None:
    page = dashboard(registry)
    registry.get_or_create("payments")
    page.close()
    reference = weakref.ref(page)
    del page
    gc.collect()
    assert reference() is None


def _read_in_child(shared: Sampler, answers: Any) -> None:
    answers.put(shared.viewers)
    shared.stop()

    async def read() -> int:
        viewer = shared.watch()
        frame = await viewer.next(30)
        shared.stop()
        return -1 if frame is None else len(frame.rows)

    answers.put(asyncio.run(read()))


@pytest.fixture
def watched(shared: Sampler) -> Iterator[Sampler]:
    """A sampler with a viewer, in an event loop that is open but does not run."""

    async def watch() -> None:
        await shared.watch().next(30)

    with asyncio.Runner() as runner:
        runner.run(watch())
        yield shared


def test_forked_child_reads_for_itself(registry: Registry, watched: Sampler) -> None:
    registry.get_or_create("payments")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread: that is what is tested
        child = context.Process(target=_read_in_child, args=(watched, answers))
        child.start()
    try:
        assert answers.get(timeout=30) == 0, "who watches the parent does not watch the child"
        assert answers.get(timeout=30) == 1
    finally:
        child.join(30)
        answers.close()
        answers.join_thread()
    assert child.exitcode == 0


@pytest.mark.parametrize(("took", "pause"), [(0.0, 1.0), (0.1, 1.0), (0.5, 5.0)])
def test_reading_that_takes_long_is_done_less_often(took: float, pause: float) -> None:
    assert sampler.pause_after(took) == pause
