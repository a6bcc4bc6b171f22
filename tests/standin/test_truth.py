"""The closed forms themselves, compared with arithmetic by hand."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.standin.standin import Truth

LOADS = (
    "load 0 constant mw=1000 from=0.5 to=1e6",
    "load 0 constant mw=200000 from=-50 to=-20 pid=7",
    "load 0 square low_mw=10000 high_mw=300000 period_ms=170 duty=0.3 phase_ms=20 from=-60 pid=8",
    "load 0 ramp from_mw=0 to_mw=100000 from=-70 to=1000",
    "load 0 sine mean_mw=50000 amplitude_mw=40000 period_ms=333 from=-3",
    "process 0 pid=7 from=-50 to=-20",
    "process 0 pid=8 from=-30 to=1e6",
)


@given(start=st.floats(-100, 100), lengths=st.lists(st.floats(0.001, 50), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_truth_is_additive(
    read_truth: "Callable[[str], Truth]", start: float, lengths: list[float]
) -> None:
    truth = read_truth("\n".join(("gpu 0 idle_mw=50000 context_mw=30000", *LOADS)))
    moments = [start]
    for length in lengths:
        moments.append(moments[-1] + length)
    parts = [truth.energy_uj(0, a, b) for a, b in pairwise(moments)]
    assert abs(sum(parts) - truth.energy_uj(0, start, moments[-1])) <= len(parts)
    assert all(part > 0 for part in parts)


def test_truth_against_a_sum_over_small_steps(read_truth: "Callable[[str], Truth]") -> None:
    """Half a square's period high, a ramp to its end, a union of two lives: done by hand."""
    truth = read_truth(
        "gpu 3 idle_mw=10000 context_mw=5000\n"
        "load 3 square low_mw=0 high_mw=100000 period_ms=1000 duty=0.25 from=0 to=10 pid=1\n"
        "load 3 ramp from_mw=0 to_mw=40000 from=2 to=4 pid=2\n"
        "load 3 sine mean_mw=1000 amplitude_mw=1000 period_ms=500 from=0 to=1\n"
        "process 3 pid=1 from=1 to=3\nprocess 3 pid=2 from=2 to=5\n"
    )
    assert truth.process_uj(3, 1, 0, 10) == 250_000_000
    assert truth.process_uj(3, 1, 0.125, 0.5) == 12_500_000
    assert truth.process_uj(3, 2, 2, 3) == 10_000_000
    assert truth.process_uj(3, 2, 0, 100) == 40_000_000
    other = 10_000_000 * 10 + 5_000_000 * 4 + 1_000_000
    assert truth.energy_uj(3, 0, 10) == 250_000_000 + 40_000_000 + other
