"""A process in; its memory, descriptors and threads over time, and how fast they grow, out."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Final, NamedTuple

_MIB: Final = 1024  # of the kB in /proc
_HOUR_S: Final = 3600.0


class Sample(NamedTuple):
    """A process and its children at one moment."""

    at_s: float
    resident_mib: float
    descriptors: int
    threads: int
    children: int


class Slope(NamedTuple):
    """What a straight line through samples says of the memory."""

    mib_per_hour: float
    error_mib_per_hour: float  # half the width of the 95 % interval

    @property
    def upper(self) -> float:
        """The upper end of the interval."""
        return self.mib_per_hour + self.error_mib_per_hour


def sample(pid: int, at_s: float) -> Sample:
    """How it is now. Raises FileNotFoundError or ProcessLookupError when it has ended."""
    status = _status(pid)
    resident_kb = int(status["VmRSS"].split()[0])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        try:
            resident_kb += int(_status(int(child)).get("VmRSS", "0").split()[0])
        except (FileNotFoundError, ProcessLookupError):  # it was a short one
            continue
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    threads = int(status["Threads"])
    return Sample(at_s, resident_kb / _MIB, descriptors, threads, len(children))


def slope(samples: Sequence[Sample]) -> Slope:
    """Ordinary least squares over the means of each minute, which hardly depend on one another."""
    minutes: dict[int, list[float]] = {}
    for one in samples:
        minutes.setdefault(int(one.at_s // 60), []).append(one.resident_mib)
    points = [(minute * 60.0, sum(values) / len(values)) for minute, values in minutes.items()]
    if len(points) < 3:
        return Slope(0.0, float("inf"))
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    off = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    error = sqrt(off / (len(points) - 2) / spread)
    return Slope(rise * _HOUR_S, 2 * error * _HOUR_S)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
