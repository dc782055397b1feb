"""Continuous signals at another sampling rate, or at even times."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers._coords import TIME_ATTRS
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.resampling import linear, polyphase
from neurodata.preprocess._apply import Data, floating, is_counts, logged, on_nodes
from neurodata.preprocess._sampling import GAP_STEPS, regular_slices, sampling_step, segment_slices, time_values

Method = Literal["polyphase", "linear"]
# A ratio of rates must be up / down with numbers up to this, or the filter would be longer than a recording.
_MAX_FACTOR = 10_000


def resample(
    data: Data,
    rate: float,
    *,
    method: Method = "polyphase",
    max_gap: float | None = None,
    sampling_rate: float | None = None,
) -> Data:
    """Change the sampling rate.

    Each gap-free stretch is resampled by itself and starts at its own first sample; gaps stay gaps, and nothing is
    added after the last sample of a stretch.

    Parameters
    ----------
    data : DataArray (time, ...), Dataset or DataTree
        A continuous signal; or an `eeg` node or a recording (all its `eeg` nodes). All channels are resampled, also
        stim channels: take events from them first.
    rate : float
        New sampling rate, Hz.
    method : {"polyphase", "linear"}
        "polyphase" is for even samples, with an anti-aliasing filter; a NaN takes the new samples with it whose filter
        reaches it (10 samples of the slower rate). "linear" makes uneven times even: it interpolates between
        neighbours, and when the new rate is below the old one it does so at a multiple of the new rate and goes down
        from there by "polyphase".
    max_gap : float, optional
        For "linear": neighbours further apart (s) are not connected. Default: 1.5 usual (median) steps.
    sampling_rate : float, optional
        Present rate, Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray, Dataset or DataTree
        With a new time coordinate (s, same clock) and the attr `sampling_rate`. Dask arrays stay lazy, rechunked to
        span all of time.

    Raises
    ------
    RecordingError
        Counts (use `bin_spikes`); uneven times with "polyphase".
    OptionError
        A rate that is not positive, or not a ratio of small whole numbers to the present one.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> node = nd.make_eeg(np.ones((1000, 1)), sampling_rate=1000.0)
    >>> new = nd.preprocess.resample(node, 250.0)
    >>> new.sizes["time"], new.attrs["sampling_rate"], float(new["time"][1])
    (250, 250.0, 0.004)
    """
    if not np.isfinite(rate) or rate <= 0:
        raise OptionError("a positive rate in Hz", f"{rate!r}", "pass rate= in Hz")
    if method not in ("polyphase", "linear"):
        raise OptionError("method 'polyphase' or 'linear'", f"{method!r}", "choose one of the two")
    settings = {"rate": float(rate), "method": method, "max_gap": max_gap}
    if isinstance(data, xr.DataArray):
        return _resample(data, sampling_rate, settings)

    def change(node: xr.Dataset) -> xr.Dataset:
        if "signal" not in node:
            raise RecordingError("an eeg node with signal", f"{list(map(str, node.data_vars))}", "pass a DataArray")
        old = sampling_rate if sampling_rate is not None else node.attrs.get("sampling_rate")
        signal = _resample(node["signal"], old, settings)
        attrs = with_operation({**node.attrs, "sampling_rate": float(rate)}, "resample", **settings)
        rest = node.drop_dims("time")
        return rest.assign(signal=signal).assign_attrs(attrs)

    return on_nodes(data, "eeg", change)


def _resample(data: xr.DataArray, old_rate: float | None, settings: dict[str, Any]) -> xr.DataArray:
    if is_counts(data):
        raise RecordingError(
            "a continuous signal", "counts, which add up", "use nd.bin_spikes with another bin_width for counts"
        )
    signal = floating(data)
    time = time_values(data)
    if settings["method"] == "linear":
        result = _even(signal, time, settings)
    else:
        step = sampling_step(data, time, old_rate)
        slices = regular_slices(time, step, "for method='polyphase'")
        result = _polyphase(signal, time, step, slices, settings["rate"])
    result = result.transpose(*data.dims).assign_attrs({**data.attrs, "sampling_rate": settings["rate"]})
    return logged(result.rename(data.name), "resample", **settings)


def _polyphase(signal: xr.DataArray, time: np.ndarray, step: float, slices: list[slice], rate: float) -> xr.DataArray:
    ratio = Fraction(rate * step).limit_denominator(_MAX_FACTOR)
    longest = max((part.stop - part.start for part in slices), default=0)
    # After the longest stretch the samples must still be where their times say, to a hundredth of a sample.
    if ratio <= 0 or ratio.numerator > _MAX_FACTOR or abs(rate * step / float(ratio) - 1) * longest > 0.01:
        raise OptionError(
            f"a rate that is a ratio of whole numbers up to {_MAX_FACTOR} to the present {1 / step:.9g} Hz",
            f"{rate:g} Hz",
            f"state the exact present rate with sampling_rate=, or pass e.g. {float(ratio) / step:.9g}",
        )
    new_times, n_kept = [], []
    for part in slices:
        first, last = time[part.start], time[part.stop - 1]
        n = int(np.floor((last - first) * rate + 1e-6)) + 1
        n = min(n, -(-(part.stop - part.start) * ratio.numerator // ratio.denominator))
        new_times.append(first + np.arange(n) / rate)
        n_kept.append(n)
    if ratio == 1:
        return signal
    return _along_new_time(
        polyphase,
        signal,
        np.concatenate(new_times) if new_times else time,
        up=ratio.numerator,
        down=ratio.denominator,
        n_kept=n_kept,
        slices=slices,
    )


def _even(signal: xr.DataArray, time: np.ndarray, settings: dict[str, Any]) -> xr.DataArray:
    if time.size < 2:
        raise RecordingError("at least two samples to interpolate", f"{time.size}", "pass more")
    usual = float(np.median(np.diff(time)))
    max_gap = GAP_STEPS * usual if settings["max_gap"] is None else float(settings["max_gap"])
    rate = settings["rate"]
    # Interpolating straight to a rate below the present one would fold fast changes into slow ones.
    multiple = max(1, int(np.ceil(1 / (usual * rate) - 1e-6)))
    fine_rate = rate * multiple
    pieces = []
    for part in segment_slices(time, max_gap):
        first, last = time[part.start], time[part.stop - 1]
        pieces.append(first + np.arange(int(np.floor((last - first) * fine_rate + 1e-6)) + 1) / fine_rate)
    fine = _along_new_time(linear, signal, np.concatenate(pieces), time=time, max_gap=max_gap)
    if multiple == 1:
        return fine
    bounds = np.cumsum([0, *(piece.size for piece in pieces)])
    slices = [slice(int(a), int(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    return _polyphase(fine, fine["time"].values, 1 / fine_rate, slices, rate)


def _along_new_time(function: Any, signal: xr.DataArray, new_time: np.ndarray, **settings: Any) -> xr.DataArray:
    """`function(array (..., time)) -> array (..., new time)`, other coordinates kept."""
    if function is linear:
        settings["new_time"] = new_time
    if signal.chunks is not None:
        signal = signal.chunk({dim: -1 if dim == "time" else "auto" for dim in signal.dims})

    def run(values: np.ndarray) -> np.ndarray:
        return function(values, **settings).astype(values.dtype)

    result = xr.apply_ufunc(
        run,
        signal,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        exclude_dims={"time"},
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"time": new_time.size}},
        output_dtypes=[signal.dtype],
        keep_attrs=True,
    )
    kept = {name: coord for name, coord in signal.coords.items() if "time" not in coord.dims}
    attrs = signal["time"].attrs or TIME_ATTRS
    return result.assign_coords({**kept, "time": ("time", new_time, attrs)}).assign_attrs(signal.attrs)
