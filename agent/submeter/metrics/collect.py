"""A snapshot in, samples out: how the rows of the metric table find their values.

A GPU that can't be read has no gauges: a function that reads one is never asked. Its counters
stay. What is None is left out, never 0.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, Generic, TypeVar

from submeter.amounts import in_columns
from submeter.kept import Kept
from submeter.metrics.family import Columns, Distribution, Labels, Sample
from submeter.model import Account, Component, ExporterState, GpuState, Owner, Snapshot, Verdict
from submeter.roster import judged
from submeter.units import NS_PER_S, decimal

Collect = Callable[[Snapshot], Iterable[Sample]]
Key = TypeVar("Key", bound=str)
K = TypeVar("K")
V = TypeVar("V")
_Judged = tuple[Labels, tuple[tuple[Owner, ...], tuple[Verdict, ...]]]
"""A GPU's labels; owner and verdict of each of its processes."""

SOURCES: Final = ("none", "recognised", "rule", "declared")
"""Where a phase may come from, weakest first."""

TOKENS: Final = {"prompt_tokens": "prompt", "generation_tokens": "generation", "tokens": ""}
"""Units that are tokens: their kind, "" where nobody told prompt and generation apart."""

REQUESTS: Final = {"requests": ""}
UNCOUNTED: Final = {"uncounted_ns": ""}
_TOLD_APART: Final = TOKENS.keys() | REQUESTS.keys() | UNCOUNTED.keys()

CONFIDENCES: Final = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))
"""Words for a confidence, so that a label doesn't change with every hundredth."""


def gpu_gauge(read: Callable[[GpuState], int | None]) -> Collect:
    """One sample per GPU that is up and has the value."""

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for gpu in snapshot.gpus:
            value = read(gpu) if gpu.up else None
            if value is not None:
                yield _gpu_labels(gpu), value

    return collect


def gpu_counter(read: Callable[[GpuState], int]) -> Collect:
    """One sample per GPU, up or not."""
    return lambda snapshot: ((_gpu_labels(gpu), read(gpu)) for gpu in snapshot.gpus)


def gpu_gauges(read: Callable[[GpuState], Iterable[tuple[str, int | None]]]) -> Collect:
    """One sample per GPU that is up and per value it has, by a further label."""

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for gpu in snapshot.gpus:
            for label, value in read(gpu) if gpu.up else ():
                if value is not None:
                    yield _labels(gpu.info.index, gpu.info.uuid, label), value

    return collect


def footprint(kind: str) -> Collect:
    """One sample per phase of what energies came to."""

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for (of_kind, currency, phase), amount in snapshot.footprint.items():
            if of_kind == kind:
                yield ((currency, phase) if currency else (phase,)), amount

    return collect


def done(units: Mapping[str, str] | None = None, *, kind: bool = False) -> Collect:
    """One sample per owner of how much work of these units was done, with the unit's own label if
    ``kind``; without units: of all that no other metric has, by unit."""

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for (owner, unit), amount in snapshot.done.items():
            if units is None and unit not in _TOLD_APART:
                yield (*owner, unit), amount
            elif units is not None and unit in units:
                yield ((*owner, units[unit]) if kind else tuple(owner)), amount

    return collect


def gpu_counters(
    read: Callable[[GpuState], Mapping[Key, int]], known: Iterable[Key] = ()
) -> Collect:
    """One sample per GPU and key. Known keys begin at 0, so that their first step is seen by
    ``increase()``."""
    zeros = dict.fromkeys(known, 0)

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for gpu in snapshot.gpus:
            for key, value in {**zeros, **read(gpu)}.items():
                yield _labels(gpu.info.index, gpu.info.uuid, key), value

    return collect


def by_index(collect: Collect) -> Collect:
    """The same samples without the ``uuid`` label."""

    def shortened(snapshot: Snapshot) -> Iterator[Sample]:
        for (gpu, _uuid, *rest), value in collect(snapshot):
            yield (gpu, *rest), value

    return shortened


def power_mw(gpu: GpuState) -> int | None:
    """The newest power value: the instantaneous sensor, else the board's average."""
    if gpu.reading is None:
        return None
    return gpu.reading.average_mw if gpu.reading.instant_mw is None else gpu.reading.instant_mw


def floors_mw(gpu: GpuState) -> Iterator[tuple[str, int | None]]:
    """Floor and context step, where learnt."""
    yield Component.IDLE, gpu.floors.idle_mw or None
    yield Component.CONTEXT, gpu.floors.context_mw or None


def node_power_mw(snapshot: Snapshot) -> int | None:
    """What all GPUs draw now; None unless every one says so, since a partial sum is no sum."""
    powers = [power_mw(gpu) if gpu.up else None for gpu in snapshot.gpus]
    known = [power for power in powers if power is not None]
    return sum(known) if known and len(known) == len(powers) else None


