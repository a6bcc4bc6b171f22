"""The socket on which jobs label themselves: lines of any user's processes in, labels out.

Whom a peer may label the kernel says (SO_PEERCRED), not the peer: its own user's processes only,
root everybody's. What it may cost is bounded: frames of 4 KiB, a second to finish one, so many
connections and labels a user. A peer that breaks a rule is told why if it listens, disconnected,
and counted.
"""

import json
import logging
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from submeter.backends import ProcessSource
from submeter.client.page import PAGE_BYTES
from submeter.client.protocol import MAX_FRAME, MOST_UNITS, PHASES, frame
from submeter.clock import Clock
from submeter.model import Phase, ProcessKey
from submeter.throughput.source import Heard, Source, began_ns, process_id
from submeter.units import MOST_WORK, NS_PER_S, is_unit
from submeter.workloads.labels import Labels
from submeter.workloads.naming import tidy

_log = logging.getLogger(__name__)

CONNECTIONS: Final = 128
PER_USER: Final = 16
FRAME_NS: Final = 1 * NS_PER_S
_READ_BYTES: Final = 16 * 1024
_TICK_S: Final = 0.25
"""How often unfinished lines are looked at, while there are any."""
_SWEEP_NS: Final = 30 * NS_PER_S
_TELL_NS: Final = 60 * NS_PER_S
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
SERVED: Final = ("labelled", "answered")
REASONS: Final = (
    "connections",
    "done",
    "foreign",
    "frame",
    "garbage",
    "gone",
    "phase",
    "pid",
    "quota",
    "slow",
    "unknown",
    "workload",
)
"""Why a request is refused: the values of a metric's label, so few and stable."""
_ROOT: Final = 0
_STOP_S: Final = 2.0


class Who(NamedTuple):
    """A peer, as the kernel knows it."""

    pid: int
    uid: int


Answer = Callable[[Mapping[str, Any], Who], Mapping[str, object] | None]
"""What is said to a question; None where it isn't understood."""


