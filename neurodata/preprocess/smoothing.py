"""Smoothing in time."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.kernels.smoothing import boxcar_weights, gaussian_weights, weighted_mean
from neurodata.preprocess._apply import along_time, floating, logged, only_array
from neurodata.preprocess._sampling import regular_slices, sampling_step, time_values


def smooth(
    data: xr.DataArray,
    width: float,
    *,
    kind: Literal["gaussian", "boxcar"] = "gaussian",
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Smooth in time, inside gap-free stretches.

    The weighted mean of the observed samples around each sample (normalised convolution [1]_): at ends, gaps and NaN
    the weights of what is missing go to the rest. NaN stays NaN.

    Parameters
    ----------
    data : DataArray (time, ...)
        Any evenly sampled data. Counts become float64 and stay counts per bin.
    width : float
        Standard deviation of the Gaussian, or full width of the boxcar, s.
    kind : {"gaussian", "boxcar"}
    sampling_rate : float, optional
        Hz; default from the attr `sampling_rate` or the time coordinate.

    Returns
    -------
    DataArray
        Same dims, coords and attrs. Dask arrays stay lazy, rechunked to span all of time.

    References
    ----------
    .. [1] H. Knutsson and C.-F. Westin, "Normalized and differential convolution", CVPR 1993,
       doi:10.1109/CVPR.1993.341081.

    Examples
    --------
    >>> import neurodata as nd
    >>> counts = nd.bin_spikes(nd.make_spikes({"a": [0.05, 0.25]}, support=[[0.0, 0.5]]), 0.1)
    >>> nd.preprocess.smooth(counts, 0.3, kind="boxcar").values.ravel().round(2).tolist()
    [0.5, 0.67, 0.33, 0.33, 0.0]
    """
    data = only_array(data, 'rec["calcium"]["dff"]')
    if not np.isfinite(width) or width <= 0:
        raise OptionError("a positive width in s", f"{width!r}", "pass width= in s")
    time = time_values(data)
    step = sampling_step(data, time, sampling_rate)
    weights = {"gaussian": partial(gaussian_weights, width / step), "boxcar": partial(boxcar_weights, width / step)}
    if kind not in weights:
        raise OptionError("kind 'gaussian' or 'boxcar'", f"{kind!r}", "choose one of the two")
    result = along_time(
        weighted_mean,
        floating(data),
        weights=weights[kind](),
        slices=regular_slices(time, step, "to smooth"),
    )
    return logged(result, "smooth", width=width, kind=kind)
