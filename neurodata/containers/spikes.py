"""Spike trains as one flat array of times sorted by unit then time (CF ragged; the NWB layout), and binned counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.core.indexing import ExplicitlyIndexed

from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import TIME_ATTRS, id_values, item_coords
from neurodata.containers._rows import unit_rows
from neurodata.containers.check import raise_problems, spikes_problems
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.schema import SECONDS

_SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def make_spikes(
    spike_time: Mapping[Any, Any] | Sequence[Any] | np.ndarray,
    spike_id: Any = None,
    *,
    unit: Any = None,
    spike_count: Any = None,
    time_unit: str | None = None,
    sampling_rate: float | None = None,
    sort: bool = False,
    support: Any = None,
    spike_sample: Any = None,
    spike_amplitude: Any = None,
    attrs: Mapping[str, Any] | None = None,
    **unit_coords: Any,
) -> xr.Dataset:
    """The `spikes` node from spike times.

    Parameters
    ----------
    spike_time : mapping, list of arrays, or array
        ``{unit id: times}``; a list with one array of times per unit; or all times in one array, with `spike_id`.
    spike_id : array (spike,), optional
        Unit id of each spike, for one flat array. May be in any order of units.
    unit : array (unit,), optional
        Ids of the units, kept as they are and in this order. Name units without spikes here so that they survive.
        Default: ``0..n-1`` for a list, the sorted distinct ids for a flat array.
    spike_count : array (unit,), optional
        Number of spikes of each unit, for one flat array that is already sorted by unit (instead of `spike_id`).
    time_unit : {"s", "ms", "us", "sample"}, optional
        Unit of `spike_time`. Stating ``"s"`` switches off the check for times that look like ms or samples.
    sampling_rate : float, optional
        Hz; needed for ``time_unit="sample"``.
    sort : bool
        Sort the times inside each unit. By default unsorted times are an error, because they often mean that
        times and ids do not belong together.
    support : array (epoch, 2), optional
        Start and stop (s) of the stretches that were recorded. Unknown when left out.
    spike_sample, spike_amplitude : array, optional
        One value per spike, in the order of `spike_time` (flat arrays only).
    attrs : mapping, optional
        Attributes of the node.
    **unit_coords
        Further facts, one value per unit: label, quality, channel, depth, x, y, region, ...

    Returns
    -------
    xarray.Dataset
        `spike_time` (spike; s), `spike_unit` (spike; row of unit), `spike_count` (unit), and what was given.

    Raises
    ------
    RecordingError
        Times that are NaN, negative (outside the support), unsorted, or look like ms; duplicate ids; no units.

    Examples
    --------
    >>> import neurodata as nd
    >>> node = nd.make_spikes({"a": [0.1, 0.5], "b": []})
    >>> node["spike_count"].values.tolist()
    [2, 0]
    """
    if isinstance(spike_time, Mapping):
        if unit is not None or spike_id is not None:
            raise OptionError("a mapping of unit id to times alone", "a mapping and unit= or spike_id=", "drop them")
        unit, spike_time = list(spike_time), list(spike_time.values())
    flat = isinstance(spike_time, np.ndarray) and spike_time.dtype != object or spike_id is not None
    order: np.ndarray | None = None
    if spike_count is not None:
        if spike_id is not None:
            raise OptionError("spike_id= or spike_count=", "both", "drop one")
        times, row, unit_ids = _from_counts(spike_time, spike_count, unit)
    elif flat:
        times, row, unit_ids, order = _from_flat(spike_time, spike_id, unit)
    else:
        times, row, unit_ids = _from_lists(spike_time, unit)
    times = _to_seconds(times, time_unit, sampling_rate)
    if sort:
        times, row = np.asarray(times), np.asarray(row)
        inside = np.lexsort((times, row))
        times, row = times[inside], row[inside]
        order = inside if order is None else order[inside]

    n_units = len(unit_ids)
    data: dict[str, Any] = {
        "spike_time": ("spike", times, {**TIME_ATTRS, "long_name": "spike time"}),
        "spike_unit": ("spike", row, {"long_name": "row of unit", "instance_dimension": "unit"}),
        "spike_count": (
            "unit",
            np.bincount(row, minlength=n_units).astype(np.int64) if spike_count is None else _counts(spike_count),
            {"units": "1", "long_name": "number of spikes", "sample_dimension": "spike"},
        ),
    }
    if time_unit is not None:
        data["spike_time"][2]["time_unit_stated"] = time_unit
    for name, values, dtype in (
        ("spike_sample", spike_sample, np.int64),
        ("spike_amplitude", spike_amplitude, np.float64),
    ):
        if values is None:
            continue
        column = np.asarray(values, dtype=dtype).reshape(-1)
        if column.shape != tuple(times.shape):
            raise RecordingError(f"one {name} per spike, {times.shape[0]}", f"{column.size}", f"check {name}=")
        data[name] = ("spike", column if order is None else column[order], {})
    if support is not None:
        epochs = np.asarray(support, dtype=np.float64).reshape(-1, 2)
        data["support_start"] = ("epoch", epochs[:, 0], {**TIME_ATTRS, "long_name": "start of recorded stretch"})
        data["support_stop"] = ("epoch", epochs[:, 1], {**TIME_ATTRS, "long_name": "stop of recorded stretch"})
    dataset = xr.Dataset(
        data,
        coords={"unit": ("unit", unit_ids), **item_coords("unit", n_units, unit_coords)},
        attrs=storable_attrs(attrs or {}),
    )
    raise_problems(spikes_problems(dataset, read=False))
    return dataset


def make_counts(
    counts: Any,
    bin_width: float,
    *,
    time: Any = None,
    start: float = 0.0,
    unit: Any = None,
    attrs: Mapping[str, Any] | None = None,
    **unit_coords: Any,
) -> xr.DataArray:
    """Binned spike counts (time, unit) from an array, for data that were binned elsewhere.

    Parameters
    ----------
    counts : array (time, unit)
        Non-negative whole numbers; NaN where not observed.
    bin_width : float
        s.
    time : array (time,), optional
        Bin centres, s; default ``start + (i + 0.5) * bin_width``.
    start : float
        Left edge of the first bin, s.
    unit : array (unit,), optional
        Ids.

    Returns
    -------
    xarray.DataArray
        int32 when everything was observed, else float64 with NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from neurodata.containers import make_counts
    >>> make_counts(np.ones((3, 2)), 0.5).time.values.tolist()
    [0.25, 0.75, 1.25]
    """
    values = np.asarray(counts)
    if values.ndim != 2:
        raise RecordingError("counts with dims (time, unit)", f"shape {values.shape}", "pass a two-dimensional array")
    if not np.isfinite(bin_width) or bin_width <= 0:
        raise MissingOptionError("a positive bin width in s", f"{bin_width!r}", "pass bin_width=")
    observed = np.isfinite(values)
    if (values[observed] < 0).any() or (values[observed] != np.round(values[observed])).any():
        raise RecordingError("counts that are whole and not negative", "others", "pass counts, not rates")
    values = values.astype(np.int32) if observed.all() else values.astype(np.float64)
    n_bins, n_units = values.shape
    centre = start + (np.arange(n_bins) + 0.5) * bin_width if time is None else np.asarray(time, dtype=np.float64)
    return xr.DataArray(
        values,
        dims=("time", "unit"),
        coords={
            "time": ("time", centre, TIME_ATTRS),
            "unit": ("unit", id_values(unit, n_units, "unit")),
            **item_coords("unit", n_units, unit_coords),
        },
        name="counts",
        attrs={"units": "1", "bin_width": float(bin_width), **storable_attrs(attrs or {})},
    )


def unit_slices(spikes: xr.Dataset) -> list[slice]:
    """Where each unit's spikes lie in `spike_time`, by row of `unit`.

    Examples
    --------
    >>> import neurodata as nd
    >>> from neurodata.containers import unit_slices
    >>> unit_slices(nd.make_spikes({"a": [0.1, 0.5], "b": [0.2]}))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    stop = np.cumsum(spikes["spike_count"].values)
    return [slice(int(b - n), int(b)) for b, n in zip(stop, spikes["spike_count"].values, strict=True)]


