"""Incidents that belong together: rules that say so, and whom a group of incidents leaves in peace. Pure.

(Which incident an *alert* belongs to is another question, and `pipeline.correlate` answers it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from incident_manager.domain.incident import Incident
from incident_manager.domain.matching import matches, value_of
from incident_manager.domain.severity import Severity

MEMBERS_SHOWN = 100
"""Incidents of a group that are read at once, at most."""


class GroupNotify(StrEnum):
    """Of which incidents of a group a destination is told."""

    FIRST = "first"
    """Of one, and of those that are worse than all it was told of and that are still open."""
    ALL = "all"
    """Of every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """What incidents have in common.

    Attributes:
        rule: The name of the rule.
        labels: Names and values.
    """

    rule: str
    labels: Mapping[str, str]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that are the same for the same rule, names and values."""
        digest = hashlib.sha256()
        for part in (self.rule, *(part for pair in sorted(self.labels.items()) for part in pair)):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingRule:
    """Incidents belong together when they match, agree in the labels, and open within the window of the first one.

    Attributes:
        name: Of the rule.
        labels: Labels, or `source`, that must have the same value; an incident that lacks one belongs to nothing.
        matchers: What an incident must have besides: values of labels or of `source`, with `*` for any text.
        window: Seconds between the first incident of a group and another one, at most.
        max_size: Incidents in a group, at most; the next one begins another group.
        notify: Of which incidents people are told.
    """

    name: str
    labels: tuple[str, ...]
    matchers: Mapping[str, str] = field(default_factory=dict)
    window: float = 300.0
    max_size: int = 100
    notify: GroupNotify = GroupNotify.FIRST

    def key_of(self, incident: Incident) -> GroupKey | None:
        """Return what the incident shares with others; None when the rule is not about it."""
        values = {name: value_of(incident, name) for name in self.labels}
        if not all(values.values()) or not matches(incident, self.matchers):
            return None
        return GroupKey(rule=self.name, labels=values)

    def is_near(self, first: datetime, other: datetime) -> bool:
        """Tell whether two incidents opened close enough to each other."""
        return abs(other - first) <= timedelta(seconds=self.window)


class GroupingRules:
    """The rules, the first that is about an incident counts.

    Args:
        rules: In order; names are unique.
    """

    def __init__(self, rules: Iterable[GroupingRule] = ()) -> None:
        self.replace(rules)

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    def replace(self, rules: Iterable[GroupingRule]) -> None:
        """Go by other rules from now on."""
        self._rules = {rule.name: rule for rule in rules}

    def named(self, name: str) -> GroupingRule | None:
        """Return a rule; None when there is none of this name any more."""
        return self._rules.get(name)

    def key_of(self, incident: Incident) -> GroupKey | None:
        """Return what the incident shares with others by the first rule that is about it."""
        return next((key for rule in self._rules.values() if (key := rule.key_of(incident)) is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Incidents that belong together.

    Attributes:
        id: `grp_...`.
        started_at: When its first incident was opened.
        size: How many incidents have joined it.
    """

    id: str
    rule: str
    labels: dict[str, str]
    started_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Page:
    """A notification of the beginning of an open incident that could be sent to one destination.

    Attributes:
        sequence: Which one, in the order of enqueueing.
        is_silent: A silence holds it for now, so that nobody is told by it.
    """

    sequence: int
    destination: str
    severity: Severity
    is_silent: bool = False


def to_be_sent(pages: Iterable[Page], told: Mapping[str, Severity]) -> set[int]:
    """Return the sequences of those pages of a group that cannot be spared; the others may be held.

    A destination that was told of an open incident of the group need not be told of one that is not worse. Where
    nobody was told, the worst goes first, and of equals the oldest. A silent page spares nobody another one.

    Args:
        pages: Those that are not sent yet.
        told: The worst severity of an open incident that each destination knows of.
    """
    known = dict(told)
    sent: set[int] = set()
    for page in sorted(pages, key=lambda page: (page.is_silent, page.severity.rank, page.sequence)):
        worst = known.get(page.destination)
        if worst is None or page.severity.worse_than(worst):
            sent.add(page.sequence)
            if not page.is_silent:
                known[page.destination] = page.severity
    return sent
