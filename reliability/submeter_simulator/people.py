"""Births and exits in, a /proc tree out, in which nobody can be trusted to have a decent name."""

import random
import shutil
from pathlib import Path
from typing import Final, NamedTuple

NAMES: Final = (
    b"python3", b"python3", b"python3", b"vllm", b"", b"a) R 1 (b", b") S 1 1 1",
    b"\xe6\xad\xff\xfe", b"new\nline", b'q"uote', b"\\back", b"x" * 15, "日本語".encode(),
)  # fmt: skip
ARGVS: Final = (
    b"python3\0train.py\0--epochs\0003\0", b"python3\0-m\0vllm.entrypoints.openai.api_server\0",
    b"torchrun\0--nproc-per-node\0008\0finetune.py\0", b"python3\0\xff\xfe/\xed\xa0\x80.py\0",
    b"", b"\0\0\0",
    b"./serve\0--port\08000\0", b'python3\0x",pod="victim".py\0', b"a\nb\0" * 40, b"x" * 70_000,
    b"VLLM::EngineCore", b"VLLM::Worker_TP0\0\0\0\0\0\0",
)  # fmt: skip
CGROUPS: Final = (
    b"0::/user.slice/user-1000.slice/session-2.scope\n", b"0::/system.slice/ollama.service\n",
    b"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f1b8c9a_0d1e_4c52_9a77_"
    b"4f4b2a1c0d9e.slice/cri-containerd-" + b"ab" * 32 + b".scope\n",
    b"0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", b"",
    b"::::\n", b"0::/\xff\xfe\n",
    b"1:name=systemd:/docker/" + b"cd" * 32 + b"\n0::/\n", b"0::/" + b"../" * 400 + b"\n",
)  # fmt: skip


class Life(NamedTuple):
    """A process: which PID, since when, and until when; boot time."""

    pid: int
    start_ticks: int
    born_ns: int


class People:
    """Owns the tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.alive: dict[int, Life] = {}
        self._ticks = 0

    def boot(self, boot_id: str) -> None:
        """Nobody is there."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.alive.clear()
        self._ticks = 0
        folder = self.root / "sys/kernel/random"
        folder.mkdir(parents=True)
        (folder / "boot_id").write_text(f"{boot_id}\n")

    def born(self, pid: int, now_ns: int, seed: int) -> Life:
        """Somebody comes. No two have a PID and a start in common."""
        rng = random.Random(seed)
        self._ticks = max(self._ticks + 1, now_ns // 10_000_000)
        life = self.alive[pid] = Life(pid, self._ticks, now_ns)
        folder = self.root / str(pid)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        comm = rng.choice(NAMES)[:15]
        stat = b"%d (%s) %s 1" % (pid, comm, rng.choice((b"R", b"S", b"S", b"D", b"Z")))
        (folder / "stat").write_bytes(stat + b" 0" * 17 + b" %d 0 0\n" % life.start_ticks)
        (folder / "comm").write_bytes(comm + b"\n")
        (folder / "cmdline").write_bytes(rng.choice(ARGVS))
        (folder / "cgroup").write_bytes(rng.choice(CGROUPS))
        uid = rng.choice((b"0", b"1000", b"4294967294", b"x", b""))
        (folder / "status").write_bytes(b"Name:\t%s\nUid:\t%s\t0\t0\t0\n" % (comm, uid))
        if rng.random() < 0.3:
            (folder / rng.choice(("cmdline", "cgroup", "status", "comm"))).unlink()
        if rng.random() < 0.3:
            (folder / "environ").write_bytes(rng.choice((b"SUBMETER_PHASE=training\0", b"=\0\xff")))
        return life

    def exit(self, pid: int) -> None:
        """Somebody goes."""
        del self.alive[pid]
        shutil.rmtree(self.root / str(pid))
