"""All breakers at one instant, in the order in which a person should see them, and what of them a viewer asked for.

Pure: it is given readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from recloser.dashboard import cards
from recloser.dashboard.cards import Texts
from recloser.dashboard.history import Entry
from recloser.dashboard.samples import Bar, Latency, latency_of
from recloser.events import Control, State
from recloser.keyed import KeyedBreakers
from recloser.registry import RegistryHealth
from recloser.stats import Stats

STATES = ("open", "half_open", "closed", "held")
"""What can be filtered by: the states, and `held` for whatever an operator has taken control of."""

MAX_FILTER = 200
"""Characters of a text to filter by; the rest of it is not looked at."""

_RANK = {State.OPEN: 0, State.HALF_OPEN: 1, State.CLOSED: 3}
_HELD = 2
_MAX_ANSWERS = 64


@dataclass(frozen=True, slots=True)
class Filter:
    """What a viewer wants to see.

    Attributes:
        text: Part of the name, whatever its case; empty for all.
        state: One of `STATES`, or empty for all.
        group: A group or a collection of keyed breakers, or empty for all.
        name: One breaker and no other; None for all.
    """

    text: str = ""
    state: str = ""
    group: str = ""
    name: str | None = None

    def admits(self, row: Row) -> bool:
        """Whether a breaker is one of those."""
        if self.name is not None:
            return row.stats.name == self.name
        return (
            self.text.casefold() in row.folded
            and (not self.state or (row.held if self.state == "held" else row.stats.state == self.state))
            and (not self.group or self.group in row.groups)
        )


@dataclass(frozen=True)
class Row:
    """One breaker at one instant.

    Attributes:
        stats: What it shows of itself.
        bars: Its last minutes, see `Samples`.
        slot: The slice of time of the reading.
        groups: The group and the keyed collection it belongs to, if any.
    """

    stats: Stats
    bars: tuple[Bar, ...]
    slot: int
    groups: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether an operator has taken control."""
        return self.stats.control is not Control.AUTOMATIC

    @cached_property
    def latency(self) -> Latency | None:
        """How long calls take."""
        return latency_of(self.stats, self.bars)

    @cached_property
    def card(self) -> Texts:
        """The texts of its card, which all viewers share."""
        return cards.card(self.stats, self.bars, self.slot, self.groups)

    @cached_property
    def folded(self) -> str:
        """The name, for comparison whatever its case."""
        return self.stats.name.casefold()

    @property
    def urgency(self) -> tuple[int, str]:
        """What comes first on the page: open, half-open, held by an operator, closed; then by name.

        It does not depend on rates, so that cards stay where they are until something happens.
        """
        rank = _RANK[self.stats.state]
        return min(rank, _HELD) if self.held else rank, self.stats.name


@dataclass(frozen=True)
class GroupLine:
    """Some breakers that belong together.

    Attributes:
        name: The group, or the collection of keyed breakers.
        keyed: Whether it is such a collection.
        total: Its breakers.
        troubled: Those of them that are not closed.
        bound: How many a collection may hold; None for a group.
        evicted: Breakers that a collection has forgotten.
    """

    name: str
    keyed: bool
    total: int
    troubled: int
    bound: int | None = None
    evicted: int = 0


@dataclass(frozen=True)
class Frame:
    """All breakers at one instant.

    Attributes:
        number: Counts up by one with each frame.
        asked: The monotonic time at which the reading began.
        rows: The breakers, the most urgent first.
        groups: Groups and keyed collections, by name.
        entries: The latest changes, oldest first.
    """

    number: int
    asked: float
    rows: Sequence[Row]
    groups: Sequence[GroupLine]
    entries: tuple[Entry, ...]
    _answers: dict[Filter, list[Row]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def health(self) -> RegistryHealth:
        """How many breakers are in which state."""
        states = [row.stats.state for row in self.rows]
        return RegistryHealth(
            len(states), states.count(State.CLOSED), states.count(State.OPEN), states.count(State.HALF_OPEN)
        )

    @cached_property
    def held(self) -> int:
        """How many breakers are under the control of an operator."""
        return sum(row.held for row in self.rows)

    def matching(self, wanted: Filter) -> list[Row]:
        """The rows that a filter admits. Viewers with the same filter share the answer."""
        answer = self._answers.get(wanted)
        if answer is None:
            answer = [row for row in self.rows if wanted.admits(row)]
            if len(self._answers) < _MAX_ANSWERS:
                self._answers[wanted] = answer
        return answer


def group_lines(rows: Sequence[Row], collections: Sequence[KeyedBreakers]) -> list[GroupLine]:
    """The groups that the rows belong to."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        for name in row.groups:
            members.setdefault(name, []).append(row)
    keyed = {collection.name: collection for collection in collections}
    return [_line(name, members.get(name, []), keyed.get(name)) for name in sorted({*members, *keyed})]


def _line(name: str, rows: Sequence[Row], collection: KeyedBreakers | None) -> GroupLine:
    troubled = sum(row.stats.state is not State.CLOSED for row in rows)
    if collection is None:
        return GroupLine(name, False, len(rows), troubled)
    return GroupLine(name, True, len(rows), troubled, collection.max_breakers, collection.evictions.breakers)


def groups_of(stats: Stats, keyed: Mapping[str, object]) -> tuple[str, ...]:
    """The group of a breaker, by its tag, and the keyed collection, by the beginning of its name."""
    found = [stats.tags["group"]] if stats.tags.get("group") else []
    prefix, colon, _ = stats.name.rpartition(":")
    while colon and prefix not in keyed:
        prefix, colon, _ = prefix.rpartition(":")
    if colon and prefix not in found:
        found.append(prefix)
    return tuple(found)
