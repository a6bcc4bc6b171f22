"""One GPU in, what its driver's library says and how long that takes out. Reads, and never writes.

Calls the C functions directly, with buffers made once, so that what is timed is the library.
Needs nvidia-ml-py, nothing else.
"""

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import pynvml

COUNTER: Final = 83  # NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, mJ
AVERAGE: Final = 185  # NVML_FI_DEV_POWER_AVERAGE, mW
INSTANT: Final = 186  # NVML_FI_DEV_POWER_INSTANT, mW
SIGNALS: Final = {"counter": COUNTER, "instant": INSTANT, "average": AVERAGE}
BATCHES: Final = {  # energy, power, its limits, temperature of the memory, throttling
    1: (COUNTER,),
    3: (COUNTER, INSTANT, AVERAGE),
    12: (COUNTER, INSTANT, AVERAGE, 191, 187, 188, 189, 190, 192, 82, 74, 75),
}
_MEMBERS: Final = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_ROOM: Final = 1024
_NO_SUCH_CALL: Final = 13  # NVML_ERROR_FUNCTION_NOT_FOUND

Call = Callable[[], int]


class Seen(NamedTuple):
    """One signal in one reading. ``latency_us``: what the driver says that updating it took."""

    value: int | None
    stamp_us: int
    latency_us: int


class Reading(NamedTuple):
    """One batched call: when it was half over, how long it took, the signals by name."""

    at_ns: int
    wall_us: int
    took_ns: int
    seen: dict[str, Seen]


