"""Relative change of fluorescence."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.kernels.baseline import maximin, rolling_quantile, whole_quantile
from neurodata.preprocess._apply import Data, along_time, floating, logged, on_nodes
from neurodata.preprocess._sampling import GAP_STEPS, sampling_step, segment_slices, time_values

Baseline = Literal["percentile", "maximin", "constant"]


def delta_f_over_f(
    data: Data,
    *,
    baseline: Baseline = "percentile",
    window: float = 60.0,
    percentile: float = 8.0,
    smoothing: float = 1.0,
    neuropil: xr.DataArray | None = None,
    neuropil_coefficient: float | None = None,
    sampling_rate: float | None = None,
) -> Data:
    r"""Compute :math:`\Delta F / F_0 = (F - F_0) / F_0`, with :math:`F = F_{roi} - c F_{neuropil}`.

    Parameters
    ----------
    data : DataArray (time, roi), Dataset or DataTree
        Fluorescence; or a `calcium` node or a recording, which comes back with the variable `dff` added.
    baseline : {"percentile", "maximin", "constant"}
        How :math:`F_0` is found: a percentile in a sliding window; a running maximum of the running minimum of the
        smoothed trace (the default of suite2p [1]_); one percentile of the whole trace.
    window : float
        Length of the sliding window, s. It does not cross gaps and is cut short at the ends.
    percentile : float
        For "percentile" and "constant".
    smoothing : float
        Standard deviation of the Gaussian before "maximin", s (suite2p: 10 frames, whatever the frame rate).
    neuropil : DataArray (time, roi), optional
        Default: the variable `neuropil` of a node, when `neuropil_coefficient` asks for it.
    neuropil_coefficient : float, optional
        :math:`c`; suite2p's is 0.7. Nothing is subtracted when left out.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray, Dataset or DataTree
        `dff` (time, roi; dF/F). NaN stays NaN. Where :math:`F_0` is not positive (possible after the subtraction of
        neuropil) the ratio has no meaning: NaN, with a warning. Dask arrays stay lazy.

    References
    ----------
    .. [1] M. Pachitariu et al., "Suite2p: beyond 10,000 neurons with standard two-photon microscopy", bioRxiv 2017,
       doi:10.1101/061507.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> node = nd.make_calcium(np.array([[2.0], [2.0], [3.0], [2.0]]), sampling_rate=10.0)
    >>> nd.preprocess.delta_f_over_f(node, baseline="constant", percentile=50)["dff"].values.ravel().tolist()
    [0.0, 0.0, 0.5, 0.0]
    """
    settings = {
        "baseline": baseline,
        "window": window,
        "percentile": percentile,
        "smoothing": smoothing,
        "neuropil_coefficient": neuropil_coefficient,
        "sampling_rate": sampling_rate,
    }
    _check(baseline, window, percentile, smoothing, neuropil, neuropil_coefficient)
    if isinstance(data, xr.DataArray):
        return _dff(data, neuropil, data.attrs.get("sampling_rate"), **settings)

    def add(node: xr.Dataset) -> xr.Dataset:
        if "fluorescence" not in node:
            raise RecordingError(
                "a calcium node with fluorescence", f"{list(map(str, node.data_vars))}", "pass the DataArray to use"
            )
        background = neuropil
        if background is None and neuropil_coefficient is not None:
            if "neuropil" not in node:
                raise RecordingError("a calcium node with neuropil", "none", "leave neuropil_coefficient out")
            background = node["neuropil"]
        dff = _dff(node["fluorescence"], background, node.attrs.get("sampling_rate"), **settings)
        return node.assign(dff=dff).assign_attrs(with_operation(node.attrs, "delta_f_over_f", **settings))

    return on_nodes(data, "calcium", add)


def _dff(trace: xr.DataArray, neuropil: xr.DataArray | None, node_rate: float | None, **settings: Any) -> xr.DataArray:
    raw = floating(trace)
    if neuropil is not None:
        if not all(trace[dim].equals(neuropil[dim]) for dim in trace.dims if dim in neuropil.dims):
            raise RecordingError("neuropil with the times and ROIs of the fluorescence", "others", "select the same")
        corrected = raw - settings["neuropil_coefficient"] * neuropil.transpose(*trace.dims)
        raw = corrected.astype(raw.dtype).assign_coords(trace.coords).assign_attrs(trace.attrs)
    time = time_values(trace)
    rate = settings["sampling_rate"] or node_rate
    wide = raw.astype(np.float64)
    if settings["baseline"] == "constant":
        f0 = along_time(whole_quantile, wide, quantile=settings["percentile"] / 100)
    else:
        step = sampling_step(trace, time, rate)
        # Windows are counted in frames: a frame clock that jitters does not matter to a baseline, only gaps do.
        slices = segment_slices(time, GAP_STEPS * step)
        frames = 2 * int(settings["window"] / step / 2) + 1
        if settings["baseline"] == "percentile":
            f0 = along_time(rolling_quantile, wide, window=frames, quantile=settings["percentile"] / 100, slices=slices)
        else:
            f0 = along_time(maximin, wide, window=frames, sd=settings["smoothing"] / step, slices=slices)
    positive = f0.where(f0 > 0)
    if f0.chunks is None:
        unclear = ((f0 <= 0) & raw.notnull()).any("time")
        if bool(unclear.any()):
            warnings.warn(
                f"{int(unclear.sum())} trace(s) have a baseline of zero or below at some time; dF/F is NaN there. "
                "A smaller neuropil_coefficient or another baseline= may help",
                NeurodataWarning,
                stacklevel=4,
            )
    dff = ((raw - positive) / positive).astype(raw.dtype).transpose(*trace.dims)
    dff = dff.assign_attrs({**trace.attrs, "units": "dF/F", "long_name": "dff"}).rename("dff")
    return logged(dff, "delta_f_over_f", **settings)


def _check(
    baseline: str,
    window: float,
    percentile: float,
    smoothing: float,
    neuropil: xr.DataArray | None,
    coefficient: float | None,
) -> None:
    if baseline not in ("percentile", "maximin", "constant"):
        raise OptionError("baseline 'percentile', 'maximin' or 'constant'", f"{baseline!r}", "choose one of them")
    if not np.isfinite(window) or window <= 0 or not 0 <= percentile <= 100 or smoothing < 0:
        raise OptionError(
            "window > 0 (s), percentile from 0 to 100, smoothing >= 0 (s)",
            f"window={window}, percentile={percentile}, smoothing={smoothing}",
            "correct them",
        )
    if neuropil is not None and coefficient is None:
        raise MissingOptionError("how much neuropil to subtract", "none", "pass neuropil_coefficient=, e.g. 0.7")
