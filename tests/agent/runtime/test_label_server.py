"""The socket: who may label whom, and what whoever misbehaves can't do."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.client.protocol import MAX_FRAME
from submeter.clock import SystemClock
from submeter.errors import InputError, ListenFailed
from submeter.model import Phase, ProcessFacts, ProcessKey
from submeter.runtime import labels as labels_module
from submeter.runtime.address import listening
from submeter.runtime.labels import CONNECTIONS, LabelServer, Who
from submeter.throughput.source import Heard
from submeter.workloads.labels import LIMIT, PER_USER, Labels

pytestmark = pytest.mark.hostile

ME = ProcessKey("boot", os.getpid(), 1)
MINE = ProcessKey("boot", 5001, 1)
STRANGERS = ProcessKey("boot", 5002, 1)
USER, STRANGER = 1001, 1002


class People:
    """A process source with a few people; `uids` may be changed by the test."""

    def __init__(self) -> None:
        self.uids = {ME: USER, MINE: USER, STRANGERS: STRANGER}

    def identify(self, pid: int) -> ProcessKey | None:
        return next((key for key in self.uids if key.pid == pid), None)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, uid=self.uids[key]) if key in self.uids else None


class Stage:
    """A server, what it was told, and a way to talk to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels = Labels()
        self.people = People()
        self.heard: list[Heard] = []
        self.server = LabelServer(
            listening(path, None),
            self.labels,
            self.people,
            SystemClock(),
            lambda fields, who: {"echo": who.uid} if fields["ask"] == "who" else None,
            hear=self.heard.append,
        )
        self.server.start()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(self.path))  # without a timeout: it waits while the queue is full
        connection.settimeout(10)
        return connection

    def say(self, *lines: object) -> list[dict[str, Any]]:
        """The answers until the server hangs up or has answered everything."""
        with self.connect() as connection:
            for line in lines:
                data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                try:
                    connection.sendall(data)
                except OSError:
                    break
            connection.shutdown(socket.SHUT_WR)
            return _answers(connection)

    def label(self, key: ProcessKey) -> tuple[Phase | None, str] | None:
        return self.labels.take(key, SystemClock().boottime_ns())


