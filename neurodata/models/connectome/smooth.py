"""Loadings of rows that a penalty on second differences ties together: whole columns at once, then row by row."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from neurodata.kernels import ntf_nb as kernel

# Guesses of where a column is 0, and cycles through rows afterwards.
_GUESSES, _CYCLES = 5, 3


def update(
    target: np.ndarray,
    gram: np.ndarray,
    group: np.ndarray,
    rows: np.ndarray,
    smooth: np.ndarray,
    weights: tuple[float, float, float],
    sums: np.ndarray,
) -> None:
    """Lower the loss over the loadings of all rows, in place.

    Parameters
    ----------
    target : array (row, component or more)
        Products of the data with those of the columns.
    gram : array (class, component, component)
    group : array (row,)
    rows : array (row, component)
    smooth : array (row,), bool
        Rows about which a second difference is taken.
    weights : (smoothness, sparsity, ridge)
    sums : array (2,)
        The residual before, and the target, are added to it.
    """
    smoothness, sparsity, ridge = weights
    kernel.update_smooth_rows(target, gram, group, rows, smooth, smoothness, sparsity, ridge, 0, sums)
    bands = smoothness * second_difference_bands(smooth)
    for r in range(rows.shape[1]):
        own = gram[group, r]
        matrix = bands.copy()
        matrix[2] += own[:, r] + ridge
        right = target[:, r] - sparsity - (own * rows).sum(axis=1) + own[:, r] * rows[:, r]
        if (matrix[2] > 0).all():
            rows[:, r] = _lower(matrix, right, rows[:, r])
    kernel.update_smooth_rows(target, gram, group, rows, smooth, smoothness, sparsity, ridge, _CYCLES, np.zeros(2))


def second_difference_bands(smooth: np.ndarray) -> np.ndarray:
    """Upper bands (3, row) of ``D' D``, D the second differences about the rows of `smooth`.

    Examples
    --------
    >>> import numpy as np
    >>> second_difference_bands(np.array([False, True, False])).tolist()
    [[0.0, 0.0, 1.0], [0.0, -2.0, -2.0], [1.0, 4.0, 1.0]]
    """
    inside = smooth.astype(np.float64)
    bands = np.zeros((3, len(smooth)))
    bands[2] = 4.0 * inside
    bands[2, :-1] += inside[1:]
    bands[2, 1:] += inside[:-1]
    bands[1, 1:] = -2.0 * (inside[1:] + inside[:-1])
    bands[0, 2:] = inside[1:-1]
    return bands


def _lower(matrix: np.ndarray, right: np.ndarray, now: np.ndarray) -> np.ndarray:
    """A point of at least 0 that is no worse than `now` for ``x' A x / 2 - right' x``, A banded and positive.

    Where the minimum is 0 is guessed from the last guess's solution; the way to the last one is taken as far as it
    goes down.
    """
    fixed = np.zeros(len(right), dtype=bool)
    found = now
    for _ in range(_GUESSES):
        found = _solved(matrix, right, fixed)
        wrong = found < 0
        slope = _times(matrix, found) - right
        again = (fixed & (slope >= 0)) | wrong
        if (again == fixed).all():
            break
        fixed = again
    way = np.maximum(0.0, found) - now
    slope = _times(matrix, now) - right
    down, bend = -float(slope @ way), float(way @ _times(matrix, way))
    return now + min(1.0, down / bend) * way if down > 0 and bend > 0 else now


def _solved(matrix: np.ndarray, right: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The minimum with some entries fixed at 0."""
    free = ~fixed
    own = matrix.copy()
    own[2, fixed] = 1.0
    own[1, 1:] *= free[1:] & free[:-1]
    own[0, 2:] *= free[2:] & free[:-2]
    return solveh_banded(own, np.where(fixed, 0.0, right), overwrite_ab=True)


def _times(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A banded symmetric matrix times a vector."""
    out = matrix[2] * x
    out[1:] += matrix[1, 1:] * x[:-1]
    out[:-1] += matrix[1, 1:] * x[1:]
    out[2:] += matrix[0, 2:] * x[:-2]
    out[:-2] += matrix[0, 2:] * x[2:]
    return out
