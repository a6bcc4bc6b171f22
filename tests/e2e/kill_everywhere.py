"""A ledger's opening killed just before each thing that it does to its files, one after the other.

    python kill_everywhere.py DIRECTORY fold|migrate|salvage HOW_MANY SEED

Prints one JSON object. A child opens the ledger and is traced (ptrace(2)): it stops at each system
call, and is killed as it begins the n-th of those that change files. Then the next agent must find
everything there once. HOW_MANY moments are taken, 0: all.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from submeter.ledger import DurableLedger
from submeter.ledger.audit import audit
from submeter.ledger.opening import open_store
from submeter.ledger.reader import open_reader
from submeter.ledger.records import Session
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
from submeter.units import NS_PER_S

START_NS = 1_767_225_600 * NS_PER_S
TRACEME, CONT, GETREGS, SYSCALL, SETOPTIONS = 0, 7, 12, 24, 0x4200
SYSGOOD, EXITKILL = 1, 1 << 20
STOPPED = signal.SIGTRAP | 0x80
WORDS = 27  # of struct user_regs_struct on x86-64, sys/user.h; ORIG_RAX is the call's number
ORIG_RAX, RAX = 15, 10
ENOSYS = (1 << 64) - 38  # what RAX has when a call begins
CHANGING = {
    *(1, 18, 20, 296, 40, 326),  # write, pwrite64, writev, pwritev, sendfile, copy_file_range
    *(2, 257, 85, 86, 88, 265, 266),  # open, openat, creat, link, symlink, linkat, symlinkat
    *(74, 75, 76, 77, 285),  # fsync, fdatasync, truncate, ftruncate, fallocate
    *(82, 264, 316, 83, 258, 84, 87, 263),  # rename…, mkdir…, rmdir, unlink…
}
STEPS = 40

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, data: object = None) -> None:
    if LIBC.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def traced(directory: Path, kill_at: int) -> tuple[bool, int]:
    """Opens the ledger in a child; kills it as it begins that call, counted from 1. Whether it was
    killed, and how many such calls it began."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ptrace(TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            store, _ = open_store(directory, "nvml", START_NS)
            store.finish()
            code = 0
        finally:
            os._exit(code)
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, SYSGOOD | EXITKILL)
    registers = (ctypes.c_ulonglong * WORDS)()
    begun = 0
    while True:
        ptrace(SYSCALL, pid)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the agent failed"
            return False, begun
        assert os.WIFSTOPPED(status)
        if os.WSTOPSIG(status) != STOPPED:
            continue
        ptrace(GETREGS, pid, ctypes.byref(registers))
        if registers[RAX] == ENOSYS and registers[ORIG_RAX] in CHANGING:
            begun += 1
            if begun == kill_at:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return True, begun


def book(directory: Path, steps: int) -> None:
    """Books some hours in a new or an old ledger, and leaves the log beside it."""
    wall_ns = START_NS
    store, loaded = open_store(directory, "nvml", wall_ns)
    session = Session(0, "nvml", "1", "", "boot", wall_ns, NS_PER_S)
    ledger = DurableLedger(loaded, session, DirectWriter(store))
    for step in range(steps):
        for gpu in ("GPU-1", "GPU-2"):
            now_ns, uj = (step + 1) * 300 * NS_PER_S, 1_000 + step
            state = MeterState(
                *(now_ns, now_ns, now_ns, CounterState(uj, uj, now_ns, 0, uj, 0, 0, 0))
            )
            account = Account(gpu, "", Component.DYNAMIC, Owner(Phase.TRAINING, f"job-{step // 9}"))
            interval = Interval(
                *(gpu, 0, now_ns - NS_PER_S, now_ns, uj, EnergySource.COUNTER), state=state
            )
            ledger.post(interval, [Posting(account, Method.EXCLUSIVE, uj)])
        ledger.commit(now_ns, wall_ns + now_ns)
    store.close()


def prepare(directory: Path, scene: str) -> None:
    """A ledger whose next opening has that to do."""
    directory.mkdir(mode=0o700)
    book(directory, STEPS)
    if scene == "fold":
        return
    path = directory / FILE_NAME
    open_store(directory, "nvml", START_NS)[0].finish()
    for each in directory.glob("*.log"):
        each.unlink()
    connection = sqlite3.connect(path, isolation_level=None)
    if scene == "migrate":
        connection.execute("DROP TABLE notes")
        connection.execute("PRAGMA user_version = 1")
    else:
        # found at once, since no hour covers it; and one whose energy only its minute still knows
        connection.execute("UPDATE minutes SET hash = x'00' WHERE seq = 38")
        connection.execute("UPDATE tens SET body = x'00' WHERE seq = 20")
    connection.close()


def contents(directory: Path) -> dict[str, int]:
    """What a report says: µJ by GPU and workload. The damaged one is not asked: it can't say."""
    found: dict[str, int] = {}
    with open_reader(directory) as reader:
        for piece in reader.pieces(0, 1 << 40):
            for series, uj in piece.energy:
                name = f"{piece.gpu.uuid} {series.account.owner.workload}"
                found[name] = found.get(name, 0) + uj
    return found


def main(directory: Path, scene: str, how_many: int, seed: int) -> None:
    made, tried = directory / "made", directory / "tried"
    prepare(made, scene)
    booked = 2 * sum(1_000 + step for step in range(STEPS))
    shutil.copytree(made, tried)
    _, calls = traced(tried, 0)
    expected = contents(tried)
    assert sum(expected.values()) == booked
    moments = list(range(1, calls + 1))
    if how_many:
        moments = sorted(random.Random(seed).sample(moments, min(how_many, calls)))
    killed = 0
    for moment in moments:
        shutil.rmtree(tried)
        shutil.copytree(made, tried)
        dead, _ = traced(tried, moment)
        killed += dead
        if scene != "salvage":
            assert contents(tried) == expected, f"a reader after call {moment}"
        store, _ = open_store(tried, "nvml", START_NS)
        store.finish()
        found = audit(tried)
        assert not found.problem, f"after call {moment}: {found.problem}"
        assert contents(tried) == expected, f"after call {moment}"
        left = [each for each in tried.iterdir() if each.is_dir()]
        assert not left, f"after call {moment}: {left}"
        kept = [each for each in tried.glob("ledger.corrupt-*") if each.stat().st_size]
        assert bool(kept) == (scene == "salvage"), f"after call {moment}: {kept}"
    shutil.rmtree(tried)
    json.dump({"calls": calls, "killed": killed, "tried": len(moments)}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
