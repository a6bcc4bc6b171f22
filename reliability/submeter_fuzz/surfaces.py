"""The table of surfaces: what takes bytes from outside, and how it may say no.

A surface that gives anything but a value or one of its errors has a defect. What a value must then
be is checked where it can be said: what is parsed can be written, and comes back the same.
"""

import asyncio
import atexit
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.backends.mock import scenario
from submeter.client import page as levels
from submeter.client.protocol import MAX_FRAME
from submeter.clock import FakeClock
from submeter.config import load
from submeter.errors import InputError, StateUnusable
from submeter.footprint import live, table
from submeter.ledger import log
from submeter.ledger.audit import audit
from submeter.ledger.counts import parse_counts
from submeter.ledger.opening import open_store
from submeter.ledger.reader import open_reader
from submeter.ledger.records import Commit
from submeter.ledger.rows import BadRow, Row, decode, encode
from submeter.ledger.schema import FILE_NAME
from submeter.ledger.states import parse_state, state_text
from submeter.model import ProcessFacts, ProcessKey
from submeter.reports import _server
from submeter.runtime.labels import LabelServer, Refused, Who, _Peer
from submeter.text import printable
from submeter.throughput.pages import NotCounted
from submeter.throughput.pages import parse as parse_page
from submeter.trace.reader import open_trace
from submeter.units import NS_PER_S
from submeter.web import login, negotiation, webconfig
from submeter.web.connection import Connection
from submeter.web.desk import Desk, Limits
from submeter.web.http import Response, text
from submeter.workloads import containers, operator, pods, procfs
from submeter.workloads.described import answer, described
from submeter.workloads.labels import Labels
from submeter.workloads.naming import owner
from submeter.workloads.placement import placement
from submeter.workloads.podresources import assigned
from submeter.workloads.recognise import recognise
from submeter.workloads.slurm import _listed

KEY: Final = ProcessKey("boot", 4711, 1)
_MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
_NOW_S: Final = 1_767_225_600


class Surface(NamedTuple):
    """``take`` may raise ``errors``, nothing else. ``seeds``: what a good input looks like."""

    take: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()
    seeds: tuple[bytes, ...] = ()


def outcome(surface: Surface, data: bytes) -> str:
    """ "" for a value, else the name of the documented error. Whatever else is raised, is."""
    try:
        surface.take(data)
    except surface.errors as error:
        return type(error).__name__
    return ""


# ---- files -----------------------------------------------------------------------------------


@cache
def _folder(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"submeter-{name}-", dir=_MEMORY))
    folder.chmod(0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _as_file(name: str, take: Callable[[Path], object], data: bytes) -> object:
    path = _folder(name) / name
    path.write_bytes(data)
    return take(path)


def _config(path: Path) -> object:
    return load(path, (), {})


def _rules(data: bytes) -> object:
    """As the pattern of an operator's rule, which then judges a process."""
    lines = (b"[[classify.rule]]", b'phase = "training"', b"argument = " + data)
    path = _folder("rules") / "rules.toml"
    path.write_bytes(b"\n".join(lines))
    rules = [
        operator.compiled("rule", rule.patterns, rule.phase, rule.workload)
        for rule in load(path, (), {}).classify.rule
    ]
    return operator.judge(rules, placement)(ProcessFacts(KEY, argv=("python3", "a" * 60, "b")))


def _override(data: bytes) -> object:
    from submeter.config import parse_override

    return load(None, [parse_override(data.decode("utf-8", "surrogateescape"))], {})


def _scenario(data: bytes) -> object:
    return scenario.parse(data.decode("utf-8", "replace"))


def _trace(path: Path) -> object:
    trace = open_trace(path)
    return sum(1 for _ in trace.records())


# ---- processes -------------------------------------------------------------------------------


def _stat(data: bytes) -> object:
    found = procfs._parse_stat(data)
    assert found is None or (found.start_ticks >= 0 and found.parent >= 0)
    return found


def _process(data: bytes) -> object:
    """A command line, with a name and an environment: all its own choice."""
    line, _, rest = data.partition(b"\n")
    comm, _, environ = rest.partition(b"\n")
    argv, padded = procfs._arguments(line)
    facts = ProcessFacts(
        KEY,
        comm=procfs._text(comm)[:64],
        argv=argv,
        title=argv[0] if procfs._is_title(argv, padded) else None,
        environ=procfs._environ(environ),
        parent_argv=argv[::-1],
    )
    found = owner(facts, recognise(facts))
    assert all(len(label) <= 128 and printable(label) == label for label in found[1:])
    return found


def _cgroup(data: bytes) -> object:
    place = placement(procfs._text(data))
    return owner(ProcessFacts(KEY, cgroup=procfs._text(data)), recognise(ProcessFacts(KEY))), place


def _proc_tables(data: bytes) -> object:
    return (
        procfs._uid(data),
        procfs._mapped(data),
        list(procfs._listening(data)),
        list(_listed(data)),
    )


def _described(data: bytes) -> object:
    found = described(data)
    return json.dumps(answer(found.id, recognise(found.facts)))


# ---- sockets ---------------------------------------------------------------------------------


class _People:
    def identify(self, pid: int) -> ProcessKey | None:
        return KEY if pid == KEY.pid else None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, uid=1_000)


