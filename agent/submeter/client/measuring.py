"""A block of code in, the energy that the GPUs used meanwhile out.

With an agent its figures are used, without one NVML's own counters. Either way it is the energy of
whole GPUs, those that this process may see: what others on the same GPU used is in it. At the ends
of the block the agent's page is only copied; what it says is worked out when it is asked for.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from submeter.client.link import link
from submeter.client.page import Level, levels_in
from submeter.client.protocol import checked_units, frame
from submeter.clock import SystemClock
from submeter.errors import SubmeterError
from submeter.units import NS_PER_S, UJ_PER_J

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submeter.backends import Device
    from submeter.client.work import Work

_ASK_GPUS: Final = frame({"ask": "gpus"})
_UJ_PER_MW_NS: Final = 10**6
"""A milliwatt for a nanosecond is 10⁻⁶ µJ."""


class _Moment(NamedTuple):
    """The levels at one end of a block, and whose they are: a copy of the page, or read already."""

    source: str
    at_ns: int
    page: bytes = b""
    levels: Mapping[str, Level] = {}

    def read(self) -> Mapping[str, Level]:
        return _visible(levels_in(self.page, self.at_ns)) if self.page else self.levels


_NOTHING: Final = _Moment("", 0)


class Measurement:
    """Energy of a block, in joules: ``m.joules`` of all GPUs, ``m.per_gpu`` by UUID, ``m.seconds``.

    Inside the block ``joules`` is what was used so far. It is nan where nothing can be measured
    (``m.source`` is then ""); never 0 for "don't know". ``source`` is ``agent`` or ``nvml``.
    """

    __slots__ = ("_begun", "_counted", "_ended", "_per_gpu", "_units", "name")

    def __init__(self, name: str = "", units: Mapping[str, int] | int | None = None) -> None:
        self.name = name
        self._units = {} if units is None else checked_units(units)
        self._counted: dict[str, int] = {}
        self._begun = _NOTHING
        self._ended: _Moment | None = None
        self._per_gpu: Mapping[str, float] | None = None

    def __enter__(self) -> Self:
        self._ended = self._per_gpu = None
        self._counted = dict(self._units)
        if self._units:
            _tell_work().begin(self._units)
        self._begun = _moment("")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = _moment(self._begun.source)
        if error is None and self._counted:
            _tell_work().add(self._counted)

    def count(self, **units: int) -> None:
        """So much more was done in this block: ``m.count(tokens=batch.numel())``. Raises
        ValueError for what is no unit."""
        for unit, amount in checked_units(units).items():
            self._counted[unit] = self._counted.get(unit, 0) + amount

    @property
    def units(self) -> Mapping[str, int]:
        """How much was done, by unit."""
        return dict(self._counted)

    def joules_per(self, unit: str) -> float:
        """Joules for one ``unit``; nan where the joules aren't known, or none was done."""
        amount = self._counted.get(unit, 0)
        return self.joules / amount if amount else math.nan

    @property
    def source(self) -> str:
        """``agent`` or ``nvml``; "" where nothing can be measured."""
        return self._begun.source

    @property
    def seconds(self) -> float:
        """How long the block took, or takes already."""
        end_ns = _CLOCK.boottime_ns() if self._ended is None else self._ended.at_ns
        return (end_ns - self._begun.at_ns) / NS_PER_S if self._begun.at_ns else 0.0

    @property
    def joules(self) -> float:
        """What all GPUs together used; nan where that isn't known."""
        per_gpu = self.per_gpu
        return math.fsum(per_gpu.values()) if per_gpu else math.nan

    @property
    def per_gpu(self) -> Mapping[str, float]:
        """What each GPU used, by UUID; nan for one that can't be measured."""
        if self._ended is None:
            return _used(self._begun, _moment(self._begun.source) if self.source else _NOTHING)
        if self._per_gpu is None:
            self._per_gpu = _used(self._begun, self._ended)
        return self._per_gpu


def measure(name: str = "", units: Mapping[str, int] | int | None = None) -> Measurement:
    """``with submeter.measure("step") as m: …`` – then ``m.joules`` is what the GPUs used.

    ``units``: what the block does, as ``{"tokens": 8192, "steps": 1}``, or ``m.count(tokens=…)``
    inside it. Then ``m.joules_per("tokens")`` is known, and an agent counts the units beside the
    energy of this process, so that reports have joules per unit; a block that raises counts none.
    Raises ValueError for units that are none.

    With an agent it costs a few microseconds (the first one, and one every ten minutes, a
    millisecond), without one the time that NVML takes to read the counters of the GPUs, and where
    there is neither next to nothing. Never raises. Nested and concurrent measurements are
    independent of each other.
    """
    return Measurement(name, units)


