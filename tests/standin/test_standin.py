"""Clients in other processes, wrong scripts, many threads."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pynvml
import pytest

if TYPE_CHECKING:
    from tests.standin.conftest import Client
    from tests.standin.standin import Standin


def _run(world: "Standin", code: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs Python code that sees the world through LD_LIBRARY_PATH alone."""
    prelude = "import pynvml as n, time\nn.nvmlInit()\nh = n.nvmlDeviceGetHandleByIndex(0)\n"
    command = [sys.executable, "-c", prelude + code]
    return subprocess.run(
        command, env=world.env, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_client_process_finds_it_and_counts_survive_a_kill(standin: "Standin") -> None:
    standin.write("gpu 0 idle_mw=123000")
    code = "import os\nprint(n.nvmlDeviceGetPowerUsage(h), flush=True)\nos.kill(os.getpid(), 9)"
    done = _run(standin, code)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.strip() == "123000"
    assert standin.calls() == {
        "nvmlInitWithFlags": 1,
        "nvmlDeviceGetHandleByIndex_v2": 1,
        "nvmlDeviceGetPowerUsage": 1,
    }


def test_segv(standin: "Standin") -> None:
    standin.write(["gpu 0", "fault call=nvmlDeviceGetName segv=1"])
    assert _run(standin, "n.nvmlDeviceGetName(h)").returncode == -signal.SIGSEGV


def test_a_replaced_library_can_be_told_apart(standin: "Standin", tmp_path: Path) -> None:
    """As after a driver upgrade: the old file fails with a mismatch, the new one works."""
    build = sys.modules["standin"].build
    newer = build(tmp_path / "newer", "13.999.1")
    standin.write(["library 13.999.1", "gpu 0"])
    done = _run(standin, "")
    assert "NVMLError_LibRmVersionMismatch" in done.stderr
    standin.library = newer
    done = _run(standin, "print(n.nvmlSystemGetNVMLVersion())")
    assert done.stdout.strip() == "13.999.1"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("gpu 0 idle_w=3", "gpu has no idle_w="),
        ("gpu 0 idle_mw=3W", "idle_mw=3W: not a value for idle_mw"),
        ("gpu 64", "gpu needs a GPU number from 0 to 63"),
        ("gpu 0 arch=fermi", "arch=fermi: unknown architecture"),
        ("load 1 constant mw=1", "gpu 1 has not been declared above"),
        ("load 5 triangle", "gpu 5 has not been declared above"),
        ("fault call=nvmlDeviceGetNothing error=3", "nvml.h has no such call"),
        ("nonsense", "nonsense: unknown verb"),
    ],
)
def test_a_wrong_script_is_complained_about(standin: "Standin", line: str, complaint: str) -> None:
    standin.script_path.write_text(f"# a comment\n\n{line}\n", encoding="utf-8")
    done = _run(standin, "")
    assert f"{standin.script_path}:3: " in done.stderr
    assert complaint in done.stderr
    assert "NVMLError_Unknown" in done.stderr


def test_a_wrong_replacement_leaves_the_old_script_in_force(
    client: "Client", capfd: pytest.CaptureFixture[str]
) -> None:
    (gpu,) = client.start("gpu 0 idle_mw=90000")
    client.world.script_path.with_suffix(".bad").write_text("gpu x\n", encoding="utf-8")
    client.world.script_path.with_suffix(".bad").replace(client.world.script_path)
    complaints = ""

    def complained() -> bool:
        nonlocal complaints
        assert pynvml.nvmlDeviceGetPowerUsage(gpu) == 90000
        complaints += capfd.readouterr().err
        return "gpu needs a GPU number" in complaints

    client.wait(complained)


def test_many_threads(client: "Client") -> None:
    """Eight GPUs read by eight threads while the script is replaced under them."""
    boards = [f"gpu {i} idle_mw={(i + 1) * 1000}" for i in range(8)]
    handles = client.start(*boards)
    wrong: list[object] = []

    def read(number: int) -> None:
        for _ in range(2000):
            value = client.fields(handles[number], 186)[0]
            if value.nvmlReturn != 0 or value.value.uiVal != (number + 1) * 1000:
                wrong.append(value.value.uiVal)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        client.world.write(boards)
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert client.world.calls()["nvmlDeviceGetFieldValues"] == 16000


def test_a_library_that_is_unloaded_leaves_nothing_mapped(standin: "Standin") -> None:
    standin.write("gpu 0\nfault call=nvmlShutdown error=9")
    library = str(standin.library)
    code = (
        "import _ctypes, ctypes\n"
        "for _ in range(3):\n"
        f"    library = ctypes.CDLL({library!r})\n"
        "    assert library.nvmlInit_v2() == 0\n"
        "    library.nvmlShutdown()\n"
        "    _ctypes.dlclose(library._handle)\n"
        "print(open('/proc/self/maps').read())\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=standin.env, capture_output=True, text=True, check=True)
    places = [line.split()[0].partition("-") for line in done.stdout.splitlines() if line]
    sizes = [int(end, 16) - int(begin, 16) for begin, _, end in places]
    assert "standin.calls" not in done.stdout
    assert max(sizes) < 32 << 20  # a world's addresses are 64 MiB
