"""Ticks in C: who is asked when, what is kept, and how a wait ends."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from platform import machine

import pytest

from submeter.clock import SystemClock
from submeter.ticking import Library, Pacer, Room, Ticks, address, compiling, layout, library
from submeter.units import NS_PER_MS

BOUNDS_NS = (NS_PER_MS, 1_000 * NS_PER_MS)
PERIOD_NS = 4 * NS_PER_MS
_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_Ask = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Gate:
    """Open or closed; counts who is inside."""

    def __init__(self) -> None:
        self.is_open = True
        self.inside = 0

    def enter(self) -> bool:
        self.inside += self.is_open
        return self.is_open

    def leave(self) -> None:
        self.inside -= 1


class Driver:
    """Boards by number, asked by C: each writes a count of its calls as its value."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.does: dict[int, Callable[[], int]] = {}
        self.gate = Gate()
        self.clock = SystemClock()
        self._kept: list[object] = []

    def ticks(self, *boards: int, period_ns: int = PERIOD_NS, slots: int = 8) -> Ticks:
        rooms = [self._room(board, slots) for board in boards]
        ticks = Ticks(range(len(boards)), rooms, self.gate)
        ticks.state.period_ns = period_ns
        ticks.state.next_ns = self.clock.boottime_ns() + NS_PER_MS
        ticks.state.take_ns = 1 << 62
        self.rooms = [*getattr(self, "rooms", []), *rooms]
        return ticks

    def hangs(self, board: int) -> tuple[threading.Event, threading.Event]:
        """From now on: the first event says that somebody is inside, the second lets go."""
        inside, release = threading.Event(), threading.Event()

        def hang() -> int:
            inside.set()
            release.wait(20)
            return 0

        self.does[board] = hang
        return inside, release

    def _room(self, board: int, slots: int) -> Room:
        values = (ctypes.c_int64 * slots)()
        calls = 0

        def ask(device: int, count: int, into: int) -> int:
            nonlocal calls
            assert (device, count) == (board + 1, 3)
            self.asked.append(board)
            calls += 1
            ctypes.c_int64.from_address(into).value = calls
            return self.does.get(board, lambda: 0)()

        function = _Ask(ask)
        room = Room(ctypes.addressof(values), ctypes.sizeof(ctypes.c_int64), 3, slots)
        room.state.ask, room.state.device = address(function), board + 1
        self._kept += [values, function]
        return room

    def values(self, place: int) -> list[int]:
        state = self.rooms[place].state
        return [
            ctypes.c_int64.from_address(state.values + 8 * i).value for i in range(state.filled)
        ]


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def pacer(ticking_functions: Library) -> Pacer:
    return Pacer(ticking_functions, BOUNDS_NS)


@pytest.fixture
def waiting(pacer: Pacer) -> Iterator[Callable[..., "Waiting"]]:
    """Waits in a thread of its own."""
    begun: list[Waiting] = []

    def begin(*ticks: Ticks) -> Waiting:
        begun.append(Waiting(pacer, ticks))
        return begun[-1]

    yield begin
    for each in begun:
        pacer.stop()
        each.result()


class Waiting:
    def __init__(self, pacer: Pacer, ticks: tuple[Ticks, ...]) -> None:
        self._found: list[Ticks | None] = []
        self._thread = threading.Thread(
            target=lambda: self._found.append(pacer.wait(ticks, 1 << 62)), daemon=True
        )
        self._thread.start()

    def result(self) -> Ticks | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self._found[0]


def test_each_board_is_asked_at_each_tick_until_the_take(driver: Driver, pacer: Pacer) -> None:
    ticks = driver.ticks(0, 1, 2)
    first_ns = ticks.state.next_ns
    ticks.state.take_ns = first_ns + 4 * PERIOD_NS
    assert pacer.wait((ticks,), 1 << 62) is ticks
    state = ticks.state
    assert driver.asked == [0, 1, 2] * state.polls
    # The caller's tick, who takes, advances: the fifth, but where the machine was late.
    assert state.next_ns == first_ns + (state.polls + state.missed - 1) * PERIOD_NS
    assert state.tick_ns >= max(state.next_ns, first_ns + 4 * PERIOD_NS)
    for place, room in enumerate(driver.rooms):
        assert driver.values(place) == list(range(1, state.polls + 1))
        ends_ns = room.ends_ns[: room.state.filled]
        assert all(a < b for a, b in pairwise(ends_ns))
        assert ends_ns[-1] >= state.tick_ns
        assert room.codes[: room.state.filled] == [0] * state.polls
        assert room.state.took_ns > 0
    counts, sum_ns = pacer.late()
    assert sum(counts) == state.polls - 1
    assert (sum_ns > 0) == (state.polls > 1)
    assert driver.gate.inside == 0


