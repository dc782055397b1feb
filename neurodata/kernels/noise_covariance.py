"""Covariance of residuals over channels, shrunk; sums over rows in blocks, no products of rows kept."""

from __future__ import annotations

import numpy as np

# Values in a block of rows: 16 MB.
BLOCK_VALUES = 2**21


def moments(residuals: np.ndarray) -> np.ndarray:
    """``x' x`` (channel, channel) of residuals (observation, channel).

    Examples
    --------
    >>> moments(np.array([[1.0, 2.0], [0.0, 1.0]])).tolist()
    [[1.0, 2.0], [2.0, 5.0]]
    """
    n, p = residuals.shape
    rows = max(p, BLOCK_VALUES // max(p, 1), 1)
    total = np.zeros((p, p))
    for start in range(0, n, rows):
        block = residuals[start : start + rows]
        total += block.T @ block
    return total


def fourth_moments(residuals: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """``sum_npq w_p w_q x_np^2 x_nq^2`` and its part with p = q.

    The sum over all pairs of channels is one of squares, ``sum_n (sum_p w_p x_np^2)^2``: the shrinkage needs no second
    matrix of channels by channels.

    Examples
    --------
    >>> fourth_moments(np.array([[1.0, 2.0]]), np.ones(2))
    (25.0, 17.0)
    """
    n, p = residuals.shape
    rows = max(BLOCK_VALUES // max(p, 1), 1)
    everything = same = 0.0
    for start in range(0, n, rows):
        square = residuals[start : start + rows] ** 2
        if not (weight == 1.0).all():
            square *= weight
        size = square.sum(axis=1)
        everything += float(size @ size)
        same += float(np.vdot(square, square))
    return everything, same


def covariance(residuals: np.ndarray, dof: float, method: str) -> tuple[np.ndarray, float]:
    r"""Covariance (channel, channel) and the weight of the target.

    Parameters
    ----------
    residuals : float64 array (observation, channel)
        Their means are already off.
    dof : float
        Degrees of freedom.
    method : {"full", "diagonal", "shrinkage-identity", "shrinkage-diagonal"}

    Examples
    --------
    >>> covariance(np.array([[1.0, 0.0], [-1.0, 0.0]]), 1.0, "full")[0].tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    n, p = residuals.shape
    if method == "diagonal":
        return np.diag(np.einsum("np,np->p", residuals, residuals) / dof), 1.0
    total = moments(residuals)
    if method == "full":
        return total / dof, 0.0
    if method == "shrinkage-identity":
        return _to_identity(residuals, total, n, p, dof)
    return _to_diagonal(residuals, total, n, p, dof)


def _to_identity(residuals: np.ndarray, total: np.ndarray, n: int, p: int, dof: float) -> tuple[np.ndarray, float]:
    shrunk = total / n
    size = float(np.vdot(shrunk, shrunk))
    level = float(np.trace(shrunk)) / p
    spread = max(size - p * level**2, 0.0)
    noise = (fourth_moments(residuals, np.ones(p))[0] / n - size) / n
    share = min(noise / spread, 1.0) if spread > 0 else 1.0
    shrunk *= (1.0 - share) * n / dof
    shrunk[np.arange(p), np.arange(p)] += share * level * n / dof
    return shrunk, share


def _to_diagonal(residuals: np.ndarray, total: np.ndarray, n: int, p: int, dof: float) -> tuple[np.ndarray, float]:
    variance = np.diag(total) / dof
    everything, same = fourth_moments(residuals, 1.0 / variance)
    spread = 1.0 / np.sqrt(variance)
    squared = (total * spread[:, None] * spread / (n - 1)) ** 2
    off = float(squared.sum() - np.trace(squared))
    noise = n / dof**2 * ((everything - same) / (n - 1) - off)
    share = float(np.clip(noise / off, 0.0, 1.0)) if off > 0 else float(p > 1)
    shrunk = total * ((1.0 - share) / dof)
    shrunk[np.arange(p), np.arange(p)] = variance
    return shrunk, share
