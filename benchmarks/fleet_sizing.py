"""What a fleet costs its Prometheus and its VictoriaMetrics: measured, with many simulated nodes.

    python benchmarks/fleet_sizing.py [--nodes 200] [--minutes 30] [--victoria PATH] [--json FILE]

Starts an agent on the simulated node, `fleet_nodes` in front of it, a real Prometheus that scrapes
all nodes each 15 s, evaluates the recording rules and sends everything on to a real VictoriaMetrics
(where there is one). Prints series, samples, bytes and processor time of each, and how long every
panel of every dashboard takes.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket
from statistics import median
from typing import Any, NamedTuple

import fleet_nodes
import psutil

from submeter_dashboards.reading import defaults, filled, targets

ROOT = Path(__file__).parents[1]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").rglob("*.json"))
SCRAPE_S = 15
POINTS = 300  # a panel of 12 columns has about so many


class Timed(NamedTuple):
    """A panel's query and its fastest time of three."""

    dashboard: str
    panel: str
    ms: float
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--victoria", default=shutil.which("victoria-metrics"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        figures = _run(Path(name), stack, arguments)
    print(json.dumps(figures, indent=1))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _run(folder: Path, stack: ExitStack, arguments: argparse.Namespace) -> dict[str, Any]:
    agent_url = f"http://127.0.0.1:{_port()}"
    stack.enter_context(_started(
        sys.executable, "-m", "submeter", "run", "--backend", "mock",
        *("--listen", agent_url.removeprefix("http://"), "--state-dir", str(folder / "state")),
        *("--set", "node.power_budget_watts=5600"),
    ))  # fmt: skip
    _until_ready(f"{agent_url}/-/ready")
    recent = fleet_nodes.Recent(agent_url)
    recent.read()
    nodes = fleet_nodes.serve(recent, 0)
    victoria_url = _victoria(folder, stack, arguments.victoria) if arguments.victoria else None
    url, process = _prometheus(folder, stack, nodes.server_port, arguments.nodes, victoria_url)
    cpu_before = _cpu_s(process)
    began = time.monotonic()
    while time.monotonic() - began < arguments.minutes * 60:
        time.sleep(1)
        recent.read()
    figures: dict[str, Any] = {"nodes": arguments.nodes, "minutes": arguments.minutes}
    figures["prometheus"] = _prometheus_figures(url, folder, process)
    figures["prometheus"]["cores"] = (_cpu_s(process) - cpu_before) / (time.monotonic() - began)
    span = f"{max(1, int(arguments.minutes))}m"
    figures["prometheus"]["panels"] = _panels(url, span)
    if victoria_url:
        figures["victoria"] = _victoria_figures(victoria_url)
        figures["victoria"]["panels"] = _panels(victoria_url, span)
    return figures


def _victoria(folder: Path, stack: ExitStack, binary: str) -> str:
    port = _port()
    stack.enter_context(_started(
        binary, f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s", "-retentionPeriod=1y", "-search.disableCache",
    ))  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    _until_ready(f"{url}/health")
    return url


def _prometheus(
    folder: Path, stack: ExitStack, nodes_port: int, nodes: int, victoria_url: str | None
) -> tuple[str, psutil.Process]:
    targets_file = folder / "targets.json"
    targets_file.write_text(json.dumps([
        {
            "targets": [f"127.0.0.1:{nodes_port}"],
            "labels": {"__metrics_path__": f"/node/{n}/metrics", "instance": f"node-{n:03}:10046"},
        }
        for n in range(nodes)
    ]))  # fmt: skip
    rules = ROOT / "deploy/prometheus/rules"
    config = [
        f"global: {{scrape_interval: {SCRAPE_S}s, evaluation_interval: 1m}}",
        f"rule_files: ['{rules}/*.yml']",
        "scrape_configs:",
        f"- {{job_name: submeter, file_sd_configs: [{{files: ['{targets_file}']}}]}}",
    ]
    if victoria_url:
        config.append(f"remote_write: [{{url: '{victoria_url}/api/v1/write'}}]")
    (folder / "prometheus.yml").write_text("\n".join(config))
    port = _port()
    binary = shutil.which("prometheus")
    if binary is None:
        sys.exit("fleet_sizing: no `prometheus` here; apt-get install prometheus")
    popen = stack.enter_context(_started(
        binary, f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-admin-api",
    ))  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    _until_ready(f"{url}/-/ready")
    return url, psutil.Process(popen.pid)


