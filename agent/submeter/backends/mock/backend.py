"""The simulated node: a scenario and a clock in, devices and the truth about them out.

The scenario begins when the backend is first opened. From then on everything is a function of the
scenario, its seed and boot time.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from submeter.backends import Device, Tally
from submeter.backends.mock.board import Board
from submeter.backends.mock.device import Instruments, MockDevice, describe
from submeter.backends.mock.faults import Faults, loses_board
from submeter.backends.mock.plan import BoardPlan, Scenario, SensorPlan
from submeter.backends.mock.processes import MockProcesses
from submeter.backends.mock.ring import Ring
from submeter.backends.mock.sensors import Sensors, marks_ns
from submeter.backends.mock.slots import Slot
from submeter.backends.turns import Poll, one_by_one
from submeter.clock import Clock
from submeter.errors import DeviceLost, DriverUnavailable
from submeter.model import EnergySource, Missing
from submeter.units import PJ_PER_UJ

NOTICE: Final = (
    "SIMULATED: every number here is made up by the mock backend; no GPU is being measured."
)


class MockBackend:
    """Simulated boards. Their state outlives `close` and `open`, as that of real ones does."""

    name = "mock"
    notice = NOTICE

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.scenario = scenario
        self.processes = MockProcesses(scenario, clock)
        self._clock = clock
        self._origin_ns: int | None = None
        self._uuids = [board_uuid(scenario.seed, gpu) for gpu in range(len(scenario.boards))]
        self._instruments = [
            _instruments(scenario, gpu, board) for gpu, board in enumerate(scenario.boards)
        ]
        self._open: list[MockDevice] = []

    def open(self) -> Sequence[MockDevice]:
        """Every board that is there now. Raises DriverUnavailable where a fault says so."""
        self.close()
        if self._origin_ns is None:
            self._origin_ns = self._clock.boottime_ns()
            self.processes.begin(self._origin_ns)
        lost = self._lost(self._origin_ns)
        self._open = [
            self._device(gpu, self._origin_ns) for gpu in range(len(self._uuids)) if gpu not in lost
        ]
        if not self._open:
            raise DriverUnavailable("no_gpu", "simulated: no GPU is there")
        return tuple(self._open)

    def rescan(self) -> Sequence[MockDevice]:
        """Boards that were gone at `open` and aren't now."""
        if self._origin_ns is None:
            return ()
        known = {device.info.uuid for device in self._open}
        lost = self._lost(self._origin_ns)
        return [
            self.reopen(uuid)
            for gpu, uuid in enumerate(self._uuids)
            if uuid not in known and gpu not in lost
        ]

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        """One after the other: asking costs nothing here."""
        return one_by_one(devices)

    def reopen(self, uuid: str) -> MockDevice:
        """A GPU that was lost, found again. Raises DeviceLost while it is still gone."""
        if self._origin_ns is None or uuid not in self._uuids:
            raise DeviceLost("gpu_not_found", f"simulated: there is no GPU {uuid}")
        gpu = self._uuids.index(uuid)
        if gpu in self._lost(self._origin_ns):
            raise DeviceLost("gpu_is_lost", f"simulated: GPU {gpu} is still gone")
        for old in self._open:
            old.faults.closed |= old.info.uuid == uuid
        device = self._device(gpu, self._origin_ns)
        self._open = [old for old in self._open if not old.faults.closed] + [device]
        return device

    def close(self) -> None:
        """Devices given out before are of no use any more; calls that hang come back."""
        for device in self._open:
            device.faults.closed = True
        self._open = []

    def truth(self) -> dict[str, object]:
        """What every process truly used up to now, in integer µJ, to be written as JSON.

        ``energy_uj`` of a GPU is exactly ``idle_uj`` + ``context_uj`` + Σ ``dynamic_uj`` of its
        processes; ``context_uj`` is exactly the sum of the processes' equal parts of it, and
        ``idle_uj`` that of theirs and ``idle_unheld_uj``. No sensor's gain, offset or noise is in
        it. (A part is rounded down to whole µJ, so the sum may lack that much.)
        """
        now_ns = self._clock.boottime_ns()
        elapsed_ns = now_ns - (self._origin_ns if self._origin_ns is not None else now_ns)
        return {
            "schema": 1,
            "seed": self.scenario.seed,
            "boottime_ns": now_ns,
            "elapsed_ns": elapsed_ns,
            "gpus": {
                self._uuids[gpu]: self._board_truth(gpu, instruments.board, elapsed_ns)
                for gpu, instruments in enumerate(self._instruments)
            },
        }

    def _lost(self, origin_ns: int) -> set[int]:
        """GPUs that can't be found now. Raises DriverUnavailable where none can be asked for."""
        now_ns = self._clock.boottime_ns() - origin_ns
        active = [fault for fault in self.scenario.faults if fault.active(now_ns)]
        for fault in active:
            if fault.kind == "driver_unavailable":
                raise DriverUnavailable(fault.reason, f"simulated: {fault.reason}")
        return {gpu for fault in active if loses_board(fault) for gpu in fault.gpus}

    def _device(self, gpu: int, origin_ns: int) -> MockDevice:
        instruments = self._instruments[gpu]
        plan = instruments.board.plan
        source, missing = capabilities(plan)
        faults = Faults(self.scenario.faults, gpu, self._clock, origin_ns, Tally())
        info = describe(instruments.board, gpu, self._uuids[gpu], source, missing)
        return MockDevice(info, instruments, faults, self._clock, origin_ns)

    def _board_truth(self, gpu: int, board: Board, elapsed_ns: int) -> dict[str, object]:
        with board.lock:
            board.advance(elapsed_ns)
            slots = board.gone + board.slots
            rows = {self._label(slot): self._slot_truth(board, slot, elapsed_ns) for slot in slots}
            unheld_uj = board.unheld_pj(elapsed_ns) // PJ_PER_UJ
        used = [row[1] for row in rows.values()]
        dynamic_uj = sum(each["dynamic_uj"] for each in used)
        context_uj = sum(each["context_uj"] for each in used)
        idle_uj = unheld_uj + sum(each["idle_uj"] for each in used)
        return {
            "index": gpu,
            "energy_uj": dynamic_uj + context_uj + idle_uj,
            "dynamic_uj": dynamic_uj,
            "context_uj": context_uj,
            "idle_uj": idle_uj,
            "idle_unheld_uj": unheld_uj,
            "processes": {label: {**who, **row} for label, (who, row) in rows.items()},
        }

    def _slot_truth(
        self, board: Board, slot: Slot, elapsed_ns: int
    ) -> tuple[dict[str, object], dict[str, int]]:
        used = board.used(slot, elapsed_ns)
        instance = slot.instance
        who: dict[str, object] = {
            "pid": slot.life.pid,
            "start_ticks": self.processes.key(slot.life).start_ticks,
            "workload": slot.plan.name,
            "mig": "" if instance is None else instance.label,
        }
        return who, {
            "dynamic_uj": used.dynamic_pj // PJ_PER_UJ,
            "context_uj": used.context_pj // PJ_PER_UJ,
            "idle_uj": used.idle_pj // PJ_PER_UJ,
            "sm_ns": used.sm_ns,
        }

    def _label(self, slot: Slot) -> str:
        return f"{slot.life.pid}/{self.processes.key(slot.life).start_ticks}"


