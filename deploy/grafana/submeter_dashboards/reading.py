"""Dashboard JSON in, its queries out, with variables filled in as Grafana would."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Target(NamedTuple):
    """One query of a panel."""

    panel: str
    kind: str  # of panel: "timeseries", "stat", "table", "bargauge"
    ref: str
    expr: str
    legend: str
    instant: bool


def targets(document: Mapping[str, Any]) -> Iterator[Target]:
    """All queries, in the order of the panels."""
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield Target(
                panel["title"],
                panel["type"],
                target["refId"],
                target["expr"],
                target["legendFormat"],
                bool(target["instant"]),
            )


def defaults(document: Mapping[str, Any]) -> dict[str, str]:
    """What each variable stands for before anybody chooses: all of them, or the assumption."""
    values = {}
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            values[variable["name"]] = variable.get("allValue", ".*")
        elif variable["type"] == "textbox":
            values[variable["name"]] = variable["query"]
    return values


def filled(expr: str, values: Mapping[str, str], *, window: str = "5m", span: str = "3h") -> str:
    """The expression with its variables replaced; ``span`` is the time chosen on the dashboard."""
    everything = {"__rate_interval": window, "__range": span, **values}
    return re.sub(r"\$(\w+)", lambda match: everything[match[1]], expr)


def legend_labels(legend: str) -> set[str]:
    """The labels that a legend names."""
    return set(re.findall(r"{{\s*(\w+)\s*}}", legend))
