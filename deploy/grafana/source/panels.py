"""What the dashboards have in common: how a panel looks, and the variables to choose with."""

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import common as layout
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard

Query = tuple[str, str]
"""An expression, and how its series are called: Grafana's legend, with labels as `{{name}}`."""

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Columns of a dashboard."""

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BREAKER = "${prefix}circuit_breaker"
"""How the metrics of circuit breakers begin."""
STATES = {"0": ("closed", GREEN), "1": ("open", RED), "2": ("half-open", YELLOW)}
"""What the value of `circuit_breaker_state` means."""


def queries(given: Sequence[Query], *, instant: bool = False) -> list[Builder[Any]]:
    """The queries of one panel, as Grafana has them: A, B, C."""
    built: list[Builder[Any]] = []
    for number, (expression, legend) in enumerate(given):
        query = Dataquery().datasource(SOURCE).expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        built.append(query.instant() if instant else query.range())
    return built


def thresholds(*steps: tuple[float, str], start: str = GREEN) -> build.ThresholdsConfig:
    """Colours by value: `start` below the first step."""
    every = [dashboard.Threshold(value=None, color=start)]
    every += [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(every)


def words(meanings: dict[str, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Words and colours in place of numbers."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(meanings.items())
    }
    return [dashboard.ValueMap(options=options)]


def number(
    title: str,
    expression: str,
    *,
    unit: str = "short",
    steps: build.ThresholdsConfig | None = None,
    meanings: dict[str, tuple[str, str]] | None = None,
    legend: str = "",
    span: int = 4,
    description: str = "",
) -> stat.Panel:
    """One number, or a word for it, as it is now.

    Args:
        title: Of the panel.
        expression: With one series.
        unit: One of Grafana's.
        steps: Its colours.
        meanings: A word and a colour for each value.
        legend: Names the series.
        span: Columns, of 24.
        description: Shown with the title.
    """
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(span).height(4)
    panel = panel.targets(queries([(expression, legend)], instant=True))
    panel = panel.color_mode(common.BigValueColorMode.BACKGROUND).graph_mode(common.BigValueGraphMode.NONE)
    panel = panel.reduce_options(layout.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel = panel.thresholds(steps or thresholds())
    return panel if meanings is None else panel.mappings(words(meanings))


def rejected(chosen: str) -> stat.Panel:
    """The calls that the chosen circuit breakers reject: ten a second are an alert."""
    return number(
        "Rejected",
        f"sum(rate({BREAKER}_rejected_calls_total{chosen}[$__rate_interval]))",
        unit="reqps",
        steps=thresholds((0.01, YELLOW), (10, RED)),
    )


def lines(
    title: str,
    *given: Query,
    unit: str = "short",
    stacked: bool = False,
    maximum: float | None = None,
    span: int = 12,
    description: str = "",
) -> timeseries.Panel:
    """Values over time.

    Args:
        title: Of the panel.
        given: The queries.
        unit: One of Grafana's.
        stacked: One above the other.
        maximum: Of the axis; None for the highest value.
        span: Columns, of 24.
        description: Shown with the title.
    """
    panel = timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(span).height(8)
    panel = panel.targets(queries(given)).min(0).line_width(1).show_points(common.VisibilityMode.NEVER)
    panel = panel.fill_opacity(30 if stacked else 8)
    if stacked:
        panel = panel.stacking(layout.StackingConfig().mode(common.StackingMode.NORMAL))
    if maximum is not None:
        panel = panel.max(maximum)
    legend = layout.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE).show_legend(True)
    legend = legend.placement(common.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])
    tooltip = layout.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    return panel.legend(legend).tooltip(tooltip)


def states(
    title: str, expression: str, legend: str, *, span: int = WIDTH, description: str = ""
) -> statetimeline.Panel:
    """The states of circuits over time, each a line of coloured stretches."""
    panel = statetimeline.Panel().title(title).description(description).datasource(SOURCE).span(span).height(8)
    panel = panel.targets(queries([(expression, legend)])).mappings(words(STATES)).merge_values(True).row_height(0.8)
    panel = panel.show_value(common.VisibilityMode.NEVER).thresholds(thresholds())
    return panel.legend(
        layout.VizLegendOptions()
        .show_legend(False)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def source_variable() -> build.DatasourceVariable:
    """Which Prometheus."""
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def prefix_variable() -> build.CustomVariable:
    """Which prefix the metrics have: programs that use recloser, the incident manager, or one that is typed in."""
    chosen = dashboard.VariableOption(selected=True, text="recloser_", value="recloser_")
    other = dashboard.VariableOption(selected=False, text="llm_incident_manager_", value="llm_incident_manager_")
    variable = build.CustomVariable("prefix").label("Prefix").values("recloser_, llm_incident_manager_")
    return variable.current(chosen).options([chosen, other]).allow_custom_value(True)


def label_variable(name: str, label: str, metric: str, *, several: bool) -> build.QueryVariable:
    """A value of a label of a metric; of several, all are chosen at first."""
    variable = build.QueryVariable(name).label(label).datasource(SOURCE)
    variable = variable.query({"query": f"label_values({metric}, {name})", "refId": name})
    variable = variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    if not several:
        return variable
    every = dashboard.VariableOption(selected=True, text="All", value="$__all")
    return variable.multi(True).include_all(True).all_value(".*").current(every)


def new_dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """A dashboard without panels; each of ours links to the others."""
    others = build.DashboardLink("Circuit breakers").type(dashboard.DashboardLinkType.DASHBOARDS)
    others = others.tags(["recloser"]).include_vars(True).keep_time(True).as_dropdown(True)
    made = build.Dashboard(title).uid(uid).description(description).tags(["recloser"]).link(others)
    made = made.time("now-6h", "now").refresh("30s").timezone("browser").editable()
    return made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR).with_variable(source_variable())
