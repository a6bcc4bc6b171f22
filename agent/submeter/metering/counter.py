"""Values of a hardware energy counter in, energy to book out: every rule about counters.

A counter is believed as far as the board could have drawn the energy. What may be booked is a
bucket that fills at ``headroom`` × power limit with the time since the last booked value and holds
a little burst besides, so whatever a counter says, any time T is booked ≤ headroom·limit·T + burst.

| the new value, against the highest one believed ("base") | booked | and                       |
|----------------------------------------------------------|--------|---------------------------|
| the first one ever                                       | 0      | it is the base            |
| equal                                                    | 0      |                           |
| more, and plausible for the time                         | Δ      | it is the base            |
| more than plausible                                      | 0      | Δ is suspect (jump); it is|
|                                                          |        | the base; mark the old one|
| less by ≤ ``jitter``, not near zero                      | 0      | base stays: nothing until |
|                                                          |        | it is passed; jitters + 1 |
| less by more: restart, plausible if counted from zero    | value  | epoch + 1, resets + 1; it |
|                                                          |        | is the base; mark the old |
| the same, implausible                                    | 0      | value is suspect (reset); |
|                                                          |        | else the same             |
| back at a mark or above it, plausible since then         | Δ since| minus what was booked     |
|                                                          | mark   | since (the next gains pay |
|                                                          |        | what was too much); it is |
|                                                          |        | the base                  |
| any of these after a stall that was bridged by ∫power    | minus the bridged, ≥ 0             |
| the first one after the machine was restarted, plausible | value  | epoch + 1, resets + 1: a  |
| if counted from zero since then                          |        | driver's start zeroes it  |
| the same, not plausible, but plausible as an increase    | Δ      | it is the base: it went on|

A mark is a base that was left by a jump or a restart; it lives for ``recall_ns``, and one that was
left downwards until the counter has grown past it. It is what keeps a counter that falls to 200 J
and comes back from having used its lifetime again.
"""

from typing import Final, NamedTuple

from submeter.metering.limits import DEFAULT, Limits
from submeter.model import CounterState, SuspectReason
from submeter.units import PJ_PER_UJ

_MARKS: Final = 4


class Mark(NamedTuple):
    """A base and what was known when it was left."""

    base_uj: int
    at_ns: int
    bucket_pj: int  # what could still be booked at that moment
    booked_uj: int  # all energy booked until then
    owed_uj: int  # booked too much by then, and not repaid yet
    fell: int = 0  # 1: left downwards; an integer, so that a mark can be stored as it is


class Faults(NamedTuple):
    """What was odd about the counter since the last time somebody asked."""

    suspect_uj: tuple[tuple[SuspectReason, int], ...] = ()
    jitters: int = 0
    resets: int = 0


NO_FAULTS: Final = Faults()


