"""Which pieces are wanted: stretches are half open, and edges are crossed by none."""

import pytest

from submeter.ledger.pieces import Piece, Wanted
from submeter.ledger.records import Gpu, Series
from submeter.model import Account, Component, Method, Owner, Phase

GPU = Gpu(1, "GPU-1", "nvml")
WANTED = Wanted(100, 200, (100, 150, 200))


def piece(start_s: int, end_s: int) -> Piece:
    return Piece(GPU, start_s, end_s, ())


@pytest.mark.parametrize(
    ("start_s", "wanted"), [(99, False), (100, True), (199, True), (200, False)]
)
def test_a_stretch_has_its_beginning_and_not_its_end(start_s: int, wanted: bool) -> None:
    assert WANTED.has(start_s) is wanted


@pytest.mark.parametrize(
    ("start_s", "end_s", "touched"),
    [(90, 100, False), (90, 101, True), (199, 300, True), (200, 210, False), (0, 999, True)],
)
def test_what_overlaps_a_stretch_touches_it(start_s: int, end_s: int, touched: bool) -> None:
    assert WANTED.touches(piece(start_s, end_s)) is touched


@pytest.mark.parametrize(
    ("start_s", "end_s", "contained"),
    [
        *((100, 150, True), (150, 200, True), (110, 120, True)),  # up to an edge
        *((149, 151, False), (100, 151, False), (190, 201, False)),  # across one
        *((90, 110, False), (200, 210, False)),
    ],
)
def test_a_piece_is_between_two_neighbouring_edges_or_not(
    start_s: int, end_s: int, contained: bool
) -> None:
    assert WANTED.contains(piece(start_s, end_s)) is contained


@pytest.mark.parametrize(
    ("edges", "between"),
    [
        ((), True),
        ((3_600, 4_500, 7_200), True),  # on its quarters
        ((4_501,), False),
        ((4_500, 5_000), False),
        ((3_600, 7_200), True),
        ((3_601,), False),
        ((7_199,), False),
        ((10, 3_599, 7_201), True),  # outside of it, wherever
    ],
)
def test_an_hour_is_cut_between_its_quarters_or_not(edges: tuple[int, ...], between: bool) -> None:
    assert Wanted(0, 99_999, edges).cuts(piece(3_600, 7_200), 900) is between


def test_the_energy_of_a_piece_is_that_of_all_its_series() -> None:
    account = Account("GPU-1", "", Component.DYNAMIC, Owner(Phase.TRAINING))
    series = Series(1, 1, account, Method.EXCLUSIVE)
    assert Piece(GPU, 0, 10, ((series, 5), (series, -2))).sum_uj == 3
