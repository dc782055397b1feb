"""The check of a recording: every problem in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers._rows import count_behind
from neurodata.errors import RecordingError
from neurodata.schema import IDENTITY_DIM, SECONDS, TIME_VARIABLES, VARIABLES, modality_of

# Names that xarray or NetCDF use for themselves: a variable that carries one would come back changed.
_RESERVED_ATTRS = {"_FillValue", "missing_value", "scale_factor", "add_offset", "coordinates", "dtype", "_Unsigned"}

# Spike times in seconds have intervals far below these; times in ms or samples do not. Pooled over all units:
# a median interval of 10 s is a rate of 0.1 Hz, and a 1st percentile of 0.5 s means that no unit ever bursts.
_MEDIAN_INTERVAL_S = 10.0
_SHORT_INTERVAL_S = 0.5
_MIN_INTERVALS = 100
_SAMPLED_INTERVALS = 20_000
# Spikes looked at at once: 1 MB of times and rows.
_BLOCK = 2**16


def check(rec: xr.DataTree, *, read: bool = True) -> xr.DataTree:
    """Check a recording (or a tree of recordings) and return it unchanged.

    Parameters
    ----------
    rec : DataTree
    read : bool
        Also read and check spike times that are still in their file. `nd.load` leaves those of large files for later:
        they are checked when they are first used.

    Raises
    ------
    RecordingError
        With every problem found, not only the first.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    >>> nd.check(rec) is rec
    True
    """
    raise_problems(problems(rec, read=read))
    return rec


def problems(rec: Any, *, read: bool = True) -> list[str]:
    """Every problem of a recording, as sentences; empty when there are none."""
    from neurodata.containers.recording import is_recording, recordings

    if not isinstance(rec, xr.DataTree):
        return [f"a recording is an xarray.DataTree, not a {type(rec).__name__}; build one with nd.make_recording"]
    if not is_recording(rec):
        several = list(recordings(rec))
        if not several:
            return [f"no node is named after a modality; the children are {list(rec.children)}"]
        return [f"{path}: {text}" for path, child in several for text in problems(child, read=read)]
    found = _attr_problems("the root", rec.attrs)
    for name, node in rec.children.items():
        modality = modality_of(name)
        dataset = node.to_dataset(inherit=False)
        own = spikes_problems(dataset, read=read) if modality == "spikes" else _CHECKS[modality or ""](dataset)
        found += [f"{name}: {text}" for text in own]
        found += [f"{name}: a node holds variables, not further nodes ({child})" for child in node.children]
    return found


def raise_problems(found: Iterable[str]) -> None:
    """Raise one error that lists all problems, if there are any."""
    found = list(found)
    if found:
        raise RecordingError(
            "a recording that follows the schema",
            f"{len(found)} problem{'s' if len(found) > 1 else ''}:\n" + "\n".join(f"  - {text}" for text in found),
            "mend the source, or pass the option that states the missing fact",
        )


def spikes_problems(node: xr.Dataset, *, read: bool = True) -> list[str]:
    """Problems of a `spikes` node; without `read`, spike times that are not in memory are left alone."""
    found = _common_problems(node, "spikes")
    if node.sizes.get("unit", 0) == 0:
        found.append("there are no units")
    if "counts" in node:
        found += _increasing_problems(node, "time")
        if "spike_time" not in node:
            return found
    missing = [name for name in ("spike_time", "spike_unit", "spike_count") if name not in node]
    if missing:
        return [*found, f"variables {missing} are missing"]
    stored, spike_unit = node.variables["spike_time"], node.variables["spike_unit"]
    wrong = stored.dtype.kind != "f" or spike_unit.dtype.kind != "i" or stored.shape != spike_unit.shape
    if wrong or not (read or stored._in_memory):
        return found
    times, count = stored.values, node["spike_count"].values
    behind = count_behind(spike_unit)
    trains = [] if behind is not None and np.array_equal(behind, count) else _row_problems(spike_unit.values, count)
    if trains:
        return found + trains
    support = [node[name].values for name in ("support_start", "support_stop") if name in node]
    look = "time_unit_stated" not in node["spike_time"].attrs and not found
    return found + train_problems(times, count, node["unit"].values, support, look=look)


def _row_problems(row: np.ndarray, count: np.ndarray) -> list[str]:
    """Whether `spike_unit` goes through the rows of unit in order, as often as `spike_count` says."""
    if not row.size:
        return [] if not count.any() else ["spike_count does not count the spikes of each unit"]
    low, high = int(row.min()), int(row.max())
    if low < 0 or high >= count.size:
        return [f"spike_unit must be rows of unit (0 to {count.size - 1}), but spans {low} to {high}"]
    found = []
    if not np.array_equal(np.bincount(row, minlength=count.size), count):
        found.append("spike_count does not count the spikes of each unit")
    if any((row[at + 1 : at + _BLOCK + 1] < row[at : at + _BLOCK][: row.size - at - 1]).any() for at in _blocks(row)):
        found.append("spikes are not sorted by unit")
    return found


def train_problems(
    times: np.ndarray, count: np.ndarray, unit: np.ndarray, support: list[np.ndarray], *, look: bool
) -> list[str]:
    """Problems of the spike times of units that follow one another. Each pass counts: 10 million spikes are common.

    Parameters
    ----------
    times : array (spike,)
    count, unit : array (unit,)
    support : list of two arrays (epoch,), or empty
        Starts and stops.
    look : bool
        Judge from the intervals whether the times are seconds.
    """
    found = []
    stop = np.cumsum(count)
    if stop.size and stop[-1] != times.size:
        return ["spike_count does not count the spikes of each unit"]
    some = count > 0
    first, last = times[(stop - count)[some]], times[stop[some] - 1]
    back = _steps_back(times, stop)
    if back.size or not (np.isfinite(first).all() and np.isfinite(last).all()):
        infinite = int(np.count_nonzero(~np.isfinite(times)))
        if infinite:
            return [f"{infinite} spike times are NaN or infinite"]
        unsorted = np.unique(np.searchsorted(stop, back, side="right"))
        names = unit[unsorted[:5]].tolist()
        found.append(
            f"spike times of {unsorted.size} unit(s) are not sorted, e.g. {names}; "
            "check that times and ids belong together, then pass sort=True"
        )
        first = last = times
    found += _support_problems(times, stop, unit, support, first, last)
    if look and not found and times.size - np.count_nonzero(count) >= _MIN_INTERVALS:
        found += _unit_of_time_problems(times, stop)
    return found


def _blocks(values: np.ndarray) -> range:
    """Starts of blocks that stay in the cache: an array is read from memory once, and none of its size is made."""
    return range(0, max(values.size - 1, 0), _BLOCK)


def _steps_back(times: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Positions of spikes that do not come at or after the one before them in their unit (a NaN never does)."""
    found = [np.zeros(0, dtype=np.int64)]
    onward = np.empty(_BLOCK, dtype=bool)
    for at in _blocks(times):
        after = times[at + 1 : at + _BLOCK + 1]
        step = np.greater_equal(after, times[at : at + after.size], out=onward[: after.size])
        if not step.all():
            found.append(np.flatnonzero(~step) + at + 1)
    back = np.concatenate(found)
    return back[~np.isin(back, stop)]