def board_uuid(seed: int, gpu: int) -> str:
    """The UUID of a scenario's n-th board; the same in every run."""
    return f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'submeter-mock/{seed}/gpu/{gpu}')}"


def capabilities(plan: BoardPlan) -> tuple[EnergySource, Sequence[Missing]]:
    """The best energy source of a board, and what it lacks."""
    sensors: SensorPlan = plan.sensors
    sources = (
        (sensors.counter, EnergySource.COUNTER, "energy counter"),
        (bool(sensors.average_ns), EnergySource.AVERAGE, "average power"),
        (sensors.instant, EnergySource.INSTANT, "instantaneous power"),
    )
    missing = [Missing(name, "not in this scenario's board") for has, _, name in sources if not has]
    if plan.mig:
        missing.append(Missing("process utilisation", "not offered under MIG"))
    found = [source for has, source, _ in sources if has]
    return (found[0] if found else EnergySource.NONE), missing


def _instruments(scenario: Scenario, gpu: int, plan: BoardPlan) -> Instruments:
    seed, faults = scenario.seed, scenario.faults
    marks = marks_ns(plan.sensors, seed, gpu, faults)
    board = Board(plan, gpu, seed, scenario.processes, marks)
    return Instruments(board, Sensors(board, seed, gpu, faults), Ring(board, seed, gpu))
