"""PIDs in, who they are and what can be seen of them out: the real node's process source.

/proc is read directly: psutil's create time is a float on a clock that steps (identity is field 22,
in ticks), its sockets are those of the agent's own network namespace (`/proc/net`, so it sees no
port of any container), its root is a global of the module, and importing it costs 4 MB.

Everything about a process is read through one descriptor of its directory, which the kernel ties
to that process: once it is dead, reads fail and never show the PID's next user.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from submeter.model import ProcessFacts, ProcessKey
from submeter.workloads.descriptors import sockets, written
from submeter.workloads.rules import ENVIRON_KEYS, TELLING_LIBRARIES

_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""PROC_PID_INIT_INO, 0xEFFFFFFC: include/linux/proc_ns.h; fixed since Linux 3.8."""

_STAT_BYTES: Final = 1024  # field 22 ends well before that, with the longest comm and numbers
_CMDLINE_BYTES: Final = 64 * 1024
_ENVIRON_BYTES: Final = 128 * 1024
_SMALL_BYTES: Final = 16 * 1024
_SOCKETS_BYTES: Final = 64 * 1024
"""The kernel lists listening sockets before established ones (net/ipv4/tcp_ipv4.c)."""
_MAPS_BYTES: Final = 2 * 1024 * 1024  # PyTorch with CUDA: 300 to 700 KiB
_COMM_CHARACTERS: Final = 64
_VALUE_CHARACTERS: Final = 256
_USERS: Final = 4096

_DEAD: Final = (b"X", b"x")
_BLOCKED: Final = b"D"
_TELLING: Final = tuple(name.encode("ascii") for name in TELLING_LIBRARIES)
_LISTENING: Final = b"0A"  # TCP_LISTEN, include/net/tcp_states.h


class ProcfsSource:
    """Identities and facts from a /proc tree.

    A key's boot id and start time tell a PID's users apart down to one clock tick (10 ms); within
    one tick a PID could only return after all others had been used.

    Arguments: ``root``, the tree; ``boot_id``, read from it when not given; ``read_environ``,
    False never opens any ``environ``.
    """

    def __init__(
        self, root: Path = Path("/proc"), boot_id: str | None = None, *, read_environ: bool = True
    ) -> None:
        self._root = os.fspath(root)
        self._boot_id = boot_id
        self._read_environ = read_environ
        self._users: dict[int, str] = {}

    def identify(self, pid: int) -> ProcessKey | None:
        """The identity behind a PID now: one read of its ``stat``. None if no such process is
        visible from here. Zombies are still somebody: their GPU memory may not be freed yet."""
        stat = _parse_stat(_read(f"{self._root}/{pid}/stat", _STAT_BYTES))
        if stat is None:
            return None
        return ProcessKey(self._boot(), pid, stat.start_ticks)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What can be seen of that very process; what may not be read is empty.

        None if it is gone, and while it sleeps uninterruptibly: whoever then holds its memory map
        (a driver that hangs, say) would hold the reader of its command line as well. Ask again.
        Ports are not among the facts (`listen_ports`).
        """
        with self._directory(key) as directory:
            if directory is None or _state(key, directory) in {None, _BLOCKED}:
                return None
            facts = self._look(key, directory)
            return facts if _state(key, directory) is not None else None

    def listen_ports(self, key: ProcessKey) -> tuple[int, ...]:
        """TCP ports on which that very process accepts connections, in its own network namespace.

        Costs milliseconds: to list sockets the kernel walks a table of up to 524,288 chains,
        twice. Empty where the process's descriptors may not be seen.
        """
        with self._directory(key) as directory:
            if directory is None:
                return ()
            inodes = frozenset(sockets(directory))
            ports = _ports(inodes, directory) if inodes else ()
            return ports if _state(key, directory) is not None else ()

    def libraries(self, key: ProcessKey) -> tuple[str, ...]:
        """Names of the libraries mapped by that very process that say what it is for
        (`submeter.workloads.rules.TELLING_LIBRARIES`), sorted.

        Costs a millisecond and more. Empty where its memory map may not be seen.
        """
        with self._directory(key) as directory:
            if directory is None or _state(key, directory) in {None, _BLOCKED}:
                return ()
            names = _mapped(_read("maps", _MAPS_BYTES, directory, whole=True) or b"")
            return names if _state(key, directory) is not None else ()

    def writing(self, key: ProcessKey) -> tuple[str, ...]:
        """Kinds of files (`submeter.workloads.rules.WRITTEN`) that very process has open for
        writing now, sorted. A checkpoint is written for seconds only: none says nothing.

        Costs a microsecond or two for each descriptor, of at most 4,096. Empty where they may not
        be seen.
        """
        with self._directory(key) as directory:
            if directory is None:
                return ()
            kinds = frozenset(written(directory))
            return tuple(sorted(kinds)) if _state(key, directory) is not None else ()

    def sees_host_pids(self) -> bool:
        """Whether this is the node's own PID namespace.

        Elsewhere NVML leaves out processes that aren't visible here, but names others by the
        node's number (utilisation samples), which may be a stranger's here.
        """
        try:
            return os.fspath(Path(self._root, "self/ns/pid").readlink()) == _INITIAL_PID_NAMESPACE
        except OSError:
            return False

    def _boot(self) -> str:
        if self._boot_id is None:
            text = _read(f"{self._root}/sys/kernel/random/boot_id", 64) or b""
            self._boot_id = text.decode("ascii", "replace").strip()
        return self._boot_id

    @contextmanager
    def _directory(self, key: ProcessKey) -> Iterator[int | None]:
        if key.boot_id != self._boot():
            yield None
            return
        try:
            directory = os.open(f"{self._root}/{key.pid}", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            yield None
            return
        try:
            yield directory
        finally:
            os.close(directory)

    def _look(self, key: ProcessKey, directory: int) -> ProcessFacts:
        argv, padded = _arguments(_read("cmdline", _CMDLINE_BYTES, directory) or b"")
        stat = _parse_stat(_read("stat", _STAT_BYTES, directory))
        uid = _uid(_read("status", _SMALL_BYTES, directory) or b"")
        return ProcessFacts(
            key=key,
            comm=_text(_read("comm", _COMM_CHARACTERS * 4, directory) or b"").removesuffix("\n")[
                :_COMM_CHARACTERS
            ],
            argv=argv,
            title=argv[0] if _is_title(argv, padded) else None,
            user="" if uid is None else self._user(uid),
            uid=uid,
            cgroup=_text(_read("cgroup", _SMALL_BYTES, directory) or b""),
            environ=_environ(_read("environ", _ENVIRON_BYTES, directory) or b"")
            if self._read_environ
            else {},
            parent_argv=() if stat is None else self._parent_argv(stat),
        )

    def _parent_argv(self, child: "_Stat") -> tuple[str, ...]:
        """What started it: none if that is gone and its PID somebody else's by now."""
        if child.parent <= 1:
            return ()
        folder = f"{self._root}/{child.parent}"
        parent = _parse_stat(_read(f"{folder}/stat", _STAT_BYTES))
        if parent is None or parent.start_ticks > child.start_ticks or parent.state == _BLOCKED:
            return ()
        return _arguments(_read(f"{folder}/cmdline", _CMDLINE_BYTES) or b"")[0]

    def _user(self, uid: int) -> str:
        """A user's name, or number where none is known. Kept: a directory service may be slow."""
        name = self._users.get(uid)
        if name is None:
            if len(self._users) >= _USERS:
                self._users.clear()
            name = self._users[uid] = user_name(uid)
        return name


