"""A dashboard and a Prometheus in, a picture out: drawn from its queries, not by Grafana.

    PYTHONPATH=deploy/grafana python benchmarks/draw_dashboard.py gpu-node \
        --url http://127.0.0.1:9090 --out docs/dashboard-gpu-node.png --set node=gpu-03:10046

Grafana's server is not in any package registry that a build here may rely on; a picture of what
its panels contain is better than none. Layout, titles, units, colours and thresholds come from
the dashboard's JSON, figures from the server. Needs a Chromium.
"""

import argparse
import html
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter_dashboards.elements import COLOURS
from submeter_dashboards.reading import defaults, filled

FOLDER: Final = Path(__file__).parents[1] / "deploy/grafana/dashboards"
_WIDTH, _CELL, _GAP = 1560, 34, 8
_PALETTE: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31",
                   "#7F7F7F", "#17A2A2", "#9467BD")  # fmt: skip
_POINTS: Final = 240
_PREFIXED: Final = {
    "watt": "W",
    "joule": "J",
    "hertz": "Hz",
    "massg": "g",
    "bytes": "B",
    "litre": "L",
}
_STYLE: Final = """
body{margin:0;background:#f4f5f5;font:12px/1.35 Inter,"DejaVu Sans",sans-serif;color:#24292e}
h1{font-size:18px;margin:12px 12px 2px}header p{margin:0 12px 8px;color:#57606a}
.panel{position:absolute;background:#fff;border:1px solid #d8dadd;border-radius:3px;overflow:hidden}
.panel h2{font-size:12px;margin:6px 8px 2px;font-weight:600}.row{position:absolute;font-weight:700;
font-size:14px}.figure{text-align:center;font-size:30px;font-weight:600;padding-top:18px}
.words{padding:0 12px;color:#24292e;font-size:13px}
table{border-collapse:collapse;width:100%}td,th{padding:2px 8px;text-align:left;border-bottom:1px
solid #eee;white-space:nowrap}td.n,th.n{text-align:right}.legend{padding:0 8px;font-size:10px;
white-space:nowrap;overflow:hidden}.legend i{display:inline-block;width:10px;height:3px;
margin:0 4px 3px 8px}.bar{height:14px;background:#0072B2;display:inline-block;vertical-align:middle}
"""


class Series(NamedTuple):
    """A line: its name and its points (Unix time, value)."""

    name: str
    points: Sequence[tuple[float, float]]


class Server(NamedTuple):
    """What is asked, and how the variables and times stand."""

    url: str
    values: Mapping[str, str]
    span_s: int
    now: float

    def instant(self, expr: str) -> list[dict[str, Any]]:
        """The rows of a query now."""
        return self._ask("query", query=self._filled(expr), time=self.now)

    def over_time(self, expr: str) -> list[dict[str, Any]]:
        """The rows of a query over the chosen time."""
        step = max(10, self.span_s // _POINTS)
        start = self.now - self.span_s
        return self._ask(
            "query_range", query=self._filled(expr), start=start, end=self.now, step=step
        )

    def _filled(self, expr: str) -> str:
        return filled(expr, self.values, window="1m", span=f"{self.span_s}s")

    def _ask(self, path: str, **what: Any) -> list[dict[str, Any]]:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(what)}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return rows


def page(document: Mapping[str, Any], server: Server) -> str:
    """The whole dashboard as one HTML page."""
    parts = [_panel(panel, server) for panel in document["panels"]]
    chosen = ", ".join(f"{k} = {v}" for k, v in server.values.items() if v != ".*")
    return (
        f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style><header>"
        f"<h1>{html.escape(document['title'])}</h1><p>{html.escape(document['description'])} "
        f"Simulated boards. {html.escape(chosen)}</p></header>"
        f"<main style='position:relative'>{''.join(parts)}</main>"
    )


def height(document: Mapping[str, Any]) -> int:
    """Of the page, in pixels."""
    lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    return int(lowest * _CELL) + 90


