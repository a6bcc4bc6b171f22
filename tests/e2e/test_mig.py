"""The installed agent on a partitioned GPU of the stand-in library: each joule once, always."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = pytest.mark.slow

BOARD = "gpu 0 uuid=GPU-0 arch={arch} idle_mw=70000 context_mw=30000"
LOAD = "load 0 constant mw=300000"


@pytest.fixture
def sleepers() -> Iterator[list[int]]:
    """Real processes for the driver to name."""
    code = "import time; time.sleep(1000)"
    started = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b", "c")]
    yield [process.pid for process in started]
    for process in started:
        process.kill()
        process.wait()


def metric(process: Any, name: str, *labels: str) -> dict[str, Decimal]:
    """Series of that name as {their values of ``labels``: summed value}."""
    found: dict[str, Decimal] = {}
    for line in process.get("/metrics").splitlines():
        if not line.startswith(name + "{"):
            continue
        inside, _, value = line[len(name) + 1 :].rpartition("} ")
        texts = dict(part.partition("=")[::2] for part in inside.split(","))
        key = " ".join(texts[label].strip('"') for label in labels)
        found[key] = found.get(key, Decimal(0)) + Decimal(value)
    return found


def work_by_instance(process: Any) -> dict[str, Decimal]:
    """Joules of work by the instance's label."""
    by = metric(process, "submeter_energy_joules_total", "mig", "component")
    return {key.rpartition(" ")[0]: joules for key, joules in by.items() if key.endswith("dynamic")}


def booked_until(standin: "Standin", process: Any) -> tuple[float, Decimal]:
    """Scripted seconds and joules of the last settlement."""
    (gpu,) = json.loads(process.get("/api/v1/snapshot"))["gpus"]
    return standin.seconds(gpu["settled_boottime_ns"]), Decimal(gpu["joules"])


def adds_up(process: Any) -> bool:
    text = process.get("/metrics")
    page = type("Page", (), {"get": lambda _self, _path: text})()
    total = metric(page, "submeter_gpu_energy_joules_total", "uuid")
    parts = metric(page, "submeter_energy_joules_total", "uuid")
    methods = metric(page, "submeter_attribution_energy_joules_total", "uuid")
    assert total == parts == methods
    return bool(total)


@pytest.mark.fault("F18")
def test_instances_get_what_their_counters_say_and_the_energy_is_counted_once(
    agent: Callable[..., Any],
    standin: "Standin",
    wait_for: Callable[..., Any],
    sleepers: list[int],
) -> None:
    three, one, later = sleepers
    board = BOARD.format(arch="hopper")
    two_instances = [
        board,
        LOAD,
        "mig 0 gi=2 slices=3 memory=40G",
        "mig 0 gi=9 slices=1 memory=10G",
        f"process 0 pid={three} gi=2 ci=0 sm=40 mem=1G",
        f"process 0 pid={one} gi=9 ci=0 sm=80 mem=1G",
    ]
    standin.write(two_instances)
    process = agent(env=standin.env)
    wait_for(lambda: work_by_instance(process).get("1g.10gb/9", 0) > 300, "energy by instance")
    assert adds_up(process)
    begun = booked_until(standin, process)
    work = work_by_instance(process)
    # 3 slices × 40 % against 1 × 80 %: 60 to 40, but for the first second without counters
    share = work["3g.40gb/2"] / (work["3g.40gb/2"] + work["1g.10gb/9"])
    assert abs(share - Decimal("0.6")) < Decimal("0.02")
    methods = metric(process, "submeter_attribution_energy_joules_total", "method")
    assert methods["mig"] > Decimal("0.5") * sum(methods.values())

    # Live: the small instance goes, one of two slices comes under another number.
    standin.write(
        [
            *two_instances[:3],
            "mig 0 gi=5 slices=2 memory=20G",
            two_instances[4],
            f"process 0 pid={later} gi=5 ci=0 sm=60 mem=2G",
        ]
    )
    wait_for(lambda: work_by_instance(process).get("2g.20gb/5", 0) > 300, "the new instance")
    assert adds_up(process)
    gone = work_by_instance(process)["1g.10gb/9"]
    wait_for(lambda: work_by_instance(process)["2g.20gb/5"] > 900, "more of it")
    assert work_by_instance(process)["1g.10gb/9"] - gone < 1  # nobody is there any more

    # Live: whole again; joules so far stay where they are.
    standin.write([board, LOAD, f"process 0 pid={three} sm=90 mem=1G"])
    wait_for(lambda: work_by_instance(process).get("", 0) > 300, "the whole GPU")
    assert adds_up(process)
    (from_s, before), (to_s, after) = begun, booked_until(standin, process)
    true_j = Decimal(standin.truth_uj(0, from_s, to_s)) / 10**6
    # In steps of the counter (100 ms); whether it is counted once or by instance is a factor.
    assert abs((after - before) / true_j - 1) < Decimal("0.03"), "the parent's energy, once"
    assert standin.offences() == {}
    assert process.stop() == 0


@pytest.mark.fault("F18")
def test_without_counters_of_instances_nobody_is_charged_for_being_there(
    agent: Callable[..., Any],
    standin: "Standin",
    wait_for: Callable[..., Any],
    sleepers: list[int],
) -> None:
    standin.write(
        [
            BOARD.format(arch="ga100"),
            LOAD,
            "mig 0 gi=2 slices=3 memory=40G",
            "mig 0 gi=9 slices=1 memory=10G",
            f"process 0 pid={sleepers[0]} gi=2 ci=0 sm=40 mem=1G",
            f"process 0 pid={sleepers[1]} gi=9 ci=0 sm=80 mem=1G",
        ]
    )
    process = agent(env=standin.env)
    by = "submeter_energy_joules_total"
    wait_for(lambda: metric(process, by, "workload").get("(no signal)", 0) > 300, "no signal")
    assert adds_up(process)
    assert process.stop() == 0
