"""What is to be found out about new incidents, and how long their notifications may wait for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from incident_manager.domain.assessment import Job
from incident_manager.domain.catalog import Catalog
from incident_manager.domain.grouping import GroupingRules
from incident_manager.llm.jobs import Assessor


@dataclass(frozen=True, slots=True)
class AssessmentPlan:
    """The jobs of the services that are configured, and which incidents belong together.

    Attributes:
        jobs: What is done about each new incident; none when there is no service.
        hold: Seconds that the first notification of an incident waits for the findings, at most.
        grouping: Which incidents belong together.
        catalog: Which services incidents are about.
    """

    jobs: tuple[Job, ...] = ()
    hold: float = 0.0
    grouping: GroupingRules = field(default_factory=GroupingRules)
    catalog: Catalog = field(default_factory=Catalog)

    def __bool__(self) -> bool:
        """Whether anything is to be found out about new incidents."""
        return bool(self.jobs or self.grouping)

    @classmethod
    def of(cls, assessors: Iterable[Assessor], hold: float) -> AssessmentPlan:
        """The jobs that somebody does; without any, nothing waits."""
        jobs = tuple(assessor.job for assessor in assessors)
        return cls(jobs, hold if jobs else 0.0)

    def with_grouping(self, grouping: GroupingRules) -> AssessmentPlan:
        """The same, with rules for groups."""
        return replace(self, grouping=grouping)

    def with_catalog(self, catalog: Catalog) -> AssessmentPlan:
        """The same, with a catalogue."""
        return replace(self, catalog=catalog)


NO_ASSESSMENT = AssessmentPlan()
