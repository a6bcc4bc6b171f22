"""Shared energy and SM time in; what to book each second by, and how far off the sums are, out.

One second of the ring has seven samples: split by them alone, energy is not only noisy but biased
(a share of noisy shares). So the split is settled over minutes: chunks of time add up energy and
SM time, a chunk's energy belongs to its parties by β × SM time, and every second's postings pay
what is still owed, within limits. Better weights correct what was booked by worse ones the same
way; nothing that was booked is ever taken back.
"""

import math
from array import array
from collections.abc import Hashable, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeVar

from submeter.attribution.learnt import Prior
from submeter.attribution.steps import Steps, finished
from submeter.units import UJ_PER_J

P = TypeVar("P", bound=Hashable)
Q = TypeVar("Q", bound=Hashable, contravariant=True)

CHUNK_S: Final = 60.0
_CHUNKS: Final = 64
_PARTIES: Final = 256
"""With more parties in them, fewer chunks are kept: where names come and go all the time, an hour
of them would take megabytes, and errors time that grows with their number squared."""
_CORRECTION: Final = 0.5
"""At most this part of a second's energy is booked differently from that second's own shares."""
_SAMPLES_PER_S: Final = 7.2
_ROWS: Final = 8  # of the covariance in a step


class Rates(Protocol[Q]):
    """What the tab has to know of the weights."""

    def of(self, party: Q) -> float:
        """Watts per unit of SM time."""
        ...

    def covariance(self, a: Q, b: Q) -> float:
        """Of the errors of two parties' rates."""
        ...

    def whose(self, party: Q) -> Hashable:
        """Whose rate that is: several parties may have one between them."""
        ...

    @property
    def floor(self) -> Prior | None:
        """What is drawn whoever works, as known now; None where nothing is said of it."""
        ...

    @property
    def exact(self) -> bool:
        """Whether SM times are free of sampling noise."""
        ...


class _Spent(Mapping[P, float]):
    """What each party used in a chunk that is over, in a fifth of a table's memory: there is one
    for every minute of an hour and GPU."""

    __slots__ = ("_parties", "_used_s")

    def __init__(self, sm_s: Mapping[P, float], before: Mapping[P, float]) -> None:
        """``before``: of the chunk before, which mostly had the same parties."""
        self._parties: tuple[P, ...] = tuple(sm_s)
        self._used_s = array("d", sm_s.values())
        if isinstance(before, _Spent):
            known: tuple[P, ...] = before._parties
            self._parties = known if known == self._parties else self._parties

    def __getitem__(self, party: P) -> float:
        try:
            return self._used_s[self._parties.index(party)]
        except ValueError:
            raise KeyError(party) from None

    def __iter__(self) -> Iterator[P]:
        return iter(self._parties)

    def __len__(self) -> int:
        return len(self._parties)

    def __contains__(self, party: object) -> bool:
        return party in self._parties

    def items(self) -> ItemsView[P, float]:
        """As a table, since all are asked for."""
        return dict(zip(self._parties, self._used_s, strict=True)).items()


@dataclass(slots=True)
class _Chunk(Generic[P]):
    """A minute or so of sharing."""

    sm_s: Mapping[P, float]
    seconds: float = 0.0
    energy_uj: float = 0.0
    unsure_s: float = 0.0  # time in which the floor wasn't known from having been seen
    unsure_uj: float = 0.0  # … and what was taken off for it nevertheless

    def floor_errors_uj(self, floor: Prior | None) -> tuple[float, float]:
        """How far what was taken off may be from the floor: altogether, and of it while nobody had
        seen the floor, so that some of it may have been booked as work."""
        if floor is None:
            return 0.0, 0.0
        missed = floor.watts * self.unsure_s - self.unsure_uj / UJ_PER_J
        unsure = math.hypot(missed, floor.sd_watts * self.unsure_s) * UJ_PER_J
        return unsure + floor.sd_watts * (self.seconds - self.unsure_s) * UJ_PER_J, unsure

    def targets(self, rates: Rates[P]) -> dict[P, float]:
        """The energy by β × SM time."""
        priced = {party: rates.of(party) * used for party, used in self.sm_s.items()}
        total = sum(priced.values())
        if total <= 0:
            return {}
        scale = self.energy_uj / total
        return {party: value * scale for party, value in priced.items()}


