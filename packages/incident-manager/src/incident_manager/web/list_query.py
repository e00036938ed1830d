"""What the list of incidents is asked for, in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from incident_manager.api.errors import ApiError
from incident_manager.domain.incident import ENDED, Status
from incident_manager.domain.severity import Severity
from incident_manager.store.paging import IncidentFilter

MOST = 500
"""Characters of a text that is looked for."""

_OPEN = tuple(status for status in Status if status.is_open)

STATES: dict[str, tuple[Status, ...]] = {
    "open": _OPEN,
    "unacknowledged": _OPEN,
    **{status.value: (status,) for status in Status},
    "ended": tuple(sorted(ENDED)),
    "all": (),
}
"""What may be chosen as the state, and the statuses that are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A choice of incidents; without a word the open ones.

    Attributes:
        state: One of `STATES`.
        text: Occurs in the title, in any case.
        cursor: Where the page begins.
    """

    state: str = "open"
    severity: Severity | None = None
    source: str = ""
    text: str = ""
    cursor: str | None = None

    def filter(self) -> IncidentFilter:
        """Return the same for the store."""
        return IncidentFilter(
            statuses=STATES[self.state],
            severities=() if self.severity is None else (self.severity,),
            sources=(self.source,) if self.source else (),
            acknowledged=False if self.state == "unacknowledged" else None,
            text=self.text or None,
        )

    def address(self, cursor: str | None = None) -> str:
        """Return the address of a page of this choice."""
        values = {
            "state": "" if self.state == "open" else self.state,
            "severity": self.severity or "",
            "source": self.source,
            "text": self.text,
            "cursor": cursor or "",
        }
        given = urlencode({name: value for name, value in values.items() if value})
        return f"/?{given}" if given else "/"

    def with_severity(self, severity: Severity | None) -> ListQuery:
        """Return the same choice with another severity, from its first page on."""
        return replace(self, severity=severity, cursor=None)

    @property
    def is_narrowed(self) -> bool:
        """Whether more is asked for than a state."""
        return bool(self.severity or self.source or self.text)


def read_query(given: QueryParams) -> ListQuery:
    """Read the query of a page's address; what is empty is not asked for.

    Raises:
        ApiError: 422: a value is none that there is.
    """
    state = given.get("state") or "open"
    if state not in STATES:
        raise _refused("state", state, f"must be one of {', '.join(STATES)}")
    severity = None
    if given.get("severity"):
        try:
            severity = Severity.parse(given["severity"])
        except ValueError as error:
            raise ApiError(422, "invalid_request", f"severity: {error}", field="severity") from None
    return ListQuery(
        state=state,
        severity=severity,
        source=_term(given, "source"),
        text=_term(given, "text"),
        cursor=given.get("cursor") or None,
    )


def _term(given: QueryParams, name: str) -> str:
    term = given.get(name, "").strip()
    if len(term) > MOST or "\0" in term:
        raise _refused(name, term[:80], f"must have at most {MOST} characters, and no U+0000")
    return term


def _refused(field: str, value: str, rule: str) -> ApiError:
    return ApiError(422, "invalid_request", f"{field}: {rule}; given {value!r}", field=field)
