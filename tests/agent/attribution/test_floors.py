"""Floors come from intervals that were quiet from before their start to after their end."""

from dataclasses import replace

import pytest

from submeter.attribution.floors import NEEDED, FloorLearner
from submeter.model import Activity, EnergySource, Floors, Interval, SuspectReason
from submeter.units import NS_PER_S, PJ_PER_UJ

IDLE_MW, HELD_MW = 70_000, 110_000


class Board:
    """A board in front of the learner, one second at a time."""

    def __init__(self) -> None:
        self.learner = FloorLearner()
        self.at_ns = 0

    def second(
        self,
        power_mw: int,
        held: bool | None,
        utilisation: int | None = 0,
        temperature_c: int | None = None,
        **changes: object,
    ) -> None:
        start_ns, self.at_ns = self.at_ns, self.at_ns + NS_PER_S
        energy_uj = power_mw * NS_PER_S // PJ_PER_UJ
        interval = Interval("GPU-1", 0, start_ns, self.at_ns, energy_uj, EnergySource.COUNTER)
        interval = replace(interval, **changes)  # type: ignore[arg-type]
        self.learner.observe(interval, held, temperature_c)
        self.learner.look(Activity(self.at_ns, utilisation))

    def seconds(self, count: int, power_mw: int, held: bool | None, **more: int | None) -> None:
        for _ in range(count):
            self.second(power_mw, held, **more)

    def floors(self, temperature_c: int | None = None) -> Floors:
        return self.learner.floors(temperature_c)


@pytest.fixture
def board() -> Board:
    return Board()


def test_nothing_is_known_before_enough_was_seen(board: Board) -> None:
    board.seconds(NEEDED, IDLE_MW, held=False)  # the first of them began before the first look
    assert board.floors() == Floors()
    board.second(IDLE_MW, held=False)
    assert board.floors() == Floors(idle_mw=IDLE_MW)


def test_floor_and_step_are_told_apart_by_who_holds_the_board(board: Board) -> None:
    board.seconds(20, IDLE_MW, held=False)
    board.seconds(20, HELD_MW, held=True)
    assert board.floors() == Floors(IDLE_MW, HELD_MW - IDLE_MW)


def test_without_a_time_unheld_both_are_the_floor(board: Board) -> None:
    board.seconds(20, HELD_MW, held=True)
    assert board.floors() == Floors(idle_mw=HELD_MW)


def test_work_teaches_nothing_nor_do_the_seconds_beside_it(board: Board) -> None:
    for _ in range(30):
        board.second(400_000, held=True, utilisation=90)
        board.second(250_000, held=True)  # quiet at its end only
        board.seconds(2, HELD_MW, held=True)
        board.second(300_000, held=True, utilisation=90)
    assert board.floors() == Floors(idle_mw=HELD_MW)


def test_one_glitch_down_does_not_stay(board: Board) -> None:
    board.seconds(3, IDLE_MW, held=False)
    board.second(1_000, held=False)
    board.seconds(20, IDLE_MW, held=False)
    assert board.floors().idle_mw == IDLE_MW


def test_a_lower_floor_is_forgotten_again(board: Board) -> None:
    board.seconds(300, IDLE_MW, held=False)
    board.seconds(300, IDLE_MW + 9_000, held=False)
    assert board.floors().idle_mw == IDLE_MW + 9_000


def test_a_warm_board_has_its_own_floor(board: Board) -> None:
    board.seconds(20, IDLE_MW, held=False, temperature_c=32)
    board.seconds(20, IDLE_MW + 6_000, held=False, temperature_c=71)
    assert board.floors(30).idle_mw == IDLE_MW
    assert board.floors(80).idle_mw == IDLE_MW + 6_000


@pytest.mark.parametrize(
    "odd",
    [
        {"suspect_uj": ((SuspectReason.JUMP, 1),)},
        {"resets": 1},
        {"stalls": 1},
        {"observed": False},
        {"start_ns": 0, "end_ns": 1_000_000},
    ],
)
def test_odd_intervals_teach_nothing(board: Board, odd: dict[str, object]) -> None:
    for _ in range(30):
        board.second(IDLE_MW, False, **odd)  # type: ignore[arg-type]
    assert board.floors() == Floors()


def test_half_a_second_is_the_least_that_teaches(board: Board) -> None:
    for length_ns in (NS_PER_S // 2 - 1, NS_PER_S // 2):
        assert board.floors() == Floors()
        for _ in range(30):
            start_ns = board.at_ns
            board.second(IDLE_MW // 2, False, end_ns=start_ns + length_ns)
    assert board.floors().idle_mw == pytest.approx(IDLE_MW, rel=1e-6)


def test_nothing_waits_for_a_driver_that_has_stopped_to_say(board: Board) -> None:
    board.seconds(5, IDLE_MW, held=False, utilisation=None)
    assert not board.learner._waiting


def test_unknown_holders_or_unknown_utilisation_teach_nothing(board: Board) -> None:
    board.seconds(30, IDLE_MW, held=None)
    board.seconds(30, IDLE_MW, held=False, utilisation=None)
    assert board.floors() == Floors()
