"""Nodes of a recording from pynapple objects; `bridge_pynapple` says which object stands for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers import (
    make_behaviour,
    make_calcium,
    make_counts,
    make_eeg,
    make_events,
    make_spikes,
    make_trials,
)
from neurodata.containers._coords import column_values
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.io._cluster_tables import coord_name
from neurodata.schema import modality_of

# Dims whose labels a TsdTensor cannot carry.
_LABELS = ("space", "keypoint", "individual")


def node_from(nap: Any, name: str, objects: Mapping[str, Any]) -> xr.Dataset:
    """The node `name` from its objects by variable ("" for an object that is the whole node)."""
    modality = modality_of(name)
    made = None
    rest = dict(objects)
    whole = rest.pop("", None)
    frames = (nap.Tsd, nap.TsdFrame, nap.TsdTensor)
    if modality == "spikes" and isinstance(whole, nap.TsGroup):
        made = _spikes(nap, whole)
    elif modality == "trials" and isinstance(whole, (nap.IntervalSet, pd.DataFrame)):
        made = _trials(whole)
    elif modality == "events" and isinstance(whole, (nap.TsGroup, nap.Ts, nap.IntervalSet)):
        made = _events(nap, whole)
    elif isinstance(whole, frames):
        rest["counts" if modality == "spikes" else _MAIN.get(modality or "", "")] = whole
    elif whole is not None:
        raise _unfit(name, "", whole)
    if not rest:
        if made is None:
            raise _unfit(name, "", whole)
        return made
    for variable, item in rest.items():
        if not isinstance(item, frames) or variable not in _VARIABLES.get(modality or "", ()):
            raise _unfit(name, variable, item)
    if modality == "spikes":
        counts = _counts(nap, rest["counts"])
        return counts if made is None else made.merge(counts)
    return {"calcium": _calcium, "eeg": _eeg, "behaviour": _behaviour}[modality or ""](nap, rest)


_MAIN = {"calcium": "fluorescence", "eeg": "signal", "behaviour": "value"}
_VARIABLES = {
    "spikes": ("counts",),
    "calcium": ("fluorescence", "neuropil", "deconvolved", "dff"),
    "eeg": ("signal",),
    "behaviour": ("value", "position", "confidence"),
}


def with_attrs_of(made: xr.Dataset, like: xr.DataTree, name: str) -> xr.Dataset:
    """The node with the attributes, and the labels of tracked points, of the same node of `like`."""
    if name not in like.children:
        return made
    model = like.children[name].to_dataset(inherit=False)
    labels = {dim: model[dim] for dim in _LABELS if dim in model.coords and model.sizes[dim] == made.sizes.get(dim)}
    made = made.assign_coords(labels)
    made.attrs = dict(model.attrs)
    for variable in made.variables:
        if variable in model.variables:
            made.variables[variable].attrs = dict(model.variables[variable].attrs)
    return made


def _unfit(name: str, variable: str, item: Any) -> OptionError:
    return OptionError(
        "TsGroup for spikes, IntervalSet for trials, Ts, TsGroup or IntervalSet for events, and Tsd, TsdFrame or "
        "TsdTensor for 'calcium/fluorescence', 'eeg/signal', 'behaviour/value', 'spikes/counts' and the like",
        f"{type(item).__name__} for {name}{'/' if variable else ''}{variable}",
        "name the objects so",
    )


def _spikes(nap: Any, group: Any) -> xr.Dataset:
    columns = {str(name): column_values(group.metadata[name]) for name in group.metadata_columns if name != "rate"}
    order = np.arange(len(group.index))
    if "unit_row" in columns:
        order = np.argsort(columns.pop("unit_row"), kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    ids = columns.pop("unit", np.asarray(group.index, dtype=np.int64)[order])
    members = [group[int(key)] for key in np.asarray(group.index)[order]]
    times = [np.asarray(member.t, dtype=np.float64) for member in members]
    amplitude = None
    if members and all(isinstance(member, nap.Tsd) for member in members):
        amplitude = np.concatenate([np.asarray(member.d, dtype=np.float64) for member in members])
    support = np.asarray(group.time_support.values)
    coords: dict[str, Any] = {}
    for name, column in columns.items():
        safe, attrs = coord_name(name)
        coords[safe] = xr.Variable("unit", column, attrs)
    return make_spikes(
        np.concatenate([np.zeros(0), *times]),
        spike_count=[part.size for part in times],
        unit=ids,
        time_unit="s",
        support=support if len(support) else None,
        spike_amplitude=amplitude,
        **coords,
    )


def _trials(item: Any) -> xr.Dataset:
    if isinstance(item, pd.DataFrame):
        frame = item.copy()
    else:
        frame = pd.DataFrame({"start": item.start, "stop": item.end})
        for name in item.metadata_columns:
            frame[str(name)] = column_values(item.metadata[name])
    ids = frame.pop("trial").to_numpy() if "trial" in frame else None
    return make_trials(frame, trial=ids)


def _events(nap: Any, item: Any) -> xr.Dataset:
    if isinstance(item, nap.IntervalSet):
        return make_events(item.start, item.end - item.start)
    if isinstance(item, nap.Ts):
        return make_events(item.t)
    named = "description" in item.metadata_columns
    onset, duration, text = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, dtype=str)]
    for row, key in enumerate(item.index):
        member = item[int(key)]
        onset.append(np.asarray(member.t))
        duration.append(np.asarray(member.d, dtype=float) if isinstance(member, nap.Tsd) else np.zeros(len(member)))
        kind = str(item.metadata["description"].iloc[row]) if named else str(key)
        text.append(np.full(len(member), kind))
    times = np.concatenate(onset)
    order = np.argsort(times, kind="stable")
    return make_events(times[order], np.concatenate(duration)[order], np.concatenate(text)[order])


def _parts(nap: Any, item: Any) -> tuple[np.ndarray, np.ndarray, Any, dict[str, Any]]:
    """Times, values of two dims or more, ids of the columns (None without), and their metadata."""
    time, values = np.asarray(item.t, dtype=np.float64), np.asarray(item.d)
    if not isinstance(item, nap.TsdFrame):
        return time, values[:, None] if values.ndim == 1 else values, None, {}
    labels = np.asarray(item.columns)
    # pandas makes objects of labels; whole numbers stay numbers.
    whole = labels.size and all(isinstance(label, (int, np.integer)) for label in labels)
    columns = {str(name): column_values(item.metadata[name]) for name in item.metadata_columns}
    return time, values, labels.astype(np.int64) if whole else labels.astype(str), columns


def _together(nap: Any, objects: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any], Any, dict[str, Any]]:
    """Variables of one node, which share their times; ids and metadata are those of the first that has them."""
    times: np.ndarray | None = None
    values: dict[str, Any] = {}
    ids: Any = None
    columns: dict[str, Any] = {}
    for variable, item in objects.items():
        time, array, own_ids, own_columns = _parts(nap, item)
        if times is not None and not np.array_equal(time, times):
            raise RecordingError(
                "variables of one node at the same times", f"{variable} at others", "name the nodes behaviour_2, ..."
            )
        times, values[variable] = time, array
        ids, columns = (own_ids, own_columns) if ids is None else (ids, columns)
    assert times is not None
    return times, values, ids, columns


def _calcium(nap: Any, objects: Mapping[str, Any]) -> xr.Dataset:
    time, values, ids, columns = _together(nap, objects)
    return make_calcium(**values, roi=ids, time=time, **columns)


def _eeg(nap: Any, objects: Mapping[str, Any]) -> xr.Dataset:
    time, values, ids, columns = _together(nap, objects)
    position = None
    if {"x", "y", "z"} <= set(columns):
        position = np.column_stack([columns.pop(axis) for axis in "xyz"])
    return make_eeg(values["signal"], channel=ids, time=time, position=position, **columns)


def _behaviour(nap: Any, objects: Mapping[str, Any]) -> xr.Dataset:
    time, values, ids, columns = _together(nap, objects)
    if "confidence" in values and "position" not in values:
        raise MissingOptionError(
            "behaviour/position beside behaviour/confidence", "confidence alone", "pass both under these names"
        )
    unit = columns.pop("signal_unit", "")
    node = make_behaviour(**values, signal=ids, unit=unit, time=time)
    return node.assign_coords({name: ("signal", column) for name, column in columns.items()})


def _counts(nap: Any, item: Any) -> xr.Dataset:
    time, values, ids, columns = _parts(nap, item)
    step = np.diff(time)
    width = float(np.median(step)) if step.size else np.nan
    # Bins of one width with gaps between them; anything narrower is not that width.
    if not step.size or (step < width * (1 - 1e-6)).any():
        raise MissingOptionError("counts in bins of one width", "times that do not say which", "bin the spikes here")
    counts = make_counts(values, width, time=time, unit=ids, **columns)
    return counts.to_dataset(name="counts")
