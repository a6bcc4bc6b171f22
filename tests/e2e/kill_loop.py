"""A ledger that is killed again and again, against a counter that is a function of time alone.

    python kill_loop.py DIRECTORY KILLS SEED

Prints one JSON object. Each child is forked from a process that has everything loaded, so that
what is killed is the ledger at work (opening, going on, committing), not Python starting.
"""

import json
import os
import random
import signal
import struct
import sys
import time
import traceback
from pathlib import Path

from submeter.attribution import split
from submeter.ledger import DurableLedger
from submeter.ledger.audit import audit
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.retention import Keep
from submeter.ledger.writer import DirectWriter
from submeter.metering import Meter, resume
from submeter.model import EnergySource, Floors, Owner, Phase, Reading, Usage

GPUS = ("GPU-a", "GPU-b", "GPU-c")
POWERS_MW = (700_000, 120_000, 333_333)
LIMIT_MW = 700_000
REFRESH_NS = 1_000_000
OWNERS = (Owner(Phase.TRAINING, "train.py"), Owner(Phase.INFERENCE, "serve.py"))
SHOWN = struct.Struct(f"<q{len(GPUS)}q{len(GPUS)}q")  # when, totals, what was attributed of them
LIFE_S = 0.1
KEEP = Keep(tens_days=0.01, minute_days=0.1, hour_days=2)


def counter_uj(gpu: int, at_ns: int) -> int:
    """The oracle: what the hardware counter shows, in whole mJ, whoever is alive."""
    return POWERS_MW[gpu] * (at_ns // REFRESH_NS * REFRESH_NS) // 10**12 * 1_000


def wall_ns() -> int:
    """Labels fly past, so that rows are sealed, rolled up and removed in a few milliseconds."""
    return 1_767_225_600 * 10**9 + now_ns() * 20_000


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def meter_until(end_ns: int, directory: Path, shown: int, before: tuple[int, ...]) -> None:
    """One life of an agent. ``before`` is what the last one had shown."""
    store, loaded = open_store(directory, "nvml", wall_ns(), KEEP)
    writer = DirectWriter(store)
    session = Session(0, "nvml", "0", "", "boot", wall_ns(), now_ns())
    ledger = DurableLedger(loaded, session, writer)
    meters = [Meter(uuid, EnergySource.COUNTER, LIMIT_MW, REFRESH_NS) for uuid in GPUS]
    for uuid, meter, total_uj in zip(GPUS, meters, before, strict=False):
        checkpoint = ledger.checkpoint(uuid)
        resume(meter, checkpoint, "boot", now_ns(), wall_ns())
        assert ledger.totals(uuid).energy_uj >= total_uj, "a total that was shown is gone"
    for total_uj, shown_uj in zip(attributed(ledger), before[len(GPUS) :], strict=True):
        assert total_uj >= shown_uj, "energy that was shown changed its account"
    turn = 0
    while True:
        at_ns = now_ns()
        for gpu, meter in enumerate(meters):
            value_uj = counter_uj(gpu, at_ns)
            meter.observe(Reading(at_ns, value_uj, None, None, None, None, None))
            for interval in meter.close(at_ns):
                turn += 1
                usage = Usage(OWNERS, {0: 2, 1: 1})
                ledger.post(interval, split(interval, usage, Floors(), turn))
        ledger.commit(at_ns, wall_ns())
        assert not writer.problem, writer.problem
        totals = [ledger.totals(uuid).energy_uj for uuid in GPUS]
        os.write(shown, SHOWN.pack(at_ns, *totals, *attributed(ledger)))
        if at_ns >= end_ns and turn:  # something is booked, and so there is where to go on from
            return


def attributed(ledger: DurableLedger) -> list[int]:
    """What was booked on somebody, by GPU."""
    found = dict.fromkeys(GPUS, 0)
    for account, energy_uj in ledger.accounts().items():
        if account.owner in OWNERS:
            found[account.gpu_uuid] += energy_uj
    return list(found.values())


def live(directory: Path, before: tuple[int, ...], life_s: float | None) -> tuple[int, bytes]:
    """Forks an agent; kills it after that time, or lets it end by itself. Its wait status, and
    the last totals that it showed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 1
        try:
            end_ns = now_ns() + 50_000_000 if life_s is None else 1 << 62
            meter_until(end_ns, directory, write, before)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    os.close(write)
    if life_s is not None:
        time.sleep(life_s)
        os.kill(pid, signal.SIGKILL)
    shown = b""
    while chunk := os.read(read, 1 << 16):
        shown = (shown + chunk)[-2 * SHOWN.size :]
    os.close(read)
    _, status = os.waitpid(pid, 0)
    return status, shown[: len(shown) // SHOWN.size * SHOWN.size][-SHOWN.size :]


def main(directory: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    before = (0,) * (2 * len(GPUS))
    status, shown = live(directory, before, None)
    assert status == 0, status
    first_ns, *totals = SHOWN.unpack(shown)
    # the first reading of all is the base: total = counter - base, then and for ever
    gpus = range(len(GPUS))
    bases = [counter_uj(gpu, first_ns) - totals[gpu] for gpu in gpus]
    seen = 0
    for _ in range(kills):
        status, shown = live(directory, tuple(totals), rng.uniform(0, LIFE_S))
        assert os.WIFSIGNALED(status), f"ended by itself: {status}"
        if shown:
            seen += 1
            at_ns, *totals = SHOWN.unpack(shown)
            for gpu in gpus:
                gained_uj = counter_uj(gpu, at_ns) - bases[gpu]
                assert totals[gpu] == gained_uj, "what is shown is not what the counter gained"
    status, shown = live(directory, tuple(totals), None)
    assert status == 0, status
    at_ns, *totals = SHOWN.unpack(shown)
    off = [totals[gpu] - (counter_uj(gpu, at_ns) - bases[gpu]) for gpu in gpus]
    found = audit(directory)
    json.dump(
        {
            "kills": kills,
            "lives_that_committed": seen,
            "off_uj": off,
            "ledger_uj": list(found.energy_uj.values()),
            "shown_uj": totals[: len(GPUS)],
            "attributed_uj": totals[len(GPUS) :],
            "rows": found.rows,
            "problem": found.problem,
            "aside": sorted(each.name for each in directory.glob("*corrupt*")),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
