"""What a driver says, understood in Python and in C: the same readings, faults and counts."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.backends import Tally
from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.fields import (
    FIELD_ENERGY,
    FIELD_POWER_AVERAGE,
    FIELD_POWER_INSTANT,
    Field,
)
from submeter.backends.nvml.library import Session
from submeter.backends.nvml.questions import Questions
from submeter.backends.nvml.sensors import FieldReader, Sensors
from submeter.errors import DeviceLost, ReadFailed
from submeter.model import Reading
from submeter.ticking import Library

ENERGY, INSTANT, AVERAGE = map(Field, (FIELD_ENERGY, FIELD_POWER_INSTANT, FIELD_POWER_AVERAGE))
SENSORS: Final = Sensors(ENERGY, INSTANT, AVERAGE)
CAP_MW: Final = 1_050_000
STEP_NS: Final = 100_000
_Ask = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Entry(NamedTuple):
    """One field's answer."""

    value: int
    kind: int | None = None  # None: the usual one
    code: int = 0
    at_us: int = 0


class Answer(NamedTuple):
    code: int
    entries: tuple[Entry, Entry, Entry]


class Driver:
    """A session that says what it is told, and a clock that goes on with each call."""

    def __init__(self, types: Sequence[int]) -> None:
        self.types = types
        self.now_ns = 0
        self.answers: Iterator[Answer] = iter(())
        self.ask = _Ask(self._say)

    def monotonic_ns(self) -> int:
        self.now_ns += STEP_NS
        return self.now_ns

    def call(self, _function: object, handle: object, count: object, values: Any) -> int:
        return int(self.ask(handle, count, values))

    def _say(self, _handle: object, count: int, into: int) -> int:
        answer = next(self.answers)
        fields = (pynvml.c_nvmlFieldValue_t * count).from_address(into)
        for field, entry, usual in zip(fields, answer.entries, self.types, strict=True):
            field.timestamp = entry.at_us
            field.valueType = usual if entry.kind is None else entry.kind
            field.nvmlReturn = entry.code
            field.value.ullVal = entry.value
        return answer.code


class Reader:
    """A reader, and what came of it."""

    def __init__(self, types: Sequence[int], hold_ns: int, functions: Library | None) -> None:
        self.driver = Driver(types)
        self.tally = Tally()
        session, handle = cast("Session", self.driver), ctypes.c_void_p(1)
        questions = Questions(session, handle, self.tally, self.driver.monotonic_ns)
        kinds = dict(zip(SENSORS.fields(), types, strict=True))
        ask = cast("Callable[..., int]", self.driver.ask)
        self.reader = FieldReader(questions, ask, SENSORS, kinds, CAP_MW)
        self.reader.hold_ns = hold_ns
        if functions is not None:
            self.reader.compiled(functions)

    def hear(self, answers: Sequence[Answer]) -> object:
        self.driver.answers = iter(answers)
        for _ in answers:
            self.reader.poll(self.driver.now_ns)
        try:
            return self.reader.readings()
        except (Fault, ReadFailed, DeviceLost) as error:
            return type(error), str(error)

    def counts(self) -> tuple[object, ...]:
        return self.tally.calls, self.tally.call_ns, self.tally.errors


def ordinary(energy_mj: int) -> Answer:
    return Answer(0, (Entry(energy_mj, at_us=7), Entry(300_000, at_us=8), Entry(290_000, at_us=9)))


