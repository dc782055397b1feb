"""Scaling to zero mean and unit standard deviation."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from neurodata.errors import NeurodataWarning, OptionError
from neurodata.preprocess._apply import floating, logged, only_array

# Median absolute deviation to standard deviation, for a normal distribution: 1 / Phi^-1(3/4).
_MAD_TO_SD = 1.482602218505602


def zscore(data: xr.DataArray, dim: Hashable | Sequence[Hashable] = "time", *, robust: bool = False) -> xr.DataArray:
    """Subtract the mean and divide by the standard deviation, along `dim`.

    Parameters
    ----------
    data : DataArray
        NaN is left out of mean and standard deviation, and stays NaN.
    dim : name or list of names
        What to pool: ``"time"`` scales every unit (and, with a dim trial, every trial) by itself;
        ``["trial", "time"]`` pools the trials.
    robust : bool
        Use the median and 1.4826 times the median absolute deviation instead.

    Returns
    -------
    DataArray
        Unit "1" (standard deviations). A unit that never changes has no deviation from its mean: it becomes 0, not
        NaN, because NaN means "not observed" here. Where `robust` finds no spread although values differ (more than
        half of them equal, as in sparse counts), the score is not defined: NaN, with a warning.
        Dask arrays stay lazy; `robust` needs them in one chunk along `dim`, and rechunks.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> trace = nd.make_calcium(np.array([[1.0, 5.0], [3.0, 5.0]]), sampling_rate=1.0)["fluorescence"]
    >>> nd.preprocess.zscore(trace).values.tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    data = only_array(data, 'rec["calcium"]["dff"]')
    dims = [dim] if isinstance(dim, str) or not isinstance(dim, Sequence) else list(dim)
    unknown = [name for name in dims if name not in data.dims]
    if unknown or not dims:
        raise OptionError(f"dims among {tuple(map(str, data.dims))}", f"{dims}", "pass dim=")
    values = floating(data)
    if robust and values.chunks is not None:
        values = values.chunk({name: -1 for name in dims})
    # float32 sums over long recordings lose digits; the result has the dtype of the input.
    wide = values.astype(np.float64)
    # Plain NumPy, so that the result does not depend on which accelerators happen to be installed.
    with xr.set_options(use_numbagg=False, use_bottleneck=False), warnings.catch_warnings():
        # All-NaN slices (a unit never observed) stay NaN, which is what they should be.
        warnings.filterwarnings("ignore", message="Mean of empty slice|All-NaN slice|Degrees of freedom")
        warnings.filterwarnings("ignore", message="invalid value encountered", category=RuntimeWarning)
        centre = wide.median(dims) if robust else wide.mean(dims)
        deviation = wide - centre
        spread = _MAD_TO_SD * abs(deviation).median(dims) if robust else wide.std(dims)
    # A constant computed in floating point has a spread of rounding errors, not zero: compare with the values.
    constant = wide.max(dims) == wide.min(dims)
    if robust:
        _warn_no_spread((spread == 0) & ~constant)
    score = xr.where(constant & deviation.notnull(), 0.0, deviation / spread.where(spread > 0))
    result = score.transpose(*data.dims).astype(values.dtype).assign_coords(data.coords)
    result = result.assign_attrs({**data.attrs, "units": "1"}).rename(data.name)
    return logged(result, "zscore", dim=[str(name) for name in dims], robust=robust)


def _warn_no_spread(flat: xr.DataArray) -> None:
    if flat.chunks is not None:
        return  # a lazy result must not be computed for a warning
    n = int(flat.sum())
    if n:
        warnings.warn(
            f"{n} series have a median absolute deviation of 0 although they are not constant: their robust score is "
            "not defined and is NaN; use robust=False for sparse data",
            NeurodataWarning,
            stacklevel=3,
        )
