"""What a card says, and the recent past that its sparkline shows. Time is passed in."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser import CircuitBreaker, CircuitOpenError, Registry, Settings
from recloser.dashboard import cards, pages
from recloser.dashboard.frames import Filter, Row, groups_of
from recloser.dashboard.history import History
from recloser.dashboard.sampler import Sampler
from recloser.dashboard.samples import BAR_SECONDS, BARS, Samples, latency_of, slot_of
from recloser.testing import FakeClock

any_text = st.text(st.characters(), min_size=1, max_size=50)


@given(any_text)
def test_name_survives_links_and_forms(name: str) -> None:
    key = cards.key_of(name)
    assert key.isascii()
    assert not re.search(r"[^\w.~%-]", key)
    assert cards.name_of(key) == name


@pytest.mark.parametrize("key", ["", "%ff", "%80%80"])
def test_key_that_nobody_made_names_no_breaker(key: str) -> None:
    assert cards.name_of(key) == ""


@given(st.text(st.characters(), max_size=500))
def test_shown_text_is_one_short_line_that_can_be_sent(text: str) -> None:
    shown = cards.shown(text)
    shown.encode()
    assert "\n" not in shown
    assert len(shown) <= 301


@given(any_text.filter(str.strip), any_text, any_text.filter(str.strip))
def test_nothing_that_comes_from_elsewhere_becomes_markup(name: str, failure: str, reason: str) -> None:
    registry = Registry(Settings(failure_threshold=1, tags={"group": f"<{failure}"}))
    breaker = registry.get_or_create(f"<{name}")
    with pytest.raises(ValueError):
        breaker.call(lambda: int(f"<{failure}>"))
    breaker.observe_only(f'"><{reason}')
    frame = Sampler(registry, History(10)).read()
    viewer = pages.Viewer(f"<{name}", "process 1", True, True, "form")
    page = pages.index(frame, Filter(f'<"{name}'), viewer, "00:00:00")
    page += pages.detail(
        frame, frame.rows[0], breaker.settings, viewer, "now", problem=f"<{reason}", given={"reason": '"<'}
    )
    known = re.compile(r"</?(?:[a-z][a-z0-9]*)(?: [^<>]*)?/?>|<!doctype html>")
    assert "<" not in known.sub("", page)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "–"), (0.0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1.0, "100 %")],  # noqa: RUF001
)
def test_ratio_is_never_rounded_to_nothing_or_to_all(ratio: float | None, text: str) -> None:
    assert cards.percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_600, "60 min"), (7_200, "2 h"), (172_800, "2 d"), (-1, "0 s")],
)
def test_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert cards.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0025, "≤ 2.5 ms"), (1.0, "≤ 1 s"), (math.inf, "> 60 s")],  # noqa: RUF001
)
def test_latency_is_told_as_a_bound(seconds: float | None, text: str) -> None:
    assert cards.bound(seconds) == text


# The recent past


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """One failure opens it."""
    return CircuitBreaker("payments", Settings(failure_threshold=1, open_for=3_600), clock=clock)


def refuse() -> None:
    raise ConnectionError


def take(samples: Samples, breaker: CircuitBreaker, clock: FakeClock) -> None:
    samples.add(breaker.stats(), clock.monotonic())


def test_calls_are_counted_in_the_slice_of_time_in_which_they_were_seen(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    samples = Samples()
    breaker.call(abs, 1)
    take(samples, breaker, clock)
    assert samples.bars == (), "what was before the first reading is not recent"
    for _ in range(2):
        breaker.call(abs, 1)
        take(samples, breaker, clock)
    clock.advance(BAR_SECONDS)
    with pytest.raises(ConnectionError):
        breaker.call(refuse)
    with pytest.raises(CircuitOpenError):
        breaker.call(abs, 1)
    take(samples, breaker, clock)
    first, second = samples.bars
    assert (first.succeeded, first.failed, first.rejected) == (2, 0, 0)
    assert (second.succeeded, second.failed, second.rejected) == (0, 1, 1)
    assert second.slot == first.slot + 1


def test_past_is_bounded_in_time(breaker: CircuitBreaker, clock: FakeClock) -> None:
    samples = Samples()
    take(samples, breaker, clock)
    for _ in range(2 * BARS):
        breaker.call(abs, 1)
        take(samples, breaker, clock)
        clock.advance(BAR_SECONDS)
    assert len(samples.bars) == BARS
    clock.advance(BARS * BAR_SECONDS)
    take(samples, breaker, clock)
    assert samples.bars == ()


def test_another_breaker_of_the_same_name_starts_anew(clock: FakeClock) -> None:
    registry = Registry(clock=clock)
    sampler = Sampler(registry, History(10), clock.monotonic)
    for expected in (1, 0):
        registry.get_or_create("payments")
        sampler.read()
        if expected:
            registry["payments"].call(abs, 1)
        [row] = sampler.read().rows
        assert len(row.bars) == expected
        registry.remove("payments")


def test_latency_is_that_of_the_last_minutes_once_these_are_known(breaker: CircuitBreaker, clock: FakeClock) -> None:
    samples = Samples()
    assert latency_of(breaker.stats(), samples.bars) is None
    breaker.call(clock.advance, 20.0)
    take(samples, breaker, clock)
    before = latency_of(breaker.stats(), samples.bars)
    assert before is not None
    assert (before.p50, before.p99, before.recent) == (30.0, 30.0, False)
    breaker.call(clock.advance, 0.02)
    take(samples, breaker, clock)
    after = latency_of(breaker.stats(), samples.bars)
    assert after is not None
    assert (after.p50, after.p99, after.recent) == (0.025, 0.025, True)


def test_sparkline_stacks_what_happened(breaker: CircuitBreaker, clock: FakeClock) -> None:
    samples = Samples()
    take(samples, breaker, clock)
    for _ in range(3):
        breaker.call(abs, 1)
    with pytest.raises(ConnectionError):
        breaker.call(refuse)
    take(samples, breaker, clock)
    drawn = cards.sparkline(samples.bars, slot_of(clock.monotonic()))
    right = cards.SPARK_WIDTH - 4
    assert drawn["spark-succeeded"] == f"M{right} 32h3v-24h-3z"
    assert drawn["spark-failed"] == f"M{right} 8h3v-8h-3z"
    assert drawn["spark-rejected"] == ""
    assert drawn["spark-text"] == "4 calls, 1 failed, 0 rejected in the last 5 min"


def test_breaker_belongs_to_its_group_and_to_its_keyed_collection(clock: FakeClock) -> None:
    tagged = CircuitBreaker("http:a", Settings(tags={"group": "edge"}), clock=clock)
    assert groups_of(tagged.stats(), {"http": None}) == ("edge", "http")
    assert groups_of(tagged.stats(), {}) == ("edge",)
    assert groups_of(CircuitBreaker("plain", clock=clock).stats(), {"plain": None}) == ()


@pytest.mark.parametrize(
    ("name", "expected"), [("http:host:a", "http:host"), ("http:host:a:443", "http:host"), ("http:other:443", "http")]
)
def test_keyed_collection_may_have_a_colon_in_its_name(clock: FakeClock, name: str, expected: str) -> None:
    breaker = CircuitBreaker(name, clock=clock)
    assert groups_of(breaker.stats(), {"http": None, "http:host": None}) == (expected,)


def test_healthy_breaker_does_not_show_failures_of_long_ago(breaker: CircuitBreaker, clock: FakeClock) -> None:
    with pytest.raises(ConnectionError):
        breaker.call(refuse)

    def text() -> str:
        return Row(breaker.stats(), (), 0, ()).card["last-failure"]

    assert text() == "ConnectionError"
    breaker.reset("the provider is back")
    assert text() == ""
