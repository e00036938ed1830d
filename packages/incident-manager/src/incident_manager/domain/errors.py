"""Every error of the incident manager, in one small tree."""

from __future__ import annotations

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


class StoreUnavailableError(IncidentManagerError):
    """The database cannot be used now; nothing of the attempted work was stored.

    Attributes:
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"{message}; try again in {retry_after:.1f} s")


class DuplicateAlertError(IncidentManagerError):
    """An alert of this id is stored already; look again which of them are, and store the others."""


class JournalUnavailableError(StoreUnavailableError):
    """Neither the database nor the journal can take an alert now; nothing of it was accepted."""


class JournalFullError(JournalUnavailableError):
    """The journal holds as much as it may."""


class JournalError(IncidentManagerError):
    """The journal cannot be opened."""


class StoreMigrationError(IncidentManagerError):
    """The database's schema cannot be brought to the one this version needs."""