def user_name(uid: int) -> str:
    """A user's name, or number where none is known."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


class _Stat(NamedTuple):
    state: bytes
    parent: int
    start_ticks: int


def _parse_stat(data: bytes | None) -> _Stat | None:
    """State and start time. The name before them is the process's own choice and may hold
    anything, ``) R 1 (`` included, so fields count from the last parenthesis."""
    fields = (data or b"").rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] in _DEAD or not fields[19].isdigit():
        return None
    parent = int(fields[1]) if fields[1].isdigit() else 0
    return _Stat(fields[0], parent, int(fields[19]))


def _state(key: ProcessKey, directory: int) -> bytes | None:
    """Its state; None if somebody else has the PID now, or nobody."""
    stat = _parse_stat(_read("stat", _STAT_BYTES, directory))
    return stat.state if stat is not None and stat.start_ticks == key.start_ticks else None


def _read(
    path: str, limit: int, directory: int | None = None, *, whole: bool = False
) -> bytes | None:
    """The first ``limit`` bytes; None where it is gone or may not be read.

    One read returns all of a process's files but not all of a socket table: ``whole`` goes on.
    """
    try:
        # Non-blocking: a fixture or a stacked file system may hold a FIFO
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    try:
        data = os.read(file, limit)
        while whole and len(data) < limit and (more := os.read(file, limit - len(data))):
            data += more
    except OSError:
        return None
    else:
        return data
    finally:
        os.close(file)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _arguments(data: bytes) -> tuple[tuple[str, ...], bool]:
    """The words of a command line, and whether more NULs follow than end the last word: what a
    title leaves of the memory that it was written over."""
    text = data.rstrip(b"\0")
    if not text:
        return (), False
    return tuple(_text(word) for word in text.split(b"\0")), len(data) - len(text) > 1


def _is_title(argv: tuple[str, ...], padded: bool) -> bool:
    """One word that no shell would have started so."""
    if len(argv) != 1:
        return False
    return padded or "::" in argv[0] or " " in argv[0].strip() or argv[0].endswith(":")


def _uid(status: bytes) -> int | None:
    """The real user id."""
    fields = status.partition(b"\nUid:")[2].split(maxsplit=1)
    return int(fields[0]) if fields and fields[0].isdigit() else None


def _environ(data: bytes) -> Mapping[str, str]:
    found = {}
    for entry in data.split(b"\0"):
        name, is_set, value = entry.partition(b"=")
        key = ENVIRON_KEYS.get(name)
        if is_set and key is not None:
            found[key] = _text(value)[:_VALUE_CHARACTERS]
    return found


def _mapped(maps: bytes) -> tuple[str, ...]:
    """proc(5): address, permissions, offset, device, inode, path; the path may hold anything."""
    names = set()
    for line in maps.splitlines():
        path = line.split(maxsplit=5)[5:]
        name = path[0].rpartition(b"/")[2] if path else b""
        if b".so" in name and name.startswith(_TELLING):
            names.add(_text(name)[:_COMM_CHARACTERS])
    return tuple(sorted(names))


def _ports(inodes: frozenset[bytes], directory: int) -> tuple[int, ...]:
    ports: set[int] = set()
    for table in ("net/tcp", "net/tcp6"):
        lines = _read(table, _SOCKETS_BYTES, directory, whole=True) or b""
        ports.update(port for inode, port in _listening(lines) if inode in inodes)
    return tuple(sorted(ports))


def _listening(table: bytes) -> Iterator[tuple[bytes, int]]:
    """Inode and port of each listening socket of a table."""
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=10)
        if len(fields) > 9 and fields[3] == _LISTENING:
            try:
                yield fields[9], int(fields[1].rpartition(b":")[2], 16)
            except ValueError:
                continue
