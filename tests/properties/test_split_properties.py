"""Whatever is learnt of whomever: parts add up, nothing is negative, nobody is paid for nothing."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.attribution import Party, Programs, Sharing, split
from submeter.model import (
    EnergySource,
    Floors,
    Holder,
    InstanceActivity,
    Interval,
    Owner,
    Phase,
    ProcessKey,
    Reading,
    Usage,
)
from submeter.sampling.watch import Batch, Held
from submeter.signals import Signals
from submeter.units import NS_PER_S

COUNT = 4
KEYS = [ProcessKey("boot", pid, pid) for pid in range(COUNT)]
OWNERS = [Owner(Phase.OTHER, f"w{pid % 3}") for pid in range(COUNT)]

seconds = st.tuples(
    st.lists(st.integers(0, 100), min_size=COUNT, max_size=COUNT),
    st.integers(0, 10**9),
    st.sets(st.integers(0, COUNT - 1)),
)


@pytest.mark.fault("F46")
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


LABELS = ("3g.40gb/1", "1c.2g.20gb/3", "1c.2g.20gb/3", "1g.10gb/9")

layouts = st.tuples(
    st.sets(st.integers(0, COUNT - 1)),  # who is there
    st.dictionaries(st.sampled_from([1, 3, 9]), st.integers(0, 1_000_000)),  # who was busy
    st.integers(0, 10**9),
    st.booleans(),  # partitioned at all
)


@pytest.mark.fault("F18", "F19")
@given(history=st.lists(layouts, min_size=1, max_size=80))
@settings(max_examples=30, deadline=None)
def test_partitioned_gpus_add_up_while_their_layout_changes(
    history: list[tuple[set[int], dict[int, int], int, bool]],
) -> None:
    """Instances come and go, are learnt of, are busy for strangers: each joule once."""
    signals = Signals("board", Programs())
    slices = {1: 3, 3: 2, 9: 1}
    energy_uj, everybody = 0, dict(zip(KEYS, OWNERS, strict=True))

    def owner_of(key: ProcessKey | None) -> Owner:
        return Owner(Phase.UNATTRIBUTED, "?") if key is None else everybody[key]

    for second, (present, busy, gained_uj, mig) in enumerate(history, 1):
        energy_uj += gained_uj
        held = tuple(
            Held(Holder(KEYS[i].pid, mig=LABELS[i] if mig else ""), KEYS[i])
            for i in sorted(present)
        )
        last = Reading(second * NS_PER_S, energy_uj, None, None, None, None, None)
        instances = tuple(InstanceActivity(gi, slices[gi], ppm) for gi, ppm in busy.items())
        batch = Batch(NS_PER_S, (), last, instances if mig else ())
        watch: Any = SimpleNamespace(held=held, batches=deque([batch]), activity=None)
        signals.take(watch, second * NS_PER_S, Floors(), owner_of)
        start_ns = (second - 1) * NS_PER_S
        interval = Interval(
            "GPU-1", 0, start_ns, second * NS_PER_S, gained_uj, EnergySource.COUNTER
        )
        usage = signals.usage(interval, held, Floors(), owner_of)
        postings = split(interval, usage, Floors(), second)
        assert sum(posting.energy_uj for posting in postings) == gained_uj
        assert all(posting.energy_uj > 0 for posting in postings)
        if mig and any(busy.values()) and len(held) > 1:
            worked = {label for label in LABELS if busy.get(int(label.rpartition("/")[2]))}
            charged = {p.account.mig for p in postings if p.account.component == "dynamic"}
            assert charged <= worked | {""}
