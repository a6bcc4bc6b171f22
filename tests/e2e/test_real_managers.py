"""A real Podman and a real Slurm start a process: the agent's own code says whose it is.

Needs root and their Debian packages, unpacked by `make test-real`; skipped, and said, without.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from submeter.model import Owner
from submeter.workloads import ProcfsSource, recognise
from submeter.workloads.containers import ContainerNames
from submeter.workloads.naming import owner
from submeter.workloads.placement import placement
from submeter.workloads.slurm import SlurmJobs

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = pytest.mark.slow

EPILOG = Path(__file__).parents[2] / "deploy/slurm/epilog"
TOOLS = Path(os.environ.get("SUBMETER_REAL_TOOLS", "/nonexistent"))
LIBRARIES = TOOLS / "usr/lib/x86_64-linux-gnu"
SLURM = LIBRARIES / "slurm-wlm"
JOB_S = "247.25"  # longer than a slow machine takes; a length that nobody else sleeps


@pytest.fixture(autouse=True)
def tools() -> None:
    if os.geteuid() != 0:
        pytest.skip("containers and jobs as the system's own need root")
    if not TOOLS.is_dir():
        pytest.skip("no Podman and Slurm unpacked: `make test-real`")


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts an unpacked program; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []
    paths = [TOOLS / "usr/bin", TOOLS / "usr/sbin"]
    environ = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{LIBRARIES}:{SLURM}",
        "PATH": ":".join([*map(str, paths), os.environ["PATH"]]),
    }

    def start(*command: object, **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _sleeper() -> int | None:
    """The PID of the job's own process."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if len(words) > 1 and words[0].endswith(b"sleep") and words[1] == JOB_S.encode():
            return int(entry.name)
    return None


def _listpids(conf: Path) -> bytes:
    """`submeter.workloads.slurm.listing` of an unpacked Slurm."""
    environ = {"LD_LIBRARY_PATH": f"{LIBRARIES}:{SLURM}", "SLURM_CONF": str(conf)}
    command = [str(TOOLS / "usr/bin/scontrol"), "listpids"]
    return subprocess.run(command, env=environ, capture_output=True, check=True).stdout


def _owner(pid: int) -> Owner:
    source = ProcfsSource()
    key = source.identify(pid)
    assert key is not None
    facts = source.facts(key)
    assert facts is not None
    return owner(facts, recognise(facts))


@pytest.fixture
def short(wait_for: Callable[..., Any]) -> Iterator[Path]:
    """A folder whose path leaves room: a socket's address has 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)
        wait_for(lambda: not _mentioned(name), "the end of Podman's own helpers")
        for line in Path("/proc/mounts").read_text().splitlines():
            if f" {name}/" in line:
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


def _mentioned(name: str) -> bool:
    """Whether any running command line does."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_a_container_of_podman(
    run: Callable[..., Any], wait_for: Callable[..., Any], tmp_path: Path, short: Path
) -> None:
    root = tmp_path / "rootfs"
    for folder in ("bin", "proc", "dev", "sys", "etc", "tmp"):
        (root / folder).mkdir(parents=True)
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, root / "bin/sleep")
    for word in subprocess.run(["ldd", sleep], capture_output=True, text=True).stdout.split():
        if word.startswith("/"):
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])
    cidfile = tmp_path / "cid"
    # crun refuses a hybrid cgroup hierarchy; without --ulimit runc fails where limits are lower
    run(
        *("podman", "--root", short / "root", "--runroot", short / "run"),
        *("--cgroup-manager=cgroupfs", "--storage-driver=vfs"),
        *("--runtime", TOOLS / "usr/sbin/runc", "--conmon", TOOLS / "usr/bin/conmon"),
        *(
            "run",
            "--detach",
            "--rm",
            "--name=trainer",
            "--cidfile",
            cidfile,
            "--network=none",
            "--cgroupns=host",
        ),
        *("--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"),
        *("--rootfs", root, "/bin/sleep", JOB_S),
    )
    pid = wait_for(_sleeper, "the container's process")
    try:
        found = _owner(pid)
        container = cidfile.read_text()[:12]
        assert (found.container, found.workload) == (container, container)
        assert (found.pod, found.job) == ("", "")
        node = tmp_path / "node/var/lib/containers"
        node.mkdir(parents=True)
        (node / "storage").symlink_to(short / "root")
        names = ContainerNames(placement, tmp_path / "node")
        assert names.refresh()
        assert names.locate(Path(f"/proc/{pid}/cgroup").read_text()).container == "trainer"
    finally:
        os.kill(pid, 9)
        wait_for(lambda: _sleeper() is None, "the container's end")


