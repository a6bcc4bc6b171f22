"""The state directory: what is simulated goes where real joules are only if it is told to."""

from pathlib import Path

import pytest

from submeter.errors import StateUnusable
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.writer import DirectWriter
from submeter.model import EnergySource, Interval, MeterState
from submeter.runtime.state import refuse_mixing
from submeter.units import NS_PER_S

WALL_NS = 1_767_225_600 * NS_PER_S


def ledger_of(directory: Path, backend: str) -> None:
    store, loaded = open_store(directory, backend, WALL_NS)
    session = Session(0, backend, "1", "", "boot", WALL_NS, NS_PER_S)
    books = DurableLedger(loaded, session, DirectWriter(store), 2_000)
    state = MeterState(2 * NS_PER_S, 2 * NS_PER_S, 2 * NS_PER_S, None)
    source = EnergySource.INSTANT
    interval = Interval("GPU-1", 0, NS_PER_S, 2 * NS_PER_S, 0, source, state=state)
    books.post(interval, [])
    books.commit(2 * NS_PER_S, WALL_NS + NS_PER_S)
    store.close()


@pytest.mark.parametrize(("backend", "refused"), [("nvml", True), ("mock", False)])
def test_a_ledger_of_real_gpus_is_not_for_simulations(
    tmp_path: Path, backend: str, refused: bool
) -> None:
    ledger_of(tmp_path, backend)
    if not refused:
        refuse_mixing(tmp_path)
        return
    with pytest.raises(StateUnusable, match="--state-dir"):
        refuse_mixing(tmp_path)


def test_a_directory_without_a_ledger_is_for_everybody(tmp_path: Path) -> None:
    refuse_mixing(tmp_path)
    refuse_mixing(tmp_path / "none")
