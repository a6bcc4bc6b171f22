"""What the pages on meaning tell a reader to type works, on a ledger of two days."""

import json
import os
import re
import shlex
from pathlib import Path

import jsonschema
import pytest

from submeter.cli import main
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
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
from submeter.reports import schemas
from submeter.units import NS_PER_S

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("outlook.md", "footprint.md", "efficiency.md")
TRAIN = Owner(Phase.TRAINING, "train.py", "ann")
CHAT = Owner(Phase.INFERENCE, "chat", "bob")
MADE = {"fleet.json": "outlook-1", "disclosure.json": "disclosure-2", "2026.json": "disclosure-2"}


def commands(page: str) -> list[str]:
    """Every line that begins with submeter, of all blocks of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("submeter ")]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Eight hundred seconds of one GPU, an hour ago, with tokens."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    first_ns = 1_780_000_000 * NS_PER_S
    store, loaded = open_store(directory, "nvml", first_ns)
    session = Session(0, "nvml", "1", "", "boot", first_ns, NS_PER_S)
    books = DurableLedger(loaded, session, DirectWriter(store), 2_000)
    for at in range(1, 81):
        now_ns = 100 * NS_PER_S + at * 10 * NS_PER_S
        energy_uj = 5_000_000_000
        counter = CounterState(at * energy_uj, at * energy_uj, now_ns, 0, at * energy_uj, 0, 0, 0)
        interval = Interval(
            *("GPU-1", 0, now_ns - 10 * NS_PER_S, now_ns, energy_uj, EnergySource.COUNTER),
            state=MeterState(now_ns, now_ns, now_ns, counter),
        )
        owner = TRAIN if at % 3 else CHAT
        account = Account("GPU-1", "", Component.DYNAMIC, owner)
        books.book_work("GPU-1", CHAT, {"generation_tokens": 700}, {})
        books.post(interval, [Posting(account, Method.EXCLUSIVE, energy_uj)])
        books.commit(now_ns, first_ns + at * 10 * NS_PER_S)
    store.close()
    return directory


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(
    page: str,
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBMETER__STATE_DIR", str(state))
    found = commands(page)
    assert len(found) >= 3
    for line in found:
        arguments = shlex.split(line)[1:]
        if "--config" in arguments:  # the machine's own
            at = arguments.index("--config")
            del arguments[at : at + 2]
        assert main(arguments) == 0, line
        said = capfdbinary.readouterr()
        assert said.out or "--output" in line, line
        assert not said.err, line
    for name in os.listdir(tmp_path):  # noqa: PTH208
        if name in MADE:
            jsonschema.validate(json.loads((tmp_path / name).read_text()), schemas.load(MADE[name]))


def test_the_walk_has_every_step() -> None:
    """A change of the page that loses a command is seen."""
    kinds = [line.split()[1] for line in commands("outlook.md")]
    assert kinds.count("project") >= 7
    assert kinds.count("report") >= 6
    assert "verify" in kinds
