"""Stretches of data around events, on a time axis relative to the event."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers._coords import TIME_ATTRS
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.preprocess._apply import node_of
from neurodata.preprocess._onsets import Onsets, onsets_of
from neurodata.preprocess._sampling import sampling_step, time_values
from neurodata.preprocess.bin import ROUNDING, inside, recorded_stretches, sorted_spikes, unsorted_error

# How far a sample may be from where the grid of its trial has it, in steps. Half a step is the nearest sample;
# a little less keeps one sample from standing for two places of the grid.
_REACH = 0.5 - 1e-6


def epoch(
    data: xr.DataArray | xr.Dataset | xr.DataTree,
    at: Any,
    window: tuple[float, float],
    *,
    kind: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | Any = None,
    column: str | None = None,
    bin_width: float | None = None,
    baseline: tuple[float, float] | None = None,
    drop: bool = False,
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Cut data around events.

    Parameters
    ----------
    data : DataArray (time, ...), Dataset or DataTree
        A signal, traces, counts; or a `spikes` node or a recording with spikes, which are counted per trial.
    at : array (trial,), DataArray, Dataset or DataTree
        Times in s; or an `events` node (its `onset`), or a `trials` node (its `start`). NaN = unknown: all NaN.
    window : (before, after)
        From `before` seconds before each event to `after` seconds after it, both given as positive numbers.
    kind : str or list of str, optional
        Only the events with this `description`.
    where : mapping or bool array, optional
        Only the rows with these values, ``{"stimulus": "left"}`` or ``{"contrast": [0.5, 1.0]}``, or where True.
    column : str, optional
        Column with the times, e.g. ``"response_time"``.
    bin_width : float, optional
        s; for spikes only, and needed there. Bin edges lie at the event and whole widths from it.
    baseline : (start, stop), optional
        Subtract each trial's mean over this stretch, in s relative to the event (negative = before it). NaN is left
        out; without any value there the trial is NaN.
    drop : bool
        Leave out trials that are not recorded from beginning to end. Ids stay as they are.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray (trial, time, ...)
        `time` is relative to the event, s. Coordinates of `trial`: the ids, `onset` (s, on the recording's clock),
        and the columns of the table. Nothing is interpolated: samples are taken as they are, and
        `sample_offset` (trial; s) says how far the sample at time 0 lies after the event. Where the recording has no
        sample within half a step (gaps, before its start, after its end) there is NaN, never a neighbour. Spikes
        give int32 counts when all bins were recorded, else float64 with NaN; without known recorded stretches
        (`support_start`), all times count as recorded.
        Dask arrays stay lazy; of lazy arrays of a file only the windows are read.

    Raises
    ------
    OptionError
        A window without a sample or bin; unknown columns or kinds; no event left.
    MissingOptionError
        `bin_width` for spikes.
    RecordingError
        Data without time.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> node = nd.make_eeg(np.arange(10.0)[:, None], sampling_rate=10.0)
    >>> trials = nd.preprocess.epoch(node["signal"], at=[0.5, 0.9], window=(0.1, 0.2))
    >>> trials.isel(channel=0).values.tolist()
    [[4.0, 5.0, 6.0, 7.0], [8.0, 9.0, nan, nan]]
    >>> trials.time.values.round(3).tolist()
    [-0.1, 0.0, 0.1, 0.2]
    """
    before, after = (float(value) for value in window)
    if not (np.isfinite([before, after]).all() and before >= 0 and after >= 0 and before + after > 0):
        raise OptionError(
            "window=(before, after), both in s and positive: (0.2, 0.5) is from 0.2 s before to 0.5 s after",
            f"{window!r}",
            "for a window that begins after the event, take window=(0, after) and select from it",
        )
    onsets = onsets_of(at, kind, where, column)
    if isinstance(data, xr.DataArray):
        if bin_width is not None:
            raise OptionError(
                "bin_width= for spikes only", "a DataArray", "bin spikes from their node, or leave it out"
            )
        cut, complete = _cut(data, onsets, before, after, sampling_rate)
    else:
        cut, complete = _count(node_of(data, "spikes"), onsets, before, after, bin_width)
    settings = {
        "window": [before, after],
        "kind": kind,
        "where": "mask" if where is not None and not isinstance(where, Mapping) else where,
        "column": column,
        "bin_width": bin_width,
        "baseline": baseline,
        "drop": drop,
        "n_trials": int(complete.size),
        "n_incomplete": int((~complete).sum()),
    }
    if drop:
        cut = cut.isel(trial=np.flatnonzero(complete))
    if baseline is not None:
        cut = _without_baseline(cut, baseline)
    return cut.assign_attrs(with_operation(cut.attrs, "epoch", **settings))


