"""Who is on call: people take turns, handing over in local wall time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Shift:
    """The time one person is on call: from a moment on, until just before another one, both in UTC."""

    person: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """People who take turns, one shift after the other.

    A hand-over is a day and a time on the wall of one place, turned into UTC. A shift lasts from one hand-over to the
    next, so that there is neither a gap nor an overlap; a week in which clocks change is an hour shorter or longer.
    A time that a change of clocks leaves out is taken as before the change, and of one that occurs twice the first.

    Attributes:
        people: In the order of their turns.
        zone: The place.
        first: The day of the hand-over to the first of them; earlier turns follow from it as later ones do.
        at: The time of hand-overs.
        weeks: Length of a shift.
    """

    people: tuple[str, ...]
    zone: ZoneInfo
    first: date
    at: time
    weeks: int = 1

    def shift(self, moment: datetime) -> Shift:
        """Return the shift that a moment falls into."""
        days = (moment.astimezone(self.zone).date() - self.first).days
        turn = days // (7 * self.weeks)
        if self._handover(turn) > moment:  # earlier on the day of a hand-over
            turn -= 1
        person = self.people[turn % len(self.people)]
        return Shift(person, self._handover(turn), self._handover(turn + 1))

    def _handover(self, turn: int) -> datetime:
        day = self.first + timedelta(weeks=turn * self.weeks)
        return datetime.combine(day, self.at, self.zone).astimezone(UTC)
