"""One circuit breaker, in every detail."""

from deploy.grafana.source.panels import (
    BREAKER,
    ORANGE,
    STATES,
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

CHOSEN = '{job=~"$job", name=~"$name"}'


def breaker() -> Dashboard:
    """The dashboard."""
    made = new_dashboard("recloser-breaker", "Circuit breaker", "One circuit breaker: its state, calls and limits.")
    made = made.with_variable(prefix_variable())
    made = made.with_variable(label_variable("job", "Job", f"{BREAKER}_state", several=True))
    made = made.with_variable(label_variable("name", "Breaker", f'{BREAKER}_state{{job=~"$job"}}', several=False))
    made = _now(made)
    made = made.with_panel(states("State of each process", f"{BREAKER}_state{CHOSEN}", "{{job}} {{instance}}"))
    return _limits(_calls(made))


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_panel(number("State", f"max({BREAKER}_state{CHOSEN})", meanings=STATES))
        .with_panel(
            number(
                "May be tried in",
                f"clamp_min(max({BREAKER}_open_until_timestamp_seconds{CHOSEN}) - time(), 0)",
                unit="s",
                steps=thresholds((0.001, YELLOW)),
                description="What remains of the time that an open circuit waits.",
            )
        )
        .with_panel(
            number(
                "Held by an operator",
                f'max({BREAKER}_control{{job=~"$job", name=~"$name", control!="automatic"}})',
                meanings={"0": ("no", "green"), "1": ("yes", ORANGE)},
            )
        )
        .with_panel(number("In flight", f"sum({BREAKER}_in_flight_calls{CHOSEN})"))
        .with_panel(number("Probes in flight", f"sum({BREAKER}_in_flight_probes{CHOSEN})"))
        .with_panel(rejected(CHOSEN))
    )


def _calls(made: Dashboard) -> Dashboard:
    durations = f"sum by (le) (rate({BREAKER}_call_duration_seconds_bucket{CHOSEN}[$__rate_interval]))"
    return (
        made.with_row(Row("Calls"))
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
                "How long calls take",
                *((f"histogram_quantile({share}, {durations})", f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Rejected calls by reason",
                (f"sum by (reason) (rate({BREAKER}_rejections_total{CHOSEN}[$__rate_interval]))", "{{reason}}"),
                (f"sum(rate({BREAKER}_observed_rejections_total{CHOSEN}[$__rate_interval]))", "only observed"),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Changes of state in 5 minutes",
                (
                    f"sum by (from_state, to_state) (increase({BREAKER}_state_transitions_total{CHOSEN}[5m])) > 0",
                    "{{from_state}} to {{to_state}}",
                ),
            )
        )
    )


def _limits(made: Dashboard) -> Dashboard:
    def beside(title: str, value: str, limit: str, unit: str = "short") -> None:
        made.with_panel(
            lines(
                title,
                (f"max({BREAKER}_{value}{CHOSEN})", "now"),
                (f"min({BREAKER}_{limit}{CHOSEN})", "opens at"),
                unit=unit,
                description="Of the worst process. A ratio is absent until the window holds enough calls.",
            )
        )

    made.with_row(Row("What opens it"))
    beside("Failures in a row", "consecutive_failures", "failure_threshold")
    beside("Failures in the window", "failure_ratio", "failure_ratio_threshold", "percentunit")
    beside("Slow calls in the window", "slow_call_ratio", "slow_call_ratio_threshold", "percentunit")
    made.with_panel(
        lines(
            "Calls in the window",
            (f"sum({BREAKER}_window_calls{CHOSEN})", "now"),
            (f"max({BREAKER}_minimum_calls{CHOSEN})", "needed in a process for a ratio"),
        )
    )
    return made
