"""A folder and a length in; the agent is soaked for so long, and what was seen comes out."""

import json
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from submeter.cli.output import Progress, is_terminal
from submeter.signals import GIVEN_UP
from submeter_reliability import _standin
from submeter_reliability.agents import free_port
from submeter_reliability.figures import Unavailable
from submeter_reliability.soak.clients import Crowd
from submeter_reliability.soak.picture import picture
from submeter_reliability.soak.result import WARM_UP, Ending, Plan, Result, Started, save_samples
from submeter_reliability.soak.watch import Sample, sample
from submeter_reliability.soak.world import JUMPING, RESTARTING, World, build_idle

_PATIENCE_S: Final = 60.0
_EVERY_S: Final = 5  # between two samples
_FAULT_EVERY_S: Final = 60
_FILLING_S: Final = 0.25  # names come as fast as that until the cap on series is reached
_CHURN_S: Final = 2.0  # 30 of 200 jobs a minute
_SETTINGS: Final = (
    # Short, so that an hour sees the history being folded and thrown away.
    *("sampling.rate_hz=10", "ledger.keep_10s_days=0.01", "ledger.keep_minute_days=0.1"),
)


class SoakFailed(Exception):
    """The agent did not last."""


def soak(folder: Path, plan: Plan) -> Result:
    """Runs it; what it leaves is in ``folder``. Raises SoakFailed, Unavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    result = _run(folder, plan)
    save_samples(folder / "samples.csv", result.samples)
    (folder / "soak.svg").write_text(picture(result), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result.told(), indent=1) + "\n")
    return result


def _run(folder: Path, plan: Plan) -> Result:
    standin = _standin.module()
    if standin.compiler() is None:
        raise Unavailable("a C compiler is missing")
    library = standin.build(folder / "lib")
    world = World(
        standin.Standin(library, folder),
        build_idle(str(standin.compiler()), folder),
        random.Random(plan.seed),
    )
    log = folder / "agent.log"
    try:
        world.fill(plan.jobs)
        port = free_port()
        agent = _start(folder, world.standin.env, port, log)
        try:
            return _watched(world, agent, port, folder, plan)
        finally:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
    finally:
        world.close()


def _watched(
    world: World,
    agent: subprocess.Popen[bytes],
    port: int,
    folder: Path,
    plan: Plan,
) -> Result:
    first = _snapshot(port)
    begun_s = time.monotonic()
    quiet = sample(agent.pid, 0.0)

    def pids() -> list[int]:
        return [job.popen.pid for job in list(world.jobs)]

    crowd = Crowd(port, folder / "state" / "submeter.sock", pids, plan.seed)
    crowd.start()
    try:
        samples = list(_hour(world, agent, begun_s, plan.minutes * 60, lambda: crowd.full))
    finally:
        crowd.stop()
        world.heal()
    time.sleep(12)  # longer than a silent connection is kept
    after = sample(agent.pid, time.monotonic() - begun_s)
    last = _snapshot(port)
    agent.send_signal(signal.SIGTERM)
    ending = _ending(agent, folder)
    errors = {
        gpu: _error_j(world.standin, first, last, gpu)
        for gpu in range(len(first["gpus"]))
        if gpu not in {*RESTARTING, JUMPING}
    }
    return Result(
        samples=samples,
        started=Started(quiet, plan.minutes, plan.jobs, world.started, world.told),
        after=after,
        crowd=dict(crowd.counts),
        wrong_sums=crowd.wrong,
        error_j=errors,
        ending=ending,
    )


def _hour(
    world: World,
    agent: subprocess.Popen[bytes],
    begun_s: float,
    seconds: float,
    full: Callable[[], bool],
) -> Any:
    """Churn and faults at their times; one sample each few seconds."""
    next_churn = next_sample = 0.0
    next_fault, filled_until = float(_FAULT_EVERY_S), seconds * WARM_UP
    bar = Progress("soak, s", round(seconds))
    with bar:
        while (at_s := time.monotonic() - begun_s) < seconds:
            if agent.poll() is not None:
                raise SoakFailed(f"the agent ended by itself with {agent.returncode}")
            if at_s >= next_churn:
                world.churn(1)
                filling = at_s < filled_until and not full()
                next_churn = at_s + (_FILLING_S if filling else _CHURN_S)
            if at_s >= next_fault:
                world.next_fault()
                next_fault += _FAULT_EVERY_S
            if at_s >= next_sample:
                one = sample(agent.pid, at_s)
                yield one
                bar.update(round(at_s))
                _say(one, at_s)
                next_sample = at_s + _EVERY_S
            time.sleep(max(0.0, min(next_churn, next_fault, next_sample) - at_s))


def _say(one: Sample, at_s: float) -> None:
    if not is_terminal(sys.stderr) and int(at_s) % 60 < _EVERY_S:
        print(
            f"{at_s / 60:5.1f} min: {one.resident_mib:.1f} MiB, {one.descriptors} fds, "
            f"{one.threads} threads",
            flush=True,
        )


def _ending(agent: subprocess.Popen[bytes], folder: Path) -> Ending:
    """How long it took to end, what it said it had metered, and what its ledger has."""
    before_s = time.monotonic()
    code = agent.wait(_PATIENCE_S)
    took_s = time.monotonic() - before_s
    log = (folder / "agent.log").read_text(errors="replace")
    said = re.findall(r"metered ([0-9.]+) J", log)
    command = [sys.executable, "-m", "submeter", "verify", "--json"]
    verified = subprocess.run(
        [*command, "--state-dir", str(folder / "state")],
        capture_output=True,
        text=True,
        check=False,
    )
    ledger = json.loads(verified.stdout)
    return Ending(
        code=code,
        took_s=took_s,
        metered_j=said[-1] if said else "",
        ledger_ok=bool(ledger["ok"]),
        ledger_j=[gpu["joules"] for gpu in ledger["gpus"]],
        ledger_rows=sum(ledger["rows"].values()),
        ledger_mib=sum(f.stat().st_size for f in (folder / "state").iterdir()) / 2**20,
        log_lines=log.count("\n"),
        estimates_given_up=log.count(GIVEN_UP),
    )


def _error_j(standin: Any, first: Any, last: Any, gpu: int) -> float:
    """What was metered less what the board drew, between two settlements."""
    seen = [next(one for one in snap["gpus"] if one["gpu"] == gpu) for snap in (first, last)]
    span = [standin.seconds(one["settled_boottime_ns"]) for one in seen]
    metered_j = float(seen[1]["joules"]) - float(seen[0]["joules"])
    return metered_j - float(standin.truth_uj(gpu, *span)) / 1e6


def _start(folder: Path, env: dict[str, str], port: int, log: Path) -> subprocess.Popen[bytes]:
    settings = [word for each in _SETTINGS for word in ("--set", each)]
    command = [
        *(sys.executable, "-m", "submeter", "run", "--state-dir", str(folder / "state")),
        *("--listen", f"127.0.0.1:{port}", *settings),
    ]
    with log.open("wb") as stderr:
        agent = subprocess.Popen(command, env=env, stdout=stderr, stderr=stderr)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and agent.poll() is None:
        try:
            _get(port, "/-/ready")
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return agent
    agent.kill()
    raise SoakFailed(f"the agent did not come up: {log.read_text(errors='replace')}")


def _snapshot(port: int) -> Any:
    return json.loads(_get(port, "/api/v1/snapshot"))


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=_PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body
