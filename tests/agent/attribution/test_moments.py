"""The equations, against their description written out in full over all seconds."""

import math
import random
from collections.abc import Sequence

import pytest

from submeter.attribution.bands import Band, Bands
from submeter.attribution.moments import HALF_LIFE, SAMPLES_PER_S, WINDOW, Moments, Normal, spans
from submeter.attribution.steps import finished

Vector = list[float]
PROCESSES = 3
WATTS = (150.0, 300.0, 600.0)


def seconds(count: int, seed: int = 1) -> list[tuple[Vector, float]]:
    """SM times by column, the floor's first, and power that is not quite what they explain."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        used = [dice.choice((0.0, 0.1, 0.4)) * dice.random() for _ in range(PROCESSES)]
        power = 60.0 + sum(w * x for w, x in zip(WATTS, used, strict=True))
        found.append(([1.0, *used], power + dice.gauss(0, 60)))
    return found


def watched(history: list[tuple[Vector, float]], *, exact: bool) -> Moments:
    moments = Moments()
    moments.exact = exact
    for _ in range(PROCESSES):
        moments.add_column()
    for x, watts in history:
        moments.observe(list(x), watts)
    return moments


@pytest.mark.parametrize(
    ("seconds_each", "count"), [(1.0, 12), (0.75, 16), (0.5, 24), (0.3, 24), (2.0, 12)]
)
def test_twelve_seconds_on_either_side_or_as_many_spans_stand_in_for_one(
    seconds_each: float, count: int
) -> None:
    assert spans(seconds_each) == count


def test_few_spans_wait_to_be_added_up() -> None:
    """Each takes as much memory as all that is known of a process."""
    waiting = [len(watched(seconds(count), exact=False)._counted) for count in (100, 131, 400)]
    assert max(waiting) < 32


def weights(history: list[tuple[Vector, float]]) -> list[tuple[float, int]]:
    """Of the seconds that have twelve before and twelve after them: weight and place."""
    places = range(WINDOW, len(history) - WINDOW)
    growth = 2 ** (1 / HALF_LIFE)
    return [(growth ** (number + 1), at) for number, at in enumerate(places)]


def told(history: list[tuple[Vector, float]]) -> list[float]:
    """How much each of them tells: by 1 − Σ h² of the three seconds before and the three after."""
    mass = spread = 0.0
    found = []
    for weight, at in weights(history):
        around = [*range(at - 3, at), *range(at + 1, at + 4)]
        shares = [sum(history[i][0][c] for i in around) for c in range(1, PROCESSES + 1)]
        total = sum(shares)
        mixed = 1 - sum((share / total) ** 2 for share in shares) if total else 0.0
        mass += weight
        spread += weight * mixed
        mean = spread / mass
        found.append(mean / (mixed + 0.03 * mean) if mean else 1.0)
    return found


def products(
    terms: Sequence[tuple[float, Sequence[float], Sequence[float]]],
) -> list[Vector]:
    """Σ weight · a · bᵀ."""
    _, a, b = terms[0]
    found = [[0.0] * len(b) for _ in a]
    for weight, left, right in terms:
        for i, one in enumerate(left):
            for j, other in enumerate(right):
                found[i][j] += weight * one * other
    return found


def solved(matrix: list[Vector], right: Vector) -> Vector:
    """By elimination."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        best = max(range(i, len(rows)), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for k in range(len(rows)):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def lower(normal: Normal) -> list[Vector]:
    size = len(normal.right)
    return [[normal.matrix[max(i, j)][min(i, j)] for j in range(size)] for i in range(size)]


