"""Shared energy and SM time in; what to book each second by, and how far off the sums are, out.

One second of the ring has seven samples: split by them alone, energy is not only noisy but biased
(a share of noisy shares). So the split is settled over minutes: chunks of time add up energy and
SM time, a chunk's energy belongs to its parties by β × SM time, and every second's postings pay
what is still owed, within limits. Better weights correct what was booked by worse ones the same
way; nothing that was booked is ever taken back.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from submeter.attribution.linear import dot
from submeter.units import UJ_PER_J

P = TypeVar("P", bound=Hashable)
Q = TypeVar("Q", bound=Hashable, contravariant=True)

CHUNK_S: Final = 60.0
_CHUNKS: Final = 64
_CORRECTION: Final = 0.25
"""At most this part of a second's energy is booked differently from that second's own shares."""
_SAMPLES_PER_S: Final = 7.2


class Rates(Protocol[Q]):
    """What the tab has to know of the weights."""

    def of(self, party: Q) -> float:
        """Watts per unit of SM time."""
        ...

    def covariance(self, a: Q, b: Q) -> float:
        """Of the errors of two parties' rates."""
        ...

    @property
    def floor_error_watts(self) -> float:
        """How far the floor that was taken off may be from what it is."""
        ...

    @property
    def exact(self) -> bool:
        """Whether SM times are free of sampling noise."""
        ...


@dataclass(slots=True)
class _Chunk(Generic[P]):
    """A minute or so of sharing."""

    seconds: float = 0.0
    energy_uj: float = 0.0
    sm_s: dict[P, float] = field(default_factory=dict)

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
        self._open: _Chunk[P] = _Chunk()
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

    def reprice(self, rates: Rates[P]) -> None:
        """There are new weights: what everybody should have been booked so far."""
        self._settled = dict(self._frozen)
        for chunk in self._chunks:
            _add_all(self._settled, chunk.targets(rates))

    def errors(self, groups: Sequence[Sequence[P]], rates: Rates[P]) -> list[float]:
        """Standard error in µJ of what each group of parties was booked: of the weights, of the
        sampling, and what is still owed."""
        chunks = [*self._chunks, self._open]
        due = self._open.targets(rates)
        result = []
        for group, variance in zip(groups, _variances(groups, chunks, rates), strict=True):
            owed = frozen = 0.0
            for party in group:
                target = self._settled.get(party, 0.0) + due.get(party, 0.0)
                owed += target - self._posted.get(party, 0.0)
                frozen += self._frozen_sd.get(party, 0.0)
            result.append(math.sqrt((math.sqrt(variance) + frozen) ** 2 + owed * owed))
        return result

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
            self._chunks.append(chunk)
            _add_all(self._settled, chunk.targets(rates))
            chunk = self._open = _Chunk()
            if len(self._chunks) > _CHUNKS:
                self._freeze(self._chunks.pop(0), rates)
        chunk.seconds += seconds
        chunk.energy_uj += energy_uj
        _add_all(chunk.sm_s, worked)

    def _freeze(self, chunk: _Chunk[P], rates: Rates[P]) -> None:
        """Errors of the weights stay the same for long: those of frozen chunks add up."""
        _add_all(self._frozen, chunk.targets(rates))
        groups = [[party] for party in chunk.sm_s]
        for (party,), variance in zip(groups, _variances(groups, [chunk], rates), strict=True):
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
) -> list[float]:
    """Of each group's energy: through the weights (the same error in all chunks), through the
    sampling (its own in each), both by the derivative of the group's share, and through the floor:
    what it lacks was split by shares, though it belongs to all equally."""
    at = {party: i for i, party in enumerate(dict.fromkeys(p for c in chunks for p in c.sm_s))}
    watts = {party: rates.of(party) for party in at}
    slopes: list[list[float]] = [[] for _ in at]  # by party: d energy / d rate, chunk by chunk
    shares: list[list[float]] = [[] for _ in groups]
    variances = [0.0] * len(groups)
    floors_uj = [0.0] * len(groups)
    for chunk in chunks:
        priced = {party: watts[party] * used for party, used in chunk.sm_s.items()}
        total = sum(priced.values())
        scale = chunk.energy_uj / total if total > 0 else 0.0
        for party, i in at.items():
            slopes[i].append(scale * chunk.sm_s.get(party, 0.0))
        squares = {party: value * watts[party] for party, value in priced.items()}
        every = sum(squares.values())
        noise = 0.0 if rates.exact else scale * scale / _SAMPLES_PER_S
        for number, group in enumerate(groups):
            share = sum(priced.get(party, 0.0) for party in group) / total if total > 0 else 0.0
            own = sum(squares.get(party, 0.0) for party in group)
            shares[number].append(share)
            equal = sum(party in priced for party in group) / max(len(priced), 1)
            floors_uj[number] += (
                (equal - share) * chunk.seconds * rates.floor_error_watts * UJ_PER_J
            )
            variances[number] += noise * (own * (1 - 2 * share) + every * share * share)
    covariance = [[rates.covariance(a, b) for b in at] for a in at]
    for number, group in enumerate(groups):
        slope = [-dot(shares[number], column) for column in slopes]
        for party in group:
            if party in at:
                slope[at[party]] += sum(slopes[at[party]])
        variances[number] += dot(slope, [dot(row, slope) for row in covariance])
        variances[number] += floors_uj[number] ** 2
    return [max(0.0, variance) for variance in variances]