def headroom(snapshot: Snapshot) -> Iterator[Sample]:
    """Budget minus draw, where both are known."""
    draw_mw = node_power_mw(snapshot)
    if snapshot.power_budget_mw is not None and draw_mw is not None:
        yield (), snapshot.power_budget_mw - draw_mw


def gpu_energy(snapshot: Snapshot) -> Iterator[Sample]:
    """Each GPU's total; for GPUs that only the ledger remembers, the sum of their accounts."""
    gone: dict[str, int] = defaultdict(int)
    present = {gpu.info.uuid for gpu in snapshot.gpus}
    for gpu in snapshot.gpus:
        yield _gpu_labels(gpu), gpu.energy_uj
    accounts, amounts = in_columns(snapshot.energy_uj)
    if present >= _BOARDS.of(accounts):
        return
    for (uuid, _, _, _), energy_uj in zip(accounts, amounts, strict=True):
        if uuid not in present:
            gone[uuid] += energy_uj
    index = _indices(snapshot)
    yield from (((index.get(uuid, ""), uuid), energy_uj) for uuid, energy_uj in gone.items())


def by_account(table: Callable[[Snapshot], Mapping[Account, int]]) -> Collect:
    """One sample per account."""
    series = _Series(_account_labels)

    def collect(snapshot: Snapshot) -> Columns:
        accounts, amounts = in_columns(table(snapshot))
        return Columns(series.of(accounts, _indices(snapshot)), amounts)

    return collect


def owner_power() -> Collect:
    """Attributed power of every owner on every GPU that is up, all components together."""
    series = _Series(_owner_labels)
    sums = _Groups()

    def collect(snapshot: Snapshot) -> Columns:
        accounts, amounts = in_columns(snapshot.power_mw)
        index = {gpu.info.uuid: str(gpu.info.index) for gpu in snapshot.gpus if gpu.up}
        if not index.keys() >= {account.gpu_uuid for account in accounts}:
            known = [(a, mw) for a, mw in zip(accounts, amounts, strict=True) if a[0] in index]
            accounts, amounts = tuple(a for a, _ in known), tuple(mw for _, mw in known)
        return sums.of(series.of(accounts, index), amounts)

    return collect


def process_info() -> Collect:
    """One sample per owner on a GPU, so that it can be joined: of several processes the weakest
    source and the lowest confidence count."""
    labels = Kept(_process_labels)

    def collect(snapshot: Snapshot) -> Columns:
        gpus = tuple((_gpu_labels(gpu), judged(gpu.processes)) for gpu in snapshot.gpus if gpu.up)
        found = tuple(chain.from_iterable(labels.of(gpus)))
        return Columns(found, (1,) * len(found))

    return collect


def sample_errors(snapshot: Snapshot) -> Iterator[Sample]:
    """Failed driver calls by GPU, call and error."""
    for gpu in snapshot.gpus:
        for (call, error), count in gpu.errors.items():
            yield (str(gpu.info.index), call, error), count


def all_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """Readings of all GPUs together, those that are gone included."""
    present = sum(gpu.samples for gpu in snapshot.gpus)
    yield (), present + sum(each.samples for each in snapshot.absent)


def call_time(snapshot: Snapshot) -> Iterator[Sample]:
    """Time in each driver call, all GPUs together."""
    total_ns: dict[str, int] = defaultdict(int)
    tables = [gpu.call_ns for gpu in snapshot.gpus] + [each.call_ns for each in snapshot.absent]
    for table in tables:
        for call, duration_ns in table.items():
            total_ns[call] += duration_ns
    yield from (((call,), duration_ns) for call, duration_ns in total_ns.items())


def lateness(snapshot: Snapshot) -> Iterator[Distribution]:
    """How late the sampler was, one distribution."""
    if snapshot.lateness is not None:
        histogram = snapshot.lateness
        yield Distribution((), histogram.bounds_ns, histogram.counts, histogram.sum_ns)


def exporters(read: Callable[[ExporterState], int | None]) -> Collect:
    """One sample per exporter that has the value."""

    def collect(snapshot: Snapshot) -> Iterator[Sample]:
        for state in snapshot.exporters:
            value = read(state)
            if value is not None:
                yield (state.name,), value

    return collect


def gpu_info(snapshot: Snapshot) -> Iterator[Sample]:
    """What doesn't change about each GPU."""
    for gpu in snapshot.gpus:
        info = gpu.info
        facts = (info.name, info.driver, info.pci_bus_id, info.arch)
        yield (*_gpu_labels(gpu), *facts, info.energy_source, info.power_window), 1


def gpu_up(snapshot: Snapshot) -> Iterator[Sample]:
    """1 or 0 for each GPU."""
    return ((_gpu_labels(gpu), int(gpu.up)) for gpu in snapshot.gpus)


