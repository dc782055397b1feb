"""Data without gaps: the stretches between them."""

from __future__ import annotations

import xarray as xr

from neurodata.errors import OptionError
from neurodata.preprocess._apply import logged, only_array
from neurodata.preprocess._sampling import stretches


def regular_segments(data: xr.DataArray, max_gap: float | None = None) -> list[xr.DataArray]:
    """Split data at the gaps of its time coordinate, e.g. into the sequences a model takes.

    Parameters
    ----------
    data : DataArray (time, ...)
    max_gap : float, optional
        Steps longer than this (s) are gaps. Default: 1.5 steps, of the attr `sampling_rate` or `bin_width` if
        there is one, else the median step.

    Returns
    -------
    list of DataArray
        In order; together all samples, none changed. NaN are left where they are.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> node = nd.make_calcium(np.zeros((4, 1)), time=[0.0, 0.1, 0.9, 1.0])
    >>> [part.sizes["time"] for part in nd.preprocess.regular_segments(node["fluorescence"], max_gap=0.2)]
    [2, 2]
    """
    data = only_array(data, 'rec["eeg"]["signal"]')
    if max_gap is not None and not max_gap > 0:
        raise OptionError("a positive max_gap in s", f"{max_gap!r}", "pass max_gap= in s, or leave it out")
    slices = stretches(data, max_gap)
    return [
        logged(data.isel(time=part), "regular_segments", max_gap=max_gap, segment=i) for i, part in enumerate(slices)
    ]
