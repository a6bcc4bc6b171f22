"""Solutions solve, inverses invert."""

import random

import pytest

from submeter.attribution.linear import (
    Lower,
    cholesky,
    gram,
    inverse,
    inverse_columns,
    mirrored,
    quadratic,
    solve,
    times,
    variances,
)


def positive(size: int, seed: int) -> Lower:
    rng = random.Random(seed)
    return gram([[rng.gauss(0, 1) for _ in range(size + 3)] for _ in range(size)])


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_a_solution_solves(size: int) -> None:
    matrix = positive(size, size)
    right = [float(i + 1) for i in range(size)]
    assert times(matrix, solve(matrix, right)) == pytest.approx(right)


@pytest.mark.parametrize("size", [1, 5, 12])
def test_an_inverse_inverts(size: int) -> None:
    matrix = positive(size, size)
    columns = inverse_columns(cholesky(matrix))
    full = inverse(columns)
    for i, row in enumerate(full):
        assert times(matrix, row) == pytest.approx([float(i == j) for j in range(size)], abs=1e-9)
    assert variances(columns) == pytest.approx([row[i] for i, row in enumerate(full)])


def test_a_lower_triangle_in_full() -> None:
    assert mirrored([[1.0], [2.0, 3.0]]) == [[1.0, 2.0], [2.0, 3.0]]


def test_quadratic_form() -> None:
    assert quadratic([[2.0], [1.0, 3.0]], [10.0, 1.0]) == 2 * 100 + 2 * 10 + 3


def test_a_direction_without_information_counts_for_nothing() -> None:
    factor = cholesky([[1.0], [1.0, 1.0]])
    assert factor[0] == [1.0]
    assert solve([[1.0], [1.0, 1.0]], [3.0, 3.0]) == pytest.approx([3.0, 0.0])
