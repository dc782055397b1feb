"""The objects of an NWB file (HDF5): their types, text, links, the times of a series, and table columns.

An NWB file says of every object what type it is (attr ``neurodata_type``) and carries the specification of all types,
so types of extensions are resolved to the core type they derive from without any package installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from neurodata.errors import FormatError


def text(value: Any) -> str:
    """One text value of an HDF5 attribute or scalar dataset; "" when there is none."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, np.ndarray):
        return ", ".join(text(item) for item in value.reshape(-1).tolist())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def child_text(group: h5py.Group, name: str) -> str:
    """Text of a scalar dataset in a group, or ""."""
    return text(group[name]) if name in group else ""


@dataclass(frozen=True)
class NwbFile:
    """An open NWB file."""

    file: h5py.File

    @cached_property
    def _parents(self) -> dict[str, str]:
        """Type to the type it derives from, out of the specifications in the file."""
        parents: dict[str, str] = {}

        def collect(spec: dict[str, Any]) -> None:
            name, parent = spec.get("neurodata_type_def"), spec.get("neurodata_type_inc")
            if name and parent:
                parents[name] = parent
            for key in ("groups", "datasets"):
                for child in spec.get(key, []):
                    collect(child)

        specifications = self.file.get("specifications", {})
        for namespace in specifications.values():
            for version in namespace.values():
                for source in version.values():
                    try:
                        collect(json.loads(text(source)))
                    except ValueError:
                        continue  # a damaged specification only costs the types of its extension
        return parents

    def types(self, item: h5py.Group | h5py.Dataset) -> list[str]:
        """The type of an object and those it derives from, most specific first; empty for plain groups."""
        name = text(item.attrs.get("neurodata_type"))
        found: list[str] = []
        while name and name not in found:
            found.append(name)
            name = _CORE_PARENTS.get(name) or ("" if name in _CORE_ROOTS else self._parents.get(name, ""))
        return found

    def children(self, group: h5py.Group) -> Iterator[tuple[str, Any]]:
        """Objects of a group in the order of their names; None for a link that leads nowhere."""
        for name in group:
            try:
                yield name, group[name]
            except (KeyError, OSError):
                yield name, None


# Parents of the common types, so that the specification (a megabyte of JSON) is read for extensions only.
_CORE_PARENTS = {
    "ElectricalSeries": "TimeSeries",
    "SpikeEventSeries": "ElectricalSeries",
    "RoiResponseSeries": "TimeSeries",
    "SpatialSeries": "TimeSeries",
    "AnnotationSeries": "TimeSeries",
    "IntervalSeries": "TimeSeries",
    "ImageSeries": "TimeSeries",
    "OnePhotonSeries": "ImageSeries",
    "TwoPhotonSeries": "ImageSeries",
    "OpticalSeries": "ImageSeries",
    "ImageMaskSeries": "ImageSeries",
    "IndexSeries": "TimeSeries",
    "DecompositionSeries": "TimeSeries",
    "AbstractFeatureSeries": "TimeSeries",
    "OptogeneticSeries": "TimeSeries",
    "PatchClampSeries": "TimeSeries",
    "CurrentClampSeries": "PatchClampSeries",
    "VoltageClampSeries": "PatchClampSeries",
    "TimeSeries": "NWBDataInterface",
    "TimeIntervals": "DynamicTable",
    "Units": "DynamicTable",
    "PlaneSegmentation": "DynamicTable",
    "DynamicTable": "Container",
    "Fluorescence": "NWBDataInterface",
    "DfOverF": "NWBDataInterface",
    "LFP": "NWBDataInterface",
    "FilteredEphys": "NWBDataInterface",
    "ProcessingModule": "NWBContainer",
    "NWBDataInterface": "NWBContainer",
    "NWBContainer": "Container",
    "Container": "Data",
    "PoseEstimationSeries": "SpatialSeries",
    "PoseEstimation": "NWBDataInterface",
    "ElectrodesTable": "DynamicTable",
    "ElectrodeGroup": "NWBContainer",
    "ImagingPlane": "NWBContainer",
    "Device": "NWBContainer",
    "Subject": "NWBContainer",
    "NWBFile": "NWBContainer",
    "ElementIdentifiers": "Data",
    "VectorData": "Data",
    "VectorIndex": "VectorData",
    "DynamicTableRegion": "VectorData",
}
_CORE_ROOTS = {"Data"}


