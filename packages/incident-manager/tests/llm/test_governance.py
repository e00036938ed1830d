"""Governance."""

from incident_manager.llm.governance import DataConcerned, Governance

from .conftest import NOW


async def test_incident_is_checked(governance_client: Governance) -> None:
    check = await governance_client.check("inc_1", DataConcerned(personal_data=True), NOW)
    assert (check.incident_id, check.is_compliant) == ("inc_1", False)
    assert check.violations == ["GDPR: personal data"]


async def test_incident_without_such_data_is_compliant(governance_client: Governance) -> None:
    assert (await governance_client.check("inc_1", DataConcerned(), NOW)).is_compliant


async def test_report_is_made(governance_client: Governance) -> None:
    report = await governance_client.report("inc_1", "breach")
    assert report.model_dump() == {"incident_id": "inc_1", "report_type": "breach"}
