"""The whole verdict on an exception or a result: outcome, conclusiveness, and the text people are shown."""

import asyncio
import concurrent.futures
import logging
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, settings

from recloser import Outcome, Settings, Verdict
from recloser.outcomes import classify_exception, classify_result, describe

DOWN = Boom("down")


def always(answer: Any) -> Settings:
    return settings(classify=lambda exc, result: answer)


@pytest.mark.parametrize(
    ("rules", "exc", "verdict"),
    [
        (settings(), DOWN, Verdict(Outcome.FAILURE, None, True, "Boom: down")),
        (settings(failure_on=KeyError), DOWN, Verdict(Outcome.SUCCESS)),
        (settings(ignore=Boom), DOWN, Verdict(Outcome.IGNORED)),
        (settings(unreachable=Boom), DOWN, Verdict(Outcome.FAILURE, None, False, "Boom: down")),
        (settings(unreachable=KeyError), DOWN, Verdict(Outcome.FAILURE, None, True, "Boom: down")),
        (settings(), asyncio.CancelledError(), Verdict(Outcome.IGNORED)),
        (settings(), concurrent.futures.CancelledError(), Verdict(Outcome.IGNORED)),
        (settings(failure_on=lambda exc: True), KeyboardInterrupt(), Verdict(Outcome.IGNORED)),
        (settings(failure_on=lambda exc: True), GeneratorExit(), Verdict(Outcome.IGNORED)),
        (settings(failure_on=lambda exc: True), SystemExit(1), Verdict(Outcome.IGNORED)),
        (always(None), DOWN, Verdict(Outcome.FAILURE, None, True, "Boom: down")),
        (always(Outcome.SUCCESS), DOWN, Verdict(Outcome.SUCCESS, None, True, "Boom: down")),
        (always("failure"), DOWN, Verdict(Outcome.FAILURE, None, True, "Boom: down")),
        (always(Verdict(Outcome.FAILURE, failed="HTTP 500")), DOWN, Verdict(Outcome.FAILURE, None, True, "HTTP 500")),
        (
            always(Verdict(Outcome.FAILURE, conclusive=False)),
            DOWN,
            Verdict(Outcome.FAILURE, None, False, "Boom: down"),
        ),
        (always(Verdict(Outcome.THROTTLED, 5.0)), DOWN, Verdict(Outcome.THROTTLED, 5.0, True, "Boom: down")),
    ],
)
def test_verdict_on_an_exception(
    caplog: pytest.LogCaptureFixture, rules: Settings, exc: BaseException, verdict: Verdict
) -> None:
    assert classify_exception(rules, exc) == verdict
    assert not caplog.records


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (settings(), Verdict(Outcome.SUCCESS)),
        (settings(failure_on_result=lambda result: result == 503), Verdict(Outcome.SUCCESS)),
        (
            settings(failure_on_result=lambda result: result == 404),
            Verdict(Outcome.FAILURE, None, True, "the result was classified as a failure"),
        ),
        (always(Outcome.IGNORED), Verdict(Outcome.IGNORED)),
        (always(Verdict(Outcome.FAILURE, failed="HTTP 404")), Verdict(Outcome.FAILURE, failed="HTTP 404")),
        (
            settings(classify=lambda exc, result: None, failure_on_result=lambda result: True),
            Verdict(Outcome.FAILURE, None, True, "the result was classified as a failure"),
        ),
        (
            settings(classify=lambda exc, result: Outcome.SUCCESS, failure_on_result=lambda result: True),
            Verdict(Outcome.SUCCESS),
        ),
    ],
)
def test_verdict_on_a_result(caplog: pytest.LogCaptureFixture, rules: Settings, verdict: Verdict) -> None:
    assert classify_result(rules, 404) == verdict
    assert not caplog.records


def test_classifier_is_given_the_exception_or_the_result() -> None:
    given: list[object] = []
    rules = settings(classify=lambda exc, result: given.append((exc, result)))
    classify_exception(rules, DOWN)
    classify_result(rules, 404)
    assert given == [(DOWN, None), (None, 404)]


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), asyncio.CancelledError(), concurrent.futures.CancelledError()])
def test_classifier_is_not_asked_about_cancellation(exc: BaseException) -> None:
    def asked(*_: object) -> Any:
        raise AssertionError("asked")

    assert classify_exception(settings(classify=asked), exc) == Verdict(Outcome.IGNORED)


EXPECTED = "expected one of ['success', 'failure', 'ignored', 'throttled']"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Outcome.SLOW, f"ValueError: classify returned <Outcome.SLOW: 'slow'>: {EXPECTED}"),
        (Outcome.EXPIRED, f"ValueError: classify returned <Outcome.EXPIRED: 'expired'>: {EXPECTED}"),
        (Verdict(Outcome.RELEASED), f"ValueError: classify returned <Outcome.RELEASED: 'released'>: {EXPECTED}"),
        (
            Verdict(Outcome.THROTTLED, float("inf")),
            "ValueError: classify returned retry_after=inf: expected finite seconds or None",
        ),
        ("nonsense", "ValueError: 'nonsense' is not a valid Outcome"),
    ],
)
def test_impossible_answer_is_logged_with_what_was_expected(
    caplog: pytest.LogCaptureFixture, answer: Any, message: str
) -> None:
    with caplog.at_level(logging.ERROR, "recloser"):
        assert classify_exception(always(answer), DOWN) == Verdict(Outcome.FAILURE, failed="Boom: down")
        assert classify_result(always(answer), 404) == Verdict(Outcome.FAILURE, failed="classifier failed")
    assert [record.getMessage() for record in caplog.records] == [
        "a classifier failed; the call is counted as a failure"
    ] * 2
    assert caplog.text.count(message) == 2


def test_error_of_a_rule_on_results_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "recloser"):
        verdict = classify_result(settings(failure_on_result=lambda result: result["missing"]), {})
    assert verdict == Verdict(Outcome.FAILURE, failed="classifier failed")
    assert "KeyError: 'missing'" in caplog.text


# The text


class Inner(Exception):
    class Deep(Exception):
        pass


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (Boom("down"), "Boom: down"),
        (Boom(), "Boom"),
        (Boom(""), "Boom"),
        (Inner.Deep("x"), "Inner.Deep: x"),
        (Boom("x" * 194), "Boom: " + "x" * 194),
        (Boom("x" * 195), "Boom: " + "x" * 191 + "..."),
        (Boom("x" * 10_000), "Boom: " + "x" * 191 + "..."),
    ],
)
def test_exception_as_text(exc: Exception, text: str) -> None:
    assert describe(exc) == text
    assert len(text) <= 200


def test_exception_that_cannot_say_what_it_is_is_shown_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError("a bug in __str__")

    with caplog.at_level(logging.WARNING, "recloser"):
        text = describe(Mute("x"))
    assert text.endswith("Mute")
    [record] = caplog.records
    assert record.getMessage() == f"could not describe a {text}: its __str__ failed"
    assert "ZeroDivisionError: a bug in __str__" in caplog.text
