"""Neurodata Without Borders (NWB 2, HDF5): units, ROI traces, electrical series, trials, intervals, behaviour.

The structure is read with h5py by the types that the file states; large series stay in the file. What a node of the
recording cannot hold is named in the root's metadata as `left_out`, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers.recording import make_recording
from neurodata.errors import FormatError, OptionError, RecordingError
from neurodata.io.nwb_objects import NwbFile, child_text, text
from neurodata.io.nwb_ophys import OphysParts
from neurodata.io.nwb_series import (
    BehaviourParts,
    event_rows,
    interval_rows,
    make_event_node,
    read_electrical,
    read_pose,
    read_trials,
)
from neurodata.io.nwb_units import read_units
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, HDF5_MAGIC, NO, Reader, has_suffix, starts_with

# Where data are; /general holds facts about them.
_SECTIONS = ("acquisition", "processing", "stimulus/presentation", "analysis", "scratch", "intervals", "units")
# Objects that belong to others and are read with them.
_PARTS = {"PlaneSegmentation", "ImagingPlane", "Device", "ElectrodeGroup", "Images", "DynamicTableRegion"}


def detect(path: Path) -> int:
    """HDF5 files that carry an NWB version; by suffix when they cannot be opened."""
    named = has_suffix(path, (".nwb",))
    if not path.is_file() or not starts_with(path, HDF5_MAGIC):
        return BY_SUFFIX if named and path.is_file() else NO
    try:
        with h5py.File(path, "r") as file:
            if "nwb_version" in file.attrs or "nwb_version" in file:
                return BY_CONTENT
    except (OSError, ValueError, RuntimeError):
        pass
    return BY_SUFFIX if named else NO


def read(
    path: Path,
    *,
    time_unit: str | None = None,
    sampling_rate: float | None = None,
    sort: bool = False,
    support: Any = None,
    ch_type: str | None = None,
    skip: Sequence[str] = (),
) -> xr.DataTree:
    """Read an NWB file.

    Parameters
    ----------
    path : Path
    time_unit : {"s", "ms", "us", "sample"}, optional
        Unit of the spike times. NWB means s; published files with ms exist, and are refused until it is stated.
    sampling_rate : float, optional
        Hz; for ``time_unit="sample"``.
    sort : bool
        Sort the spikes inside each unit instead of refusing unsorted ones.
    support : array (epoch, 2), optional
        Start and stop (s) of the stretches in which the units were observed; default the file's obs_intervals.
    ch_type : str, optional
        Type of all channels of electrical series. Default: "lfp" inside an LFP container, what the name of the series
        says (eeg, ieeg, ecog, emg, ecg, eog, meg as words of it), else "lfp".
    skip : list of str
        Paths inside the file to leave out, e.g. ``["/processing/behavior/Position"]``.

    Returns
    -------
    DataTree
        `spikes` (Units), `calcium` (RoiResponseSeries; one node per plane and time base), `eeg` (ElectricalSeries; one
        node each), `trials`, `events` (other intervals, annotations, behavioural events; `description` is the name of
        the table or series, or the annotation), `behaviour` (spatial and other series, one node per time base; poses).
    """
    if isinstance(skip, str):
        raise OptionError("a list of paths inside the file", repr(skip), f"pass skip=[{skip!r}]")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FormatError(
            "a complete NWB file (HDF5)", f"{path.name}: {error}", "the file is damaged or cut short; copy it again"
        ) from error
    with file:
        version = text(file.attrs.get("nwb_version")) or (text(file["nwb_version"]) if "nwb_version" in file else "")
        if not version.lstrip("v").startswith("2"):
            raise FormatError(
                "an NWB file of version 2",
                f"{path.name}: " + (f"version {version}" if version else "HDF5 without an nwb_version"),
                "convert NWB 1 files first" if version else "read other HDF5 files with reader='hdf5' and mapping=",
            )
        gathered = _Gathered(
            NwbFile(file),
            units={"time_unit": time_unit, "sampling_rate": sampling_rate, "sort": sort, "support": support},
            ch_type=ch_type,
            skip={"/" + name.strip("/") for name in skip},
        )
        try:
            nodes = gathered.read()
            attrs = _facts(file, version)
        except (KeyError, OSError, RuntimeError, UnicodeDecodeError) as error:
            raise FormatError(
                "a complete NWB file",
                f"{path.name}: {type(error).__name__}: {error}",
                "the file is damaged or cut short; copy it again, or leave the object out with skip=[...]",
            ) from error
    if not nodes:
        raise FormatError(
            "an NWB file with units, ROI traces, electrical series, trials, events or behaviour",
            f"{path.name} holds {', '.join(gathered.left_out) or 'none of them'}",
            "open it with pynwb",
        )
    return make_recording(nodes, attrs={**attrs, "left_out": gathered.left_out})


@dataclass
class _Gathered:
    """One walk over the file."""

    nwb: NwbFile
    units: dict[str, Any]
    ch_type: str | None
    skip: set[str]
    left_out: list[str] = field(default_factory=list)
    found: dict[str, list[xr.Dataset]] = field(default_factory=dict)
    ophys: OphysParts = field(default_factory=OphysParts)
    behaviour: BehaviourParts = field(default_factory=BehaviourParts)
    rows: list[pd.DataFrame] = field(default_factory=list)
    seen: set[Any] = field(default_factory=set)

    def read(self) -> dict[str, xr.Dataset]:
        """The nodes, in the order of the file; the second of a kind is named `<kind>_2`."""
        for section in _SECTIONS:
            if section in self.nwb.file:
                self._visit(self.nwb.file[section], f"/{section}", [])
        for plane in self.ophys.planes:
            node = self._guard(plane.path, partial(self.ophys.node, plane, self.left_out))
            self.found.setdefault("calcium", []).append(node)
        for group in self.behaviour.groups:
            self.found.setdefault("behaviour", []).append(self._guard(group.path, group.node))
        if self.rows:
            self.found["events"] = [make_event_node(self.rows)]
        self.left_out = sorted(set(self.left_out))
        return {
            kind if i == 0 else f"{kind}_{i + 1}": node
            for kind, nodes in self.found.items()
            for i, node in enumerate(nodes)
        }

    def _guard(self, path: str, make: Callable[[], Any]) -> Any:
        """What `make` makes; an error of the data says where in the file they are."""
        try:
            return make()
        except RecordingError as error:
            raise RecordingError(
                error.expected, f"{path}: {error.got}", f"{error.fix}; skip=[{path!r}] leaves it out"
            ) from error

    def _add_rows(self, path: str, rows: pd.DataFrame) -> None:
        missing = int((~np.isfinite(rows["onset"].to_numpy(dtype=np.float64))).sum())
        if missing:
            raise RecordingError(
                f"a time for each row of {path}",
                f"{missing} that are NaN or infinite",
                f"skip=[{path!r}] leaves it out",
            )
        self.rows.append(rows)

    def _visit(self, item: Any, path: str, parents: list[str]) -> None:
        if path in self.skip:
            self.left_out.append(f"{path} (skip)")
            return
        if item is None:
            self.left_out.append(f"{path} (a link that leads nowhere)")
            return
        # The same object through a second link is not read again.
        info = h5py.h5o.get_info(item.id)
        if (info.fileno, info.addr) in self.seen:
            return
        self.seen.add((info.fileno, info.addr))
        types = self.nwb.types(item)
        if self._take(item, types, parents):
            return
        if _PARTS & set(types):
            return
        if isinstance(item, h5py.Group) and not _is_leaf(types):
            for name, child in self.nwb.children(item):
                self._visit(child, f"{path}/{name}", types or parents)
        elif types:
            self.left_out.append(f"{path} ({types[0]})")

    def _take(self, item: Any, types: list[str], parents: list[str]) -> bool:
        """Read an object that has a place in a recording."""
        kinds, path = set(types), str(item.name)
        if "Units" in kinds:
            node = self._guard(path, lambda: read_units(item, self.left_out, **self.units))
            if node is not None:
                self.found.setdefault("spikes", []).append(node)
        elif "TimeIntervals" in kinds:
            if path == "/intervals/trials":
                self.found["trials"] = [self._guard(path, lambda: read_trials(item, self.left_out))]
            else:
                self._add_rows(path, interval_rows(item, self.left_out))
        elif "SpikeEventSeries" in kinds or "data" not in item and "TimeSeries" in kinds:
            return False
        elif "ElectricalSeries" in kinds:
            node = self._guard(path, lambda: read_electrical(item, parents, self.ch_type, self.left_out))
            self.found.setdefault("eeg", []).append(node)
        elif "RoiResponseSeries" in kinds:
            self.ophys.add(item, parents)
        elif kinds & {"AnnotationSeries", "IntervalSeries"} or "TimeSeries" in kinds and "BehavioralEvents" in parents:
            rows = event_rows(item, types)
            if rows is None:
                return False
            self._add_rows(path, rows)
        elif "PoseEstimation" in kinds:
            series = [child for _, child in self.nwb.children(item) if "PoseEstimationSeries" in self.nwb.types(child)]
            node = self._guard(path, lambda: read_pose(item, series)) if series else None
            if node is None:
                return False
            self.found.setdefault("behaviour", []).append(node)
        elif types[:1] == ["TimeSeries"] or "SpatialSeries" in kinds:
            return self.behaviour.add(item, types)
        else:
            return False
        return True


def _is_leaf(types: list[str]) -> bool:
    """Whether an object that has no place in a recording is data itself, not something that holds data."""
    return bool({"TimeSeries", "DynamicTable", "Image"} & set(types))


def _facts(file: h5py.File, version: str) -> dict[str, Any]:
    """Subject, session and lab facts, and what time zero is."""
    general: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype) is not None and item.ndim < 2:
            # Columns of tables are not facts about the session.
            if "colnames" not in item.parent.attrs and text(item[()]):
                general[name] = text(item[()])
        elif isinstance(item, h5py.Dataset) and item.ndim == 0 and item.dtype.kind in "iuf":
            general[name] = item[()].item()

    if "general" in file:
        file["general"].visititems(note)
    reference = child_text(file, "timestamps_reference_time") or child_text(file, "session_start_time")
    return {
        "source_format": "nwb",
        "source_format_version": version,
        "clock": "s from the timestamps_reference_time of the NWB file",
        "time_origin": reference,
        "session_start_time": child_text(file, "session_start_time"),
        "session_description": child_text(file, "session_description"),
        "identifier": child_text(file, "identifier"),
        "subject_id": child_text(file, "general/subject/subject_id"),
        "session_id": child_text(file, "general/session_id"),
        "general": general,
    }


READER = Reader(
    name="nwb",
    formats="NWB 2 (HDF5)",
    modalities=("spikes", "calcium", "eeg", "behaviour", "trials", "events"),
    suffixes=(".nwb",),
    detect=detect,
    read=read,
)