def peaks(which: Callable[[GpuState], int | None]) -> Collect:
    """Lowest or highest power, labelled with the time it was looked for in."""

    def read(gpu: GpuState) -> Iterator[tuple[str, int | None]]:
        if gpu.peaks is not None:
            yield f"{decimal(gpu.peaks.window_ns, len(str(NS_PER_S)) - 1)}s", which(gpu)

    return gpu_gauges(read)


class _Series:
    """Owns the label values of the newest snapshot's accounts."""

    def __init__(self, labels: Callable[[Account, str], Labels]) -> None:
        """``labels``: those of an account on the GPU of that index."""
        self._labels = labels
        self._kept = self._none({})

    def of(self, accounts: tuple[Account, ...], index: Mapping[str, str]) -> tuple[Labels, ...]:
        """Those of each account; for the same accounts the same object."""
        known, kept = self._kept
        if known != index:
            known, kept = self._kept = self._none(index)
        return kept.of(accounts)

    def _none(self, index: Mapping[str, str]) -> tuple[Mapping[str, str], Kept[Account, Labels]]:
        labels = self._labels
        return index, Kept(
            lambda accounts: tuple(
                labels(account, index.get(account.gpu_uuid, "")) for account in accounts
            )
        )


class _Groups:
    """Adds up what has the same labels. Owns which those of the newest snapshot are."""

    def __init__(self) -> None:
        self._newest = _Newest(_numbered)

    def of(self, labels: tuple[Labels, ...], amounts: Sequence[int]) -> Columns:
        """One sample for all of the same labels."""
        found, numbers = self._newest.of(labels)
        if len(found) == len(labels):
            return Columns(found, amounts)
        sums = [0] * len(found)
        for number, amount in zip(numbers, amounts, strict=True):
            sums[number] += amount
        return Columns(found, sums)


def _numbered(labels: tuple[Labels, ...]) -> tuple[tuple[Labels, ...], tuple[int, ...]]:
    """All that are different, and for each the number of its like among them."""
    found: dict[Labels, int] = {}
    numbers = tuple(found.setdefault(each, len(found)) for each in labels)
    return tuple(found), numbers


class _Newest(Generic[K, V]):
    """Owns what was made of the newest key. Any thread may ask."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._known: tuple[K, V] | None = None

    def of(self, key: K) -> V:
        """What belongs to that key; the same object as long as that doesn't change."""
        known = self._known
        if known is None or known[0] != key:
            known = self._known = key, self._make(key)
        return known[1]


def _account_labels(account: Account, index: str) -> Labels:
    uuid, mig, component, owner = account
    return (index, uuid, mig, owner[0], component, *owner[1:])


def _owner_labels(account: Account, index: str) -> Labels:
    uuid, mig, _component, owner = account
    return (index, uuid, mig, *owner)


def _process_labels(gpus: tuple[_Judged, ...]) -> tuple[tuple[Labels, ...], ...]:
    """Those of each GPU."""
    found = []
    for gpu, (whose, judgements) in gpus:
        owners: dict[Owner, list[Verdict]] = defaultdict(list)
        for owner, verdict in zip(whose, judgements, strict=True):
            owners[owner].append(verdict)
        certain = ((owner, _certainty(verdicts)) for owner, verdicts in owners.items())
        found.append(tuple((*gpu, *owner, *certainty) for owner, certainty in certain))
    return tuple(found)


def _indices(snapshot: Snapshot) -> dict[str, str]:
    """The index of every GPU by UUID: what it is, or where it isn't seen now, what it was."""
    present = {gpu.info.uuid: gpu.info.index for gpu in snapshot.gpus}
    return {uuid: str(index) for uuid, index in {**snapshot.remembered, **present}.items()}


def _gpu_labels(gpu: GpuState) -> Labels:
    return _labels(gpu.info.index, gpu.info.uuid)


@lru_cache(maxsize=4096)
def _labels(index: int, uuid: str, *more: str) -> Labels:
    """The same object each time: quickly made, and quickly found to be that of the last scrape."""
    return (str(index), uuid, *more)


def _boards(accounts: tuple[Account, ...]) -> frozenset[str]:
    return frozenset(account.gpu_uuid for account in accounts)


_BOARDS: Final = _Newest(_boards)
"""The GPUs that accounts are of: with thousands of them, looking again takes half a millisecond."""


def _certainty(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    weakest = min((verdict.source for verdict in verdicts), key=_rank)
    lowest = min(verdict.confidence for verdict in verdicts)
    return weakest, next((word for floor, word in CONFIDENCES if lowest >= floor), "low")


def _rank(source: str) -> int:
    return SOURCES.index(source) if source in SOURCES else 0
