"""What a twin has to look like, read from a recording: rates, shared and private fluctuation of each unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodata.validate._pieces import Pieces
from neurodata.validate.statistics import PerUnit

# Correlation times of the shared drives, s. The last is a start; it is fitted.
SCALES = {"fast": 0.010, "middle": 0.100, "slow": 2.0}
# Shared drives of each scale, at most.
MOST_FACTORS = {"fast": 4, "middle": 4, "slow": 8}
# Log-rate fluctuation is bounded: a unit that fires in bursts alone would otherwise ask for any.
MOST_LOG_SD = 1.5


class Shared(NamedTuple):
    """Loadings (unit, factor) of the log rate on the shared drives of one time scale."""

    loading: np.ndarray


def window_share(width: float, tau: float) -> float:
    """Variance of an Ornstein-Uhlenbeck process of unit variance averaged over `width`.

    Examples
    --------
    >>> round(window_share(1e-6, 1.0), 3), round(window_share(100.0, 1.0), 3)
    (1.0, 0.02)
    """
    x = width / tau
    return float(2.0 * (x - 1.0 + np.exp(-x)) / x**2) if x > 1e-4 else 1.0


def shared_loadings(pieces: Pieces, unit: PerUnit, slow_tau: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Loadings of each unit's log rate on shared drives of several time scales, {scale: (unit, factor)}.

    The covariance of two units' counts, over the product of their means, is that of their relative rates. Its growth
    with the width of the bins tells the time scales apart (a linear system, one equation per width); each scale's
    matrix is then factorised, with the units that were not correlated getting loadings drawn from those that were.
    """
    widths = {name: pieces.windows.multiple[name] * pieces.windows.base for name in unit.covariance}
    n_units = unit.rate.size
    scales = dict(list({**SCALES, "slow": slow_tau}.items())[len(SCALES) - len(widths) :])
    out = {}
    rows = unit.paired
    mean = {name: unit.rate[rows] * width for name, width in widths.items()}
    relative = np.array([unit.covariance[name] / np.outer(mean[name], mean[name]) for name in widths])
    share = np.array([[window_share(width, tau) for tau in scales.values()] for width in widths.values()])
    parts = np.einsum("sw,wij->sij", np.linalg.inv(share), relative)
    seconds = pieces.binned.sum()
    weight = np.sqrt(unit.rate[rows])
    for scale, part in zip(scales, parts, strict=True):
        scaled = part * np.outer(weight, weight)
        # Sampling error of an entry, from the widths that go into it: the counts are close to Poisson.
        row = np.linalg.inv(share)[list(scales).index(scale)]
        noise = np.sqrt(sum((a / np.sqrt(width)) ** 2 for a, width in zip(row, widths.values(), strict=True)) / seconds)
        factors = _factorise(scaled, noise, MOST_FACTORS[scale])
        loading = _bounded(factors / weight[:, None])
        # The sign of a factor means nothing; this one makes a common addition raise the mean correlation.
        loading *= np.where(loading.mean(axis=0) < 0, -1.0, 1.0)
        whole = np.empty((n_units, loading.shape[1]))
        whole[rows] = loading
        others = np.setdiff1d(np.arange(n_units), rows)
        if others.size and rows.size:
            whole[others] = loading[rng.integers(rows.size, size=others.size)]
        out[scale] = whole
    return out


def _bounded(loading: np.ndarray) -> np.ndarray:
    length = np.sqrt((loading**2).sum(axis=1, keepdims=True))
    return loading * np.minimum(1.0, MOST_LOG_SD / np.maximum(length, 1e-12))


def _factorise(matrix: np.ndarray, noise: float, most: int) -> np.ndarray:
    """Loadings (row, factor) whose products give the entries off the diagonal, which itself is unknown.

    Principal axes with the diagonal filled in by what the factors say, repeated; factors whose eigenvalue noise alone
    would give (Wigner's edge, 2 sd sqrt(n)) are left out, but the first one is always kept.
    """
    n = len(matrix)
    matrix = np.nan_to_num((matrix + matrix.T) / 2)
    if n < 3:
        shared = float(matrix[0, 1])
        return np.full((n, 1), np.sqrt(max(shared, 0.0)))
    edge = 2.0 * noise * np.sqrt(n)
    filled = matrix - np.diag(np.diag(matrix))
    loading = np.zeros((n, 1))
    for _ in range(30):
        values, vectors = np.linalg.eigh(filled)
        values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
        kept = values > edge
        kept[0] = True
        loading = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))
        np.fill_diagonal(filled, (loading**2).sum(axis=1))
    return loading


def private_sd(pieces: Pieces, unit: PerUnit, shared: dict[str, np.ndarray], scales: dict[str, float]) -> np.ndarray:
    """Standard deviation of each unit's own slow log rate, from the Fano factor in the widest bins.

    Of what the Fano factor is above 1, the shared drives explain a part; the rest is private.
    """
    name = list(unit.fano)[-1]
    width = pieces.windows.multiple[name] * pieces.windows.base
    excess = (unit.fano[name] - 1.0) / (unit.rate * width)
    explained = sum((loading**2).sum(axis=1) * window_share(width, scales[scale]) for scale, loading in shared.items())
    variance = np.clip(np.where(np.isfinite(excess), excess, np.nan) - explained, 0.0, MOST_LOG_SD**2)
    typical = np.nanmedian(variance) if np.isfinite(variance).any() else 0.0
    return np.sqrt(np.where(np.isfinite(variance), variance, typical))
