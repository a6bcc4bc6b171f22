"""The dashboards as files: up to date, well-formed, expressions type-checked, metrics known."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from submeter.metrics import METRICS
from submeter.metrics.family import Kind
from submeter_dashboards.__main__ import documents
from submeter_dashboards.reading import defaults, filled, legend_labels, targets

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/grafana/dashboards"
FILES = sorted(FOLDER.rglob("*.json"))
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
UNITS = {
    "watt", "kwatth", "percentunit", "celsius", "hertz", "bytes", "s", "short", "none", "massg",
    "litre", "joule",
}  # fmt: skip


def _load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def _names() -> set[str]:
    """Every series that the agents and the rules give."""
    names = {"up"} | {rule["record"] for rule in _rules() if "record" in rule}
    for metric in METRICS:
        names.add(metric.name)
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def _metrics(expr: str) -> set[str]:
    """The series that an expression reads. Raises ValueError where it is no valid PromQL."""
    promql_parser.parse(expr)
    without_strings = re.sub(r'"[^"]*"', '""', expr)
    return set(re.findall(r"\b[a-z_]*:?submeter_\w+(?::\w+)?", without_strings))


@pytest.fixture(params=FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return _load(request.param)


def test_files_are_what_the_code_makes() -> None:
    made = dict(documents())
    assert {path.relative_to(FOLDER).as_posix() for path in FILES} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run `make docs`"


def test_no_field_is_unknown_to_grafana(document: dict[str, Any]) -> None:
    """The SDK's types come from Grafana's schema; reading drops what they don't have."""
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert _without_empty(again) == _without_empty(document)


def test_expressions_are_valid_and_know_their_metrics(document: dict[str, Any]) -> None:
    known = _names()
    seen: set[str] = set()
    for target in targets(document):
        found = _metrics(filled(target.expr, defaults(document)))
        assert found, target
        assert found <= known, target
        seen |= found
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match, variable
            assert _metrics(filled(match[1], defaults(document))) <= known
    assert seen


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule.get("record") or rule["alert"])
def test_rules_know_their_metrics(rule: dict[str, Any]) -> None:
    assert _metrics(rule["expr"]) <= _names()


def test_panels_can_be_read(document: dict[str, Any]) -> None:
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(document["uid"]) <= 40
    assert document["schemaVersion"] >= 39
    for panel in panels:
        assert panel["title"]
        if panel["type"] in ("row", "text"):
            continue
        assert panel["description"].endswith("."), panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == list("ABCDEFGH"[: len(refs)])
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
        units = _units(panel)
        assert units, panel["title"]
        assert units <= UNITS, panel["title"]


def test_panels_lie_side_by_side_on_24_columns(document: dict[str, Any]) -> None:
    areas = [panel["gridPos"] for panel in document["panels"]]
    for area in areas:
        assert area["x"] >= 0
        assert area["x"] + area["w"] <= 24
    for one, other in itertools.combinations(areas, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)


def test_variables_are_used_and_there(document: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in document["templating"]["list"]}
    text = json.dumps(document)
    used = set(re.findall(r"\$\{?([a-z]\w*)", text)) - {"__value"}
    assert used == declared


def test_assumptions_are_called_so(document: dict[str, Any]) -> None:
    for variable in document["templating"]["list"]:
        if variable["type"] == "textbox":
            assert variable["description"].startswith("Assumption, not a measurement.")


def test_dashboards_lead_to_each_other() -> None:
    uids = {_load(path)["uid"] for path in FILES}
    assert len(uids) == len(FILES)
    for path in FILES:
        document = _load(path)
        assert document["tags"] == ["submeter"]
        assert [link["tags"] for link in document["links"]] == [["submeter"]]
        for target in re.findall(r"/d/([\w-]+)", json.dumps(document)):
            assert target in uids


def test_legends_name_labels_that_the_query_keeps(document: dict[str, Any]) -> None:
    """A label in a legend that no `by (…)` of the query keeps would be blank."""
    for target in targets(document):
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target.expr))))
        if kept:
            assert legend_labels(target.legend) <= kept, target


def _units(panel: dict[str, Any]) -> set[str]:
    config = panel["fieldConfig"]
    found = {config["defaults"].get("unit")}
    for override in config["overrides"]:
        found |= {each["value"] for each in override["properties"] if each["id"] == "unit"}
    return found - {None}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        # The SDK has the fields of interval variables for all of them; Grafana's schema hasn't.
        cleaned = {
            key: _without_empty(each) for key, each in value.items() if not key.startswith("auto")
        }
        return {key: each for key, each in cleaned.items() if each not in ({}, [], None, "")}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return value
