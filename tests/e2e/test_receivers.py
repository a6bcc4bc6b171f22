"""Every receiver got the ledger's integers of one settled moment: engines that scrape, engines that
are written to, and files; each of them a real program or library, started here.

The moments come from exporter `jsonl`, which writes each one down as integers.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from submeter.ledger.reader import open_reader

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy" / "fleet"
LABELS = (
    "uuid", "mig", "component", "phase", "workload", "user", "namespace", "pod", "container", "job",
)  # fmt: skip
QUERY = '{__name__=~"submeter_energy_joules_total|submeter_snapshot_timestamp_seconds"}'
Key = tuple[str, ...]
Moments = dict[int, dict[Key, int]]


def moments(path: Path) -> Moments:
    """By wall time in ns: µJ by account, all of them, as the file says them."""
    found: Moments = {}
    current: dict[Key, int] = {}
    for line in path.read_text().splitlines():
        content = json.loads(line)
        if content["type"] == "energy":
            current[tuple(content[label] for label in LABELS)] = content["energy_uj"]
        found[content["wall_ns"]] = dict(current)
    return found


def text_moment(text: str) -> tuple[int, dict[Key, int]]:
    """The same of an exposition, digit by digit."""
    energies: dict[Key, int] = {}
    wall_ns = 0
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if name == "submeter_energy_joules_total":
            labels, _, value = rest.rpartition("} ")
            pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            energies[tuple(pairs[label] for label in LABELS)] = int(Decimal(value) * 1_000_000)
        elif line.startswith("submeter_snapshot_timestamp_seconds "):
            wall_ns = int(Decimal(line.split(" ")[1]) * 1_000_000_000)
    return wall_ns, energies


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A configuration with all exporters that write files."""
    out = tmp_path / "out"
    out.mkdir()
    config = tmp_path / "submeter.toml"
    config.write_text(f"""
        [exporters.jsonl]
        path = "{out}/submeter.jsonl"
        interval_s = 0.2
        [exporters.textfile]
        directory = "{out}"
        interval_s = 1
        keep = true
        [exporters.codecarbon]
        path = "{out}/emissions.csv"
        interval_s = 1
        [exporters.parquet]
        directory = "{out}"
        interval_s = 1
        [exporters.dcgm]
        by_pod = true
    """)
    return config


