"""Solutions solve, inverses invert."""

import random

import pytest

from submeter.attribution.linear import (
    Lower,
    add_products,
    cholesky,
    dot,
    forward,
    gram,
    inverse,
    inverse_columns,
    mirrored,
    quadratic,
    solve,
    times,
    upward,
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


def test_a_product_with_a_vector_is_that_with_the_whole_matrix() -> None:
    matrix = [[2.0], [3.0, 5.0], [7.0, 11.0, 13.0]]
    vector = [1.0, 10.0, 100.0]
    assert times(matrix, vector) == [732.0, 1153.0, 1417.0]
    assert quadratic(matrix, vector) == 732.0 + 11_530.0 + 141_700.0
    assert mirrored(matrix) == [[2.0, 3.0, 7.0], [3.0, 5.0, 11.0], [7.0, 11.0, 13.0]]


def test_a_factor_and_what_it_solves() -> None:
    factor = cholesky([[4.0], [2.0, 10.0], [6.0, 0.0, 35.0]])
    assert factor == [[2.0], [1.0, 3.0], [3.0, -1.0, 5.0]]
    half = forward(factor, [2.0, 7.0, 11.0])
    assert half == [1.0, 2.0, 2.0]
    columns = inverse_columns(factor)
    # L⁻¹ by columns, and Lᵀ·x = half
    assert columns[2] == [0.2]
    assert columns[1] == pytest.approx([1 / 3, 1 / 15])
    assert columns[0] == pytest.approx([0.5, -1 / 6, -1 / 3])
    assert upward(columns, half) == pytest.approx([-0.5, 0.8, 0.4])
    assert solve([[4.0], [2.0, 10.0], [6.0, 0.0, 35.0]], [2.0, 7.0, 11.0]) == pytest.approx(
        [-0.5, 0.8, 0.4]
    )


def test_products_are_added_where_there_is_room_for_them() -> None:
    full = [[1.0, 1.0], [1.0, 1.0]]
    add_products(full, [[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]])
    assert full == [[1.0 + 11.0, 1.0 + 17.0], [1.0, 1.0]]
    lower = [[0.0], [0.0, 0.0]]
    add_products(lower, [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]])
    assert lower == gram([[1.0, 2.0], [3.0, 4.0]]) == [[5.0], [11.0, 25.0]]


def test_what_is_longer_is_ignored() -> None:
    assert dot([1.0, 2.0, 3.0], [10.0, 20.0]) == 50.0


@pytest.mark.parametrize(("pivot", "lost"), [(1 + 1e-11, False), (1 + 1e-13, True)])
def test_a_pivot_that_is_rounding_is_lost(pivot: float, lost: bool) -> None:
    assert (cholesky([[1.0], [1.0, pivot]])[1][1] == float("inf")) is lost