@pytest.mark.parametrize("exact", [True, False])
def test_sums_are_over_all_seconds_recent_ones_counting_more(exact: bool) -> None:
    history = seconds(90)
    moments = watched(history, exact=exact)
    of = weights(history)
    mass, squares = sum(w for w, _ in of), sum(w * w for w, _ in of)
    assert moments.seconds == pytest.approx(mass * mass / squares)
    assert moments.watts == pytest.approx(sum(w * history[at][1] for w, at in of) / mass)
    normal = finished(moments.normal(40.0))
    assert normal is not None
    used = sum(w * sum(history[at][0][1:]) for w, at in of)
    assert normal.slope == pytest.approx((moments.watts - 40.0) * mass / used)
    factors = [1.0] * len(of) if exact else told(history)
    telling = [(w * f, at) for (w, at), f in zip(of, factors, strict=True)]
    square = sum(w * history[at][1] ** 2 for w, at in telling) / mass
    assert normal.square == pytest.approx(square)
    assert normal.seconds == pytest.approx(moments.seconds)
    # the ring: multinomial, of 7.2 samples a second
    samples = SAMPLES_PER_S * mass - mass
    xx = products([(w, history[at][0], history[at][0]) for w, at in telling])
    for i in range(1, PROCESSES + 1):
        own = sum(w * sum(history[at][0][1:]) * history[at][0][i] for w, at in telling)
        for j in range(1, PROCESSES + 1):
            expected = ((own if i == j else 0.0) - xx[i][j]) / samples
            assert normal.sampling[i][j] == pytest.approx(expected)
        assert normal.sampling[i][0] == normal.sampling[0][i] == 0.0
    assert normal.exact is exact
    if exact:
        scale = mass / squares
        for row, plain in zip(lower(normal), xx, strict=True):
            assert row == pytest.approx([scale * value for value in plain])
        xy = products([(w, history[at][0], [history[at][1]]) for w, at in telling])
        assert normal.right == pytest.approx([scale * value for (value,) in xy])


def test_sampled_shares_are_what_the_instruments_say_of_them() -> None:
    """Two-stage least squares over the seconds, by the definition: XᵀZ·(ZᵀZ)⁻¹·ZᵀX."""
    history = seconds(260, seed=5)
    normal = finished(watched(history, exact=False).normal(40.0))
    assert normal is not None
    assert not normal.exact
    of = [(w * f, at) for (w, at), f in zip(weights(history), told(history), strict=True)]
    plain = weights(history)
    mass, squares = sum(w for w, _ in plain), sum(w * w for w, _ in plain)
    bands = Bands()
    for weight, at in of:
        bands.add(Band(weight, [], [], history[at][1]))
    wide = bands.wide(3, sum(w for w, _ in of))  # a band a hundred seconds, at least three
    tops = sorted({int(history[at][1] / 0.125) for _, at in of})
    edges, place = [], 0
    for band in wide:  # which fine bands are in it, by their mass
        left = band.mass
        while place < len(tops) and left > 1e-9:
            left -= sum(w for w, at in of if int(history[at][1] / 0.125) == tops[place])
            place += 1
        edges.append(tops[place - 1])
    z = []
    for _, at in of:
        around = [*range(at - WINDOW, at), *range(at + 1, at + WINDOW + 1)]
        power = int(history[at][1] / 0.125)
        which = next(number for number, top in enumerate(edges) if power <= top)
        z.append(
            [
                *(history[at][1], history[at - 1][1], history[at + 1][1]),
                sum(history[at][0][1:]),
                *(sum(history[i][0][c] for i in around) for c in range(1, PROCESSES + 1)),
                *(float(number == which) for number in range(len(edges))),
            ]
        )
    x = [[*history[at][0], history[at][1]] for _, at in of]
    masses = [w for w, _ in of]
    zz = products(list(zip(masses, z, z, strict=True)))
    scales = [zz[i][i] ** -0.5 for i in range(len(zz))]
    for i, row in enumerate(zz):
        zz[i] = [value * scales[i] * scale for value, scale in zip(row, scales, strict=True)]
        zz[i][i] += 1e-3
    xz = products(list(zip(masses, x, z, strict=True)))
    xz = [[value * scale for value, scale in zip(row, scales, strict=True)] for row in xz]
    projected = [solved(zz, row) for row in xz]
    factor = mass / squares
    for i, row in enumerate(lower(normal)):
        expected = [factor * math.fsum(map(float.__mul__, projected[i], xz[j])) for j in range(4)]
        assert row == pytest.approx(expected, rel=1e-6)
    right = [factor * math.fsum(map(float.__mul__, projected[i], xz[-1])) for i in range(4)]
    assert normal.right == pytest.approx(right, rel=1e-6)
    explained = factor * math.fsum(map(float.__mul__, solved(zz, xz[-1]), xz[-1]))
    assert normal.explained == pytest.approx(explained, rel=1e-6)
    assert normal.instruments == len(scales) + 1  # the floor's own, which says nothing


