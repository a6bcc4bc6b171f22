"""The trapezoid rule, exactly."""

from submeter.metering.integral import Integral
from submeter.units import NS_PER_S


def test_halves_of_a_microjoule_are_kept_until_they_make_a_whole() -> None:
    integral = Integral(NS_PER_S)
    assert integral.twice_pj == 0
    energies = []
    for at_ns in range(0, 5_000, 500):  # 1 W for 500 ns is half a microjoule
        integral.add(at_ns, 1_000)
        energies.append(integral.energy_uj)
    assert energies == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_points_too_far_apart_are_not_joined() -> None:
    integral = Integral(NS_PER_S)
    joined = [integral.add(at_ns, 1_000) for at_ns in (0, NS_PER_S, 2 * NS_PER_S + 1)]
    assert joined == [False, True, False]
    assert integral.energy_uj == 1_000_000


def test_after_a_parting_the_next_point_starts_anew() -> None:
    integral = Integral(NS_PER_S)
    integral.add(0, 1_000)
    integral.part()
    assert integral.add(1_000, 1_000) is False
    assert integral.energy_uj == 0
