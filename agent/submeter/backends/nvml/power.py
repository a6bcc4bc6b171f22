"""How one board's energy and power can be read: what it said when asked in, its readers out."""

from collections.abc import Mapping
from ctypes import byref, c_uint, c_ulonglong
from typing import Final, NamedTuple

from submeter.backends.nvml import boards, calls
from submeter.backends.nvml.boards import Board
from submeter.backends.nvml.codes import Fault, code_of, explain
from submeter.backends.nvml.fields import (
    FIELD_ENERGY,
    FIELD_LIMIT_DEFAULT,
    FIELD_LIMIT_MAX,
    FIELD_POWER_AVERAGE,
    FIELD_POWER_INSTANT,
    SCOPE_GPU,
    SCOPE_MODULE,
    Field,
    FieldValue,
)
from submeter.backends.nvml.library import Function
from submeter.backends.nvml.questions import Questions
from submeter.backends.nvml.sensors import (
    UNKNOWN_BOARD_MW,
    FieldReader,
    Sensors,
    SingleReader,
    believable,
    choose,
)
from submeter.errors import ReadFailed
from submeter.model import EnergySource

LIMIT_FIELDS: Final = tuple(
    Field(number, scope)
    for number in (FIELD_LIMIT_MAX, FIELD_LIMIT_DEFAULT)
    for scope in (SCOPE_MODULE, SCOPE_GPU)
)

_MAX_LIMIT: Final = "highest power limit"
_FIELD_OF: Final = {
    boards.ENERGY_COUNTER: Field(FIELD_ENERGY),
    boards.INSTANT_POWER: Field(FIELD_POWER_INSTANT),
    boards.AVERAGE_POWER: Field(FIELD_POWER_AVERAGE),
}


class Power(NamedTuple):
    """The readers of a board's energy and power, and what they read."""

    fields: FieldReader | None
    singles: SingleReader | None
    source: EnergySource
    window: str
    scope: str
    limit_max_mw: int | None


class _Found(NamedTuple):
    sensors: Sensors
    energy: Function | None  # where no field has it
    usage: Function | None  # the same for power
    means: EnergySource  # what `usage` gives

    def source(self) -> EnergySource:
        """The best first: counter, 1-s average, instant power, nothing."""
        usage = self.means if self.usage is not None else EnergySource.NONE
        if self.sensors.energy is not None or self.energy is not None:
            return EnergySource.COUNTER
        if self.sensors.average is not None or usage is EnergySource.AVERAGE:
            return EnergySource.AVERAGE
        if self.sensors.instant is not None or usage is EnergySource.INSTANT:
            return EnergySource.INSTANT
        return EnergySource.NONE


TRIES: Final = 3
"""A hiccup when a GPU is opened would cost it a sensor until it is opened again."""


def find_power(questions: Questions, board: Board, values: Mapping[Field, FieldValue]) -> Power:
    """Chooses the fields, falls back to the older calls. Raises Fault where the GPU is lost."""
    sensors = choose(values, module_first=boards.counts_the_module(board))
    limit_mw = _limit_max(questions, values, sensors.scope())
    cap_mw = limit_mw * 3 // 2 if limit_mw else UNKNOWN_BOARD_MW
    means, usage_window = boards.usage_means(board)
    lacks_power = sensors.instant is None and sensors.average is None
    found = _Found(
        sensors,
        None if sensors.energy is not None else _works(questions, calls.TOTAL_ENERGY, None),
        _works(questions, calls.POWER_USAGE, cap_mw) if lacks_power else None,
        means,
    )
    _tell(questions, board, found, values)
    return Power(
        _field_reader(questions, sensors, values, cap_mw),
        _single_reader(questions, found, cap_mw),
        found.source(),
        _window(board, found, usage_window),
        sensors.scope(),
        limit_mw,
    )


def _limit_max(questions: Questions, values: Mapping[Field, FieldValue], scope: str) -> int | None:
    """The most the board can be set to, in mW."""
    for field in LIMIT_FIELDS:
        answer = values[field]
        wanted = field.scope == SCOPE_GPU or scope == "module"
        if wanted and not answer.code and believable(answer.value, UNKNOWN_BOARD_MW * 2):
            return answer.value
    limits = questions.ask(_MAX_LIMIT, "nvmlDeviceGetPowerManagementLimitConstraints")
    if limits is not None and believable(int(limits[1]), UNKNOWN_BOARD_MW * 2):
        return int(limits[1])
    return None


def _works(questions: Questions, name: str, cap_mw: int | None) -> Function | None:
    """The older call of that name, if it gives a value here."""
    function = questions.session.function(name)
    if function is None:
        return None
    into = c_ulonglong() if cap_mw is None else c_uint()
    for _ in range(TRIES):
        number = questions.call(name, function, questions.handle, byref(into))
        if not number:
            return function if believable(into.value, cap_mw) else None
        try:
            questions.absorb(name, Fault(name, number))
        except ReadFailed:
            continue  # it may work in a moment
        if questions.refused(name):
            return None
    return None


def _field_reader(
    questions: Questions, sensors: Sensors, values: Mapping[Field, FieldValue], cap_mw: int
) -> FieldReader | None:
    function = questions.session.function(calls.FIELD_VALUES)
    if function is None or not sensors.fields():
        return None
    types = {field: values[field].value_type for field in sensors.fields()}
    return FieldReader(questions, function, sensors, types, cap_mw)


def _single_reader(questions: Questions, found: _Found, cap_mw: int) -> SingleReader | None:
    if found.energy is None and found.usage is None:
        return None
    return SingleReader(questions, found.energy, found.usage, found.means, cap_mw)


def _window(board: Board, found: _Found, usage_window: str) -> str:
    """What the power gauge shows: instant power where there is any, else the average."""
    if found.sensors.instant is not None:
        return boards.instant_window(board)
    if found.sensors.average is not None:
        return "1s"
    return usage_window if found.usage is not None else ""


def _tell(
    questions: Questions, board: Board, found: _Found, values: Mapping[Field, FieldValue]
) -> None:
    """Names the sensors that this board lacks."""
    usage = found.means if found.usage is not None else None
    has = {
        boards.ENERGY_COUNTER: found.source() is EnergySource.COUNTER,
        boards.INSTANT_POWER: found.sensors.instant is not None or usage is EnergySource.INSTANT,
        boards.AVERAGE_POWER: found.sensors.average is not None or usage is EnergySource.AVERAGE,
    }
    for sensor, field in _FIELD_OF.items():
        if not has[sensor]:
            number = values[field].code
            said = explain(code_of(number)) if number else "the driver gives no usable value"
            questions.lack(sensor, boards.why_missing(sensor, board) or said)
