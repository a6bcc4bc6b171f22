"""A block of code in, the energy that the GPUs used meanwhile out.

With an agent its figures are used, without one NVML's own counters. Either way it is the energy of
whole GPUs, those that this process may see: what others on the same GPU used is in it.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from submeter.client.link import link
from submeter.client.protocol import frame
from submeter.clock import SystemClock
from submeter.errors import SubmeterError
from submeter.units import NS_PER_S, UJ_PER_J

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submeter.backends import Device

_ASK_GPUS: Final = frame({"ask": "gpus"})
_UJ_PER_MW_NS: Final = 10**6
"""A milliwatt for a nanosecond is 10⁻⁶ µJ."""


class Level(NamedTuple):
    """One GPU at one moment: its running total and what it draws."""

    uuid: str
    gpu: int
    energy_uj: int | None
    at_ns: int
    power_mw: int | None


class Measurement:
    """Energy of a block, in joules: ``m.joules`` of all GPUs, ``m.per_gpu`` by UUID, ``m.seconds``.

    Inside the block ``joules`` is what was used so far. It is nan where nothing can be measured
    (``m.source`` is then ""); never 0 for "don't know". ``source`` is ``agent`` or ``nvml``.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.source = ""
        self._clock = SystemClock()
        self._begun: Mapping[str, Level] = {}
        self._ended: Mapping[str, Level] | None = None
        self._begun_ns = 0
        self._ended_ns = 0

    def __enter__(self) -> Self:
        self._ended = None
        self.source, self._begun = levels("")
        self._begun_ns = self._clock.boottime_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended_ns = self._clock.boottime_ns()
        self._ended = self._now(self._ended_ns)

    @property
    def seconds(self) -> float:
        """How long the block took, or takes already."""
        end_ns = self._clock.boottime_ns() if self._ended is None else self._ended_ns
        return (end_ns - self._begun_ns) / NS_PER_S

    @property
    def joules(self) -> float:
        """What all GPUs together used; nan where that isn't known."""
        return math.fsum(self.per_gpu.values()) if self.source and self._begun else math.nan

    @property
    def per_gpu(self) -> Mapping[str, float]:
        """What each GPU used, by UUID; nan for one that can't be measured."""
        ended = self._ended
        end_ns = self._ended_ns
        if ended is None:
            end_ns = self._clock.boottime_ns()
            ended = self._now(end_ns)
        return {
            uuid: _used_j(begun, ended.get(uuid), self._begun_ns, end_ns)
            for uuid, begun in self._begun.items()
        }

    def _now(self, _now_ns: int) -> Mapping[str, Level]:
        return levels(self.source)[1] if self.source else {}


def measure(name: str = "") -> Measurement:
    """``with submeter.measure("step") as m: …`` – then ``m.joules`` is what the GPUs used.

    Asks the agent (about 0.2 ms), or NVML where there is none (0.1 ms a GPU, and once the time to
    load it). Never raises. Nested and concurrent measurements are independent of each other.
    """
    return Measurement(name)


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
    except (ValueError, KeyError, TypeError, AttributeError):
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
