"""One shared GPU: utilisation calls and energies in, weights for the split and its errors out.

Ties together who there is to learn about (`weights`), what is owed (`tab`) and what is known of
programs from earlier runs and other boards of the kind.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from submeter.attribution.tab import Tab
from submeter.attribution.weights import PRIOR_SD, Prior, WeightLearner, Weights
from submeter.model import Owner, ProcessKey

_PROGRAMS: Final = 1_024
_REMEMBERED_SD: Final = 0.3
"""Of a program's remembered weight: the next run has another model, batch or input."""


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


class _Rates:
    """The learnt weights as the tab wants them."""

    def __init__(self, weights: Weights[ProcessKey | None] | None) -> None:
        self._weights = weights

    def of(self, party: Party) -> float:
        return 1.0 if self._weights is None else max(self._weights.of(party.key), 1e-9)

    def covariance(self, a: Party, b: Party) -> float:
        """Not learnt: the distance to what the weights seem to be is an error, too."""
        weights = self._weights
        if weights is None:
            return PRIOR_SD**2 if a.key == b.key else 0.0
        i, j = weights.index.get(a.key), weights.index.get(b.key)
        if i is None or j is None:
            return (PRIOR_SD * weights.slope) ** 2 if a.key == b.key else 0.0
        value = weights.covariance[i][j]
        if not weights.learnt:
            value += (weights.watts[i] - weights.slope) * (weights.watts[j] - weights.slope)
        return value

    @property
    def exact(self) -> bool:
        return self._weights is not None and self._weights.exact


class Sharing:
    """What is learnt of the processes on one GPU. One thread."""

    def __init__(self, board: str = "", programs: Programs | None = None) -> None:
        self._board = board
        self._programs = Programs() if programs is None else programs
        self._learner: WeightLearner[ProcessKey | None] = WeightLearner()
        self._tab: Tab[Party] = Tab()
        self._owners: dict[ProcessKey | None, Owner] = {}
        self._rates = _Rates(None)

    @property
    def weights(self) -> Weights[ProcessKey | None] | None:
        """Watts per unit of SM time as learnt last."""
        return self._learner.weights

    def present(self, holders: Mapping[ProcessKey, Owner]) -> None:
        """These hold the GPU now."""
        for key, owner in holders.items():
            if not self._learner.knows(key):
                self._learner.meet(key, self._programs.prior(self._board, owner))
        if holders.keys() != self._owners.keys() - {None}:
            self._learner.retain({None, *holders})
        self._owners = {**holders}

    def together(self, sm_time: Mapping[ProcessKey | None, float], watts: float) -> None:
        """One utilisation call: shares of the time since the one before, dynamic power meanwhile.
        None: PIDs that are no known holder."""
        if None in sm_time and not self._learner.knows(None):
            self._learner.meet(None, None)
        if self._learner.together(dict(sm_time), max(watts, 0.0)):
            self._learnt()

    def alone(self, key: ProcessKey, share: float, watts: float) -> None:
        """A second with one holder: the GPU's utilisation is that process's."""
        self._learner.alone(key, share, max(watts, 0.0))

    def interrupt(self) -> None:
        """The GPU wasn't seen for a while."""
        self._learner.interrupt()

    def allot(self, sm_s: Mapping[Party, float], energy_uj: int, seconds: float) -> Allotment:
        """By what an interval's dynamic energy is to be split; books it as split so."""
        weights = self._learner.weights
        learnt = weights is not None and weights.learnt
        parts = self._tab.book(sm_s, energy_uj, seconds, self._rates, pay=learnt)
        return Allotment(parts, learnt)

    def standard_errors(self) -> dict[tuple[Owner, str], int]:
        """µJ by owner and MIG instance, of all that was booked to them through a split here."""
        groups: dict[tuple[Owner, str], list[Party]] = {}
        for party in self._tab.parties():
            if party.owner is not None:
                groups.setdefault((party.owner, party.mig), []).append(party)
        errors = self._tab.errors(list(groups.values()), self._rates)
        return {group: round(error) for group, error in zip(groups, errors, strict=True)}

    def _learnt(self) -> None:
        weights = self._learner.weights
        self._rates = _Rates(weights)
        self._tab.reprice(self._rates)
        if weights is None or not weights.learnt:
            return
        for key, owner in self._owners.items():
            at = weights.index.get(key)
            if at is not None:
                sd = weights.covariance[at][at] ** 0.5
                if sd < PRIOR_SD * weights.slope / 2:
                    self._programs.remember(self._board, owner, weights.watts[at], sd)