class Tab(Generic[P]):
    """What the sharers of one GPU used, were booked, and still owe each other."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk[P]] = []
        self._used_s: dict[P, float] = {}  # in the open one
        self._open: _Chunk[P] = _Chunk(self._used_s)
        self._settled: dict[P, float] = {}  # Σ targets of all chunks but the open one
        self._frozen: dict[P, float] = {}  # … of chunks that are no longer kept
        self._frozen_sd: dict[P, float] = {}
        self._posted: dict[P, float] = {}

    def book(
        self, sm_s: Mapping[P, float], energy_uj: int, seconds: float, rates: Rates[P], *, pay: bool
    ) -> dict[P, int]:
        """Weights to split ``energy_uj`` by, among those with SM time in ``sm_s`` (seconds).

        ``pay`` False: by SM time alone, and what is owed waits.
        """
        worked = {party: used for party, used in sm_s.items() if used > 0}
        if not worked or energy_uj <= 0:
            return {}
        self._add(worked, energy_uj, seconds, rates)
        if pay:
            parts = self._payment(worked, energy_uj, rates)
        else:
            total = sum(worked.values())
            parts = {party: energy_uj * used / total for party, used in worked.items()}
        for party, part in parts.items():
            self._posted[party] = self._posted.get(party, 0.0) + part
        return {party: round(part) for party, part in parts.items()}

    def unsure(self, seconds: float, floor_uj: float) -> None:
        """In what was booked just now so much was taken off for a floor that nobody saw."""
        self._open.unsure_s += seconds
        self._open.unsure_uj += floor_uj

    def reprice(self, rates: Rates[P]) -> None:
        """There are new weights: what everybody should have been booked so far."""
        self._settled = dict(self._frozen)
        for chunk in self._chunks:
            _add_all(self._settled, chunk.targets(rates))

    def errors(self, groups: Sequence[Sequence[P]], rates: Rates[P]) -> Steps[list[float]]:
        """Standard error in µJ of what each group of parties was booked: of the weights, of the
        sampling, and what is still owed. All that may change meanwhile is read in the first
        step."""
        chunks = [*self._chunks, replace(self._open, sm_s=dict(self._open.sm_s))]
        due = self._open.targets(rates)
        owed_uj, frozen_uj = [], []
        for group in groups:
            targets = [self._settled.get(party, 0.0) + due.get(party, 0.0) for party in group]
            owed_uj.append(sum(targets) - sum(self._posted.get(party, 0.0) for party in group))
            frozen_uj.append(sum(self._frozen_sd.get(party, 0.0) for party in group))
        variances = yield from _variances(groups, chunks, rates)
        return [
            math.sqrt((math.sqrt(variance) + frozen) ** 2 + owed * owed)
            for variance, frozen, owed in zip(variances, frozen_uj, owed_uj, strict=True)
        ]

    def settled_error(self, party: P) -> float:
        """The same of one who is settled."""
        owed = self._settled.get(party, 0.0) - self._posted.get(party, 0.0)
        return math.hypot(self._frozen_sd.get(party, 0.0), owed)

    def parties(self) -> list[P]:
        """Everybody who was booked anything that is still kept."""
        return list(self._posted)

    def is_settled(self, party: P) -> bool:
        """Whether nothing that comes can change what that party should have been booked."""
        return all(party not in chunk.sm_s for chunk in (*self._chunks, self._open))

    def forget(self, party: P) -> None:
        """Drops a settled one who is gone for good."""
        for table in (self._posted, self._frozen, self._frozen_sd, self._settled):
            table.pop(party, None)

    def _add(
        self, worked: Mapping[P, float], energy_uj: int, seconds: float, rates: Rates[P]
    ) -> None:
        chunk = self._open
        if chunk.seconds >= CHUNK_S:
            chunk.sm_s = _Spent(chunk.sm_s, self._chunks[-1].sm_s if self._chunks else {})
            self._chunks.append(chunk)
            _add_all(self._settled, chunk.targets(rates))
            self._used_s = {}
            chunk = self._open = _Chunk(self._used_s)
            while len(self._chunks) > _CHUNKS or self._is_crowded():
                self._freeze(self._chunks.pop(0), rates)
        chunk.seconds += seconds
        chunk.energy_uj += energy_uj
        _add_all(self._used_s, worked)

    def _is_crowded(self) -> bool:
        """Whether more parties are kept than is good, and not all of them in one chunk."""
        if len(self._chunks) < 2:
            return False
        return len({party for chunk in self._chunks for party in chunk.sm_s}) > _PARTIES

    def _freeze(self, chunk: _Chunk[P], rates: Rates[P]) -> None:
        """Errors of the weights stay the same for long: those of frozen chunks add up."""
        _add_all(self._frozen, chunk.targets(rates))
        groups = [[party] for party in chunk.sm_s]
        variances = finished(_variances(groups, [chunk], rates))
        for (party,), variance in zip(groups, variances, strict=True):
            self._frozen_sd[party] = self._frozen_sd.get(party, 0.0) + math.sqrt(variance)

    def _payment(
        self, worked: Mapping[P, float], energy_uj: int, rates: Rates[P]
    ) -> dict[P, float]:
        priced = {party: rates.of(party) * used for party, used in worked.items()}
        scale = energy_uj / sum(priced.values())
        due = self._open.targets(rates)
        fair = {party: value * scale for party, value in priced.items()}
        owed = {
            party: self._settled.get(party, 0.0) + due[party] - self._posted.get(party, 0.0)
            for party in worked
        }
        change = {party: owed[party] - part for party, part in fair.items()}
        mean = sum(change.values()) / len(change)  # what those who are away owe stays open
        moved = sum(abs(value - mean) for value in change.values()) / 2
        limit = min(1.0, _CORRECTION * energy_uj / moved) if moved > 0 else 0.0
        paid = {party: max(0.0, fair[party] + limit * (change[party] - mean)) for party in fair}
        total = sum(paid.values())
        return {party: part * energy_uj / total for party, part in paid.items()}


def _add_all(to: dict[P, float], more: Mapping[P, float]) -> None:
    for party, value in more.items():
        to[party] = to.get(party, 0.0) + value


def _variances(
    groups: Sequence[Sequence[P]], chunks: Sequence[_Chunk[P]], rates: Rates[P]
) -> Steps[list[float]]:
    """Of each group's energy: through the weights (the same error in all chunks), through the
    sampling (its own in each), both by the derivative of the group's share, and through the floor:
    what wasn't taken off was booked by shares, as work. A step a chunk, then a step a group.

    Nobody is in two groups. Only what isn't zero is kept: of a thousand who came and went within
    an hour, few were there in the same minute, and few of their rates have an error in common."""
    group_of = {party: number for number, group in enumerate(groups) for party in group}
    places: dict[P, tuple[int, int | None]] = {}  # numbers of the rate and of the group
    bearers: dict[Hashable, tuple[int, P]] = {}  # of each rate its number, and one who has it
    for party in dict.fromkeys(party for chunk in chunks for party in chunk.sm_s):
        rate, _ = bearers.setdefault(rates.whose(party), (len(bearers), party))
        places[party] = rate, group_of.get(party)
    slopes: list[dict[int, float]] = []  # by chunk: d energy / d rate
    sums = [_Sum() for _ in groups]
    for number, chunk in enumerate(chunks):
        slopes.append(_look(chunk, number, rates, places, sums))
        yield
    covariance: list[tuple[array[int], array[float]]] = []  # of each rate: with whose, and how much
    for _, a in bearers.values():
        row = [rates.covariance(a, b) for _, b in bearers.values()]
        others = array("i", [j for j, value in enumerate(row) if value])
        covariance.append((others, array("d", [value for value in row if value])))
        if len(covariance) % _ROWS == 0:
            yield
    variances = []
    for one in sums:
        yield
        slope = one.slope
        for number, share in one.shares:
            for i, value in slopes[number].items():
                slope[i] = slope.get(i, 0.0) - share * value
        weighed = sum(
            mine * value * slope.get(j, 0.0)
            for i, mine in slope.items()
            for j, value in zip(*covariance[i], strict=True)
        )
        floor_uj2 = max(one.off_uj**2, one.extra_uj**2)
        variances.append(max(0.0, one.variance + weighed + floor_uj2))
    return variances


@dataclass(slots=True)
class _Sum:
    """What the chunks say of one group."""

    shares: list[tuple[int, float]] = field(default_factory=list)  # of chunks by number
    slope: dict[int, float] = field(default_factory=dict)  # of its own energy, by rate
    variance: float = 0.0  # through the sampling
    off_uj: float = 0.0  # booked by shares though it belonged to all equally
    extra_uj: float = 0.0  # booked as work though it was none


def _look(
    chunk: _Chunk[P],
    number: int,
    rates: Rates[P],
    places: Mapping[P, tuple[int, int | None]],
    sums: Sequence[_Sum],
) -> dict[int, float]:
    """Adds a chunk to the groups that are in it; what its energy is by each of the rates."""
    worked = [(party, used, rates.of(party)) for party, used in chunk.sm_s.items() if used > 0]
    total = sum([used * watts for _, used, watts in worked])
    if total <= 0:
        return {}
    scale = chunk.energy_uj / total
    slopes: dict[int, float] = {}
    groups: dict[int, list[float]] = {}  # share, Σ SM time × rate², how many
    for party, used, watts in worked:
        rate, group = places[party]
        slope = scale * used
        slopes[rate] = slopes.get(rate, 0.0) + slope
        if group is not None:
            of = groups.setdefault(group, [0.0, 0.0, 0.0])
            of[0] += used * watts / total
            of[1] += used * watts * watts
            of[2] += 1
            own = sums[group].slope
            own[rate] = own.get(rate, 0.0) + slope
    every = sum([used * watts * watts for _, used, watts in worked])
    noise = 0.0 if rates.exact else scale * scale / _SAMPLES_PER_S
    floor_uj, unsure_uj = chunk.floor_errors_uj(rates.floor)
    for group, (share, squares, count) in groups.items():
        one = sums[group]
        one.shares.append((number, share))
        one.off_uj += (count / len(worked) - share) * floor_uj
        one.extra_uj += share * unsure_uj
        one.variance += noise * (squares * (1 - 2 * share) + every * share * share)
    return slopes
