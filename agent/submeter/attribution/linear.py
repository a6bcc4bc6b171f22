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
        for j in range(i):
            other = factor[j]
            line.append((row[j] - dot(other[:j], line)) / other[j])
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


def forward_rows(factor: Lower, right: Sequence[Vector]) -> list[Vector]:
    """L⁻¹ · right, for as many columns as the rows of ``right`` have."""
    result: list[Vector] = []
    for line, row in zip(factor, right, strict=True):
        left = list(row)
        for scale, known in zip(line, result, strict=False):
            if scale:
                left = [value - scale * other for value, other in zip(left, known, strict=True)]
        inverse = 1 / line[-1]
        result.append([value * inverse for value in left])
    return result


def backward(factor: Lower, right: Sequence[float]) -> Vector:
    """Solves Lᵀ · result = right."""
    result = list(right)
    for i in range(len(factor) - 1, -1, -1):
        result[i] /= factor[i][-1]
        scale = result[i]
        line = factor[i]
        result[:i] = [value - scale * other for value, other in zip(result, line[:i], strict=False)]
    return result


def solve(matrix: Lower, right: Sequence[float]) -> Vector:
    """matrix⁻¹ · right."""
    factor = cholesky(matrix)
    return backward(factor, forward(factor, right))


def inverse(matrix: Lower) -> list[Vector]:
    """The full inverse of a symmetric positive matrix."""
    size = len(matrix)
    unit = [[float(i == j) for j in range(size)] for i in range(size)]
    half = forward_rows(cholesky(matrix), unit)
    columns = [list(column) for column in zip(*half, strict=True)]
    return [[dot(a, b) for b in columns] for a in columns]


def gram(rows: Sequence[Vector], size: int) -> Lower:
    """Σ over rows of row·rowᵀ."""
    result: Lower = [[0.0] * (i + 1) for i in range(size)]
    for row in rows:
        add_outer(result, row, row, 1.0)
    return result


def add_outer(to: list[Vector], a: Sequence[float], b: Sequence[float], weight: float) -> None:
    """Adds weight · a·bᵀ; rows of a lower triangle take what fits into them."""
    for i, value in enumerate(a):
        if value:
            scale = weight * value
            to[i] = [known + scale * other for known, other in zip(to[i], b, strict=False)]


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
