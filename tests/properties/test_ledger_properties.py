"""Whatever is booked, whatever the clock says, however it is asked for: the sums are the same."""

import random
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.ledger import DurableLedger
from submeter.ledger.audit import audit
from submeter.ledger.opening import open_store
from submeter.ledger.reader import open_reader
from submeter.ledger.records import Session
from submeter.ledger.retention import Keep
from submeter.ledger.rows import LEVELS
from submeter.ledger.schema import FILE_NAME
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    CounterState,
    EnergySource,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.testing.memory import IN_MEMORY
from submeter.units import NS_PER_S

START_S = 1_767_225_600
FAR_S = 1 << 40
GPUS = ("GPU-1", "GPU-2")
SHORT = Keep(tens_days=0.002, minute_days=0.02, hour_days=0.5)

steps = st.lists(
    st.tuples(
        st.sampled_from([1, 3, 10, 60, 600, 3_600, 40_000]),  # seconds that pass
        st.sampled_from([0, 0, 0, 0, 1, -1, 7_200, -7_200, 86_400, -400_000]),  # clock is set by
        st.sampled_from(GPUS),
        st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**13), max_size=3),
        st.booleans(),  # the agent is restarted afterwards
    ),
    min_size=1,
    max_size=40,
)

Step = tuple[int, int, str, dict[str, int], bool]


def keep_books(directory: Path, history: list[Step], keep: Keep, *, jumps: bool) -> Counter[str]:
    """Books a history; gives the µJ by GPU and name that a plain sum of it has."""
    directory.mkdir(mode=0o700, exist_ok=True)
    expected: Counter[str] = Counter()
    now_ns, wall_ns = 10**12, START_S * NS_PER_S
    store, loaded = open_store(directory, "nvml", wall_ns, keep)
    session = Session(0, "nvml", "1", "", "boot", wall_ns, now_ns)
    ledger = DurableLedger(loaded, session, DirectWriter(store))
    for seconds, jump_s, gpu, energies, restart in history:
        start_ns = now_ns
        now_ns += seconds * NS_PER_S
        wall_ns += (seconds + (jump_s if jumps else 0)) * NS_PER_S
        energy_uj = sum(energies.values())
        counter = CounterState(energy_uj, energy_uj, now_ns, 0, energy_uj, 0, 0, 0)
        state = MeterState(now_ns, now_ns, now_ns, counter)
        source = EnergySource.COUNTER
        interval = Interval(gpu, 0, start_ns, now_ns, energy_uj, source, state=state)
        postings = []
        for name, uj in energies.items():
            account = Account(gpu, "", Component.DYNAMIC, Owner(Phase.TRAINING, name))
            postings.append(Posting(account, Method.EXCLUSIVE, uj))
            expected[f"{gpu} {name}"] += uj
        ledger.post(interval, postings)
        ledger.commit(now_ns, wall_ns)
        if restart:
            store.close()
            store, loaded = open_store(directory, "nvml", wall_ns, keep)
            ledger = DurableLedger(loaded, session, DirectWriter(store))
    assert sum(ledger.accounts().values()) == expected.total()
    store.close()
    return +expected


def read(directory: Path, since_s: int, until_s: int, edges: list[int]) -> Counter[str]:
    found: Counter[str] = Counter()
    with open_reader(directory) as reader:
        for piece in reader.pieces(since_s, until_s, edges):
            for series, energy_uj in piece.energy:
                found[f"{piece.gpu.uuid} {series.account.owner.workload}"] += energy_uj
    return +found


@pytest.mark.fault("F70")
@settings(max_examples=100, deadline=None)
@given(history=steps, jumps=st.booleans(), short=st.booleans(), seed=st.integers(0, 2**32))
def test_roll_ups_retention_restarts_and_clocks_keep_every_sum(
    history: list[Step], jumps: bool, short: bool, seed: int
) -> None:
    keep = SHORT if short else Keep()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as scratch:
        directory = Path(scratch) / "state"
        expected = keep_books(directory, history, keep, jumps=jumps)
        assert not audit(directory).problem
        rng = random.Random(seed)
        step = rng.choice([10, 60, 1_800, 3_600, 86_400, 777])
        edges = list(range(START_S - 500_000, START_S + 2_000_000, step * 50))
        assert read(directory, 0, FAR_S, []) == expected
        assert read(directory, 0, FAR_S, edges) == expected
        # any partition of the time sums to the whole
        cuts = sorted(rng.sample(range(START_S - 500_000, START_S + 2_000_000), 3))
        parts: Counter[str] = Counter()
        for since_s, until_s in zip([0, *cuts], [*cuts, FAR_S], strict=True):
            parts += read(directory, since_s, until_s, cuts)
        assert parts == expected


@settings(max_examples=30, deadline=None)
@given(history=steps, quarter=st.integers(1, 3))
def test_clocks_off_by_quarters_of_an_hour_are_read_as_exactly(
    history: list[Step], quarter: int
) -> None:
    """By hours of Nepal, India or Lord Howe: what tens say, whichever rows are read for it."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as scratch:
        directory = Path(scratch) / "state"
        expected = keep_books(directory, history, Keep(400, 400, 400), jumps=False)
        first_s = START_S - 3_600 + quarter * 900
        hours = list(range(first_s, START_S + 2_000_000, 3_600))
        tens = list(range(first_s, START_S + 2_000_000, 10))
        found: list[Counter[int]] = []
        with open_reader(directory) as reader:
            for edges in (hours, tens):
                sums: Counter[int] = Counter()
                for piece in reader.pieces(0, FAR_S, edges):
                    sums[(piece.start_s - first_s) // 3_600] += piece.sum_uj
                found.append(+sums)
        assert found[0] == found[1]
        assert found[0].total() == expected.total()


@pytest.mark.threat("T26")
@settings(max_examples=40, deadline=None)
@given(history=steps, jumps=st.booleans(), short=st.booleans(), data=st.data())
def test_a_row_that_is_taken_out_is_missed(
    history: list[Step], jumps: bool, short: bool, data: st.DataObject
) -> None:
    """Of any level, the newest included, though what it covers is there and adds up. But for the
    oldest, where retention might have removed it: then a longer row still has every joule of it."""
    keep = SHORT if short else Keep()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as scratch:
        directory = Path(scratch) / "state"
        expected = keep_books(directory, history, keep, jumps=jumps)
        open_store(directory, "nvml", START_S * NS_PER_S, keep)[0].finish()
        connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
        for table in [level.name for level in LEVELS]:
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY gpu, seq").fetchall()
            for row in [data.draw(st.sampled_from(rows)), rows[-1]] if rows else []:
                gpu, seq = row[:2]
                connection.execute(f"DELETE FROM {table} WHERE gpu = ? AND seq = ?", (gpu, seq))
                if not audit(directory).problem:
                    assert seq == min(each[1] for each in rows if each[0] == gpu), table
                    assert seq < max(each[1] for each in rows if each[0] == gpu), table
                    assert table != "days"
                    assert read(directory, 0, FAR_S, []) == expected
                connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", row)
        assert not audit(directory).problem
        connection.close()


@pytest.mark.fault("F50", "F53")
@settings(max_examples=40, deadline=None)
@given(history=steps)
def test_setting_the_clock_changes_no_joule(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as scratch:
        still = keep_books(Path(scratch) / "still", history, Keep(), jumps=False)
        jumped = keep_books(Path(scratch) / "jumped", history, Keep(), jumps=True)
        assert still == jumped
        assert read(Path(scratch) / "still", 0, FAR_S, []) == read(
            Path(scratch) / "jumped", 0, FAR_S, []
        )