def test_codes_are_kept_and_the_others_asked(driver: Driver, pacer: Pacer) -> None:
    driver.does[0] = lambda: 15
    ticks = driver.ticks(0, 1)
    ticks.state.take_ns = 0
    assert pacer.wait((ticks,), 1 << 62) is ticks
    assert [room.codes[0] for room in driver.rooms] == [15, 0]


def test_nothing_is_written_beyond_the_last_slot(driver: Driver, pacer: Pacer) -> None:
    ticks = driver.ticks(0, slots=3, period_ns=NS_PER_MS)
    ticks.state.take_ns = 0
    for _ in range(6):
        assert pacer.wait((ticks,), 1 << 62) is ticks
        ticks.state.next_ns += NS_PER_MS
    assert ticks.state.polls == 6
    assert driver.rooms[0].state.filled == 3
    assert len(driver.asked) == 3


def test_rounds_are_polled_by_deadline(driver: Driver, pacer: Pacer) -> None:
    fast = driver.ticks(0, period_ns=3 * NS_PER_MS, slots=100)
    first_ns = fast.state.next_ns
    slow = driver.ticks(1, 2, period_ns=30 * NS_PER_MS)
    slow.state.next_ns = first_ns + 20 * NS_PER_MS
    slow.state.take_ns = slow.state.next_ns
    assert pacer.wait((fast, slow), 1 << 62) is slow
    assert driver.asked[-2:] == [1, 2]
    assert set(driver.asked[:-2]) == {0}
    ticks = fast.state.polls + fast.state.missed
    assert ticks >= 7  # more where the machine was late for the slow one
    assert fast.state.next_ns - first_ns == 3 * NS_PER_MS * ticks


def test_it_ends_for_somebody_else(driver: Driver, pacer: Pacer) -> None:
    ticks = driver.ticks(0, slots=100)
    until_ns = ticks.state.next_ns + 3 * PERIOD_NS + PERIOD_NS // 2
    assert pacer.wait((ticks,), until_ns) is None
    assert driver.clock.boottime_ns() >= until_ns
    assert until_ns < ticks.state.next_ns
    assert ticks.state.polls + ticks.state.missed >= 4


def test_deadlines_that_are_over_are_missed_not_caught_up(driver: Driver, pacer: Pacer) -> None:
    def slow_once() -> int:
        if len(driver.asked) == 1:
            threading.Event().wait(0.05)
        return 0

    driver.does[0] = slow_once
    ticks = driver.ticks(0)
    first_ns = ticks.state.next_ns
    ticks.state.take_ns = first_ns + 20 * PERIOD_NS
    assert pacer.wait((ticks,), 1 << 62) is ticks
    assert ticks.state.missed >= 50 * NS_PER_MS // PERIOD_NS - 1
    assert (ticks.state.next_ns - first_ns) == PERIOD_NS * (
        ticks.state.polls + ticks.state.missed - 1
    )


def test_haste_ends_it_with_the_next_tick(driver: Driver, waiting: Callable[..., Waiting]) -> None:
    ticks = driver.ticks(0, slots=1_000)
    third = threading.Event()

    def count() -> int:
        if len(driver.asked) == 3:
            third.set()
        return 0

    driver.does[0] = count
    wait = waiting(ticks)
    assert third.wait(20)
    ticks.state.hasty = 1
    assert wait.result() is ticks


def test_stopping_ends_it(driver: Driver, pacer: Pacer, waiting: Callable[..., Waiting]) -> None:
    wait = waiting(driver.ticks(0, period_ns=3_600_000 * NS_PER_MS))
    pacer.stop()
    assert wait.result() is None


def test_a_closed_gate_forbids_every_call(driver: Driver, pacer: Pacer) -> None:
    driver.gate.is_open = False
    ticks = driver.ticks(0)
    ticks.state.take_ns = 0
    assert pacer.wait((ticks,), 1 << 62) is None
    assert not driver.asked
    assert driver.gate.inside == 0