@pytest.fixture
def slurm(
    run: Callable[..., Any], wait_for: Callable[..., Any], tmp_path: Path
) -> Callable[..., dict[str, str]]:
    """Starts a Slurm of one node on loopback, with more lines of configuration; the variables
    that its commands need."""

    def start(*more: str) -> dict[str, str]:
        host = socket.gethostname().split(".")[0]
        conf = tmp_path / "slurm.conf"
        key = tmp_path / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        for folder in ("slurm-spool", "slurm-state"):
            (tmp_path / folder).mkdir()
        munge = tmp_path / "m.sock"
        conf.write_text(
            f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
PluginDir={SLURM}
StateSaveLocation={tmp_path}/slurm-state
SlurmdSpoolDir={tmp_path}/slurm-spool
SlurmctldPidFile={tmp_path}/c.pid
SlurmdPidFile={tmp_path}/d.pid
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/cgroup
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmctldLogFile={tmp_path}/c.log
SlurmdLogFile={tmp_path}/d.log
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
            + "".join(f"{line}\n" for line in more)
        )
        (tmp_path / "cgroup.conf").write_text("CgroupMountpoint=/sys/fs/cgroup\n")
        run(
            *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}"),
            *(f"--pid-file={tmp_path}/m.pid", f"--log-file={tmp_path}/m.log"),
            f"--seed-file={tmp_path}/seed",
        )
        wait_for(munge.exists, "munged")
        said = {"SLURM_CONF": str(conf)}
        run("slurmctld-wlm", "-D", **said)
        run("slurmd-wlm", "-D", "-d", TOOLS / "usr/sbin/slurmstepd-wlm", **said)
        time.sleep(3)  # srun gives up where the node isn't there yet
        return said

    return start


def test_a_job_of_slurm(
    run: Callable[..., Any], wait_for: Callable[..., Any], slurm: Callable[..., dict[str, str]]
) -> None:
    said = slurm()
    run("srun", "-n1", "sleep", JOB_S, **said)
    pid = wait_for(_sleeper, "the job's process")
    found = _owner(pid)
    assert (found.job, found.workload) == ("1", "job 1")
    source = ProcfsSource()
    process = source.identify(pid)
    assert process is not None
    jobs = SlurmJobs(source.identify, lambda: _listpids(Path(said["SLURM_CONF"])))
    assert jobs.job_of(process, "") == ""
    assert jobs.refresh(), jobs.error
    assert jobs.job_of(process, "") == "1"
    os.kill(pid, 9)
    wait_for(lambda: _sleeper() is None, "the job's end")


def test_a_job_of_slurm_is_told_what_it_used(  # noqa: PLR0917  fixtures
    run: Callable[..., Any],
    wait_for: Callable[..., Any],
    slurm: Callable[..., dict[str, str]],
    agent: Callable[..., Any],
    standin: "Standin",
    tmp_path: Path,
) -> None:
    """deploy/slurm/epilog, started by a real slurmd: the ledger's figure, in the real job."""
    gpu = "gpu 0 uuid=GPU-0 idle_mw=50000"
    standin.write([gpu])
    metering = agent(env=standin.env)
    log = tmp_path / "jobs.jsonl"
    epilog = tmp_path / "epilog"  # as an administrator would, who has things elsewhere
    epilog.write_text(
        "#!/bin/sh\n"
        f"export SUBMETER_URL={metering.url} SUBMETER_JOB_LOG={log}\n"
        f"export PATH={TOOLS}/usr/bin LD_LIBRARY_PATH={LIBRARIES}:{SLURM}\n"
        f'{sys.executable} -I {EPILOG} "$@" 2>> {tmp_path}/epilog.err\n'
    )
    epilog.chmod(0o755)
    said = slurm(f"Epilog={epilog}")
    run("srun", "-n1", "--comment=mine", "sleep", JOB_S, **said)
    pid = wait_for(_sleeper, "the job's process")
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME) - standin.time0
    standin.write(
        [
            gpu,
            f"process 0 pid={pid} type=compute mem=1G sm=80 from={now_s:.3f}",
            f"load 0 constant mw=200000 pid={pid} from={now_s:.3f}",
        ]
    )
    wait_for(lambda: 'job="1"' in metering.get("/metrics"), "the job's joules", 60)
    scontrol = str(TOOLS / "usr/bin/scontrol")
    environ = {**os.environ, **said, "LD_LIBRARY_PATH": f"{LIBRARIES}:{SLURM}"}
    update = [scontrol, "update", "JobId=1", "AdminComment=mine"]
    subprocess.run(update, env=environ, check=True)
    host = socket.gethostname().split(".")[0]

    def told() -> object:
        subprocess.run([epilog, "--running"], env=environ, check=True)
        shown = [scontrol, "show", "job", "1"]
        job = subprocess.run(shown, env=environ, capture_output=True, text=True, check=True).stdout
        ours = rf"AdminComment=mine submeter {host}=\d+\.\d{{6}}J/\w+"
        return re.search(ours, job)

    try:
        wait_for(told, "the comment of the running job")
    except AssertionError as error:
        raise AssertionError((tmp_path / "epilog.err").read_text()) from error
    os.kill(pid, 9)
    wait_for(lambda: log.exists() and log.read_text(), "the line of the job")
    record = json.loads(log.read_text())
    assert (record["job"], record["node"]) == ("1", host)
    assert record["joules"] == _job_joules(metering)
    assert Decimal(record["joules"]) == sum(Decimal(each["joules"]) for each in record["by"]) > 0
    assert not (tmp_path / "epilog.err").read_text()


def _job_joules(metering: Any) -> str:
    """What the ledger has for job 1, as the epilog writes it."""
    snapshot = json.loads(metering.get("/api/v1/snapshot"))
    used = sum(Decimal(each["joules"]) for each in snapshot["energy"] if each["job"] == "1")
    return f"{used:.6f}"
