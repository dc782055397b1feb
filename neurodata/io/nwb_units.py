"""The Units table of an NWB file as a `spikes` node, read from its two flat datasets and never as a data frame."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurodata.containers._coords import column_values, variable_name
from neurodata.containers.spikes import make_spikes
from neurodata.errors import FormatError
from neurodata.io.h5_lazy import StoredTrains, lazy
from neurodata.io.nwb_objects import column, column_names, flat_values, row_stops, table_ids

# Names that a column cannot have as a coordinate: variables and dims of the node, and arguments of its constructor.
_TAKEN = {
    *("unit", "spike", "epoch", "time", "spike_time", "spike_id", "spike_unit", "spike_count", "spike_sample"),
    *("spike_amplitude", "support", "support_start", "support_stop", "counts", "time_unit", "sampling_rate", "sort"),
    "attrs",
}


# Tables with this many spikes (8 MB) stay in the file until they are used; they are checked when they are read.
_LATER_FROM = 2**20
# Names under which pipelines write one amplitude per spike.
_AMPLITUDES = ("spike_amplitudes", "spike_amplitude", "amplitudes")


def read_units(
    table: h5py.Group,
    left_out: list[str],
    *,
    time_unit: str | None,
    sampling_rate: float | None,
    sort: bool,
    support: Any,
) -> xr.Dataset | None:
    """The `spikes` node of a Units table; None (and a line in `left_out`) when it has no spike times."""
    ids = table_ids(table)
    if "spike_times" not in table or "spike_times_index" not in table:
        left_out.append(f"{table.name} (Units without spike_times)")
        return None
    stops = row_stops(table, "spike_times")
    assert stops is not None
    if stops.size != ids.size or (stops[-1] if stops.size else 0) != table["spike_times"].shape[0]:
        raise FormatError(
            f"spike_times_index of {table.name} with one stop per unit ({ids.size}), the last after the last spike "
            f"({table['spike_times'].shape[0]})",
            f"{stops.size} stops, the last {stops[-1] if stops.size else 'missing'}",
            "the file is damaged; copy it again",
        )
    coords: dict[str, Any] = {}
    amplitude = None
    for name in column_names(table):
        if name in ("spike_times", "obs_intervals"):
            continue
        if name in _AMPLITUDES and amplitude is None and _per_spike(table, name, stops):
            amplitude = table[name][()]
            continue
        if name == "electrodes":
            coords |= _electrodes(table, ids.size, left_out)
            continue
        values = column(table, name)
        if values is None or values.shape != ids.shape:
            left_out.append(f"{table.name}/{name} (several values per unit)")
            continue
        safe, attrs = variable_name(name)
        if safe in _TAKEN:
            safe, attrs = f"{safe}_", {"source_name": name}
        coords[safe] = xr.Variable("unit", column_values(values), attrs)
    if support is None:
        support = _support(table, left_out)
    resolution = table["spike_times"].attrs.get("resolution")
    data, count = table["spike_times"], np.diff(stops, prepend=0)
    later = data.size >= _LATER_FROM and data.dtype == np.float64 and time_unit in (None, "s") and not sort
    times = lazy(_stored_trains(data, count, ids, support, look=time_unit is None)) if later else data[()]
    return make_spikes(
        times,
        spike_count=count,
        unit=ids,
        time_unit=time_unit,
        sampling_rate=sampling_rate,
        sort=sort,
        support=support,
        spike_amplitude=amplitude,
        attrs={"source_name": table.name, **({} if resolution is None else {"resolution": float(resolution)})},
        **coords,
    )


def _stored_trains(data: h5py.Dataset, count: np.ndarray, ids: np.ndarray, support: Any, look: bool) -> StoredTrains:
    epochs = None if support is None else np.asarray(support, dtype=np.float64).reshape(-1, 2)
    return StoredTrains(os.path.abspath(data.file.filename), data.name, count, ids, epochs, look)


def _per_spike(table: h5py.Group, name: str, stops: np.ndarray) -> bool:
    """Whether a ragged column holds one number for each spike."""
    own = row_stops(table, name)
    return own is not None and np.array_equal(own, stops) and table[name].ndim == 1 and table[name].dtype.kind in "iuf"


def _support(table: h5py.Group, left_out: list[str]) -> np.ndarray | None:
    """The observation intervals, when they are the same for all units."""
    if "obs_intervals" not in table or "obs_intervals_index" not in table:
        return None
    stops = row_stops(table, "obs_intervals")
    intervals = np.asarray(table["obs_intervals"][()], dtype=np.float64).reshape(-1, 2)
    assert stops is not None
    each = np.split(intervals, stops[:-1]) if stops.size else []
    if not each or not len(each[0]) or any(not np.array_equal(each[0], other) for other in each[1:]):
        left_out.append(f"{table.name}/obs_intervals (they differ between units, or are empty)")
        return None
    return each[0]


def _electrodes(table: h5py.Group, n_units: int, left_out: list[str]) -> dict[str, xr.Variable]:
    """`channel` (id of the electrode) and `region` when each unit has one electrode, else `electrodes` as text."""
    rows = np.asarray(table["electrodes"][()], dtype=np.int64)
    reference = table["electrodes"].attrs.get("table")
    stops = row_stops(table, "electrodes")
    if rows.ndim != 1 or not reference:
        left_out.append(f"{table.name}/electrodes (no table they refer to)")
        return {}
    electrodes = table.file[reference]
    ids = table_ids(electrodes)
    if rows.size and (rows.min() < 0 or rows.max() >= ids.size):
        raise FormatError(
            f"electrodes of {table.name} among the {ids.size} rows of {electrodes.name}",
            f"rows {rows.min()} to {rows.max()}",
            "the file is damaged; copy it again",
        )
    stops = np.arange(1, rows.size + 1) if stops is None else stops
    count = np.diff(stops, prepend=0)
    location = flat_values(electrodes["location"]) if "location" in electrodes else None
    if count.size == n_units and (count == 1).all():
        found = {"channel": xr.Variable("unit", ids[rows])}
        if location is not None and "region" not in table:
            found["region"] = xr.Variable("unit", location[rows].astype(str))
        return found
    each = np.split(ids[rows], stops[:-1])
    joined = np.array([", ".join(map(str, part.tolist())) for part in each], dtype=str)
    return {"electrodes": xr.Variable("unit", joined, {"long_name": "ids of the electrodes of the unit"})}
