"""Weighted means along the last axis that leave out what was not observed."""

from __future__ import annotations

import numpy as np

# A Gaussian beyond 4 s.d. holds 6e-5 of the weight.
_TRUNCATE = 4.0


def gaussian_weights(sd: float) -> np.ndarray:
    """Weights (2 k + 1,) of a Gaussian, `sd` in samples, cut at 4 s.d., sum 1."""
    radius = int(_TRUNCATE * sd + 0.5)
    offset = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offset / sd) ** 2)
    return weights / weights.sum()


def boxcar_weights(width: float) -> np.ndarray:
    """Weights (2 k + 1,) of a centred window, `width` in samples, sum 1.

    Always symmetric, so that nothing moves in time: the outermost samples count with the part of them that lies
    inside the window.
    """
    radius = max(0, int(np.ceil((width - 1) / 2)))
    offset = np.abs(np.arange(-radius, radius + 1))
    weights = np.clip(width / 2 - offset + 0.5, 0.0, 1.0)
    return weights / weights.sum()


def weighted_mean(values: np.ndarray, weights: np.ndarray, slices: list[slice]) -> np.ndarray:
    """Normalised convolution: the weighted mean of the observed samples around each observed sample.

    Parameters
    ----------
    values : array (..., time)
        NaN where not observed; such samples stay NaN and have no weight for their neighbours.
    weights : array (2 k + 1,)
    slices : list of slice
        Stretches of time that do not see each other.

    Returns
    -------
    array (..., time)
        Same dtype as `values`.
    """
    from scipy.ndimage import convolve1d

    result = np.full(values.shape, np.nan, dtype=values.dtype)
    for part in slices:
        x = values[..., part].astype(np.float64)
        observed = ~np.isnan(x)
        if observed.all():
            n = x.shape[-1]
            weight = convolve1d(np.ones(n), weights, mode="constant")
        else:
            x = np.where(observed, x, 0.0)
            weight = convolve1d(observed.astype(np.float64), weights, axis=-1, mode="constant")
        total = convolve1d(x, weights, axis=-1, mode="constant")
        result[..., part] = np.divide(total, weight, out=np.full(x.shape, np.nan), where=observed)
    return result
