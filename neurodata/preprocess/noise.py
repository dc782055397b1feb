"""How noisy a fluorescence trace is."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.preprocess._apply import logged, node_of
from neurodata.preprocess._sampling import GAP_STEPS, sampling_step, segment_slices, time_values


def noise_level(data: Any, *, sampling_rate: float | None = None) -> xr.DataArray:
    r"""Noise of dF/F that can be compared between frame rates, as CASCADE defines it.

    .. math:: \nu = 100\,\mathrm{median}_t |\Delta F/F_{t+1} - \Delta F/F_t| / \sqrt{f}

    with the frame rate f. About 1 is very good, 3-4 decent, above 5 poor [1]_. For white noise of standard deviation
    s, :math:`\nu = 95.4\,s / \sqrt f`. Spikes that make the trace change in most frames raise it.

    Parameters
    ----------
    data : DataArray (time, ...), Dataset or DataTree
        dF/F (as a fraction, not in %), or a `calcium` node or a recording with `dff`.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray
        All dims but time; %/sqrt(Hz). Frames on both sides of a gap or a NaN are not compared; NaN where no two
        frames are left.

    References
    ----------
    .. [1] P. Rupprecht et al., "A database and deep learning toolbox for noise-optimized, generalized spike inference
       from calcium imaging", Nat. Neurosci. 2021, doi:10.1038/s41593-021-00895-5; formula and bands as in its code.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> dff = nd.make_calcium(dff=0.1 * np.random.default_rng(0).normal(size=(9000, 1)), sampling_rate=25.0)["dff"]
    >>> round(float(nd.preprocess.noise_level(dff)[0]), 1)
    1.9
    """
    if isinstance(data, xr.DataArray):
        trace, rate = data, sampling_rate
    else:
        node = node_of(data, "calcium")
        if "dff" not in node:
            raise RecordingError(
                "a calcium node with dff",
                f"{list(map(str, node.data_vars))}",
                "compute it first: nd.preprocess.delta_f_over_f(data, neuropil_coefficient=0.7)",
            )
        trace, rate = node["dff"], sampling_rate or node.attrs.get("sampling_rate")
    time = time_values(trace)
    step = sampling_step(trace, time, rate)
    values = np.moveaxis(trace.transpose("time", ...).values.astype(np.float64), 0, -1)
    parts = [np.diff(values[..., part]) for part in segment_slices(time, GAP_STEPS * step)]
    change = np.abs(np.concatenate(parts, axis=-1)) if parts else np.zeros((*values.shape[:-1], 0))
    level = np.full(change.shape[:-1], np.nan)
    seen = ~np.isnan(change).all(axis=-1)
    level[seen] = 100.0 * np.nanmedian(change[seen], axis=-1) * np.sqrt(step)
    result = trace.isel(time=0, drop=True).copy(data=level).rename("noise_level")
    result = result.assign_attrs({**trace.attrs, "units": "%/sqrt(Hz)", "long_name": "noise level"})
    return logged(result, "noise_level", sampling_rate=sampling_rate)