def test_files_have_the_last_settled_moment_and_the_ledger_has_it_too(
    agent: Callable[..., Any], wait_for: Callable[..., Any], configured: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = agent("--backend", "mock", "--config", str(configured))
    wait_for(lambda: len(moments(out / "submeter.jsonl")) > 4, "some moments")
    scraped = process.get("/metrics")
    up = re.findall(r'submeter_exporter_up\{exporter="(\w+)"\} 1', scraped)
    assert set(up) == {"codecarbon", "dcgm", "jsonl", "parquet", "prometheus", "textfile"}
    assert process.stop() == 0

    known = moments(out / "submeter.jsonl")
    wall_ns, energies = text_moment(scraped)
    assert known[wall_ns] == energies
    last_ns = max(known)
    last = known[last_ns]
    assert text_moment((out / "submeter.prom").read_text()) == (last_ns, last)

    rows = [
        row for path in out.glob("energy-*.parquet") for row in parquet.read_table(path).to_pylist()
    ]
    for at_ns in {row["wall_ns"] for row in rows}:
        of_moment = {
            tuple(row[label] for label in LABELS): row["energy_uj"]
            for row in rows
            if row["wall_ns"] == at_ns
        }
        assert of_moment == known[at_ns]
    assert max(row["wall_ns"] for row in rows) == last_ns
    assert (
        sum(parquet.read_metadata(path).num_rows for path in out.glob("readings-*.parquet")) > 100
    )

    with (out / "emissions.csv").open(newline="") as file:
        kwh = {
            (row["project_name"], row["experiment_id"]): Decimal(row["gpu_energy"])
            for row in csv.DictReader(file)
        }
    by_project: dict[tuple[str, str], int] = {}
    for key, energy_uj in last.items():
        phase, workload = key[3], key[4]
        project = (workload or phase, phase)
        by_project[project] = by_project.get(project, 0) + energy_uj
    assert {key: round(value * 3_600_000_000_000) for key, value in kwh.items()} == by_project

    with open_reader(tmp_path / "state") as reader:
        booked = {total.gpu.uuid: total.energy_uj for total in reader.totals()}
    for uuid, total_uj in booked.items():  # nobody has a joule that the ledger hasn't
        assert 0 < sum(part for key, part in last.items() if key[0] == uuid) <= total_uj


def _binary(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"no `{names[0]}` here; apt-get install victoria-metrics prometheus")


@pytest.fixture
def started(
    tmp_path: Path, free_port: Callable[[], int], wait_for: Callable[..., Any]
) -> Iterator[Callable[..., str]]:
    """Starts a program with a port of its own; gives its address."""
    with ExitStack() as stack:

        def start(command: Callable[[str, Path], list[str]], ready: str) -> str:
            address = f"127.0.0.1:{free_port()}"
            folder = tmp_path / f"data-{address[10:]}"
            folder.mkdir()
            log = stack.enter_context((folder / "log").open("wb"))
            popen = subprocess.Popen(command(address, folder), stdout=log, stderr=log, cwd=folder)

            def end() -> None:
                popen.send_signal(signal.SIGTERM)
                popen.wait(30)

            stack.callback(end)
            wait_for(lambda: _get(f"http://{address}{ready}") is not None, command.__name__)
            return f"http://{address}"

        yield start


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


def _scraping(template: str, target: str, folder: Path, write_to: str = "") -> Path:
    """A configuration of ours, as it is but for its targets, its interval and where it writes."""
    content = yaml.safe_load((DEPLOY / template).read_text())
    content["global"]["scrape_interval"] = "500ms"
    (scrape,) = content["scrape_configs"]
    del scrape["file_sd_configs"]
    scrape["static_configs"] = [{"targets": [target]}]
    for each in content.get("remote_write", ()):
        each.pop("basic_auth", None)
        each["url"] = write_to
    path = folder / template
    path.write_text(yaml.safe_dump(content))
    return path


def _victoria(address: str, folder: Path) -> list[str]:
    binary = _binary("victoria-metrics")
    return [binary, f"-httpListenAddr={address}", f"-storageDataPath={folder}/vm",
            "-search.latencyOffset=0s", "-retentionPeriod=1"]  # fmt: skip


def _has_a_moment(server: str, path: Path) -> bool:
    """Whether the server's newest values are, all of them, those of one moment."""
    answer = json.loads(_get(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': QUERY})}"))
    values: dict[Key, float] = {}
    stamp = 0.0
    for row in answer["data"]["result"]:
        labels, value = row["metric"], float(row["value"][1])
        if labels["__name__"] == "submeter_snapshot_timestamp_seconds":
            stamp = value
        else:
            # "job" is the scrape's own: ours is exported_job then.
            labels["job"] = labels.get("exported_job", "")
            values[tuple(labels.get(label, "") for label in LABELS)] = value
    for wall_ns, energies in moments(path).items():
        if abs(wall_ns / 1e9 - stamp) < 1e-3:
            exact = {key: energy_uj / 1_000_000 for key, energy_uj in energies.items()}
            return bool(exact) and values == exact
    return False


@pytest.mark.parametrize("way", ["prometheus", "victoria", "prometheus-agent", "vmagent"])
def test_engines_have_every_integer_of_one_moment(
    way: str,
    agent: Callable[..., Any],
    wait_for: Callable[..., Any],
    started: Callable[..., str],
    configured: Path,
) -> None:
    if way == "prometheus" and os.environ.get("CI"):
        assert shutil.which("prometheus")
    process = agent("--backend", "mock", "--config", str(configured))
    target = process.url.removeprefix("http://")

    def prometheus(address: str, folder: Path) -> list[str]:
        config = _scraping("vmagent.yml", target, folder)
        return [_binary("prometheus"), f"--config.file={config}", f"--web.listen-address={address}",
                f"--storage.tsdb.path={folder}/tsdb"]  # fmt: skip

    def victoria(address: str, folder: Path) -> list[str]:
        config = _scraping("vmagent.yml", target, folder)
        return [*_victoria(address, folder), f"-promscrape.config={config}"]

    def prometheus_agent(address: str, folder: Path) -> list[str]:
        config = _scraping("prometheus-agent.yml", target, folder, f"{server}/api/v1/write")
        return [_binary("prometheus"), "--enable-feature=agent", f"--config.file={config}",
                f"--web.listen-address={address}",
                f"--storage.agent.path={folder}/wal"]  # fmt: skip

    def vmagent(address: str, folder: Path) -> list[str]:
        config = _scraping("vmagent.yml", target, folder)
        return [_binary("vmagent"), f"-promscrape.config={config}", f"-httpListenAddr={address}",
                f"-remoteWrite.tmpDataPath={folder}/queue", "-remoteWrite.flushInterval=200ms",
                f"-remoteWrite.url={server}/api/v1/write"]  # fmt: skip

    if way == "prometheus":
        server = started(prometheus, "/-/ready")
    elif way == "victoria":
        server = started(victoria, "/health")
    else:
        server = started(_victoria, "/health")
        shippers = {
            "prometheus-agent": (prometheus_agent, "/-/ready"),
            "vmagent": (vmagent, "/health"),
        }
        started(*shippers[way])
    wait_for(
        lambda: _has_a_moment(server, configured.parent / "out" / "submeter.jsonl"),
        f"a whole moment, exactly, by way of {way}",
    )