def _prometheus_figures(url: str, folder: Path, process: psutil.Process) -> dict[str, Any]:
    """Sizes come from a snapshot: the head written as a block, as it would be after two hours."""
    resident = process.memory_info().rss
    own = _metrics(url)
    answer = _post(f"{url}/api/v1/admin/tsdb/snapshot")
    blocks = list((folder / "tsdb/snapshots" / answer["data"]["name"]).glob("*/meta.json"))
    stats = [json.loads(path.read_text())["stats"] for path in blocks]
    samples = sum(each["numSamples"] for each in stats)
    chunks = sum(_size(path.parent / "chunks") for path in blocks)
    index = sum((path.parent / "index").stat().st_size for path in blocks)
    sent = own.get("prometheus_remote_storage_samples_total", 0)
    return {
        "series": own["prometheus_tsdb_head_series"],
        "samples": samples,
        "chunk_bytes_per_sample": chunks / samples,
        "index_bytes_per_series": index / sum(each["numSeries"] for each in stats),
        "resident_bytes": resident,
        "sent_bytes_per_sample": sent and own["prometheus_remote_storage_bytes_total"] / sent,
        "rule_seconds": _rule_seconds(url),
        "recorded_series": _count(url, '{__name__=~".+:.+"}'),
        "scraped_per_node": _first(url, "max(scrape_samples_scraped)"),
        "scrape_seconds": _first(url, "quantile(0.5, scrape_duration_seconds)"),
    }


def _victoria_figures(url: str) -> dict[str, Any]:
    for path in ("/internal/force_flush", "/internal/force_merge"):
        with urllib.request.urlopen(url + path, timeout=60):
            pass
    time.sleep(5)
    own = _metrics(url)
    rows = sum(v for k, v in own.items() if k.startswith('vm_rows{type="storage/'))
    data = sum(v for k, v in own.items() if k.startswith('vm_data_size_bytes{type="storage/'))
    index = sum(v for k, v in own.items() if k.startswith('vm_data_size_bytes{type="indexdb'))
    return {
        "samples": rows,
        "bytes_per_sample": data / rows,
        "index_bytes": index,
        "resident_bytes": own["process_resident_memory_bytes"],
        "series": _count(url, '{__name__!=""}'),
    }


def _panels(url: str, span: str) -> list[Timed]:
    return [
        Timed(f"{path.parent.name}/{path.stem}", f"{target.panel}/{target.ref}", *timed)
        for path in DASHBOARDS
        for document in [json.loads(path.read_text(encoding="utf-8"))]
        for target in targets(document)
        for timed in [_time(url, _of_one_node(path, target.expr, document, span), span, target)]
    ]


def _of_one_node(path: Path, expr: str, document: Any, span: str) -> str:
    values = defaults(document)
    if path.stem == "gpu-node":
        values["node"] = "node-007:10046"
    return filled(expr, values, window="1m", span=span)


def _time(url: str, expr: str, span: str, target: Any) -> tuple[float, int]:
    now = time.time()
    seconds = int(span[:-1]) * 60
    step = max(SCRAPE_S, seconds / POINTS)
    what = {"query": expr, "time": now}
    if not target.instant:
        what = {"query": expr, "start": now - seconds, "end": now, "step": step}
    path = "query" if target.instant else "query_range"
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(what)}"
    took = []
    rows = 0
    for _ in range(3):
        began = time.perf_counter()
        rows = len(_get(address)["data"]["result"])
        took.append((time.perf_counter() - began) * 1000)
    return round(median(took), 1), rows


def _rule_seconds(url: str) -> float:
    groups = _get(f"{url}/api/v1/rules")["data"]["groups"]
    return float(sum(group["evaluationTime"] for group in groups))


def _count(url: str, selector: str) -> float:
    return _first(url, f"count({selector})")


def _first(url: str, expr: str) -> float:
    rows = _get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")["data"]["result"]
    return float(rows[0]["value"][1]) if rows else 0.0


def _metrics(url: str) -> dict[str, float]:
    """The server's own metrics; labels are kept only where the server tells kinds of data apart."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    for name, labels, value in re.findall(r"^(\w+)(\{.*\})? (\S+)$", text, re.MULTILINE):
        key = name + labels if name.startswith("vm_") else name
        found[key] = found.get(key, 0) + float(value)
    return found


def _get(address: str) -> Any:
    try:
        with urllib.request.urlopen(address, timeout=120) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise SystemExit(f"fleet_sizing: {address}: {error.read().decode()}") from error


def _post(address: str) -> Any:
    request = urllib.request.Request(address, method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until_ready(address: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"fleet_sizing: nothing answers at {address}")


@contextmanager
def _started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield popen
    finally:
        popen.send_signal(signal.SIGTERM)
        popen.wait(timeout=60)


if __name__ == "__main__":
    main()
