"""Every panel of every dashboard, asked of a real Prometheus of a simulated node: none is empty."""

import json
import math
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from submeter_dashboards.reading import Target, defaults, filled, legend_labels, targets

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").rglob("*.json"))
SCENARIO = Path(__file__).parent / "dashboards.toml"
WINDOW = "15s"

# Nothing of it exists in the simulated node; Grafana offers only "All" then.
NO_VALUES = {"cluster", "namespace"}


def test_no_panel_is_empty(
    agent: Callable[..., Any],
    prometheus: Callable[..., Any],
    wait_for: Callable[..., Any],
    tmp_path: Path,
    serving: str,
) -> None:
    process = agent(
        *("--backend", "mock", "--scenario", str(SCENARIO)),
        *("--set", "node.power_budget_watts=2000"),
        *("--set", "footprint.pue=1.25", "--set", "footprint.carbon_g_per_kwh=380"),
        *("--set", "footprint.price=0.28", "--set", "footprint.currency=EUR"),
        *("--set", f'throughput.servers={{ tritonserver = "{serving}" }}'),
        *("--set", "throughput.interval_s=1"),
    )
    server = prometheus(process.url.removeprefix("http://"), rules=str(_quick_rules(tmp_path)))
    documents = {path: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}

    waiting = [
        (f"{path.parent.name}/{path.name}, {target.panel}/{target.ref}", target, defaults(document))
        for path, document in documents.items()
        for target in targets(document)
    ]
    said: dict[str, str] = {}

    def all_answered() -> bool:
        """Asks again what has no good answer yet."""
        for name, target, values in waiting:
            said[name] = _complaint(server.process, target, values)
        waiting[:] = [each for each in waiting if said[each[0]]]
        return not waiting

    # The cross-check needs half a minute of readings, the floors a few seconds of rest.
    try:
        wait_for(all_answered, "a figure in every panel", patience_s=120)
    except AssertionError:
        pytest.fail("\n".join(f"{name}: {said[name]}" for name, *_ in waiting))
    for document in documents.values():
        _check_variables(server.process, document)
    _check_both_sources_agree(server.process)
    _check_carbon(server.process, documents)


@pytest.fixture
def serving() -> Iterator[str]:
    """The address of a server that makes a hundred tokens a second."""
    begun = time.time()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens = int(100 * (time.time() - begun))
            page = (
                f"vllm:prompt_tokens_total {3 * tokens}\nvllm:generation_tokens_total {tokens}\n"
                f"vllm:request_success_total {tokens // 10}\n"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


def _check_carbon(process: Any, documents: dict[Path, dict[str, Any]]) -> None:
    """Carbon is as the node prices it; water, for which it has no factor, as assumed."""
    path = next(path for path in documents if path.name == "footprint.json")
    found = {}
    values = {**defaults(documents[path]), "wue": "2.5", "carbon": "1e9", "price": "1e9"}
    now = time.time()
    for target in targets(documents[path]):
        if target.panel in {"GPUs", "Carbon", "Water"} and target.kind == "stat":
            expr = filled(target.expr, values, window=WINDOW, span="30s")
            (row,) = _ask(process, "query", query=expr, time=now)["data"]["result"]
            found[target.panel] = float(row["value"][1])
    # Counters beside energy are booked every five seconds, so they lag behind in a short time.
    assert found["Carbon"] / found["GPUs"] == pytest.approx(380 * 1.25, rel=0.4)
    assert found["Water"] / found["GPUs"] == pytest.approx(2.5, rel=1e-6)


def _quick_rules(tmp_path: Path) -> Path:
    """The recording rules in quick motion: evaluated each second, and with short memories."""
    folder = tmp_path / "rules"
    folder.mkdir()
    for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
        text = path.read_text(encoding="utf-8").replace("interval: 1m", "interval: 1s")
        text = text.replace("[5m]", f"[{WINDOW}]")
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder / "*.yml"


def _ask(process: Any, path: str, **parameters: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        process.get(f"/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}")
    )
    assert answer["status"] == "success", answer
    assert not answer.get("warnings"), answer
    assert not answer.get("infos"), answer
    return answer


def _complaint(process: Any, target: Target, values: dict[str, str]) -> str:
    """What is wrong with the answer to a panel's query; empty if nothing is."""
    expr = filled(target.expr, values, window=WINDOW, span="1m")
    now = time.time()
    if target.instant:
        rows = _ask(process, "query", query=expr, time=now)["data"]["result"]
        figures = [float(row["value"][1]) for row in rows]
    else:
        window = {"start": now - 10, "end": now, "step": 1}
        rows = _ask(process, "query_range", query=expr, **window)["data"]["result"]
        figures = [float(value) for row in rows for _, value in row["values"]]
    if not rows:
        return f"empty: {expr}"
    if not all(map(math.isfinite, figures)):
        return f"not a number: {expr}"
    missing = legend_labels(target.legend) - set.union(*(set(row["metric"]) for row in rows))
    return f"no label {sorted(missing)}: {expr}" if missing else ""


def _check_variables(process: Any, document: dict[str, Any]) -> None:
    for variable in document["templating"]["list"]:
        if variable["type"] != "query" or variable["name"] in NO_VALUES:
            continue
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert match
        selector = filled(match[1], defaults(document))
        answer = _ask(process, f"label/{match[2]}/values", **{"match[]": selector})
        assert answer["data"], variable["name"]


def _check_both_sources_agree(process: Any) -> None:
    """What the rules recorded is what the counters say at that moment.

    Not at every moment: a scrape that began before an evaluation may be stored after it.
    """
    chosen = '{phase="training", component="dynamic"}'
    recorded = f"instance_phase_component:submeter_power_watts:rate5m{chosen}[15s]"
    raw = f"sum(rate(submeter_energy_joules_total{chosen}[{WINDOW}]))"
    (row,) = _ask(process, "query", query=recorded)["data"]["result"]
    agreeing = []
    for at, watts in row["values"]:
        (now,) = _ask(process, "query", query=raw, time=at)["data"]["result"]
        agreeing.append(float(now["value"][1]) == pytest.approx(float(watts), rel=1e-9))
    assert len(agreeing) > 5
    assert sum(agreeing) >= 3, agreeing
