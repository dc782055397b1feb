"""Poisson counts whose mean is a link function of a linear predictor: log-likelihoods and their derivatives, in Numba.

``x ~ Poisson(f(eta))``. Counts are int32 and a negative count means "not observed": its term is left out. The
constant ``-log x!`` is left out too. Links are numbers inside compiled code: see `LINKS`.
"""

from __future__ import annotations

import numba
import numpy as np

# exp: f = exp(eta). softplus: f = log(1 + exp(eta)). sigmoid: f = 1 / (1 + exp(-eta)), at most one spike per bin on
# average and not concave in eta, there for comparison with published simulations.
LINKS = {"exp": 0, "softplus": 1, "sigmoid": 2}

# exp(500) is finite, and a log-likelihood of -exp(500) is refused by any line search.
_ETA_MAX = 500.0


@numba.njit(cache=True)
def mean_and_log(eta, link):
    """``f(eta)`` and ``log f(eta)``, finite for every finite `eta`."""
    if link == 0:
        eta = min(eta, _ETA_MAX)
        return np.exp(eta), eta
    if link == 1:
        if eta > 30.0:
            return eta, np.log(eta)
        if eta < -30.0:
            return np.exp(eta), eta
        mean = np.log1p(np.exp(eta))
        return mean, np.log(mean)
    if eta >= 0.0:
        log_mean = -np.log1p(np.exp(-eta))
    else:
        log_mean = eta - np.log1p(np.exp(eta))
    return np.exp(log_mean), log_mean


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


@numba.njit(cache=True)
def emission(eta, counts, link, out):
    """Log-likelihood of each bin under each state, summed over units.

    Parameters
    ----------
    eta : array (bin, state, unit), float64
    counts : array (bin, unit), int32; negative = not observed
    link : int
    out : array (bin, state), overwritten
    """
    n_bins, n_states, n_units = eta.shape
    for t in range(n_bins):
        for s in range(n_states):
            total = 0.0
            for n in range(n_units):
                x = counts[t, n]
                if x < 0:
                    continue
                mean, log_mean = mean_and_log(eta[t, s, n], link)
                total -= mean
                if x > 0:
                    total += x * log_mean
            out[t, s] = total


@numba.njit(cache=True)
def weighted_terms(eta, counts, weight, link, slope, fisher):
    """Weighted log-likelihood of each unit and, in place, its derivatives by `eta`.

    Parameters
    ----------
    eta : array (bin, unit), float64
    counts : array (bin, unit), int32; negative = not observed
    weight : array (bin,)
        Posterior probability of the state.
    link : int
    slope, fisher : array (bin, unit), overwritten
        First derivative, and the expected negative second one (never negative).

    Returns
    -------
    array (unit,)
        ``sum_t weight[t] * (x log f - f)``.
    """
    n_bins, n_units = eta.shape
    total = np.zeros(n_units)
    for t in range(n_bins):
        w = weight[t]
        for n in range(n_units):
            x = counts[t, n]
            if x < 0:
                slope[t, n] = 0.0
                fisher[t, n] = 0.0
                continue
            mean, log_mean = mean_and_log(eta[t, n], link)
            ratio = log_slope(eta[t, n], mean, link)
            slope[t, n] = w * (x - mean) * ratio
            fisher[t, n] = w * mean * ratio * ratio
            total[n] -= w * mean
            if x > 0:
                total[n] += w * x * log_mean
    return total


@numba.njit(cache=True)
def weighted_along(eta, change, step, counts, weight, link):
    """Weighted log-likelihood of each unit at ``eta + step * change``; arguments as in `weighted_terms`.

    Parameters
    ----------
    change : array (bin, unit)
    step : array (unit,)
    """
    n_bins, n_units = eta.shape
    total = np.zeros(n_units)
    for t in range(n_bins):
        w = weight[t]
        for n in range(n_units):
            x = counts[t, n]
            if x < 0:
                continue
            mean, log_mean = mean_and_log(eta[t, n] + step[n] * change[t, n], link)
            total[n] -= w * mean
            if x > 0:
                total[n] += w * x * log_mean
    return total