def _tell_work() -> "Work":
    from submeter.client.work import work  # of those only who count

    return work


def _used(begun: _Moment, ended: _Moment) -> Mapping[str, float]:
    levels = ended.read()
    return {
        uuid: _used_j(level, levels.get(uuid), begun.at_ns, ended.at_ns)
        for uuid, level in begun.read().items()
    }


def _used_j(begun: Level, ended: Level | None, begun_ns: int, ended_ns: int) -> float:
    if ended is None:
        return math.nan
    if begun.energy_uj is None or ended.energy_uj is None:
        if begun.power_mw is None or ended.power_mw is None:
            return math.nan
        mean_mw = (begun.power_mw + ended.power_mw) // 2
        return mean_mw * (ended_ns - begun_ns) / _UJ_PER_MW_NS / UJ_PER_J
    # A counter is as old as the sensor's last refresh: carried on to the block's own ends
    gained_uj = _carried_uj(ended, ended_ns) - _carried_uj(begun, begun_ns)
    return max(gained_uj, 0.0) / UJ_PER_J


def _carried_uj(level: Level, now_ns: int) -> float:
    age_ns = min(max(now_ns - level.at_ns, 0), 2 * NS_PER_S)
    return (level.energy_uj or 0) + (level.power_mw or 0) * age_ns / _UJ_PER_MW_NS


# ---- where levels come from -----------------------------------------------------------------


def _moment(source: str) -> _Moment:
    """How things stand, by ``source`` only if that is given."""
    now_ns = _CLOCK.boottime_ns()
    if source in _OF_THE_AGENT:
        page = link().page(now_ns)
        if page is not None:
            return _Moment("agent", now_ns, page)
    found, read = levels(source)
    return _Moment(found or source, _CLOCK.boottime_ns(), b"", read)


_CLOCK: Final = SystemClock()
_OF_THE_AGENT: Final = frozenset({"", "agent"})


def levels(source: str) -> tuple[str, Mapping[str, Level]]:
    """Levels of the GPUs that this process sees, and whose they are; only ``source``'s if that is
    given, as totals of two sources can't be compared."""
    if source in {"", "agent"}:
        levels = _asked()
        if levels:
            return "agent", _visible(levels)
    if source in {"", "nvml"}:
        levels = _NVML.levels()
        if levels:
            return "nvml", _visible(levels)
    return "", {}


def _asked() -> list[Level]:
    line = link().ask(_ASK_GPUS)
    try:
        answer: Any = json.loads(line) if line else {}
        return [Level(*(gpu[name] for name in Level._fields)) for gpu in answer.get("gpus", ())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _visible(levels: Iterable[Level]) -> Mapping[str, Level]:
    """Of these GPUs the ones in CUDA_VISIBLE_DEVICES: indices, or beginnings of UUIDs. Indices
    are taken in the order of the PCI bus, which is CUDA's own for GPUs of one model."""
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = {level.uuid: level for level in levels}
    if text is None:
        return chosen
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return {
        uuid: level
        for uuid, level in chosen.items()
        if str(level.gpu) in names or uuid.startswith(tuple(n for n in names if len(n) > _DIGITS))
    }


_DIGITS: Final = 3


class _Nvml:
    """This process's own NVML session, opened when first needed. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._devices: Sequence[Device] | None = None

    def levels(self) -> list[Level]:
        with self._lock:
            if self._devices is None:
                self._devices = _opened()
            return [level for device in self._devices if (level := _level(device)) is not None]

    def forget(self) -> None:
        self._lock = Lock()
        self._devices = None


def _opened() -> "Sequence[Device]":
    from submeter.backends import load

    try:
        return load("nvml", SystemClock(), {}).open()
    except (SubmeterError, ImportError, OSError):
        return ()


def _level(device: "Device") -> Level | None:
    now_ns = SystemClock().boottime_ns()
    try:
        readings = device.readings(now_ns)
    except SubmeterError:
        return None
    if not readings:
        return None
    last = readings[-1]
    power_mw = last.instant_mw if last.instant_mw is not None else last.average_mw
    return Level(device.info.uuid, device.info.index, last.energy_uj, last.at_ns, power_mw)


_NVML = _Nvml()
os.register_at_fork(after_in_child=_NVML.forget)
