"""Symmetric positive matrices in, solutions out: what a regression on few regressors needs.

Plain lists: the agent has no array library, and for at most some sixty unknowns once a minute it
needs none. A symmetric matrix is the list of its lower rows: row i has i + 1 entries.
"""

import math
from collections.abc import Sequence
from operator import mul
from typing import TypeAlias

Vector: TypeAlias = list[float]
Lower: TypeAlias = list[Vector]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Σ a·b; the longer one's rest is ignored."""
    result: float = sum(map(mul, a, b))
    return result


def cholesky(matrix: Lower) -> Lower:
    """L with L·Lᵀ = ``matrix``. A pivot lost to rounding makes its direction count for nothing."""
    factor: Lower = []
    for i, row in enumerate(matrix):
        line: Vector = []
        for value, other in zip(row[:i], factor, strict=True):
            line.append((value - dot(other, line)) / other[-1])
        pivot = row[i] - dot(line, line)
        line.append(math.sqrt(pivot) if pivot > 1e-12 * row[i] else math.inf)
        factor.append(line)
    return factor


def forward(factor: Lower, right: Sequence[float]) -> Vector:
    """L⁻¹ · right."""
    result: Vector = []
    for line, value in zip(factor, right, strict=True):
        result.append((value - dot(line, result)) / line[-1])
    return result


def solve(matrix: Lower, right: Sequence[float]) -> Vector:
    """matrix⁻¹ · right."""
    factor = cholesky(matrix)
    return upward(inverse_columns(factor), forward(factor, right))


def inverse_columns(factor: Lower) -> list[Vector]:
    """The columns of L⁻¹ from the diagonal down."""
    columns: list[Vector] = []
    for j, pivot in enumerate(factor):
        column = [1 / pivot[-1]]
        for line in factor[j + 1 :]:
            column.append(-dot(line[j:], column) / line[-1])
        columns.append(column)
    return columns


def upward(columns: Sequence[Vector], half: Sequence[float]) -> Vector:
    """L⁻ᵀ · half, by the columns of L⁻¹."""
    return [dot(column, half[j:]) for j, column in enumerate(columns)]


def variances(columns: Sequence[Vector]) -> Vector:
    """The diagonal of (L·Lᵀ)⁻¹, by the columns of L⁻¹."""
    return [dot(column, column) for column in columns]


def inverse(columns: Sequence[Vector]) -> list[Vector]:
    """(L·Lᵀ)⁻¹ in full, by the columns of L⁻¹."""
    return mirrored(
        [
            [dot(column, other[i - j :]) for j, other in enumerate(columns[: i + 1])]
            for i, column in enumerate(columns)
        ]
    )


def mirrored(matrix: Lower) -> list[Vector]:
    """A symmetric matrix in full."""
    return [[*row, *(other[i] for other in matrix[i + 1 :])] for i, row in enumerate(matrix)]


def gram(columns: Sequence[Sequence[float]]) -> Lower:
    """Every column times every one."""
    return [[dot(a, b) for b in columns[: i + 1]] for i, a in enumerate(columns)]


def add_products(
    to: list[Vector], a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]
) -> None:
    """Adds every column of ``a`` times every one of ``b``; rows of a lower triangle take what fits
    into them."""
    for i, column in enumerate(a):
        if any(column):
            row = zip(to[i], b, strict=False)
            to[i] = [known + sum(map(mul, column, other)) for known, other in row]


def quadratic(matrix: Lower, vector: Sequence[float]) -> float:
    """vectorᵀ · matrix · vector."""
    total = 0.0
    for i, row in enumerate(matrix):
        total += vector[i] * (2 * dot(row[:i], vector) + row[i] * vector[i])
    return total


def times(matrix: Lower, vector: Sequence[float]) -> Vector:
    """matrix · vector."""
    result = [dot(row, vector) for row in matrix]
    for i, row in enumerate(matrix):
        scale = vector[i]
        for j in range(i):
            result[j] += row[j] * scale
    return result
