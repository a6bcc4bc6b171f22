"""Seconds of shared use in (SM time by process, power), equations that noise does not bias out.

The driver's ring names one process per sample, so shares over a second are noisy by ±19 points,
and a plain regression of power on them is biased towards equal weights (errors in variables). But
power is exact: whatever is computed from power alone, or from *other* samples than those of this
second, knows nothing of this second's sampling noise. Such quantities are instruments (two-stage
least squares; the grouping of Wald 1940 is the part with the power levels):

* which of ≤ 8 equally filled bands the power of this second is in,
* the power of this second, of the one before and the one after; total SM time, which is exact too,
* the SM time of every process in the twelve seconds before and the twelve after.

So power steps are matched with those who came and went with them, however little one second's
samples say. The first stage's rest noise only pulls the weights towards the common slope.

A second tells the more the fewer worked in it: alone, a process leaves nothing to the ring's dice.
So seconds count by the noise that the ring's dice make in them, 1 − Σ h² with h the shares of the
three seconds before and the three after (its own would favour seconds in which the ring missed
somebody). Not by how much was used: the edge of a burst has little noise, and little meaning, since
SM time and power are matched to the second.
"""

import math
from collections import deque
from operator import mul
from typing import Final, NamedTuple

from submeter.attribution.bands import Band, Bands
from submeter.attribution.linear import (
    Lower,
    Vector,
    add_products,
    cholesky,
    dot,
    forward,
    gram,
    mirrored,
    quadratic,
    solve,
    times,
)
from submeter.attribution.steps import Steps

WINDOW: Final = 12
"""Seconds before and after that stand in for a process's SM time in this second: so many spans at
least, where one is longer."""
_MOST_SPANS: Final = 24
HALF_LIFE: Final = 7_200
"""After so many seconds of sharing what was seen counts half."""
SAMPLES_PER_S: Final = 7.2
"""The driver's ring: 72 samples in 10 s (NVIDIA's open kernel modules, GPUMON)."""

_FIXED: Final = 5  # 1, power now, before and after, total SM time
_TOTAL: Final = 4
_NEAR: Final = (-3, -2, -1, 1, 2, 3)
_LEAST_NOISE: Final = 0.03  # of the mean: a second alone counts so many times as much, not for all
_ROUNDING: Final = 1e-9
_VISIBLE: Final = 0.01  # of the common slope: sampling noise that shows
_BANDS: Final = 8
_BAND_SECONDS: Final = 100
_RIDGE: Final = 1e-3
_FLAT: Final = 1e-6  # of the mean square of SM times: so little tells nothing
_AT_ONCE: Final = 16
_BLOCK: Final = 32  # spans
_LEAST_SLOPE: Final = 1e-3  # W: a board that draws nothing when used tells nothing


def spans(seconds: float) -> int:
    """How many of that length stand in for one on either side."""
    return min(_MOST_SPANS, max(WINDOW, round(WINDOW / seconds)))


class Second(NamedTuple):
    """SM time by column as shares of a span of time, dynamic power, and its length."""

    x: Vector
    watts: float
    seconds: float


