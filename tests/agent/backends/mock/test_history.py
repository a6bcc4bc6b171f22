"""Energy between any two recent moments is exact, however long the history."""

from hypothesis import given
from hypothesis import strategies as st

from submeter.backends.mock.board import _part
from submeter.backends.mock.history import HORIZON_NS, History
from submeter.backends.mock.plan import PPM
from submeter.units import NS_PER_MS

STEP_NS = 10 * NS_PER_MS


@given(st.integers(0, 6000), st.integers(0, HORIZON_NS), st.integers(1, 999))
def test_the_whole_horizon_is_kept(rows: int, back_ns: int, watts: int) -> None:
    history = History(idle_mw=7)
    for row in range(rows):
        history.begin(row * STEP_NS, row % watts, 0, ())
    at_ns = max(0, rows - 1) * STEP_NS - back_ns
    whole = max(0, min(rows, at_ns // STEP_NS))
    expected_pj = sum(row % watts for row in range(whole)) * STEP_NS
    if at_ns < 0:
        expected_pj = at_ns * 7
    elif rows:
        expected_pj += whole % watts * (at_ns - whole * STEP_NS)
    else:
        expected_pj = at_ns * 7
    assert history.energy_pj(at_ns) == expected_pj


def test_busy_time_and_who_worked() -> None:
    history = History(idle_mw=0)
    history.begin(0, 0, PPM // 2, ((1, PPM // 2),))
    history.begin(100, 0, PPM, ((1, PPM // 4), (2, 3 * PPM // 4)))
    history.begin(200, 0, 0, ())
    assert history.busy_ppm(0, 200) == 3 * PPM // 4
    assert history.busy_ppm(150, 250) == PPM // 2
    assert list(history.worked(90, 300)) == [
        (1, 10 * PPM // 2),
        (1, 100 * PPM // 4),
        (2, 300 * PPM // 4),
    ]
    assert list(history.worked(210, 300)) == []


@given(st.integers(0, 10**18), st.integers(1, 64), st.integers(0, 1000))
def test_equal_parts_add_up_and_never_shrink(total: int, count: int, more: int) -> None:
    parts = [_part(total, rank, count) for rank in range(count)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1
    assert all(_part(total + more, rank, count) >= part for rank, part in enumerate(parts))