class Refused(Exception):
    """What a peer wants isn't done. ``reason`` is one of `REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Peer:
    """One connection and the beginning of a line that it still owes the end of."""

    def __init__(self, connection: socket.socket, who: Who) -> None:
        self.connection = connection
        self.who = who
        self.data = b""
        self.key: ProcessKey | None = None  # who it was when it first spoke of itself
        self.known = False  # whether it still is, as of this read
        self.due_ns: int | None = None


class LabelServer:
    """Owns the socket and its thread."""

    def __init__(
        self,
        listening: socket.socket,
        labels: Labels,
        processes: ProcessSource,
        clock: Clock,
        answer: Answer,
        *,
        page: Callable[[int], int | None] = lambda _now_ns: None,
        hear: Callable[[Heard], None] = lambda _heard: None,
    ) -> None:
        """``page``: from the time to a descriptor that readers of levels are given; ``hear`` is
        told how much work a job has done."""
        self._hear_work = hear
        self._counts = dict.fromkeys(((what, "") for what in SERVED), 0)
        self._counts.update((("refused", reason), 0) for reason in REASONS)
        self._listening = listening
        self._labels = labels
        self._processes = processes
        self._clock = clock
        self._answer = answer
        self._page = page
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = os.pipe()
        self._peers: dict[int, _Peer] = {}
        self._swept_ns = 0
        self._told_ns: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="labels", daemon=True)

    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many requests of jobs ended how, and why not. Any thread."""
        return dict(self._counts)

    def start(self) -> None:
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and lets go of everybody."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.write(self._wake_out, b"!")
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        for peer in list(self._peers.values()):
            self._close(peer)
        self._listening.close()
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _main(self) -> None:
        while not self._stopping.is_set():
            unfinished = any(peer.due_ns is not None for peer in self._peers.values())
            labelled = self._peers or self._labels.processes()
            tick_s = _TICK_S if unfinished else _SWEEP_NS / NS_PER_S if labelled else None
            for key, _ in self._selector.select(tick_s):
                if key.fileobj is self._listening:
                    self._accept()
                elif key.fd in self._peers:
                    self._read(self._peers[key.fd])
            self._sweep(self._clock.boottime_ns())

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # gone again, or no descriptors left: the next select asks again
            self._stopping.wait(_TICK_S / 10)
            return
        connection.setblocking(False)
        who = _credentials(connection)
        mine = sum(peer.who.uid == who.uid for peer in self._peers.values())
        peer = _Peer(connection, who)
        self._peers[connection.fileno()] = peer
        self._selector.register(connection, selectors.EVENT_READ)
        if len(self._peers) > CONNECTIONS or (mine >= PER_USER and who.uid != _ROOT):
            self._refuse(peer, Refused("connections", "too many connections"))

    def _read(self, peer: _Peer) -> None:
        try:
            more = peer.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self._close(peer)
            return
        *lines, peer.data = (peer.data + more).split(b"\n")
        peer.known = False
        try:
            for line in lines:
                self._hear(peer, line)
            _check_length(peer.data)
        except Refused as refused:
            self._refuse(peer, refused)
            return
        now_ns = self._clock.boottime_ns()
        peer.due_ns = (peer.due_ns or now_ns + FRAME_NS) if peer.data else None

    def _hear(self, peer: _Peer, line: bytes) -> None:
        _check_length(line)
        fields = _fields(line)
        if fields.get("ask") == "page":
            self._hand_out(peer)
            return
        if "ask" in fields:
            said = self._answer(fields, peer.who)
            if said is None:
                raise Refused("unknown", "no such question")
            self._counts["answered", ""] += 1
            self._say(peer, said)
            return
        self._label(fields, peer)
        self._counts["labelled", ""] += 1
        if fields.get("reply") is True:
            self._say(peer, {"ok": True})

    def _hand_out(self, peer: _Peer) -> None:
        descriptor = self._page(self._clock.boottime_ns())
        if descriptor is None:
            raise Refused("unknown", "there is no page of levels here")
        self._counts["answered", ""] += 1
        with suppress(OSError):  # a peer that doesn't read does without
            socket.send_fds(peer.connection, [frame({"page": PAGE_BYTES})], [descriptor])

    def _label(self, fields: Mapping[str, Any], peer: _Peer) -> None:
        phase, workload = fields.get("phase"), fields.get("workload")
        if "done" in fields:
            self._note_work(fields["done"], peer)
            return
        if phase is None and workload is None:
            raise Refused("unknown", "expected phase, workload, done or ask")
        if phase is not None and phase != "" and phase not in PHASES:
            raise Refused("phase", f"phase is one of {', '.join(PHASES)}")
        if workload is not None and not isinstance(workload, str):
            raise Refused("workload", "workload is a text")
        pid = fields.get("pid", peer.who.pid)
        key = self._self(peer) if pid == peer.who.pid else None
        if key is None:
            key = self._whose(pid, peer.who)
            if key.pid == peer.who.pid:
                peer.key, peer.known = key, True
        noted = self._labels.say(
            key,
            peer.who.uid,
            self._clock.boottime_ns(),
            phase=Phase(phase) if phase else None,
            keep_phase=phase is None,
            workload=None if workload is None else tidy(workload),
        )
        if not noted:
            raise Refused("quota", "too many labelled processes")

    def _note_work(self, done: object, peer: _Peer) -> None:
        """How much the peer itself has done since it began, by unit."""
        if not isinstance(done, dict) or len(done) > MOST_UNITS:
            raise Refused("done", f"done is an object of at most {MOST_UNITS} units")
        for unit, amount in done.items():
            if not is_unit(unit) or type(amount) is not int or not 0 <= amount < MOST_WORK:
                raise Refused("done", "a unit is a lower-case word, its amount a whole number")
        key = self._self(peer)
        if key is None:
            key = peer.key = self._whose(peer.who.pid, peer.who)
            peer.known = True
        source = Source(process_id(key), (key,), started_ns=began_ns(key))
        counts = {f"{unit}:": amount for unit, amount in done.items()}
        self._hear_work(Heard(source, self._clock.boottime_ns(), counts))

    def _self(self, peer: _Peer) -> ProcessKey | None:
        """Who speaks, if it is who spoke before: looked up once for all lines that came at once."""
        if peer.key is not None and not peer.known:
            peer.known = self._processes.identify(peer.key.pid) == peer.key
        return peer.key if peer.known else None

    def _whose(self, pid: object, who: Who) -> ProcessKey:
        """The process behind a PID, if that peer may label it. Read anew each time: the PID may
        have been somebody else's a moment ago."""
        if type(pid) is not int or not 0 < pid < 2**31:
            raise Refused("pid", "pid is a positive number")
        key = self._processes.identify(pid)
        facts = None if key is None else self._processes.facts(key)
        if key is None or facts is None or facts.uid is None:
            raise Refused("gone", "there is no such process here")
        if who.uid not in {facts.uid, _ROOT}:
            raise Refused("foreign", "that process is another user's")
        return key

    def _say(self, peer: _Peer, fields: Mapping[str, object]) -> None:
        try:
            peer.connection.send(frame(fields))
        except OSError:
            return  # a peer that doesn't read does without

    def _refuse(self, peer: _Peer, refused: Refused) -> None:
        self._counts["refused", refused.reason] += 1
        now_ns = self._clock.boottime_ns()
        if self._told_ns is None or now_ns - self._told_ns > _TELL_NS:
            self._told_ns = now_ns
            _log.warning(
                "refused a label of user %d (PID %d): %s; %d refused so far",
                peer.who.uid,
                peer.who.pid,
                refused,
                sum(n for (what, _), n in self._counts.items() if what == "refused"),
            )
        self._say(peer, {"error": str(refused), "reason": refused.reason})
        self._close(peer)

    def _close(self, peer: _Peer) -> None:
        self._peers.pop(peer.connection.fileno(), None)
        self._selector.unregister(peer.connection)
        peer.connection.close()

    def _sweep(self, now_ns: int) -> None:
        """Ends lines that take too long; forgets the labels of the dead."""
        for peer in list(self._peers.values()):
            if peer.due_ns is not None and now_ns > peer.due_ns:
                self._refuse(peer, Refused("slow", "a line must be finished within a second"))
        if now_ns - self._swept_ns > _SWEEP_NS:
            self._swept_ns = now_ns
            keys = self._labels.processes()
            self._labels.forget(key for key in keys if self._processes.identify(key.pid) != key)


def _credentials(connection: socket.socket) -> Who:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return Who(pid, uid)


def _check_length(line: bytes) -> None:
    if len(line) >= MAX_FRAME:
        raise Refused("frame", f"a line has at most {MAX_FRAME} bytes")


def _fields(line: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refused("garbage", "a line is one JSON object") from error
    if not isinstance(fields, dict):
        raise Refused("garbage", "a line is one JSON object")
    return fields
