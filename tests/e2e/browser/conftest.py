"""The live page for a real Chromium: of a running agent, or of a state that never changes."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from math import sin
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser, Tab, browser

from submeter.exporting import load
from submeter.model import Phase, Reading, Snapshot
from submeter.testing.snapshots import GPU_0, GPU_1, WALL_NS, empty, node
from submeter.units import NS_PER_S, decimal
from submeter.web.app import routes
from submeter.web.broadcast import Broadcast
from submeter.web.http import Request, Response
from submeter.web.midnight import Before, Day, since
from submeter.web.server import Server

HERE = Path(__file__).parent
POWERS_MW = (612_256, 71_900)
MINUTE_S = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser there is nothing to drive."""
    skip = pytest.mark.skip(reason="no Chromium here (Debian: apt-get install chromium)")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            if CHROMIUM is None:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    with browser() as running:
        yield running


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """A new page in it, in UTC."""
    opened = chromium.tab()
    opened.call("Emulation.setTimezoneOverride", timezoneId="UTC")
    opened.call("Network.enable")
    yield opened
    opened.call("Page.close")
    opened.close()


@pytest.fixture(scope="module")
def utc() -> Iterator[None]:
    """This process is in UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture(scope="module")
def still(utc: None) -> Iterator[Callable[[str], str]]:
    """The address of a page whose figures never change: of one of `STATES`."""
    with ExitStack() as stack:
        urls: dict[str, str] = {}

        def of(name: str) -> str:
            if name not in urls:
                urls[name] = _serve(stack, STATES[name]())
            return urls[name]

        yield of


def two() -> Snapshot:
    """A shared GPU, and one that its holder lets idle."""
    simulated = node(notice="SIMULATED: every number here is made up; no GPU is being measured.")
    shared, free = simulated.gpus
    steady = replace(
        shared, processes=tuple(replace(each, power_mw=300_000) for each in shared.processes)
    )
    return replace(simulated, gpus=(steady, replace(free, processes=shared.processes[:1])))


def sixty_four() -> Snapshot:
    """The same 32 times."""
    whole = two()
    gpus = tuple(
        replace(
            whole.gpus[at % 2],
            info=replace(whole.gpus[at % 2].info, index=at, uuid=f"GPU-{at}"),
        )
        for at in range(64)
    )
    copies = {GPU_0: range(0, 64, 2), GPU_1: range(1, 64, 2)}
    return replace(
        whole,
        gpus=gpus,
        energy_uj={
            account._replace(gpu_uuid=f"GPU-{at}"): energy_uj
            for account, energy_uj in whole.energy_uj.items()
            for at in copies[account.gpu_uuid]
        },
        power_mw={
            account._replace(gpu_uuid=f"GPU-{at}"): value_mw
            for account, value_mw in whole.power_mw.items()
            for at in copies[account.gpu_uuid]
        },
    )


def blind() -> Snapshot:
    """GPUs that can't be read."""
    before = node()
    lost = [
        replace(
            *(gpu,),
            up=False,
            down_reason="gpu_is_lost",
            **dict.fromkeys(("reading", "activity", "gauges", "peaks")),
            processes=(),
        )
        for gpu in before.gpus
    ]
    return replace(before, gpus=tuple(lost), power_mw={}, components_up={"nvml": False})


STATES: dict[str, Callable[[], Snapshot]] = {
    "two": two,
    "sixty-four": sixty_four,
    "blind": blind,
    "none": empty,
}


def _serve(stack: ExitStack, snapshot: Snapshot) -> str:
    hub = Broadcast()
    ended = threading.Event()
    table = routes(
        lambda: snapshot,
        [load("prometheus", {})],
        hub,
        lambda: "",
        _past,
        day=lambda _: _day(snapshot),
        host="node-07",
    )
    server = Server(table, "127.0.0.1", 0)
    url = server.bind()
    threads = [
        threading.Thread(target=server.run),
        threading.Thread(target=_draw, args=(hub, snapshot, ended)),
    ]
    for thread in threads:
        thread.start()

    def end() -> None:
        ended.set()
        server.stop()
        for thread in threads:
            thread.join()

    stack.callback(end)
    return url


def _day(snapshot: Snapshot) -> Day | None:
    if not snapshot.gpus:
        return None
    before = {(gpu.info.uuid, Phase.IDLE): 0 for gpu in snapshot.gpus}
    midnight_s = WALL_NS // NS_PER_S
    return since(snapshot, Before(midnight_s, before, {}), is_whole=True)


def _draw(hub: Broadcast, snapshot: Snapshot, ended: threading.Event) -> None:
    """Sensors that always say the same: a picture of them never changes."""
    uuids = [gpu.info.uuid for gpu in snapshot.gpus if gpu.up]
    powers = {uuid: POWERS_MW[at % 2] for at, uuid in enumerate(uuids)}
    now_ns = remembered_ns = time.monotonic_ns()
    for ago_s in range(2 * MINUTE_S, 0, -1):
        hub.remember(now_ns - ago_s * NS_PER_S, powers)
    while not ended.wait(0.1):
        now_ns = time.monotonic_ns()
        if now_ns - remembered_ns > NS_PER_S:
            remembered_ns = now_ns
            hub.remember(now_ns, powers)
        for uuid, power_mw in powers.items():
            hub.publish(uuid, Reading(now_ns, None, None, power_mw, None, None, None))


def _past(_request: Request) -> Response:
    """An hour: a server whose load swings beside a trainer, and a minute without the agent."""
    count, step_s = 60, 60
    shares: dict[tuple[str, str], list[int]] = {
        ("training", "llama-finetune"): [24_000 + 200 * (at % 7) for at in range(count)],
        ("inference", "vllm"): [round(9_000 * (1 + sin(at / 6))) for at in range(count)],
        ("idle", ""): [4_300] * count,
        ("unattributed", "(agent down)"): [30_000 if at == 40 else 0 for at in range(count)],
    }
    series = [
        {
            "phase": phase,
            "workload": workload,
            "joules": str(sum(steps)),
            "joules_by_step": [str(each) for each in steps],
            "open_joules": str(sum(steps) // 50) if phase in {"training", "inference"} else "0",
        }
        for (phase, workload), steps in shares.items()
    ]
    total = sum(sum(steps) for steps in shares.values())
    content: dict[str, Any] = {
        "schema": 1,
        "range": "1h",
        "backend": "mock",
        "since_s": WALL_NS // NS_PER_S - count * step_s,
        "until_s": WALL_NS // NS_PER_S,
        "step_s": step_s,
        "gpus": 2,
        "joules": decimal(total * 10**6, 6),
        "metered_gpu_s": [2.0 * step_s] * count,
        "accounted_s": [float(step_s)] * count,
        "metered_s": [float(step_s)] * count,
        "joules_by_method": {"weighted": str(total // 2), "exclusive": str(total - total // 2)},
        "open_joules_by_phase": {"training": "40000", "inference": "40000"},
        "series": series,
    }
    return Response(json.dumps(content).encode(), "application/json")
