"""What the end of a call says about an LLM-ops service, for its breaker."""

from __future__ import annotations

from typing import Any

from incident_manager.llm.errors import RequestRefusedError, ServiceMisconfiguredError, ServiceThrottledError
from recloser import Outcome, Verdict

CONFIGURATION_OPEN_FOR = 900.0
"""Seconds to leave a service alone that refuses our key or our account."""


def classify_answer(exc: BaseException | None, result: Any) -> Verdict | Outcome | None:
    """A classifier for `recloser.Settings`.

    A refused request is no fault of the service, and says nothing about what it would do with another one. Everything
    else that is not an answer is a failure.
    """
    match exc:
        case RequestRefusedError():
            return Outcome.IGNORED
        case ServiceThrottledError():
            return Verdict(Outcome.THROTTLED, retry_after=exc.retry_after)
        case ServiceMisconfiguredError():
            return Verdict(Outcome.CONFIGURATION, retry_after=CONFIGURATION_OPEN_FOR, failed=str(exc))
        case _:
            return None