def _cut(
    data: xr.DataArray, onsets: Onsets, before: float, after: float, sampling_rate: float | None
) -> tuple[xr.DataArray, np.ndarray]:
    if "trial" in data.dims:
        raise RecordingError("data without a dim trial", f"dims {data.dims}", "pass continuous data")
    time = time_values(data)
    if time.size == 0:
        raise RecordingError("data with samples", "none", "pass another recording")
    step = sampling_step(data, time, sampling_rate)
    offset = np.arange(-int(np.floor(before / step + ROUNDING)), int(np.floor(after / step + ROUNDING)) + 1)
    index, place, shift = _nearest(time, onsets.time, offset, step)
    found = index >= 0
    values = _take(data, index, found)
    others = [str(dim) for dim in data.dims if dim != "time"]
    coords: dict[Hashable, Any] = {n: c for n, c in data.coords.items() if "time" not in c.dims}
    coords["time"] = ("time", place, TIME_ATTRS)
    result = xr.DataArray(
        xr.Variable(("trial", "time", *others), values), coords=coords, name=data.name, attrs=dict(data.attrs)
    )
    result = _with_trials(result, onsets).assign_coords(
        sample_offset=("trial", shift, {"units": "s", "long_name": "time of the sample at 0, relative to the event"})
    )
    return result, np.asarray(found.all(axis=1))


