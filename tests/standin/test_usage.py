"""Processes, utilisation, MIG and events, through nvidia-ml-py."""

import ctypes
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pynvml
import pytest

if TYPE_CHECKING:
    from tests.standin.conftest import Client

GIB = 1 << 30


def test_process_lists_memory_and_types(client: "Client") -> None:
    (gpu,) = client.start(
        "gpu 0 mem_total=80G mem_reserved=1G",
        "process 0 pid=11 mem=2G",
        "process 0 pid=12 mem=1G type=compute+graphics",
        "process 0 pid=13 mem=none type=graphics",
        "process 0 pid=14 mem=512M type=mps",
        "process 0 pid=15 from=1e6",
        "process 0 pid=16 from=-9 to=-1",
    )
    compute = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    assert [(p.pid, p.usedGpuMemory) for p in compute] == [(11, 2 * GIB), (12, GIB)]
    assert {p.gpuInstanceId for p in compute} == {0xFFFFFFFF}
    graphics = pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)
    assert [(p.pid, p.usedGpuMemory) for p in graphics] == [(12, GIB), (13, None)]
    assert [p.pid for p in pynvml.nvmlDeviceGetMPSComputeRunningProcesses(gpu)] == [14]
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    assert (memory.total, memory.used) == (80 * GIB, 4 * GIB + GIB // 2)
    newer = pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2)
    assert (newer.used, newer.reserved) == (3 * GIB + GIB // 2, GIB)
    assert newer.free + newer.used + newer.reserved == newer.total


def test_process_list_layouts_of_all_versions_and_sizes(client: "Client") -> None:
    """Structure sizes by hand (16 bytes before _v2, 24 since), counts by the two-call protocol."""
    (gpu,) = client.start("gpu 0", *(f"process 0 pid={100 + i} mem={i}" for i in range(3)))
    library = client.world.load()
    too_small = pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    for suffix, words in (("", 2), ("_v2", 3), ("_v3", 3)):
        call = library[f"nvmlDeviceGetComputeRunningProcesses{suffix}"]
        count = ctypes.c_uint(0)
        assert call(gpu, ctypes.byref(count), None) == too_small
        assert count.value == 3
        buffer = (ctypes.c_uint64 * (words * 4))(*[7] * (words * 4))
        count.value = 2
        assert call(gpu, ctypes.byref(count), buffer) == too_small
        assert (count.value, buffer[words * 2]) == (3, 7)  # nothing beyond the two was written
        count.value = 4
        assert call(gpu, ctypes.byref(count), buffer) == 0
        assert count.value == 3
        assert [buffer[i * words] & 0xFFFFFFFF for i in range(3)] == [100, 101, 102]
        assert [buffer[i * words + 1] for i in range(3)] == [0, 1, 2]
        assert buffer[words * 3] == 7
    assert library.nvmlDeviceGetComputeRunningProcesses_v3(gpu, None, None) == 2


def test_no_processes_is_an_empty_list(client: "Client") -> None:
    (gpu,) = client.start("gpu 0")
    assert pynvml.nvmlDeviceGetComputeRunningProcesses(gpu) == []
    zero = pynvml.NVML_ERROR_NOT_FOUND
    assert client.error(pynvml.nvmlDeviceGetProcessUtilization, gpu, 0) == zero


def test_utilisation_samples_name_one_process_each(
    client: "Client", past: Callable[[float], None]
) -> None:
    past(1000)
    (gpu,) = client.start(
        "gpu 0 seed=3",
        "process 0 pid=21 sm=60 mem_util=10",
        "process 0 pid=22 sm=20",
        "process 0 pid=23 sm=0",
    )
    samples = {s.pid: s for s in pynvml.nvmlDeviceGetProcessUtilization(gpu, 0)}
    assert set(samples) == {21, 22}  # 23 never worked
    total = samples[21].smUtil + samples[22].smUtil
    assert abs(total - 80) <= 1  # rounding: together they are the engine's busy time
    assert samples[21].smUtil > samples[22].smUtil
    assert samples[21].memUtil == 10
    newest_us = max(s.timeStamp for s in samples.values())
    assert 0 <= time.time_ns() // 1000 - newest_us < 10_000_000
    rates = pynvml.nvmlDeviceGetUtilizationRates(gpu)
    assert (rates.gpu, rates.memory) == (80, 10)


def test_utilisation_since_last_seen(client: "Client") -> None:
    """One busy process: exactly one sample a period, none twice, NOT_FOUND when nothing is new."""
    (gpu,) = client.start("gpu 0 util_period_us=400000", "process 0 pid=31 sm=100")
    seen_us, misses = 0, 0
    stamps: list[int] = []
    deadline = time.monotonic() + 20
    while len(stamps) < 3 and time.monotonic() < deadline:
        code = client.error(pynvml.nvmlDeviceGetProcessUtilization, gpu, seen_us)
        misses += code == pynvml.NVML_ERROR_NOT_FOUND
        if code == 0:
            (sample,) = pynvml.nvmlDeviceGetProcessUtilization(gpu, seen_us)
            seen_us = sample.timeStamp
            stamps.append(seen_us)
            assert sample.smUtil > 0
    assert misses > 0
    assert stamps[2] - stamps[1] in (400_000, 800_000)


def test_utilisation_shares_converge(client: "Client", past: Callable[[float], None]) -> None:
    """Over many rings (each with its own seed) the mean share is the scripted one."""
    past(1000)
    boards = [f"gpu {i} seed={i}" for i in range(64)]
    pairs = [f"process {i} pid={pid} sm={sm}" for i in range(64) for pid, sm in ((1, 70), (2, 30))]
    handles = client.start(*boards, *pairs)
    shares = []
    for handle in handles:
        found = {s.pid: s.smUtil for s in pynvml.nvmlDeviceGetProcessUtilization(handle, 0)}
        shares.append(found[1])
    assert sum(shares) / 64 == pytest.approx(70, abs=3)  # σ of the mean: 5.4/8 = 0.7
    assert max(shares) - min(shares) > 5  # and single rings scatter


def test_utilisation_two_call_protocol_and_newer_call(
    client: "Client", past: Callable[[float], None]
) -> None:
    past(1000)
    (gpu,) = client.start("gpu 0", *(f"process 0 pid={pid} sm=25" for pid in (1, 2, 3, 4)))
    library = client.world.load()
    count = ctypes.c_uint(0)
    call = library.nvmlDeviceGetProcessUtilization
    arguments = (ctypes.byref(count), ctypes.c_ulonglong(0))
    assert call(gpu, None, *arguments) == pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    assert count.value == 4
    buffer = (pynvml.c_nvmlProcessUtilizationSample_t * 4)()
    count.value = 1
    assert call(gpu, buffer, *arguments) == pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    count.value = 4
    assert call(gpu, buffer, *arguments) == 0
    older = {sample.pid: sample.smUtil for sample in buffer}
    newer = {s.pid: s.smUtil for s in pynvml.nvmlDeviceGetProcessesUtilizationInfo(gpu, 0)}
    assert older.keys() == newer.keys() == {1, 2, 3, 4}
    assert all(abs(older[pid] - newer[pid]) <= 2 for pid in older)


def test_mig(client: "Client") -> None:
    (gpu,) = client.start(
        "gpu 0",
        "mig 0 gi=1 ci=0 uuid=MIG-one slices=3 memory=40G",
        "mig 0 gi=5 ci=0 uuid=MIG-two slices=1 memory=10G",
        "process 0 pid=41 mem=1G gi=1 ci=0 sm=50",
        "process 0 pid=42 mem=2G gi=5 ci=0",
    )
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [1, 1]
    assert pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu) == 7
    one, two = (pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, i) for i in range(2))
    not_found = pynvml.NVML_ERROR_NOT_FOUND
    assert client.error(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, gpu, 2) == not_found
    assert pynvml.nvmlDeviceGetUUID(two) == "MIG-two"
    assert pynvml.nvmlDeviceGetName(one) == "NVIDIA H100 80GB HBM3 MIG 3g.40gb"
    assert (pynvml.nvmlDeviceGetGpuInstanceId(two), pynvml.nvmlDeviceGetComputeInstanceId(two)) == (
        5,
        0,
    )
    assert pynvml.nvmlDeviceGetAttributes(one).gpuInstanceSliceCount == 3
    assert pynvml.nvmlDeviceGetMemoryInfo(two).used == 2 * GIB
    assert [p.pid for p in pynvml.nvmlDeviceGetComputeRunningProcesses(two)] == [42]
    whole = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    assert [(p.pid, p.gpuInstanceId) for p in whole] == [(41, 1), (42, 5)]
    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(one)
    assert pynvml.nvmlDeviceGetIndex(parent) == 0
    assert pynvml.nvmlDeviceIsMigDeviceHandle(one)
    assert not pynvml.nvmlDeviceIsMigDeviceHandle(gpu)
    unsupported = pynvml.NVML_ERROR_NOT_SUPPORTED
    for call, device in (
        (pynvml.nvmlDeviceGetUtilizationRates, gpu),
        (pynvml.nvmlDeviceGetPowerUsage, one),
        (pynvml.nvmlDeviceGetTotalEnergyConsumption, one),
    ):
        assert client.error(call, device) == unsupported
    assert client.error(pynvml.nvmlDeviceGetProcessUtilization, gpu, 0) == unsupported


def test_mig_is_not_everywhere(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 arch=ada")
    assert client.error(pynvml.nvmlDeviceGetMigMode, gpu) == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_xid_events(client: "Client") -> None:
    handles = client.start("gpu 0", "gpu 1")
    events = pynvml.nvmlEventSetCreate()
    for handle in handles:
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
    timeout = pynvml.NVML_ERROR_TIMEOUT
    assert client.error(pynvml.nvmlEventSetWait_v2, events, 20) == timeout
    client.world.write(["gpu 0", "gpu 1", f"xid 1 at={client.world.now() + 0.05} code=79"])
    event = pynvml.nvmlEventSetWait_v2(events, 20_000)
    assert (event.eventData, pynvml.nvmlDeviceGetIndex(event.device)) == (79, 1)
    assert client.error(pynvml.nvmlEventSetWait_v2, events, 20) == timeout
    pynvml.nvmlEventSetFree(events)
