"""Binned counts as sequences lying end to end, and results put back into the shape of the data they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import MissingOptionError, RecordingError

# The dim that holds what was counted; deconvolved events of regions of interest are counts too.
_ITEM_DIMS = ("unit", "roi")
# Bins whose distance differs from the bin width by less than this part of it follow one another.
_JITTER = 0.01


@dataclass(frozen=True)
class Piece:
    """One unbroken stretch: rows `start` .. `start + length` of trial `trial` of array `array` of the input."""

    array: int
    trial: int
    start: int
    length: int


@dataclass(frozen=True)
class CountSequences:
    """Counts of several sequences.

    Attributes
    ----------
    counts : array (bin, unit), int32
        -1 where not observed.
    starts : array (sequence + 1,), int64
        First bin of each sequence, and the number of bins last.
    unit : array (unit,)
        Ids, in the order of `counts`.
    bin_width : float
        s.
    """

    counts: np.ndarray
    starts: np.ndarray
    unit: np.ndarray
    bin_width: float
    pieces: tuple[Piece, ...]
    arrays: tuple[xr.DataArray, ...]
    is_list: bool

    def restore(
        self, values: np.ndarray, fill: Any, extra: dict[str, Any] | None = None, **attrs: Any
    ) -> xr.DataArray | list[xr.DataArray]:
        """Values (bin, ...) as arrays (..., time, ...) like the input; `fill` in bins outside every sequence.

        Parameters
        ----------
        values : array (bin, ...)
        fill : scalar
        extra : dict
            Dims after `time` and their coordinates.
        """
        extra = extra or {}
        whole = []
        for array in self.arrays:
            n_trials = array.sizes.get("trial", 1)
            whole.append(np.full((n_trials, array.sizes["time"], *values.shape[1:]), fill, dtype=values.dtype))
        for piece, a, b in zip(self.pieces, self.starts[:-1], self.starts[1:], strict=True):
            whole[piece.array][piece.trial, piece.start : piece.start + piece.length] = values[a:b]
        out = []
        for array, result in zip(self.arrays, whole, strict=True):
            dims = ("trial", "time") if "trial" in array.dims else ("time",)
            coords = {str(k): v for k, v in array.coords.items() if set(v.dims) <= set(dims)}
            out.append(
                xr.DataArray(
                    result if "trial" in array.dims else result[0],
                    dims=(*dims, *extra),
                    coords={**coords, **extra},
                    attrs={"bin_width": self.bin_width, **attrs},
                )
            )
        return out if self.is_list else out[0]


def read_counts(
    data: xr.DataArray | Sequence[xr.DataArray],
    unit: np.ndarray | None = None,
    *,
    need_spikes: bool = True,
    union: bool = False,
) -> CountSequences:
    """Check binned counts and lay them end to end.

    Parameters
    ----------
    data : DataArray or list of DataArray
        Counts (time, unit), or with a leading `trial` dim; NaN = not observed. Arrays of a list may differ in length,
        and name the same units, in any order.
    unit : array (unit,), optional
        Units the counts must have; they are put into this order.
    need_spikes : bool
        Refuse counts that are all zero.
    union : bool
        Arrays may lack units, which are then not observed there; without `unit`, the units are all that any array has,
        in the order in which they first appear.

    Returns
    -------
    CountSequences
        A trial, a jump in `time` and an array of the list each begin a new sequence. Bins before the first and after
        the last observed one of a sequence are left out.

    Raises
    ------
    RecordingError
        Counts that are negative, fractional or infinite; nothing observed; no spikes; units that differ.
    MissingOptionError
        No bin width: neither attrs ``bin_width`` nor a regular `time` coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> from neurodata.containers import make_counts
    >>> sequences = read_counts(make_counts([[0, 1], [np.nan, 2]], 0.1))
    >>> sequences.counts.tolist(), sequences.starts.tolist()
    ([[0, 1], [-1, 2]], [0, 2])
    """
    is_list = not isinstance(data, xr.DataArray)
    arrays = tuple(data) if is_list else (data,)
    if not arrays or not all(isinstance(array, xr.DataArray) for array in arrays):
        raise RecordingError(
            "counts as a DataArray (time, unit), (trial, time, unit), or a list of them",
            "an empty list" if not arrays else ", ".join(sorted({type(array).__name__ for array in arrays})),
            "use nd.bin_spikes, or neurodata.containers.make_counts for an array",
        )
    arrays = tuple(_ordered(array) for array in arrays)
    widths = [bin_width(array) for array in arrays]
    if not np.allclose(widths, widths[0], rtol=1e-6, atol=0.0):
        raise RecordingError("one bin width in all arrays", f"{sorted(set(widths))} s", "bin them alike")
    known = _ids(arrays[0]) if unit is None else np.asarray(unit)
    if union and unit is None:
        known = _union([_ids(array) for array in arrays])
    arrays = tuple(_aligned(array, known, fitted=unit is not None, may_lack=union) for array in arrays)
    blocks, pieces = [], []
    for index, array in enumerate(arrays):
        values = _whole_numbers(array)
        values = values if values.ndim == 3 else values[None]
        breaks = _breaks(array, widths[0])
        for trial, trial_values in enumerate(values):
            for a, b in zip(breaks[:-1], breaks[1:], strict=True):
                seen = np.flatnonzero((trial_values[a:b] >= 0).any(axis=1))
                if seen.size:
                    first, last = int(a + seen[0]), int(a + seen[-1] + 1)
                    blocks.append(trial_values[first:last])
                    pieces.append(Piece(index, trial, first, last - first))
    if not blocks:
        raise RecordingError("at least one observed count", "nothing but NaN, or no bins", "check how it was binned")
    counts = np.ascontiguousarray(np.concatenate(blocks))
    if need_spikes and not (counts > 0).any():
        raise RecordingError("at least one spike", "counts that are all zero", "check the time window and the units")
    starts = np.concatenate([[0], np.cumsum([len(block) for block in blocks])]).astype(np.int64)
    return CountSequences(counts, starts, known, widths[0], tuple(pieces), arrays, is_list)


def _ordered(array: xr.DataArray) -> xr.DataArray:
    item = next((dim for dim in _ITEM_DIMS if dim in array.dims), None)
    dims = ("trial", "time", item) if "trial" in array.dims else ("time", item)
    if item is None or set(array.dims) != set(dims):
        raise RecordingError(
            "dims (time, unit) or (trial, time, unit); roi in place of unit",
            str(tuple(array.dims)),
            "rename or transpose the dims",
        )
    array = array.transpose(*dims)
    return array if item == "unit" else array.rename({item: "unit"})


def _ids(array: xr.DataArray) -> np.ndarray:
    if "unit" not in array.coords:
        return np.arange(array.sizes["unit"])
    ids = array["unit"].values
    if len(np.unique(ids)) != len(ids):
        raise RecordingError("distinct unit ids", "repeated ids", "name each unit once")
    return ids


def _union(ids: list[np.ndarray]) -> np.ndarray:
    """All ids, in the order in which they first appear."""
    if all(other.shape == ids[0].shape and (other == ids[0]).all() for other in ids[1:]):
        return ids[0]
    text = [np.asarray(one).dtype.kind in "UOT" for one in ids]
    if any(text) and not all(text):
        raise RecordingError("unit ids of one kind in all arrays", "numbers and text", "name the units alike")
    together = np.concatenate(ids)
    _, first = np.unique(together, return_index=True)
    return together[np.sort(first)]


def _aligned(array: xr.DataArray, known: np.ndarray, fitted: bool, may_lack: bool = False) -> xr.DataArray:
    ids = _ids(array)
    if ids.shape == known.shape and (ids == known).all():
        return array
    missing, surplus = (
        sorted(set(known.tolist()) - set(ids.tolist()), key=str),
        sorted(set(ids.tolist()) - set(known.tolist()), key=str),
    )
    if may_lack and missing and not surplus:
        return _widened(array, ids, known)
    if missing or surplus:
        raise RecordingError(
            f"the {len(known)} units of the {'fit' if fitted else 'first array'}",
            f"{len(ids)} units; missing {missing[:5]}, unknown {surplus[:5]}",
            "select or reindex the units; a unit that was not recorded is a column of NaN",
        )
    position = {unit: i for i, unit in enumerate(ids.tolist())}
    return array.isel(unit=[position[unit] for unit in known.tolist()])


def _widened(array: xr.DataArray, ids: np.ndarray, known: np.ndarray) -> xr.DataArray:
    """The array with all known units, those it lacks as NaN."""
    position = {unit: i for i, unit in enumerate(known.tolist())}
    values = np.asarray(array.values)
    if values.dtype.kind not in "biuf":
        raise RecordingError("numbers", f"dtype {values.dtype}", "pass counts")
    wide = np.full((*values.shape[:-1], len(known)), np.nan)
    wide[..., [position[unit] for unit in ids.tolist()]] = values
    coords = {str(k): v for k, v in array.coords.items() if "unit" not in v.dims}
    return xr.DataArray(wide, dims=array.dims, coords={**coords, "unit": known}, attrs=array.attrs)


def bin_width(array: xr.DataArray) -> float:
    """Width of the bins, s: attrs ``bin_width``, else the step of a regular `time`.

    Examples
    --------
    >>> import xarray as xr
    >>> bin_width(xr.DataArray([1, 0, 2], dims="time", coords={"time": [0.5, 1.0, 1.5]}))
    0.5
    """
    if "bin_width" in array.attrs:
        width = float(array.attrs["bin_width"])
        if not np.isfinite(width) or width <= 0:
            raise MissingOptionError("a positive bin width in s", repr(width), "set counts.attrs['bin_width']")
        return width
    if "time" not in array.coords or array.sizes["time"] < 2:
        raise MissingOptionError(
            "the width of the bins", "no attrs['bin_width'] and no time coordinate", "set counts.attrs['bin_width'] (s)"
        )
    gap = np.diff(array["time"].values.astype(np.float64))
    width = float(np.median(gap))
    if width <= 0 or (np.abs(gap - width) > _JITTER * width).any():
        raise MissingOptionError(
            "evenly spaced bins, or attrs['bin_width']",
            f"time steps from {gap.min():g} to {gap.max():g} s",
            "set counts.attrs['bin_width'] (s); jumps in time are then gaps between sequences",
        )
    return width


def _breaks(array: xr.DataArray, width: float) -> np.ndarray:
    """Where unbroken stretches of bins begin, and the number of bins."""
    n_bins = array.sizes["time"]
    if "time" not in array.coords:
        return np.array([0, n_bins])
    step = np.diff(array["time"].values.astype(np.float64)) / width
    if (step < 1.0 - _JITTER).any():
        raise RecordingError(
            f"bins in order of time, {width:g} s apart or more",
            f"a step of {step.min() * width:g} s",
            "sort by time, or correct attrs['bin_width']",
        )
    return np.concatenate([[0], np.flatnonzero(step > 1.0 + _JITTER) + 1, [n_bins]])


def _whole_numbers(array: xr.DataArray) -> np.ndarray:
    """Counts as int32, -1 where NaN."""
    values = np.asarray(array.values)
    if values.dtype.kind not in "biuf":
        raise RecordingError("numbers", f"dtype {values.dtype}", "pass counts")
    if values.dtype.kind == "f":
        seen = ~np.isnan(values)
        if (values[seen] != np.round(values[seen])).any() or np.isinf(values[seen]).any():
            raise RecordingError("whole counts", "fractions or infinite values", "pass counts, not rates")
        values = np.where(seen, values, -1.0)
        negative = (values < 0) & seen
    else:
        negative = values < 0
    if negative.any():
        raise RecordingError("counts of at least 0", f"{int(negative.sum())} negative values", "pass counts")
    if values.size and values.max() > np.iinfo(np.int32).max:
        raise RecordingError("counts below 2**31", f"{values.max():g}", "check the unit of the data")
    return values.astype(np.int32)