class Sensors:
    """A GPU by its number. Opens NVML; `close` gives it back."""

    def __init__(self, number: int) -> None:
        pynvml.nvmlInit()
        self.handle: Any = pynvml.nvmlDeviceGetHandleByIndex(number)
        self.uuid: str = pynvml.nvmlDeviceGetUUID(self.handle)
        self._batch = _fields(BATCHES[3])
        self._read = _function("nvmlDeviceGetFieldValues")

    def close(self) -> None:
        pynvml.nvmlShutdown()

    def facts(self) -> dict[str, str]:
        """Who the board is, and what it runs on."""
        asked: dict[str, Callable[[], object]] = {
            "GPU": lambda: pynvml.nvmlDeviceGetName(self.handle),
            "driver": pynvml.nvmlSystemGetDriverVersion,
            "NVML": pynvml.nvmlSystemGetNVMLVersion,
            "persistence mode": lambda: pynvml.nvmlDeviceGetPersistenceMode(self.handle),
            "MIG mode": lambda: pynvml.nvmlDeviceGetMigMode(self.handle)[0],
            "power limit": lambda: f"{pynvml.nvmlDeviceGetEnforcedPowerLimit(self.handle)} mW",
            "temperature": lambda: f"{self.temperature()} °C",
        }
        return {name: _said(ask) for name, ask in asked.items()}

    def temperature(self) -> int | None:
        """°C of the core; None where the board doesn't say."""
        try:
            found: int = pynvml.nvmlDeviceGetTemperature(self.handle, pynvml.NVML_TEMPERATURE_GPU)
        except pynvml.NVMLError:
            return None
        return found

    def read(self) -> Reading:
        """Counter, instant and average power in one call."""
        wall_us, start_ns = time.time_ns() // 1000, time.monotonic_ns()
        code = self._read(self.handle, len(self._batch), self._batch)
        took_ns = time.monotonic_ns() - start_ns
        seen = {name: _seen(entry, code) for name, entry in zip(SIGNALS, self._batch, strict=True)}
        return Reading(start_ns + took_ns // 2, wall_us + took_ns // 2000, took_ns, seen)

    def poll(self, seconds: float, every_ms: float) -> list[Reading]:
        """Reads at absolute times; a reading that takes longer than the rest of its turn skips
        the turns that it has missed."""
        period_ns, due_ns = int(every_ms * 1e6), time.monotonic_ns()
        end_ns = due_ns + int(seconds * 1e9)
        readings = []
        while due_ns < end_ns:
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            readings.append(self.read())
            late_ns = max(0, time.monotonic_ns() - due_ns)
            due_ns += period_ns * (1 + late_ns // period_ns)
        return readings

    def calls(self) -> dict[str, Call]:
        """The calls whose latency counts, by name; each gives NVML's return code."""
        counter, power = ctypes.c_ulonglong(), ctypes.c_uint()
        memory = pynvml.c_nvmlMemory_v2_t()
        memory.version = pynvml.nvmlMemory_v2
        rates = pynvml.c_nvmlUtilization_t()
        found: dict[str, Call] = {
            "energy counter (call)": self._direct(
                "nvmlDeviceGetTotalEnergyConsumption", ctypes.byref(counter)
            )
        }
        for size, fields in BATCHES.items():
            name = "field 83 alone" if size == 1 else f"batch of {size} fields"
            found[name] = self._direct("nvmlDeviceGetFieldValues", size, _fields(fields))
        found |= {
            "PowerUsage": self._direct("nvmlDeviceGetPowerUsage", ctypes.byref(power)),
            "UtilizationRates": self._direct("nvmlDeviceGetUtilizationRates", ctypes.byref(rates)),
            "MemoryInfo": self._direct("nvmlDeviceGetMemoryInfo_v2", ctypes.byref(memory)),
            "ProcessUtilization": self._process_utilisation(),
            "process list, buffer at hand": self._process_list(),
            "process list, two calls": self._process_list_in_two_calls,
        }
        return found

    def latencies_us(self, fields: Sequence[int]) -> dict[int, int | None]:
        """latencyUsec of each field of a batch; None where the driver refuses the field."""
        batch = _fields(fields)
        code = self._read(self.handle, len(fields), batch)
        return {
            entry.fieldId: None if code or entry.nvmlReturn else int(entry.latencyUsec)
            for entry in batch
        }

    def power_samples(self, last_seen_us: int) -> list[tuple[int, int]]:
        """The driver's own buffer of power samples newer than that: time in µs, mW."""
        try:
            _, samples = pynvml.nvmlDeviceGetSamples(
                self.handle, pynvml.NVML_TOTAL_POWER_SAMPLES, last_seen_us
            )
        except pynvml.NVMLError:
            return []
        return [(int(each.timeStamp), int(each.sampleValue.uiVal)) for each in samples]

    def _direct(self, name: str, *arguments: Any) -> Call:
        function, handle = _function(name), self.handle
        return lambda: function(handle, *arguments)

    def _process_utilisation(self) -> Call:
        function = _function("nvmlDeviceGetProcessUtilization")
        room = (pynvml.c_nvmlProcessUtilizationSample_t * _ROOM)()

        def ask() -> int:
            count = ctypes.c_uint(_ROOM)
            since_us = ctypes.c_ulonglong(time.time_ns() // 1000 - 1_000_000)
            return function(self.handle, room, ctypes.byref(count), since_us)

        return ask

    def _process_list(self) -> Call:
        function = _function("nvmlDeviceGetComputeRunningProcesses_v3")
        room = (pynvml.c_nvmlProcessInfo_v3_t * _ROOM)()

        def ask() -> int:
            count = ctypes.c_uint(_ROOM)
            return function(self.handle, ctypes.byref(count), room)

        return ask

    def _process_list_in_two_calls(self) -> int:
        """How many are there, then which: as the binding does it."""
        function = _function("nvmlDeviceGetComputeRunningProcesses_v3")
        count = ctypes.c_uint(0)
        function(self.handle, ctypes.byref(count), None)
        count.value += 5
        room = (pynvml.c_nvmlProcessInfo_v3_t * count.value)()
        return function(self.handle, ctypes.byref(count), room)


def is_standin() -> bool:
    """Whether the library is the tests' stand-in, which works only with its script."""
    return "SUBMETER_STANDIN_SCRIPT" in os.environ


def _function(name: str) -> Callable[..., int]:
    try:
        function: Callable[..., int] = pynvml.nvmlLib[name]
    except AttributeError:
        return lambda *_: _NO_SUCH_CALL
    return function


def _fields(numbers: Sequence[int]) -> Any:
    batch = (pynvml.c_nvmlFieldValue_t * len(numbers))()
    for entry, number in zip(batch, numbers, strict=True):
        entry.fieldId = number
    return batch


def _seen(entry: Any, code: int) -> Seen:
    if code or entry.nvmlReturn:
        return Seen(None, int(entry.timestamp), int(entry.latencyUsec))
    value = getattr(entry.value, _MEMBERS[entry.valueType])
    return Seen(int(value), int(entry.timestamp), int(entry.latencyUsec))


def _said(ask: Callable[[], object]) -> str:
    try:
        return str(ask())
    except pynvml.NVMLError as error:
        return f"({error})"
