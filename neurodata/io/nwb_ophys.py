"""ROI traces of an NWB file as `calcium` nodes: one per plane (and time base)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurodata.containers._coords import column_values, variable_name
from neurodata.containers.calcium import make_calcium
from neurodata.errors import FormatError
from neurodata.io.nwb_objects import SeriesTime, child_text, column, column_names, row_stops, series_time, table_ids
from neurodata.io.nwb_series import scaling

_TAKEN = {
    *("roi", "time", "pixel", "fluorescence", "neuropil", "deconvolved", "dff", "sampling_rate", "start", "masks"),
    *("attrs", "mask_row", "mask_col", "mask_weight", "mask_count", "is_cell", "cell_probability", "x", "y", "plane"),
}


@dataclass
class Plane:
    """Series that share plane, ROIs and times."""

    table: h5py.Group
    rows: np.ndarray
    time: SeriesTime
    n_times: int
    traces: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where its first series is."""
        return next(iter(self.sources.values()))


def kind_of_trace(series: h5py.Group, parent_types: list[str]) -> str:
    """Which variable a RoiResponseSeries is, by what holds it and by its name.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("x.h5", "w", driver="core", backing_store=False) as file:
    ...     kind_of_trace(file.create_group("Fluorescence/NeuropilPlane0"), ["Fluorescence"])
    'neuropil'
    """
    name, held_by = (part.lower() for part in series.name.rsplit("/", 2)[-1:-3:-1])
    if "DfOverF" in parent_types:
        return "dff"
    for where in (name, held_by):
        if "neuropil" in where:
            return "neuropil"
        if any(word in where for word in ("deconv", "spike", "event")):
            return "deconvolved"
        if any(word in where for word in ("dff", "df_over_f", "dfoverf", "deltaf")):
            return "dff"
    return "fluorescence"


@dataclass
class OphysParts:
    """Traces gathered over the file, grouped by plane, ROIs and times."""

    planes: list[Plane] = field(default_factory=list)

    def add(self, series: h5py.Group, parent_types: list[str]) -> None:
        """Take in one RoiResponseSeries."""
        rois = series["rois"]
        table = series.file[rois.attrs["table"]]
        rows = np.asarray(rois[()], dtype=np.int64).reshape(-1)
        if rows.size and (rows.min() < 0 or rows.max() >= table_ids(table).size):
            raise FormatError(
                f"ROIs of {series.name} among the {table_ids(table).size} rows of {table.name}",
                f"rows {rows.min()} to {rows.max()}",
                "the file is damaged; copy it again",
            )
        data = series["data"]
        shape = (*data.shape, 1) if data.ndim == 1 else data.shape
        if len(shape) != 2 or shape[1] != rows.size:
            raise FormatError(
                f"data (time, {rows.size} ROIs) in {series.name}",
                f"shape {data.shape}",
                "the file has time and ROIs in another order; mend it, or pass skip=[...] with this path",
            )
        scale, offset, _ = scaling(data)
        values = data[()].reshape(shape)
        if (scale, offset) != (1.0, 0.0):
            values = values * scale + offset
        time, kind = series_time(series), kind_of_trace(series, parent_types)
        for plane in self.planes:
            if (
                plane.table == table
                and np.array_equal(plane.rows, rows)
                and plane.n_times == shape[0]
                and plane.time.same(time, shape[0])
                and kind not in plane.traces
            ):
                break
        else:
            plane = Plane(table, rows, time, shape[0])
            self.planes.append(plane)
        plane.traces[kind], plane.sources[kind] = values, series.name

    def node(self, plane: Plane, left_out: list[str]) -> xr.Dataset:
        """The `calcium` node of one plane and time base; `plane` numbers the segmentations."""
        order = list(dict.fromkeys(plane.table.name for plane in self.planes))
        return _node(plane, order.index(plane.table.name), left_out)


def _node(plane: Plane, number: int, left_out: list[str]) -> xr.Dataset:
    table, rows = plane.table, plane.rows
    ids = table_ids(table)
    coords: dict[str, Any] = {"plane": np.full(rows.size, number, dtype=np.int64)}
    traces: dict[str, Any] = dict(plane.traces)
    mask_column = next((name for name in ("pixel_mask", "image_mask") if name in table), None)
    for name in column_names(table):
        if name == mask_column:
            continue
        data = table[name]
        if name.lower() in ("iscell", "is_cell") and data.dtype.kind in "biuf" and data.shape[0] == ids.size:
            cells = np.asarray(data[()])[rows]
            coords["is_cell"] = (cells if cells.ndim == 1 else cells[:, 0]).astype(bool)
            if cells.ndim == 2 and cells.shape[1] > 1:
                coords["cell_probability"] = cells[:, 1]
        elif "centroid" in name.lower() and data.ndim == 2 and data.shape[0] == ids.size and data.shape[1] in (2, 3):
            centre = np.asarray(data[()], dtype=np.float64)[rows]
            coords["x"], coords["y"] = centre[:, 0], centre[:, 1]
        else:
            values = column(table, name, join=True)
            if values is None or values.shape != ids.shape:
                left_out.append(f"{table.name}/{name} (several values per ROI)")
                continue
            safe, attrs = variable_name(name)
            if safe in _TAKEN:
                safe, attrs = f"{safe}_", {"source_name": name}
            coords[safe] = xr.Variable("roi", column_values(values[rows]), attrs)
    return make_calcium(
        **traces,
        **plane.time.arguments(),
        roi=ids[rows],
        masks=None if mask_column is None else _masks(table, mask_column, rows),
        attrs={"source_names": plane.sources, "plane_segmentation": table.name, **_imaging(table)},
        **coords,
    )


def _masks(table: h5py.Group, name: str, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows, columns, weights) of each ROI: x of a pixel is its column; axis 0 of an image mask is the row."""
    if name == "image_mask":
        found = []
        for row in rows:
            mask = table[name][int(row)]
            where = np.nonzero(mask)
            found.append((where[0], where[1], np.asarray(mask)[where]))
        return found
    stops = row_stops(table, name)
    if stops is None:
        raise FormatError(f"an index of {name} in {table.name}", "none", "the file is damaged; copy it again")
    starts = np.concatenate([[0], stops[:-1]])
    pixels = table[name][()]
    each = [pixels[starts[row] : stops[row]] for row in rows]
    return [(part["y"].astype(np.int64), part["x"].astype(np.int64), part["weight"]) for part in each]


def _imaging(table: h5py.Group) -> dict[str, Any]:
    """Indicator and location of the imaging plane."""
    if "imaging_plane" not in table:
        return {}
    plane = table["imaging_plane"]
    facts = {key: child_text(plane, key) for key in ("indicator", "location")}
    return {"imaging_plane": plane.name.rsplit("/", 1)[-1], **{key: value for key, value in facts.items() if value}}