def test_nothing_is_said_of_nothing() -> None:
    assert Moments().seconds == Moments().watts == 0.0
    assert finished(Moments().normal(0.0)) is None
    idle = watched([([1.0, 0.0, 0.0, 0.0], 100.0)] * 60, exact=True)
    assert finished(idle.normal(0.0)) is None
    dead = watched([([1.0, 0.5, 0.0, 0.0], 0.0)] * 60, exact=True)
    assert finished(dead.normal(0.0)) is None
    # power below its floor: what is left to share is a hundredth of it
    low = finished(watched([([1.0, 0.5, 0.0, 0.0], 100.0)] * 60, exact=True).normal(500.0))
    assert low is not None
    assert low.slope == pytest.approx(1.0 / 0.5)


def test_a_second_counts_once_there_are_twelve_on_either_side() -> None:
    for count, counted in ((24, 0), (25, 1), (26, 2)):
        moments = watched(seconds(count), exact=True)
        assert moments.seconds == pytest.approx(counted, abs=1e-6)
    moments = watched(seconds(40), exact=True)
    moments.interrupt()
    for x, watts in seconds(24):
        moments.observe(list(x), watts)
    assert moments.seconds == pytest.approx(16, abs=1e-3)


def test_noise_and_what_is_left_unexplained_are_their_formulas() -> None:
    normal = Normal(
        matrix=[[2.0], [1.0, 3.0]],
        right=[5.0, 7.0],
        slope=1.0,
        exact=False,
        instruments=0,
        sampling=[[1.0, 0.5], [0.5, 2.0]],
        square=100.0,
        seconds=4.0,
    )
    assert normal.noise([2.0, 3.0]) == 4 * 1 + 2 * 6 * 0.5 + 9 * 2
    # mean (y − βx)² = y² − 2·β·b + βᵀAβ, b and A being sums over so many seconds
    assert normal.unexplained([2.0, 3.0]) == 100 + (8 + 12 + 27 - 2 * (10 + 21)) / 4
    assert normal._replace(square=0.0).unexplained([2.0, 3.0]) == 0.0
    assert normal._replace(sampling=[[-1.0, 0.0], [0.0, 0.0]]).noise([1.0, 1.0]) == 0.0


def test_instruments_disagree_by_what_they_tell_more_of_than_there_are_weights() -> None:
    """yᵀPy − bᵀA⁻¹b, by what is to spare: 11 instruments, of which one tells nothing, 2 weights."""
    normal = Normal(
        matrix=[[2.0], [1.0, 3.0]],
        right=[5.0, 7.0],
        slope=1.0,
        exact=False,
        instruments=11,
        sampling=[[1.0, 0.5], [0.5, 2.0]],
        square=100.0,
        seconds=4.0,
        explained=30.0,
    )
    at_best = (5 * 8 + 7 * 9) / 5  # β = (1.6, 1.8)
    assert normal.best() == pytest.approx([8 / 5, 9 / 5], rel=1e-5)
    assert normal.disagreement() == pytest.approx((30.0 - at_best) / 8, rel=1e-5)
    assert normal._replace(explained=at_best - 1).disagreement() == 0.0
    assert normal._replace(instruments=3).disagreement() == 0.0