class Normal(NamedTuple):
    """matrix · β ≈ right, and how noisy that is; nothing in it changes any more."""

    matrix: Lower
    right: Vector
    slope: float  # common watts per unit of SM time above the floor
    exact: bool  # shares without sampling noise: plain least squares
    instruments: int
    sampling: list[Vector]  # covariance of one second's SM times through the ring, in full
    square: float  # mean square of power
    seconds: float
    explained: float = 0.0  # of the power's squares, by the instruments

    def noise(self, beta: Vector) -> float:
        """Variance of Σ β·x in one second through the ring's sampling (multinomial)."""
        return max(0.0, dot(beta, [dot(row, beta) for row in self.sampling]))

    def unexplained(self, beta: Vector) -> float:
        """Mean square of power − Σ β·x, by least squares."""
        return max(0.0, self.square + self._left(beta) / self.seconds)

    def disagreement(self) -> float:
        """Variance of one second's power − Σ β·x as the instruments show it, with the weights that
        suit them best: what they tell more of than there are weights (Sargan 1958). As large as
        the ring's noise where no process's power departs from its SM time."""
        spare = self.instruments - 1 - len(self.right)  # the floor's own tells nothing
        return max(0.0, self.explained + self._left(self.best())) / spare if spare > 0 else 0.0

    def best(self) -> Vector:
        """Least squares; equal weights where nothing tells them apart."""
        columns = len(self.right)
        ridge = _FLAT * sum(row[-1] for row in self.matrix) / columns
        matrix = [[*row[:-1], row[-1] + ridge] for row in self.matrix]
        centre = [0.0] + [self.slope] * (columns - 1)
        left = [y - x for y, x in zip(self.right, times(self.matrix, centre), strict=True)]
        return [c + value for c, value in zip(centre, solve(matrix, left), strict=True)]

    def _left(self, beta: Vector) -> float:
        return quadratic(self.matrix, beta) - 2 * dot(self.right, beta)


