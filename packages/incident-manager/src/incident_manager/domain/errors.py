"""Every error of the incident manager, in one small tree."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 120


def _show(value: object) -> str:
    """Return a repr that fits in a sentence: what a sender gave may be megabytes."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class IncidentManagerError(Exception):
    """Root of the errors this package raises on purpose."""


class InvalidAlertError(IncidentManagerError):
    """A sender's payload breaks a rule; nothing of it was stored.

    Attributes:
        field: Path of the offending value, as in `alerts[0].labels.severity`.
        value: What was given, as a short `repr`.
        rule: What is expected instead.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        self.value = _show(value)
        self.rule = rule
        super().__init__(f"{field}: {rule}; given {self.value}")


class IncidentNotFoundError(IncidentManagerError):
    """No incident has this id."""

    def __init__(self, incident_id: str) -> None:
        self.incident_id = incident_id
        super().__init__(f"no incident has the id {_show(incident_id)}")


class SilenceNotFoundError(IncidentManagerError):
    """No silence has this id."""

    def __init__(self, silence_id: str) -> None:
        self.silence_id = silence_id
        super().__init__(f"no silence has the id {_show(silence_id)}")


class InvalidTransitionError(IncidentManagerError):
    """The lifecycle does not allow this in the incident's present status; nothing changed.

    Attributes:
        incident_id: The incident.
        status: Its present status.
        wanted: What was asked for: a status, or an act such as `acknowledge`.
    """

    def __init__(self, incident_id: str, status: str, wanted: str, rule: str) -> None:
        self.incident_id = incident_id
        self.status = status
        self.wanted = wanted
        super().__init__(f"incident {incident_id} is {status}, so it cannot go to {wanted!r}: {rule}")


class VersionConflictError(IncidentManagerError):
    """The incident changed since the caller read it; read it again and decide anew.

    Attributes:
        incident_id: The incident.
        expected: The version the caller had read.
        actual: The version stored now, or None when it could not be told.
    """

    def __init__(self, incident_id: str, expected: int, actual: int | None) -> None:
        self.incident_id = incident_id
        self.expected = expected
        self.actual = actual
        now = "another" if actual is None else str(actual)
        super().__init__(
            f"incident {incident_id} has version {now}, not {expected}: read it again and repeat the change"
        )


class InvalidCursorError(IncidentManagerError):
    """A page cursor is not one this service gave out."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        super().__init__(f"cursor: use the next_cursor of the previous page as it was given; given {_show(cursor)}")


class DuplicateOpenIncidentError(IncidentManagerError):
    """Another transaction opened an incident for the same fingerprint first; run the work again."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(f"an open incident with the fingerprint {fingerprint} exists already")


class DuplicateAlertError(IncidentManagerError):
    """Another transaction stored an alert of the same id first; run the work again."""

    def __init__(self) -> None:
        super().__init__("an alert of one of these ids exists already")


class StoreUnavailableError(IncidentManagerError):
    """The database cannot be used now; nothing of the attempted work was stored.

    Attributes:
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"{message}; try again in {retry_after:.1f} s")


class JournalUnavailableError(StoreUnavailableError):
    """Neither the database nor the journal can take an alert now; nothing of it was accepted."""


class JournalFullError(JournalUnavailableError):
    """The journal holds as much as it may."""


class JournalError(IncidentManagerError):
    """The journal cannot be opened."""


class DuplicateGroupError(IncidentManagerError):
    """Another process has begun a group of incidents for the same labels just now; nothing was changed."""

    def __init__(self, rule: str, labels: Mapping[str, str]) -> None:
        shown = ", ".join(f"{_show(name)}={_show(value)}" for name, value in sorted(labels.items()))
        super().__init__(f"another process has begun a group by the rule {_show(rule)} for {shown}")


class StoreMigrationError(IncidentManagerError):
    """The database's schema cannot be brought to the one this version needs."""


class UnauthenticatedError(IncidentManagerError):
    """Nobody knows who asks: there is no token, or it opens nothing.

    Attributes:
        given: Whether a token was given.
    """

    def __init__(self, message: str, *, given: bool) -> None:
        self.given = given
        super().__init__(message)


class ForbiddenError(IncidentManagerError):
    """Who asks is known, and may not do this."""


class RateLimitedError(IncidentManagerError):
    """Asked too often; nothing was done.

    Attributes:
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TokenNotFoundError(IncidentManagerError):
    """No token has this id."""

    def __init__(self, token_id: str) -> None:
        super().__init__(f"no token has the id {_show(token_id)}")


class UnprotectedError(IncidentManagerError):
    """The service would listen to a network without asking anybody who they are; it does not start."""


class PreconditionFailedError(IncidentManagerError):
    """The incident is not the one that `If-Match` names; nothing was changed."""

    def __init__(self, incident_id: str, actual: int) -> None:
        super().__init__(f"incident {incident_id} has version {actual}, which If-Match does not name: read it again")


class IdempotencyKeyReusedError(IncidentManagerError):
    """The key was used for another request before; nothing was done."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {_show(key)} was used for another request before: take a new key for a new request")


class TooManyStreamsError(IncidentManagerError):
    """As many clients follow the stream as may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} clients follow the stream already, which is the limit")
