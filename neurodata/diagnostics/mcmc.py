"""How much a chain of draws is worth: autocorrelation, effective sample size, standard error of a mean."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError


def effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Number of independent draws whose mean would be as exact as that of these.

    Parameters
    ----------
    draws : array (chain, draw, ...)
        Four draws or more.

    Returns
    -------
    array (...)
        NaN where the draws are constant or not finite.

    Notes
    -----
    Autocorrelations of all chains together, with the variance between chains in the denominator, summed until the sum
    of a pair of lags is no longer positive, and kept from rising (equations 10-13 of [1]_, Geyer's initial monotone
    sequence [2]_). Chains are not split.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Bürkner, "Rank-normalization, folding, and
       localization: an improved R-hat", Bayesian Analysis 16 (2021), doi:10.1214/20-BA1221.
    .. [2] C. J. Geyer, "Practical Markov chain Monte Carlo", Statistical Science 7 (1992), doi:10.1214/ss/1177011137.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((4, 1000))
    >>> bool(3000 < effective_sample_size(draws) < 5000)
    True
    """
    draws = _chains(draws)
    n_chains, n_draws = draws.shape[:2]
    covariance = _autocovariance(draws).mean(axis=0)
    total = covariance[0]
    if n_chains > 1:
        total = total + draws.mean(axis=1).var(axis=0, ddof=1)
    unbiased = n_draws / (n_draws - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - unbiased * (covariance[0] - covariance) / total
    correlation[0] = np.where(total > 0, 1.0, np.nan)
    n_total = n_chains * n_draws
    # Antithetic chains may be worth more than their length, but an estimate far above it is noise (section 3.2 of [1]).
    return n_total / np.maximum(autocorrelation_time(correlation), 1 / np.log10(n_total))


def standard_error(draws: np.ndarray) -> np.ndarray:
    """Standard error of the mean of autocorrelated draws.

    Parameters
    ----------
    draws : array (chain, draw, ...)

    Returns
    -------
    array (...)

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((1, 10_000))
    >>> round(float(standard_error(draws)), 3)
    0.01
    """
    draws = _chains(draws)
    return draws.reshape(-1, *draws.shape[2:]).std(axis=0, ddof=1) / np.sqrt(effective_sample_size(draws))


def autocorrelation(draws: np.ndarray) -> np.ndarray:
    """Autocorrelation within chains, averaged over chains that may be of different distributions.

    Parameters
    ----------
    draws : array (chain, draw, ...)

    Returns
    -------
    array (draw, ...)
        By lag. Constant chains are left out; NaN where all are.

    Examples
    --------
    >>> autocorrelation(np.array([[1.0, -1.0, 1.0, -1.0]])).tolist()
    [1.0, -0.75, 0.5, -0.25]
    """
    covariance = _autocovariance(_chains(draws))
    varies = covariance[:, :1] > 0
    scaled = np.where(varies, covariance, 0.0) / np.where(varies, covariance[:, :1], 1.0)
    n_varying = varies.sum(axis=0)
    return np.where(n_varying > 0, scaled.sum(axis=0) / np.maximum(n_varying, 1), np.nan)


def autocorrelation_time(correlation: np.ndarray) -> np.ndarray:
    """Sum of the autocorrelations at all lags, positive and negative, by Geyer's initial monotone sequence.

    Parameters
    ----------
    correlation : array (lag, ...)

    Returns
    -------
    array (...)
        Draws for each independent one; 1 for independent draws.

    Examples
    --------
    >>> float(autocorrelation_time(0.5 ** np.arange(100.0)).round(6))
    3.0
    """
    n_pairs = correlation.shape[0] // 2
    pairs = correlation[: 2 * n_pairs : 2] + correlation[1 : 2 * n_pairs : 2]
    pairs = np.minimum.accumulate(pairs, axis=0)
    # After the first pair that is not positive the minimum stays below zero. A NaN stays NaN.
    return -1 + 2 * np.where(pairs > 0, pairs, np.where(np.isnan(pairs), np.nan, 0.0)).sum(axis=0)


def thinning(correlation: np.ndarray, most: float = 1.2) -> int:
    """Every how manyth draw to keep so that those kept are nearly independent.

    Parameters
    ----------
    correlation : array (lag, quantity)
        Autocorrelations; quantities that are NaN are passed over.
    most : float
        Autocorrelation time that the kept draws may have.

    Returns
    -------
    int
        For the slowest quantity.

    Examples
    --------
    >>> thinning(0.5 ** np.arange(100.0)[:, None])
    4
    """
    every = 1
    for column in correlation.T:
        if np.isfinite(column).all():
            while autocorrelation_time(_even(column[::every])) > most:
                every += 1
    return every


def _even(correlation: np.ndarray) -> np.ndarray:
    """At least one pair of lags; beyond those that were measured the correlation is taken as 0."""
    return correlation if correlation.size > 1 else np.append(correlation, 0.0)


def _chains(draws: np.ndarray) -> np.ndarray:
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim < 2 or draws.shape[1] < 4:
        raise OptionError(
            "draws of shape (chain, draw, ...), four draws or more",
            f"shape {draws.shape}",
            "put a leading axis of length 1 for one chain",
        )
    return draws


def _autocovariance(draws: np.ndarray) -> np.ndarray:
    """Of each chain about its own mean, by FFT, divided by the number of draws: (chain, lag, ...)."""
    from scipy.fft import irfft, next_fast_len, rfft

    n_draws = draws.shape[1]
    centred = draws - draws.mean(axis=1, keepdims=True)
    n_padded = next_fast_len(2 * n_draws, real=True)
    spectrum = rfft(centred, n_padded, axis=1)
    covariance = irfft(spectrum.real**2 + spectrum.imag**2, n_padded, axis=1)[:, :n_draws] / n_draws
    # FFT leaves rounding where a constant chain has zero.
    constant = (draws == draws[:, :1]).all(axis=1, keepdims=True)
    return np.where(constant, 0.0, covariance)