class Counter:
    """Owns what is believed of one GPU's counter."""

    __slots__ = (
        "_base_uj",
        "_booked_uj",
        "_bridged_uj",
        "_bucket_pj",
        "_burst_pj",
        "_faulty",
        "_jitters",
        "_limits",
        "_marks",
        "_owed_uj",
        "_power_mw",
        "_rebooted_after_ns",
        "_refresh_ns",
        "_resets",
        "_suspect_uj",
        "at_ns",
        "epoch",
        "raw_uj",
        "since_ns",
    )

    def __init__(self, power_mw: int, refresh_ns: int, limits: Limits = DEFAULT) -> None:
        """``power_mw``: the highest mean power that is believed, headroom included."""
        self.raw_uj: int | None = None  # the last value as it came
        self.epoch = 0
        self.at_ns = 0  # when the base was last moved
        self.since_ns = 0  # the time from which on the last booked energy was used
        self._power_mw = power_mw
        self._burst_pj = power_mw * (limits.burst_ns + refresh_ns)
        self._refresh_ns = refresh_ns
        self._limits = limits
        self._base_uj = 0
        self._bucket_pj = self._burst_pj
        self._booked_uj = 0
        self._bridged_uj = 0  # part of it: posted from ∫power since the base was moved
        self._owed_uj = 0  # booked for a counter that had only fallen: the next gains repay it
        self._marks: list[Mark] = []
        self._faulty = False
        self._suspect_uj: dict[SuspectReason, int] = {}
        self._jitters = 0
        self._resets = 0
        self._rebooted_after_ns: int | None = None  # time without power before boot time zero

    def advance(self, at_ns: int, value_uj: int) -> int:
        """Takes a value that differs from the last one; gives the µJ to book, ≥ 0."""
        if self._marks or self._bridged_uj or self._owed_uj or self.raw_uj is None:
            return self._advance_oddly(at_ns, value_uj)
        delta_uj = value_uj - self._base_uj
        left_pj = self._power_mw * (at_ns - self.at_ns) + self._bucket_pj - delta_uj * PJ_PER_UJ
        if delta_uj <= 0 or left_pj < 0:
            return self._advance_oddly(at_ns, value_uj)
        self.raw_uj = self._base_uj = value_uj
        self.since_ns = self.at_ns
        self.at_ns = at_ns
        self._bucket_pj = min(left_pj, self._burst_pj)
        self._booked_uj += delta_uj
        return delta_uj

    def bridge(self, energy_uj: int) -> None:
        """That much was posted from ∫power while the counter stood still."""
        self._bridged_uj += energy_uj
        self._booked_uj += energy_uj

    def take_faults(self) -> Faults:
        """What was odd since the last call."""
        if not self._faulty:
            return NO_FAULTS
        faults = Faults(tuple(sorted(self._suspect_uj.items())), self._jitters, self._resets)
        self._faulty = False
        self._suspect_uj = {}
        self._jitters = self._resets = 0
        return faults

    @property
    def pending(self) -> bool:
        """Whether something is known that nobody has taken yet, or has yet to be found out."""
        return self._faulty or self._rebooted_after_ns is not None

    def state(self) -> CounterState | None:
        """All that must be known to go on from here; None if no value was ever read. To be asked
        when `take_faults` was."""
        if self.raw_uj is None:
            return None
        return CounterState(
            raw_uj=self.raw_uj,
            base_uj=self._base_uj,
            at_ns=self.at_ns,
            bucket_pj=self._bucket_pj,
            booked_uj=self._booked_uj,
            bridged_uj=self._bridged_uj,
            owed_uj=self._owed_uj,
            epoch=self.epoch,
            marks=tuple(tuple(mark) for mark in self._marks),
        )

    def resume(self, state: CounterState) -> None:
        """Goes on from a state of the same boot, as if the time since had only had no readings."""
        self.raw_uj = state.raw_uj
        self.epoch = state.epoch
        self.at_ns = self.since_ns = state.at_ns
        self._base_uj = state.base_uj
        self._bucket_pj = min(max(state.bucket_pj, 0), self._burst_pj)
        self._booked_uj = state.booked_uj
        self._bridged_uj = state.bridged_uj
        self._owed_uj = state.owed_uj
        self._marks = [Mark(*mark) for mark in state.marks]

    def resume_rebooted(self, state: CounterState, before_ns: int) -> None:
        """Goes on from a state of an earlier boot, ``before_ns`` before this one began: boot time
        0 is when the counter can have begun anew. Until a value comes, `raw_uj` is None."""
        self.epoch = state.epoch
        self._base_uj = state.base_uj
        self._rebooted_after_ns = before_ns

    # ---- the rare rows of the table --------------------------------------------------------

    def _advance_rebooted(self, at_ns: int, value_uj: int, before_ns: int) -> int:
        here = self._here()
        risen_uj = value_uj - self._base_uj
        from_zero = self._plausible(at_ns, value_uj, here)
        longer = here._replace(at_ns=-before_ns)
        if not from_zero and risen_uj >= 0 and self._plausible(at_ns, risen_uj, longer):
            return self._book(at_ns, value_uj, longer, risen_uj)
        gained_uj = self._restart(at_ns, value_uj)
        self._marks = []  # what it fell from was another boot's
        return gained_uj

    def _advance_oddly(self, at_ns: int, value_uj: int) -> int:
        last_uj, self.raw_uj = self.raw_uj, value_uj
        if self._rebooted_after_ns is not None:
            before_ns, self._rebooted_after_ns = self._rebooted_after_ns, None
            return self._advance_rebooted(at_ns, value_uj, before_ns)
        if last_uj is None:
            self._move(at_ns, value_uj, self._burst_pj)
            return 0
        return self._compare(at_ns, value_uj, last_uj)

    def _compare(self, at_ns: int, value_uj: int, last_uj: int) -> int:
        delta_uj = value_uj - self._base_uj
        if delta_uj > 0 and self._ordinary(at_ns, delta_uj):
            return self._forward(at_ns, value_uj, delta_uj)
        if self._jittered(value_uj):
            if value_uj < last_uj:
                self._jitters += 1
                self._faulty = True
            return 0
        mark = self._mark_returned_to(at_ns, value_uj)
        if mark is not None:
            return self._come_back(at_ns, value_uj, mark)
        if delta_uj > 0:
            return self._leap(at_ns, value_uj, delta_uj)
        return self._restart(at_ns, value_uj)

    def _jittered(self, value_uj: int) -> bool:
        return 0 <= self._base_uj - value_uj <= self._jitter_uj(value_uj)

    def _jitter_uj(self, value_uj: int) -> int:
        """So far below a value it still is that value; near zero it began anew."""
        return self._limits.jitter_uj if value_uj >= self._limits.jitter_uj else 0

    def _come_back(self, at_ns: int, value_uj: int, mark: Mark) -> int:
        risen_uj = max(value_uj - mark.base_uj, 0)
        booked_uj = self._booked_uj - mark.booked_uj
        self._marks = self._marks[: self._marks.index(mark)]
        self._owed_uj = mark.owed_uj
        gained_uj = self._book(at_ns, max(value_uj, mark.base_uj), mark, risen_uj)
        self._owed_uj += max(booked_uj - risen_uj, 0)
        return gained_uj

    def _forward(self, at_ns: int, value_uj: int, delta_uj: int) -> int:
        # a counter that grew past the value it fell from was restarted and won't come back
        self._marks = [m for m in self._marks if not m.fell or m.base_uj > value_uj]
        return self._book(at_ns, value_uj, self._here(), delta_uj)

    def _leap(self, at_ns: int, value_uj: int, delta_uj: int) -> int:
        if self._plausible(at_ns, delta_uj, self._here()):
            return self._forward(at_ns, value_uj, delta_uj)
        self._quarantine(SuspectReason.JUMP, delta_uj)
        self._leave(self._here())
        self._move(at_ns, value_uj, self._bucket_pj)
        return 0

    def _restart(self, at_ns: int, value_uj: int) -> int:
        here = self._here()
        self.epoch += 1
        self._resets += 1
        self._faulty = True
        self._leave(here._replace(fell=1))
        if self._plausible(at_ns, value_uj, here):
            return self._book(at_ns, value_uj, here, value_uj)
        self._quarantine(SuspectReason.RESET, value_uj)
        self._move(at_ns, value_uj, self._bucket_pj)
        return 0

    def _here(self) -> Mark:
        """The present base as a mark. What was bridged since counts as booked since."""
        booked_uj = self._booked_uj - self._bridged_uj
        return Mark(self._base_uj, self.at_ns, self._bucket_pj, booked_uj, self._owed_uj)

    def _leave(self, here: Mark) -> None:
        self._marks = [*self._marks[1 - _MARKS :], here]

    def _mark_returned_to(self, at_ns: int, value_uj: int) -> Mark | None:
        oldest_ns = at_ns - self._limits.recall_ns
        self._marks = [mark for mark in self._marks if mark.at_ns >= oldest_ns]
        jitter_uj = self._jitter_uj(value_uj)
        for mark in reversed(self._marks):
            rise_uj = value_uj - mark.base_uj
            if rise_uj >= -jitter_uj and self._plausible(at_ns, rise_uj, mark):
                return mark
        return None

    def _ordinary(self, at_ns: int, delta_uj: int) -> bool:
        """Plausible for the time and one refresh: then it needs no other explanation."""
        ordinary_pj = self._power_mw * (at_ns - self.at_ns + self._refresh_ns)
        here = self._here()
        return delta_uj * PJ_PER_UJ <= ordinary_pj and self._plausible(at_ns, delta_uj, here)

    def _allowed_pj(self, at_ns: int, mark: Mark) -> int:
        return self._power_mw * (at_ns - mark.at_ns) + mark.bucket_pj

    def _plausible(self, at_ns: int, energy_uj: int, mark: Mark) -> bool:
        return energy_uj * PJ_PER_UJ <= self._allowed_pj(at_ns, mark)

    def _book(self, at_ns: int, base_uj: int, mark: Mark, delta_uj: int) -> int:
        """Books what the counter gained since a mark, less what was booked since already."""
        already_uj = self._booked_uj - mark.booked_uj
        gained_uj = max(delta_uj - already_uj, 0)
        repaid_uj = min(gained_uj, self._owed_uj)
        self._owed_uj -= repaid_uj
        gained_uj -= repaid_uj
        left_pj = self._allowed_pj(at_ns, mark) - (already_uj + gained_uj) * PJ_PER_UJ
        self._booked_uj += gained_uj
        self._move(at_ns, base_uj, left_pj)
        self.since_ns = mark.at_ns
        return gained_uj

    def _quarantine(self, reason: SuspectReason, energy_uj: int) -> None:
        self._suspect_uj[reason] = self._suspect_uj.get(reason, 0) + energy_uj
        self._faulty = True

    def _move(self, at_ns: int, base_uj: int, bucket_pj: int) -> None:
        self._base_uj = base_uj
        self._bucket_pj = min(max(bucket_pj, 0), self._burst_pj)
        self._bridged_uj = 0
        self.since_ns = self.at_ns
        self.at_ns = at_ns
