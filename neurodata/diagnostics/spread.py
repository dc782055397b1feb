"""Means over repeated runs, with an interval that says how much the repeats differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr


def mean_interval(values: xr.DataArray, dim: str = "seed", level: float = 0.95) -> xr.Dataset:
    """Mean over `dim` and the interval of that mean by Student's t; NaN values are left out.

    Parameters
    ----------
    values : DataArray
    dim : str
        Dim of independent repeats.
    level : float
        Coverage of the interval when the repeats are normal.

    Returns
    -------
    Dataset
        `mean_`, `low`, `high`, and `n`, the number of values. With one value `low` and `high` are NaN: one run says
        nothing of the spread.

    Examples
    --------
    >>> import xarray as xr
    >>> found = mean_interval(xr.DataArray([1.0, 2.0, 3.0], dims="seed"))
    >>> float(found.mean_), round(float(found.high - found.mean_), 3), int(found.n)
    (2.0, 2.484, 3)
    """
    from scipy.stats import t

    # Numbagg, where installed, would compile for seconds to add up a handful of numbers.
    with xr.set_options(use_numbagg=False):
        return _mean_interval(values, dim, lambda k: t.ppf(0.5 + level / 2, k))


def _mean_interval(values: xr.DataArray, dim: str, quantile: Callable[[np.ndarray], np.ndarray]) -> xr.Dataset:
    n = values.notnull().sum(dim)
    enough = xr.where(n > 1, n, np.nan)
    total = values.sum(dim)
    mean = total / xr.where(n > 0, n, np.nan)
    sd = np.sqrt(((values - mean) ** 2).sum(dim) / (enough - 1))
    half = xr.apply_ufunc(quantile, enough - 1) * sd / np.sqrt(enough)
    return xr.Dataset({"mean_": mean, "low": mean - half, "high": mean + half, "n": n})
