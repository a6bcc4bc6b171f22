"""The live page of a running agent in a real Chromium: its numbers, its updates, its safety."""

import json
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from browser import Tab
from prometheus_client.parser import text_string_to_metric_families

from submeter.web.desk import Limits

HOSTILE = "<img src=x onerror=document.title='owned'>"
SCENARIO = f"""
[[gpu]]
model = "H100"
count = 2
[[process]]
name = "x"
gpu = 0
pid = 4100
argv = ["python", "train.py"]
user = '''{HOSTILE}'''
character = "tensor"
[[process]]
name = "y"
gpu = 0
pid = 4200
argv = ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"]
user = "bob"
utilisation = 0.4
character = "light"
"""
READY = "document.querySelectorAll('#past-table tbody tr').length > 0"
TIME = "document.querySelector('time').textContent"


class Process(Protocol):
    url: str

    def stop(self, number: int = signal.SIGTERM) -> int: ...


@pytest.fixture
def started(agent: Callable[..., Process], tmp_path: Path) -> Callable[..., Process]:
    """Starts an agent on a small simulated node."""
    scenario = tmp_path / "s.toml"
    scenario.write_text(SCENARIO)
    arguments = ("--backend", "mock", "--scenario", str(scenario))
    factors = ("--set", "footprint.carbon_g_per_kwh=302", "--set", "footprint.price=0.28")
    return lambda port=0: agent(*arguments, *factors, port=port)


def opened(tab: Tab, url: str, width: int = 1280) -> None:
    tab.look(width, 2_400)
    tab.call("Page.navigate", url=f"{url}/")
    tab.wait("document.querySelectorAll('.card.gpu').length === 2")
    tab.wait(READY)


def test_the_page_lives(started: Callable[..., Process], tab: Tab) -> None:
    url = started().url
    opened(tab, url)
    # figures are renewed, and what is open stays open
    tab.value("document.querySelector('#gpu0 details').open = true")
    tab.value(f"window.before = {TIME}")
    tab.wait(f"{TIME} !== window.before")
    assert tab.value("document.querySelector('#gpu0 details').open")
    # power is drawn as it comes
    strokes = (
        "(() => { const c = document.querySelector('#gpu0 canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let n = 0; "
        "for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 120 && d[i] < 80 && d[i + 3] > 200) "
        "n += 1; return n; })()"
    )
    tab.wait(f"{strokes} > 5")
    tab.value(f"window.drawn = {strokes}")
    tab.wait(f"{strokes} > window.drawn")
    # a hostile name is text, and nothing left this machine
    assert HOSTILE in tab.value("document.querySelector('#gpu0').textContent")
    assert "owned" not in tab.value("document.title")
    sent = [each for each in tab.events if each["method"] == "Network.requestWillBeSent"]
    asked = {each["params"]["request"]["url"] for each in sent}
    assert {f"{url}/", f"{url}/events?form=page"} < asked
    assert f"{url}/live" not in asked  # it comes as events
    assert all(each.startswith(f"{url}/") for each in asked)


def test_the_numbers_are_those_of_metrics(started: Callable[..., Process], tab: Tab) -> None:
    """Of one and the same snapshot: what stands on the page, and what a scrape gets."""
    url = started().url
    for _ in range(20):
        opened(tab, url)  # anew each time: a stream keeps its distance from the settlements
        found = tab.value(_SAME_SNAPSHOT)
        if found["sequence"] == found["sequence_after"]:
            break
    assert found["sequence"] == found["sequence_after"]
    page, metrics = found["page"], metrics_of(found["metrics"])
    energy: dict[Any, Decimal] = defaultdict(Decimal)
    for labels, joules in metrics["submeter_energy_joules_total"]:
        energy["phase", labels["phase"]] += joules
        energy["gpu", labels["gpu"], labels["phase"]] += joules
    totals = {each["gpu"]: joules for each, joules in metrics["submeter_gpu_energy_joules_total"]}
    powers = {each["gpu"]: watts for each, watts in metrics["submeter_gpu_power_watts"]}
    carbon = sum(grams for _, grams in metrics["submeter_carbon_grams_total"])
    cost = sum(paid for _, paid in metrics["submeter_cost_total"])
    # of this node: the ledger began today, so since midnight is since it began
    assert exact(page["today"]) == [sum(totals.values()), carbon * 10**6, cost * 10**6]
    assert exact(page["drawing"]) == [sum(powers.values())]
    shown = [joules for key, joules in sorted(energy.items()) if key[0] == "phase" and joules]
    assert sorted(exact(page["phases"])) == sorted([*shown, sum(totals.values())])
    # of each GPU
    for gpu in ("0", "1"):
        card = page["gpus"][gpu]
        assert exact(card["power"]) == [powers[gpu]]
        assert exact(card["energy"])[0] == totals[gpu]
        parts = [each for key, each in energy.items() if key[:2] == ("gpu", gpu) and each]
        assert sorted(exact(card["energy"])[1 : len(parts) + 2]) == sorted([*parts, totals[gpu]])
    assert len(page["gpus"]["0"]["processes"]) == 2


