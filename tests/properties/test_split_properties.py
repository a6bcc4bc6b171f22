"""Whatever is learnt of whomever: parts add up, nothing is negative, nobody is paid for nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.attribution import Party, Sharing, split
from submeter.model import EnergySource, Floors, Interval, Owner, Phase, ProcessKey, Usage
from submeter.units import NS_PER_S

COUNT = 4
KEYS = [ProcessKey("boot", pid, pid) for pid in range(COUNT)]
OWNERS = [Owner(Phase.OTHER, f"w{pid % 3}") for pid in range(COUNT)]

seconds = st.tuples(
    st.lists(st.integers(0, 100), min_size=COUNT, max_size=COUNT),
    st.integers(0, 10**9),
    st.sets(st.integers(0, COUNT - 1)),
)


@given(history=st.lists(seconds, min_size=1, max_size=120))
@settings(max_examples=30, deadline=None)
def test_learnt_splits_add_up(history: list[tuple[list[int], int, set[int]]]) -> None:
    sharing = Sharing()
    for percents, energy_uj, gone in history:
        here = [i for i in range(COUNT) if i not in gone]
        sharing.present({KEYS[i]: OWNERS[i] for i in here})
        used: dict[ProcessKey | None, float] = {KEYS[i]: percents[i] / 100 for i in here}
        sharing.together(used, energy_uj / 1e6, Floors())
        parties = {Party(KEYS[i], OWNERS[i]): percents[i] / 100 for i in here}
        allotment = sharing.allot(parties, energy_uj, 1.0)
        assert all(part >= 0 for part in allotment.weights.values())
        assert all(parties[party] > 0 for party in allotment.weights)
        weights = {i: allotment.weights.get(party, 0) for i, party in enumerate(parties)}
        interval = Interval("GPU-1", 0, 0, NS_PER_S, energy_uj, EnergySource.COUNTER)
        usage = Usage(
            tuple(OWNERS[i] for i in here),
            {n: percents[i] for n, i in enumerate(here)},
            weights=weights if allotment.learnt else None,
        )
        postings = split(interval, usage, Floors())
        assert sum(posting.energy_uj for posting in postings) == energy_uj
    errors = sharing.standard_errors(now=True)
    total_uj = sum(energy_uj for _, energy_uj, _ in history)
    assert all(0 <= error < 10 * total_uj + 1 for error in errors.values())
