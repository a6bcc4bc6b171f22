"""`submeter.phase`, `workload`, `measure`: right in threads, tasks and forks; harmless alone."""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submeter
from submeter.client import link as link_module
from submeter.client.measuring import _used_j, _visible
from submeter.client.page import Level
from submeter.units import NS_PER_S


class Recorder:
    """A link that keeps what is sent."""

    connected = True

    def __init__(self, answer: bytes | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answer = answer

    def send(self, line: bytes, *, greeting: tuple[bytes, ...]) -> bool:
        self.sent.append(json.loads(line))
        return True

    def ask(self, line: bytes) -> bytes | None:
        return self.answer

    def page(self, now_ns: int) -> bytes | None:
        return None

    @property
    def phases(self) -> list[str]:
        return [one["phase"] for one in self.sent if "phase" in one]


@pytest.fixture
def link() -> Iterator[Recorder]:
    recorder = Recorder()
    before = link_module.use(recorder)
    yield recorder
    submeter.phase("")
    submeter.workload("")
    link_module.use(before)


def test_a_plain_call_holds_until_the_next(link: Recorder) -> None:
    submeter.phase("training")
    submeter.phase("training")
    submeter.phase("inference")
    submeter.phase("")
    assert link.phases == ["training", "inference", ""]


def test_a_block_ends_with_what_was_before(link: Recorder) -> None:
    submeter.phase("training")
    with submeter.phase("inference"), submeter.phase("other"):
        pass
    assert link.phases[0] == "training"
    assert link.phases[-1] == "training"
    assert {"inference", "other"} <= set(link.phases)


def test_a_block_ends_in_an_exception_too(link: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), submeter.phase("inference"):
        raise ZeroDivisionError
    assert link.phases[-1] == ""


def test_a_decorator_is_about_calls_only(link: Recorder) -> None:
    @submeter.phase("inference")
    def double(x: int) -> int:
        """Doubles."""
        assert link.phases[-1] == "inference"
        return 2 * x

    assert link.phases[-1:] in ([], [""])
    assert double(4) == 8
    assert double.__doc__ == "Doubles."
    assert link.phases[-1] == ""


def test_async_functions_and_tasks(link: Recorder) -> None:
    @submeter.phase("inference")
    async def work(n: int) -> int:
        await asyncio.sleep(0.001 * n)
        return n

    async def main() -> list[int]:
        return await asyncio.gather(*(work(n) for n in range(5)))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert link.phases[-1] == ""


def test_threads_leave_nothing_behind(link: Recorder) -> None:
    def work() -> None:
        for _ in range(200):
            with submeter.phase("inference"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert link.phases[-1] == ""


@pytest.mark.parametrize("bad", ["idle", "Training", "unknown", "x"])
def test_a_wrong_phase_is_told_at_once(link: Recorder, bad: str) -> None:
    with pytest.raises(ValueError, match="phase must be one of"):
        submeter.phase(bad)
    assert link.sent == []


@pytest.mark.parametrize("bad", ["a\nb", "\x1b", 5, None])
def test_a_wrong_workload_is_told_at_once(link: Recorder, bad: Any) -> None:
    with pytest.raises(ValueError, match="printable"):
        submeter.workload(bad)
    submeter.workload("x" * 100)
    assert link.sent[-1] == {"workload": "x" * 64}


def test_the_agents_figures(link: Recorder) -> None:
    level = {"uuid": "GPU-1", "gpu": 0, "energy_uj": 5_000_000, "at_ns": 2**62, "power_mw": 1}
    link.answer = json.dumps({"gpus": [level]}).encode()
    with submeter.measure("step") as measured:
        link.answer = json.dumps({"gpus": [{**level, "energy_uj": 12_500_000}]}).encode()
        assert measured.joules == 7.5
    assert (measured.joules, measured.source, measured.name) == (7.5, "agent", "step")
    assert measured.per_gpu == {"GPU-1": 7.5}
    assert measured.seconds >= 0


@pytest.mark.parametrize(
    "answer", [None, b"", b"x", b"[]", b"{}", b'{"gpus": [5]}', b'{"gpus": 1}']
)
def test_without_agent_and_driver_nothing_is_known(
    link: Recorder, answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submeter.client.measuring._NVML.levels", list)
    link.answer = answer
    with submeter.measure() as measured:
        pass
    assert math.isnan(measured.joules)
    assert (measured.source, dict(measured.per_gpu)) == ("", {})


def test_a_counter_is_carried_on_to_the_ends_of_the_block() -> None:
    begun = Level("g", 0, 100_000_000, 0, 200_000)
    ended = Level("g", 0, 300_000_000, NS_PER_S, 400_000)
    # 0.5 s at 200 W were over when it began, 0.25 s at 400 W not yet counted when it ended
    assert _used_j(begun, ended, NS_PER_S // 2, 5 * NS_PER_S // 4) == 200 - 100 + 100
    without = Level("g", 0, None, 0, 300_000)
    assert _used_j(without, without, 0, 2 * NS_PER_S) == 600
    assert math.isnan(_used_j(Level("g", 0, None, 0, None), ended, 0, 1))
    assert math.isnan(_used_j(begun, None, 0, 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"GPU-aa", "GPU-bb"}),
        ("0", {"GPU-aa"}),
        ("1,0", {"GPU-aa", "GPU-bb"}),
        ("GPU-b", {"GPU-bb"}),
        ("", set()),
        ("NoDevFiles", set()),
    ],
)
def test_visible_gpus(
    value: str | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    levels = [Level("GPU-aa", 0, 1, 0, 1), Level("GPU-bb", 1, 1, 0, 1)]
    assert set(_visible(levels)) == expected


def test_the_import_is_light() -> None:
    code = (
        "import sys, submeter; "
        "heavy = {'pynvml', 'psutil', 'socket', 'submeter.client', 'submeter.backends'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "submeter.phase('training'); "
        "assert not {'pynvml', 'psutil', 'submeter.config'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_alone())


def test_a_job_alone_comes_to_no_harm(tmp_path: Path) -> None:
    """Nobody listens, the socket is a file, the folder can't be read: nothing happens."""
    (tmp_path / "file").write_text("")
    for address in ("", "/nonexistent/x", str(tmp_path / "file"), "x" * 300):
        code = (
            "import submeter, os, math\n"
            "submeter.workload('w')\n"
            "with submeter.phase('training'), submeter.measure() as m: pass\n"
            "assert math.isnan(m.joules)\n"
            "pid = os.fork()\n"
            "submeter.phase('inference')\n"
            "pid and os.waitpid(pid, 0)\n"
        )
        environ = {**_alone(), "SUBMETER_SOCKET": address}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            env=environ,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_dir_names_the_client() -> None:
    assert {"phase", "workload", "measure"} <= set(dir(submeter))
    with pytest.raises(AttributeError, match="no attribute"):
        _ = submeter.nonsense


def _alone() -> dict[str, str]:
    return {**os.environ, "SUBMETER_SOCKET": "", "LD_LIBRARY_PATH": ""}


def test_an_agent_that_comes_late_or_back_learns_what_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    monkeypatch.setenv("SUBMETER_SOCKET", str(path))
    monkeypatch.setattr(link_module, "RETRY_NS", 0)
    before = link_module.use(link_module.Link())
    try:
        submeter.workload("w")
        submeter.phase("training")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
                server.bind(str(path))
                server.listen()
                server.settimeout(10)
                submeter.phase("training")
                connection, _ = server.accept()
                with connection:
                    said = connection.recv(4096)
            assert said == b'{"phase":"training"}\n{"workload":"w"}\n'
            path.unlink()
    finally:
        submeter.workload("")
        submeter.phase("")
        link_module.link().forget()
        link_module.use(before)


def test_what_an_agent_had_no_room_for_is_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that doesn't read for a while knows how things stand as soon as it does."""
    path = tmp_path / "s"
    monkeypatch.setenv("SUBMETER_SOCKET", str(path))
    before = link_module.use(link_module.Link())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(str(path))
            server.listen()
            for _ in range(3_000):
                with submeter.phase("inference"):
                    pass
            connection, _ = server.accept()
            connection.settimeout(10)
            with connection:
                while len(connection.recv(65536)) == 65536:
                    pass
                submeter.phase("")
                assert connection.recv(65536).endswith(b'{"phase":""}\n')
                submeter.phase("")
                submeter.phase("training")
                assert connection.recv(65536) == b'{"phase":"training"}\n'
    finally:
        submeter.phase("")
        link_module.link().forget()
        link_module.use(before)