_SAME_SNAPSHOT = """
(async () => {
  const sequence = () => document.querySelector("header").dataset.sequence;
  const before = sequence();
  while (sequence() === before) await new Promise((done) => setTimeout(done, 5));
  const values = (place) => [...document.querySelectorAll(`${place} data`)].map((e) => e.value);
  const gpus = {};
  for (const gpu of ["0", "1"]) {
    gpus[gpu] = {
      power: values(`#gpu${gpu} .power`),
      energy: values(`#gpu${gpu} details`),
      processes: values(`#gpu${gpu} .watts`),
    };
  }
  const page = {
    drawing: values("#node .tiles"), today: values("#day > .tiles"),
    phases: values("#day > .legend"), gpus,
  };
  const found = { sequence: sequence(), page };
  found.metrics = await (await fetch("/metrics")).text();
  const after = await (await fetch("/api/v1/snapshot")).json();
  return { ...found, sequence_after: String(after.sequence) };
})()
"""


def exact(values: list[str]) -> list[Decimal]:
    return [Decimal(value) for value in values]


def metrics_of(text: str) -> dict[str, list[tuple[dict[str, str], Decimal]]]:
    """By name: labels and value, exactly as it is written."""
    written = {
        line.rpartition(" ")[0]: line.rpartition(" ")[2]
        for line in text.splitlines()
        if line and line[0] != "#"
    }
    values = iter(written.values())
    found: dict[str, list[tuple[dict[str, str], Decimal]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append((sample.labels, Decimal(next(values))))
    return found


def test_the_past_adds_up_and_another_range_is_asked_for(
    started: Callable[..., Process], tab: Tab
) -> None:
    url = started().url
    opened(tab, url)
    for by in ("phase", "workload"):
        tab.value(f"document.querySelector('[value={by}]').click()")
        tab.wait(f"document.querySelector('#past-table table')?.ariaLabel === 'Energy by {by}'")
        parts, total = tab.value(
            "(() => { const row = (each) => [each.cells[1].querySelector('data').value, "
            "parseFloat(each.cells[1].textContent.replace(/,/g, ''))]; return ["
            "[...document.querySelectorAll('#past-table tbody tr')].map(row), "
            "row(document.querySelector('#past-table tfoot tr'))]; })()"
        )
        assert sum(Decimal(part[0]) for part in parts) == Decimal(total[0])
        assert round(sum(part[1] for part in parts), 3) == total[1]
    tab.value("document.querySelector('[value=today]').click()")
    tab.until(lambda event: "range=today" in json.dumps(event.get("params", "")))


def test_a_restarted_agent_is_found_again(
    started: Callable[..., Process], tab: Tab, wait_for: Callable[..., Any]
) -> None:
    first = started()
    opened(tab, first.url)
    assert tab.value("document.getElementById('lost').hidden")
    first.stop(signal.SIGKILL)
    tab.wait("!document.getElementById('lost').hidden")
    tab.value(f"window.before = {TIME}")
    tab.value("document.querySelector('#gpu0 details').open = true")
    started(port=int(first.url.rpartition(":")[2]))
    tab.wait("document.getElementById('lost').hidden")
    tab.wait(f"{TIME} > window.before")
    assert tab.value("document.querySelector('#gpu0 details').open")  # it was not loaded anew
    tab.until(
        lambda event: (
            event["method"] == "Network.responseReceived"
            and event["params"]["response"]["status"] == 200
            and "events" in event["params"]["response"]["url"]
        )
    )


def test_what_is_injected_does_not_run(started: Callable[..., Process], tab: Tab) -> None:
    """Should a name become markup all the same one day, the browser would refuse it."""
    opened(tab, started().url)
    refused = tab.value(
        "(async () => { const refused = []; document.addEventListener('securitypolicyviolation', "
        "(e) => refused.push(e.effectiveDirective)); const put = (name, set) => { "
        "const e = document.createElement(name); Object.assign(e, set); document.body.append(e); };"
        "put('script', { textContent: 'window.ran = 1' });"
        "put('script', { src: 'https://example.com/x.js' });"
        "put('img', { src: 'https://example.com/x.png' });"
        "put('style', { textContent: 'body { display: none }' });"
        "put('iframe', { src: 'https://example.com/' });"
        "put('div', { innerHTML: '<b onclick=\"window.ran = 1\">x</b>' });"
        "document.querySelector('b[onclick]').click();"
        "await fetch('https://example.com/').catch(() => 0);"
        "await new Promise((done) => setTimeout(done, 300));"
        "return [window.ran ?? 0, refused]; })()"
    )
    assert refused[0] == 0
    wanted = {"script-src-elem", "script-src-attr", "img-src", "style-src-elem", "connect-src"}
    assert wanted <= set(refused[1])


def test_a_page_that_nobody_sees_asks_for_nothing(
    started: Callable[..., Process], tab: Tab
) -> None:
    opened(tab, started().url)
    hide = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }}); "
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    tab.value(hide.format("true"))
    tab.value("performance.clearResourceTimings()")
    asked = "performance.getEntriesByType('resource').length"
    tab.value("new Promise((done) => setTimeout(done, 4500))")  # two periods of the page
    assert tab.value(asked) == 0
    tab.value(hide.format("false"))
    tab.wait(f"{asked} > 0")


