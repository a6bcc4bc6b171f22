"""A service manager hears what sd_notify(3) says, and is fed only while sampling goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from submeter.clock import FakeClock
from submeter.model import Snapshot
from submeter.runtime.notify import (
    STARTING,
    Heart,
    ServiceManager,
    reloading,
    service_manager,
    status_text,
)
from submeter.testing.snapshots import node
from submeter.units import NS_PER_S

WATCHDOG_NS = 8 * NS_PER_S


class Ear:
    """The manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(path))

    def heard(self, patience_s: float = 0) -> list[str]:
        """What has arrived; the first may take a while."""
        said = []
        self._socket.settimeout(patience_s)
        try:
            while True:
                said.append(self._socket.recv(4_096).decode())
                self._socket.settimeout(0)
        except (BlockingIOError, TimeoutError):
            return said

    def waits_for(self, line: str, patience_s: float = 30) -> list[str]:
        said: list[str] = []
        while line not in said:
            new = self.heard(patience_s)
            assert new, f"{line} did not come; what came: {said}"
            said += [each for message in new for each in message.split("\n")]
        return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    ear = Ear(tmp_path / "notify.sock")
    yield ear
    ear.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def heart(ear: Ear, clock: FakeClock) -> Heart:
    return Heart(ServiceManager(str(ear.path), WATCHDOG_NS), clock)


def beat(heart: Heart, trouble: str, pulse: int, snapshot: Snapshot | None = None) -> None:
    heart.beat(lambda: snapshot, lambda: trouble, lambda: pulse)


def test_a_long_salvage_keeps_the_service_from_being_killed(
    heart: Heart, ear: Ear, clock: FakeClock
) -> None:
    heart.saving()
    heart.saving()
    (said,) = ear.heard()
    assert said.split("\n")[:2] == ["EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"]
    clock.advance(60 * NS_PER_S)
    heart.saving()
    assert len(ear.heard()) == 1


def test_ready_is_said_once_and_not_before_the_driver_answered(heart: Heart, ear: Ear) -> None:
    beat(heart, STARTING, 0)
    assert "READY=1" not in ear.heard()
    beat(heart, "no driver: library_missing", 0)
    assert "READY=1" in ear.heard()
    beat(heart, "", 0)
    assert "READY=1" not in ear.heard()


@pytest.mark.fault("F93")
def test_the_watchdog_is_fed_while_sampling_goes_on_and_starves_with_it(
    heart: Heart, ear: Ear, clock: FakeClock
) -> None:
    heard = []
    for second in range(100):
        beat(heart, "", second)
        heard += ear.heard()
        clock.advance(NS_PER_S)
    assert 25 <= heard.count("WATCHDOG=1") <= 60, "at least twice within its patience"
    beat(heart, "", 99)
    ear.heard()
    for _ in range(100):
        beat(heart, "", 99)
        clock.advance(NS_PER_S)
    assert "WATCHDOG=1" not in ear.heard()
    beat(heart, "", 100)
    assert "WATCHDOG=1" in ear.heard(), "it goes on when sampling does"


def test_without_a_watchdog_nothing_is_fed(ear: Ear, clock: FakeClock) -> None:
    heart = Heart(ServiceManager(str(ear.path)), clock)
    for second in range(30):
        beat(heart, "", second)
        clock.advance(NS_PER_S)
    assert "WATCHDOG=1" not in ear.heard()


def test_the_status_says_how_metering_is_but_not_each_second(
    heart: Heart, ear: Ear, clock: FakeClock
) -> None:
    snapshot = node()
    for _ in range(21):
        beat(heart, "", 1, snapshot)
        clock.advance(NS_PER_S)
    said = [line for line in ear.heard() if line.startswith("STATUS=")]
    assert said == [f"STATUS={status_text(snapshot, '')}"], "only what changed"


def test_what_the_status_says() -> None:
    assert status_text(None, "") == STARTING
    assert status_text(None, "no driver: no_gpu") == "no driver: no_gpu"
    snapshot = node()
    down = tuple(replace(gpu, up=False, reading=None) for gpu in snapshot.gpus)
    count = len(snapshot.gpus)
    assert status_text(snapshot, "").startswith("metering ")
    blind = status_text(replace(snapshot, gpus=down), "no GPU can be read")
    assert blind.startswith(f"metering 0 of {count} GPU(s); ")
    assert blind.endswith("; no GPU can be read")


def test_a_remark_is_one_line_and_stays_for_a_while(
    heart: Heart, ear: Ear, clock: FakeClock
) -> None:
    heart.say("not reloaded: a\nREADY=1")
    assert ear.heard() == ["STATUS=not reloaded: a READY=1"]
    clock.advance(60 * NS_PER_S)
    beat(heart, "no driver: no_gpu", 1)
    assert not [line for line in ear.heard() if line.startswith("STATUS=")]


@pytest.mark.parametrize(
    ("environ", "watchdog_ns"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30 * NS_PER_S),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30 * NS_PER_S),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({}, None),
    ],
)
def test_how_long_the_watchdog_waits(environ: dict[str, str], watchdog_ns: int | None) -> None:
    assert service_manager(environ, 42).watchdog_ns == watchdog_ns


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "no-path"])
def test_who_is_no_unix_socket_is_told_nothing(address: str) -> None:
    manager = service_manager({"NOTIFY_SOCKET": address}, 42)
    assert not manager.listens
    manager.tell("READY=1")


def test_an_abstract_address(clock: FakeClock) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0submeter-test-{os.getpid()}")
        ServiceManager(f"@submeter-test-{os.getpid()}").tell(*reloading(clock))
        server.settimeout(5)
        first, second, _ = server.recv(4_096).decode().split("\n")
    assert first == "RELOADING=1"
    assert second == f"MONOTONIC_USEC={clock.monotonic_ns() // 1_000}"


def test_a_manager_that_is_gone_does_no_harm_and_is_mentioned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager(str(tmp_path / "nobody"))
    manager.tell("READY=1")
    manager.tell("WATCHDOG=1")
    assert len(caplog.records) == 1


@pytest.mark.fault("F88")
@pytest.mark.slow
def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(ear: Ear, tmp_path: Path) -> None:
    config = tmp_path / "submeter.toml"
    config.write_text('backend = "mock"\nmax_series = 111\n[web]\nlisten = "127.0.0.1:0"\n')
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        agent = subprocess.Popen(
            [
                *(sys.executable, "-m", "submeter", "run", "--config", str(config)),
                *("--state-dir", str(tmp_path / "state")),
            ],
            env={**os.environ, "NOTIFY_SOCKET": str(ear.path)},
            stderr=stderr,
        )
    try:
        ear.waits_for("READY=1")
        config.write_text("max_serie = 222\n")
        agent.send_signal(signal.SIGHUP)
        while not any("not reloaded" in line for line in ear.heard(30)):
            assert agent.poll() is None
        assert "max_serie" in log.read_text()
        config.write_text('backend = "mock"\nmax_series = 222\n[web]\nlisten = "127.0.0.1:0"\n')
        agent.send_signal(signal.SIGHUP)
        ear.waits_for("RELOADING=1")
        ear.waits_for("READY=1")
        assert log.read_text().count("serving http") == 2
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(15) == 0
    ear.waits_for("STOPPING=1")
    verified = subprocess.run(
        [
            *(sys.executable, "-m", "submeter", "verify", "--json"),
            *("--state-dir", str(tmp_path / "state")),
        ],
        capture_output=True,
        check=True,
    )
    assert json.loads(verified.stdout)
