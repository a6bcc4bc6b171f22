"""Whatever happens to a GPU and its processes: Σ parts = what the counter gained, to the µJ.

A history is made by a seeded generator, because thousands of short ones are wanted per second;
what the counter gained is computed from what it showed, without the code under test.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.attribution import split
from submeter.metering import Meter
from submeter.model import Account, EnergySource, Floors, Owner, Phase, Reading, Usage
from submeter.units import NS_PER_MS, NS_PER_S, PJ_PER_UJ, UJ_PER_J

WORK = (Phase.TRAINING, Phase.INFERENCE, Phase.OTHER, Phase.UNKNOWN)
PAUSES_NS = tuple(ms * NS_PER_MS for ms in (5, 10, 100, 100, 100, 1_000, 4_000, 7_000, 60_000))
LIMIT_MW = 700_000


@dataclass(slots=True)
class History:
    """One GPU's life: what its counter does, who holds it, what was posted."""

    rng: random.Random
    meter: Meter
    at_ns: int = 10**12
    value_uj: int = 0
    highest_uj: int = 0  # shown in this epoch
    base_uj: int = 0
    gained_uj: int = 0  # in the epochs before this one
    resets: int = 0
    glitches: int = 0  # that look like resets, for a while
    owner_of: dict[int, Owner] = field(default_factory=dict)  # by PID, which are reused
    posted: Counter[Account] = field(default_factory=Counter)
    energy_uj: int = 0
    seen_resets: int = 0
    end_ns: int | None = None
    turn: int = 0

    def live(self) -> None:
        self.value_uj = self.highest_uj = self.base_uj = self.rng.randrange(10**12, 10**14)
        self.show(self.value_uj)
        for _ in range(self.rng.randrange(2, 11)):
            self.step()
        for _ in range(2):  # enough to repay what was booked for a counter that only fell
            self.at_ns += NS_PER_S
            self.value_uj += 100 * UJ_PER_J
            self.show(self.value_uj)
        self.at_ns += 5 * NS_PER_S
        self.settle()

    def step(self) -> None:
        rng = self.rng
        pause_ns = self.pass_time()
        if rng.random() < 0.1:
            self.restart(pause_ns)
        else:
            self.draw(pause_ns)
        what = rng.random()
        if what < 0.03:
            self.stand_still()
        elif what < 0.1 and not self.resets:
            self.glitch()
        elif what < 0.7:
            self.show(self.value_uj)
        elif what < 0.8:
            jitter_uj = rng.randrange(5 * UJ_PER_J) if self.value_uj > 20 * UJ_PER_J else 0
            self.show(self.value_uj - jitter_uj)
        elif what < 0.9:
            self.meter.observe(Reading(self.at_ns, None, None, None, None, None, None))
        elif what < 0.95:
            self.meter.lost(self.at_ns)
        if rng.random() < 0.4:
            self.settle()

    def pass_time(self) -> int:
        pause_ns = self.rng.choice(PAUSES_NS)
        self.at_ns += pause_ns
        return pause_ns

    def draw(self, pause_ns: int) -> None:
        self.value_uj += self.rng.randrange(900_000) * pause_ns // PJ_PER_UJ

    def restart(self, pause_ns: int) -> None:
        """The driver is reloaded some time in the pause. The value must show that it was."""
        value_uj = self.rng.randrange(900_000) * self.rng.randrange(pause_ns) // PJ_PER_UJ
        if value_uj > self.highest_uj - 30 * UJ_PER_J:
            return
        self.gained_uj += self.highest_uj - self.base_uj
        self.value_uj = value_uj
        self.highest_uj = self.base_uj = 0
        self.resets += 1
        self.show(value_uj)

    def stand_still(self) -> None:
        """The counter hangs while the board draws 200 W or more; its gauge says 100 W."""
        self.show(self.value_uj)
        for _ in range(self.rng.randrange(5, 20)):
            self.at_ns += NS_PER_S
            reading = Reading(self.at_ns, self.highest_uj, None, 100_000, None, None, None)
            self.meter.observe(reading)
            self.value_uj += self.rng.randrange(200, 900) * UJ_PER_J
            if self.rng.random() < 0.1:
                self.settle()
        self.draw(self.pass_time())
        self.show(self.value_uj)

    def glitch(self) -> None:
        """The counter shows nonsense once, and then what is true."""
        lifetime_uj = self.highest_uj
        nonsense_uj = self.rng.choice((0, 200 * UJ_PER_J, lifetime_uj // 2, lifetime_uj * 2, 2**64))
        self.meter.observe(Reading(self.at_ns, nonsense_uj, None, None, None, None, None))
        self.glitches += nonsense_uj < lifetime_uj
        self.draw(self.pass_time())
        self.show(self.value_uj)

    def show(self, value_uj: int) -> None:
        self.highest_uj = max(self.highest_uj, value_uj)
        self.meter.observe(Reading(self.at_ns, value_uj, None, None, None, None, None))

    def settle(self) -> None:
        usage = self.usage()
        floors = Floors(*(self.rng.choice(((0, 0), (70_000, 0), (70_000, 40_000)))))
        for interval in self.meter.close(self.at_ns + self.rng.randrange(4_000) * NS_PER_MS):
            assert self.end_ns in (None, interval.start_ns)
            assert interval.start_ns < interval.end_ns
            self.end_ns = interval.end_ns
            postings = split(interval, usage, floors, self.turn)
            self.turn += 1
            assert sum(posting.energy_uj for posting in postings) == interval.energy_uj
            assert all(posting.energy_uj > 0 for posting in postings)
            for posting in postings:
                self.posted[posting.account] += posting.energy_uj
            self.energy_uj += interval.energy_uj
            self.seen_resets += interval.resets

    def usage(self) -> Usage | None:
        """Processes come, exit, and new ones get the PIDs of those that have gone."""
        rng = self.rng
        if rng.random() < 0.05:
            return None
        crowd = (0, 0, 1, 2, 8) if self.owner_of else (0, 1, 1, 2, 3, 8, 64)
        arrivals = rng.choice(crowd)
        for _ in range(arrivals):
            self.owner_of[rng.randrange(200)] = Owner(rng.choice(WORK), f"job{rng.randrange(9)}")
        for pid in rng.sample(
            sorted(self.owner_of),
            rng.randrange(len(self.owner_of) // 4 + 2) % (len(self.owner_of) + 1),
        ):
            if rng.random() < 0.5:
                del self.owner_of[pid]
        holders = tuple(self.owner_of.values())[:64]
        if rng.random() < 0.2:
            return Usage(holders)
        busy = {i: rng.randrange(101) for i in range(len(holders)) if rng.random() < 0.7}
        return Usage(holders, busy, rng.choice((0, 0, 0, 17)))

    def off_uj(self) -> tuple[int, int, int]:
        """What was metered and what was posted, less what the counter gained; and epochs that
        were seen, less those that there were. All 0."""
        gained_uj = self.gained_uj + self.highest_uj - self.base_uj
        return (
            self.energy_uj - gained_uj,
            sum(self.posted.values()) - gained_uj,
            self.seen_resets - self.resets - self.glitches,
        )


def made(state: int) -> History:
    """The history of a seed, still to be lived."""
    meter = Meter("GPU-1", EnergySource.COUNTER, LIMIT_MW, 100 * NS_PER_MS)
    return History(random.Random(state), meter)


def run(seed: int, count: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        state = rng.getrandbits(64)
        history = made(state)
        history.live()
        assert history.off_uj() == (0, 0, 0), f"random.Random({state})"


@given(seed=st.integers(0, 2**64 - 1))
@settings(max_examples=20, deadline=None)
def test_parts_sum_to_the_counters_gain(seed: int) -> None:
    run(seed, 50)


@pytest.mark.fault("F46")
@pytest.mark.slow
@pytest.mark.timeout(900)
@given(seed=st.integers(0, 2**64 - 1))
@settings(max_examples=100, deadline=None, phases=[Stage.generate])
def test_parts_sum_to_the_counters_gain_in_100_000_histories(seed: int) -> None:
    run(seed, 1_000)
