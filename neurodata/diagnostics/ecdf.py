"""Are ranks uniform? The difference of their ECDF from the diagonal, with a band that holds at all points at once."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, chi2

from neurodata.errors import OptionError


class Band(NamedTuple):
    """Where the ECDF of uniform values stays, at all points together.

    Attributes
    ----------
    lower, upper : array (value,)
        Fewest and most of the values at or below each possible value.
    pointwise : float
        Probability outside, in both tails together, that the band allows at a single point.
    coverage : float
        Exact probability that all points are inside; at least what was asked for.
    """

    lower: np.ndarray
    upper: np.ndarray
    pointwise: float
    coverage: float


def ecdf_difference(ranks: np.ndarray, n_values: int) -> np.ndarray:
    """ECDF of ranks less the distribution function of uniform ranks.

    Parameters
    ----------
    ranks : array (..., sample), int
        0 to `n_values` - 1.
    n_values : int
        How many values a rank can have: the number of draws and one.

    Returns
    -------
    array (..., n_values)
        At each possible rank; the last is 0.

    Examples
    --------
    >>> ecdf_difference(np.array([0, 0, 1, 3]), 4).tolist()
    [0.25, 0.25, 0.0, 0.0]
    """
    cumulative = _cumulative(ranks, n_values)
    return cumulative / cumulative[..., -1:] - np.arange(1, n_values + 1) / n_values


def ecdf_band(n_samples: int, n_values: int, level: float = 0.95) -> Band:
    """Simultaneous band of the ECDF of `n_samples` independent uniform ranks.

    At the k-th of K values the count of ranks at or below it is binomial. The band takes the same central pointwise
    probability everywhere, as large a tail as leaves at least `level` for all points together (section 2 of [1]_).

    Parameters
    ----------
    n_samples : int
    n_values : int
        How many values a rank can have: the number of draws and one.
    level : float
        Least probability that the whole ECDF of a uniform sample is inside.

    Returns
    -------
    Band

    Notes
    -----
    The joint probability is exact, not simulated. [1]_ steps through the points with binomial conditional
    distributions; here the counts of the cells are independent Poisson variables, given their sum, which makes every
    step a convolution with one kernel. The tail that is sought is one of finitely many, since counts are whole
    numbers, so the coverage is a little above `level`.

    References
    ----------
    .. [1] T. Säilynoja, P.-C. Bürkner and A. Vehtari, "Graphical test for discrete uniformity and its applications in
       goodness-of-fit evaluation and multiple sample comparison", Statistics and Computing 32 (2022), 32,
       doi:10.1007/s11222-022-10090-6.

    Examples
    --------
    >>> band = ecdf_band(100, 100)
    >>> int(band.lower[49]), int(band.upper[49]), round(band.coverage, 3)
    (36, 64, 0.951)
    """
    if not (n_samples >= 1 and n_values >= 2 and 0 < level < 1):
        raise OptionError(
            "at least one rank, two possible values and a level between 0 and 1",
            f"n_samples={n_samples}, n_values={n_values}, level={level}",
            "see neurodata.diagnostics.ecdf.ecdf_band",
        )
    return _band(int(n_samples), int(n_values), float(level))


@lru_cache(maxsize=128)
def _band(n_samples: int, n_values: int, level: float) -> Band:
    # Bonferroni's tail is always small enough. With few counts even a tail above 1 - level can be.
    low, high = np.log((1 - level) / n_values), 0.0
    best = _limits(n_samples, n_values, np.exp(low))
    while high - low > 1e-6:
        middle = (low + high) / 2
        limits = _limits(n_samples, n_values, np.exp(middle))
        if _inside(n_samples, *limits) >= level:
            low, best = middle, limits
        else:
            high = middle
    lower, upper = best
    for part in best:
        part.setflags(write=False)
    return Band(lower, upper, float(np.exp(low)), _inside(n_samples, lower, upper))


def ecdf_p_value(ranks: np.ndarray, n_values: int) -> np.ndarray:
    """Probability that uniform ranks stray from the diagonal as far as these, at their worst point.

    Parameters
    ----------
    ranks : array (..., sample), int
        0 to `n_values` - 1.
    n_values : int

    Returns
    -------
    array (...)
        Exact, down to 1e-12. Below 1 - `level` the ECDF leaves the band of `ecdf_band`.

    Examples
    --------
    >>> bool(ecdf_p_value(np.arange(100), 100) > 0.99), bool(ecdf_p_value(np.full(100, 3), 100) < 1e-10)
    (True, True)
    """
    cumulative = _cumulative(ranks, n_values)
    n_samples = int(cumulative.reshape(-1, n_values)[0, -1])
    below = np.arange(1, n_values) / n_values
    inner = cumulative[..., :-1]
    tail = 2 * np.minimum(binom.cdf(inner, n_samples, below), binom.sf(inner - 1, n_samples, below)).min(axis=-1)
    p = [1 - _inside(n_samples, *_limits(n_samples, n_values, t)) if t < 1 else 1.0 for t in tail.ravel()]
    return np.clip(np.reshape(p, tail.shape), 0.0, 1.0)


def rank_chi_square(ranks: np.ndarray, n_values: int, most_bins: int = 20) -> np.ndarray:
    """P value of the chi-square test that ranks are uniform, on bins that expect at least five ranks each.

    Parameters
    ----------
    ranks : array (..., sample), int
        0 to `n_values` - 1.
    n_values : int
    most_bins : int

    Returns
    -------
    array (...)
        NaN with fewer than ten ranks. It sees no order among the bins, so its power is below that of the band for
        posteriors that are shifted, too wide or too narrow.

    Examples
    --------
    >>> bool(rank_chi_square(np.arange(100), 100) > 0.99)
    True
    """
    counts = np.diff(_cumulative(ranks, n_values), axis=-1, prepend=0)
    n_samples = int(counts.reshape(-1, n_values)[0].sum())
    n_bins = min(most_bins, n_values, n_samples // 5)
    if n_bins < 2:
        return np.full(counts.shape[:-1], np.nan)
    starts = np.linspace(0, n_values, n_bins, endpoint=False).astype(int)
    expected = n_samples * np.diff(starts, append=n_values) / n_values
    statistic = ((np.add.reduceat(counts, starts, axis=-1) - expected) ** 2 / expected).sum(axis=-1)
    return chi2.sf(statistic, n_bins - 1)


def _cumulative(ranks: np.ndarray, n_values: int) -> np.ndarray:
    """Number of ranks at or below each value."""
    ranks = np.asarray(ranks)
    if not ranks.size or ranks.min() < 0 or ranks.max() >= n_values or not np.issubdtype(ranks.dtype, np.integer):
        got = "none" if not ranks.size else f"{ranks.dtype}, {ranks.min()} to {ranks.max()}"
        raise OptionError(f"whole ranks from 0 to {n_values - 1}", got, "give the number of draws plus one as n_values")
    flat = ranks.reshape(-1, ranks.shape[-1])
    counts = np.stack([np.bincount(row, minlength=n_values) for row in flat])
    return counts.cumsum(axis=1).reshape(*ranks.shape[:-1], n_values)


def _limits(n_samples: int, n_values: int, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts whose two tails at their point are both above `tail` / 2, but for rounding: lower and upper (value,)."""
    half = tail / 2 * (1 + 1e-10)
    below = np.arange(1, n_values) / n_values
    lower = binom.ppf(half, n_samples, below).astype(np.int64)
    # ppf gives the first count whose cdf reaches `half`; equality is outside.
    lower += binom.cdf(lower, n_samples, below) <= half
    # The binomial of 1 - p is the mirror image; taken as such, the band has no rounding between its halves.
    upper = n_samples - lower[::-1]
    return np.append(lower, n_samples), np.append(upper, n_samples)


def _inside(n_samples: int, lower: np.ndarray, upper: np.ndarray) -> float:
    """Probability that the cumulative counts of a uniform sample are within limits at every value."""
    if (lower > upper).any():
        return 0.0
    n_values = lower.size
    kernel = _poisson(n_samples / n_values, n_samples)
    probability, first = np.ones(1), 0
    for low, high in zip(lower.tolist(), upper.tolist(), strict=True):
        reached = np.convolve(probability, kernel)
        last = min(high, first + reached.size - 1)
        low = max(low, first)
        if last < low:
            return 0.0
        probability, first = reached[low - first : last - first + 1], low
    return float(probability[-1] / _poisson(n_samples, n_samples)[n_samples]) if last == n_samples else 0.0


def _poisson(mean: float, most: int) -> np.ndarray:
    """Probabilities of 0, 1, ... `most`, cut where they are below 1e-18 of the largest."""
    from scipy.stats import poisson

    mass = poisson.pmf(np.arange(most + 1), mean)
    kept = np.flatnonzero(mass > 1e-18 * mass.max())
    return mass[: kept[-1] + 1]
