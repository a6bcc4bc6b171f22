"""Scripted misfortune: every error code, hangs, garbage, vanishing devices."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pynvml
import pytest

if TYPE_CHECKING:
    from tests.standin.conftest import Client

EVERY_ERROR = [*range(1, 31), 999]  # the 31 codes of nvml.h


@pytest.mark.parametrize("code", EVERY_ERROR)
def test_every_error_code(client: "Client", code: int) -> None:
    gpu, other = client.start("gpu 0", "gpu 1")
    client.world.write(["gpu 0", "gpu 1", f"fault call=nvmlDeviceGet* gpu=0 error={code}"])
    client.wait(lambda: client.error(pynvml.nvmlDeviceGetUUID, gpu) == code)
    for call in (
        pynvml.nvmlDeviceGetPowerUsage,
        pynvml.nvmlDeviceGetMemoryInfo,
        pynvml.nvmlDeviceGetTotalEnergyConsumption,
    ):
        assert client.error(call, gpu) == code
        assert client.error(call, other) == 0
    assert client.error(pynvml.nvmlDeviceGetFieldValues, gpu, [83]) == code


def test_error_texts(client: "Client") -> None:
    client.start("gpu 0")
    assert pynvml.nvmlErrorString(15) == "GPU is lost"
    assert pynvml.nvmlErrorString(12345) == "Unknown Error"
    assert len({pynvml.nvmlErrorString(code) for code in EVERY_ERROR}) == len(EVERY_ERROR)


@pytest.mark.parametrize("code", [9, 12, 18, 999])
def test_init_can_fail_and_recover(client: "Client", code: int) -> None:
    client.world.write(["gpu 0", f"fault call=nvmlInit error={code} first=2"])
    assert [client.error(pynvml.nvmlInit) for _ in range(3)] == [code, code, 0]
    assert pynvml.nvmlDeviceGetCount() == 1


def test_no_script_means_no_driver(client: "Client", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUBMETER_STANDIN_SCRIPT")
    assert client.error(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_faults_by_time(client: "Client", past: Callable[[float], None]) -> None:
    past(100)
    (gpu,) = client.start(
        "gpu 0",
        "fault call=nvmlDeviceGetName from=0 to=50 error=4",
        "fault call=nvmlDeviceGetUUID from=50 error=4",
    )
    assert client.error(pynvml.nvmlDeviceGetName, gpu) == 0
    assert client.error(pynvml.nvmlDeviceGetUUID, gpu) == 4


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("nth=3", [0, 0, 8, 0, 0, 0]),
        ("every=2", [0, 8, 0, 8, 0, 8]),
        ("first=2", [8, 8, 0, 0, 0, 0]),
        ("", [8] * 6),
    ],
)
def test_faults_by_count(client: "Client", when: str, expected: list[int]) -> None:
    (gpu,) = client.start("gpu 0", f"fault call=nvmlDeviceGetPowerUsage error=8 {when}")
    assert [client.error(pynvml.nvmlDeviceGetPowerUsage, gpu) for _ in expected] == expected


def test_faults_of_single_fields(client: "Client") -> None:
    gpu, other = client.start(
        "gpu 0",
        "gpu 1",
        "fault call=nvmlDeviceGetFieldValues gpu=0 field=83 error=3",
        "fault call=nvmlDeviceGetFieldValues gpu=0 field=186 garbage=808334905",
    )
    energy, instant, average = client.fields(gpu, 83, 186, 185)
    assert (energy.nvmlReturn, instant.nvmlReturn, average.nvmlReturn) == (3, 0, 0)
    assert (instant.value.uiVal, average.value.uiVal) == (808334905, 70000)
    assert [value.nvmlReturn for value in client.fields(other, 83, 186)] == [0, 0]


def test_garbage(client: "Client") -> None:
    (gpu,) = client.start(
        "gpu 0",
        "fault call=nvmlDeviceGetUtilizationRates garbage=4294967295",
        "fault call=nvmlDeviceGetPowerUsage garbage=808334905",
        "fault call=nvmlDeviceGetTotalEnergyConsumption garbage=18446744073709551615",
        "fault call=nvmlDeviceGetFieldValues garbage=9223372036854775794",
    )
    assert pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu == 4294967295
    assert pynvml.nvmlDeviceGetPowerUsage(gpu) == 808334905
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) == 2**64 - 1
    assert client.fields(gpu, 83)[0].value.ullVal == 9223372036854775794


def test_vanishing_and_coming_back(client: "Client") -> None:
    gpu, other = client.start("gpu 0 uuid=GPU-a", "gpu 1 uuid=GPU-b")
    client.world.write(["gpu 0 uuid=GPU-a", "gpu 1 uuid=GPU-b", "vanish gpu=0"])
    lost = pynvml.NVML_ERROR_GPU_IS_LOST
    client.wait(lambda: client.error(pynvml.nvmlDeviceGetPowerUsage, gpu) == lost)
    assert client.error(pynvml.nvmlDeviceGetPowerUsage, other) == 0
    assert client.error(pynvml.nvmlDeviceGetHandleByIndex, 0) == lost
    assert pynvml.nvmlDeviceGetCount() == 2  # what the first nvmlInit found
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    assert pynvml.nvmlDeviceGetCount() == 1
    assert pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)) == "GPU-b"
    client.world.write(["gpu 0 uuid=GPU-a", "gpu 1 uuid=GPU-b"])
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    assert pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)) == "GPU-a"


def test_a_hang_delays_nobody_else_and_ends_with_its_script(client: "Client") -> None:
    gpu, other = client.start("gpu 0", "gpu 1", "fault call=nvmlDeviceGet* gpu=0 hang=inf error=15")
    codes: list[int] = []
    stuck = threading.Thread(
        target=lambda: codes.append(client.error(pynvml.nvmlDeviceGetPowerUsage, gpu)), daemon=True
    )
    stuck.start()
    client.wait(lambda: client.world.calls().get("nvmlDeviceGetPowerUsage") == 1)
    for _ in range(200):
        assert pynvml.nvmlDeviceGetPowerUsage(other) > 0
    pynvml.nvmlInit()  # nor does it hold a lock that this needs
    assert stuck.is_alive()
    client.world.write(["gpu 0", "gpu 1"])
    stuck.join(20)
    assert codes == [15]


def test_a_hang_can_end_by_itself(client: "Client") -> None:
    (gpu,) = client.start("gpu 0", "fault call=nvmlDeviceGetName hang=0.2")
    before = time.monotonic()
    pynvml.nvmlDeviceGetName(gpu)
    assert time.monotonic() - before >= 0.2


def test_latency(client: "Client") -> None:
    (gpu,) = client.start(
        "gpu 0",
        "latency_us call=nvmlDeviceGetName value=30000",
        "latency_us call=nvmlDeviceGetUUID value=30000 mode=sleep",
    )
    for call in (pynvml.nvmlDeviceGetName, pynvml.nvmlDeviceGetUUID):
        before = time.monotonic()
        call(gpu)
        assert time.monotonic() - before >= 0.03
