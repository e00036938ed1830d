"""All circuit breakers at once."""

from deploy.grafana.source.panels import (
    BREAKER,
    ORANGE,
    RED,
    YELLOW,
    label_variable,
    lines,
    new_dashboard,
    number,
    prefix_variable,
    rejected,
    states,
    thresholds,
)
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

CHOSEN = '{job=~"$job"}'


def overview() -> Dashboard:
    """The dashboard."""
    state = f"max by (job, name) ({BREAKER}_state{CHOSEN})"
    let_through = f"sum by (job, name) (rate({BREAKER}_call_duration_seconds_count{CHOSEN}[$__rate_interval]))"
    made = new_dashboard(
        "recloser-overview", "Circuit breakers", "All circuit breakers: which are open, and what they let through."
    )
    made = made.with_variable(prefix_variable())
    made = made.with_variable(label_variable("job", "Job", f"{BREAKER}_state", several=True))
    return (
        made.with_panel(number("Breakers", f"count({state})"))
        .with_panel(number("Open", f"count({state} == 1) or vector(0)", steps=thresholds((1, RED))))
        .with_panel(number("Half-open", f"count({state} == 2) or vector(0)", steps=thresholds((1, YELLOW))))
        .with_panel(
            number(
                "Held by operators",
                f'sum(max by (job, name) ({BREAKER}_control{{job=~"$job", control!="automatic"}}))',
                steps=thresholds((1, ORANGE)),
            )
        )
        .with_panel(rejected(CHOSEN))
        .with_panel(
            number(
                "Calls",
                f"sum(rate({BREAKER}_call_duration_seconds_count{CHOSEN}[$__rate_interval]))",
                unit="reqps",
                description="Calls that were let through.",
            )
        )
        .with_panel(states("States", state, "{{job}} {{name}}"))
        .with_row(Row("Calls"))
        .with_panel(
            lines(
                "Calls by how they ended",
                (f"sum by (status) (rate({BREAKER}_calls_total{CHOSEN}[$__rate_interval]))", "{{status}}"),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Rejected calls",
                (
                    f"sum by (job, name) (rate({BREAKER}_rejected_calls_total{CHOSEN}[$__rate_interval]))",
                    "{{job}} {{name}}",
                ),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Failures",
                (
                    f"sum by (job, name) (rate({BREAKER}_failed_calls_total{CHOSEN}[$__rate_interval]))"
                    f" / {let_through}",
                    "{{job}} {{name}}",
                ),
                unit="percentunit",
                maximum=1,
                description="Failed calls over those that were let through.",
            )
        )
        .with_panel(
            lines(
                "95 % of the calls take no longer than",
                (
                    "histogram_quantile(0.95, sum by (job, name, le) "
                    f"(rate({BREAKER}_call_duration_seconds_bucket{CHOSEN}[$__rate_interval])))",
                    "{{job}} {{name}}",
                ),
                unit="s",
            )
        )
        .with_row(Row("Circuits"))
        .with_panel(
            lines(
                "Openings in an hour",
                (
                    f"sum by (job, name) (increase({BREAKER}_state_transitions_total"
                    '{job=~"$job", to_state="open"}[1h]))',
                    "{{job}} {{name}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Share of the last hour that was not spent closed",
                (
                    f'1 - sum by (job, name) (rate({BREAKER}_state_seconds_total{{job=~"$job", state="closed"}}[1h]))'
                    f" / sum by (job, name) (rate({BREAKER}_state_seconds_total{CHOSEN}[1h]))",
                    "{{job}} {{name}}",
                ),
                unit="percentunit",
                maximum=1,
            )
        )
    )
