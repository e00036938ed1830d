"""What an exception or a result says about the dependency. Pure, but for the user's own predicates."""

from __future__ import annotations

import concurrent.futures
import logging
import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from recloser.settings import Settings

logger = logging.getLogger("recloser")


class Outcome(StrEnum):
    """How one admitted call ended. Each call ends in exactly one of these."""

    __hash__ = str.__hash__  # Enum's own runs Python code and differs from that of the equal text

    SUCCESS = "success"
    """The dependency did its job in time."""
    SLOW = "slow"
    """It did its job, but took `slow_call_duration` or longer."""
    FAILURE = "failure"
    """It failed."""
    IGNORED = "ignored"
    """Says nothing about the dependency: cancelled, or excluded by the settings. A probe gives its slot back."""
    THROTTLED = "throttled"
    """The dependency asked us to wait (HTTP 429, or 503 with Retry-After)."""
    CONFIGURATION = "configuration"
    """We are at fault (a wrong key, an account without credit) and only a person can mend it: opens at once."""
    RELEASED = "released"
    """The permit was dropped without a word."""
    EXPIRED = "expired"
    """A probe that had not ended when the half-open period ran out; what it does later changes nothing."""


class Verdict(NamedTuple):
    """A classifier's answer.

    Attributes:
        outcome: SUCCESS, FAILURE, IGNORED, THROTTLED or CONFIGURATION (a success becomes SLOW by its duration).
        retry_after: For THROTTLED: seconds the dependency asked for, or None when it did not say. For CONFIGURATION:
            seconds to stay open, or None for the usual time.
        conclusive: False for a failure that never reached the dependency (a full local pool): it counts while the
            circuit is closed, and in half-open it gives the slot back without deciding.
        failed: Text that describes the failure, shown as `last_failure`.
    """

    outcome: Outcome
    retry_after: float | None = None
    conclusive: bool = True
    failed: str | None = None


Classifier: TypeAlias = Callable[[BaseException | None, Any], "Verdict | Outcome | None"]
"""`classify(exception, result)`: a verdict, or None for the other rules. One of the two arguments is None."""

ExceptionRule: TypeAlias = type[BaseException] | Callable[[BaseException], bool]
ExceptionRules: TypeAlias = ExceptionRule | Iterable[ExceptionRule]
"""An exception type, a predicate on exceptions, or several of either."""

SUCCESS = Verdict(Outcome.SUCCESS)
FAILURE = Verdict(Outcome.FAILURE)
IGNORED = Verdict(Outcome.IGNORED)
RELEASED = Verdict(Outcome.RELEASED)

_DESCRIPTION_LIMIT = 200
_CLASSIFIABLE = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED, Outcome.THROTTLED, Outcome.CONFIGURATION)


def describe(exc: BaseException) -> str:
    """An exception as text of at most 200 characters, without keeping the exception or its frames alive."""
    text = type(exc).__qualname__
    try:
        if message := str(exc):
            text = f"{text}: {message}"
    except Exception:  # a __str__ that fails must not hide the exception it belongs to
        logger.warning("could not describe a %s: its __str__ failed", text, exc_info=True)
    return text if len(text) <= _DESCRIPTION_LIMIT else text[: _DESCRIPTION_LIMIT - 3] + "..."


def _matches(rules: Any, exc: BaseException) -> bool:
    rule: ExceptionRule
    for rule in rules:  # Settings has made a tuple of whatever was given
        if isinstance(rule, type):
            if isinstance(exc, rule):
                return True
        elif rule(exc):
            return True
    return False


def _ask_classifier(classify: Classifier, exc: BaseException | None, result: Any) -> Verdict | None:
    answer = classify(exc, result)
    if answer is None:
        return None
    verdict = answer if isinstance(answer, Verdict) else Verdict(Outcome(answer))
    if verdict.outcome not in _CLASSIFIABLE:
        raise ValueError(f"classify returned {verdict.outcome!r}: expected one of {[str(o) for o in _CLASSIFIABLE]}")
    if verdict.failed is not None and not isinstance(verdict.failed, str):
        raise ValueError(f"classify returned failed={verdict.failed!r}: expected text or None")
    if verdict.retry_after is not None and not math.isfinite(verdict.retry_after):
        raise ValueError(f"classify returned retry_after={verdict.retry_after!r}: expected finite seconds or None")
    return verdict


def _broken_classifier(exc: BaseException | None) -> Verdict:
    logger.exception("a classifier failed; the call is counted as a failure")
    return Verdict(Outcome.FAILURE, failed=describe(exc) if exc is not None else "classifier failed")


def classify_exception(settings: Settings, exc: BaseException, otherwise: Verdict | None = None) -> Verdict:
    """The verdict on a call that raised.

    Cancellation, `GeneratorExit`, `KeyboardInterrupt` and `SystemExit` are ignored before any rule is asked. Then
    come `classify`, `ignore`, `unreachable` and `failure_on`; an exception that none of them matches is a success
    of the dependency (it answered, though not what the caller hoped for). An error in a rule of the user is logged
    and makes the call a failure.

    `otherwise` is the verdict of who knows the exceptions of one client; it takes the place of `failure_on`.
    """
    if not isinstance(exc, Exception) or isinstance(exc, concurrent.futures.CancelledError):
        return IGNORED
    try:
        if settings.classify is not None:
            verdict = _ask_classifier(settings.classify, exc, None)
            if verdict is not None:
                return verdict if verdict.failed else verdict._replace(failed=describe(exc))
        if settings.ignore and _matches(settings.ignore, exc):
            return IGNORED
        if settings.unreachable and _matches(settings.unreachable, exc):
            return Verdict(Outcome.FAILURE, conclusive=False, failed=describe(exc))
        if otherwise is not None:
            return otherwise if otherwise.failed else otherwise._replace(failed=describe(exc))
        if _matches(settings.failure_on, exc):
            return Verdict(Outcome.FAILURE, failed=describe(exc))
    except Exception:  # noqa: BLE001 - the user's rule failed: the original exception must still reach the caller
        return _broken_classifier(exc)
    return SUCCESS


def classify_result(settings: Settings, result: Any, otherwise: Verdict = SUCCESS) -> Verdict:
    """The verdict on a call that returned: `classify`, then `failure_on_result`, else `otherwise`."""
    try:
        if settings.classify is not None:
            verdict = _ask_classifier(settings.classify, None, result)
            if verdict is not None:
                return verdict
        if settings.failure_on_result is not None and settings.failure_on_result(result):
            return Verdict(Outcome.FAILURE, failed="the result was classified as a failure")
    except Exception:  # noqa: BLE001 - the user's rule failed: the result must still reach the caller
        return _broken_classifier(None)
    return otherwise
