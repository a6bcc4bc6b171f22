"""Calls into the driver that never return, under the agent as installed."""

import math
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from submeter.backends.nvml import calls
from submeter_reliability import _standin
from submeter_reliability.agents import Agent, pass_time, percentile, timed_ms, wait
from submeter_reliability.nvml_faults import Case, script

_BOARDS: Final = 4
_HUNG: Final = 2
_LOAD_MW: Final = 300_000
_BEFORE_S: Final = 1.0
_LOAD_S: Final = 15
_AFTER_S: Final = 3.0
_LEAD_S: Final = 5.0
"""How far into the scripted life an agent is started, so that what happens then happens soon."""
_LAST: Final = frozenset({calls.SHUTDOWN, "nvmlGpmSampleFree"})
_REACHED_S: Final = 12.0


class Hung(NamedTuple):
    """What one GPU in a call that never returns did to the rest."""

    scrapes: int
    p99_ms: float
    off_uj: int  # the largest difference of another GPU's joules from the truth
    seen: bool  # whether the hung GPU was shown as down
    exit_s: float


def hung_gpu(library: Path, directory: Path) -> Hung:
    """Four boards draw nothing but a load of 15 s, in which one of them hangs for ever; whenever
    the others are read for the first and last time, their joules are exact."""
    world = _standin.module().Standin(library, directory)
    boards = [f"gpu {number} uuid=GPU-{number} idle_mw=0" for number in range(_BOARDS)]
    world.write(boards)
    agent = Agent(directory, env=world.env)
    try:
        wait(lambda: agent.up() and len(agent.joules()) == _BOARDS, "four GPUs")
        pass_time(2)  # the refresh is being found out
        # A whole second: at others the counter's last mJ may be lost in a fraction.
        start_s = math.ceil(world.now() + _BEFORE_S)
        end_s = start_s + _LOAD_S
        loads = [
            f"load {number} constant mw={_LOAD_MW} from={start_s} to={end_s}"
            for number in range(_BOARDS)
        ]
        hang = f"fault call=* gpu={_HUNG} hang=inf from={start_s + 2}"
        world.write([*boards, *loads, hang])
        times_ms = []
        while world.now() < end_s + _AFTER_S:
            times_ms.append(timed_ms(lambda: agent.get("/metrics")))
            pass_time(0.02)
        down = f'submeter_gpu_up{{gpu="{_HUNG}",uuid="GPU-{_HUNG}"}} 0'
        seen = down in agent.get("/metrics").decode()
        joules = agent.joules()
        drawn = Decimal(_LOAD_MW * _LOAD_S) / 1_000
        off = [abs(Decimal(joules[n]) - drawn) for n in range(_BOARDS) if n != _HUNG]
        exit_s = agent.stop()
    finally:
        agent.kill()
    return Hung(len(times_ms), percentile(times_ms, 99), int(max(off) * 10**6), seen, exit_s)


class Exit(NamedTuple):
    """How an agent ended while a call failed or hung."""

    call: str
    made: int  # how often that call had been made
    seconds: float


def exit_under(library: Path, directory: Path, call: str, effect: str = "hang=inf") -> Exit:
    """Starts an agent whose every ``call`` has that effect, waits until it is made, ends it."""
    world = _standin.module().Standin(library, directory)
    world.time0_ns -= int(_LEAD_S * 1e9)
    world.write(script(Case(call, 999, "always"), f"{effect} from={world.now()}"))
    agent = Agent(directory, env=world.env)
    try:
        wait(agent.up, "the agent")
        with suppress(TimeoutError):  # some are made at the end only, as nvmlShutdown is
            wait(lambda: world.calls().get(call, 0), call, 0 if call in _LAST else _REACHED_S)
        seconds = agent.stop()
        return Exit(call, world.calls().get(call, 0), seconds)
    finally:
        agent.kill()


def exit_while_all_fail(library: Path, directory: Path, code: int) -> Exit:
    """The same where every call begins to give ``code`` while the agent meters."""
    world = _standin.module().Standin(library, directory)
    boards = ["gpu 0", "gpu 1"]
    world.write(boards)
    agent = Agent(directory, env=world.env)
    try:
        wait(lambda: agent.up() and agent.joules(), "two GPUs")
        world.write([*boards, f"fault call=nvml* error={code}"])
        pass_time(1)
        return Exit("all", sum(world.calls().values()), agent.stop())
    finally:
        agent.kill()
