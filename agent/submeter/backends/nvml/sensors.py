"""Energy and power of one GPU, the fast path: one driver call in, one Reading out."""

from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_uint, c_ulonglong, c_void_p
from operator import itemgetter
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
from submeter.backends.nvml.library import Function, Session
from submeter.backends.nvml.questions import IMPLAUSIBLE, Questions
from submeter.backends.turns import TickingPoll, Turns
from submeter.errors import DriverUnavailable, ReadFailed
from submeter.model import EnergySource, Reading
from submeter.ticking import Library, Room, Ticks, Understanding, address
from submeter.units import UJ_PER_MJ

UNKNOWN_BOARD_MW: Final = 2_000_000
"""No board draws more; the gate where the limit is unknown."""

SLOTS: Final = 104
"""Answers that may wait to be understood: a second of 100 Hz."""

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
    """Reads the chosen fields by one call. The common case is one tuple comparison long.

    Asking and understanding are two steps: between two ticks the processor's caches are lost, so
    that the least is done in the moment of each tick, and the rest for several of them together.
    What concerns the moment is public, for `PollInTurn`.
    """

    __slots__ = (
        *("count", "function", "handle", "hold_ns", "room", "session"),
        *("_as_usual", "_batch", "_bytes", "_closed", "_monotonic_ns", "_order", "_pick"),
        *("_power_cap_mw", "_quiet_until_ns", "_said", "_tally", "_understanding", "_unpack"),
    )

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
        self._batch = FieldBatch(fields, [types[field] for field in fields], SLOTS)
        self.session = questions.session
        self.function = function
        self.handle = questions.handle
        self.count = self._batch.count
        self.room = Room(self._batch.address, self._batch.size, self.count.value, SLOTS)
        self.room.state.ask, self.room.state.device = address(function), address(self.handle)
        self.hold_ns = 0
        self._closed: DriverUnavailable | None = None
        self._bytes = memoryview(self._batch.array).cast("B")
        self._unpack = self._batch.quick.iter_unpack
        self._as_usual = self._batch.types if all(self._batch.types) else ()  # no floats
        self._pick = _picker(sensors)
        self._order = tuple(fields.index(field) if field else None for field in sensors)
        self._power_cap_mw = power_cap_mw
        self._tally = questions.tally
        self._monotonic_ns = questions.monotonic_ns
        self._said: tuple[int, ...] = ()
        self._quiet_until_ns = 0
        self._understanding: Understanding | None = None

    def compiled(self, functions: Library) -> None:
        """From now on ordinary answers are understood in C, where the board has all sensors."""
        if None not in self._order:
            self._understanding = Understanding(
                functions, self.room, self._batch.types, self._power_cap_mw
            )

    def poll(self, now_ns: int) -> None:
        """Asks; what came of it, a failure too, is for `readings`."""
        room = self.room
        slot = room.state.filled
        if slot == SLOTS:
            return  # nobody takes what is there; the energy of what is left out is in the next one
        started_ns = self._monotonic_ns()
        values = c_void_p(self._batch.address + slot * self._batch.size)
        try:
            room.codes[slot] = self.session.call(self.function, self.handle, self.count, values)
        except DriverUnavailable as error:
            self._closed = error
            return
        took_ns = self._monotonic_ns() - started_ns
        room.state.took_ns += took_ns
        room.ends_ns[slot] = now_ns + took_ns  # a call may hang: what it says is of its end
        room.state.filled = slot + 1

    def asked(self, now_ns: int) -> bool:
        """Whether there is an answer of then or later that nobody has taken."""
        filled = self.room.state.filled
        return bool(filled) and self.room.ends_ns[filled - 1] >= now_ns

    def readings(self) -> tuple[Reading, ...]:
        """What was said since the last time, oldest first, without what the sensors said again
        less than ``hold_ns`` after they said it.

        Where there is nothing but a failure at last, raises it: Fault, ReadFailed (no value at
        all) or DriverUnavailable (session closed). Any other failure is only counted.
        """
        state = self.room.state
        filled, state.filled = state.filled, 0
        self._tally.took(calls.FIELD_VALUES, state.took_ns, filled)
        state.took_ns = 0
        if self._understanding is not None and self._closed is None:
            found = self._understanding.readings(
                filled, self.hold_ns, self._said, self._quiet_until_ns
            )
            if found is not None:
                readings, self._said, self._quiet_until_ns = found
                return readings
        return self._one_by_one(filled)

    def _one_by_one(self, filled: int) -> tuple[Reading, ...]:
        readings = []
        failure: Exception | None = None
        codes, ends_ns = self.room.codes[:filled], self.room.ends_ns[:filled]
        answers = self._unpack(self._bytes[: filled * self._batch.size])
        for slot, (code, at_ns, answer) in enumerate(zip(codes, ends_ns, answers, strict=True)):
            if failure is not None:
                self._count(failure)
                failure = None
            if code:
                failure = Fault(calls.FIELD_VALUES, code)
                continue
            try:
                reading = self._reading(slot, at_ns, answer)
            except (Fault, ReadFailed) as error:
                failure = error
                continue
            if reading is not None:
                readings.append(reading)
        closed, self._closed = self._closed, None
        failure = closed or failure
        if failure is not None and not readings:
            raise failure
        self._count(failure)
        return tuple(readings)

    def _count(self, failure: Exception | None) -> None:
        """A failure that nobody is told of."""
        if isinstance(failure, Fault):
            self._tally.failed(failure.call, failure.code.name)

    def _reading(self, slot: int, at_ns: int, answer: tuple[int, ...]) -> Reading | None:
        if answer[1::_STRIDE] != self._as_usual:
            return self._unusual(at_ns, self._batch.decode(slot))
        values = answer[2::_STRIDE]
        if at_ns < self._quiet_until_ns and values == self._said:
            return None
        self._said = values
        self._quiet_until_ns = at_ns + self.hold_ns
        energy, energy_at, instant, instant_at, average, average_at = self._pick((*answer, None))
        if energy is not None:
            if not 0 <= energy < _BLANK or energy == _BLANK_32:
                return self._unusual(at_ns, self._batch.decode(slot))
            energy *= UJ_PER_MJ
        cap_mw = self._power_cap_mw
        if (instant is not None and not 0 < instant <= cap_mw) or (
            average is not None and not 0 < average <= cap_mw
        ):
            return self._unusual(at_ns, self._batch.decode(slot))
        return Reading(at_ns, energy, energy_at, instant, instant_at, average, average_at)

    def _unusual(self, at_ns: int, answers: Sequence[FieldValue]) -> Reading:
        """An answer value by value: some failed, or can't be believed."""
        picked: list[int | None] = []
        for slot, place in enumerate(self._order):
            answer = None if place is None else self._believed(answers[place], power=slot > 0)
            picked += (None, None) if answer is None else (answer.value, answer.at_us)
        energy, energy_at, instant, instant_at, average, average_at = picked
        if energy is None and instant is None and average is None:
            raise ReadFailed(f"{calls.FIELD_VALUES}: no value")
        energy_uj = None if energy is None else energy * UJ_PER_MJ
        return Reading(at_ns, energy_uj, energy_at, instant, instant_at, average, average_at)

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


