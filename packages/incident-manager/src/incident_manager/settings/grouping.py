"""Which incidents belong together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from incident_manager.domain.grouping import MEMBERS_SHOWN, GroupingRule, GroupNotify
from incident_manager.settings.section import Seconds, Section


class GroupingSettings(Section):
    """Incidents that match, agree in some labels and open at about the same time belong together."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    """Of the rule; it is shown with each group."""
    labels: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=20)]
    """Labels, or `source`, that must have the same value; an incident that lacks one belongs to nothing."""
    matchers: dict[str, str] = Field(default_factory=dict)
    """What an incident must have besides: values of labels or of `source`, with `*` for any text."""
    window: Annotated[Seconds, Field(le=7 * 86_400)] = 300.0
    """Seconds between the first incident of a group and any other, at most."""
    max_size: Annotated[int, Field(ge=2, le=MEMBERS_SHOWN)] = 50
    """Incidents in a group, at most; the next one begins another group."""
    notify: GroupNotify = GroupNotify.FIRST
    """`first` tells a destination of one incident of a group and of worse ones; `all` tells it of every one."""

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(value):
            if name in value[:index]:
                raise ValueError(f"names {name!r} twice")
        return value

    def as_rule(self) -> GroupingRule:
        """The rule, as the pipeline knows it."""
        return GroupingRule(
            name=self.name,
            labels=self.labels,
            matchers=self.matchers,
            window=self.window,
            max_size=self.max_size,
            notify=self.notify,
        )
