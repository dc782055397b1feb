"""Scores of predicted spike counts."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from neurodata.errors import RecordingError


def poisson_log_likelihood(counts: np.ndarray, mean: np.ndarray) -> float:
    """Log-likelihood of counts with known Poisson means; NaN counts are left out.

    Parameters
    ----------
    counts : array (..., unit)
    mean : array, broadcast against `counts`
        Spikes per bin.

    Examples
    --------
    >>> import numpy as np
    >>> round(poisson_log_likelihood(np.array([0.0, np.nan, 2.0]), np.array([1.0, 1.0, 1.0])), 6)
    -2.693147
    """
    terms = xlogy(counts, mean) - mean - gammaln(np.asarray(counts, dtype=np.float64) + 1.0)
    return float(np.nansum(np.where(np.isnan(counts), np.nan, terms)))


def bits_per_spike(log_likelihood: float, baseline: float, n_spikes: float) -> float:
    """Gain over a baseline, in bits for each spike.

    Parameters
    ----------
    log_likelihood, baseline : float
        nats, of the same counts.
    n_spikes : float
        Spikes among those counts.

    Examples
    --------
    >>> import numpy as np
    >>> round(bits_per_spike(-10.0, -10.0 - 5 * np.log(2), 5), 6)
    1.0
    """
    if not n_spikes > 0:
        raise RecordingError("at least one spike to score", "none", "score a longer stretch")
    return float((log_likelihood - baseline) / (n_spikes * np.log(2.0)))