ODD: Final = (0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 0x7FFFFFFFFFFFFFF0, 2**54)
VALUES: Final = st.sampled_from((1, 2, 300_000, CAP_MW, CAP_MW + 1)) | st.integers(1, CAP_MW)
TIMES: Final = st.integers(0, 2**62)
ORDINARY: Final = st.builds(Entry, VALUES, at_us=TIMES)
ENTRIES: Final = ORDINARY | st.builds(
    Entry,
    VALUES | st.sampled_from(ODD) | st.integers(0, 2**64 - 1),
    st.none() | st.integers(0, 8),
    st.sampled_from((0, 0, 3, 999)),
    TIMES,
)
CODES: Final = st.sampled_from((0, 0, 0, 15))
ANSWERS: Final = st.builds(Answer, CODES, st.tuples(ENTRIES, ORDINARY, ORDINARY)) | st.builds(
    Answer, CODES, st.tuples(ORDINARY, ENTRIES, ENTRIES)
)
AGAIN: Final = st.sampled_from([ordinary(1), ordinary(2), ordinary(2**32 - 1)])
BATCHES: Final = st.lists(st.lists(AGAIN | ANSWERS, max_size=4), min_size=1, max_size=4)
TYPES: Final = st.just((3, 1, 1)) | st.tuples(*(st.integers(1, 6) for _ in SENSORS))


@settings(deadline=None, max_examples=300)
@given(batches=BATCHES, types=TYPES, hold_ns=st.sampled_from((0, 2, 3, 100)))
def test_both_understand_the_same(
    ticking_functions: Library, batches: list[list[Answer]], types: tuple[int, ...], hold_ns: int
) -> None:
    plain = Reader(types, hold_ns * STEP_NS, None)
    compiled = Reader(types, hold_ns * STEP_NS, ticking_functions)
    for answers in ([ordinary(1)], *batches):  # the first one is always looked at in Python
        assert compiled.hear(answers) == plain.hear(answers)
        assert compiled.counts() == plain.counts()


@pytest.mark.parametrize("compiled", [False, True])
def test_an_ordinary_answer(ticking_functions: Library, compiled: bool) -> None:
    reader = Reader((3, 1, 1), 0, ticking_functions if compiled else None)
    reader.hear([ordinary(41)])
    asked_ns = reader.driver.now_ns
    # Two looks at the clock around the call: its end is one step after it was asked.
    assert reader.hear([ordinary(42)]) == (
        Reading(asked_ns + STEP_NS, 42_000, 7, 300_000, 8, 290_000, 9),
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_what_says_nothing_new_is_left_out_for_a_while(
    ticking_functions: Library, compiled: bool
) -> None:
    reader = Reader((3, 1, 1), 5 * STEP_NS, ticking_functions if compiled else None)
    reader.hear([ordinary(41)])
    found = reader.hear([ordinary(41), ordinary(41), ordinary(41), ordinary(42), ordinary(42)])
    assert isinstance(found, tuple)
    assert [reading.energy_uj for reading in found] == [41_000, 42_000]


def test_ordinary_answers_are_understood_in_c(
    ticking_functions: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader((3, 1, 1), 0, ticking_functions)
    reader.hear([ordinary(41)])
    one_by_one = []
    monkeypatch.setattr(FieldReader, "_reading", lambda *_: one_by_one.append(1))
    found = reader.hear([ordinary(42), ordinary(43)])
    assert isinstance(found, tuple)
    assert [reading.energy_uj for reading in found] == [42_000, 43_000]
    assert not one_by_one


def test_a_board_without_all_sensors_is_understood_in_python(ticking_functions: Library) -> None:
    driver = Driver((3, 1))
    session, handle = cast("Session", driver), ctypes.c_void_p(1)
    questions = Questions(session, handle, Tally(), driver.monotonic_ns)
    ask = cast("Callable[..., int]", driver.ask)
    sensors = Sensors(ENERGY, INSTANT, None)
    reader = FieldReader(questions, ask, sensors, {ENERGY: 3, INSTANT: 1}, CAP_MW)
    reader.compiled(ticking_functions)
    driver.answers = iter([Answer(0, ordinary(42).entries[:2])])  # type: ignore[arg-type]
    reader.poll(0)
    (reading,) = reader.readings()
    assert (reading.energy_uj, reading.instant_mw, reading.average_mw) == (42_000, 300_000, None)
