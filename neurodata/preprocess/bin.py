"""Spike times to counts per time bin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers._coords import TIME_ATTRS
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.preprocess._apply import node_of

# Share of a bin by which a float may miss a whole number of bins, or a bin may stick out of the recorded stretch.
ROUNDING = 1e-6


def bin_spikes(
    rec_or_spikes: xr.DataTree | xr.Dataset, bin_width: float, start: float | None = None, stop: float | None = None
) -> xr.DataArray:
    """Count the spikes of each unit in time bins.

    Bin `k` is ``start + k * bin_width <= t < start + (k + 1) * bin_width``, with these edges computed in float64: a
    spike whose time is the float ``start + k * bin_width`` is in bin `k`.

    Parameters
    ----------
    rec_or_spikes : DataTree or Dataset
        A recording with one `spikes` node, or that node. A node that holds `counts` instead of spike times is
        rebinned, which needs a `bin_width` that is a whole multiple of its own.
    bin_width : float
        s.
    start : float, optional
        Left edge of the first bin, s. Default: where the recorded stretches (`support_start`) begin; when these are
        unknown, the last multiple of `bin_width` before the first spike.
    stop : float, optional
        End of the bins, s. Default: the end of the recorded stretches; when unknown, the end of the bin of the last
        spike. A last bin that would cross `stop` is dropped; `dropped_s` in the attrs says how much time that is.

    Returns
    -------
    xarray.DataArray
        `counts` (time, unit), with the coordinates of the units. `time` is the centre of each bin, s. int32 when all
        bins were recorded; float64 with NaN for bins that are not wholly inside one recorded stretch. Units without
        spikes have zeros. Without known stretches everything between `start` and `stop` counts as recorded.
        Attrs: `bin_width` (s), `bin_start` (s), `closed` ("left"), `dropped_s`, `n_spikes_outside`: the spikes that no
        bin counts, so that ``counts.sum() + n_spikes_outside`` is the number of spikes.

    Raises
    ------
    MissingOptionError
        Neither spikes, nor recorded stretches, nor `start` and `stop` say which time to bin.
    OptionError
        A width or limits that make no bin; a width that does not fit counts that are already binned.

    Examples
    --------
    >>> import neurodata as nd
    >>> spikes = nd.make_spikes({"a": [0.01, 0.05, 0.06], "b": []}, support=[[0.0, 0.1]])
    >>> counts = nd.bin_spikes(spikes, 0.02)
    >>> counts.sel(unit="a").values.tolist()
    [1, 0, 1, 1, 0]
    >>> counts.time.values.round(3).tolist()
    [0.01, 0.03, 0.05, 0.07, 0.09]
    """
    node = node_of(rec_or_spikes, "spikes")
    if not np.isfinite(bin_width) or bin_width <= 0:
        raise OptionError("a positive bin width in s", f"{bin_width!r}", "pass bin_width= in s, e.g. 0.02")
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and not np.isfinite(value):
            raise OptionError(f"{name} in s", f"{value!r}", f"pass a finite {name}=, or leave it out")
    width = float(bin_width)
    if "spike_time" in node:
        return _from_spikes(node, width, start, stop)
    if "counts" in node:
        return _from_counts(node, width, start, stop)
    raise RecordingError(
        "spikes with spike_time, or with counts", f"variables {list(map(str, node.data_vars))}", "pass a spikes node"
    )


class _Bins(NamedTuple):
    """Edges (n_bins + 1,) in s, whether each bin was recorded, and the time left over at the end (s)."""

    edge: np.ndarray
    observed: np.ndarray
    dropped: float


def sorted_spikes(node: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spike times (s) and, per unit, the first and one past the last of its spikes."""
    last = np.cumsum(node["spike_count"].values.astype(np.int64))
    times = np.ascontiguousarray(node["spike_time"].values, dtype=np.float64)
    if last.size == 0 or last[-1] != times.size:
        raise RecordingError(
            "units, and a spike_count that counts the spikes of each",
            f"{last.size} units with {int(last[-1]) if last.size else 0} spikes, and {times.size} spike times",
            "see nd.check(rec)",
        )
    return times, last - node["spike_count"].values.astype(np.int64), last


