"""Energy and power of one GPU, the fast path: one driver call in, one Reading out."""

from collections.abc import Callable, Mapping
from ctypes import byref, c_uint, c_ulonglong
from operator import itemgetter
from threading import get_ident
from typing import Any, Final, NamedTuple

from submeter.backends.nvml import calls
from submeter.backends.nvml.codes import LOST, Fault, code_of
from submeter.backends.nvml.fields import (
    FIELD_ENERGY,
    FIELD_ENERGY_SCOPED,
    FIELD_POWER_AVERAGE,
    FIELD_POWER_INSTANT,
    SCOPE_GPU,
    SCOPE_MODULE,
    Field,
    FieldBatch,
    FieldValue,
    is_blank,
)
from submeter.backends.nvml.library import Function
from submeter.backends.nvml.questions import IMPLAUSIBLE, Questions
from submeter.errors import ReadFailed
from submeter.model import EnergySource, Reading
from submeter.units import UJ_PER_MJ

UNKNOWN_BOARD_MW: Final = 2_000_000
"""No board draws more; the gate where the limit is unknown."""

_STRIDE: Final = 3  # timestamp, state, value
_BLANK: Final = 0x7FFFFFFFFFFFFFF0
_BLANK_32: Final = 0xFFFFFFFF


class Sensors(NamedTuple):
    """Which fields give this board's energy and power; None where no field does."""

    energy: Field | None
    instant: Field | None
    average: Field | None

    def fields(self) -> tuple[Field, ...]:
        return tuple(field for field in self if field is not None)

    def scope(self) -> str:
        """ "module" where the board only speaks of the whole superchip."""
        scopes = {field.scope for field in self.fields()}
        return "module" if SCOPE_MODULE in scopes else "gpu"


CANDIDATES: Final = (
    Field(FIELD_ENERGY),
    *(
        Field(number, scope)
        for scope in (SCOPE_GPU, SCOPE_MODULE)
        for number in (FIELD_ENERGY_SCOPED, FIELD_POWER_INSTANT, FIELD_POWER_AVERAGE)
    ),
)


def choose(values: Mapping[Field, FieldValue], *, module_first: bool) -> Sensors:
    """The fields to read, all of one scope: the GPU's, else the module's.

    Some superchips refuse the GPU's scope; of others the counter covers the module, and then
    power must as well, or the two could not be compared.
    """
    scopes = (SCOPE_MODULE, SCOPE_GPU) if module_first else (SCOPE_GPU, SCOPE_MODULE)
    for scope in scopes:
        instant = _usable(values, Field(FIELD_POWER_INSTANT, scope))
        average = _usable(values, Field(FIELD_POWER_AVERAGE, scope))
        if instant or average:
            return Sensors(_energy(values, scope), instant, average)
    return Sensors(_energy(values, SCOPE_GPU), None, None)


def _energy(values: Mapping[Field, FieldValue], scope: int) -> Field | None:
    scoped, plain = Field(FIELD_ENERGY_SCOPED, scope), Field(FIELD_ENERGY)
    order = (plain, scoped) if scope == SCOPE_GPU else (scoped, plain)
    return next(filter(None, (_usable(values, field) for field in order)), None)


def _usable(values: Mapping[Field, FieldValue], field: Field) -> Field | None:
    answer = values.get(field)
    if answer is None or answer.value is None or is_blank(answer.value):
        return None
    powered = field.number in (FIELD_ENERGY, FIELD_ENERGY_SCOPED) or answer.value > 0
    return field if powered else None


