"""Poisson counts whose mean is a link function of a linear predictor: log-likelihoods and their derivatives.

``x ~ Poisson(f(eta))``. Counts are int32 and a negative count means "not observed": its term is left out. The
constant ``-log x!`` is left out too. Links are numbers inside compiled code: see `LINKS`. Means are made by NumPy,
whose exponential takes several numbers at a time, and given to the compiled functions, as `mean`.
"""

from __future__ import annotations

import numba
import numpy as np

# exp: f = exp(eta). softplus: f = log(1 + exp(eta)). sigmoid: f = 1 / (1 + exp(-eta)), at most one spike per bin on
# average and not concave in eta, there for comparison with published simulations.
LINKS = {"exp": 0, "softplus": 1, "sigmoid": 2}

# exp(500) is finite, and a log-likelihood of -exp(500) is refused by any line search.
_ETA_MAX = 500.0
# Smallest mean of the other links, whose logarithm is finite.
_MEAN_MIN = 1e-300
# Curvatures are kept below this, so that products of them fit in single precision.
_FISHER_MAX = 1e15


def mean_of(eta: np.ndarray, link: int) -> np.ndarray:
    """``f(eta)``, finite for every finite `eta`, and above 0 for links other than exp, whose logarithm is `eta`.

    Examples
    --------
    >>> mean_of(np.array([-1e4, 0.0, 1e4]), LINKS["sigmoid"]).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    if link == LINKS["exp"]:
        out = np.minimum(eta, _ETA_MAX)
        return np.exp(out, out=out)
    small = np.exp(-np.abs(eta))
    if link == LINKS["softplus"]:
        out = np.maximum(eta, 0.0) + np.log1p(small)
    else:
        out = np.where(eta >= 0.0, 1.0, small) / (1.0 + small)
    return np.maximum(out, _MEAN_MIN, out=out)


@numba.njit(cache=True)
def log_slope(eta, mean, link):
    """``f'(eta) / f(eta)``, the derivative of ``log f``."""
    if link == 0:
        return 1.0
    if link == 1:
        if eta < -30.0:
            return 1.0
        return 1.0 / ((1.0 + np.exp(-eta)) * mean)
    return 1.0 - mean


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def emission(eta, mean, counts, link, out):
    """Log-likelihood of each bin under each state, summed over units.

    Parameters
    ----------
    eta, mean : array (bin, state, unit)
    counts : array (bin, unit), int32
    link : int
    out : array (bin, state), overwritten
    """
    n_bins, n_states, n_units = eta.shape
    for t in range(n_bins):
        for s in range(n_states):
            total = 0.0
            if link == 0:
                # No branches, so that several units are done at a time.
                for n in range(n_units):
                    x = counts[t, n]
                    seen = 1.0 if x >= 0 else 0.0
                    total += seen * (x * min(eta[t, s, n], _ETA_MAX) - mean[t, s, n])
            else:
                for n in range(n_units):
                    x = counts[t, n]
                    if x >= 0:
                        total -= mean[t, s, n]
                    if x > 0:
                        total += x * np.log(mean[t, s, n])
            out[t, s] = total


@numba.njit(cache=True, nogil=True)
def weighted_terms(eta, mean, counts, weight, link, slope, fisher):
    """Weighted log-likelihood of each unit and, in place, its derivatives by `eta`.

    Parameters
    ----------
    eta, mean : array (bin, unit), float64
    counts : array (bin, unit), int32; negative = not observed
    weight : array (bin,)
        Posterior probability of the state.
    link : int
    slope, fisher : array (bin, unit), overwritten
        First derivative, and the expected negative second one (never negative, at most 1e15: it may be float32).

    Returns
    -------
    array (unit,)
        ``sum_t weight[t] * (x log f - f)``.
    """
    n_bins, n_units = eta.shape
    total = np.zeros(n_units)
    for t in range(n_bins):
        if link == 0:
            for n in range(n_units):
                x = counts[t, n]
                w = weight[t] if x >= 0 else 0.0
                f = mean[t, n]
                slope[t, n] = w * (x - f)
                fisher[t, n] = min(w * f, _FISHER_MAX)
                total[n] += w * (x * min(eta[t, n], _ETA_MAX) - f)
        else:
            for n in range(n_units):
                x = counts[t, n]
                w = weight[t] if x >= 0 else 0.0
                f = mean[t, n]
                ratio = log_slope(eta[t, n], f, link)
                slope[t, n] = w * (x - f) * ratio
                fisher[t, n] = min(w * f * ratio * ratio, _FISHER_MAX)
                total[n] -= w * f
                if x > 0:
                    total[n] += w * x * np.log(f)
    return total


@numba.njit(cache=True, nogil=True)
def weighted_value(eta, mean, counts, weight, link):
    """Weighted log-likelihood of each unit alone; arguments as in `weighted_terms`."""
    n_bins, n_units = eta.shape
    total = np.zeros(n_units)
    for t in range(n_bins):
        if link == 0:
            for n in range(n_units):
                x = counts[t, n]
                w = weight[t] if x >= 0 else 0.0
                total[n] += w * (x * min(eta[t, n], _ETA_MAX) - mean[t, n])
        else:
            for n in range(n_units):
                x = counts[t, n]
                w = weight[t] if x >= 0 else 0.0
                total[n] -= w * mean[t, n]
                if x > 0:
                    total[n] += w * x * np.log(mean[t, n])
    return total
