"""A /proc tree on disk: what the kernel would say, under the test's control."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

BOOT_ID = "b0b0b0b0-0000-4000-8000-000000000001"

AddProcess = Callable[..., Path]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """An empty tree with a boot id."""
    root = tmp_path / "proc"
    (root / "sys/kernel/random").mkdir(parents=True)
    (root / "sys/kernel/random/boot_id").write_text(f"{BOOT_ID}\n")
    return root


@pytest.fixture
def add(proc: Path) -> AddProcess:
    """Adds a process, or puts another one in the place of its PID."""

    def add_process(
        pid: int,
        *,
        start: int = 100,
        comm: bytes = b"python3",
        cmdline: bytes = b"python3\0train.py\0",
        state: str = "S",
        uid: int = 0,
        cgroup: str = "0::/\n",
        environ: bytes = b"",
        tcp: Sequence[tuple[int, str, int]] = (),
        sockets: Sequence[int] = (),
    ) -> Path:
        folder = proc / str(pid)
        (folder / "net").mkdir(parents=True, exist_ok=True)
        (folder / "fd").mkdir(exist_ok=True)
        fields = [state, *["0"] * 18, str(start), *["0"] * 30]
        stat = b"%d (%s) %s\n" % (pid, comm, " ".join(fields).encode())
        (folder / "stat").write_bytes(stat)
        (folder / "comm").write_bytes(comm + b"\n")
        (folder / "cmdline").write_bytes(cmdline)
        (folder / "status").write_text(f"Name:\tx\nUid:\t{uid}\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
        (folder / "cgroup").write_text(cgroup)
        (folder / "environ").write_bytes(environ)
        lines = [
            f"   {i}: 00000000:{port:04X} 00000000:0000 {status} 0:0 0:0 0 0 0 {inode} 1 0 0"
            for i, (port, status, inode) in enumerate(tcp)
        ]
        (folder / "net/tcp").write_text("\n".join(["  sl  local_address …", *lines, ""]))
        for number, inode in enumerate(sockets):
            link = folder / "fd" / str(number)
            link.unlink(missing_ok=True)
            link.symlink_to(f"socket:[{inode}]")
        return folder

    return add_process