class _Label:
    """A label server that nobody connects to: what a peer says is handed to it."""

    def __init__(self) -> None:
        self.server = LabelServer(
            socket.socket(socket.AF_UNIX), Labels(), _People(), FakeClock(), self._answer
        )
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)

    @staticmethod
    def _answer(_fields: Mapping[str, Any], who: Who) -> Mapping[str, object] | None:
        return {"uid": who.uid}

    def take(self, data: bytes) -> None:
        peer = _Peer(self.near, Who(KEY.pid, 1_000))
        *lines, _ = data.split(b"\n")
        try:
            for line in lines:
                self.server._hear(peer, line)
        finally:
            while self._drained():
                pass

    def _drained(self) -> bool:
        try:
            return bool(self.far.recv(1 << 16))
        except BlockingIOError:
            return False


@cache
def _label_server() -> _Label:
    return _Label()


def _label(data: bytes) -> None:
    _label_server().take(data[: 4 * MAX_FRAME])


class _Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += data

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody waits for it."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        """What comes was there from the beginning."""

    def resume_reading(self) -> None:
        """The same."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _http(data: bytes) -> bytes:
    """A connection's whole conversation; in what follows the first NUL byte, in pieces."""
    loop = _loop()
    routes = {"/metrics": lambda _request: text("up 1\n"), "/x": lambda _request: Response(b"")}
    transport = _Transport()
    connection = Connection(Desk(routes, Limits(), 8, loop.time), loop)
    connection.connection_made(transport)
    for piece in data.split(b"\0") or [b""]:
        for at in range(0, len(piece), 16_384):
            if not transport.closed:
                some = piece[at : at + 16_384]
                connection.get_buffer(-1)[: len(some)] = some
                connection.buffer_updated(len(some))
                loop.run_until_complete(asyncio.sleep(0))
    connection.connection_lost(None)
    loop.run_until_complete(asyncio.sleep(0))
    assert not transport.sent or transport.sent.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in transport.sent[:16]
    return bytes(transport.sent)


def _headers(data: bytes) -> object:
    value = data.decode("latin-1")
    return negotiation.choices(value), negotiation.accepts_gzip(value), login._basic(value)


def _electricity(data: bytes) -> object:
    return live.parse(data, live.Place("https://api.example/v3?zone=DE"), _NOW_S)


# ---- the ledger ------------------------------------------------------------------------------


def _row(data: bytes) -> None:
    level = data[0] % 4 if data else 0
    row = decode(level, 0, data[1:])
    try:
        again = encode(row)
    except Exception as error:  # what no agent wrote may not fit; it is found by its hash
        raise BadRow(str(error)) from error
    assert decode(level, 0, again).energy_uj == {k: v for k, v in row.energy_uj.items() if v}


def _texts(data: bytes) -> None:
    said = data[1:].decode("utf-8", "surrogateescape")
    if data[:1] == b"c":
        parse_counts(said)
        return
    state = parse_state(said)
    assert state is None or parse_state(state_text(state)) == state


def _log_file(data: bytes) -> None:
    folder = _folder("log")
    made = log.segment(folder, "ledger", 1, 1)
    made.path.write_bytes(data)
    found = list(log.proved(made.path))
    assert len(list(log.records(log.segments(folder, "ledger"), 0))) <= len(found)


