"""GPM as nvml.h describes it, through nvidia-ml-py."""

import time
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

if TYPE_CHECKING:
    from tests.standin.conftest import Client

WORLD = (
    "gpu 0 arch=hopper",
    "mig 0 gi=2 slices=3 memory=40G",
    "mig 0 gi=9 memory=10G",
    "process 0 pid=11 gi=2 ci=0 sm=80 mem_util=30",
    "process 0 pid=12 gi=9 ci=0 sm=25",
)


def metrics(first: Any, second: Any, *numbers: int) -> dict[int, Any]:
    get = pynvml.c_nvmlGpmMetricsGet_t()
    get.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    get.numMetrics = len(numbers)
    get.sample1, get.sample2 = first, second
    for place, number in enumerate(numbers):
        get.metrics[place].metricId = number
    pynvml.nvmlGpmMetricsGet(get)
    return {m.metricId: (m.nvmlReturn, m.value) for m in get.metrics[: len(numbers)]}


def test_each_instance_has_its_own(client: "Client") -> None:
    (gpu,) = client.start(*WORLD)
    assert pynvml.nvmlGpmQueryDeviceSupport(gpu).isSupportedDevice == 1
    pairs = {gi: [pynvml.nvmlGpmSampleAlloc() for _ in range(2)] for gi in (2, 9)}
    for number in range(2):
        for gi, pair in pairs.items():
            pynvml.nvmlGpmMigSampleGet(gpu, gi, pair[number])
        time.sleep(0.11)  # nvml.h: more than 100 ms apart
    sm, dram, tensor = 2, 10, 5
    assert metrics(*pairs[2], sm, dram, tensor) == {
        sm: (0, pytest.approx(80)),
        dram: (0, pytest.approx(30)),
        tensor: (pynvml.NVML_ERROR_NOT_SUPPORTED, 0),
    }
    assert metrics(*pairs[9], sm) == {sm: (0, pytest.approx(25))}
    with pytest.raises(pynvml.NVMLError):
        metrics(pairs[2][0], pairs[9][1], sm)  # of two instances
    with pytest.raises(pynvml.NVMLError):
        metrics(pairs[2][0], pairs[2][0], sm)  # no time between
    for pair in pairs.values():
        for sample in pair:
            pynvml.nvmlGpmSampleFree(sample)


def test_what_is_not_there(client: "Client") -> None:
    hopper, ampere = client.start("gpu 0 arch=hopper", "mig 0 gi=2", "gpu 1 arch=ga100", "mig 1")
    assert pynvml.nvmlGpmQueryDeviceSupport(ampere).isSupportedDevice == 0
    sample = pynvml.nvmlGpmSampleAlloc()
    invalid, none = pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_SUPPORTED
    assert client.error(pynvml.nvmlGpmMigSampleGet, hopper, 5, sample) == invalid
    assert client.error(pynvml.nvmlGpmMigSampleGet, ampere, 1, sample) == none
    pynvml.nvmlGpmSampleFree(sample)