def _unit_of_time_problems(times: np.ndarray, stop: np.ndarray) -> list[str]:
    """Whether times look like ms or samples, judged from intervals evenly taken out of all."""
    first = np.arange(0, times.size - 1, max(1, times.size // _SAMPLED_INTERVALS))
    first = first[~np.isin(first + 1, stop)]
    interval = times[first + 1] - times[first]
    if interval.size < _MIN_INTERVALS:
        return []
    median, short = np.median(interval), np.percentile(interval, 1)
    if median <= _MEDIAN_INTERVAL_S and short < _SHORT_INTERVAL_S:
        return []
    return [
        f"spike times do not look like seconds (median interval {median:.3g}, 1st percentile {short:.3g}): "
        "ms or samples? state it with time_unit='ms' or 'sample', or time_unit='s' if they are seconds"
    ]


def _support_problems(
    times: np.ndarray,
    stop_of: np.ndarray,
    unit: np.ndarray,
    support: list[np.ndarray],
    first: np.ndarray,
    last: np.ndarray,
) -> list[str]:
    """Spikes outside the support, or before 0 without one; `first` and `last` hold the extreme times of each unit."""
    if len(support) < 2:
        if not first.size or first.min() >= 0:
            return []
        return [
            f"{int((times < 0).sum())} spike times are negative; "
            "if the clock does start before 0, pass support= with that start"
        ]
    start, stop = support
    if not (np.isfinite(start).all() and np.isfinite(stop).all()) or (stop < start).any():
        return ["support_stop must not be before support_start, and both must be finite"]
    if (start[1:] < stop[:-1]).any():
        return ["support epochs must be sorted and must not overlap"]
    if not times.size or (start.size == 1 and first.min() >= start[0] and last.max() <= stop[0]):
        return []  # the usual case, without a search for each spike
    epoch = np.searchsorted(start, times, side="right") - 1
    outside = (epoch < 0) | (times > stop[epoch.clip(min=0)]) if start.size else np.ones(times.size, dtype=bool)
    if outside.any():
        units = np.unique(np.searchsorted(stop_of, np.flatnonzero(outside), side="right"))
        names = unit[units[:5]].tolist()
        return [f"{int(outside.sum())} spikes lie outside the recorded stretches (support), e.g. of units {names}"]
    return []


def calcium_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `calcium` node."""
    found = _common_problems(node, "calcium") + _increasing_problems(node, "time")
    traces = [name for name in ("fluorescence", "neuropil", "deconvolved", "dff") if name in node]
    if not traces:
        found.append("none of fluorescence, neuropil, deconvolved, dff is there")
    if node.sizes.get("roi", 0) == 0:
        found.append("there are no ROIs")
    if "mask_count" in node and int(node["mask_count"].sum()) != node.sizes.get("pixel", 0):
        found.append("mask_count does not count the pixels of the masks")
    return found


def eeg_problems(node: xr.Dataset) -> list[str]:
    """Problems of an `eeg` node."""
    found = _common_problems(node, "eeg") + _increasing_problems(node, "time")
    if "signal" not in node:
        found.append("the variable signal is missing")
    if node.sizes.get("channel", 0) == 0:
        found.append("there are no channels")
    return found


def behaviour_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `behaviour` node."""
    # Cameras deliver two frames in one tick of the clock now and then: both are kept.
    found = _common_problems(node, "behaviour") + _increasing_problems(node, "time", repeats=True)
    if "position" not in node and "value" not in node:
        found.append("neither position nor value is there")
    for dim in ("signal", "keypoint", "individual", "space"):
        if dim in node.dims:
            found += _unique_problems(node, dim)
    return found


def trials_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `trials` node."""
    found = _common_problems(node, "trials")
    if "start" in node and "stop" in node and node["start"].dtype.kind == node["stop"].dtype.kind == "f":
        backwards = int((node["stop"] < node["start"]).sum())
        if backwards:
            found.append(f"{backwards} trials stop before they start")
    return found


def events_problems(node: xr.Dataset) -> list[str]:
    """Problems of an `events` node."""
    found = _common_problems(node, "events")
    if "onset" not in node:
        return [*found, "the variable onset is missing"]
    if node["onset"].dtype.kind == "f" and not np.isfinite(node["onset"].values).all():
        found.append("some onsets are NaN or infinite")
    return found


def video_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `video` node."""
    return _common_problems(node, "video")


def truth_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `truth` node."""
    return _common_problems(node, "truth")


_CHECKS: dict[str, Callable[[xr.Dataset], list[str]]] = {
    "calcium": calcium_problems,
    "eeg": eeg_problems,
    "behaviour": behaviour_problems,
    "trials": trials_problems,
    "events": events_problems,
    "video": video_problems,
    "truth": truth_problems,
}


def _common_problems(node: xr.Dataset, modality: str) -> list[str]:
    """Dims and dtypes of known variables, storable names and attrs, units of times, unique ids."""
    found = _attr_problems("the node", node.attrs)
    for name in map(str, node.variables):
        variable = node.variables[name]
        if "/" in name:
            found.append(f"the name {name!r} holds a '/', which no store can keep; rename it")
        expected = VARIABLES[modality].get(name)
        if expected is not None:
            dims, kinds = expected
            if variable.dims != dims:
                found.append(f"{name} must have dims {dims}, not {tuple(map(str, variable.dims))}")
            if variable.dtype.kind not in kinds and not _is_text(variable, kinds):
                found.append(f"{name} has dtype {variable.dtype}, which is not of kind {kinds!r}")
        if name in TIME_VARIABLES and variable.attrs.get("units") != SECONDS:
            found.append(f"{name} must carry units {SECONDS!r}, not {variable.attrs.get('units')!r}")
        if variable.dtype == object and not _is_text(variable, "U"):
            found.append(f"{name} holds Python objects; use numbers or text (missing text is '')")
        found += _attr_problems(name, variable.attrs)
    dim = IDENTITY_DIM.get(modality)
    if dim is not None and dim in node.dims:
        found += _unique_problems(node, dim)
    return found


def _is_text(variable: xr.Variable, kinds: str) -> bool:
    """Text of any flavour (fixed width, pandas' string dtype, objects that are all str)."""
    if "U" not in kinds:
        return False
    if variable.dtype.kind in "UT":
        return True
    return variable.dtype == object and all(isinstance(item, str) for item in np.asarray(variable.values).flat)


def _unique_problems(node: xr.Dataset, dim: str) -> list[str]:
    if dim not in node.coords:
        return [f"the coordinate {dim} (the ids) is missing"]
    ids, count = np.unique(node[dim].values.astype(str), return_counts=True)
    twice = ids[count > 1]
    return [f"{dim} ids must be unique, but {twice[:5].tolist()} come more than once"] if twice.size else []


def _increasing_problems(node: xr.Dataset, dim: str, *, repeats: bool = False) -> list[str]:
    """Times must be finite and increase; with `repeats`, equal ones may follow each other.

    A lazy regular time axis is increasing by construction and is not read.
    """
    if dim not in node.dims:
        return []
    if dim not in node.coords:
        return [f"the coordinate {dim} is missing"]
    if not isinstance(node.xindexes.get(dim), xr.indexes.PandasIndex):
        return []
    times = node[dim].values
    if times.dtype.kind != "f":
        return [f"{dim} must be float64 seconds, not {times.dtype}"]
    if not np.isfinite(times).all():
        return [f"{dim} holds NaN or infinite values"]
    step = np.diff(times)
    backwards = int((step < 0).sum() if repeats else (step <= 0).sum())
    return [f"{dim} must increase, but {backwards} steps do not"] if backwards else []


def _attr_problems(owner: str, attrs: Any) -> list[str]:
    found = []
    for key, value in attrs.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            found.append(
                f"the attr {key!r} of {owner} is a {type(value).__name__}; "
                "text and numbers only, the rest goes into metadata_json"
            )
        if key in _RESERVED_ATTRS:
            found.append(f"the attr {key!r} of {owner} is a name that stores use for themselves; rename it")
    return found
