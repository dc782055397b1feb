"""What all units share slowly, as a covariate: a drive common to them is then no connection between them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import fftconvolve


def slow_activity(counts: xr.DataArray, n_components: int = 1, width: float = 0.1, hole: float = 0.03) -> xr.DataArray:
    """Principal components of smoothed counts.

    Counts are averaged with a Gaussian window round each bin without the bins next to it, so that neither a unit's own
    spike nor those that synapses answer within `hole` are in their own regressor.

    Parameters
    ----------
    counts : DataArray (time, unit)
        Without missing values.
    n_components : int
    width : float
        Standard deviation of the window, s.
    hole : float
        Bins no further than this are left out, s.

    Returns
    -------
    DataArray (time, covariate)
        Each of standard deviation 1.
    """
    bin_width = float(counts.attrs["bin_width"])
    n = int(4 * width / bin_width)
    lag = bin_width * np.arange(-n, n + 1)
    window = np.where(np.abs(lag) <= hole, 0.0, np.exp(-0.5 * (lag / width) ** 2))
    values = counts.values.astype(float)
    total = fftconvolve(values, window[:, None], mode="same", axes=0)
    # Windows reach beyond the ends.
    smooth = total / fftconvolve(np.ones(len(values)), window, mode="same")[:, None]
    # Units of equal noise: counts vary as much as their mean.
    scaled = (smooth - smooth.mean(axis=0)) / np.sqrt(np.maximum(values.mean(axis=0), 1e-12))
    _, vectors = np.linalg.eigh(scaled.T @ scaled)
    components = scaled @ vectors[:, ::-1][:, :n_components]
    names = [f"slow_{k}" for k in range(n_components)]
    return xr.DataArray(
        components / components.std(axis=0),
        dims=("time", "covariate"),
        coords={"time": counts["time"].values, "covariate": names},
    )
