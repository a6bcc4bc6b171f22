"""The compiled library's face: `Ticks` of a round, and the `Pacer` in which a lane waits."""

import ctypes
from collections.abc import Callable, Sequence
from ctypes import CDLL, POINTER, PyDLL, byref, c_int32, c_int64, c_void_p, pointer
from pathlib import Path
from typing import Final, Protocol

from submeter.ticking.compiling import LIBRARY
from submeter.ticking.layout import Board, Lane, Round, Usual, expected, expected_usual

_ENDED: Final = -1

_SLICE_NS: Final = 100_000
"""The shortest turn on the processor that Linux grants. With the usual 1.4 or 3 ms a tick often
waited for the end of somebody else's: on a nearly idle machine p99 lateness was 1.2–3.1 instead
of 0.5–0.8 ms."""


class Gate(Protocol):
    """What may forbid calls into the driver (a session)."""

    def enter(self) -> bool:
        """Whether this thread may call; if so, until `leave`."""
        ...

    def leave(self) -> None:
        """No call of this thread is on its way any more."""
        ...


class Library:
    """The functions of ``ticking.c`` and ``understanding.c``."""

    def __init__(self, loaded: CDLL, brief: PyDLL) -> None:
        """``brief``: the same for calls of a microsecond, which keep the interpreter: to get it
        back from another thread takes longer."""
        self.wait = loaded.submeter_wait
        self.wait.argtypes = (POINTER(Lane), c_int64)
        self.end_with = loaded.submeter_end_with
        self.end_with.argtypes = (POINTER(Lane), c_int64)
        self.guard = loaded.submeter_guard
        self.guard.argtypes = (c_void_p, c_int32, POINTER(c_int32), c_int64, c_int64, c_int64)
        self.short_turns = loaded.submeter_short_turns
        self.short_turns.argtypes = (c_int64,)
        self.understand = brief.submeter_understand
        self.understand.argtypes = (POINTER(Usual), c_int32)


def library(folder: Path = Path(__file__).parent) -> Library | None:
    """The compiled library, if the package was built with one that this machine can load."""
    try:
        loaded = CDLL(str(folder / LIBRARY))
        brief = PyDLL(str(folder / LIBRARY))
        layouts = loaded.submeter_layout, loaded.submeter_usual
    except (OSError, AttributeError):
        return None
    for layout in layouts:
        layout.restype = c_int64
    fits = [layout() for layout in layouts] == [expected(), expected_usual()]
    return Library(loaded, brief) if fits else None


class Room:
    """Memory for the answers of one board: `state` is filled by whoever asks, C or Python."""

    def __init__(self, values: int, slot_bytes: int, count: int, slots: int) -> None:
        """``values`` is the address of ``slots`` times ``slot_bytes``, kept by the caller."""
        self.ends_ns = (c_int64 * slots)()
        self.codes = (c_int32 * slots)()
        self.state = Board(
            values=values,
            ends_ns=ctypes.addressof(self.ends_ns),
            codes=ctypes.addressof(self.codes),
            slot_bytes=slot_bytes,
            count=count,
            slots=slots,
        )


class Ticks:
    """A round's grid and boards. ``state`` is shared: of its fields, the lane owns ``next_ns``
    and ``missed``, the round ``take_ns``, ``polls`` and ``hasty``."""

    def __init__(self, members: Sequence[int], boards: Sequence[Room], gate: Gate) -> None:
        """``members``: which of the round's GPUs the boards are. ``gate`` is entered while C may
        call the driver."""
        self.members = tuple(members)
        self.gate = gate
        self._rooms = tuple(boards)  # kept alive
        self._pointers = (POINTER(Board) * len(boards))(*(pointer(room.state) for room in boards))
        self.state = Round(boards=self._pointers, count=len(boards))

    @property
    def room(self) -> int:
        """How many ticks' answers the boards have room for."""
        return min(int(room.state.slots) for room in self._rooms)


