"""One shared GPU: utilisation calls and energies in, weights for the split and its errors out.

Ties together who there is to learn about (`weights`), what is owed (`tab`) and what is known of
programs from earlier runs and other boards of the kind.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights
from submeter.attribution.steps import Steps, finished
from submeter.attribution.tab import Tab
from submeter.attribution.weights import WeightLearner
from submeter.model import Floors, Owner, ProcessKey

_PROGRAMS: Final = 1_024
_REMEMBERED_SD: Final = 0.3
"""Of a program's remembered weight: the next run has another model, batch or input."""


_ERRORS_EVERY: Final = 30
_STEPS: Final = 4  # of finding out the errors that are done in a second
_FLOOR_SD_WATTS: Final = 3.0  # of one that was seen


class Party(NamedTuple):
    """Who is booked: a process (None: PIDs that are no known holder) under one set of labels."""

    key: ProcessKey | None
    owner: Owner | None
    mig: str = ""


class Allotment(NamedTuple):
    """What an interval is split by. ``learnt`` False: SM time alone."""

    weights: Mapping[Party, int]
    learnt: bool


class Programs:
    """Watts per unit of SM time of programs, by kind of board: what the next run may expect."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Prior] = {}

    def prior(self, board: str, owner: Owner) -> Prior | None:
        """For a process that was just met."""
        return self._known.get((board, owner.phase, owner.workload)) if owner.workload else None

    def remember(self, board: str, owner: Owner, watts: float, sd_watts: float) -> None:
        """What a process of that program was found to draw."""
        if not owner.workload:
            return
        key = (board, owner.phase, owner.workload)
        self._known.pop(key, None)
        self._known[key] = Prior(watts, max(sd_watts, _REMEMBERED_SD * watts))
        if len(self._known) > _PROGRAMS:
            del self._known[next(iter(self._known))]


class _Seats:
    """A number for every party: hashing labels is most of what a dictionary of parties costs."""

    def __init__(self) -> None:
        self.parties: dict[int, Party] = {}
        self._numbers: dict[Party, int] = {}
        self._next = 0

    def number(self, party: Party) -> int:
        seat = self._numbers.get(party)
        if seat is None:
            seat = self._numbers[party] = self._next
            self.parties[seat] = party
            self._next += 1
        return seat

    def leave(self, seat: int) -> None:
        del self._numbers[self.parties.pop(seat)]


class _Rates:
    """The learnt weights as the tab wants them."""

    def __init__(self, weights: Weights[ProcessKey | None] | None, seats: _Seats) -> None:
        self._weights = weights
        self._seats = seats
        self._watts: dict[int, float] = {}

    def of(self, seat: int) -> float:
        watts = self._watts.get(seat)
        if watts is None:
            weights = self._weights
            watts = 1.0 if weights is None else weights.of(self._seats.parties[seat].key)
            watts = self._watts[seat] = max(watts, 1e-9)
        return watts

    def covariance(self, a: int, b: int) -> float:
        """Not learnt: the distance to what the weights seem to be is an error, too."""
        weights = self._weights
        one, other = self._seats.parties[a].key, self._seats.parties[b].key
        if weights is None:
            return PRIOR_SD**2 if one == other else 0.0
        i, j = weights.index.get(one), weights.index.get(other)
        if i is None or j is None:
            return (PRIOR_SD * weights.slope) ** 2 if one == other else 0.0
        value = weights.covariance[i][j]
        if not weights.learnt:
            value += (weights.watts[i] - weights.slope) * (weights.watts[j] - weights.slope)
        return value

    def whose(self, seat: int) -> ProcessKey | None:
        return self._seats.parties[seat].key

    @property
    def floor(self) -> Prior | None:
        return None if self._weights is None else self._weights.floor

    @property
    def exact(self) -> bool:
        return self._weights is not None and self._weights.exact


class Sharing:
    """What is learnt of the processes on one GPU. One thread."""

    def __init__(
        self,
        board: str = "",
        programs: Programs | None = None,
        shown: Callable[[Owner], Owner] = lambda owner: owner,
    ) -> None:
        """``shown``: under whose name somebody's energy is published, as errors then are once he
        is gone: names without end must not be kept without end."""
        self._shown = shown
        self._board = board
        self._programs = Programs() if programs is None else programs
        self._learner: WeightLearner[ProcessKey | None] = WeightLearner()
        self._tab: Tab[int] = Tab()
        self._seats = _Seats()
        self._owners: dict[ProcessKey | None, Owner] = {}
        self._rates = _Rates(None, self._seats)
        self._errors_uj: Mapping[tuple[Owner, str], int] = {}
        self._gone_uj2: dict[tuple[Owner, str], float] = {}  # variance of those who are gone
        self._floor_seen = True
        self._booked = 0
        self._next_estimate = _ERRORS_EVERY
        self._estimation: Steps[None] | None = None

    @property
    def weights(self) -> Weights[ProcessKey | None] | None:
        """Watts per unit of SM time as learnt last."""
        return self._learner.weights

    @property
    def failures(self) -> int:
        """Estimates that ended in a number too large or too small, and were given up."""
        return self._learner.failures

    def present(self, holders: Mapping[ProcessKey, Owner]) -> None:
        """These hold the GPU now."""
        for key, owner in holders.items():
            if not self._learner.knows(key):
                self._learner.meet(key, self._programs.prior(self._board, owner))
        if holders.keys() != self._owners.keys() - {None}:
            self._learner.retain({None, *holders})
        self._owners = {key: owner for key, owner in holders.items()}

    def together(
        self,
        sm_time: Mapping[ProcessKey | None, float],
        watts: float,
        floor: Floors | None,
        *,
        seconds: float = 1.0,
        exact: bool = False,
    ) -> None:
        """One utilisation call: shares of the ``seconds`` since the one before (None: of PIDs that
        are no known holder), power meanwhile, and the floor in it if that is known. ``exact``:
        shares that are counted, not sampled."""
        if None in sm_time:
            self._learner.meet(None, None)
        self._floor_seen = floor is not None
        known = UNKNOWN_FLOOR
        if floor is not None:
            known = Prior((floor.idle_mw + floor.context_mw) / 1000, _FLOOR_SD_WATTS)
        if self._learner.together(
            dict(sm_time), max(watts, 0.0), known, seconds=seconds, exact=exact
        ):
            self._learnt()

    def alone(self, key: ProcessKey, share: float, watts: float) -> None:
        """A second with one holder: the GPU's utilisation is that process's."""
        self._learner.alone(key, share, max(watts, 0.0))

    def interrupt(self) -> None:
        """The GPU wasn't seen for a while."""
        self._learner.interrupt()

    def allot(
        self, sm_s: Mapping[Party, float], energy_uj: int, seconds: float, floor_uj: int = 0
    ) -> Allotment:
        """By what an interval's dynamic energy is to be split; books it as split so. ``floor_uj``:
        what was taken off for floor and step."""
        weights = self._learner.weights
        learnt = weights is not None and weights.learnt
        number, parties = self._seats.number, self._seats.parties
        used = {number(party): time for party, time in sm_s.items() if time > 0}
        parts = self._tab.book(used, energy_uj, seconds, self._rates, pay=learnt)
        if not self._floor_seen:
            self._tab.unsure(seconds, floor_uj)
        self._booked += 1
        self._estimate()
        return Allotment({parties[seat]: part for seat, part in parts.items()}, learnt)

    def standard_errors(self, *, now: bool = False) -> Mapping[tuple[Owner, str], int]:
        """µJ by owner and MIG instance, of all that was booked to them through a split here; as
        of some minutes ago or, for tests, ``now``. The same object until they are found anew."""
        if now:
            self._estimation = None
            finished(self._errors())
        return self._errors_uj

    def _estimate(self) -> None:
        """Goes on finding out the errors."""
        if self._estimation is None:
            if self._booked < self._next_estimate:
                return
            self._next_estimate = self._booked + max(_ERRORS_EVERY, 8 * len(self._owners))
            self._estimation = self._errors()
        for _ in range(_STEPS):
            try:
                next(self._estimation)
            except StopIteration:
                self._estimation = None
                return

    def _errors(self) -> Steps[None]:
        """Processes of one owner: errors of those alive add up through their covariance, those
        of processes that are gone and settled are independent of them."""
        alive: dict[tuple[Owner, str], list[int]] = {}
        for seat in self._tab.parties():
            party = self._seats.parties[seat]
            if party.owner is None:
                continue
            group = (party.owner, party.mig)
            if party.key in self._owners or not self._tab.is_settled(seat):
                alive.setdefault(group, []).append(seat)
                continue
            error = self._tab.settled_error(seat)
            group = (self._shown(party.owner), party.mig)
            self._gone_uj2[group] = self._gone_uj2.get(group, 0.0) + error * error
            self._tab.forget(seat)
            self._seats.leave(seat)
        gone_uj2 = dict(self._gone_uj2)
        errors = yield from self._tab.errors(list(alive.values()), self._rates)
        errors_uj = {group: round(variance**0.5) for group, variance in gone_uj2.items()}
        for group, error in zip(alive, errors, strict=True):
            errors_uj[group] = round((error * error + gone_uj2.get(group, 0.0)) ** 0.5)
        self._errors_uj = errors_uj

    def _learnt(self) -> None:
        weights = self._learner.weights
        self._rates = _Rates(weights, self._seats)
        self._tab.reprice(self._rates)
        if weights is None or not weights.learnt:
            return
        for key, owner in self._owners.items():
            at = weights.index.get(key)
            if at is not None:
                sd = weights.covariance[at][at] ** 0.5
                if sd < PRIOR_SD * weights.slope / 2:
                    self._programs.remember(self._board, owner, weights.watts[at], sd)
