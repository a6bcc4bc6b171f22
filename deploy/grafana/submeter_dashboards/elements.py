"""What all dashboards are made of: variables, queries, panels and links, in one look."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as answers
from grafana_foundation_sdk.models.text import TextMode

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "submeter"
SCHEMA: Final = 41  # of the dashboard JSON, Grafana 11.6

# One colour for each phase and component, wherever it is drawn (Okabe & Ito's palette: told apart
# by colour-blind readers, too).
COLOURS: Final = {
    "training": "#0072B2",
    "inference": "#E69F00",
    "other": "#56B4E9",
    "unknown": "#CC79A7",
    "idle": "#8C8C8C",
    "unattributed": "#D55E00",
    "dynamic": "#009E73",
    "context": "#F0E442",
}
GOOD, WARN, BAD = "#009E73", "#E69F00", "#D55E00"

Panel: TypeAlias = timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel | text.Panel


class Query(NamedTuple):
    """An expression and how its series are called."""

    expr: str
    legend: str


def datasource_variable() -> dashboard.DatasourceVariable:
    """Which Prometheus (or VictoriaMetrics, Mimir, Thanos)."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def label_variable(
    name: str, label: str, query: str, description: str, *, all_of_them: bool = True
) -> dashboard.QueryVariable:
    """A variable whose values are those of a label; "All" also takes series without the label."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
    )
    if not all_of_them:
        return variable
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def assumption(name: str, label: str, value: str, source: str) -> dashboard.TextBoxVariable:
    """A number that submeter does not measure, to be set by who reads the dashboard."""
    return (
        dashboard.TextBoxVariable(name)
        .label(label)
        .description(f"Assumption, not a measurement. {source}")
        .default_value(value)
        .current(model.VariableOption(selected=True, text=value, value=value))
    )


def build(
    uid: str,
    title: str,
    description: str,
    variables: Iterable[Any],
    panels: Iterable[Panel | dashboard.Row],
) -> model.Dashboard:
    """The dashboard with ids, links to its siblings and its rows in order."""
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .links([_siblings()])
    )
    for variable in variables:
        builder.with_variable(variable)
    for panel in panels:
        if isinstance(panel, dashboard.Row):
            builder.with_row(panel)
        else:
            builder.with_panel(panel)
    built = builder.build()
    built.schema_version = SCHEMA
    for number, element in enumerate(built.panels or [], start=1):
        element.id_val = number
    return built


def row(title: str) -> dashboard.Row:
    """A headline between panels."""
    return dashboard.Row(title)


def lines(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    width: int = 12,
    stacked: bool = False,
    share: bool = False,
    bars: bool = False,
    levels: Sequence[tuple[float | None, str]] = (),
    axis: tuple[float, float] | None = None,
) -> timeseries.Panel:
    """Values over time; ``share`` stacks to 100 %, ``levels`` are drawn as lines.

    ``axis`` is what it shows at least; else it begins at 0.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .span(width)
        .height(8)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(
            looks.SortOrder.DESCENDING
        ))
        .show_points(looks.VisibilityMode.NEVER)
        .line_width(1)
        .axis_soft_min(axis[0] if axis else 0)
    )  # fmt: skip
    if axis:
        panel.axis_soft_max(axis[1])
    if stacked or share:
        mode = looks.StackingMode.PERCENT if share else looks.StackingMode.NORMAL
        panel.stacking(common.StackingConfig().mode(mode).group("A")).fill_opacity(70)
    if bars:
        panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80)
    if levels:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_levels(levels)).thresholds_style(style)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(letter, query))
    for name, colour in COLOURS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 4,
    levels: Sequence[tuple[float | None, str]] = ((None, GOOD),),
    none: str = "no data",
    decimals: float | None = None,
    height: int = 4,
) -> stat.Panel:
    """One number, coloured by its level, with its course behind it."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .no_value(none)
        .thresholds(_levels(levels))
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target("A", query, instant=True))
    )
    return panel if decimals is None else panel.decimals(decimals)


def bars(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 8,
    none: str = "no data",
) -> bargauge.Panel:
    """Numbers side by side, the largest first if the query sorts them."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .span(width)
        .height(8)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .display_mode(looks.BarGaugeDisplayMode.BASIC)
        .min(0)
        .no_value(none)
        .thresholds(_levels([(None, COLOURS["training"])]))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target("A", query, instant=True))
    )


class Column(NamedTuple):
    """A column of numbers: its name, its query and its unit."""

    name: str
    expr: str
    unit: str


def listing(
    title: str,
    description: str,
    by: Sequence[str],
    columns: Sequence[Column],
    *,
    width: int = 24,
    link: tuple[str, str] | None = None,
) -> table.Panel:
    """A table: one row for each combination of labels, sorted by its first number."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(9)
        .filterable(True)
        .sort_by([common.TableSortByFieldState().display_name(columns[0].name).desc(True)])
    )
    renamed: dict[str, str] = {}
    for letter, column in zip("ABCDEFGH", columns, strict=False):
        panel.with_target(
            _target(letter, Query(column.expr, column.name), instant=True).format(
                answers.PromQueryFormat.TABLE
            )
        )
        # With one query, Grafana calls the value "Value"; with several, "Value #A".
        renamed["Value" if len(columns) == 1 else f"Value #{letter}"] = column.name
        unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
        panel.override_by_name(column.name, [unit])
    if link is not None:
        field, url = link
        target = [{"title": "Open the node", "url": url}]
        panel.override_by_name(field, [model.DynamicConfigValue(id_val="links", value=target)])
    order = {name: index for index, name in enumerate([*by, *renamed])}
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": order,
                "renameByName": renamed,
            },
        )
    )


def words(title: str, content: str, *, width: int = 24, height: int = 5) -> text.Panel:
    """Text in Markdown."""
    return (
        text.Panel()
        .title(title)
        .description("")
        .mode(TextMode.MARKDOWN)
        .content(content)
        .span(width)
        .height(height)
    )


def _target(letter: str, query: Query, *, instant: bool = False) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .ref_id(letter)
        .expr(query.expr)
        .legend_format(query.legend)
        .datasource(DATASOURCE)
        .editor_mode(answers.QueryEditorMode.CODE)
    )
    return target.instant() if instant else target.range()


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
    )


def _levels(levels: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=value, color=colour) for value, colour in levels]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _siblings() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("submeter")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
        .tooltip("The other dashboards of submeter, with the same time and choice")
    )