@dataclass(frozen=True)
class SeriesTime:
    """When the samples of a series were taken: a start and a rate, or a time for each, in s."""

    start: float = 0.0
    rate: float | None = None
    timestamps: np.ndarray | None = None

    def same(self, other: SeriesTime, n: int) -> bool:
        """Whether two series of `n` samples share their times."""
        if self.timestamps is None or other.timestamps is None:
            return self.timestamps is other.timestamps and (self.start, self.rate) == (other.start, other.rate)
        return self.timestamps.shape == other.timestamps.shape and np.array_equal(self.timestamps, other.timestamps)

    def arguments(self) -> dict[str, Any]:
        """As the constructors of nodes take it."""
        return {"time": self.timestamps, "sampling_rate": self.rate, "start": self.start}

    def values(self, n: int) -> np.ndarray:
        """The time of each of `n` samples, s."""
        if self.timestamps is not None:
            return self.timestamps
        assert self.rate is not None
        return self.start + np.arange(n) / self.rate


def series_time(series: h5py.Group) -> SeriesTime:
    """The times of a TimeSeries."""
    n = series["data"].shape[0] if "data" in series and series["data"].ndim else 0
    if "timestamps" in series:
        timestamps = np.asarray(series["timestamps"][()], dtype=np.float64).reshape(-1)
        if "data" in series and timestamps.size != n:
            raise FormatError(
                f"one timestamp for each of the {n} samples of {series.name}",
                f"{timestamps.size}",
                "mend the file, or pass skip=[...] with this path to leave it out",
            )
        return SeriesTime(timestamps=timestamps)
    if "starting_time" in series and "rate" in series["starting_time"].attrs:
        start = series["starting_time"]
        return SeriesTime(start=float(start[()]), rate=float(start.attrs["rate"]))
    raise FormatError(
        f"timestamps, or a starting_time with its rate, in {series.name}",
        "neither",
        "mend the file, or pass skip=[...] with this path to leave it out",
    )


def table_ids(table: h5py.Group) -> np.ndarray:
    """The ids of the rows of a DynamicTable."""
    if "id" not in table:
        raise FormatError(f"a table with ids at {table.name}", "no dataset 'id'", "the file is damaged; copy it again")
    return np.asarray(table["id"][()], dtype=np.int64)


def column_names(table: h5py.Group) -> list[str]:
    """Names of the columns of a DynamicTable in their stated order, then those it does not state."""
    stated = [text(name) for name in np.atleast_1d(table.attrs.get("colnames", []))]
    index = {f"{name}_index" for name in table}
    there = [name for name in table if name != "id" and isinstance(table[name], h5py.Dataset)]
    more = [name for name in there if name not in stated and not (name in index and name.endswith("_index"))]
    return [name for name in stated if name in there] + [
        name for name in more if name.removesuffix("_index") not in there
    ]


def row_stops(table: h5py.Group, name: str) -> np.ndarray | None:
    """Where each row of a ragged column ends in its flat data (int64); None for a plain column."""
    index = table.get(f"{name}_index")
    if index is None:
        return None
    stops = np.asarray(index[()]).astype(np.int64)
    n = table[name].shape[0]
    if stops.size and ((np.diff(stops, prepend=0) < 0).any() or stops[-1] > n):
        raise FormatError(
            f"{name}_index of {table.name} that grows up to the {n} values of {name}",
            f"values from {stops.min()} to {stops.max()}",
            "the file is damaged; copy it again",
        )
    return stops


def column(table: h5py.Group, name: str, join: bool = False) -> np.ndarray | None:
    """One value per row of a table: numbers or text; None when the column holds something else.

    References become the last part of the name of what they refer to. With `join`, lists of text become one text.
    """
    data = table[name]
    stops = row_stops(table, name)
    if f"{name}_index_index" in table or data.ndim != 1 or data.dtype.names is not None:
        return None
    values = flat_values(data)
    if values is None or stops is None:
        return values
    if not join or values.dtype.kind != "O":
        return None
    starts = np.concatenate([[0], stops[:-1]])
    return np.array(["; ".join(values[a:b]) for a, b in zip(starts, stops, strict=True)], dtype=object)


def flat_values(data: h5py.Dataset) -> np.ndarray | None:
    """A one-dimensional dataset as numbers or (object) text; None when it is neither."""
    if h5py.check_ref_dtype(data.dtype) is h5py.Reference:
        file = data.file
        return np.array([file[ref].name.rsplit("/", 1)[-1] if ref else "" for ref in data[()]], dtype=object)
    if h5py.check_string_dtype(data.dtype) is not None:
        return np.array([text(item) for item in data[()]], dtype=object)
    if data.dtype.kind not in "biuf":
        return None
    values = data[()]
    # bool is kept by h5py as an enum of int8, and comes as bool
    return values.astype(np.int64) if values.dtype.kind == "u" else values
