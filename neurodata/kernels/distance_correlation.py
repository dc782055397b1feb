"""Distance correlation of stacks of distance matrices with each other, also of permuted ones."""

from __future__ import annotations

import numpy as np


def double_centred(matrices: np.ndarray) -> np.ndarray:
    """Matrices (k, n, n) without their row, column and overall means, scaled to length 1; 0 for constant ones.

    Examples
    --------
    >>> double_centred(np.array([[[0.0, 2.0], [2.0, 0.0]]]))[0].tolist()
    [[-0.5, 0.5], [0.5, -0.5]]
    """
    rows = matrices.mean(axis=2, keepdims=True)
    out = matrices - rows - np.swapaxes(rows, 1, 2) + rows.mean(axis=1, keepdims=True)
    size = np.sqrt(np.einsum("kij,kij->k", out, out))
    raw = np.sqrt(np.einsum("kij,kij->k", matrices, matrices))
    # Rounding error is all that is left of a matrix without structure.
    defined = size > 1e-13 * raw
    return out * np.divide(1.0, size, out=np.zeros_like(size), where=defined)[:, None, None]


def correlations(first: np.ndarray, second: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Distance correlations (permutation, k, l) of centred matrices (k, n, n) and (l, n, n), the second permuted.

    Centring and permuting commute, so the second stack is centred once.

    Parameters
    ----------
    order : int array (permutation, n)
    """
    n = first.shape[1]
    flat = first.reshape(first.shape[0], n * n)
    out = np.empty((order.shape[0], first.shape[0], second.shape[0]))
    for p, rows in enumerate(order):
        shuffled = second[:, rows[:, None], rows].reshape(second.shape[0], n * n)
        out[p] = flat @ shuffled.T
    # dCor is the root of the scaled covariance, which rounding can leave just below 0.
    return np.sqrt(np.maximum(out, 0.0, out=out), out=out)
