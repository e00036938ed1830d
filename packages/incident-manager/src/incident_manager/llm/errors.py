"""How a call of an LLM-ops service can fail. The texts are stored and shown, so they hold no secret and no content.

Every call may also raise `recloser.CircuitOpenError`, when the service's breaker holds callers off.
"""

from __future__ import annotations

from incident_manager.domain.errors import IncidentManagerError


class LlmServiceError(IncidentManagerError):
    """Base class: a service did not do what it was asked.

    Attributes:
        service: Its name, as in the settings.
    """

    def __init__(self, service: str, problem: str) -> None:
        self.service = service
        super().__init__(f"{service}: {problem}")


class ServiceUnavailableError(LlmServiceError):
    """It could not be reached, did not answer in time, broke off or answered 408 or 5xx."""


class ServiceThrottledError(LlmServiceError):
    """It asks for less traffic: 429, or 503 with Retry-After.

    Attributes:
        retry_after: Seconds it asked us to wait, or None when it did not say.
    """

    def __init__(self, service: str, problem: str, retry_after: float | None) -> None:
        self.retry_after = retry_after
        super().__init__(service, problem)


class ServiceMisconfiguredError(LlmServiceError):
    """It refuses us until a person changes something: a wrong key, no credit, or a URL that leads elsewhere."""


class RequestRefusedError(LlmServiceError):
    """It is well and refuses this request: 400, 404, 409, 413, 422 and the like."""


class MalformedAnswerError(LlmServiceError):
    """It answered with a success that is not what its contract says."""
