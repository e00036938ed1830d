"""Who takes turns on call."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from incident_manager.domain.oncall import Rotation
from incident_manager.settings.section import Section

_MINUTES_A_DAY = 24 * 60


class RotationSettings(Section):
    """People who take turns, each with a destination."""

    people: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]
    """Names of destinations, in the order of their turns."""
    zone: str
    """The time zone of hand-overs, such as `Europe/Berlin`."""
    first: date
    """A day on which the first of them takes over; the weekday of every hand-over."""
    at: time = time(9)
    """The time of hand-overs on the clocks of the zone, such as `"09:00"`."""
    weeks: Annotated[int, Field(ge=1, le=52)] = 1
    """Length of a turn."""

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone of this machine, such as Europe/Berlin") from None
        return value

    @field_validator("at", mode="before")
    @classmethod
    def _read_time(cls, value: Any) -> Any:
        # YAML 1.1 reads 10:30 without quotes as a number to the base of 60.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MINUTES_A_DAY:
            return time(value // 60, value % 60)
        return value

    @field_validator("at")
    @classmethod
    def _check_time(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("must be a time on the clocks of the zone, without an offset")
        return value

    def as_rotation(self) -> Rotation:
        """The rotation, as routes use it."""
        return Rotation(people=self.people, zone=ZoneInfo(self.zone), first=self.first, at=self.at, weeks=self.weeks)
