"""Snapshots and what truly happened in, nothing out, or `Broken` with what must never be.

What a GPU's counter gained is computed from the values that it showed, without the code under
test: in each of its epochs the highest one less the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from submeter.metrics import Kind, families
from submeter.model import CounterState, GpuState, Snapshot
from submeter_simulator.boards import falls_visibly

_REMEMBERED = 50_000


class Broken(Exception):
    """Something that must always hold does not."""


@dataclass(slots=True)
class Gauge:
    """What one GPU's counter has shown to the agent, and what that comes to.

    ``exact``: whether it can be said to the microjoule. ``total_uj`` is what the ledger must come
    to once everything that was shown is booked; ``epochs`` say what it must be at each value shown,
    since the counter last began at zero, and before.
    """

    first: bool = True
    highest_uj: int = 0
    total_uj: int = 0
    restarted: bool = False  # the counter began at zero, and nobody has seen it since
    ever_restarted: bool = False
    exact: bool = True
    odd: bool = False  # nonsense was shown
    bridges_uj: int = 0  # so much more than it shows may be booked where it stood still
    epochs: list[dict[int, int]] = field(default_factory=lambda: [{}])

    def show(self, value_uj: int, odd: bool) -> None:
        """The agent was given that value; ``odd``: nonsense, or jitter."""
        if odd:
            return
        if self.first:
            self.first = False
        elif self.restarted:
            self.exact &= falls_visibly(self.highest_uj, value_uj)
            self.epochs = [*self.epochs[-2:], {}]
            self.total_uj += value_uj
        else:
            self.total_uj += max(value_uj - self.highest_uj, 0)
            value_uj = max(value_uj, self.highest_uj)
        self.restarted = False
        self.highest_uj = value_uj
        known = self.epochs[-1]
        if len(known) > _REMEMBERED:
            known.clear()
        known[value_uj] = self.total_uj

    @property
    def stalled(self) -> bool:
        """It stood still once: ∫power may have been booked before the counter showed it."""
        return self.bridges_uj > 0

    def restart(self) -> None:
        """The counter begins at zero."""
        self.exact &= not self.stalled and not self.odd
        self.restarted = self.ever_restarted = True

    def resume(self, found_uj: int, state: CounterState | None, *, same_boot: bool) -> None:
        """An agent goes on from the ledger: that much is booked in it, and there it left off."""
        if state is None:
            self.first, self.restarted, self.total_uj = True, False, found_uj
            self.epochs = [{}]
            return
        # what it fell from matters only where it may come back to that
        plain = not state.bridged_uj and not state.owed_uj and not (state.marks and self.odd)
        found = [number for number, known in enumerate(self.epochs) if state.base_uj in known]
        if not plain or not found:
            self.exact = False
            return
        expected_uj = self.epochs[found[-1]][state.base_uj]
        # a counter that catches up faster than the board can draw is suspect
        suspected = self.stalled and found_uj < expected_uj
        if self.exact and found_uj != expected_uj and not suspected:
            raise Broken(
                f"an agent finds {found_uj} µJ in the ledger, which leaves the counter at "
                f"{state.base_uj} µJ; when it was there, {expected_uj} µJ had been shown"
            )
        self.total_uj = found_uj
        self.restarted |= not same_boot or found[-1] < len(self.epochs) - 1
        self.highest_uj = state.base_uj if same_boot else 1 << 100
        self.epochs = self.epochs[: found[-1] + 1]


class Oracle:
    """Owns what was seen. `look` is called with every snapshot."""

    def __init__(self) -> None:
        self.gauges: dict[str, Gauge] = {}
        self.intervals = 0
        self._shown: dict[tuple[str, ...], int] = {}
        self._turn = 0

    def gauge(self, uuid: str) -> Gauge:
        """A GPU's."""
        return self.gauges.setdefault(uuid, Gauge())

    def look(self, snapshot: Snapshot) -> None:
        """Everything that can be said of one snapshot, and of it and those before."""
        self.intervals += sum(gpu.up for gpu in snapshot.gpus)
        parts: dict[str, int] = {}
        for account, energy_uj in snapshot.energy_uj.items():
            parts[account.gpu_uuid] = parts.get(account.gpu_uuid, 0) + energy_uj
        for gpu in snapshot.gpus:
            _adds_up(gpu, parts.get(gpu.info.uuid, 0))
            self._within_truth(gpu)
        self._turn += 1
        self._monotonic(snapshot, everything=self._turn % 8 == 0)

    def forget(self) -> None:
        """The disk lied: what was shown may be gone."""
        self._shown.clear()

    def end(self, gpus: Iterable[GpuState]) -> None:
        """All is quiet, everything is booked. Where a counter stood still, ∫power was booked
        instead, which may be a little more; and if it catches up faster than the board can draw,
        that is suspect."""
        for gpu in gpus:
            gauge, booked_uj = self.gauge(gpu.info.uuid), gpu.energy_uj
            if not gauge.exact or gauge.first:
                continue
            least_uj = most_uj = gauge.total_uj
            if gauge.stalled:
                least_uj -= sum(gpu.suspect_uj.values())
                most_uj += gauge.bridges_uj
            if not least_uj <= booked_uj <= most_uj:
                raise Broken(f"{gpu.info.uuid}: {booked_uj} µJ booked of {gauge.total_uj} µJ shown")

    def _within_truth(self, gpu: GpuState) -> None:
        gauge = self.gauge(gpu.info.uuid)
        plain = gauge.exact and not gauge.odd and not gauge.stalled and not gauge.first
        if plain and gpu.energy_uj > gauge.total_uj:
            raise Broken(f"{gpu.info.uuid}: {gpu.energy_uj} µJ of {gauge.total_uj} µJ shown")

    def _monotonic(self, snapshot: Snapshot, *, everything: bool) -> None:
        now: dict[tuple[str, ...], int] = {}
        for account, energy_uj in snapshot.energy_uj.items():
            now["energy", account.gpu_uuid, account.mig, account.component, *account.owner] = (
                energy_uj
            )
        if everything:
            for family in families(snapshot):
                if family.kind is Kind.COUNTER:
                    for labels, value in family.samples:
                        now[family.name, *labels] = int(value)
        for key, value in now.items():
            before = self._shown.get(key)
            if before is not None and value < before:
                raise Broken(f"{' '.join(key)} fell from {before} to {value}")
        gone = [key for key in self._shown if key[0] == "energy" and key not in now]
        if gone:
            raise Broken(f"{' '.join(gone[0])} is gone")
        self._shown.update(now)


def _adds_up(gpu: GpuState, parts_uj: int) -> None:
    if parts_uj != gpu.energy_uj:
        raise Broken(f"{gpu.info.uuid}: the parts are {parts_uj} µJ of {gpu.energy_uj} µJ")
    methods_uj = sum(gpu.energy_by_method_uj.values())
    if methods_uj != gpu.energy_uj:
        raise Broken(f"{gpu.info.uuid}: methods sum to {methods_uj} µJ of {gpu.energy_uj} µJ")
    amounts = (
        *gpu.energy_by_method_uj.values(),
        *gpu.suspect_uj.values(),
        *gpu.unmetered_ns.values(),
    )
    if any(amount < 0 for amount in amounts):
        raise Broken(f"{gpu.info.uuid}: something is negative: {amounts}")
