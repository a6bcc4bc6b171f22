"""One run of a process on one board: its course in, demand and granted SM time and power out."""

from collections.abc import Iterator, Sequence
from random import Random

from submeter.backends.mock.plan import (
    MIG_SLICES,
    PPM,
    BoardPlan,
    Life,
    MigInstance,
    ProcessPlan,
)
from submeter.backends.mock.shapes import Segment, segments


class Slot:
    """What a run asks for now (``demand_*``), what it gets, and what it has used (``*_pj``)."""

    __slots__ = (
        "capacity_ppm", "context_pj", "course", "demand_mw", "demand_ppm", "dynamic_pj",
        "idle_pj", "instance", "life", "plan", "power_mw", "segment_end_ns", "sm_ppm",
        "sm_ppm_ns", "watts_mw",
    )  # fmt: skip

    def __init__(self, plan: ProcessPlan, run: Life, board: BoardPlan, gpu: int, seed: int) -> None:
        self.plan = plan
        self.life = run
        self.instance: MigInstance | None = (
            None if plan.mig_instance is None else board.mig[plan.mig_instance]
        )
        self.capacity_ppm = PPM if self.instance is None else _capacity(self.instance)
        self.watts_mw = plan.power_mw[gpu]
        # The same stream on every GPU: a job on several GPUs works in step.
        self.course: Iterator[Segment] = segments(
            plan.shape,
            Random(f"{seed}/{plan.index}/{run.number}"),  # noqa: S311 - simulation
        )
        self.segment_end_ns = run.start_ns
        self.demand_ppm = self.demand_mw = self.sm_ppm = self.power_mw = 0
        self.dynamic_pj = self.context_pj = self.idle_pj = self.sm_ppm_ns = 0

    def proceed(self, now_ns: int) -> None:
        """To the segment that holds ``now_ns``."""
        while self.segment_end_ns <= now_ns:
            duration_ns, sm_ppm, power_ppm = next(self.course)
            self.segment_end_ns += duration_ns
            self.demand_ppm = self.plan.utilisation_ppm * sm_ppm // PPM * self.capacity_ppm // PPM
            self.demand_mw = self.watts_mw * power_ppm // PPM


def share_time(slots: Sequence[Slot]) -> None:
    """SM time as asked for; in proportion where more is asked for than the (MIG) engine has."""
    for slot in slots:
        slot.sm_ppm, slot.power_mw = slot.demand_ppm, slot.demand_mw
    if len(slots) < 2:
        return
    if slots[0].instance is None:
        _squeeze(slots, PPM)
        return
    for instance in {slot.instance for slot in slots}:
        sharing = [slot for slot in slots if slot.instance == instance]
        _squeeze(sharing, sharing[0].capacity_ppm)


def _squeeze(slots: Sequence[Slot], capacity_ppm: int) -> None:
    asked_ppm = sum([slot.demand_ppm for slot in slots])
    if asked_ppm > capacity_ppm:
        for slot in slots:
            slot.sm_ppm = slot.demand_ppm * capacity_ppm // asked_ppm
            slot.power_mw = slot.demand_mw * capacity_ppm // asked_ppm


def _capacity(instance: MigInstance) -> int:
    return instance.slices * PPM // MIG_SLICES