@cache
def _sound_ledger() -> bytes:
    folder = _folder("sound")
    store, _ = open_store(folder, "nvml", _NOW_S * NS_PER_S)
    store.finish()
    return (folder / FILE_NAME).read_bytes()


def _database(data: bytes) -> None:
    """Places and bytes that are changed in a sound ledger: three bytes a change."""
    damaged = bytearray(_sound_ledger())
    for at in range(0, min(len(data) - 2, 60), 3):
        damaged[int.from_bytes(data[at : at + 2]) % len(damaged)] = data[at + 2]
    folder = _folder("database")
    for each in folder.iterdir():
        if each.is_file():
            each.unlink()
    (folder / FILE_NAME).write_bytes(damaged)
    audit(folder)
    with open_reader(folder) as reader:
        list(reader.pieces(0, 1 << 40))


def _kubelet_file(path: Path) -> object:
    return pods._checkpointed(path), containers._json(path)


def _level_page(data: bytes) -> object:
    if len(data) < levels.HEADER.size:
        return None
    return levels.fresh(data, NS_PER_S), levels.levels_in(data, NS_PER_S)


SURFACES: Final[Mapping[str, Surface]] = {
    "configuration": Surface(
        partial(_as_file, "configuration", _config),
        (InputError,),
        (
            b'backend = "mock"\nmax_series = 7\n[settle]\ninterval_s = 2\n',
            b'[exporters.otlp]\nendpoint = "http://127.0.0.1:4318"\n[footprint]\npue = 1.2\n',
            b'[sampling]\nrate_hz = "auto"\n[node]\npower_budget_watts = 1e4\n',
        ),
    ),
    "override": Surface(_override, (InputError,), (b"settle.interval_s=2", b"exporters.jsonl.x=1")),
    "rules": Surface(_rules, (InputError,), (b"'train*'\nworkload = 'x'", b'"(a|b)+$"')),
    "web_config": Surface(
        partial(_as_file, "web", webconfig.parse),
        (InputError,),
        (
            b"tls_server_config:\n  cert_file: a\n  key_file: b\n  min_version: TLS12\n",
            b"basic_auth_users:\n  u: $2b$04$"
            + b"a" * 53
            + b"\nhttp_server_config:\n  http2: true\n",
        ),
    ),
    "scenario": Surface(
        _scenario,
        (InputError,),
        (
            b'seed = 1\n[[gpu]]\nmodel = "H100"\ncount = 2\n',
            b'[[gpu]]\nmodel = "H100"\n[[process]]\nname = "a"\ngpu = 0\npid = 5\nwatts = 3.5\n'
            b'shape = { kind = "constant" }\n',
            b'[[gpu]]\n[[fault]]\nkind = "error"\ncode = 15\nfrom_s = 1\nto_s = 2\n',
        ),
    ),
    "trace": Surface(
        partial(_as_file, "trace", _trace),
        (InputError,),
        (
            b'{"trace":"submeter","version":1}\n',
            b"timestamp, power.draw [W]\n2026/01/01 00:00:00.000, 71.35 W\n",
        ),
    ),
    "power_log": Surface(
        partial(_as_file, "log", _trace),
        (InputError,),
        (
            b"timestamp, index, uuid, power.draw [W]\n2026/01/01 00:00:00.000, 0, GPU-1, 71.35 W\n"
            b"2026/01/01 00:00:01.000, 0, GPU-1, [N/A]\n",
        ),
    ),
    "factors": Surface(
        partial(_as_file, "factors", table.read_table),
        (InputError,),
        (
            b'[[carbon_g_per_kwh]]\nfrom = 2026-01-01\nvalue = 363\nsource = "x"\n',
            b'[[price]]\ntime_zone = "Europe/Berlin"\ncurrency = "EUR"\nsource = "y"\n'
            b'hours = [{ days = "mon-fri", from = "06:00", to = "22:00", value = 0.31 }]\n',
        ),
    ),
    "proc_stat": Surface(_stat, (), (b"7 (a) R 1 (b) S 1" + b" 0" * 17 + b" 99 0\n",)),
    "proc_cmdline": Surface(
        _process,
        (),
        (
            b"python3\0-m\0vllm.entrypoints.openai.api_server\0\npython3\nSUBMETER_PHASE=inference\0",
            b"torchrun\0--nproc-per-node=8\0train.py\0--lr\x001e-4\0\npython3\n",
            b"VLLM::EngineCore\0\0\0\0\nVLLM\n",
        ),
    ),
    "proc_cgroup": Surface(
        _cgroup,
        (),
        (
            b"0::/kubepods.slice/kubepods-pod3f1b8c9a_0d1e_4c52_9a77_4f4b2a1c0d9e.slice/"
            b"cri-containerd-" + b"ab" * 32 + b".scope\n",
            b"0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
        ),
    ),
    "proc_tables": Surface(
        _proc_tables,
        (),
        (
            b"Name:\tx\nUid:\t1000\t0\t0\t0\n7f00-7f01 r-xp 0 08:01 12 /usr/lib/libnvinfer.so.10\n",
            b"  sl  local_address\n   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 1000 0 12345 1\n",
            b"PID JOBID STEPID\n12 4711 0 0 0\n",
        ),
    ),
    "classify_line": Surface(
        _described,
        (InputError,),
        (b'{"id": 1, "argv": ["python3", "train.py"], "listen": [8000]}',),
    ),
    "pod_resources": Surface(
        assigned,
        (ValueError,),
        (b"\n\x16\n\x03pod\x12\x02ns\x1a\x0b\n\x01c\x12\x06\n\x01r\x12\x01d",),
    ),
    "kubelet_file": Surface(
        partial(_as_file, "kubelet", _kubelet_file),
        (),
        (
            b'{"Data":{"PodDeviceEntries":[{"PodUID":"u","ContainerName":"c",'
            b'"DeviceIDs":{"0":["GPU-1"]}}]}}',
        ),
    ),
    "label_socket": Surface(
        _label,
        (Refused,),
        (
            b'{"phase": "training", "workload": "x", "reply": true}\n{"ask": "who"}\n',
            b'{"done": {"generation_tokens": 7}}\n',
        ),
    ),
    "level_page": Surface(_level_page, (), (bytes(256),)),
    "http": Surface(
        _http,
        (),
        (
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
            b"HEAD /x?y=1 HTTP/1.0\r\n\0\r\nGET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
    ),
    "http_headers": Surface(
        _headers,
        (),
        (b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4", b"dXNlcjpwYXNz"),
    ),
    "server_metrics": Surface(
        parse_page,
        (NotCounted,),
        (
            b'vllm:prompt_tokens_total{model_name="m",engine="0"} 1.5e+06\n'
            b"process_start_time_seconds 1.76e+09\n",
            b"nv_inference_count 7\ntgi_request_success 3 1767225600\n",
        ),
    ),
    "electricity_maps": Surface(
        _electricity,
        (live.NoFactor,),
        (b'{"zone":"DE","carbonIntensity":302,"datetime":"2026-01-01T00:00:00.000Z"}',),
    ),
    "prometheus_api": Surface(
        _server._answer,
        (_server.QueryFailed,),
        (
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"gpu":"0"},'
            b'"value":[1767225600,"1.5"]}]}}',
            b'{"status":"error","error":"x"}',
        ),
    ),
    "ledger_row": Surface(
        _row, (BadRow,), (b"\0" + encode(Row(0, energy_uj={1: 7, 300: 1 << 40})),)
    ),
    "ledger_texts": Surface(
        _texts,
        (BadRow,),
        (b'c{"GPU-1":{"samples":7}}', b"s[1,1,1,[2,2,1,0,0,0,0,0,[[1,2,3,4,5,1]]]]"),
    ),
    "ledger_log": Surface(_log_file, (BadRow,), (log.record(1, Commit(1, _NOW_S)),)),
    "ledger_file": Surface(_database, (StateUnusable,), (b"", b"\x00\x10\xff", bytes(9))),
}
"""By name. StateUnusable is what a reader says of a file that is no ledger."""


def quiet() -> None:
    """What is refused is not to be said a million times."""
    logging.disable(logging.CRITICAL)
    os.environ.pop("SUBMETER_CONFIG", None)
