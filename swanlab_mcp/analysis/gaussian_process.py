"""Gaussian process regression in pure Python, for at most a few hundred examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

__all__ = ["Regression", "predict"]


class Regression(NamedTuple):
    """The prediction for a new example, and the leave-one-out predictions for the known examples.

    `deviation` and `deviations` are the predicted standard deviations, in the units of the targets.
    """

    value: float
    deviation: float
    left_out: list[float]
    deviations: list[float]


def predict(kernel: Sequence[Sequence[float]], targets: Sequence[float], noise: float) -> Regression:
    """Predict the target of the last row of a kernel matrix from the targets of the other rows.

    `kernel` has one row more than there are targets, and `noise` is added to its diagonal. The leave-one-out
    predictions are computed from the inverse matrix (Rasmussen and Williams, Gaussian Processes for Machine Learning,
    section 5.4.2).
    """
    count = len(targets)
    matrix = [list(kernel[row][:count]) for row in range(count)]
    for row in range(count):
        matrix[row][row] += noise
    inverse = _invert(matrix)
    weights = [_dot(row, targets) for row in inverse]
    new = kernel[count][:count]
    explained = sum(value * _dot(row, new) for value, row in zip(new, inverse, strict=True))
    variances = [1 / inverse[row][row] for row in range(count)]
    return Regression(
        _dot(new, weights),
        math.sqrt(max(kernel[count][count] + noise - explained, noise * 1e-6)),
        [target - weight * variance for target, weight, variance in zip(targets, weights, variances, strict=True)],
        [math.sqrt(variance) for variance in variances],
    )


def _invert(matrix: list[list[float]]) -> list[list[float]]:
    """Invert a symmetric positive definite matrix by Cholesky decomposition."""
    count = len(matrix)
    factor: list[list[float]] = []
    for row in range(count):
        line: list[float] = []
        for column in range(row):
            line.append((matrix[row][column] - _dot(line, factor[column])) / factor[column][column])
        line.append(math.sqrt(max(matrix[row][row] - _dot(line, line), 1e-12)))
        factor.append(line)
    # the columns of the factor's inverse, each starting at its first nonzero entry
    columns: list[list[float]] = []
    for start in range(count):
        column = [1 / factor[start][start]]
        for row in range(start + 1, count):
            column.append(-_dot(column, factor[row][start:]) / factor[row][row])
        columns.append(column)
    inverse = [[0.0] * count for _ in range(count)]
    for row in range(count):
        for column in range(row + 1):
            inverse[row][column] = inverse[column][row] = _dot(columns[row], columns[column][row - column :])
    return inverse


def _dot(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(map(mul, first, second))
