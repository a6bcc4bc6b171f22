"""Loading, unloading and reloading libnvidia-ml, each in a process of its own."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pynvml
import pytest

from submeter.backends.nvml.library import LIBRARY
from submeter.errors import DriverUnavailable

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node
    from tests.standin import standin as standin_module

Run = Callable[..., str]

PRELUDE = """
import os, shutil, sys, threading, time
from pathlib import Path
import pynvml
from submeter.backends import load
from submeter.backends.nvml.library import LIBRARY, is_loaded
from submeter.clock import SystemClock
from submeter.errors import DriverUnavailable, SubmeterError

clock = SystemClock()
backend = load("nvml", clock, {"sysfs": "/nowhere"})
script = Path(os.environ["SUBMETER_STANDIN_SCRIPT"])

def attempt(ask, *arguments):
    try:
        ask(*arguments)
    except DriverUnavailable as error:
        return error.reason
    except SubmeterError as error:
        return type(error).__name__
    return "fine"

def become(*lines):
    new = script.with_suffix(".next")
    new.write_text("\\n".join(lines) + "\\n")
    new.replace(script)

def until(condition):
    for _ in range(2000):
        if condition():
            return True
        time.sleep(0.005)
    return False
"""


@pytest.mark.fault("F1")
def test_a_library_that_comes_later_is_found(
    run_client: Run, standin: "standin_module.Standin", tmp_path: Path
) -> None:
    standin.write(["gpu 0"])
    place = tmp_path / "lib"
    place.mkdir()
    code = """
print(attempt(backend.open))
shutil.copy(sys.argv[1], sys.argv[2])
print(attempt(backend.open))
backend.close()
print(is_loaded())
"""
    env = {**standin.env, "LD_LIBRARY_PATH": str(place)}
    out = run_client(PRELUDE + code, env, standin.library, place)
    assert out.split() == ["library_missing", "fine", "False"]


NOT_YET = {
    "fault call=nvmlInit error=9": "driver_not_loaded",
    "fault call=nvmlInit error=4": "no_permission",
    "fault call=nvmlInit error=999": "unknown",
    "fault call=nvmlInit error=28": "no_gpu",
    "fault call=nvmlDeviceGetCount_v2 error=9": "driver_not_loaded",
    "fault call=nvmlDeviceGetCount_v2 error=999": "unknown",
    "fault call=nvmlDeviceGetHandleByIndex_v2 error=4": "no_permission",
    "fault call=nvmlDeviceGetHandleByIndex_v2 error=15": "no_gpu",
}


@pytest.mark.fault("F1")
def test_a_driver_that_can_be_used_later_is_opened_later(
    run_client: Run, standin: "standin_module.Standin"
) -> None:
    code = """
for fault in sys.argv[1:]:
    become("gpu 0", fault)
    print(attempt(backend.open), is_loaded())
    become("gpu 0")
    print(attempt(backend.open))
    backend.close()
"""
    out = run_client(PRELUDE + code, standin.env, *NOT_YET)
    assert out.splitlines() == [
        line for reason in NOT_YET.values() for line in (f"{reason} False", "fine")
    ]


def test_no_gpu_at_all(run_client: Run, standin: "standin_module.Standin") -> None:
    standin.write(["driver 580.1"])
    assert run_client(PRELUDE + "print(attempt(backend.open))", standin.env) == "no_gpu\n"


@pytest.fixture(scope="module")
def updated(standin_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version of the library."""
    built: Path = sys.modules["standin"].build(tmp_path_factory.mktemp("updated"), "two")
    assert built != standin_library
    return built


@pytest.mark.fault("F2")
def test_after_a_driver_update_the_new_library_is_loaded(
    run_client: Run, standin: "standin_module.Standin", updated: Path, tmp_path: Path
) -> None:
    place = tmp_path / "lib"
    place.mkdir()
    standin.write(["gpu 0"])
    code = """
old, new, place = map(Path, sys.argv[1:])
shutil.copy(old, place)
(device,) = backend.open()
print(attempt(device.readings, 1))
become("library two", "gpu 0")
print(until(lambda: attempt(device.readings, 1) == "version_mismatch"))
print(attempt(backend.open), backend.restart_needed)
shutil.copy(new, place / "next")
(place / "next").replace(place / "libnvidia-ml.so.1")
(device,) = backend.open()
print(attempt(device.readings, 1), pynvml.nvmlSystemGetNVMLVersion())
"""
    env = {**standin.env, "LD_LIBRARY_PATH": str(place)}
    out = run_client(PRELUDE + code, env, standin.library, updated, place)
    assert out.split() == ["fine", "True", "version_mismatch", "False", "fine", "two"]