class Moments:
    """Sums over seconds, recent ones counting more. Column 0 is the floor, which is always there;
    the others are processes."""

    def __init__(self) -> None:
        self.columns = 0
        self.exact = False  # whether SM times are known to be free of sampling noise
        self._reach = WINDOW
        self._recent: deque[Second] = deque()
        self._window: Vector = []  # Σ x over the seconds in `_recent`
        self._weight = 1.0
        self._mass = 0.0  # of seconds, whatever they tell
        self._squares = 0.0
        self._samples = 0.0
        self._watts = 0.0  # Σ power
        self._used: Vector = []  # Σ x
        self._spread = 0.0  # Σ of what the ring's noise is taken to be
        self._told = 0.0  # mass by what seconds tell, as are all sums below
        self._zz: Lower = [[0.0] * (i + 1) for i in range(_FIXED)]
        self._xz: list[Vector] = []  # by column of x
        self._zy: Vector = [0.0] * _FIXED
        self._xx: Lower = []
        self._xy: Vector = []
        self._yy = 0.0
        self._noise: Vector = []  # Σ total SM time · x
        self._bands = Bands()
        self._counted: list[Band] = []  # … but these aren't in them yet
        self.add_column()

    def add_column(self) -> None:
        """One more process; it did nothing so far."""
        self._flush()
        self.columns += 1
        for second in self._recent:
            second.x.append(0.0)
        self._window.append(0.0)
        for row in self._xz:
            row.append(0.0)
        self._zz.append([0.0] * (_FIXED + self.columns))
        self._xz.append([0.0] * (_FIXED + self.columns))
        self._zy.append(0.0)
        self._xx.append([0.0] * self.columns)
        self._xy.append(0.0)
        self._noise.append(0.0)
        self._used.append(0.0)
        self._bands.add_column()

    def drop_column(self, column: int, beta: float) -> None:
        """Forgets a process; what it drew, as far as known, is taken off the power."""
        self._flush()
        z = _FIXED + column
        self.columns -= 1
        away = self._xz.pop(column)
        self._zy = [y - beta * x for y, x in zip(self._zy, away, strict=True)]
        for row in (self._zy, *self._xz):
            del row[z]
        del self._zz[z]
        for line in self._zz[z:]:
            del line[z]
        mixed = [*self._xx[column], *(row[column] for row in self._xx[column + 1 :])]
        self._yy += beta * (beta * mixed[column] - 2 * self._xy[column])
        self._xy = [y - beta * x for y, x in zip(self._xy, mixed, strict=True)]
        self._watts -= beta * self._used.pop(column)
        del self._xy[column], self._xx[column], self._window[column], self._noise[column]
        for line in self._xx[column:]:
            del line[column]
        for second in self._recent:
            del second.x[column]
        self._bands.drop_column(z, column, beta)

    def observe(self, x: Vector, watts: float, seconds: float = 1.0) -> None:
        """The next span of so many seconds, by column; counted as soon as the twelve seconds after
        it are there, too."""
        reach = spans(seconds)
        if reach != self._reach:
            self._reach = reach
            self.interrupt()
        self._recent.append(Second(x, watts, seconds))
        self._window = [a + b for a, b in zip(self._window, x, strict=True)]
        if len(self._recent) > 2 * reach:
            self._count(reach)
            gone = self._recent.popleft()
            self._window = [a - b for a, b in zip(self._window, gone.x, strict=True)]

    def interrupt(self) -> None:
        """The next second doesn't follow the last one."""
        self._recent.clear()
        self._window = [0.0] * self.columns

    @property
    def seconds(self) -> float:
        """How many spans without forgetting would tell as much."""
        return self._mass * self._mass / self._squares if self._mass else 0.0

    @property
    def watts(self) -> float:
        """Mean power."""
        return self._watts / self._mass if self._mass else 0.0

    def normal(self, floor_watts: float) -> Steps[Normal | None]:
        """The equations for the weights; None while there is nothing. All that is still counted
        is read in the first step."""
        self._flush()
        used = sum(self._used[1:])
        if used <= 0:
            return None
        slope = max(self._watts - floor_watts * self._mass, 0.01 * self._watts, 0.0) / used
        if slope < _LEAST_SLOPE:
            return None
        scale = self._mass / self._squares
        matrix = [[value * scale for value in row] for row in self._xx]
        right = [value * scale for value in self._xy]
        square = self._yy / self._mass
        plain = Normal(matrix, right, slope, True, 0, self._sampling(), square, self.seconds)
        if self.exact or _is_exact(plain):
            return plain
        stages = self._stages()
        yield
        matrix, right, explained = yield from _projected(stages)
        return plain._replace(
            matrix=matrix,
            right=right,
            exact=False,
            instruments=len(stages.zz),
            explained=explained,
        )

    def _sampling(self) -> list[Vector]:
        """Covariance of one second's SM times through the ring (multinomial), in full."""
        scale = 1 / (self._samples - self._mass)
        lower = [[-scale * value for value in row] for row in self._xx]
        for i, row in enumerate(lower):
            row[0] = 0.0  # the floor is no sample
            row[i] += scale * self._noise[i] if i else 0.0
        return mirrored(lower)

    def _count(self, at: int) -> None:
        x, watts, seconds = self._recent[at]
        total = sum(x) - x[0]
        before, after = self._recent[at - 1].watts, self._recent[at + 1].watts
        z = [1.0, watts, before, after, total]
        z += [around - now for around, now in zip(self._window, x, strict=True)]
        z[_FIXED] = 0.0  # the floor around says nothing
        self._weight *= 2.0 ** (seconds / HALF_LIFE)
        weight = self._weight
        if weight > 1e6:
            self._renormalise()
            weight = self._weight
        self._mass += weight
        self._squares += weight * weight
        self._samples += weight * seconds * SAMPLES_PER_S
        self._watts += weight * watts
        self._used = [known + weight * value for known, value in zip(self._used, x, strict=True)]
        weight *= self._telling(at)
        self._told += weight
        part = Band(weight, z, list(x), watts)
        self._bands.add(part)
        self._counted.append(part)
        if len(self._counted) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        """Adds up the seconds counted since: many at once cost a tenth of one by one."""
        block = self._counted
        if not block:
            return
        weights = [second.mass for second in block]
        z = list(zip(*[second.z for second in block], strict=True))
        x = list(zip(*[second.x for second in block], strict=True))
        watts = [second.watts for second in block]
        totals = z[_TOTAL]
        weighted = [list(map(mul, column, weights)) for column in x]
        add_products(self._xz, weighted, z)
        add_products(self._xx, weighted, x)
        self._xy = [a + dot(b, watts) for a, b in zip(self._xy, weighted, strict=True)]
        self._noise = [a + dot(b, totals) for a, b in zip(self._noise, weighted, strict=True)]
        weighted = [list(map(mul, column, weights)) for column in z]
        add_products(self._zz, weighted, z)
        self._zy = [a + dot(b, watts) for a, b in zip(self._zy, weighted, strict=True)]
        self._yy += dot(list(map(mul, watts, watts)), weights)
        block.clear()

    def _telling(self, at: int) -> float:
        """How much the span in the middle tells, about 1 on average."""
        if self.exact:
            return 1.0
        shares = list(map(sum, zip(*[self._recent[at + i].x for i in _NEAR], strict=True)))
        around = sum(shares) - shares[0]
        squares = dot(shares, shares) - shares[0] * shares[0]
        mixed = 1 - squares / (around * around) if around > 0 else 0.0
        spread = mixed if mixed > _ROUNDING else 0.0
        self._spread += self._weight * spread
        mean = self._spread / self._mass
        return mean / (spread + _LEAST_NOISE * mean) if mean > 0 else 1.0

    def _renormalise(self) -> None:
        self._flush()
        by = 1 / self._weight
        self._weight = 1.0
        self._mass *= by
        self._squares *= by * by
        self._samples *= by
        self._watts *= by
        self._spread *= by
        self._told *= by
        self._yy *= by
        self._used = [value * by for value in self._used]
        for rows in (self._zz, self._xz, self._xx):
            rows[:] = [[value * by for value in row] for row in rows]
        self._zy = [value * by for value in self._zy]
        self._xy = [value * by for value in self._xy]
        self._noise = [value * by for value in self._noise]
        self._bands.scale(by)

    def _stages(self) -> "_Stages":
        """What the instruments say of the SM times and of the power; scaled so that rounding
        doesn't matter."""
        count = min(_BANDS, max(3, int(self.seconds / _BAND_SECONDS)))
        bands = self._bands.wide(count, self._told)
        zz: Lower = [row[1:] for row in self._zz[1:]]  # the bands make a constant superfluous
        for number, band in enumerate(bands):
            zz.append([*band.z[1:], *([0.0] * number), band.mass])
        scales = [max(row[-1], 1e-30) ** -0.5 for row in zz]
        for i, row in enumerate(zz):
            scale = scales[i]
            zz[i] = [value * scale * other for value, other in zip(row, scales, strict=False)]
            zz[i][i] = 1 + _RIDGE
        root = math.sqrt(self._mass / self._squares)
        scales = [scale * root for scale in scales]
        columns = [[*known[1:], *(band.x[i] for band in bands)] for i, known in enumerate(self._xz)]
        columns.append([*self._zy[1:], *(band.watts for band in bands)])
        return _Stages(zz, [list(map(mul, column, scales)) for column in columns])


class _Stages(NamedTuple):
    """Both stages: instruments by instruments, instruments by SM times and, last, by power."""

    zz: Lower
    columns: list[Vector]


def _projected(stages: _Stages) -> Steps[tuple[Lower, Vector, float]]:
    """Second-stage equations, and what of the power's squares the instruments explain."""
    factor = cholesky(stages.zz)
    yield
    halves = []
    for column in stages.columns:
        halves.append(forward(factor, column))
        if len(halves) % _AT_ONCE == 0:
            yield
    power = halves.pop()
    return gram(halves), [dot(half, power) for half in halves], dot(power, power)


def _is_exact(plain: Normal) -> bool:
    """Least squares leaves far less than the ring's sampling would: so it isn't sampled."""
    beta = plain.best()
    expected = plain.noise(beta)  # of equal weights none: those can't tell
    told = expected > (_VISIBLE * plain.slope) ** 2
    return told and plain.unexplained(beta) < 0.3 * expected
