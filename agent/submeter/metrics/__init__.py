"""A Snapshot in, metric families out; pure. The table of metrics is also their documentation."""

from collections.abc import Iterator

from submeter.metrics.family import Columns, Distribution, Family, Kind, Labels, Sample, in_columns
from submeter.metrics.table import METRICS, Metric
from submeter.model import Snapshot

__all__ = [
    "METRICS", "Columns", "Distribution", "Family", "Kind", "Labels", "Metric", "Sample",
    "families", "in_columns", "table_markdown",
]  # fmt: skip


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Every metric that this snapshot can fill, in the order of the table."""
    for metric in METRICS:
        samples = metric.samples(snapshot)
        if not isinstance(samples, Columns):
            samples = tuple(samples)
        distributions = tuple(metric.distributions(snapshot))
        if samples or distributions:
            yield Family(
                metric.name, metric.kind, metric.help, metric.unit, metric.labels,
                metric.exponent, samples, distributions,
            )  # fmt: skip


def table_markdown() -> str:
    """The table of metrics as documentation."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{name}`" for name in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"
