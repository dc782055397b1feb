"""The check of a recording: every problem in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import xarray as xr

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


def check(rec: xr.DataTree) -> xr.DataTree:
    """Check a recording (or a tree of recordings) and return it unchanged.

    Parameters
    ----------
    rec : DataTree

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
    raise_problems(problems(rec))
    return rec


def problems(rec: Any) -> list[str]:
    """Every problem of a recording, as sentences; empty when there are none."""
    from neurodata.containers.recording import is_recording, recordings

    if not isinstance(rec, xr.DataTree):
        return [f"a recording is an xarray.DataTree, not a {type(rec).__name__}; build one with nd.make_recording"]
    if not is_recording(rec):
        several = list(recordings(rec))
        if not several:
            return [f"no node is named after a modality; the children are {list(rec.children)}"]
        return [f"{path}: {text}" for path, child in several for text in problems(child)]
    found = _attr_problems("the root", rec.attrs)
    for name, node in rec.children.items():
        modality = modality_of(name)
        dataset = node.to_dataset(inherit=False)
        found += [f"{name}: {text}" for text in _CHECKS[modality or ""](dataset)]
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


def spikes_problems(node: xr.Dataset) -> list[str]:
    """Problems of a `spikes` node."""
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
    times, row, count = (node[name].values for name in ("spike_time", "spike_unit", "spike_count"))
    if times.dtype.kind != "f" or row.dtype.kind != "i" or times.shape != row.shape:
        return found
    limits = [node[name].values for name in ("support_start", "support_stop") if name in node]
    seen, arrays = _SEEN.get(), [times, row, count, *limits]
    stated = "time_unit_stated" in node["spike_time"].attrs
    key = (stated, *map(id, arrays))
    if seen is not None and key in seen:
        return found
    trains = _train_problems(node, times, row, count, look=not stated and not found)
    if seen is not None and not trains:
        seen[key] = arrays
    return found + trains


# Spike arrays found in order so far, by identity; holding them keeps the identity from being used again.
_SEEN: ContextVar[dict[tuple[Any, ...], list[np.ndarray]] | None] = ContextVar("checked_spikes", default=None)


@contextmanager
def checked_once() -> Iterator[None]:
    """Inside, spike arrays that passed are not gone through again by the next check of the very same arrays.

    A constructor, `make_recording` and `load` each check; for 10 million spikes every pass costs as much as reading.
    Only for code that does not change arrays in place between the checks, as readers do not.
    """
    token = _SEEN.set({})
    try:
        yield
    finally:
        _SEEN.reset(token)


def _train_problems(node: xr.Dataset, times: np.ndarray, row: np.ndarray, count: np.ndarray, look: bool) -> list[str]:
    """Problems of the flat spike arrays. Each pass over them matters: 10 million spikes are common."""
    n_units = node.sizes.get("unit", 0)
    by_unit, infinite, unsorted = _scan(times, row)
    if row.size:
        low, high = (row[0], row[-1]) if by_unit else (row.min(), row.max())
        if low < 0 or high >= n_units:
            return [f"spike_unit must be rows of unit (0 to {n_units - 1}), but spans {low} to {high}"]
    if by_unit:
        counted = np.diff(np.searchsorted(row, np.arange(n_units + 1)))
    else:
        counted = np.bincount(row, minlength=n_units)
    found = [] if np.array_equal(counted, count) else ["spike_count does not count the spikes of each unit"]
    if not by_unit:
        return [*found, "spikes are not sorted by unit"]
    if infinite:
        return [*found, f"{infinite} spike times are NaN or infinite"]
    if unsorted.size:
        names = node["unit"].values[unsorted[:5]].tolist()
        found.append(
            f"spike times of {unsorted.size} unit(s) are not sorted, e.g. {names}; "
            "check that times and ids belong together, then pass sort=True"
        )
    found += _support_problems(node, times, row)
    if look and not found and times.size - np.count_nonzero(counted) >= _MIN_INTERVALS:
        found += _unit_of_time_problems(times, row)
    return found


def _scan(times: np.ndarray, row: np.ndarray) -> tuple[bool, int, np.ndarray]:
    """Whether spikes are sorted by unit, how many times are not finite, and the rows of units whose times go back.

    In blocks that stay in the cache, so that each array is read from memory once and no array of its size is made.
    """
    by_unit, infinite, unsorted = True, 0, set()
    for start in range(0, times.size, _BLOCK):
        t, r = times[start : start + _BLOCK + 1], row[start : start + _BLOCK + 1]
        by_unit = by_unit and not (r[1:] < r[:-1]).any()
        infinite += int(np.count_nonzero(~np.isfinite(t[:_BLOCK])))
        back = t[1:] < t[:-1]
        if back.any():
            at = np.flatnonzero(back)
            unsorted.update(np.unique(r[at][r[at] == r[at + 1]]).tolist())
    return by_unit, infinite, np.array(sorted(unsorted), dtype=np.int64)


def _unit_of_time_problems(times: np.ndarray, row: np.ndarray) -> list[str]:
    """Whether times look like ms or samples, judged from intervals evenly taken out of all."""
    first = np.arange(0, times.size - 1, max(1, times.size // _SAMPLED_INTERVALS))
    first = first[row[first] == row[first + 1]]
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


def _support_problems(node: xr.Dataset, times: np.ndarray, row: np.ndarray) -> list[str]:
    if "support_start" not in node or "support_stop" not in node:
        negative = int((times < 0).sum())
        if negative:
            return [
                f"{negative} spike times are negative; if the clock does start before 0, pass support= with that start"
            ]
        return []
    start, stop = node["support_start"].values, node["support_stop"].values
    if not (np.isfinite(start).all() and np.isfinite(stop).all()) or (stop < start).any():
        return ["support_stop must not be before support_start, and both must be finite"]
    if (start[1:] < stop[:-1]).any():
        return ["support epochs must be sorted and must not overlap"]
    if start.size == 1 and times.size and times.min() >= start[0] and times.max() <= stop[0]:
        return []  # the usual case, without a search for each spike
    epoch = np.searchsorted(start, times, side="right") - 1
    outside = (epoch < 0) | (times > stop[epoch.clip(min=0)]) if start.size else np.ones(times.size, dtype=bool)
    if outside.any():
        names = node["unit"].values[np.unique(row[outside])[:5]].tolist()
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
    "spikes": spikes_problems,
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