def number(value: float, unit: str) -> str:
    """A value as Grafana writes it, nearly."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "kwatth":
        return f"{_short(value * 1000)}Wh"
    if unit == "celsius":
        return f"{value:.0f} °C"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    symbol = _PREFIXED.get(unit, "")
    if symbol and 0 < abs(value) < 0.1:
        return f"{value * 1000:.3g} m{symbol}"
    return f"{_short(value)}{symbol}".strip()


def _short(value: float) -> str:
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g} "


def _panel(panel: Mapping[str, Any], server: Server) -> str:
    place = panel["gridPos"]
    column = (_WIDTH + _GAP) / 24
    wide, high = place["w"] * column - _GAP, place["h"] * _CELL - _GAP
    position = f"left:{12 + place['x'] * column:.0f}px;top:{place['y'] * _CELL}px"
    title = html.escape(filled(panel["title"], server.values))
    if panel["type"] == "row":
        return f"<div class=row style='{position}'>{title}</div>"
    draw = {
        "timeseries": _lines, "stat": _figure, "table": _table, "bargauge": _bars, "text": _words,
    }[panel["type"]]  # fmt: skip
    inside = draw(panel, server, wide, high - 26)
    size = f"width:{wide:.0f}px;height:{high:.0f}px"
    return f"<div class=panel style='{position};{size}'><h2>{title}</h2>{inside}</div>"


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", "none"))


def _name(legend: str, labels: Mapping[str, str]) -> str:
    for key, value in labels.items():
        legend = legend.replace("{{" + key + "}}", value)
    return re.sub(r"{{\w+}}", "", legend)


def _figure(panel: Mapping[str, Any], server: Server, _wide: float, _high: float) -> str:
    rows = server.instant(panel["targets"][0]["expr"])
    if not rows:
        return f"<div class=figure>{panel['fieldConfig']['defaults']['noValue']}</div>"
    value = float(rows[0]["value"][1])
    colour = "#24292e"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return f"<div class=figure style='color:{colour}'>{number(value, _unit(panel))}</div>"


def _words(panel: Mapping[str, Any], server: Server, _wide: float, _high: float) -> str:
    text = html.escape(filled(panel["options"]["content"], server.values))
    while "**" in text:
        text = text.replace("**", "<b>", 1).replace("**", "</b>", 1)
    return "".join(f"<p class=words>{paragraph}</p>" for paragraph in text.split("\n\n"))


def _bars(panel: Mapping[str, Any], server: Server, wide: float, _high: float) -> str:
    target = panel["targets"][0]
    rows = [
        (_name(target["legendFormat"], row["metric"]), float(row["value"][1]))
        for row in server.instant(target["expr"])
    ]
    most = max((value for _, value in rows), default=1) or 1
    lines = [
        f"<tr><td>{html.escape(name)}<td width=100%><span class=bar style='width:"
        f"{value / most * (wide - 330):.0f}px'></span> {number(value, _unit(panel))}"
        for name, value in rows[:9]
    ]
    return f"<table>{''.join(lines)}</table>"


def _table(panel: Mapping[str, Any], server: Server, _wide: float, high: float) -> str:
    organize = panel["transformations"][1]["options"]
    renamed = organize["renameByName"]
    columns = sorted(organize["indexByName"], key=organize["indexByName"].get)
    units = {
        override["matcher"]["options"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "unit"
    }
    merged: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for target, column in zip(panel["targets"], renamed, strict=True):
        for row in server.instant(target["expr"]):
            cells = merged.setdefault(tuple(sorted(row["metric"].items())), {})
            cells[column] = float(row["value"][1])
    first = next(iter(renamed))
    rows = sorted(merged.items(), key=lambda each: -each[1].get(first, 0))
    head = "".join(
        f"<th class=n>{renamed[c]}" if c in renamed else f"<th>{c}" for c in columns
    )  # fmt: skip
    body = []
    for labels, cells in rows[: int(high // 22) - 1]:
        known = dict(labels)
        body.append("<tr>" + "".join(
            f"<td class=n>{number(cells[c], units[renamed[c]]) if c in cells else ''}"
            if c in renamed else f"<td>{html.escape(known.get(c, ''))}"
            for c in columns
        ))  # fmt: skip
    return f"<table><tr>{head}{''.join(body)}</table>"


def _lines(panel: Mapping[str, Any], server: Server, wide: float, high: float) -> str:
    series = [
        Series(_name(target["legendFormat"], row["metric"]), _points(row["values"]))
        for target in panel["targets"]
        for row in server.over_time(target["expr"])
    ]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacking = custom.get("stacking", {}).get("mode", "none")
    unit = "percentunit" if stacking == "percent" else _unit(panel)
    if stacking != "none":
        series = _stacked(series, share=stacking == "percent")
    axis = (custom.get("axisSoftMin", 0), custom.get("axisSoftMax", -math.inf))
    graph = _graph(series, unit, server, (wide, high - 26), axis, filled_in=stacking != "none")
    names = "".join(
        f"<i style='background:{_colour(index, each.name)}'></i>{html.escape(each.name)}"
        for index, each in enumerate(series[:14])
    )
    more = f" … {len(series) - 14} more" if len(series) > 14 else ""
    return f"{graph}<div class=legend>{names}{more}</div>"


def _points(values: Iterable[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(at, float(value)) for at, value in values if math.isfinite(float(value))]


def _stacked(series: Sequence[Series], *, share: bool) -> list[Series]:
    """Each line raised by those before it; as shares of the whole if asked for."""
    whole: dict[float, float] = {}
    for each in series:
        for at, value in each.points:
            whole[at] = whole.get(at, 0) + value
    below: dict[float, float] = {}
    raised = []
    for each in series:
        known = dict(each.points)
        for at in whole:
            part = known.get(at, 0)
            below[at] = below.get(at, 0) + (part / (whole[at] or 1) if share else part)
        raised.append(Series(each.name, sorted((at, below[at]) for at in whole)))
    return raised


def _colour(index: int, name: str) -> str:
    return COLOURS.get(name, _PALETTE[index % len(_PALETTE)])


def _graph(
    series: Sequence[Series], unit: str, server: Server, size: tuple[float, float],
    axis: tuple[float, float], *,
    filled_in: bool,
) -> str:  # fmt: skip
    wide, high = size
    left, bottom = 64, 18
    values = [value for each in series for _, value in each.points] or [0.0]
    top, low = max(max(values) * 1.05 or 1, axis[1]), min(axis[0], *values)
    span = (top - low) or 1

    def x(at: float) -> float:
        return left + (at - server.now + server.span_s) / server.span_s * (wide - left - 10)

    def y(value: float) -> float:
        return 4 + (top - value) / span * (high - bottom - 6)

    parts = [f"<svg width='{wide:.0f}' height='{high:.0f}'>"]
    for step in range(5):
        value = low + span * step / 4
        parts.append(
            f"<path d='M{left} {y(value):.1f}H{wide - 10:.0f}' stroke='#e4e5e6'/>"
            f"<text x='{left - 5}' y='{y(value) + 4:.1f}' font-size='10' text-anchor='end'>"
            f"{number(value, unit)}</text>"
        )
        at = server.now - server.span_s * (4.3 - step) / 4.4
        clock = time.strftime("%H:%M", time.gmtime(at))
        parts.append(f"<text x='{x(at):.0f}' y='{high - 4:.0f}' font-size='10'>{clock}</text>")
    order = list(enumerate(series))
    for index, each in reversed(order) if filled_in else order:
        if not each.points:
            continue
        colour = _colour(index, each.name)
        path = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in each.points)
        if filled_in:
            first, last = x(each.points[0][0]), x(each.points[-1][0])
            area = f"M{first:.1f} {y(low):.1f}L{path}L{last:.1f} {y(low):.1f}Z"
            parts.append(f"<path d='{area}' fill='{colour}'/>")
        parts.append(f"<path d='M{path}' fill='none' stroke='{colour}' stroke-width='1.2'/>")
    return "".join(parts) + "</svg>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dashboard", help="file name below dashboards/, without .json")
    parser.add_argument("--url", default="http://127.0.0.1:9090")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--span-minutes", type=int, default=30)
    parser.add_argument("--set", action="append", default=[], metavar="VARIABLE=VALUE")
    arguments = parser.parse_args()
    document = json.loads((FOLDER / f"{arguments.dashboard}.json").read_text(encoding="utf-8"))
    values = defaults(document) | dict(each.split("=", 1) for each in arguments.set)
    server = Server(arguments.url, values, arguments.span_minutes * 60, time.time())
    chromium = shutil.which("chromium") or sys.exit("draw_dashboard: no `chromium` here")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page(document, server), encoding="utf-8")
        subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-sync",
                "--disable-component-update", f"--user-data-dir={folder}/profile",
                "--hide-scrollbars", f"--window-size={_WIDTH + 32},{height(document)}",
                f"--screenshot={arguments.out.resolve()}", source.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


if __name__ == "__main__":
    main()
