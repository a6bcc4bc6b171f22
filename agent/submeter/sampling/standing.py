"""Utilisation calls and readings in, how the counter stood at the end of what each call tells out.

A call's shares end with the newest entry of the driver's ring, up to 140 ms before the call, and
the counter steps every 20–100 ms: paired as they come, the power of a call would be of another time
than its names, by a third of half a second. Both have the driver's timestamps: so the counter is
interpolated at that of the newest entry. Where it has none, or nobody worked last, the first
reading from the call on stands in.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.model import Reading, UtilisationSample
from submeter.units import NS_PER_S

_ANSWERS: Final = 16  # calls whose readings are waited for, or wait to be fetched
_KEPT: Final = 64  # readings: at the fastest pace those of a third of a second
_IDLE_NS: Final = 3 * NS_PER_S  # after a call: readings are kept no longer, nobody shares the GPU
_LATE_NS: Final = NS_PER_S  # after that no reading is waited for
_LONG_AGO_US: Final = 500_000  # or a clock that isn't the other's


class _Asked(NamedTuple):
    """A call: when, and the timestamp of the newest entry (0: none)."""

    at_ns: int
    until_us: int


class Standing:
    """The counter at one GPU's utilisation calls. The fast thread shows readings, the slow one
    asks."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Reading]] = deque(maxlen=_ANSWERS)
        """By the time of the call."""
        self._asked: deque[_Asked] = deque(maxlen=_ANSWERS)
        self._kept: deque[Reading] = deque(maxlen=_KEPT)
        self._last_ns = 0

    @property
    def wanted(self) -> bool:
        """Whether readings are of use: somebody asked, now or not long ago."""
        return bool(self._asked) or bool(self._kept)

    def ask(self, at_ns: int, samples: Sequence[UtilisationSample] = ()) -> None:
        """A call was made that gave these."""
        until_us = max([sample.at_us for sample in samples], default=0)
        self._last_ns = at_ns
        self._asked.append(_Asked(at_ns, until_us))

    def show(self, readings: Sequence[Reading]) -> None:
        """These are new."""
        for reading in readings:
            if reading.at_ns > self._last_ns + _IDLE_NS:
                self._kept.clear()
                self._asked.clear()
                return
            self._kept.append(reading)
            while self._asked:
                found = self._found(self._asked[0], reading)
                if found is None:
                    break
                self.answers.append((self._asked.popleft().at_ns, found))

    def _found(self, asked: _Asked, reading: Reading) -> Reading | None:
        """What to answer; None while later readings may tell it better."""
        if reading.at_ns < asked.at_ns:
            return None
        at_us, until_us = reading.energy_at_us, asked.until_us
        if at_us is None or not until_us or abs(at_us - until_us) > _LONG_AGO_US:
            return reading
        if at_us < until_us:
            return reading if reading.at_ns > asked.at_ns + _LATE_NS else None
        return self._between(until_us, reading)

    def _between(self, until_us: int, after: Reading) -> Reading:
        """The counter at that time, by the readings around it."""
        for before in reversed(self._kept):
            if before.energy_at_us is None or before.energy_uj is None:
                break
            if before.energy_at_us <= until_us:
                return _interpolated(before, after, until_us)
            after = before
        return after


def _interpolated(before: Reading, after: Reading, at_us: int) -> Reading:
    from_us, to_us = before.energy_at_us, after.energy_at_us
    from_uj, to_uj = before.energy_uj, after.energy_uj
    if from_us is None or to_us is None or from_uj is None or to_uj is None:
        return after
    if to_us <= from_us or to_uj < from_uj:
        return after  # the same value again, or a counter that began anew
    energy_uj = from_uj + (to_uj - from_uj) * (at_us - from_us) // (to_us - from_us)
    return after._replace(energy_uj=energy_uj, energy_at_us=at_us)
