"""What needs no client: reading Retry-After, naming hosts, judging exceptions, choosing breakers."""

import errno
from email.utils import formatdate

import pytest
from packages.recloser.tests.support import settings

from recloser import CircuitBreaker, DuplicateBreakerError, Outcome, Registry, SettingsError
from recloser.integrations._http import Breakers, ExceptionTable, host_key, retry_after_seconds, verdict_on_status


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("-3", None),
        ("1e3", None),
        ("9" * 400, None),
        ("", None),
        ("tomorrow", None),
        (formatdate(1_060, usegmt=True), 60),
        (formatdate(900, usegmt=True), 0),
        ("Fri, 31 Feb 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, now=1_000) == seconds


def test_date_of_the_answer_wins_over_our_clock() -> None:
    headers = {"retry-after": formatdate(1_060, usegmt=True), "date": formatdate(1_030, usegmt=True)}
    assert retry_after_seconds(headers, now=5_000) == 30


def test_503_is_throttling_only_when_it_says_how_long() -> None:
    assert verdict_on_status(503, {}, 0).outcome is Outcome.FAILURE
    assert verdict_on_status(503, {"retry-after": "3"}, 0).outcome is Outcome.THROTTLED


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (("https", "API.Example.com.", 443), "api.example.com"),
        (("https", "api.example.com", None), "api.example.com"),
        (("http", "api.example.com", 443), "api.example.com:443"),
        (("https", "::1", 8443), "[::1]:8443"),
        (("https", "[::1]", None), "[::1]"),
    ],
)
def test_host_key(url: tuple[str, str, int | None], key: str) -> None:
    assert host_key(*url) == key


class NetworkError(Exception):
    pass


TABLE = ExceptionTable(local=(BlockingIOError,), failing=(NetworkError,))


def caused(exc: Exception, cause: Exception) -> Exception:
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("exc", "outcome", "conclusive"),
    [
        (NetworkError(), Outcome.FAILURE, True),
        (BlockingIOError(), Outcome.FAILURE, False),
        (ValueError(), Outcome.IGNORED, True),
        (caused(NetworkError(), OSError(errno.EMFILE, "too many open files")), Outcome.FAILURE, False),
        (NetworkError(OSError(errno.EADDRNOTAVAIL, "no free port")), Outcome.FAILURE, False),
        (caused(NetworkError(), OSError(errno.ECONNREFUSED, "refused")), Outcome.FAILURE, True),
    ],
)
def test_exceptions(exc: Exception, outcome: Outcome, conclusive: bool) -> None:
    verdict = TABLE.judge(exc)
    assert (verdict.outcome, verdict.conclusive) == (outcome, conclusive)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"\['name', 'registry'\] useless"):
        Breakers(str, breaker=CircuitBreaker("partner"), registry=Registry(), name="partner")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"unknown options \['max_breaker'\]"):
        Breakers(str, max_breaker=3)  # type: ignore[call-arg]


def test_who_asks_for_nothing_shares_what_there_is() -> None:
    registry = Registry()
    first = Breakers(str, registry=registry, settings=settings(), max_breakers=5)
    assert Breakers(str, registry=registry).of("host") is first.of("host")
    with pytest.raises(DuplicateBreakerError):
        Breakers(str, registry=registry, settings=settings(open_for=99))


def test_registry_with_settings_of_its_own_keeps_them() -> None:
    breaker = Breakers(str, registry=Registry(settings(failure_threshold=77))).of("host")
    assert breaker.settings.failure_threshold == 77