def recorded_stretches(node: xr.Dataset) -> np.ndarray | None:
    """Recorded stretches (n, 2) in s, those that touch joined; None when the node does not say."""
    if "support_start" not in node or "support_stop" not in node:
        return None
    start, stop = node["support_start"].values.astype(float), node["support_stop"].values.astype(float)
    if start.size == 0:
        return np.zeros((0, 2))
    begins = np.concatenate([[True], start[1:] > stop[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([start[begins], stop[ends]], axis=1)


def inside(stretches: np.ndarray | None, low: np.ndarray, high: np.ndarray, width: float) -> np.ndarray:
    """Whether each bin ``low <= t < high`` lies wholly inside one recorded stretch."""
    if stretches is None:
        return np.ones(low.shape, dtype=bool)
    if len(stretches) == 0:
        return np.zeros(low.shape, dtype=bool)
    slack = ROUNDING * width
    epoch = np.searchsorted(stretches[:, 0], low + slack, side="right") - 1
    return (epoch >= 0) & (high <= stretches[epoch.clip(min=0), 1] + slack)


def unsorted_error(node: xr.Dataset, row: int) -> RecordingError:
    """The error for a unit whose spikes are out of order."""
    return RecordingError(
        "spike times that are finite and sorted inside each unit",
        f"others in unit {node['unit'].values[row]!r}",
        "see nd.check(rec); nd.make_spikes(..., sort=True) sorts them",
    )


def _from_spikes(node: xr.Dataset, width: float, start: float | None, stop: float | None) -> xr.DataArray:
    from neurodata.kernels.binning_nb import count_spikes

    times, first, last = sorted_spikes(node)
    stretches = recorded_stretches(node)
    bins = _bins(times, stretches, width, start, stop)
    counts = np.zeros((bins.observed.size, first.size), dtype=np.int32)
    counted = count_spikes(times, first, last, bins.edge, width, counts)
    if counted < 0:
        raise unsorted_error(node, -1 - counted)
    values = counts
    if not bins.observed.all():
        values = counts.astype(np.float64)
        values[~bins.observed] = np.nan
        counted = int(counts[bins.observed].sum())
    return _as_counts(node, values, bins, width, times.size - counted, start, stop)


def _bins(
    times: np.ndarray, stretches: np.ndarray | None, width: float, start: float | None, stop: float | None
) -> _Bins:
    known = stretches if stretches is not None and len(stretches) > 0 else None
    if (start is None or stop is None) and known is None and times.size == 0:
        raise MissingOptionError(
            "the time to bin", "no spikes, and no recorded stretches (support)", "pass start= and stop= (s)"
        )
    if start is None:
        start = float(known[0, 0]) if known is not None else _grid_before(float(times.min()), width)
    if stop is not None:
        n_bins, dropped = _whole_bins(start, stop, width)
    elif known is not None:
        n_bins, dropped = _whole_bins(start, float(known[-1, 1]), width)
    else:
        # One bin more than the guess needs at most: the last spike decides.
        n_bins = max(int(np.floor((float(times.max()) - start) / width)), 0) + 1
        while n_bins > 0 and times.max() < start + (n_bins - 1) * width:
            n_bins -= 1
        while times.max() >= start + n_bins * width:
            n_bins += 1
        dropped = 0.0
    if n_bins < 1:
        raise OptionError(
            f"at least one whole bin of {width:g} s between start and stop",
            f"start {start:g} s, stop {stop if stop is not None else 'at the end of the recording'}",
            "pass other limits or a smaller bin_width",
        )
    edge = start + np.arange(n_bins + 1) * width
    if not (np.diff(edge) > 0).all():
        raise OptionError(
            "a bin width that float64 can tell apart at these times", f"{width:g} s at {edge[-1]:g} s", "widen the bins"
        )
    return _Bins(edge, inside(stretches, edge[:-1], edge[1:], width), dropped)


def _grid_before(time: float, width: float) -> float:
    k = np.floor(time / width)
    return float((k if k * width <= time else k - 1) * width)


def _whole_bins(start: float, stop: float, width: float) -> tuple[int, float]:
    n_bins = int(np.floor((stop - start) / width + ROUNDING))
    return n_bins, max(0.0, stop - (start + n_bins * width)) if n_bins > 0 else 0.0


def _as_counts(
    node: xr.Dataset,
    values: np.ndarray,
    bins: _Bins,
    width: float,
    n_outside: int,
    start: float | None,
    stop: float | None,
) -> xr.DataArray:
    attrs = dict(node.attrs)
    # The rate at which voltages were sampled is not the rate of the counts.
    if "sampling_rate" in attrs:
        attrs["spike_sampling_rate"] = attrs.pop("sampling_rate")
    attrs |= {
        "units": "1",
        "long_name": "number of spikes",
        "bin_width": width,
        "bin_start": float(bins.edge[0]),
        "closed": "left",
        "dropped_s": float(bins.dropped),
        "n_spikes_outside": int(n_outside),
    }
    coords = {name: coord.variable for name, coord in node.coords.items() if coord.dims == ("unit",)}
    coords["time"] = xr.Variable("time", (bins.edge[:-1] + bins.edge[1:]) / 2, TIME_ATTRS)
    return xr.DataArray(
        values,
        dims=("time", "unit"),
        coords=coords,
        name="counts",
        attrs=with_operation(attrs, "bin_spikes", bin_width=width, start=start, stop=stop),
    )


def _from_counts(node: xr.Dataset, width: float, start: float | None, stop: float | None) -> xr.DataArray:
    """Sums of whole bins; a bin that is missing from the time coordinate or NaN was not observed."""
    counts = node["counts"].transpose("time", "unit")
    old = counts.attrs.get("bin_width", node.attrs.get("bin_width"))
    if old is None:
        raise MissingOptionError("counts with the attr bin_width (s)", "none", "set counts.attrs['bin_width']")
    ratio = width / old
    m = int(round(ratio))
    if m < 1 or abs(ratio - m) > ROUNDING * ratio:
        raise OptionError(
            f"a bin width that is a whole multiple of the {old:g} s in which the counts were made",
            f"{width:g} s",
            f"pass {max(m, 1) * old:g} or {(max(m, 1) + 1) * old:g}",
        )
    left = counts["time"].values - old / 2
    if left.size == 0:
        raise RecordingError("counts with at least one bin", "none", "pass another recording")
    begin = float(left[0]) if start is None else float(start)
    place = (left - begin) / old
    k = np.round(place).astype(np.int64)
    if np.abs(place - k).max() > 1e-3:
        raise OptionError(
            f"a start on the grid of the counts ({left[0]:g} + k * {old:g} s)",
            f"start {begin:g} s, or bins that are off their grid",
            "pass another start=, or leave it out",
        )
    end = begin + (int(k[-1]) + 1) * old if stop is None else float(stop)
    n_bins, dropped = _whole_bins(begin, end, width)
    if n_bins < 1:
        raise OptionError(f"at least one whole bin of {width:g} s", f"{end - begin:g} s", "pass a smaller bin_width")
    fine = np.full((n_bins * m, counts.sizes["unit"]), np.nan)
    used = (k >= 0) & (k < n_bins * m)
    values = np.asarray(counts.values, dtype=np.float64)
    fine[k[used]] = values[used]
    coarse = fine.reshape(n_bins, m, -1).sum(axis=1)
    counted = np.nansum(coarse)
    bins = _Bins(begin + np.arange(n_bins + 1) * width, np.isfinite(coarse).all(axis=1), dropped)
    whole = coarse.astype(np.int32) if np.isfinite(coarse).all() else coarse
    merged = node.assign_attrs(counts.attrs)
    return _as_counts(merged, whole, bins, width, int(np.nansum(values) - counted), start, stop)