def _nearest(
    time: np.ndarray, onset: np.ndarray, offset: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of the sample at each place of each trial's grid, -1 where there is none.

    The grid of a trial goes in steps from the sample that is nearest to its event, so that inside a stretch without
    gap it runs over the samples themselves, whatever the rounding of their times.

    Returns
    -------
    index : int64 array (trial, place)
    place : float64 array (place,)
        s, relative to the event.
    shift : float64 array (trial,)
        s, from the event to the grid's time 0; NaN where the event's time is unknown.
    """
    known = np.isfinite(onset)
    event = np.where(known, onset, time[0])
    anchor = _closest(time, event)
    # An event in a gap or beyond the ends has no sample at 0; its grid is that of the nearest sample all the same.
    away = np.round((time[anchor] - event) / step)
    zero = time[anchor] - away * step
    target = zero[:, None] + offset * step
    row = _closest(time, target)
    fits = (np.abs(time[row] - target) <= _REACH * step) & known[:, None]
    return np.where(fits, row, -1), offset * step, np.where(known, zero - event, np.nan)


def _closest(time: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    right = np.searchsorted(time, wanted).clip(0, time.size - 1)
    left = (right - 1).clip(min=0)
    return np.where(wanted - time[left] <= time[right] - wanted, left, right)


def _take(data: xr.DataArray, index: np.ndarray, found: np.ndarray) -> Any:
    """Values (trial, time, ...) at the rows of `index`, NaN where not found; whole numbers stay when all are found."""
    moved = data.variable.transpose("time", ...)
    kind = moved.dtype if found.all() or moved.dtype.kind == "f" else np.dtype(np.float64)
    if data.chunks is not None:
        taken = moved.isel(time=xr.Variable(("trial", "time"), index.clip(min=0))).astype(kind)
        if found.all():
            return taken.data
        import dask.array

        seen = found.reshape(*found.shape, *[1] * (taken.ndim - 2))
        return dask.array.where(seen, taken.data, np.array(np.nan, dtype=kind))
    values = np.full((*index.shape, *moved.shape[1:]), np.nan if kind.kind == "f" else 0, dtype=kind)
    for trial in range(index.shape[0]):
        rows = index[trial][found[trial]]
        if rows.size:
            # One contiguous read per trial, also from a lazy array of a file, of which only the windows are read.
            first = int(rows[0])
            block = moved[first : int(rows[-1]) + 1].values
            values[trial, found[trial]] = block[rows - first]
    return values


def _count(
    node: xr.Dataset, onsets: Onsets, before: float, after: float, bin_width: float | None
) -> tuple[xr.DataArray, np.ndarray]:
    from neurodata.kernels.binning_nb import count_around

    if "spike_time" not in node:
        raise RecordingError(
            "spikes with spike_time", f"{list(map(str, node.data_vars))}", "pass the DataArray counts itself"
        )
    if bin_width is None:
        raise MissingOptionError("the width of the bins", "spikes without bin_width", "pass bin_width= (s)")
    width = float(bin_width)
    if not np.isfinite(width) or width <= 0:
        raise OptionError("a positive bin width in s", f"{bin_width!r}", "pass bin_width= in s")
    edge = np.arange(-int(np.floor(before / width + ROUNDING)), int(np.floor(after / width + ROUNDING)) + 1) * width
    if edge.size < 2:
        raise OptionError(f"a window of at least one bin of {width:g} s", f"({before:g}, {after:g})", "widen it")
    times, first, last = sorted_spikes(node)
    known = np.isfinite(onsets.time)
    around = np.where(known, onsets.time, 0.0)[:, None] + edge
    counts = np.zeros((around.shape[0], edge.size - 1, first.size), dtype=np.int32)
    row = count_around(times, first, last, around, counts)
    if row >= 0:
        raise unsorted_error(node, row)
    recorded = inside(recorded_stretches(node), around[:, :-1], around[:, 1:], width) & known[:, None]
    values: np.ndarray = counts
    if not recorded.all():
        values = counts.astype(np.float64)
        values[~recorded] = np.nan
    attrs = dict(node.attrs)
    if "sampling_rate" in attrs:
        attrs["spike_sampling_rate"] = attrs.pop("sampling_rate")
    attrs |= {"units": "1", "long_name": "number of spikes", "bin_width": width, "closed": "left"}
    coords: dict[Hashable, Any] = {n: c for n, c in node.coords.items() if c.dims == ("unit",)}
    coords["time"] = ("time", (edge[:-1] + edge[1:]) / 2, TIME_ATTRS)
    result = xr.DataArray(values, dims=("trial", "time", "unit"), coords=coords, name="counts", attrs=attrs)
    return _with_trials(result, onsets), np.asarray(recorded.all(axis=1))


def _with_trials(data: xr.DataArray, onsets: Onsets) -> xr.DataArray:
    """Ids, onset and columns of the table as coordinates; a name that is taken gets the prefix "trial_"."""
    coords: dict[str, Any] = {"trial": ("trial", onsets.trial), "onset": ("trial", onsets.time, dict(TIME_ATTRS))}
    coords["onset"][2]["long_name"] = "time of the event"
    taken = {*map(str, data.coords), *map(str, data.dims), *coords, "sample_offset", str(data.name)}
    for name, variable in onsets.columns.items():
        coords[f"trial_{name}" if name in taken else name] = variable
    return data.assign_coords(coords)


def _without_baseline(cut: xr.DataArray, baseline: tuple[float, float]) -> xr.DataArray:
    start, stop = baseline
    time = cut["time"].values
    # Half a nanosecond of slack: 0.1 and 3 * 0.1 / 3 name the same sample.
    rows = np.flatnonzero((time >= start - 5e-10) & (time <= stop + 5e-10))
    if rows.size == 0:
        raise OptionError(
            f"a baseline with samples inside the window ({time[0]:g} to {time[-1]:g} s)",
            f"{baseline}",
            "pass baseline=(start, stop) relative to the event, negative before it",
        )
    part = cut.isel(time=rows)
    total = part.fillna(0).sum("time") if cut.dtype.kind == "f" else part.sum("time")
    number = part.notnull().sum("time")
    return (cut - total / number.where(number > 0)).transpose(*cut.dims).assign_attrs(cut.attrs).rename(cut.name)
