"""Recordings as pynapple objects, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers import make_recording, unit_slices
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io._pynapple import node_from, with_attrs_of
from neurodata.schema import modality_of

# A step longer than this many usual steps is a gap, as in the summary of a recording.
_GAP_STEPS = 1.5
# pynapple keeps its own `rate`, and takes these for the ends of an interval.
_TAKEN = ("rate", "start", "end", "index")


def to_pynapple(rec: xr.DataTree) -> dict[str, Any]:
    """A recording as pynapple objects.

    Parameters
    ----------
    rec : DataTree
        One recording.

    Returns
    -------
    dict
        - ``"spikes"``: TsGroup by unit id (by row, with the ids as metadata `unit`, where ids are text), every unit
          in it; coordinates of `unit` are its metadata; the time support is the recorded stretches, or from the
          first to the last spike of all units where those are not known. Members are Tsd of amplitudes where the
          recording has them.
        - ``"calcium/fluorescence"``, ``"eeg/signal"``, ``"behaviour/value"``, ``"spikes/counts"``, ...: TsdFrame with
          ids as columns and coordinates as metadata; `position` and `confidence`: TsdTensor. The time support leaves
          out the gaps.
        - ``"trials"``: IntervalSet with the other columns as metadata.
        - ``"events"``: TsGroup with one Tsd per description, its values the durations (s).

    Notes
    -----
    pynapple merges intervals that overlap, cuts a microsecond where one begins as another ends, and drops rows that
    are NaN, unordered or empty. Trials that it would change so, or that have no start and stop, come as the DataFrame
    they are, with a warning; recorded stretches that touch are given as one. It cannot hold attributes, sample
    numbers, columns of events, masks, the labels of keypoints, or the nodes `video` and `truth`; metadata named
    `rate`, `start`, `end` or `index` get an underscore. Arrays that are read when used are read whole.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({3: [0.1, 0.5], 7: []}, support=[[0, 1]]))
    >>> to_pynapple(rec)["spikes"].index.tolist()
    [3, 7]
    """
    nap = require("pynapple", "", "to make its objects")
    objects: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Names such as "x/y" are fine as keys; only attribute access is lost.
        warnings.filterwarnings("ignore", message="Metadata name", category=UserWarning)
        for name, child in rec.children.items():
            node, modality = child.to_dataset(inherit=False), modality_of(name)
            if modality is None:
                raise RecordingError("one recording", f"the node {name!r}", "pass the recordings one by one")
            if modality == "spikes" and "spike_time" in node:
                objects[name] = _group(nap, node)
            elif modality == "trials":
                objects[name] = _intervals(nap, node, name)
            elif modality == "events":
                objects[name] = _event_group(nap, node)
            if modality in ("spikes", "calcium", "eeg", "behaviour"):
                for variable in node.data_vars:
                    if node[variable].dims[:1] == ("time",) and node[variable].ndim > 1:
                        objects[f"{name}/{variable}"] = _frame(nap, node, str(variable))
    return objects


def from_pynapple(objects: Any, *, node: str | None = None, like: xr.DataTree | None = None) -> xr.DataTree:
    """A recording from pynapple objects.

    Parameters
    ----------
    objects : TsGroup, Ts, Tsd, TsdFrame, TsdTensor, IntervalSet, or dict
        A dict names them as `to_pynapple` does: ``{"spikes": TsGroup, "calcium/dff": TsdFrame, ...}``.
    node : str, optional
        Where a single object goes (``"calcium/fluorescence"``). Default: spikes for a TsGroup, trials for an
        IntervalSet, events for a Ts, ``behaviour/value`` for a Tsd or TsdFrame.
    like : DataTree, optional
        A recording whose attributes (units, sampling rate, clock, ...) the new one takes over where it has the same
        nodes and variables: what pynapple cannot hold.

    Returns
    -------
    DataTree
        The time support of a TsGroup becomes `support`. With `like`, ``from_pynapple(to_pynapple(rec), like=rec)`` is
        identical to a recording that pynapple can hold (see the notes of `to_pynapple`).

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({3: [0.1, 0.5], 7: []}, support=[[0, 1]]))
    >>> from_pynapple(to_pynapple(rec), like=rec).identical(rec)
    True
    """
    nap = require("pynapple", "", "to read its objects")
    given = objects if isinstance(objects, Mapping) and not isinstance(objects, nap.TsGroup) else None
    if given is None:
        given = {node or _default_node(nap, objects): objects}
    parts: dict[str, dict[str, Any]] = {}
    for key, item in given.items():
        name, _, variable = str(key).partition("/")
        parts.setdefault(name, {})[variable] = item
    nodes = {name: node_from(nap, name, variables) for name, variables in parts.items()}
    if like is not None:
        nodes = {name: with_attrs_of(made, like, name) for name, made in nodes.items()}
        return make_recording(nodes, attrs={str(key): value for key, value in like.attrs.items()})
    return make_recording(nodes, attrs={"source_format": "pynapple"})


def _group(nap: Any, node: xr.Dataset) -> Any:
    support = _support(nap, node)
    times = node["spike_time"].values
    values = node["spike_amplitude"].values if "spike_amplitude" in node else None
    ids = node["unit"].values
    keys = ids if ids.dtype.kind in "iu" else np.arange(ids.size)
    # A TsGroup puts its members in the order of their keys: given in that order, metadata cannot go astray.
    order = np.argsort(keys, kind="stable")
    slices = unit_slices(node)
    members = {
        int(keys[row]): nap.Ts(times[slices[row]], time_support=support)
        if values is None
        else nap.Tsd(t=times[slices[row]], d=values[slices[row]], time_support=support)
        for row in order
    }
    columns = {} if keys is ids else {"unit": ids}
    columns |= _metadata(node, "unit")
    columns = {name: column[order] for name, column in columns.items()}
    if (np.diff(order) < 0).any():
        columns["unit_row"] = order
    group = nap.TsGroup(members, time_support=support, metadata=columns)
    kept = sum(len(group[int(key)]) for key in keys)
    if kept != times.size:
        raise RecordingError(
            "spikes that pynapple keeps", f"{times.size - kept} of {times.size} dropped", "check the support"
        )
    return group


def _support(nap: Any, node: xr.Dataset) -> Any:
    """Recorded stretches, those that touch as one; pynapple needs a support of some length."""
    if "support_start" in node and node.sizes["epoch"]:
        start, stop = node["support_start"].values, node["support_stop"].values
        apart = np.flatnonzero(start[1:] > stop[:-1])
        start, stop = start[np.r_[0, apart + 1]], stop[np.r_[apart, stop.size - 1]]
    else:
        times = node["spike_time"].values
        if not times.size:
            return nap.IntervalSet(np.zeros(0), np.zeros(0))
        start, stop = times.min(keepdims=True), times.max(keepdims=True)
    return nap.IntervalSet(start, _not_empty(start, stop))


def _not_empty(start: np.ndarray, stop: np.ndarray, length: float = 1e-6) -> np.ndarray:
    """Stops of stretches; one that is a single instant is given a length."""
    return np.where(stop > start, stop, start + length)


def _frame(nap: Any, node: xr.Dataset, variable: str) -> Any:
    array = node[variable]
    time, dims = array["time"].values, array.dims
    values = np.asarray(array.values)
    if not time.size:
        support = None
    else:
        step = float(np.median(np.diff(time))) if time.size > 1 else 1e-6
        after = np.flatnonzero(np.diff(time) > _GAP_STEPS * step) + 1
        first, last = time[np.r_[0, after]], time[np.r_[after, time.size] - 1]
        support = nap.IntervalSet(first, _not_empty(first, last, step / 2))
    if values.ndim > 2:
        return nap.TsdTensor(t=time, d=values, time_support=support)
    dim = str(dims[1])
    return nap.TsdFrame(
        t=time, d=values, columns=node[dim].values, time_support=support, metadata=_metadata(node, dim) or None
    )


def _intervals(nap: Any, node: xr.Dataset, name: str) -> Any:
    frame = pd.DataFrame({str(variable): node[variable].values for variable in node.data_vars})
    ids = node["trial"].values
    if not np.array_equal(ids, np.arange(ids.size)):
        frame["trial"] = ids
    reason = "there are no start and stop"
    if {"start", "stop"} <= set(frame.columns):
        start, stop = frame["start"].to_numpy(), frame["stop"].to_numpy()
        if not (np.isfinite(start).all() and np.isfinite(stop).all()):
            reason = "some starts or stops are missing"
        elif (stop <= start).any():
            reason = "some have no length"
        elif (start[1:] <= stop[:-1]).any():
            reason = "some touch, overlap or are not in the order of time"
        else:
            rest = {_free(column): frame[column].to_numpy() for column in frame.columns.drop(["start", "stop"])}
            return nap.IntervalSet(start, stop, metadata=rest or None)
    warnings.warn(
        f"{name} is given as a DataFrame, because a pynapple IntervalSet would change it: {reason}",
        NeurodataWarning,
        stacklevel=3,
    )
    return frame


def _event_group(nap: Any, node: xr.Dataset) -> Any:
    onset, text = node["onset"].values, node["description"].values.astype(str)
    duration = node["duration"].values
    kinds = list(dict.fromkeys(text.tolist()))
    support = nap.IntervalSet(np.zeros(0), np.zeros(0))
    if onset.size:
        start, stop = onset.min(keepdims=True), onset.max(keepdims=True)
        support = nap.IntervalSet(start, _not_empty(start, stop))
    members = {}
    for key, kind in enumerate(kinds):
        here = np.flatnonzero(text == kind)
        here = here[np.argsort(onset[here], kind="stable")]
        members[key] = nap.Tsd(t=onset[here], d=duration[here], time_support=support)
    return nap.TsGroup(members, time_support=support, metadata={"description": np.array(kinds, dtype=str)})


def _metadata(node: xr.Dataset, dim: str) -> dict[str, np.ndarray]:
    return {
        _free(str(name)): np.asarray(coord.values)
        for name, coord in node.coords.items()
        if coord.dims == (dim,) and name != dim
    }


def _free(name: str) -> str:
    return f"{name}_" if name in _TAKEN else name


def _default_node(nap: Any, item: Any) -> str:
    for kinds, name in (
        ((nap.TsGroup,), "spikes"),
        ((nap.IntervalSet,), "trials"),
        ((nap.Ts,), "events"),
        ((nap.Tsd, nap.TsdFrame), "behaviour/value"),
    ):
        if isinstance(item, kinds):
            return name
    if isinstance(item, nap.TsdTensor):
        raise MissingOptionError("what a TsdTensor is", "an array without names", "pass node=, e.g. 'spikes/counts'")
    raise OptionError("pynapple objects, or a dict of them", type(item).__name__, "pass one of them")
