"""How bad it is: P0 to P4, and the words other systems use for it."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """P0 is the worst. Compare with `rank` or `worse_than`, never with `<`, which compares text."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"

    @property
    def label(self) -> str:
        """The word for people: critical, high, medium, low or info."""
        return _LABELS[self]

    @property
    def rank(self) -> int:
        """0 for the worst (P0) to 4 for the mildest (P4)."""
        return _RANKS[self]

    def worse_than(self, other: Severity) -> bool:
        """Tell whether this severity demands more than the other."""
        return self.rank < other.rank

    @classmethod
    def parse(cls, text: str) -> Severity:
        """Read P0 to P4 or one of the usual words, in any case.

        Raises:
            ValueError: The text is none of them; the message names the text and what is accepted.
        """
        found = _WORDS.get(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is not a severity; use one of {', '.join(_WORDS)}")
        return found


_LABELS = {
    Severity.P0: "critical",
    Severity.P1: "high",
    Severity.P2: "medium",
    Severity.P3: "low",
    Severity.P4: "info",
}
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_SYNONYMS = {
    Severity.P0: "p0 critical fatal emergency page",
    Severity.P1: "p1 high error major",
    Severity.P2: "p2 medium warning warn minor",
    Severity.P3: "p3 low notice",
    Severity.P4: "p4 info informational none debug",
}
_WORDS = {word: severity for severity, words in _SYNONYMS.items() for word in words.split()}


def max_severity(first: Severity, *others: Severity) -> Severity:
    """Return the worst of the given severities."""
    return min((first, *others), key=lambda severity: severity.rank)