@pytest.mark.fault("F2")
def test_a_library_somebody_else_uses_stays_and_a_restart_is_asked_for(
    run_client: Run, standin: "standin_module.Standin"
) -> None:
    standin.write(["gpu 0"])
    code = """
pynvml.nvmlInit()
(device,) = backend.open()
backend.close()
print(is_loaded(), pynvml.nvmlDeviceGetCount())
become("library two", "gpu 0")
print(until(lambda: attempt(backend.open) == "version_mismatch"), backend.restart_needed)
"""
    assert run_client(PRELUDE + code, standin.env).split() == ["True", "1", "True", "True"]


@pytest.mark.fault("F5")
def test_a_hung_call_holds_up_nothing_but_the_unloading(
    run_client: Run, standin: "standin_module.Standin"
) -> None:
    standin.write(["gpu 0", "gpu 1"])
    code = """
first, second = backend.open()
become("gpu 0", "gpu 1", "fault call=nvmlDeviceGetFieldValues gpu=0 hang=inf")
time.sleep(0.06)
second.activity(1)
outcome = []
thread = threading.Thread(target=lambda: outcome.append(attempt(first.readings, 1)))
thread.start()
print(until(lambda: backend.calls_in_flight == 1), attempt(second.readings, 1))
backend.close()
print(is_loaded(), attempt(second.readings, 1))
become("gpu 0", "gpu 1")
thread.join(10)
print(outcome, until(lambda: not is_loaded()))
print(attempt(backend.open))
"""
    out = run_client(PRELUDE + code, standin.env)
    assert out.splitlines() == ["True fine", "True unknown", "['fine'] True", "fine"]


def test_one_gpu_hanging_does_not_keep_the_others_from_being_opened_again(
    run_client: Run, standin: "standin_module.Standin"
) -> None:
    standin.write(["gpu 0", "gpu 1"])
    code = """
first, second = backend.open()
end = clock.boottime_ns() / 1e9 + 0.3
hang = f"fault call=nvmlDeviceGetFieldValues gpu=0 hang=inf to={end}"
become("time0_ns 1", "gpu 0", "gpu 1", hang)
time.sleep(0.06)
second.activity(1)
threading.Thread(target=attempt, args=(first.readings, 1), daemon=True).start()
print(until(lambda: clock.boottime_ns() / 1e9 > end), backend.calls_in_flight)
print(attempt(backend.reopen(second.info.uuid).readings, 1))
print(sorted(device.info.index for device in backend.open()))
sys.stdout.flush()
os._exit(0)
"""
    out = run_client(PRELUDE + code, standin.env)
    assert out.splitlines() == ["True 1", "fine", "[0, 1]"]


@pytest.mark.fault("F28")
def test_a_forked_child_keeps_its_hands_off(
    run_client: Run, standin: "standin_module.Standin"
) -> None:
    standin.write(["gpu 0"])
    code = """
(device,) = backend.open()
sys.stdout.flush()
child = os.fork()
if child == 0:
    print(attempt(device.readings, 1), attempt(device.activity, 1), attempt(backend.open))
    backend.close()
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print(attempt(device.readings, 1))
backend.close()
sys.stdout.flush()
child = os.fork()
if child == 0:
    print(attempt(backend.open))
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
    out = run_client(PRELUDE + code, standin.env)
    assert out.splitlines() == ["unknown unknown unknown", "fine", "fine"]
    assert standin.calls()["nvmlShutdown"] == 1


def test_a_closed_session_refuses_its_devices(node: "Node") -> None:
    (device,) = node.open("gpu 0", "process 0 pid=11 mem=1G")
    node.backend.close()
    before = node.world.calls()
    asks: tuple[Callable[[int], object], ...] = (
        device.readings,
        device.activity,
        device.gauges,
        device.holders,
        device.utilisation,
    )
    for ask in asks:
        with pytest.raises(DriverUnavailable, match="closed"):
            ask(1)
    assert node.world.calls() == before
    node.backend.close()


@pytest.mark.fault("F21")
def test_opened_again_and_again_nothing_is_left_over(node: "Node") -> None:
    for _ in range(5):
        node.open("gpu 0")
    node.backend.close()
    calls = node.world.calls()
    assert calls["nvmlInitWithFlags"] == calls["nvmlShutdown"] == 5
    assert not LIBRARY.in_flight
    assert pynvml.nvmlLib is None
    assert pynvml._nvmlGetFunctionPointer_cache == {}


def test_only_listed_functions_are_given_out(node: "Node") -> None:
    node.open("gpu 0")
    session = LIBRARY.open()
    with pytest.raises(ValueError, match="ALLOWED_CALLS"):
        session.function("nvmlDeviceSetPersistenceMode")
    session.close()
