"""Compliance by rules: who must be told of an incident with such data, and by when. It never says "compliant".

Not legal advice; the periods are those of the texts named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from incident_manager.llm.governance import DataConcerned

_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Obligation:
    """Somebody who must be told, if the incident proves to be a breach.

    Attributes:
        framework: What demands it.
        notify: Who must be told.
        within: Seconds after the breach became known, or None for "without delay".
        source: The paragraph.
    """

    framework: str
    notify: str
    within: float | None
    source: str


_RULES: tuple[tuple[Callable[[DataConcerned], bool], Obligation], ...] = (
    (
        lambda data: data.personal_data,
        Obligation("GDPR", "the supervisory authority", 72 * _HOUR, "Regulation (EU) 2016/679, article 33(1)"),
    ),
    (
        lambda data: data.personal_data,
        Obligation(
            "GDPR", "the persons concerned, if their risk is high", None, "Regulation (EU) 2016/679, article 34"
        ),
    ),
    (
        lambda data: data.health_data,
        Obligation("HIPAA", "the individuals concerned", 60 * _DAY, "45 CFR 164.404(b)"),
    ),
    (
        lambda data: data.health_data,
        Obligation("HIPAA", "the Secretary of HHS, if 500 or more are concerned", 60 * _DAY, "45 CFR 164.408(b)"),
    ),
    (
        lambda data: data.payment_data,
        Obligation("PCI", "the acquirer and the payment brands", None, "PCI DSS 4.0, requirement 12.10"),
    ),
    (lambda data: True, Obligation("SOC2", "the owner of the incident process", None, "TSC CC7.3 to CC7.5")),
    (lambda data: True, Obligation("ISO27001", "the security incident process", None, "ISO/IEC 27001:2022, A.5.24")),
)


def obligations(frameworks: Collection[str], data: DataConcerned) -> list[Obligation]:
    """What may follow from an incident, for the frameworks that apply."""
    return [rule for applies, rule in _RULES if rule.framework in frameworks and applies(data)]