class PollInTurn(TickingPoll):
    """Asks many boards in one loop, in Python or in C. This runs up to 200 times a second: hence
    no frame per board."""

    def __init__(self, readers: Sequence[FieldReader | None], session: Session) -> None:
        self._readers = tuple(readers)
        self._session = session

    def ticks(self) -> Ticks:
        """The same boards, for C."""
        members = [number for number, reader in enumerate(self._readers) if reader is not None]
        rooms = [reader.room for reader in self._readers if reader is not None]
        return Ticks(members, rooms, self._session)

    def __call__(self, now_ns: int, turns: Turns) -> None:
        session, readers, boottime_ns = self._session, self._readers, turns.boottime_ns
        if not session.enter():
            return  # `readings` finds that out as well, and says so
        try:
            for number in iter(turns.next, None):
                turns.at = number
                reader = readers[number]
                if reader is None:
                    continue
                state = reader.room.state
                slot = state.filled
                if slot == SLOTS:
                    continue
                values = c_void_p(state.values + slot * state.slot_bytes)
                code = reader.function(reader.handle, reader.count, values)
                # The driver's time and the loop's, a few µs: a clock is read once for each board.
                end_ns = boottime_ns()
                state.took_ns += end_ns - now_ns
                reader.room.ends_ns[slot] = turns.since_ns = now_ns = end_ns
                reader.room.codes[slot] = code
                state.filled = slot + 1
        finally:
            session.leave()


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
