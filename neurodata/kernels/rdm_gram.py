"""Dissimilarities of patterns from inner products, in batches: Gram matrices first, distances from them.

Patterns are arrays (..., condition, channel), or sums over the observations of each run (..., run, condition, channel);
leading axes are a batch (times, searchlights). Nothing may be NaN here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import dtrmm

# A pattern varies by rounding error only below this share of its length.
_CONSTANT = 1e-13


def from_gram(gram: np.ndarray) -> np.ndarray:
    """Squared distances ``g_ii + g_jj - 2 g_ij``; `gram` (..., condition, condition), symmetric, is overwritten.

    Examples
    --------
    >>> from_gram(np.array([[1.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    size = np.diagonal(gram, axis1=-2, axis2=-1).copy()
    gram *= -2.0
    gram += size[..., :, None] + size[..., None, :]
    fill_diagonal(gram, 0.0)
    return gram


def fill_diagonal(matrix: np.ndarray, value: float) -> None:
    """Set the diagonals of (..., n, n)."""
    index = np.arange(matrix.shape[-1])
    matrix[..., index, index] = value


def product(patterns: np.ndarray) -> np.ndarray:
    """``x x'`` of each set of patterns; NumPy computes one triangle only."""
    return patterns @ np.swapaxes(patterns, -1, -2)


def euclidean(patterns: np.ndarray, overwrite: bool = False) -> np.ndarray:
    """Squared distances (..., condition, condition), not divided by the number of channels.

    The mean pattern is taken off first (in place with `overwrite`): distances do not change, and their rounding errors
    shrink.

    Examples
    --------
    >>> euclidean(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    centred = np.subtract(patterns, patterns.mean(axis=-2, keepdims=True), out=patterns if overwrite else None)
    distance = from_gram(product(centred))
    return np.maximum(distance, 0.0, out=distance)


def cosine(patterns: np.ndarray, centre: bool = False) -> np.ndarray:
    """One minus the cosine; with `centre` one minus the correlation. NaN for patterns that are zero (constant).

    Examples
    --------
    >>> cosine(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])).tolist()
    [[0.0, 1.0, nan], [1.0, 0.0, nan], [nan, nan, nan]]
    """
    if centre:
        bound = _CONSTANT * np.sqrt(np.einsum("...cp,...cp->...c", patterns, patterns))
        unit = patterns - patterns.mean(axis=-1, keepdims=True)
    else:
        bound, unit = np.zeros(patterns.shape[:-1]), patterns
    size = np.sqrt(np.einsum("...cp,...cp->...c", unit, unit))
    defined = size > bound
    size[~defined] = np.nan
    unit = np.divide(unit, size[..., None], out=unit if centre else None)
    distance = product(unit)
    np.subtract(1.0, distance, out=distance)
    np.maximum(distance, 0.0, out=distance)
    fill_diagonal(distance, 0.0)
    if not defined.all():
        distance[~(defined[..., :, None] & defined[..., None, :])] = np.nan
    return distance


def crossed(
    sums: np.ndarray, counts: np.ndarray, whiten: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    r"""Cross-validated squared distances from all pairs of observations of different runs, in closed form.

    With :math:`S_{im}` the sum of the :math:`n_{im}` observations of condition i in run m and :math:`S_i`, :math:`n_i`
    their sums over runs,

    .. math:: K_{ij} = \frac{S_i' S_j - \sum_m S_{im}' S_{jm}}{n_i n_j - \sum_m n_{im} n_{jm}}, \qquad
        d_{ij} = K_{ii} + K_{jj} - 2 K_{ij}.

    Parameters
    ----------
    sums : array (..., run, condition, channel)
    counts : array (run, condition)
    whiten : callable, optional
        Applied to patterns (..., channel), which it may overwrite.

    Returns
    -------
    array (..., condition, condition)
        NaN where two conditions, or one of them with itself, have no pair of observations in different runs.

    Examples
    --------
    >>> crossed(np.array([[[0.0], [1.0]], [[0.0], [3.0]]]), np.ones((2, 2))).tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    leading = sums.shape[:-3]
    # A common pattern of each run cancels in balanced data, and with it most of the rounding error.
    balanced = (counts == counts.flat[0]).all()
    if sums[..., 0, 0, 0].size == 1:
        run, values = -3, sums.reshape(sums.shape[-3:])
        values = values - (values.mean(axis=-2, keepdims=True) if balanced else 0.0)
    else:
        # Many small sets: runs side by side along the channels, so that one product per set sums over them.
        run, values = -2, np.array(np.swapaxes(sums, -3, -2), order="C")
        if balanced:
            values -= values.mean(axis=-3, keepdims=True)
    if whiten is not None:
        values = whiten(values)
    # einsum adds short stretches faster than sum does.
    gram = product(np.einsum("...crp->...cp", values) if run == -2 else values.sum(axis=run))
    if run == -2:
        gram -= product(values.reshape(*values.shape[:-2], -1))
    else:
        for one in values:
            gram -= product(one)
    total = counts.sum(axis=0)
    pairs = np.multiply.outer(total, total) - counts.T @ counts
    gram *= np.divide(1.0, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)
    return from_gram(gram).reshape(*leading, *pairs.shape)


def crossed_by_run(runs: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Cross-validated distances where each run has its noise: mean over pairs of runs, whitened by their mean noise.

    Parameters
    ----------
    runs : array (..., run, condition, channel)
    covariances : array (run, channel, channel)

    Returns
    -------
    array (..., condition, condition)
    """
    runs = runs - runs.mean(axis=-2, keepdims=True)
    n = runs.shape[-3]
    gram = np.zeros((*runs.shape[:-3], runs.shape[-2], runs.shape[-2]))
    for a in range(n):
        for b in range(a + 1, n):
            precision = np.linalg.inv((covariances[a] + covariances[b]) / 2.0)
            gram += (runs[..., a, :, :] @ precision) @ np.swapaxes(runs[..., b, :, :], -1, -2)
    gram += np.swapaxes(gram, -1, -2).copy()
    return from_gram(gram / (n * (n - 1)))


def poisson(rates: np.ndarray) -> np.ndarray:
    """Symmetrised Kullback-Leibler divergence of Poisson rates, summed over channels; rates above 0.

    Examples
    --------
    >>> poisson(np.array([[1.0], [np.e]])).round(6).tolist()
    [[0.0, 1.718282], [1.718282, 0.0]]
    """
    return poisson_crossed(rates, rates)


def poisson_crossed(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """``sum (a_i - a_j) (log b_i - log b_j)`` for rates a of the training runs and b of the test run."""
    train = train - train.mean(axis=-2, keepdims=True)
    logs = np.log(test)
    logs -= logs.mean(axis=-2, keepdims=True)
    gram = train @ np.swapaxes(logs, -1, -2)
    gram += np.swapaxes(gram, -1, -2).copy()
    gram *= 0.5
    return from_gram(gram)


def whitened(patterns: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """``x L`` for patterns (..., channel) and a lower triangle L, at half the cost of a full product.

    The patterns may be overwritten.

    Examples
    --------
    >>> whitened(np.array([[1.0, 1.0]]), np.array([[2.0, 0.0], [1.0, 3.0]])).tolist()
    [[3.0, 3.0]]
    """
    flat = np.ascontiguousarray(patterns, dtype=np.float64).reshape(-1, patterns.shape[-1])
    # Fortran sees transposed arrays: (x L)' = L' x'.
    return dtrmm(1.0, np.ascontiguousarray(factor).T, flat.T, side=0, lower=0, overwrite_b=1).T.reshape(patterns.shape)
