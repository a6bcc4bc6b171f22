"""Which devices there are and what they are, through nvidia-ml-py."""

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING

import pynvml

if TYPE_CHECKING:
    from tests.standin.conftest import Client


def test_every_function_that_the_binding_looks_up_is_there(standin_library: Path) -> None:
    library = ctypes.CDLL(str(standin_library))
    source = Path(pynvml.__file__).read_text(encoding="utf-8")
    names = {part.split('"')[0] for part in source.split('_nvmlGetFunctionPointer("')[1:]}
    assert len(names) > 300
    assert sorted(name for name in names if not hasattr(library, name)) == []


def test_identity(client: "Client") -> None:
    a, b = client.start(
        "driver 570.1.2",
        "cuda 12080",
        'gpu 0 uuid=GPU-a name="NVIDIA A100-SXM4-80GB" arch=ga100 pci=00000001:3B:00.0 serial=123',
        "gpu 1 uuid=GPU-b minor=7",
    )
    assert pynvml.nvmlSystemGetDriverVersion() == "570.1.2"
    assert pynvml.nvmlSystemGetCudaDriverVersion() == 12080
    assert pynvml.nvmlDeviceGetName(a) == "NVIDIA A100-SXM4-80GB"
    assert pynvml.nvmlDeviceGetUUID(b) == "GPU-b"
    assert pynvml.nvmlDeviceGetSerial(a) == "123"
    assert client.error(pynvml.nvmlDeviceGetSerial, b) == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert pynvml.nvmlDeviceGetMinorNumber(b) == 7
    assert pynvml.nvmlDeviceGetArchitecture(a) == pynvml.NVML_DEVICE_ARCH_AMPERE
    assert pynvml.nvmlDeviceGetArchitecture(b) == pynvml.NVML_DEVICE_ARCH_HOPPER
    assert pynvml.nvmlDeviceGetCudaComputeCapability(a) == (8, 0)
    pci = pynvml.nvmlDeviceGetPciInfo(a)
    assert (pci.domain, pci.bus, pci.device, pci.busId) == (1, 0x3B, 0, "00000001:3B:00.0")
    for same in (
        pynvml.nvmlDeviceGetHandleByUUID("GPU-a"),
        pynvml.nvmlDeviceGetHandleByPciBusId("0001:3b:00.0"),
    ):
        assert pynvml.nvmlDeviceGetIndex(same) == 0
    assert client.error(pynvml.nvmlDeviceGetHandleByUUID, "GPU-c") == pynvml.NVML_ERROR_NOT_FOUND
    assert client.error(pynvml.nvmlDeviceGetHandleByIndex, 2) == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_index_order_is_the_scripts(client: "Client") -> None:
    handles = client.start("gpu 0 index=2", "gpu 1 index=1", "gpu 2 index=0 uuid=GPU-first")
    assert pynvml.nvmlDeviceGetUUID(handles[0]) == "GPU-first"
    assert [pynvml.nvmlDeviceGetIndex(handle) for handle in handles] == [0, 1, 2]


def test_strings_report_a_buffer_that_is_too_small(client: "Client") -> None:
    client.start("gpu 0")
    library = client.world.load()
    buffer = ctypes.create_string_buffer(80)
    needed = len("580.95.05") + 1
    for length, expected in ((needed, 0), (needed - 1, pynvml.NVML_ERROR_INSUFFICIENT_SIZE)):
        assert library.nvmlSystemGetDriverVersion(buffer, length) == expected


def test_uninitialised_counted_and_stale_handles(client: "Client") -> None:
    assert client.error(pynvml.nvmlDeviceGetCount) == pynvml.NVML_ERROR_UNINITIALIZED
    (gpu,) = client.start("gpu 0")
    pynvml.nvmlInit()
    pynvml.nvmlShutdown()
    assert pynvml.nvmlDeviceGetCount() == 1  # two inits, one shutdown
    pynvml.nvmlShutdown()
    assert client.error(pynvml.nvmlDeviceGetPowerUsage, gpu) == pynvml.NVML_ERROR_UNINITIALIZED
    assert client.error(pynvml.nvmlShutdown) == pynvml.NVML_ERROR_UNINITIALIZED
    pynvml.nvmlInit()
    invalid = pynvml.NVML_ERROR_INVALID_ARGUMENT
    for bad in (None, ctypes.c_void_p(0xDEAD), ctypes.c_void_p(8)):
        assert client.error(pynvml.nvmlDeviceGetPowerUsage, bad) == invalid


def test_modes_and_constants(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 limit_mw=500000 max_limit_mw=650000 min_limit_mw=100000 temp_c=41")
    assert pynvml.nvmlDeviceGetPowerManagementLimit(gpu) == 500000
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) == 500000
    assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu) == 650000
    assert pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu) == [100000, 650000]
    assert pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU) == 41
    assert pynvml.nvmlDeviceGetTemperatureV(gpu, pynvml.NVML_TEMPERATURE_GPU) == 41
    assert pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM) == 345
    assert pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM) == 2619
    assert pynvml.nvmlDeviceGetPerformanceState(gpu) == 0
    assert pynvml.nvmlDeviceGetEccMode(gpu) == [1, 1]
    assert pynvml.nvmlDeviceGetPersistenceMode(gpu) == 1
    assert pynvml.nvmlDeviceGetPowerManagementMode(gpu) == 1
    assert pynvml.nvmlDeviceGetDisplayActive(gpu) == 0
    assert pynvml.nvmlDeviceGetComputeMode(gpu) == 0
    assert client.error(pynvml.nvmlDeviceGetFanSpeed, gpu) == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert pynvml.nvmlDeviceGetPcieThroughput(gpu, pynvml.NVML_PCIE_UTIL_TX_BYTES) == 0


def test_state_changing_calls_are_refused_and_recorded(client: "Client") -> None:
    (gpu,) = client.start("gpu 0")
    denied = pynvml.NVML_ERROR_NO_PERMISSION
    assert client.error(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, 1) == denied
    assert client.error(pynvml.nvmlDeviceClearEccErrorCounts, gpu, 0) == denied
    assert client.error(pynvml.nvmlDeviceSetMigMode, gpu, 1) == denied
    events = pynvml.nvmlEventSetCreate()
    pynvml.nvmlEventSetFree(events)
    assert client.world.offences() == {
        "nvmlDeviceSetPowerManagementLimit": 1,
        "nvmlDeviceClearEccErrorCounts": 1,
        "nvmlDeviceSetMigMode": 1,
    }
