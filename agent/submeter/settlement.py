"""What was measured in, what everybody used out: the slow half of a joule's way.

Every settlement takes the intervals that the watches closed, finds out who held the GPUs, splits
each interval exactly and books it. How things stood then is one immutable snapshot, made when
somebody wants to see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import hypot
from threading import Lock
from typing import Final

from submeter import counted
from submeter.amounts import Amounts, in_columns
from submeter.attribution import FloorLearner, Programs, split
from submeter.footprint.pricing import Pricer, of_names
from submeter.footprint.rates import Factors
from submeter.ledger import DurableLedger, Ledger
from submeter.ledger.memory import OTHER
from submeter.metering import AVERAGE_LAG_NS, CrossCheck
from submeter.model import (
    Account,
    AgentUse,
    Component,
    Counted,
    ExporterState,
    Floors,
    GpuInfo,
    GpuState,
    Histogram,
    Interval,
    Owner,
    Phase,
    Posting,
    ProcessKey,
    ProcessView,
    Snapshot,
)
from submeter.roster import Roster
from submeter.sampling.watch import Closed, GpuWatch, Held
from submeter.signals import Signals
from submeter.throughput.workbook import Place, Workbook
from submeter.units import NS_PER_S, mean_power_mw
from submeter.workloads import ProcessTable

UNRESOLVED: Final = Owner(Phase.UNATTRIBUTED, workload="(unresolved)")
"""Whoever is behind a PID that means nothing here: never a stranger's name."""

COUNT_NS: Final = 5 * NS_PER_S
"""How often what is counted beside energy is booked: what `/metrics` shows of it is that old."""

_PATIENCE_S: Final = 0.1
"""How long somebody who looks waits for a settlement that is going on (milliseconds, unless the
disk is slow or thousands of processes share the GPUs) before he gets what was last looked at."""
_PATIENCE_AT_FIRST_S: Final = 5.0
"""The same where nobody has looked yet: there is nothing else to give him."""

_NOBODY: Final = frozenset({Phase.IDLE, Phase.UNATTRIBUTED})