class Pacer:
    """What one lane waits in. `come_first` and `wait` are for its thread; all else for any."""

    def __init__(self, functions: Library, late_bounds_ns: Sequence[int]) -> None:
        self._functions = functions
        self._bounds = (c_int64 * len(late_bounds_ns))(*late_bounds_ns)
        self._late_counts = (c_int64 * (len(late_bounds_ns) + 1))()
        self._ticks: tuple[Ticks, ...] = ()
        self._rounds: object = None
        self._ended_with = 0
        self._lane = Lane(
            late_bounds_ns=self._bounds,
            late_counts=self._late_counts,
            late_bound_count=len(late_bounds_ns),
        )

    def come_first(self) -> None:
        """Has the calling thread, which will `wait`, run as soon as it wakes, where it may."""
        self._functions.short_turns(_SLICE_NS)

    def wait(self, ticks: tuple[Ticks, ...], until_ns: int) -> Ticks | None:
        """Polls these rounds at their deadlines, until one of them is to be taken. None where
        that is over before: at ``until_ns`` (boot time), after `stop` or `end_with`, or where a
        gate is closed."""
        lane = self._lane
        if ticks != self._ticks:
            rounds = (POINTER(Round) * len(ticks))(*(pointer(each.state) for each in ticks))
            self._ticks, self._rounds = ticks, rounds
            lane.rounds, lane.count = rounds, len(ticks)
        entered: list[Gate] = []
        try:
            for gate in {id(each.gate): each.gate for each in ticks}.values():
                if not gate.enter():
                    return None
                entered.append(gate)
            place: int = self._functions.wait(byref(lane), until_ns)
        finally:
            lane.turn = 0
            lane.since_ns = 0  # still set where the wait was cut short
            for gate in entered:
                gate.leave()
        return None if place < 0 else ticks[place]

    def turn(self) -> tuple[int, int]:
        """Whose turn it is now, counted over all rounds from 0, and since when; -1: nobody's."""
        lane = self._lane
        number = lane.turn  # before the time: an old turn with a new time is only too young …
        if number == _ENDED:
            number = self._ended_with
        since_ns = lane.since_ns
        return (number - 1, since_ns) if since_ns else (-1, 0)  # … unless it is over meanwhile

    def end_with(self, number: int) -> bool:
        """Ends the wait with the turn of that board; False if it is over already. From then on
        the other boards and rounds are not touched by it."""
        self._ended_with = number + 1
        return bool(self._functions.end_with(byref(self._lane), number + 1))

    def stop(self) -> None:
        """No further tick: `wait` returns, at once or within a second."""
        self._lane.stop = 1

    @property
    def busy(self) -> int:
        """Where it notes since when a poll has been going on, for `Guard`."""
        return ctypes.addressof(self._lane) + Lane.since_ns.offset

    def late(self) -> tuple[Sequence[int], int]:
        """How many ticks were so late, by bound, and the sum in ns; without those that `wait`
        returned with."""
        return self._late_counts[:], self._lane.late_sum_ns


class Busy:
    """Since when somebody is busy, in ns; 0: not. Set by one thread."""

    __slots__ = ("cell",)

    def __init__(self) -> None:
        self.cell = c_int64()

    def since(self, now_ns: int) -> None:
        self.cell.value = now_ns

    @property
    def place(self) -> int:
        """Where it is noted, for `Guard`."""
        return ctypes.addressof(self.cell)


class Guard:
    """Looks whether anybody is busy for too long, several times a second, and only then wakes."""

    def __init__(self, functions: Library, nap_ns: int, stuck_ns: int) -> None:
        self._functions = functions
        self._nap_ns = nap_ns
        self._stuck_ns = stuck_ns
        self._look = c_int32()

    def wait(self, places: Callable[[], Sequence[int]], until_ns: int) -> bool:
        """Until somebody is (True), it is ``until_ns``, or `look`."""
        self._look.value = 0  # before asking who there is: whoever comes later calls `look`
        found = places()
        cells = (c_void_p * len(found))(*found)
        nap_ns, stuck_ns = self._nap_ns, self._stuck_ns
        return bool(
            self._functions.guard(cells, len(found), byref(self._look), nap_ns, stuck_ns, until_ns)
        )

    def look(self) -> None:
        """There are others now, or nobody any more."""
        self._look.value = 1


def address(function: object) -> int:
    """Where a C function or what a pointer points to is."""
    return ctypes.cast(function, c_void_p).value or 0  # type: ignore[arg-type]
