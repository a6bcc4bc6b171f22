import ctypes
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.model import ProcessFacts, ProcessKey
from submeter.workloads import ProcfsSource, procfs

BOOT_ID = "b0b0b0b0-0000-4000-8000-000000000001"  # conftest's
Add = Callable[..., Path]

# --- identity


@pytest.mark.fault("F37")
def test_identity_is_boot_id_pid_and_start_time(proc: Path, add: Add) -> None:
    add(42, start=12_345)
    assert ProcfsSource(proc).identify(42) == ProcessKey(BOOT_ID, 42, 12_345)


def test_the_boot_id_is_read_once(proc: Path, add: Add) -> None:
    add(42)
    source = ProcfsSource(proc)
    source.identify(42)
    (proc / "sys/kernel/random/boot_id").unlink()
    key = source.identify(42)
    assert key is not None
    assert key.boot_id == BOOT_ID


def test_a_boot_id_can_be_given(proc: Path, add: Add) -> None:
    add(42)
    key = ProcfsSource(proc, boot_id="mine").identify(42)
    assert key is not None
    assert key.boot_id == "mine"


@pytest.mark.fault("F40")
@pytest.mark.parametrize(
    "comm", [b"a) R 1 (b", b")", b"(", b"", b") Z 0 0", b"\xff\xfe", b"tab\there", b"x\ny"]
)
def test_a_process_can_not_fake_its_start_time_by_its_name(
    proc: Path, add: Add, comm: bytes
) -> None:
    add(7, start=777, comm=comm)
    assert ProcfsSource(proc).identify(7) == ProcessKey(BOOT_ID, 7, 777)


@pytest.mark.fault("F37")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(comm=st.binary(max_size=64), start=st.integers(0, 2**63))
def test_any_name_leaves_the_start_time_alone(
    proc: Path, add: Add, comm: bytes, start: int
) -> None:
    add(7, start=start, comm=comm)
    assert ProcfsSource(proc).identify(7) == ProcessKey(BOOT_ID, 7, start)


def test_nobody_is_nobody(proc: Path) -> None:
    assert ProcfsSource(proc).identify(4_000_000) is None


@pytest.mark.parametrize("stat", [b"", b"7 (x", b"7 (x) S 1 2", b"7 (x) S" + b" a" * 30])
def test_a_stat_that_makes_no_sense_is_nobody(proc: Path, add: Add, stat: bytes) -> None:
    (add(7) / "stat").write_bytes(stat)
    assert ProcfsSource(proc).identify(7) is None


@pytest.mark.fault("F36")
def test_a_zombie_is_somebody_a_dead_process_is_not(proc: Path, add: Add) -> None:
    add(7, state="Z", cmdline=b"")
    add(8, state="X")
    source = ProcfsSource(proc)
    key = source.identify(7)
    assert key is not None
    facts = source.facts(key)
    assert facts is not None
    assert (facts.argv, facts.comm) == ((), "python3")
    assert source.identify(8) is None


# --- facts


def test_facts_of_an_ordinary_process(proc: Path, add: Add) -> None:
    add(
        42,
        comm=b"python3",
        cmdline=b"python3\0-u\0train.py\0--name\0\0--lr=1\0",
        cgroup="1:cpu:/a\n0::/b\n",
    )
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    facts = source.facts(key)
    assert facts is not None
    assert facts.key == key
    assert facts.argv == ("python3", "-u", "train.py", "--name", "", "--lr=1")
    assert facts.title is None
    assert (facts.uid, facts.user) == (0, pwd.getpwuid(0).pw_name)
    assert facts.cgroup == "1:cpu:/a\n0::/b\n"


def test_a_user_without_a_name_is_a_number(proc: Path, add: Add) -> None:
    add(42, uid=3_999_999_999)
    assert _facts(proc, 42).user == "3999999999"