@dataclass(frozen=True, slots=True)
class Health:
    """What the runtime knows about itself and the settlement doesn't."""

    components_up: Mapping[str, bool]
    lateness: Histogram | None = None
    missed_ticks: Mapping[str, int] | None = None  # by GPU UUID
    hung: frozenset[str] = frozenset()  # GPUs inside a call that should have returned
    own: AgentUse | None = None
    label_requests: Mapping[tuple[str, str], int] | None = None
    exporters: tuple[ExporterState, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What stays the same in every snapshot."""

    backend: str
    version: str
    started_wall_ns: int
    power_budget_mw: int | None = None
    notice: Callable[[], str] = str
    """What must be said loudly, as of now: a recording may be over."""


_ErrorsByGpu = Mapping[str, Mapping[tuple[Owner, str], int]]  # by UUID; by owner and instance
_ErrorsBasis = tuple[Sequence[Account], _ErrorsByGpu, bool]


_Basis = tuple[tuple[Held, ...] | None, int, frozenset[Owner] | None]
"""What a roster is made of: who holds the GPU, changes of the process table, who is shown."""


@dataclass(slots=True)
class _Board:
    """What a settlement remembers of a GPU until the next one."""

    floors: FloorLearner
    signals: Signals
    crosscheck: CrossCheck | None = None
    power_mw: dict[Account, int] | None = None
    settled_ns: int | None = None
    turn: int = 0
    info: GpuInfo | None = None  # as the ledger was told last
    roster: tuple[_Basis, Roster] | None = None
    shown: tuple[tuple[GpuInfo, int, bool], GpuInfo] | None = None
    """How it looks in snapshots, and of what that was made."""


class Settlement:
    """Owns the process table, the ledger and the series of snapshots. One thread settles; any may
    ask for the snapshot."""

    def __init__(
        self,
        about: About,
        ledger: Ledger | DurableLedger,
        table: ProcessTable,
        watches: Callable[[], Sequence[GpuWatch]],
        pricer: Pricer | None = None,
        *,
        workbook: Workbook | None = None,
    ) -> None:
        self._workbook = workbook
        self._pricer = Pricer(Factors()) if pricer is None else pricer
        self._about = about
        self._ledger = ledger
        self._table = table
        self._watches = watches
        self._boards: dict[str, _Board] = {}
        self._programs = Programs()
        self._lock = Lock()
        self._sequence = 0
        self._settled = (0, 0)  # boot time and wall time of the last settlement
        self._count_ns = 0
        self._snapshot: Snapshot | None = None
        self._booked: frozenset[Owner] | None = None  # only once some are folded
        self._booked_as: tuple[Account, ...] = ()
        self._errors: tuple[_ErrorsBasis, Amounts] | None = None  # and of what they were made

    @property
    def sequence(self) -> int:
        """How many settlements there were."""
        return self._sequence

    def settle(
        self, now_ns: int, wall_ns: int, health: Callable[[], Health], *, last: bool = False
    ) -> None:
        """Books everything closed since the last time. ``last``: nobody settles after this."""
        with self._lock:
            watches = list(self._watches())
            self._settled = now_ns, wall_ns
            self._table.observe(_keys(watches), now_ns)
            if self._workbook is not None:
                self._workbook.book(lambda: self._places(watches), now_ns)
            for watch in watches:
                self._settle_gpu(watch, now_ns)
            if last or now_ns >= self._count_ns:
                self._count_ns = now_ns + COUNT_NS
                self._count(watches, health())
            self._ledger.commit(now_ns, wall_ns)
            self._sequence += 1

    def snapshot(self, health: Callable[[], Health]) -> Snapshot | None:
        """How things stood after the last settlement: the same one until the next; None before
        the first. Energies and counts are what is durable then, all else is of the moment."""
        known = self._snapshot
        patience_s = _PATIENCE_AT_FIRST_S if known is None else _PATIENCE_S
        if not self._lock.acquire(timeout=patience_s):
            return known
        try:
            known = self._snapshot
            if self._sequence and (known is None or known.sequence != self._sequence):
                self._ledger.catch_up()
                known = self._snapshot = self._made(health())
            return known
        finally:
            self._lock.release()

    def processes(self) -> list[ProcessView]:
        """Who is on the GPUs now: what the snapshot says of them, without making one."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            gpus = () if self._snapshot is None else self._snapshot.gpus
            return [view for gpu in gpus for view in gpu.processes]
        try:
            return [view for watch in self._watches() if watch.up for view in self._roster(watch)]
        finally:
            self._lock.release()

    def _made(self, health: Health) -> Snapshot:
        now_ns, wall_ns = self._settled
        watches = list(self._watches())
        counts = self._ledger.counts(counted.AGENT)
        accounts = self._ledger.accounts()
        if self._ledger.folded_series:
            self._note_booked(in_columns(accounts)[0])
        return Snapshot(
            sequence=self._sequence,
            boottime_ns=now_ns,
            wall_ns=wall_ns,
            started_wall_ns=self._about.started_wall_ns,
            version=self._about.version,
            backend=self._about.backend,
            gpus=tuple(self._state(watch, now_ns, health) for watch in watches),
            energy_uj=accounts,
            remembered=self._ledger.remembered(),
            power_mw=self._powers(watches),
            standard_error_uj=self._standard_errors(accounts),
            components_up=dict(health.components_up),
            lateness=_lateness(health, counts),
            absent=self._absent(watches),
            agent=counted.agent_use(counts, health.own),
            exporters=counted.exporters(counts, health.exporters),
            since_wall_ns=self._ledger.since_wall_ns,
            folded_series=self._ledger.folded_series,
            label_requests=counted.requests(counts, health.label_requests or {}),
            power_budget_mw=self._about.power_budget_mw,
            footprint=of_names(counts),
            factors=self._pricer.in_use(),
            factor_ages_s=self._pricer.ages(wall_ns // NS_PER_S),
            done=self._ledger.done(),
            work_servers=() if self._workbook is None else self._workbook.servers(),
            notice=self._about.notice(),
        )

    def _count(self, watches: Sequence[GpuWatch], health: Health) -> None:
        """Hands the ledger what was counted: all counters go on from one agent to the next."""
        missed = health.missed_ticks or {}
        for watch in watches:
            uuid, tally = watch.info.uuid, watch.tally()
            now = Counted(
                watch.samples, missed.get(uuid, 0), tally.call_ns, tally.errors, watch.throttle_ns
            )
            self._ledger.count(uuid, counted.names(now))
        own = {
            **counted.exporter_names(health.exporters),
            **counted.request_names(health.label_requests or {}),
            **counted.agent_names(health.own),
            **self._pricer.names(),
            **({} if health.lateness is None else counted.histogram_names(health.lateness)),
        }
        if own:
            self._ledger.count(counted.AGENT, own)

    def _absent(self, watches: Sequence[GpuWatch]) -> tuple[Counted, ...]:
        present = {counted.AGENT, *(watch.info.uuid for watch in watches)}
        found = self._ledger.all_counts().items()
        return tuple(counted.of_names(counts) for group, counts in found if group not in present)

    def _board(self, uuid: str, name: str = "") -> _Board:
        board = self._boards.get(uuid)
        if board is None:
            board = self._boards[uuid] = _Board(
                FloorLearner(), Signals(name, self._programs, self._shown)
            )
        return board

    def _settle_gpu(self, watch: GpuWatch, now_ns: int) -> None:
        info = watch.info
        board = self._board(info.uuid, info.name)
        if info is not board.info:
            board.info = info
            self._ledger.describe(info)
        temperature_c = _temperature_c(watch)
        held_floors = board.floors.held(temperature_c)
        board.signals.take(watch, now_ns, held_floors, self._owner)
        energy_uj: dict[Account, int] = {}
        duration_ns = 0
        while watch.closed:
            closed = watch.closed.popleft()
            interval = closed.interval
            board.turn += 1
            postings = self._book(closed, board, watch, temperature_c)
            _check(board, watch, interval)
            board.settled_ns = interval.end_ns
            if interval.observed:  # energy of a time long past is no power of now
                duration_ns += interval.end_ns - interval.start_ns
                for account, _, posted_uj in postings:
                    energy_uj[account] = energy_uj.get(account, 0) + posted_uj
        board.floors.look(board.signals.activity(watch))
        if duration_ns:
            board.power_mw = {
                account: mean_power_mw(booked_uj, duration_ns)
                for account, booked_uj in energy_uj.items()
            }

    def _book(
        self, closed: Closed, board: _Board, watch: GpuWatch, temperature_c: int | None
    ) -> tuple[Posting, ...]:
        interval, held = closed.interval, closed.held
        floors = board.floors.floors(temperature_c)
        key = None
        if held is not None and len(held) == 1:
            key = held[0].key
            board.signals.alone(interval, held, _utilisation(watch, interval), floors)
        usage = board.signals.usage(interval, held, floors, self._owner)
        board.floors.observe(interval, None if held is None else bool(held), temperature_c)
        self._table.feel(
            interval.gpu_uuid,
            key,
            interval.end_ns,
            mean_power_mw(interval.energy_uj, interval.end_ns - interval.start_ns),
        )
        postings = split(interval, usage, floors, turn=board.turn)
        posted = self._ledger.post(interval, postings)
        self._price(interval, posted)
        return posted

    def _price(self, interval: Interval, postings: Sequence[Posting]) -> None:
        now_ns, wall_ns = self._settled
        moment_s = (interval.end_ns + wall_ns - now_ns - 1) // NS_PER_S
        energy_uj: dict[Phase, int] = {}
        for account, _, posted_uj in postings:
            phase = account.owner.phase
            energy_uj[phase] = energy_uj.get(phase, 0) + posted_uj
        for phase, part_uj in energy_uj.items():
            self._pricer.add(phase, part_uj, moment_s)

    def _owner(self, key: ProcessKey | None) -> Owner:
        seen = None if key is None else self._table.view(key)
        return UNRESOLVED if seen is None else seen.owner

    def _places(self, watches: Sequence[GpuWatch]) -> dict[ProcessKey, Place]:
        """Where the energy of everybody who holds a GPU is booked."""
        found: dict[ProcessKey, Place] = {}
        for watch in watches:
            for one in watch.held or ():
                if one.key is not None and self._table.view(one.key) is not None:
                    found.setdefault(one.key, Place(watch.info.uuid, self._owner(one.key)))
        return found

    def _shown(self, owner: Owner) -> Owner:
        """Whom its energy is booked under: not itself once there are too many series."""
        if self._booked is None or owner in self._booked:
            return owner
        return Owner(owner.phase, workload=OTHER)

    def _note_booked(self, accounts: tuple[Account, ...]) -> None:
        if accounts != self._booked_as:
            self._booked_as = accounts
            self._booked = frozenset(account.owner for account in accounts)

    def _powers(self, watches: Sequence[GpuWatch]) -> Amounts:
        """Of a GPU that can't be read nobody knows who draws what now."""
        boards = [self._board(watch.info.uuid) for watch in watches if watch.up]
        tables = [board.power_mw for board in boards if board.power_mw]
        return Amounts(chain(*tables), chain(*(table.values() for table in tables)))

    def _standard_errors(self, accounts: Mapping[Account, int]) -> Amounts:
        """Made anew only when accounts or errors are others, which they are every few minutes."""
        boards = self._boards.items()
        found = {uuid: board.signals.sharing.standard_errors() for uuid, board in boards}
        basis = in_columns(accounts)[0], found, self._booked is None
        if self._errors is None or self._errors[0] != basis:
            errors_uj = self._errors_of(*basis[:2])
            self._errors = basis, Amounts(errors_uj, errors_uj.values())
        return self._errors[1]

    def _errors_of(self, accounts: Sequence[Account], found: _ErrorsByGpu) -> dict[Account, int]:
        """Of all work booked to somebody: 0 where it didn't have to be split. Of those who are
        published as a rest, as if none had to do with another."""
        errors_uj = {
            account: 0
            for account in accounts
            if account.component is Component.DYNAMIC and account.owner.phase not in _NOBODY
        }
        for uuid, of_gpu in found.items():
            for (owner, mig), error_uj in of_gpu.items():
                account = Account(uuid, mig, Component.DYNAMIC, owner)
                if account not in errors_uj and self._booked is not None:
                    account = account._replace(owner=Owner(owner.phase, workload=OTHER))
                if account in errors_uj:
                    errors_uj[account] = round(hypot(errors_uj[account], error_uj))
        return errors_uj

    def _state(self, watch: GpuWatch, now_ns: int, health: Health) -> GpuState:
        uuid = watch.info.uuid
        totals = self._ledger.totals(uuid)
        hung = uuid in health.hung
        up = watch.up and not hung
        totals_of = counted.of_names(self._ledger.counts(uuid))
        return GpuState(
            info=self._info(watch),
            up=up,
            down_reason="hung" if hung else watch.down_reason,
            energy_uj=totals.energy_uj,
            reading=watch.latest if up else None,
            activity=watch.activity if up else None,
            gauges=watch.gauges if up else None,
            peaks=watch.peaks(now_ns) if up else None,
            processes=self._roster(watch) if up else (),
            settled_ns=self._board(uuid).settled_ns,
            energy_by_method_uj=dict(totals.by_method_uj),
            suspect_uj=dict(totals.suspect_uj),
            unmetered_ns=dict(totals.unmetered_ns),
            throttle_ns=totals_of.throttle_ns,
            crosscheck_ppm=_crosscheck_ppm(self._board(uuid)),
            floors=_floors(self._board(uuid), watch),
            samples=totals_of.samples,
            missed_ticks=totals_of.missed_ticks,
            call_ns=totals_of.call_ns,
            errors=totals_of.errors,
        )

    def _info(self, watch: GpuWatch) -> GpuInfo:
        """What seldom changes, the same object until it does."""
        board = self._board(watch.info.uuid)
        basis = watch.info, watch.refresh_ns, watch.refresh_measured
        if board.shown is None or board.shown[0] != basis:
            info = replace(basis[0], refresh_ns=basis[1], refresh_measured=basis[2])
            board.shown = basis, info
        return board.shown[1]

    def _roster(self, watch: GpuWatch) -> Roster:
        """Who is there is looked up only when it may be another."""
        board = self._board(watch.info.uuid)
        basis = watch.held, self._table.changes, self._booked
        known = board.roster
        if known is None or known[0] != basis:
            known = board.roster = basis, self._listed(watch.held or ())
        elif known[0][0] is not basis[0]:
            known = board.roster = basis, known[1]  # the same objects next time: compared at once
        return known[1].drawing(board.power_mw or {})

    def _listed(self, held: Sequence[Held]) -> Roster:
        rows = [(one.holder, one.key) for one in held if one.key is not None]
        views = self._table.views(key for _, key in rows)
        known = [(row, seen) for row, seen in zip(rows, views, strict=True) if seen is not None]
        owners = [seen.owner for _, seen in known]
        if self._booked is not None:
            owners = [self._shown(owner) for owner in owners]
        return Roster([row for row, _ in known], owners, [seen.verdict for _, seen in known])


def _lateness(health: Health, counts: Mapping[str, int]) -> Histogram | None:
    if health.lateness is None:
        return None
    return counted.histogram(counts, health.lateness.bounds_ns)


def _keys(watches: Sequence[GpuWatch]) -> list[ProcessKey]:
    """Everybody who holds a GPU now, or did in an interval not booked yet."""
    keys: dict[ProcessKey, None] = {}
    for watch in watches:
        now = watch.held
        _add_keys(keys, now)
        for closed in list(watch.closed):
            if closed.held is not now:
                _add_keys(keys, closed.held)
    return list(keys)


def _add_keys(keys: dict[ProcessKey, None], held: tuple[Held, ...] | None) -> None:
    for one in held or ():
        if one.key is not None:
            keys[one.key] = None


def _utilisation(watch: GpuWatch, interval: Interval) -> int | None:
    """The GPU's utilisation, if it is of about that interval."""
    activity = watch.activity
    if activity is None or abs(activity.at_ns - interval.end_ns) > NS_PER_S:
        return None
    return activity.utilization_percent


def _temperature_c(watch: GpuWatch) -> int | None:
    return None if watch.gauges is None else watch.gauges.temperature_core_c


def _floors(board: _Board, watch: GpuWatch) -> Floors:
    """From quiet intervals."""
    return board.floors.floors(_temperature_c(watch))


def _check(board: _Board, watch: GpuWatch, interval: Interval) -> None:
    if board.crosscheck is None:
        averages = watch.latest is not None and watch.latest.average_mw is not None
        board.crosscheck = CrossCheck(lag_ns=AVERAGE_LAG_NS if averages else 0)
    board.crosscheck.add(interval)


def _crosscheck_ppm(board: _Board) -> int | None:
    return None if board.crosscheck is None else board.crosscheck.ppm()
