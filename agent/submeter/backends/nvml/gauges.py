"""The slow signals of one GPU: utilisation and memory every second, the rest every ten."""

from collections.abc import Iterator, Mapping, Sequence
from ctypes import Array, byref, c_int32, c_uint32, c_uint64
from typing import Final

from submeter.backends.nvml import calls
from submeter.backends.nvml.codes import LOST, Fault, explain
from submeter.backends.nvml.fields import (
    FIELD_LIMIT_CURRENT,
    FIELD_MEMORY_TEMPERATURE,
    THROTTLE_FIELDS,
    Field,
    FieldBatch,
    is_blank,
)
from submeter.backends.nvml.questions import NEW_TEMPERATURE, Questions
from submeter.model import Activity, Gauges

UTILISATION: Final = "utilisation"
MEMORY: Final = "memory"
CORE_TEMPERATURE: Final = "core temperature"
MEMORY_TEMPERATURE: Final = "memory temperature"
POWER_LIMIT: Final = "power limit"

CLOCKS: Final[tuple[tuple[str, int], ...]] = (  # NVML_CLOCK_*
    ("sm", 1),
    ("memory", 2),
    ("graphics", 0),
    ("video", 3),
)
GAUGE_FIELDS: Final[Mapping[Field, str]] = {
    Field(FIELD_MEMORY_TEMPERATURE): MEMORY_TEMPERATURE,
    Field(FIELD_LIMIT_CURRENT): POWER_LIMIT,
    **{Field(number): f"throttle {reason}" for reason, number in THROTTLE_FIELDS},
}

_HZ_PER_MHZ: Final = 1_000_000
_CLOCKS_MHZ: Final = range(50_001)
_TEMPERATURES_C: Final = range(-50, 151)
_MEMORY_TEMPERATURES_C: Final = range(1, 151)
"""Boards without a sensor in their memory are known to say 0."""
_LIMITS_MW: Final = range(1, 10_000_001)  # whole superchips may be set to some kilowatts
_COUNTERS: Final = range(0x7FFFFFFFFFFFFFF0)
_CORE_SENSOR: Final = 0  # NVML_TEMPERATURE_GPU
_TEMPERATURE_CALL: Final = "nvmlDeviceGetTemperatureV"
_TEMPERATURE_V1: Final = 0x0100000C  # nvmlTemperature_v1; _t: version, sensor, °C
_CLOCK_CALL: Final = "nvmlDeviceGetClockInfo"
_PERCENTS: Final = range(101)
_LIMIT_CALL: Final = "nvmlDeviceGetEnforcedPowerLimit"
_RATES_CALL: Final = "nvmlDeviceGetUtilizationRates"
_MEMORY_CALL: Final = "nvmlDeviceGetMemoryInfo"
_MEMORY_V2: Final = 0x02000028  # nvmlMemory_v2
_MEMORY_V2_WORDS: Final = 5  # nvmlMemory_v2_t: version and padding, total, reserved, free, used
_MEMORY_WORDS: Final = 3  # nvmlMemory_t: total, free, used