def stepping(seed: int, depart: float) -> Normal:
    """Two processes by turns with steps of their own, within which power departs from SM time."""
    dice = random.Random(seed)
    moments = Moments()
    moments.add_column()
    moments.add_column()
    for second in range(1_500):
        works = [float(second // 7 % 2), float(dice.random() < 0.6)]
        busy = sum(works) or 1.0
        seen = [0.0, 0.0]
        for _ in range(7):
            (one,) = dice.choices((0, 1), works) if any(works) else (0,)
            seen[one] += works[one] / 7
        swing = dice.choice((1.0, 1.0, 1.0, 1.0 - 3 * depart)) + 0.5 * depart
        watts = (300 * works[0] * swing + 100 * works[1]) / busy
        moments.observe([1.0, *seen], watts)
    normal = finished(moments.normal(0.0))
    assert normal is not None
    assert not normal.exact
    return normal


def test_power_that_departs_from_sm_time_within_a_step_shows_in_the_instruments() -> None:
    true = [0.0, 300.0, 100.0]
    for seed in range(3):
        steady, departing = stepping(seed, 0.0), stepping(seed, 0.1)
        assert steady.disagreement() < 2 * steady.noise(true)
        assert departing.disagreement() > 20 * departing.noise(true)


def test_who_has_gone_takes_what_he_drew_with_him() -> None:
    """The same as if he had never been there, and his power neither."""
    history = seconds(70)
    left = [([*x[:2], *x[3:]], watts - 250.0 * x[2]) for x, watts in history]
    with_him = watched(history, exact=True)
    with_him.drop_column(2, 250.0)
    without = Moments()
    without.exact = True
    for _ in range(PROCESSES - 1):
        without.add_column()
    for x, watts in left:
        without.observe(list(x), watts)
    one, other = finished(with_him.normal(9.0)), finished(without.normal(9.0))
    assert one is not None
    assert other is not None
    assert one.right == pytest.approx(other.right)
    assert one.square == pytest.approx(other.square)
    assert one.slope == pytest.approx(other.slope)
    for row, same in zip(one.matrix, other.matrix, strict=True):
        assert row == pytest.approx(same)


class TestBands:
    """Sums by power."""

    def band(self, watts: float, mass: float = 1.0) -> Band:
        return Band(mass, [2.0, 3.0], [1.0, 5.0], watts)

    def test_what_is_alike_to_an_eighth_of_a_watt_is_one(self) -> None:
        bands = Bands()
        for watts in (100.0, 100.12, 100.125, 100.24, 50.0):
            bands.add(self.band(watts, 2.0))
        wide = bands.wide(100, 10.0)
        assert [(band.mass, band.watts) for band in wide] == [
            (2.0, 100.0),
            (4.0, pytest.approx(2 * 200.12)),
            (4.0, pytest.approx(2 * 200.365)),
        ]
        assert wide[1].z == [8.0, 12.0]
        assert wide[1].x == [4.0, 20.0]

    def test_wide_ones_are_closed_when_they_have_their_part(self) -> None:
        bands = Bands()
        for watts in range(10):
            bands.add(self.band(float(watts)))
        for count, masses in ((5, [2.0] * 5), (3, [4.0, 4.0, 2.0]), (1, [10.0]), (10, [1.0] * 10)):
            assert [band.mass for band in bands.wide(count, 10.0)] == masses
        assert [band.watts for band in bands.wide(5, 10.0)] == [1.0, 5.0, 9.0, 13.0, 17.0]

    def test_too_many_are_joined_in_pairs(self) -> None:
        bands = Bands()
        for number in range(97):
            bands.add(self.band(number * 0.125 + 0.01))
        wide = bands.wide(1_000, 97.0)
        assert [band.mass for band in wide] == [2.0] * 48 + [1.0]
        bands.add(self.band(0.249))
        assert bands.wide(1_000, 97.0)[0].mass == 3.0

    def test_columns_come_and_go_with_what_they_drew(self) -> None:
        bands = Bands()
        bands.add(self.band(100.0, 2.0))
        bands.add_column()
        (band,) = bands.wide(1, 2.0)
        assert (band.z, band.x) == ([4.0, 6.0, 0.0], [2.0, 10.0, 0.0])
        bands.drop_column(0, 1, 7.0)
        (band,) = bands.wide(1, 2.0)
        assert (band.z, band.x, band.watts) == ([6.0, 0.0], [2.0, 0.0], 200.0 - 70.0)
        bands.scale(0.5)
        (band,) = bands.wide(1, 2.0)
        assert (band.mass, band.z, band.x, band.watts) == (1.0, [3.0, 0.0], [1.0, 0.0], 65.0)
        # what is taken for a sum is a copy
        band.z[0] = 99.0
        assert bands.wide(1, 2.0)[0].z[0] == 3.0