@pytest.mark.parametrize(
    ("cmdline", "argv", "title"),
    [
        (b"", (), None),
        (b"\0\0\0", (), None),
        (b"/tmp/nbody\0", ("/tmp/nbody",), None),
        (b"VLLM::EngineCore\0\0\0\0\0", ("VLLM::EngineCore",), "VLLM::EngineCore"),
        (b"ray::IDLE", ("ray::IDLE",), "ray::IDLE"),
        (b"postgres: writer ", ("postgres: writer ",), "postgres: writer "),
        (b"my-trainer\0\0\0\0", ("my-trainer",), "my-trainer"),
        (b"a\xffb\0\xe5\x90\x8c\xe6\0", ("a\\xffb", "同\\xe6"), None),
    ],
)
def test_command_lines_and_titles(
    proc: Path, add: Add, cmdline: bytes, argv: tuple[str, ...], title: str | None
) -> None:
    add(42, cmdline=cmdline)
    facts = _facts(proc, 42)
    assert (facts.argv, facts.title) == (argv, title)


@pytest.mark.fault("F41")
def test_a_huge_command_line_is_cut(proc: Path, add: Add) -> None:
    add(42, cmdline=b"python3\0" + b"x" * (2 << 20) + b"\0")
    assert sum(map(len, _facts(proc, 42).argv)) <= 64 * 1024


@pytest.mark.fault("F39")
def test_names_are_cut_between_characters(proc: Path, add: Add) -> None:
    add(42, comm="ü".encode() * 100)
    assert _facts(proc, 42).comm == "ü" * 64


@pytest.mark.threat("T2")
def test_only_listed_variables_are_kept(proc: Path, add: Add) -> None:
    add(
        42,
        environ=b"AWS_SECRET=CANARY\0SUBMETER_PHASE=training\0RANK=3\0XRANK=CANARY\0broken\0"
        b"RANKS=CANARY\0SUBMETER_WORKLOAD=\xffx\0",
    )
    facts = _facts(proc, 42)
    assert facts.environ == {
        "SUBMETER_PHASE": "training",
        "RANK": "3",
        "SUBMETER_WORKLOAD": "\\xffx",
    }
    assert "CANARY" not in repr(facts)


@pytest.mark.threat("T2")
def test_the_environment_can_be_left_alone(proc: Path, add: Add) -> None:
    add(42, environ=b"SUBMETER_PHASE=training\0")
    source = ProcfsSource(proc, read_environ=False)
    key = source.identify(42)
    assert key is not None
    facts = source.facts(key)
    assert facts is not None
    assert facts.environ == {}


@pytest.mark.fault("F42")
@pytest.mark.parametrize("missing", ["cmdline", "comm", "status", "cgroup", "environ"])
def test_what_can_not_be_read_is_empty(proc: Path, add: Add, missing: str) -> None:
    (add(42) / missing).unlink()
    facts = _facts(proc, 42)
    if missing == "status":
        assert (facts.user, facts.uid) == ("", None)
    else:
        assert not getattr(facts, {"cmdline": "argv"}.get(missing, missing))


def test_a_fifo_in_the_tree_does_not_hang(proc: Path, add: Add) -> None:
    folder = add(42)
    (folder / "cgroup").unlink()
    os.mkfifo(folder / "cgroup")
    assert _facts(proc, 42).cgroup == ""


def test_another_boot_is_somebody_else(proc: Path, add: Add) -> None:
    add(42)
    source = ProcfsSource(proc)
    assert source.facts(ProcessKey("another", 42, 100)) is None


@pytest.mark.fault("F31")
def test_a_reused_pid_is_somebody_else(proc: Path, add: Add) -> None:
    add(42, start=100)
    source = ProcfsSource(proc)
    old = source.identify(42)
    assert old is not None
    add(42, start=900, cmdline=b"stranger\0")
    assert source.facts(old) is None
    assert source.listen_ports(old) == ()
    assert source.identify(42) != old


