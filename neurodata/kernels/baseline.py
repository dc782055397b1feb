"""Baselines of fluorescence traces, along the last axis; NaN is left out."""

from __future__ import annotations

import numpy as np

from neurodata.kernels.smoothing import gaussian_weights, weighted_mean


def rolling_quantile(values: np.ndarray, window: int, quantile: float, slices: list[slice]) -> np.ndarray:
    """Quantile in a centred window of `window` samples (odd), cut short at the ends of each stretch.

    Parameters
    ----------
    values : array (..., time)
    window : int
    quantile : float
        Between 0 and 1, interpolated linearly.
    slices : list of slice
        Stretches of time that do not see each other.
    """
    import pandas as pd

    result = np.full(values.shape, np.nan)
    for part in slices:
        x = values[..., part].astype(np.float64)
        flat = pd.DataFrame(x.reshape(-1, x.shape[-1]).T)
        rolled = flat.rolling(window, center=True, min_periods=1).quantile(quantile)
        result[..., part] = rolled.to_numpy().T.reshape(x.shape)
    return result


def maximin(values: np.ndarray, window: int, sd: float, slices: list[slice]) -> np.ndarray:
    """Gaussian smoothing (`sd` in samples), then a running minimum, then a running maximum of it (`window` samples)."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    x = values.astype(np.float64)
    smooth = weighted_mean(x, gaussian_weights(sd), slices) if sd > 0 else x
    result = np.full(values.shape, np.nan)
    for part in slices:
        piece = smooth[..., part]
        observed = ~np.isnan(piece)
        lowest = minimum_filter1d(np.where(observed, piece, np.inf), window, axis=-1, mode="nearest")
        # A stretch of NaN longer than the window leaves no minimum; it must not win the maximum.
        lowest[np.isinf(lowest)] = -np.inf
        highest = maximum_filter1d(lowest, window, axis=-1, mode="nearest")
        result[..., part] = np.where(np.isinf(highest), np.nan, highest)
    return result


def whole_quantile(values: np.ndarray, quantile: float) -> np.ndarray:
    """Quantile over all of time, repeated at every sample; NaN for a trace that was never observed."""
    x = values.astype(np.float64)
    result = np.full(x.shape, np.nan)
    seen = ~np.isnan(x).all(axis=-1)
    result[seen] = np.nanquantile(x[seen], quantile, axis=-1)[..., None]
    return result
