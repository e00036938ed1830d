"""Each job of an assessment: which service does it, and what stands in for that service."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from incident_manager.domain.assessment import Finding, Job, digest
from incident_manager.domain.incident import Incident
from incident_manager.llm.assistant import Summary
from incident_manager.llm.fallback import compliance, redaction, severity, summary
from incident_manager.llm.governance import DataConcerned, Governance
from incident_manager.llm.sentinel import SeverityPrediction
from incident_manager.llm.shield import Shield
from recloser import CircuitBreaker

_TRUE = frozenset({"true", "yes", "1"})


class Assessor(Protocol):
    """Does one job.

    Attributes:
        job: Which.
        breaker: Of the service that does it.
    """

    job: Job
    breaker: CircuitBreaker

    async def ask(self, incident: Incident) -> Finding:
        """Ask the service.

        Raises:
            LlmServiceError: It could not do it.
            recloser.CircuitOpenError: The breaker holds callers off.
        """
        ...

    def fallback(self, incident: Incident) -> Finding:
        """What can be said without the service."""
        ...


class Predictor(Protocol):
    """Predicts severities: Sentinel, or a model."""

    async def predict_severity(self, incident: Incident) -> SeverityPrediction | None:
        """The severity an incident deserves; None for no opinion."""
        ...


class Summarizer(Protocol):
    """Summarizes incidents."""

    async def summarize(self, incident: Incident) -> Summary:
        """An incident in one paragraph, with suggested next steps."""
        ...


class SecurityAssessor:
    """Has the texts of an incident scanned by Shield; our own redaction stands in."""

    job = Job.SECURITY

    def __init__(self, shield: Shield) -> None:
        self.breaker = shield.breaker
        self._shield = shield

    async def ask(self, incident: Incident) -> Finding:
        """Scan title and description, and keep the clean ones."""
        title, description = await self._shield.scan_batch([incident.title, incident.description])
        is_clean = title.is_valid and description.is_valid
        data = {
            "of": digest(incident),
            "verdict": "clean" if is_clean else "sanitized",
            "risk_score": max(title.risk_score, description.risk_score),
            "findings": sorted({*title.findings, *description.findings}),
            "title": title.clean(incident.title),
            "description": description.clean(incident.description),
        }
        return Finding(job=self.job, by="shield", is_fallback=False, data=data)

    def fallback(self, incident: Incident) -> Finding:
        """Redact what looks like a secret."""
        title, description = redaction.redact(incident.title), redaction.redact(incident.description)
        data = {
            "of": digest(incident),
            "verdict": "unscanned",
            "findings": sorted({*title.found, *description.found}),
            "title": title.text,
            "description": description.text,
        }
        return Finding(job=self.job, by="redaction", is_fallback=True, data=data)


class SeverityAssessor:
    """Has the severity predicted; rules stand in.

    Args:
        predictor: Who predicts.
        by: Its name.
        breaker: Its breaker.
        critical_services: For the rules.
        minimum_confidence: 0..1; a prediction below it is left to the rules.
    """

    job = Job.SEVERITY

    def __init__(
        self,
        predictor: Predictor,
        by: str,
        breaker: CircuitBreaker,
        *,
        critical_services: Collection[str] = (),
        minimum_confidence: float = 0.5,
    ) -> None:
        self.breaker = breaker
        self._predictor = predictor
        self._by = by
        self._critical_services = frozenset(critical_services)
        self._minimum_confidence = minimum_confidence

    async def ask(self, incident: Incident) -> Finding:
        """Take the prediction, or what the rules say when there is none or nobody is sure of it."""
        prediction = await self._predictor.predict_severity(incident)
        if prediction is None or prediction.confidence < self._minimum_confidence:
            return replace(self.fallback(incident), is_fallback=False)
        data = {
            "severity": prediction.severity.value,
            "confidence": prediction.confidence,
            "reasoning": prediction.reasoning,
        }
        return Finding(job=self.job, by=self._by, is_fallback=False, data=data)

    def fallback(self, incident: Incident) -> Finding:
        """Rate by rules."""
        rated = severity.rate(incident, self._critical_services)
        data = {"severity": rated.severity.value, "confidence": None, "reasoning": rated.reasoning}
        return Finding(job=self.job, by="rules", is_fallback=True, data=data)


class SummaryAssessor:
    """Has a summary written; a template stands in."""

    job = Job.SUMMARY

    def __init__(self, summarizer: Summarizer, by: str, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._summarizer = summarizer
        self._by = by

    async def ask(self, incident: Incident) -> Finding:
        """Have it written by a model."""
        return self._finding(await self._summarizer.summarize(incident), self._by, is_fallback=False)

    def fallback(self, incident: Incident) -> Finding:
        """Fill the template."""
        return self._finding(summary.summarize(incident), "template", is_fallback=True)

    def _finding(self, written: Summary, by: str, *, is_fallback: bool) -> Finding:
        data = {"text": written.text, "next_steps": list(written.next_steps)}
        return Finding(job=self.job, by=by, is_fallback=is_fallback, data=data)


class ComplianceAssessor:
    """Has compliance checked by Governance; without it, the duties that may follow are named and nothing is judged."""

    job = Job.COMPLIANCE

    def __init__(self, governance: Governance, frameworks: Sequence[str]) -> None:
        self.breaker = governance.breaker
        self._governance = governance
        self._frameworks = list(frameworks)

    async def ask(self, incident: Incident) -> Finding:
        """Have it checked."""
        checked = await self._governance.check(incident.id, _data_concerned(incident), incident.first_seen)
        data = {
            "verdict": "compliant" if checked.is_compliant else "violation",
            "notes": [str(note) for note in (*checked.violations, *checked.recommendations)],
            "audit_entry_id": checked.audit_entry_id,
        }
        return Finding(job=self.job, by="governance", is_fallback=False, data=data)

    def fallback(self, incident: Incident) -> Finding:
        """Name the duties."""
        notes = [
            f"{rule.framework}: tell {rule.notify}{_period(rule.within)} ({rule.source})"
            for rule in compliance.obligations(self._frameworks, _data_concerned(incident))
        ]
        return Finding(job=self.job, by="rules", is_fallback=True, data={"verdict": "not_checked", "notes": notes})


def _data_concerned(incident: Incident) -> DataConcerned:
    """What the labels say of the data: `data_classification`, `personal_data`, `health_data`, `payment_data`."""
    labels = incident.labels
    return DataConcerned(
        classification=labels.get("data_classification", "internal"),
        personal_data=labels.get("personal_data", "").lower() in _TRUE,
        health_data=labels.get("health_data", "").lower() in _TRUE,
        payment_data=labels.get("payment_data", "").lower() in _TRUE,
        metadata={"source": incident.source, "severity": incident.severity.value},
    )


def _period(seconds: float | None) -> str:
    if seconds is None:
        return " without delay"
    hours = seconds / 3600
    return f" within {hours:g} hours" if hours <= 72 else f" within {hours / 24:g} days"
