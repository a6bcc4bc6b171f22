"""The agent is restarted and killed under a real Prometheus: counters go on, sums hold."""

import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from submeter.ledger.audit import audit
from submeter.units import UJ_PER_J

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = [pytest.mark.slow, pytest.mark.hostile]

RESTARTS = 20
IDLE_MW = 100_000
GPUS = 2
DOWN = 'workload="(agent down)"'


def _values(text: str, name: str) -> dict[str, Decimal]:
    """Samples of a metric by their labels, exactly as printed."""
    found = {}
    for line in text.splitlines():
        if line.startswith(name + "{"):
            labels, _, value = line[len(name) :].rpartition(" ")
            found[labels] = Decimal(value)
    return found


def _by_gpu(values: dict[str, Decimal], having: str = "") -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for labels, value in values.items():
        gpu = labels.split('gpu="', 1)[1].split('"', 1)[0]
        if having in labels:
            sums[gpu] = sums.get(gpu, Decimal(0)) + value
    return sums


@pytest.mark.fault("F58", "F75")
def test_increase_is_exact_across_twenty_restarts_and_kills(  # noqa: PLR0917
    agent: Callable[..., Any],
    prometheus: Callable[[str], Any],
    standin: "Standin",
    free_port: Callable[[], int],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    standin.write([f"gpu {gpu} idle_mw={IDLE_MW * (gpu + 1)}" for gpu in range(GPUS)])
    port = free_port()
    server = prometheus(f"127.0.0.1:{port}")
    last: dict[str, Decimal] = {}
    total = "submeter_gpu_energy_joules_total"
    for turn in range(RESTARTS + 1):
        process = agent(env=standin.env, port=port)

        def metering(process: Any = process, last: dict[str, Decimal] = last) -> str:
            text: str = process.get("/metrics")
            now = _by_gpu(_values(text, total))
            grown = len(now) == GPUS and all(now[gpu] > last.get(gpu, 0) for gpu in now)
            return text if grown else ""

        text = wait_for(metering, f"energy after restart {turn}")
        parts = _values(text, "submeter_energy_joules_total")
        assert _by_gpu(parts) == _by_gpu(_values(text, total))
        last = _by_gpu(_values(text, total))
        if turn < RESTARTS:
            process.stop(signal.SIGKILL if turn % 2 else signal.SIGTERM)
    down = _by_gpu(_values(text, "submeter_energy_joules_total"), DOWN)
    assert len(down) == GPUS
    assert all(value > 0 for value in down.values())

    query = f"max_over_time({total}[10m]) - min_over_time({total}[10m])"
    time.sleep(1)  # two more scrapes
    gained = {row["metric"]["gpu"]: float(row["value"][1]) for row in server.query(query)}
    for row in server.query(f"resets({total}[10m])"):
        assert row["value"][1] == "0"
    counters = '{__name__=~"submeter_.*_(total|bucket|count|sum)"}'
    names = {row["metric"]["__name__"] for row in server.query(f"group by (__name__) ({counters})")}
    assert {"submeter_samples_total", "submeter_nvml_call_seconds_total"} <= names
    for name in names:
        for row in server.query(f"resets({name}[10m])"):
            assert row["value"][1] == "0", (name, row["metric"])
    # between two scrapes, increase() extrapolates to the ends of its range; without that it is
    # this, and a counter that never fell makes it the difference
    assert gained.keys() == {"0", "1"}
    assert all(joules > 0 for joules in gained.values())
    process.stop()
    found = audit(tmp_path / "state")
    assert not found.problem
    for gpu, energy_uj in enumerate(found.energy_uj.values()):
        # the counter has whole mJ at refreshes of 20 ms, and rose all the time
        seconds = Decimal(energy_uj) / UJ_PER_J / (IDLE_MW * (gpu + 1) // 1_000)
        assert abs(seconds - Decimal(standin.now())) < 20
        assert energy_uj % 1_000 == 0


@pytest.mark.fault("F58")
def test_what_the_counter_gained_is_what_the_ledger_has_after_kills(
    agent: Callable[..., Any],
    standin: "Standin",
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Total = last raw counter − first raw counter, both as the hardware showed them."""
    from submeter.ledger.files import reading
    from submeter.ledger.reader import open_reader
    from submeter.ledger.states import parse_state

    standin.write([f"gpu {gpu} idle_mw={IDLE_MW * (gpu + 1)}" for gpu in range(GPUS)])
    state = tmp_path / "state"
    firsts: dict[int, int] = {}
    for turn in range(10):
        process = agent("--set", "settle.interval_s=0.2", env=standin.env)
        wait_for(lambda: (state / "ledger.db").exists(), "a ledger")
        time.sleep(0.4 + 0.11 * turn)  # somewhere in its life
        process.stop(signal.SIGKILL)
        with open_reader(state) as reader:
            totals = {total.gpu.position: total for total in reader.totals()}
        raw = {}
        with reading(state) as connection:
            for gpu, text in connection.execute("SELECT gpu, state FROM open"):
                meter = parse_state(text)
                assert meter is not None
                assert meter.counter is not None
                raw[gpu - 1] = meter.counter.raw_uj
        for gpu, total in totals.items():
            first_uj = firsts.setdefault(gpu, raw[gpu] - total.energy_uj)
            assert total.energy_uj == raw[gpu] - first_uj
    assert len(firsts) == GPUS
    assert not audit(state).problem
