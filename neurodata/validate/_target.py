"""What a twin has to look like, read from a recording: rates, shared and private fluctuation of each unit."""

from __future__ import annotations

import numpy as np

from neurodata.validate._pieces import Pieces
from neurodata.validate.statistics import PerUnit

# Correlation times of the shared drives, s. The last is a start; it is fitted.
SCALES = {"fast": 0.010, "middle": 0.100, "slow": 2.0}
# Shared drives of each scale, at most.
MOST_FACTORS = {"fast": 4, "middle": 4, "slow": 8}
# Relative variance of a unit's rate, at most: a unit that fires in bursts alone would otherwise ask for any.
MOST_VARIANCE = 30.0


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
        loading = _factorise(scaled, noise, MOST_FACTORS[scale], weight) / weight[:, None]
        # The sign of a factor means nothing; this one makes a common addition raise the mean correlation.
        loading *= np.where(loading.mean(axis=0) < 0, -1.0, 1.0)
        whole = np.empty((n_units, loading.shape[1]))
        whole[rows] = loading
        others = np.setdiff1d(np.arange(n_units), rows)
        if others.size and rows.size:
            whole[others] = loading[rng.integers(rows.size, size=others.size)]
        out[scale] = whole
    return out


def _factorise(matrix: np.ndarray, noise: float, most: int, weight: np.ndarray) -> np.ndarray:
    """Loadings (row, factor) whose products give the entries off the diagonal, which itself is unknown.

    Principal axes with the diagonal filled in by what the factors say, repeated; factors whose eigenvalue noise alone
    would give (Wigner's edge, 2 sd sqrt(n)) are left out. What they leave of the mean entry, however weak, is given to
    one more factor along `weight` (the same relative rate in all units). The factor with the largest mean comes first.
    """
    n = len(matrix)
    matrix = np.nan_to_num((matrix + matrix.T) / 2)
    pairs = np.triu_indices(n, 1)
    edge = 2.0 * noise * np.sqrt(n)
    filled = matrix.copy()
    np.fill_diagonal(filled, 0.0)
    loading = np.zeros((n, 0))
    for _ in range(30 if n > 2 else 0):
        values, vectors = np.linalg.eigh(filled)
        values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
        kept = values > edge
        loading = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))
        np.fill_diagonal(filled, (loading**2).sum(axis=1))
    rest = (matrix - loading @ loading.T)[pairs].mean() / np.outer(weight, weight)[pairs].mean()
    factors = np.concatenate((weight[:, None] * np.sqrt(max(0.0, rest)), loading), axis=1)
    return factors[:, np.argsort(-np.abs(factors.mean(axis=0)), kind="stable")]


def private_sd(pieces: Pieces, unit: PerUnit, shared: dict[str, np.ndarray], scales: dict[str, float]) -> np.ndarray:
    """Standard deviation of each unit's own slow log rate, from the Fano factor in the widest bins.

    Of what the Fano factor is above 1, the shared drives explain a part; the rest is private.
    """
    name = list(unit.fano)[-1]
    width = pieces.windows.multiple[name] * pieces.windows.base
    excess = (unit.fano[name] - 1.0) / (unit.rate * width)
    explained = sum((loading**2).sum(axis=1) * window_share(width, scales[scale]) for scale, loading in shared.items())
    variance = np.clip(excess - explained, 0.0, MOST_VARIANCE)
    typical = np.nanmedian(variance) if np.isfinite(variance).any() else 0.0
    return np.sqrt(np.where(np.isfinite(variance), variance, typical))


def as_log_rates(shared: dict[str, np.ndarray], private: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Loadings and private fluctuation of relative rates as those of log rates: a log-normal rate has the relative
    variance exp(v) - 1 where its log has v.
    """
    total = private**2 + sum((loading**2).sum(axis=1) for loading in shared.values())
    total = np.maximum(total, 1e-12)
    factor = np.sqrt(np.log1p(np.minimum(total, MOST_VARIANCE)) / total)
    return {scale: loading * factor[:, None] for scale, loading in shared.items()}, private * factor