class FieldReader:
    """Reads the chosen fields by one call. The common case is one tuple comparison long."""

    def __init__(
        self,
        questions: Questions,
        function: Function,
        sensors: Sensors,
        types: Mapping[Field, int],
        power_cap_mw: int,
    ) -> None:
        """``types`` are the value types that the board gave when probed."""
        fields = sensors.fields()
        self._session = questions.session
        self._in_flight = questions.session.in_flight
        self._function = function
        self._batch = FieldBatch(fields, [types[field] for field in fields])
        self._handle = questions.handle
        self._unpack = self._batch.quick.unpack_from
        self._as_usual = self._batch.types if all(self._batch.types) else ()  # no floats
        self._pick = _picker(sensors)
        self._order = tuple(fields.index(field) if field else None for field in sensors)
        self._power_cap_mw = power_cap_mw
        self._tally = questions.tally
        self._monotonic_ns = questions.monotonic_ns
        self.hold_ns = 0
        self._said: tuple[int, ...] = ()
        self._quiet_until_ns = 0

    def read(self, now_ns: int) -> Reading | None:
        """None where the sensors say what they said less than ``hold_ns`` ago.

        Raises Fault, ReadFailed (no value at all) and DriverUnavailable (session closed).

        This runs 100 times a second for each GPU: hence one frame, with `Session.call` written
        out, and no keyword arguments.
        """
        batch = self._batch
        thread = get_ident()
        self._in_flight.add(thread)
        try:
            if self._session.closed:
                self._session.check()
            started_ns = self._monotonic_ns()
            code = self._function(self._handle, batch.count, batch.pointer)
            took_ns = self._monotonic_ns() - started_ns
        finally:
            self._in_flight.discard(thread)
            if self._session.closed:
                self._session.leave(thread)
        self._tally.took(calls.FIELD_VALUES, took_ns)
        now_ns += took_ns  # a call may hang for 45 s: what it says is of its end
        if code:
            raise Fault(calls.FIELD_VALUES, code)
        got = self._unpack(batch.array)
        if got[1::_STRIDE] != self._as_usual:
            return self._unusual(now_ns)
        values = got[2::_STRIDE]
        if now_ns < self._quiet_until_ns and values == self._said:
            return None
        self._said = values
        self._quiet_until_ns = now_ns + self.hold_ns
        energy, energy_at, instant, instant_at, average, average_at = self._pick((*got, None))
        if energy is not None:
            if not 0 <= energy < _BLANK or energy == _BLANK_32:
                return self._unusual(now_ns)
            energy *= UJ_PER_MJ
        cap_mw = self._power_cap_mw
        if (instant is not None and not 0 < instant <= cap_mw) or (
            average is not None and not 0 < average <= cap_mw
        ):
            return self._unusual(now_ns)
        return Reading(now_ns, energy, energy_at, instant, instant_at, average, average_at)

    def _unusual(self, now_ns: int) -> Reading:
        """The same array value by value: some failed, or can't be believed."""
        answers = self._batch.decode()
        picked: list[int | None] = []
        for slot, place in enumerate(self._order):
            answer = None if place is None else self._believed(answers[place], power=slot > 0)
            picked += (None, None) if answer is None else (answer.value, answer.at_us)
        energy, energy_at, instant, instant_at, average, average_at = picked
        if energy is None and instant is None and average is None:
            raise ReadFailed(f"{calls.FIELD_VALUES}: no value")
        energy_uj = None if energy is None else energy * UJ_PER_MJ
        return Reading(now_ns, energy_uj, energy_at, instant, instant_at, average, average_at)

    def _believed(self, answer: FieldValue, *, power: bool) -> FieldValue | None:
        if answer.code:
            code = code_of(answer.code)
            if code.action in LOST:
                raise Fault(calls.FIELD_VALUES, answer.code)
            self._tally.failed(calls.FIELD_VALUES, code.name)
            return None
        if believable(answer.value, self._power_cap_mw if power else None):
            return answer
        self._tally.failed(calls.FIELD_VALUES, IMPLAUSIBLE)
        return None


def believable(value: int | None, power_cap_mw: int | None) -> bool:
    """Whether a number can be a counter (cap None) or a power (0 W is none: boards draw some)."""
    if value is None or is_blank(value):
        return False
    return power_cap_mw is None or 0 < value <= power_cap_mw


def _picker(sensors: Sensors) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Value and timestamp of each sensor out of the decoded array; the last entry is None."""
    places: list[int] = []
    start = 0
    for field in sensors:
        places += (-1, -1) if field is None else (start + 2, start)
        start += 0 if field is None else _STRIDE
    return itemgetter(*places)


class SingleReader:
    """Boards and drivers whose fields lack energy or power: one older call for each."""

    def __init__(
        self,
        questions: Questions,
        energy: Function | None,
        power: Function | None,
        power_means: EnergySource,
        power_cap_mw: int,
    ) -> None:
        self._questions = questions
        self._energy = energy
        self._power = power
        self._power_means = power_means
        self._power_cap_mw = power_cap_mw
        self._millijoules = c_ulonglong()
        self._milliwatts = c_uint()

    def complete(self, reading: Reading) -> Reading:
        """The reading with what its fields didn't give. Raises Fault where the GPU is lost."""
        if self._energy is not None:
            energy = self._one(calls.TOTAL_ENERGY, self._energy, self._millijoules, None)
            if energy is not None:
                reading = reading._replace(energy_uj=energy * UJ_PER_MJ)
        if self._power is not None:
            cap_mw = self._power_cap_mw
            power = self._one(calls.POWER_USAGE, self._power, self._milliwatts, cap_mw)
            if self._power_means is EnergySource.AVERAGE:
                return reading._replace(average_mw=power)
            return reading._replace(instant_mw=power)
        return reading

    def _one(
        self, name: str, function: Function, into: c_ulonglong | c_uint, cap_mw: int | None
    ) -> int | None:
        questions = self._questions
        number = questions.call(name, function, questions.handle, byref(into))
        if number:
            code = code_of(number)
            if code.action in LOST:
                raise Fault(name, number)
            questions.tally.failed(name, code.name)
            return None
        value: int = into.value
        if believable(value, cap_mw):
            return value
        questions.tally.failed(name, IMPLAUSIBLE)
        return None
