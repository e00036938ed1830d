"""What is done without the services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.severity import Severity
from incident_manager.llm.fallback.compliance import obligations
from incident_manager.llm.fallback.redaction import redact
from incident_manager.llm.fallback.severity import rate
from incident_manager.llm.fallback.summary import summarize
from incident_manager.llm.governance import DataConcerned

from .conftest import IncidentMaker


class TestSeverityByRules:
    """`rate`."""

    def test_sender_is_believed(self, make_incident: IncidentMaker) -> None:
        rated = rate(make_incident("Disk is filling", severity=Severity.P3))
        assert (rated.severity, rated.reasoning) == (Severity.P3, "as the sender said")

    @pytest.mark.parametrize(
        ("title", "severity"),
        [
            ("Data loss in orders", Severity.P0),
            ("checkout is DOWN", Severity.P1),
            ("API unreachable", Severity.P1),
            ("Latency of search", Severity.P2),
        ],
    )
    def test_words_raise_it(self, make_incident: IncidentMaker, title: str, severity: Severity) -> None:
        assert rate(make_incident(title, severity=Severity.P4)).severity is severity

    def test_words_never_lower_it(self, make_incident: IncidentMaker) -> None:
        assert rate(make_incident("Latency of search", severity=Severity.P0)).severity is Severity.P0

    def test_parts_of_words_do_not_count(self, make_incident: IncidentMaker) -> None:
        assert rate(make_incident("Download finished, markdown rendered", severity=Severity.P4)).severity is Severity.P4

    def test_type_of_the_incident_counts(self, make_incident: IncidentMaker) -> None:
        incident = make_incident("Odd requests", severity=Severity.P4, labels={"type": "security_threat"})
        assert rate(incident).severity is Severity.P1

    def test_critical_service_is_one_step_worse(self, make_incident: IncidentMaker) -> None:
        incident = make_incident("Queue grows", severity=Severity.P3, labels={"service": "payments"})
        assert rate(incident, {"payments"}).severity is Severity.P2
        assert rate(incident, {"search"}).severity is Severity.P3

    def test_nothing_is_worse_than_the_worst(self, make_incident: IncidentMaker) -> None:
        incident = make_incident("Total outage", labels={"service": "payments"})
        assert rate(incident, {"payments"}).severity is Severity.P0


class TestRedaction:
    """`redact`."""

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("key AKIAABCDEFGHIJKLMNOP in use", "key [REDACTED:aws-key] in use"),
            ("ghp_" + "a" * 36, "[REDACTED:github-token]"),
            ("xoxb-123456789012-abcdef", "[REDACTED:slack-token]"),
            ("sk-proj-" + "A1" * 20, "[REDACTED:api-key]"),
            ("postgresql://app:s3cret@db/x failed", "postgresql://app:[REDACTED:credentials]@db/x failed"),
            ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [REDACTED:bearer-token]"),
            ('{"password": "hunter2!"}', '{"password": "[REDACTED:secret]"}'),
            ("api_key=abcd1234&x=1", "api_key=[REDACTED:secret]&x=1"),
            ("card 4111 1111 1111 1111 declined", "card [REDACTED:card-number] declined"),
            ("https://hooks.slack.com/services/T0/B0/abcdef", "https://hooks.slack.com/[REDACTED:slack-webhook]"),
        ],
    )
    def test_secret_is_replaced_by_its_kind(self, text: str, kept: str) -> None:
        assert redact(text).text == kept

    def test_private_key_is_replaced_whole_even_if_cut_off(self) -> None:
        text = "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc"
        assert redact(text).text == "before\n[REDACTED:private-key]"

    @pytest.mark.parametrize(
        "text", ["build 1234567890123 done", "at 2026-01-31T10:05:00Z", "token refresh failed", "https://user@host/x"]
    )
    def test_ordinary_text_stays(self, text: str) -> None:
        assert redact(text) == redact(text).__class__(text, ())

    @given(st.text(max_size=300))
    def test_doing_it_again_changes_nothing(self, text: str) -> None:
        once = redact(text).text
        assert redact(once).text == once


class TestTemplateSummary:
    """`summarize`."""

    def test_says_what_is_known(self, make_incident: IncidentMaker) -> None:
        incident = make_incident(
            "Checkout is slow",
            severity=Severity.P1,
            description="p99 over 2 s\nmore",
            labels={"service": "checkout"},
            annotations={"runbook_url": "https://wiki/checkout"},
        )
        summary = summarize(incident)
        assert summary.text == (
            "P1 (high) on checkout: Checkout is slow. One alert since 2026-01-31 10:05 UTC. p99 over 2 s"
        )
        assert "Follow the runbook: https://wiki/checkout" in summary.next_steps


class TestComplianceByRules:
    """`obligations`."""

    def test_personal_data_concerns_the_authority_within_72_hours(self) -> None:
        [authority, persons] = obligations(["GDPR"], DataConcerned(personal_data=True))
        assert (authority.notify, authority.within) == ("the supervisory authority", 72 * 3600)
        assert persons.within is None

    def test_only_frameworks_that_apply_are_named(self) -> None:
        data = DataConcerned(personal_data=True, health_data=True, payment_data=True)
        assert {rule.framework for rule in obligations(["HIPAA", "PCI"], data)} == {"HIPAA", "PCI"}

    def test_without_such_data_the_laws_on_it_ask_for_nothing(self) -> None:
        assert obligations(["GDPR", "HIPAA", "PCI"], DataConcerned()) == []
