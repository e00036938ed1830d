"""The incident manager: what comes in, what goes out, and what is not done yet."""

from deploy.grafana.source.panels import (
    RED,
    YELLOW,
    label_variable,
    lines,
    new_dashboard,
    number,
    states,
    thresholds,
)
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

OURS = "llm_incident_manager"
CHOSEN = '{job=~"$job"}'
TAKES_ALERTS = '{job=~"$job", method="POST", route=~"/v1/(alerts|ingest/.+)|/v2/enqueue|/api/v2/alerts"}'


def service() -> Dashboard:
    """The dashboard."""
    made = new_dashboard(
        "incident-manager", "Incident manager", "What comes in, what goes out, and what is not done yet."
    )
    made = made.with_variable(label_variable("job", "Job", f"{OURS}_healthy", several=True))
    made = _now(made)
    for part in (_alerts, _notifications, _assessments, _storage):
        made = part(made)
    return made


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_panel(
            number(
                "Health", f"min({OURS}_healthy{CHOSEN})", meanings={"1": ("healthy", "green"), "0": ("degraded", RED)}
            )
        )
        .with_panel(number("Processes", f"count({OURS}_healthy{CHOSEN})"))
        .with_panel(
            number(
                "Open incidents",
                f"sum(max by (severity) ({OURS}_open_incidents{CHOSEN}))",
                steps=thresholds((1, YELLOW)),
            )
        )
        .with_panel(
            number(
                "Oldest notification",
                f"max({OURS}_outbox_oldest_seconds{CHOSEN})",
                unit="s",
                steps=thresholds((60, YELLOW), (300, RED)),
                description="How long the first one has waited that nothing but its destination keeps waiting.",
            )
        )
        .with_panel(number("In the journal", f"sum({OURS}_journal_entries{CHOSEN})", steps=thresholds((1, RED))))
        .with_panel(
            number(
                "Circuits that are not closed",
                f"count(max by (name) ({OURS}_circuit_breaker_state{CHOSEN}) > 0) or vector(0)",
                steps=thresholds((1, RED)),
            )
        )
    )


def _alerts(made: Dashboard) -> Dashboard:
    durations = f"sum by (le) (rate({OURS}_http_request_duration_seconds_bucket{TAKES_ALERTS}[$__rate_interval]))"
    return (
        made.with_row(Row("Alerts and incidents"))
        .with_panel(
            lines(
                "Alerts by what became of them",
                (f"sum by (action) (rate({OURS}_alerts_total{CHOSEN}[$__rate_interval]))", "{{action}}"),
                (f"sum(rate({OURS}_alerts_refused_total{CHOSEN}[$__rate_interval]))", "refused"),
                unit="cps",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Open incidents by severity",
                (f"max by (severity) ({OURS}_open_incidents{CHOSEN})", "{{severity}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "How long senders of alerts wait",
                *((f"histogram_quantile({share}, {durations})", f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Requests by status",
                (
                    f"sum by (status) (rate({OURS}_http_request_duration_seconds_count{CHOSEN}[$__rate_interval]))",
                    "{{status}}",
                ),
                unit="reqps",
                stacked=True,
            )
        )
    )


def _notifications(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Notifications"))
        .with_panel(
            lines(
                "Deliveries",
                (
                    f"sum by (destination, outcome) (rate({OURS}_deliveries_total{CHOSEN}[$__rate_interval]))",
                    "{{destination}} {{outcome}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            lines(
                "Age of the oldest that is ready",
                (f"max by (destination) ({OURS}_outbox_oldest_seconds{CHOSEN})", "{{destination}}"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Waiting",
                (f"max by (destination) ({OURS}_outbox_waiting{CHOSEN})", "{{destination}}"),
                (f"max by (destination) ({OURS}_outbox_ready{CHOSEN})", "{{destination}}, ready"),
                description="All that are owed, and those that nothing but the destination keeps waiting.",
            )
        )
        .with_panel(
            lines(
                "Destinations that nobody works on",
                (f"max by (destination) ({OURS}_delivery_problem{CHOSEN})", "{{destination}}"),
                maximum=1,
            )
        )
    )


def _assessments(made: Dashboard) -> Dashboard:
    counted = f"{OURS}_assessments_total"
    return (
        made.with_row(Row("LLM services"))
        .with_panel(
            lines(
                "Findings",
                (
                    f"sum by (assessment, outcome) (rate({counted}{CHOSEN}[$__rate_interval]))",
                    "{{assessment}} {{outcome}}",
                ),
                unit="cps",
                description="Answered by the service, or rules stood in for it.",
            )
        )
        .with_panel(
            lines(
                "Share of fallbacks",
                (
                    "sum by (assessment) "
                    f'(rate({counted}{{job=~"$job", outcome!="answered"}}[$__rate_interval]))'
                    f" / sum by (assessment) (rate({counted}{CHOSEN}[$__rate_interval]))",
                    "{{assessment}}",
                ),
                unit="percentunit",
                maximum=1,
            )
        )
    )


def _storage(made: Dashboard) -> Dashboard:
    database = '{job=~"$job", name="database"}'
    durations = f"sum by (le) (rate({OURS}_circuit_breaker_call_duration_seconds_bucket{database}[$__rate_interval]))"
    return (
        made.with_row(Row("Storage and circuits"))
        .with_panel(
            lines(
                "Transactions",
                (
                    f"sum by (status) (rate({OURS}_circuit_breaker_calls_total{database}[$__rate_interval]))",
                    "{{status}}",
                ),
                unit="ops",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "How long transactions take",
                *((f"histogram_quantile({share}, {durations})", f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Journal",
                (f"sum({OURS}_journal_entries{CHOSEN})", "waiting"),
                (f"sum({OURS}_journal_set_aside{CHOSEN})", "set aside"),
            )
        )
        .with_panel(
            lines(
                "Age of the first alert in the journal",
                (f"max({OURS}_journal_oldest_seconds{CHOSEN})", "age"),
                unit="s",
                span=6,
            )
        )
        .with_panel(lines("Size of the journal", (f"sum({OURS}_journal_bytes{CHOSEN})", "size"), unit="bytes", span=6))
        .with_panel(states("Circuits", f"max by (name) ({OURS}_circuit_breaker_state{CHOSEN})", "{{name}}"))
    )
