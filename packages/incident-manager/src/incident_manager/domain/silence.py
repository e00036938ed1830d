"""A silence: for a time, nobody is told of the incidents it matches. The incidents themselves go on as always."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from incident_manager.domain.ids import new_id
from incident_manager.domain.incident import Incident
from incident_manager.domain.matching import matches


class SilenceState(StrEnum):
    """Where a silence is in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """One silence; a maintenance window is one that begins later.

    Attributes:
        id: `sil_...`.
        matchers: What an incident must have, all of it: values of labels or of `source`, with `*` for any text.
        ends_at: When people are told again, of what has happened meanwhile as well.
        reason: Why, for people.
    """

    id: str
    matchers: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime

    def state(self, at: datetime) -> SilenceState:
        """Where it is at a moment."""
        if self.ends_at <= at:
            return SilenceState.ENDED
        return SilenceState.ACTIVE if self.starts_at <= at else SilenceState.PENDING

    def matches(self, incident: Incident) -> bool:
        """Tell whether the silence is about this incident."""
        return matches(incident, self.matchers)


def new_silence(
    *, matchers: Mapping[str, str], starts_at: datetime, ends_at: datetime, reason: str, by: str, at: datetime
) -> Silence:
    """Return a silence.

    Raises:
        ValueError: It has no matcher, or ends before it begins, or has ended already.
    """
    if not matchers:
        raise ValueError("matchers: at least one is needed, or everything would be silent")
    if ends_at <= max(starts_at, at):
        raise ValueError(f"ends_at: {ends_at.isoformat()} is not after its beginning and the present")
    return Silence(
        id=new_id("sil", at),
        matchers=dict(matchers),
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        created_by=by,
        created_at=at,
    )


def silent_until(incident: Incident, silences: Iterable[Silence], at: datetime) -> tuple[datetime, Silence] | None:
    """Tell until when nobody is told of an incident, and by which silence last; None when nothing silences it now.

    Silences that follow one another without a gap count as one.
    """
    matching = [silence for silence in silences if silence.matches(incident)]
    end, last = at, None
    while later := [silence for silence in matching if silence.starts_at <= end < silence.ends_at]:
        last = max(later, key=lambda silence: silence.ends_at)
        end = last.ends_at
    return None if last is None else (end, last)
