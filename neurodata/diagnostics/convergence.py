"""Whether chains agree: rank-normalised split R-hat, and effective sample sizes of the bulk."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from neurodata.diagnostics.mcmc import _chains, effective_sample_size


def r_hat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised, folded split R-hat.

    Parameters
    ----------
    draws : array (chain, draw, ...)
        Four draws or more.

    Returns
    -------
    array (...)
        Near 1 where chains agree; infinite where each chain, or half of one, is constant and they differ; NaN where all
        draws are equal or some are not finite.

    Notes
    -----
    The larger of the R-hats of the ranks and of the ranks of distances to the median, chains split in two halves [1]_.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Bürkner, "Rank-normalization, folding, and
       localization: an improved R-hat", Bayesian Analysis 16 (2021), doi:10.1214/20-BA1221.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((4, 500))
    >>> bool(r_hat(draws) < 1.01), bool(r_hat(draws + np.arange(4)[:, None]) > 1.5)
    (True, True)
    """
    halves = _split(_chains(draws))
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    with np.errstate(invalid="ignore"):
        both = np.stack([_basic_r_hat(_normal_ranks(halves)), _basic_r_hat(_normal_ranks(folded))])
    # Distances to the median may be all equal where draws are not (two values); then the ranks alone tell.
    return np.where(np.isnan(both[1]), both[0], np.maximum(both[0], both[1]))


def bulk_effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Number of independent draws that would tell as much about the bulk of the distribution.

    Parameters
    ----------
    draws : array (chain, draw, ...)
        Eight draws or more.

    Returns
    -------
    array (...)
        Of the normalised ranks of chains split in two halves, as in `r_hat`. NaN where all draws are equal.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((4, 500))
    >>> bool(1500 < bulk_effective_sample_size(draws) < 2500)
    True
    """
    return effective_sample_size(_normal_ranks(_split(_chains(draws))))


def _split(draws: np.ndarray) -> np.ndarray:
    """Halves of the chains as chains; the middle one of an odd number of draws is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _normal_ranks(draws: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks among all draws, ties sharing theirs."""
    flat = draws.reshape(draws.shape[0] * draws.shape[1], -1)
    ranks = rankdata(flat, axis=0, nan_policy="propagate")
    return ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(draws.shape)


def _basic_r_hat(draws: np.ndarray) -> np.ndarray:
    n = draws.shape[1]
    within = draws.var(axis=1, ddof=1).mean(axis=0)
    between = draws.mean(axis=1).var(axis=0, ddof=1)
    # Rounding of a mean of equal numbers is no difference between chains.
    equal = (draws == draws[:1, :1]).all(axis=(0, 1))
    constant = (draws == draws[:, :1]).all(axis=(0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.sqrt((n - 1) / n + between / within)
    return np.where(equal, np.nan, np.where(constant, np.inf, value))
