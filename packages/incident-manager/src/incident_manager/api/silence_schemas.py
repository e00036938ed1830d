"""Silences, as they go in and out over HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from incident_manager.api.schemas import Command, Line, Model, Moment, Name
from incident_manager.domain.silence import SilenceState

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]
LONGEST = 10 * 366 * 86400.0
"""Seconds that a silence may last."""


class SilenceOut(Model):
    """One silence."""

    id: str
    state: SilenceState = Field(description="`pending` until it begins; `ended` also when it was ended early.")
    matchers: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime


class SilenceList(Model):
    """Silences, newest first."""

    silences: list[SilenceOut]


class SilenceCreate(Command):
    """For how long nobody is to be told of which incidents. Give `ends_at` or `duration`."""

    matchers: Annotated[dict[Name, Pattern], Field(min_length=1, max_length=20)] = Field(
        description="What an incident must have, all of it: values of labels, or of `source`; `*` is any text, `?` one "
        "character, `[ab]` one of these."
    )
    reason: Line = Field(description="Why; it stands in the timeline of the incidents concerned.")
    starts_at: Moment | None = Field(default=None, description="When it begins; at once if nothing is given.")
    ends_at: Moment | None = Field(default=None, description="When people are told again.")
    duration: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)] | None = Field(
        default=None, description="Or how many seconds it lasts."
    )
    by: Name | None = Field(default=None, description="Who asks for it; the token's name if nobody is named.")