@pytest.mark.fault("F31")
def test_a_pid_reused_while_reading_is_noticed(
    proc: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(42, start=100)
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    real = procfs._read

    def meanwhile(path: str, limit: int, directory: int | None = None, **how: bool) -> bytes | None:
        if path == "cgroup":
            add(42, start=900)
        return real(path, limit, directory, **how)

    monkeypatch.setattr(procfs, "_read", meanwhile)
    assert source.facts(key) is None


def test_a_blocked_process_is_asked_again_later(proc: Path, add: Add) -> None:
    add(42, state="D")
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    assert source.facts(key) is None
    add(42, state="R")
    assert source.facts(key) is not None


def test_ports_are_the_process_s_own_listening_ones(proc: Path, add: Add) -> None:
    add(
        42,
        tcp=[(8000, "0A", 11), (9000, "0A", 12), (40_000, "01", 13), (8001, "0A", 14)],
        sockets=[11, 13, 14],
    )
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    assert source.listen_ports(key) == (8000, 8001)


def test_no_descriptors_no_ports(proc: Path, add: Add) -> None:
    folder = add(42, tcp=[(8000, "0A", 11)])
    (folder / "fd").rmdir()
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    assert source.listen_ports(key) == ()


def test_a_garbled_socket_table_is_no_ports(proc: Path, add: Add) -> None:
    folder = add(42, sockets=[11])
    (folder / "net/tcp").write_bytes(b"sl\n 1 2\n\xff x:zz y 0A a b c d e 11 f\n")
    source = ProcfsSource(proc)
    key = source.identify(42)
    assert key is not None
    assert source.listen_ports(key) == ()


@pytest.mark.fault("F23")
@pytest.mark.parametrize(
    ("target", "sees"), [("pid:[4026531836]", True), ("pid:[4026532999]", False), (None, False)]
)
def test_whether_pids_are_the_node_s(proc: Path, target: str | None, sees: bool) -> None:
    (proc / "self/ns").mkdir(parents=True)
    if target is not None:
        (proc / "self/ns/pid").symlink_to(target)
    assert ProcfsSource(proc).sees_host_pids() is sees


# --- the real /proc


def test_this_very_process() -> None:
    source = ProcfsSource()
    key = source.identify(os.getpid())
    assert key is not None
    assert key.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    facts = source.facts(key)
    assert facts is not None
    assert facts.uid == os.getuid()
    assert len(facts.argv) >= 1


def test_a_real_listening_socket_is_found() -> None:
    source = ProcfsSource()
    key = source.identify(os.getpid())
    assert key is not None
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        before = source.listen_ports(key)
        server.listen()
        port = server.getsockname()[1]
        assert port not in before
        assert port in source.listen_ports(key)


@pytest.mark.fault("F39")
@pytest.mark.parametrize(
    "name",
    [b"with space", b"a) R 1 (b", b"\xffnot utf-8", b"two\nlines", b'quote"\\', b"(", b"-dash"],
)
def test_real_processes_with_odd_names(name: bytes) -> None:
    with _child([name, b"-c", _RENAME, name]) as pid:
        source = ProcfsSource()
        key = source.identify(pid)
        assert key is not None
        facts = source.facts(key)
        assert facts is not None
        assert facts.argv[0].encode("utf-8") == name.decode("utf-8", "backslashreplace").encode()
        assert facts.comm == name[:15].decode("utf-8", "backslashreplace")


@pytest.mark.fault("F41")
def test_a_real_process_with_a_huge_command_line() -> None:
    words = [b"y" * 100_000] * 18  # one word may have 128 KiB, all of them a quarter of the stack
    with _child([b"python", b"-c", _READY, *words]) as pid:
        source = ProcfsSource()
        key = source.identify(pid)
        assert key is not None
        facts = source.facts(key)
        assert facts is not None
        assert sum(map(len, facts.argv)) <= 64 * 1024


@pytest.mark.fault("F36")
def test_a_real_zombie_is_still_somebody() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        source = ProcfsSource()
        key = source.identify(child.pid)
        assert key is not None
        facts = source.facts(key)
        assert facts is not None
        assert facts.argv == ()
        assert facts.comm
    finally:
        child.wait()
    assert source.identify(child.pid) is None
    assert source.facts(key) is None


@pytest.mark.fault("F42")
def test_another_user_s_secrets_are_silently_absent() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    with _child([b"python", b"-c", _READY], {"SUBMETER_PHASE": "training"}) as pid:
        out, into = os.pipe()
        reader = os.fork()
        if reader == 0:  # the child never returns into pytest
            os.setgid(65534)
            os.setuid(65534)
            source = ProcfsSource()
            key = source.identify(pid)
            facts = key and source.facts(key)
            if key and facts:
                seen = (bool(facts.argv), dict(facts.environ), source.listen_ports(key), facts.uid)
                os.write(into, repr(seen).encode())
            os._exit(0)
        os.close(into)
        with os.fdopen(out, "rb") as pipe:
            assert pipe.read() == b"(True, {}, (), 0)"
        os.waitpid(reader, 0)


_READY = b"import sys; print('x', flush=True); sys.stdin.read()"
_RENAME = (
    b"import ctypes,os,sys; ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[1])[:15], 0, 0, 0);"
    b"print('x', flush=True); sys.stdin.read()"
)


@contextmanager
def _child(argv: list[bytes], environ: dict[str, str] | None = None) -> Iterator[int]:
    """A Python of any name, which has started and waits for the end of its input."""
    assert hasattr(ctypes.CDLL(None), "prctl")
    with subprocess.Popen(
        argv,
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child.pid
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


def _facts(proc: Path, pid: int) -> ProcessFacts:
    source = ProcfsSource(proc)
    key = source.identify(pid)
    assert key is not None
    facts = source.facts(key)
    assert facts is not None
    return facts


# --- files open for writing, of the real kernel


@pytest.mark.parametrize(
    ("name", "mode", "kinds"),
    [
        ("epoch=3.ckpt", "wb", ("checkpoints",)),
        ("__0_0.distcp", "wb", ("checkpoints",)),
        ("events.out.tfevents.17.host", "ab", ("training logs",)),
        ("model-00001-of-00002.safetensors", "r+b", ("model weights",)),
        ("model-q4.gguf", "wb", ("converted models",)),
        ("model-q4.gguf", "rb", ()),
        ("epoch=3.ckpt", "rb", ()),
        ("notes.txt", "wb", ()),
        ("ckpt", "wb", ()),
        ("'; rm -rf \n\\x1b.ckpt", "wb", ("checkpoints",)),
    ],
)
def test_kinds_of_files_that_are_written(
    tmp_path: Path, name: str, mode: str, kinds: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    source = ProcfsSource()
    key = source.identify(os.getpid())
    assert key is not None
    before = source.writing(key)
    with path.open(mode):
        assert set(source.writing(key)) - set(before) == set(kinds)
    assert source.writing(key) == before
    assert source.writing(key._replace(start_ticks=1)) == ()


@pytest.mark.fault("F38")
@pytest.mark.threat("T13")
def test_only_those_who_are_asked_for_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processes there are, nobody goes through all of them."""
    looked: list[str] = []

    def listing(name: str) -> Callable[..., object]:
        real: Callable[..., object] = getattr(os, name)

        def spy(path: object = ".", *arguments: object) -> object:
            looked.append(str(path))
            return real(path, *arguments)

        return spy

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, listing(name))
    source = ProcfsSource()
    key = source.identify(os.getpid())
    assert key is not None
    assert source.facts(key) is not None
    source.listen_ports(key)
    source.writing(key)
    assert "/proc" not in [path.rstrip("/") for path in looked]