def test_a_page_without_a_stream_says_so_and_tries_again(
    started: Callable[..., Process], tab: Tab
) -> None:
    """Somebody holds all the places there are for those who follow."""
    url = started().url
    place = urlsplit(url)
    with ExitStack() as stack:
        for _ in range(Limits().streams):
            sock = stack.enter_context(socket.create_connection((place.hostname, place.port)))
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in sock.recv(4096)
        opened(tab, url)
        tab.wait("!document.getElementById('refused').hidden")
        tab.value(f"window.before = {TIME}")
        tab.wait(f"{TIME} > window.before")  # what it shows is renewed all the same
        assert tab.value("document.getElementById('lost').hidden")
        assert not tab.value("document.getElementById('refused').hidden")
    tab.wait("document.getElementById('refused').hidden")
    tab.until(
        lambda event: (
            event["method"] == "Network.eventSourceMessageReceived"
            and event["params"]["eventName"] == "power"
        )
    )


def test_a_replayed_node_says_so_and_when_it_is_over(
    agent: Callable[..., Process], tab: Tab, tmp_path: Path
) -> None:
    scenario, trace = tmp_path / "s.toml", tmp_path / "node.trace.gz"
    scenario.write_text(SCENARIO)
    command = [sys.executable, "-m", "submeter", "record", str(trace), "--duration", "6"]
    simulated = ("--backend", "mock", "--scenario", str(scenario))
    subprocess.run([*command, *simulated], check=True, capture_output=True)
    replayed = agent("--backend", "replay", "--trace", str(trace))
    opened(tab, replayed.url)
    loud = "document.querySelector('.notice').textContent"
    assert tab.value(loud).startswith("REPLAYED: a recording, not this node: node.trace.gz, from")
    assert "SIMULATED" in tab.value(loud)  # so was what was recorded
    tab.wait(f"{loud}.startsWith('REPLAYED TO ITS END')")
    # who it was is known as it was then
    by = "[...document.querySelectorAll('#day > .legend li')].map((each) => each.textContent)"
    shown = " ".join(tab.value(by))
    assert "training" in shown
    assert "inference" in shown
