"""Answers understood all at once are the ones that are understood one by one."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple
from unittest.mock import create_autospec

import pynvml
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.backends import Tally
from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.fields import (
    FIELD_ENERGY,
    FIELD_POWER_AVERAGE,
    FIELD_POWER_INSTANT,
    SCOPE_GPU,
    Field,
)
from submeter.backends.nvml.library import Session
from submeter.backends.nvml.questions import Questions
from submeter.backends.nvml.sensors import FieldReader, Sensors
from submeter.errors import DriverUnavailable, ReadFailed
from submeter.model import Reading
from submeter.units import NS_PER_MS

ENERGY = Field(FIELD_ENERGY)
INSTANT = Field(FIELD_POWER_INSTANT, SCOPE_GPU)
AVERAGE = Field(FIELD_POWER_AVERAGE, SCOPE_GPU)
CAP_MW = 1_050_000
UNSIGNED_32, UNSIGNED_64, DOUBLE = 1, 3, 0
_Ask = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Value(NamedTuple):
    """What one field says."""

    bits: int
    kind: int
    code: int = 0


class Answer(NamedTuple):
    """What one call says, a time after the one before."""

    pause_ns: int
    values: tuple[Value, ...]
    code: int = 0


class OneByOne(FieldReader):
    """Never understands several at once."""

    __slots__ = ()

    def _as_columns(
        self,
        ends_ns: Sequence[int],
        answers: Sequence[tuple[int, ...]],
    ) -> tuple[Reading, ...] | None:
        return None


class Told(NamedTuple):
    readings: tuple[Reading, ...]
    failure: tuple[type[Exception], str] | None
    errors: dict[tuple[str, str], int]


class World:
    """A reader, and the memory in which the driver answers it."""

    def __init__(self, of: type[FieldReader], sensors: Sensors, kinds: dict[Field, int]) -> None:
        session = create_autospec(Session, instance=True)
        tally = Tally()
        questions = Questions(session, ctypes.c_void_p(1), tally, lambda: 0)
        self._tally = tally
        self._function = _Ask(lambda _device, _count, _into: 0)
        self.reader = of(questions, self._function, sensors, kinds, CAP_MW)
        self.reader.hold_ns = 100 * NS_PER_MS
        self._fields = sensors.fields()
        self._at_ns = 1_000

    def tell(self, answers: Sequence[Answer]) -> Told:
        """The driver says so; what the reader makes of it."""
        state = self.reader.room.state
        entry = pynvml.c_nvmlFieldValue_t
        for slot, answer in enumerate(answers):
            self._at_ns += answer.pause_ns
            self.reader.room.ends_ns[slot] = self._at_ns
            self.reader.room.codes[slot] = answer.code
            base = state.values + slot * state.slot_bytes
            for place, value in enumerate(answer.values[: len(self._fields)]):
                into = entry.from_address(base + place * ctypes.sizeof(entry))
                into.timestamp = self._at_ns // 1_000
                into.valueType, into.nvmlReturn = value.kind, value.code
                ctypes.c_uint64.from_buffer(into.value).value = value.bits
        state.filled = len(answers)
        failure: tuple[type[Exception], str] | None = None
        readings: tuple[Reading, ...] = ()
        try:
            readings = self.reader.readings()
        except (Fault, ReadFailed, DriverUnavailable) as error:
            failure = type(error), str(error)
        return Told(readings, failure, dict(self._tally.errors))


POWERS = st.sampled_from([1, 300_000, 300_001, CAP_MW])
ODD = st.one_of(st.sampled_from([0, CAP_MW + 1, 0xFFFFFFFF, 2**63 - 14, 2**64 - 1]))
PAUSES = st.sampled_from([NS_PER_MS, 10 * NS_PER_MS, 100 * NS_PER_MS])


@st.composite
def usual(draw: st.DrawFn, kinds: tuple[int, int, int]) -> Answer:
    energy = Value(draw(st.integers(10**9, 10**9 + 3)), kinds[0])
    powers = (Value(draw(POWERS), kind) for kind in kinds[1:])
    return Answer(draw(PAUSES), (energy, *powers))


@st.composite
def odd(draw: st.DrawFn, kinds: tuple[int, int, int]) -> Answer:
    answer = draw(usual(kinds))
    place = draw(st.integers(0, 2))
    values = list(answer.values)
    values[place] = draw(
        st.one_of(
            st.builds(values[place]._replace, bits=ODD),
            st.builds(values[place]._replace, code=st.sampled_from([3, 15, 999])),
            st.builds(values[place]._replace, kind=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 77])),
        )
    )
    return answer._replace(values=tuple(values), code=draw(st.sampled_from([0, 0, 0, 15, 999])))


SENSORS = st.sampled_from(
    [
        Sensors(ENERGY, INSTANT, AVERAGE),
        Sensors(ENERGY, INSTANT, None),
        Sensors(ENERGY, None, AVERAGE),
        Sensors(None, INSTANT, AVERAGE),
        Sensors(ENERGY, None, None),
    ]
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), sensors=SENSORS)
def test_at_once_or_one_by_one_it_is_the_same(data: st.DataObject, sensors: Sensors) -> None:
    first = data.draw(st.sampled_from([UNSIGNED_64, UNSIGNED_64, UNSIGNED_64, DOUBLE]))
    kinds = (first, UNSIGNED_32, UNSIGNED_32)
    types = dict(zip((ENERGY, INSTANT, AVERAGE), kinds, strict=True))
    worlds = [World(of, sensors, types) for of in (FieldReader, OneByOne)]
    for _ in range(data.draw(st.integers(1, 3))):
        answers = data.draw(st.lists(usual(kinds), min_size=1, max_size=12))
        if data.draw(st.booleans()):
            answers.insert(data.draw(st.integers(0, len(answers))), data.draw(odd(kinds)))
        together, apart = (world.tell(answers) for world in worlds)
        assert together == apart
        assert all(type(reading) is Reading for reading in together.readings)


def test_usual_answers_are_understood_at_once() -> None:
    """Else the test above would compare the same with the same."""
    types = {ENERGY: UNSIGNED_64, INSTANT: UNSIGNED_32, AVERAGE: UNSIGNED_32}
    reader = World(FieldReader, Sensors(ENERGY, INSTANT, AVERAGE), types).reader
    answer = (0, UNSIGNED_64, 7, 1, UNSIGNED_32, 300_000, 2, UNSIGNED_32, 290_000)
    assert reader._as_columns([5], [answer]) == (Reading(5, 7_000, 0, 300_000, 1, 290_000, 2),)