def _from_lists(trains: Any, unit: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays = [np.asarray(train).reshape(-1) for train in trains]
    counts = np.array([len(train) for train in arrays], dtype=np.int64)
    times = np.concatenate(arrays) if arrays else np.zeros(0)
    return times, np.repeat(np.arange(len(arrays)), counts), id_values(unit, len(arrays), "unit")


def _counts(spike_count: Any) -> np.ndarray:
    return np.asarray(spike_count, dtype=np.int64).reshape(-1)


def _from_counts(spike_time: Any, spike_count: Any, unit: Any) -> tuple[Any, Any, np.ndarray]:
    # Arrays that are still in their file stay there.
    times: Any = spike_time if isinstance(spike_time, ExplicitlyIndexed) else np.asarray(spike_time).reshape(-1)
    count = _counts(spike_count)
    if (count < 0).any() or count.sum() != times.shape[0]:
        raise RecordingError(
            f"counts that add up to the {times.shape[0]} spikes",
            f"{count.sum()}",
            "check spike_count= against the times",
        )
    return times, unit_rows(count), id_values(unit, count.size, "unit")


def _from_flat(
    spike_time: Any, spike_id: Any, unit: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    times = np.asarray(spike_time).reshape(-1)
    if spike_id is None:
        raise MissingOptionError(
            "the unit of each spike", "one flat array of times", "pass spike_id=, or {unit id: times}"
        )
    ids = np.asarray(spike_id).reshape(-1)
    if ids.shape != times.shape:
        raise RecordingError(
            "as many unit ids as spike times", f"{times.size} times and {ids.size} ids", "check spike_id="
        )
    known = np.unique(ids) if unit is None else np.asarray(unit)
    by_id = np.argsort(known, kind="stable")
    position = np.searchsorted(known[by_id], ids) if known.size else np.zeros(ids.size, dtype=int)
    found = np.zeros(ids.size, dtype=bool) if not known.size else known[by_id][position.clip(max=known.size - 1)] == ids
    if not found.all():
        raise RecordingError(
            "every spike to belong to a unit of unit=",
            f"{(~found).sum()} spikes of unknown units, e.g. {ids[~found][0]!r}",
            "add them to unit=, or leave unit= out",
        )
    row = by_id[position].astype(np.int64, copy=False) if ids.size else np.zeros(0, dtype=np.int64)
    if not (row[1:] < row[:-1]).any():  # sorted by unit already
        return times, row, id_values(known, known.size, "unit"), None
    order = np.argsort(row, kind="stable")
    return times[order], row[order], id_values(known, known.size, "unit"), order


def _to_seconds(times: Any, time_unit: str | None, sampling_rate: float | None) -> Any:
    if isinstance(times, ExplicitlyIndexed):
        if time_unit in (None, "s") and np.dtype(getattr(times, "dtype", None)) == np.float64:
            return times
        times = np.asarray(times)
    if time_unit == "sample":
        if sampling_rate is None:
            raise MissingOptionError("the sampling rate of spike times in samples", "none", "pass sampling_rate= (Hz)")
        return times.astype(np.float64) / sampling_rate
    if time_unit not in (None, *_SCALE):
        raise OptionError(
            "time_unit 's', 'ms', 'us' or 'sample'", f"{time_unit!r}", f"state the unit ({SECONDS} or other)"
        )
    times = times.astype(np.float64, copy=False)
    return times if time_unit in (None, "s") else times * _SCALE[time_unit]