class ActivityReader:
    """Utilisation and used memory, two cheap calls."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        function = questions.session.function
        self._rates_function = function(_RATES_CALL)
        self._rates = (c_uint32 * 2)()  # nvmlUtilization_t: gpu, memory
        self._memory_function = function(f"{_MEMORY_CALL}_v2")
        self._memory: Array[c_uint64] = (c_uint64 * _MEMORY_V2_WORDS)(_MEMORY_V2)

    def memory_total(self) -> int | None:
        """The memory's size in bytes; finds out which version of the question works here.

        Version 1 counts the memory that the driver reserves as used, version 2 doesn't.
        """
        for version in ((_MEMORY_V2,), ()):
            try:
                memory = self._questions.session.ask(_MEMORY_CALL, self._questions.handle, *version)
            except Fault as fault:
                if fault.code.action in LOST:
                    raise
                refusal = fault.code
                continue
            if not version:
                self._memory_function = self._questions.session.function(_MEMORY_CALL)
                self._memory = (c_uint64 * _MEMORY_WORDS)()
            return None if is_blank(memory.total) else int(memory.total) or None
        self._questions.lack(MEMORY, explain(refusal))
        return None

    def read(self, now_ns: int) -> Activity:
        """Raises Fault where the GPU is lost."""
        asked, sane = self._questions.asked, self._questions.sane
        percent, used = None, None
        if asked(UTILISATION, _RATES_CALL, self._rates_function, self._rates):
            percent = sane(_RATES_CALL, self._rates[0], _PERCENTS)
        memory = self._memory
        if asked(MEMORY, _MEMORY_CALL, self._memory_function, memory):
            total = memory[1 if len(memory) == _MEMORY_V2_WORDS else 0]
            used = sane(_MEMORY_CALL, memory[-1], range(total + 1))
        return Activity(now_ns, percent, used)


class GaugeReader:
    """Temperatures, limit and throttling by one batch, then core temperature and clocks."""

    def __init__(self, questions: Questions, fields: Sequence[Field]) -> None:
        """``fields`` are those of `GAUGE_FIELDS` that the board has."""
        self._questions = questions
        self._batch = FieldBatch(fields) if fields else None
        function = questions.session.function
        self._temperature_function = function(_TEMPERATURE_CALL)
        self._temperature = (c_int32 * 3)(_TEMPERATURE_V1, _CORE_SENSOR)
        self._clock_function = function(_CLOCK_CALL)
        self._mhz = c_uint32()

    def read(self, now_ns: int) -> Gauges:
        """Raises Fault where the GPU is lost."""
        values = self._fields()
        throttle = (
            (reason, values[Field(number)])
            for reason, number in THROTTLE_FIELDS
            if Field(number) in values
        )
        return Gauges(
            now_ns,
            self._core_temperature(),
            values.get(Field(FIELD_MEMORY_TEMPERATURE)),
            values.get(Field(FIELD_LIMIT_CURRENT)) or self._enforced_limit(),
            tuple(self._clocks()),
            tuple(throttle),
        )

    def _fields(self) -> dict[Field, int]:
        """Those fields of the batch that have a value to be believed."""
        if self._batch is None:
            return {}
        questions = self._questions
        started_ns = questions.monotonic_ns()
        try:
            answers = self._batch.read(questions.session, questions.handle)
        except Fault as fault:
            self._absorb(fault)
            return {}
        finally:
            questions.tally.took(calls.GAUGE_FIELDS, questions.monotonic_ns() - started_ns)
        believed = {}
        for field, answer in zip(self._batch.fields, answers, strict=True):
            if answer.code:
                self._absorb(Fault(calls.GAUGE_FIELDS, answer.code))
                continue
            value = questions.sane(calls.GAUGE_FIELDS, answer.value, plausible(field))
            if value is not None:
                believed[field] = value
        return believed

    def _absorb(self, fault: Fault) -> None:
        """A field that was there at the start isn't taken for missing later on."""
        if fault.code.action in LOST:
            raise fault
        self._questions.tally.failed(calls.GAUGE_FIELDS, fault.code.name)

    def _core_temperature(self) -> int | None:
        questions, into = self._questions, self._temperature
        if questions.asked(NEW_TEMPERATURE, _TEMPERATURE_CALL, self._temperature_function, into):
            celsius: int | None = into[2]
        else:
            celsius = questions.ask(CORE_TEMPERATURE, "nvmlDeviceGetTemperature", _CORE_SENSOR)
        return questions.sane("nvmlDeviceGetTemperature", celsius, _TEMPERATURES_C)

    def _enforced_limit(self) -> int | None:
        """For drivers whose fields have no limit, before 535."""
        limit_mw = self._questions.ask(POWER_LIMIT, _LIMIT_CALL)
        return self._questions.sane(_LIMIT_CALL, limit_mw, _LIMITS_MW)

    def _clocks(self) -> Iterator[tuple[str, int]]:
        questions, function, into = self._questions, self._clock_function, self._mhz
        for name, number in CLOCKS:
            if not questions.asked(f"{name} clock", _CLOCK_CALL, function, number, byref(into)):
                continue
            mhz = questions.sane(_CLOCK_CALL, into.value, _CLOCKS_MHZ)
            if mhz is not None:
                yield name, mhz * _HZ_PER_MHZ


def plausible(field: Field) -> range:
    """What a gauge's field may say."""
    if field.number == FIELD_MEMORY_TEMPERATURE:
        return _MEMORY_TEMPERATURES_C
    return _LIMITS_MW if field.number == FIELD_LIMIT_CURRENT else _COUNTERS