@pytest.mark.parametrize("stuck", [0, 1, 4])
def test_whoever_is_stuck_is_the_last_one(
    driver: Driver, pacer: Pacer, waiting: Callable[..., Waiting], stuck: int
) -> None:
    inside, release = driver.hangs(stuck)
    rounds = driver.ticks(0, 1), driver.ticks(2, 3, 4)
    rounds[1].state.next_ns += NS_PER_MS
    wait = waiting(*rounds)
    assert inside.wait(20)
    number, since_ns = pacer.turn()
    assert number == stuck
    assert 0 < since_ns <= driver.clock.boottime_ns()
    for other in {0, 1, 2, 3, 4} - {stuck}:
        assert not pacer.end_with(other)
    assert pacer.end_with(stuck)
    assert pacer.turn() == (stuck, since_ns)
    before = list(driver.asked)
    release.set()
    assert wait.result() is None
    assert driver.asked == before
    assert pacer.turn()[0] == -1
    assert driver.rooms[stuck].state.filled == before.count(stuck)  # what it said is kept


def test_a_turn_that_ends_while_one_looks_is_nobodys(
    driver: Driver, pacer: Pacer, waiting: Callable[..., Waiting]
) -> None:
    inside, release = driver.hangs(0)
    ticks = driver.ticks(0)
    ticks.state.take_ns = 0
    wait = waiting(ticks)
    assert inside.wait(20)
    since = ctypes.c_int64.from_address(pacer.busy)
    since.value = 0  # as C does at the end of a tick, right after `turn`
    assert pacer.turn() == (-1, 0)
    release.set()
    wait.result()


def test_a_wait_that_was_cut_short_leaves_nobody_busy(
    driver: Driver, pacer: Pacer, waiting: Callable[..., Waiting]
) -> None:
    inside, release = driver.hangs(0)
    wait = waiting(driver.ticks(0))
    assert inside.wait(20)
    assert pacer.end_with(0)
    assert ctypes.c_int64.from_address(pacer.busy).value
    release.set()
    assert wait.result() is None
    assert not ctypes.c_int64.from_address(pacer.busy).value


def test_short_turns_are_asked_of_the_kernel(ticking_functions: Library) -> None:
    """What it does with that is its own; linux/sched/types.h has the layout."""
    if machine() not in _SCHED_GETATTR:
        pytest.skip(f"the number of sched_getattr on {machine()} is not known here")

    def slice_ns() -> int:
        told = ctypes.create_string_buffer(48)
        asked = ctypes.CDLL(None).syscall(_SCHED_GETATTR[machine()], 0, told, 48, 0)
        assert asked == 0
        return int.from_bytes(told.raw[24:32], "little")

    found: list[int] = []

    def ask() -> None:
        before_ns = slice_ns()
        assert ticking_functions.short_turns(200_000) == 0
        found.extend((before_ns, slice_ns()))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(20)
    before_ns, after_ns = found
    assert after_ns == (200_000 if before_ns else 0)  # 0: an older kernel, which tells none


def test_nobody_is_stuck_between_two_ticks(pacer: Pacer) -> None:
    assert pacer.turn()[0] == -1
    assert not pacer.end_with(0)
    assert not pacer.end_with(-1)


def test_a_library_of_another_layout_is_not_used(
    tmp_path: Path, ticking_functions: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiling.build(tmp_path)
    assert library(tmp_path) is not None
    monkeypatch.setattr(layout, "LAYOUT", layout.LAYOUT + 1)
    assert library(tmp_path) is None


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF nonsense"])
def test_without_a_library_that_loads_there_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / compiling.LIBRARY).write_bytes(content)
    assert library(tmp_path) is None


def test_no_compiler_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(compiling.NotCompiled, match="no C compiler"):
        compiling.build(tmp_path)


def test_a_compiler_that_refuses_leaves_the_old_library(
    tmp_path: Path, ticking_functions: Library
) -> None:
    target = compiling.build(tmp_path)
    before = target.read_bytes()
    with pytest.raises(compiling.NotCompiled, match="no-such-flag"):
        compiling.build(tmp_path, ("--no-such-flag",))
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_the_same_source_gives_the_same_library(tmp_path: Path, ticking_functions: Library) -> None:
    one, other = compiling.build(tmp_path / "a"), compiling.build(tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()