def _answers(connection: socket.socket) -> list[dict[str, Any]]:
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A server to whom every peer is this process, of user `USER`."""
    monkeypatch.setattr(labels_module, "_credentials", lambda _: Who(os.getpid(), USER))
    stage = Stage(tmp_path / "s.sock")
    yield stage
    stage.server.stop()


def test_a_process_labels_itself(stage: Stage) -> None:
    assert stage.say({"phase": "training", "workload": "x", "reply": True}) == [{"ok": True}]
    assert stage.label(ME) == (Phase.TRAINING, "x")
    stage.say({"phase": "", "reply": True})
    stage.label(ME)  # the time until now still counted for both
    assert stage.label(ME) == (None, "x")


@pytest.mark.threat("T4")
def test_it_labels_other_processes_of_its_user_only(stage: Stage) -> None:
    assert stage.say({"pid": MINE.pid, "phase": "other", "reply": True}) == [{"ok": True}]
    assert stage.label(MINE) == (Phase.OTHER, "")
    (answer,) = stage.say({"pid": STRANGERS.pid, "phase": "other", "reply": True})
    assert answer["reason"] == "foreign"
    assert stage.label(STRANGERS) is None
    assert stage.server.requests()["refused", "foreign"] == 1


@pytest.mark.threat("T4")
def test_a_pid_that_is_somebody_elses_by_now(stage: Stage) -> None:
    del stage.people.uids[MINE]
    stage.people.uids[MINE._replace(start_ticks=2)] = STRANGER
    (answer,) = stage.say({"pid": MINE.pid, "phase": "other"})
    assert answer["reason"] == "foreign"
    (answer,) = stage.say({"pid": 77, "phase": "other"})
    assert answer["reason"] == "gone"


def test_root_labels_everybody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "_credentials", lambda _: Who(os.getpid(), 0))
    assert stage.say({"pid": STRANGERS.pid, "phase": "other", "reply": True}) == [{"ok": True}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "garbage"),
        (b"{\n", "garbage"),
        (b"[]\n", "garbage"),
        (b"\xff\xfe\n", "garbage"),
        (b"GET / HTTP/1.1\r\n", "garbage"),
        (b"[" * 4000 + b"\n", "garbage"),
        (b"x" * (MAX_FRAME + 10), "frame"),
        (b'{"workload":"' + b"x" * MAX_FRAME + b'"}\n', "frame"),
        ({}, "unknown"),
        ({"ask": "secrets"}, "unknown"),
        ({"ask": None}, "unknown"),
        ({"phase": "idle"}, "phase"),
        ({"phase": 5}, "phase"),
        ({"phase": ["training"]}, "phase"),
        ({"workload": 5}, "workload"),
        ({"phase": "other", "pid": True}, "pid"),
        ({"phase": "other", "pid": "1"}, "pid"),
        ({"phase": "other", "pid": -1}, "pid"),
        ({"phase": "other", "pid": 2**70}, "pid"),
    ],
)
def test_what_is_wrong_is_refused_said_and_counted(stage: Stage, line: object, reason: str) -> None:
    answers = stage.say(line)
    assert [answer["reason"] for answer in answers] == [reason]
    assert stage.server.requests()["refused", reason] == 1
    assert len(stage.labels) == 0
    assert stage.say({"ask": "who"}) == [{"echo": USER}]  # others are served as before


@pytest.mark.threat("T11")
def test_a_name_is_made_safe_and_short(stage: Stage) -> None:
    stage.say({"workload": "a\n\x1b[31mb" + "x" * 1000, "reply": True})
    label = stage.label(ME)
    assert label is not None
    assert label[1].isprintable()
    assert len(label[1]) <= 64


@pytest.mark.threat("T5")
def test_a_line_must_be_finished_within_a_second(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.sendall(b'{"phase":')
        start = time.monotonic()
        answers = _answers(connection)
    assert [answer["reason"] for answer in answers] == ["slow"]
    assert 0.5 < time.monotonic() - start < 4


@pytest.mark.threat("T5")
def test_a_user_can_not_take_all_connections(stage: Stage) -> None:
    connections = [stage.connect() for _ in range(2 * labels_module.PER_USER)]
    last = connections[-1]
    assert [answer["reason"] for answer in _answers(last)] == ["connections"]
    for connection in connections:
        connection.close()
    _wait(lambda: stage.say({"ask": "who"}) == [{"echo": USER}])


@pytest.mark.threat("T5")
def test_a_thousand_connections(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "_credentials", lambda _: Who(os.getpid(), 0))
    for _ in range(1000):
        with stage.connect() as connection:
            connection.send(b"garbage\n")
    _wait(lambda: stage.say({"ask": "who"}) == [{"echo": 0}])
    assert stage.server.requests()["refused", "garbage"] > 0
    assert CONNECTIONS < 1000


@pytest.mark.threat("T5")
def test_a_user_can_not_label_without_end() -> None:
    labels = Labels()
    keys = [ProcessKey("boot", pid, 1) for pid in range(PER_USER + 1)]
    assert all(labels.say(key, USER, 0, phase=Phase.OTHER) for key in keys[:-1])
    assert not labels.say(keys[-1], USER, 0, phase=Phase.OTHER)
    assert labels.say(keys[-1], STRANGER, 0, phase=Phase.OTHER)
    labels.forget(keys[:1])
    assert labels.say(keys[0], USER, 0, phase=Phase.OTHER)


@pytest.mark.fault("F84")
@pytest.mark.threat("T12")
def test_a_million_identities_stay_bounded() -> None:
    labels = Labels()
    for number in range(1_000_000):
        labels.say(ProcessKey("boot", number, 1), number // 100, 0, workload="x")
    assert len(labels) == LIMIT
    labels.forget(labels.processes())
    assert labels.say(MINE, USER, 0, phase=Phase.OTHER)


def test_a_job_of_many_names_has_one_at_a_time(stage: Stage) -> None:
    with stage.connect() as connection:
        for number in range(5_000):
            connection.sendall(b'{"workload":"name %d"}\n' % number)
        connection.sendall(b'{"workload":"last","reply":true}\n')
        assert connection.recv(100) == b'{"ok":true}\n'
    assert len(stage.labels) == 1
    assert stage.label(ME) == (None, "last")
    assert stage.server.requests()["labelled", ""] == 5_001


def test_of_several_phases_the_longest_counts() -> None:
    labels = Labels()
    labels.say(ME, USER, 0, phase=Phase.TRAINING)
    labels.say(ME, USER, 600, phase=Phase.INFERENCE)
    assert labels.take(ME, 1000) == (Phase.TRAINING, "")
    assert labels.take(ME, 2000) == (Phase.INFERENCE, "")
    labels.say(ME, USER, 2400, phase=None)
    assert labels.take(ME, 3000) == (None, "")


@pytest.mark.threat("T4")
def test_the_socket_is_for_user_and_group_only(stage: Stage) -> None:
    assert stage.path.stat().st_mode & 0o777 == 0o660


def test_what_is_in_the_way(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(ListenFailed, match="another agent"):
        listening(stage.path, None)
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ListenFailed):
        listening(file, None)
    assert file.read_text() == "precious"
    with pytest.raises(ListenFailed):
        listening(tmp_path / ("x" * 200), None)
    with pytest.raises(InputError, match="no group"):
        listening(tmp_path / "other", "no-such-group-here")
    stage.server.stop()
    again = listening(stage.path, None)  # a dead agent's socket
    again.close()


_FIELDS = st.dictionaries(
    st.sampled_from(["phase", "workload", "pid", "ask", "reply", "x"]),
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("training"),
)


@pytest.mark.threat("T5")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=60) | _FIELDS, max_size=5))
def test_whatever_is_said_it_goes_on(stage: Stage, lines: list[Any]) -> None:
    stage.say(*lines)
    assert stage.say({"ask": "who"}) == [{"echo": USER}]
    assert stage.label(STRANGERS) is None


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError


def test_a_job_says_how_much_it_has_done(stage: Stage) -> None:
    stage.say({"done": {"tokens": 8192, "steps": 1}}, {"ask": "who"})
    assert stage.heard[0].source.holders == (ME,)
    assert stage.heard[0].counts == {"tokens:": 8192, "steps:": 1}
    assert stage.server.requests()["labelled", ""] == 1


@pytest.mark.parametrize(
    "done",
    [
        [],
        {"Tokens": 1},
        {"uncounted_ns": 1},
        {"tokens": -1},
        {"tokens": 1.5},
        {"tokens": True},
        {"tokens": 10**18},
        {f"unit{number}": 1 for number in range(9)},
    ],
)
def test_what_is_no_work_is_refused(stage: Stage, done: object) -> None:
    assert stage.say({"done": done})[0]["reason"] == "done"
    assert stage.heard == []
