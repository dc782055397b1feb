"""A regular time axis that is computed when it is used, for recordings too long to hold one float64 per sample.

`xarray.indexes.RangeIndex` (xarray 2026.2.0) selects slices only with ``method="nearest"`` and recomputes its start on
each slice, which moves times by a rounding error. This index keeps integer sample positions, so a time is the same
float64, bit for bit, however it was selected, and `sel` behaves as on times that are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core.coordinate_transform import CoordinateTransform
from xarray.core.indexing import IndexSelResult
from xarray.indexes import CoordinateTransformIndex, PandasIndex

from neurodata.containers._coords import TIME_ATTRS
from neurodata.errors import RecordingError

# Below this many samples the times are plain float64 in memory (8 MB), which every xarray operation takes.
LAZY_FROM = 1_000_000


def regular_time(n: int, sampling_rate: float, start: float = 0.0, lazy_from: int = LAZY_FROM) -> xr.Coordinates:
    """The coordinate `time` of `n` regular samples: in memory when short, computed on use when long.

    Parameters
    ----------
    n : int
        Number of samples.
    sampling_rate : float
        Hz.
    start : float
        Time of the first sample, s.
    lazy_from : int
        From this many samples on the times are not kept in memory.

    Returns
    -------
    xarray.Coordinates
        Sample `i` is at ``start + i / sampling_rate``, the same float64 in both forms.

    Examples
    --------
    >>> time = regular_time(5, 4.0, start=1.0)["time"]
    >>> time.values.tolist()
    [1.0, 1.25, 1.5, 1.75, 2.0]
    >>> long = regular_time(10**9, 1000.0)["time"]
    >>> long.sel(time=slice(2.0, 2.002)).values.tolist()
    [2.0, 2.001, 2.002]
    """
    if not np.isfinite(sampling_rate) or sampling_rate <= 0:
        raise RecordingError("a positive sampling rate in Hz", f"{sampling_rate!r}", "pass sampling_rate= in Hz")
    if n < lazy_from:
        return xr.Coordinates({"time": xr.Variable("time", start + np.arange(n) / sampling_rate, TIME_ATTRS)})
    index = RegularTimeIndex(_RegularTransform("time", "time", n, start, sampling_rate))
    variable = index.create_variables()["time"]
    variable.attrs = dict(TIME_ATTRS)
    return xr.Coordinates({"time": variable}, indexes={"time": index})


class _RegularTransform(CoordinateTransform):
    """Position `i` to time ``start + (first + i * stride) / sampling_rate``."""

    def __init__(
        self, name: Hashable, dim: str, size: int, start: float, sampling_rate: float, first: int = 0, stride: int = 1
    ) -> None:
        super().__init__([name], {dim: size}, dtype=np.dtype(np.float64))
        self.start, self.sampling_rate, self.first, self.stride = float(start), float(sampling_rate), first, stride

    @property
    def size(self) -> int:
        return self.dim_size[self.dims[0]]

    def times(self, position: Any) -> Any:
        return self.start + (self.first + np.asarray(position) * self.stride) / self.sampling_rate

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        return {self.coord_names[0]: self.times(dim_positions[self.dims[0]])}

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        label = np.asarray(coord_labels[self.coord_names[0]], dtype=np.float64)
        return {self.dims[0]: ((label - self.start) * self.sampling_rate - self.first) / self.stride}

    def equals(self, other: CoordinateTransform, exclude: frozenset[Hashable] | None = None) -> bool:
        if not isinstance(other, _RegularTransform) or self.size != other.size:
            return False
        ends = [0, max(self.size - 1, 0)]
        return self.size == 0 or bool(np.array_equal(self.times(ends), other.times(ends)))

    def slice(self, which: slice) -> _RegularTransform:
        rows = range(self.size)[which]
        return _RegularTransform(
            self.coord_names[0],
            self.dims[0],
            len(rows),
            self.start,
            self.sampling_rate,
            self.first + rows.start * self.stride,
            self.stride * rows.step,
        )

    def insertion(self, label: Any, side: str) -> np.ndarray:
        """As `numpy.searchsorted` on the times, without making them.

        The division may be off by one position through rounding, so its neighbours are compared exactly.
        """
        label = np.asarray(label, dtype=np.float64)
        guess = np.clip(np.nan_to_num(self.reverse({self.coord_names[0]: label})[self.dims[0]]), -2, self.size + 2)
        position = np.floor(guess).astype(np.int64) - 1
        for _ in range(4):
            before = self.times(position) < label if side == "left" else self.times(position) <= label
            position = position + before
        return np.clip(position, 0, self.size)


class RegularTimeIndex(CoordinateTransformIndex):
    """Index of a regular time axis; selects as an index over the same times in memory does."""

    transform: _RegularTransform

    @property
    def sampling_rate(self) -> float:
        """Samples per second, after any striding."""
        return self.transform.sampling_rate / self.transform.stride

    def isel(self, indexers: Mapping[Any, Any]) -> Any:
        """A slice stays lazy; positions become an index in memory; one position leaves no index."""
        which = indexers[self.transform.dims[0]]
        if isinstance(which, slice):
            if (which.step or 1) > 0:
                return type(self)(self.transform.slice(which))
            which = np.arange(self.transform.size)[which]
        if np.ndim(which) != 1:
            return None
        dim = which.dims[0] if isinstance(which, xr.Variable) else self.transform.dims[0]
        rows = np.asarray(which)
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.where(rows < 0, rows + self.transform.size, rows)
        values = self.transform.times(rows)
        return PandasIndex(pd.Index(values, name=self.transform.coord_names[0]), dim, coord_dtype=values.dtype)

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: float | None = None) -> IndexSelResult:
        """Slices take both ends in, as pandas does; other labels are exact, or found by `method` and `tolerance`."""
        (label,) = labels.values()
        dim = self.transform.dims[0]
        if isinstance(label, slice):
            if method is not None:
                raise NotImplementedError("a slice of times takes no method=")
            start = 0 if label.start is None else int(self.transform.insertion(label.start, "left"))
            stop = self.transform.size if label.stop is None else int(self.transform.insertion(label.stop, "right"))
            return IndexSelResult({dim: slice(start, max(start, stop), label.step)})
        wanted = np.asarray(label.values if isinstance(label, (xr.Variable, xr.DataArray)) else label, dtype=np.float64)
        position = self._positions(wanted, method, tolerance)
        if isinstance(label, xr.DataArray):
            return IndexSelResult({dim: label.copy(data=position).drop_vars(dim, errors="ignore")})
        if isinstance(label, xr.Variable):
            return IndexSelResult({dim: xr.Variable(label.dims, position)})
        return IndexSelResult({dim: int(position) if position.ndim == 0 else position})

    def _positions(self, wanted: np.ndarray, method: str | None, tolerance: float | None) -> np.ndarray:
        last = self.transform.size - 1
        after = self.transform.insertion(wanted, "left")
        before = self.transform.insertion(wanted, "right") - 1
        if method == "nearest":
            low, high = np.clip(before, 0, last), np.clip(after, 0, last)
            nearer = np.abs(self.transform.times(high) - wanted) <= np.abs(wanted - self.transform.times(low))
            position = np.where(nearer, high, low)
            found = np.isfinite(wanted) & (last >= 0)
        elif method in ("pad", "ffill"):
            position, found = before, before >= 0
        elif method in ("backfill", "bfill"):
            position, found = after, after <= last
        elif method is None:
            position, found = after, after <= last
            found = found & (self.transform.times(np.minimum(after, max(last, 0))) == wanted)
        else:
            raise ValueError(f"method must be nearest, pad, ffill, backfill, bfill or None, not {method!r}")
        if tolerance is not None:
            found = found & (np.abs(self.transform.times(position) - wanted) <= tolerance)
        if not np.all(found):
            missing = np.atleast_1d(wanted)[~np.atleast_1d(found)]
            raise KeyError(f"no sample at the times {missing[:5].tolist()}; pass method='nearest'")
        return np.asarray(position)

    def to_pandas_index(self) -> pd.Index:
        """The times, in memory."""
        return pd.Index(self.transform.times(np.arange(self.transform.size)), name=self.transform.coord_names[0])

    def _repr_inline_(self, max_width: int) -> str:
        return f"{type(self).__name__} ({self.transform.size} samples at {self.sampling_rate:g} Hz)"


# The attr under which a store keeps a regular axis; the times are written too, for other programs.
_STORED_ATTR = "regular_time"


def to_stored(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its regular axes as plain lazy variables that say, in an attr, how to make them again."""
    for name, index in dataset.xindexes.items():
        if isinstance(index, RegularTimeIndex):
            axis = index.transform
            dataset = dataset.drop_indexes(name)
            facts = {
                "start": axis.start,
                "sampling_rate": axis.sampling_rate,
                "first": axis.first,
                "stride": axis.stride,
            }
            dataset[name].attrs[_STORED_ATTR] = json.dumps(facts)
    return dataset


def from_stored(dataset: xr.Dataset) -> xr.Dataset:
    """Undo `to_stored` on a dataset opened without indexes: regular axes are not read, all others get their index."""
    for dim in map(str, dataset.dims):
        if dim not in dataset.coords or dim in dataset.xindexes:
            continue
        variable = dataset.variables[dim]
        if variable.dims != (dim,):  # e.g. `latent` (time, latent): named like its dim, but no axis
            continue
        if _STORED_ATTR not in variable.attrs:
            dataset = dataset.set_xindex(dim)
            continue
        facts = json.loads(variable.attrs[_STORED_ATTR])
        index = RegularTimeIndex(_RegularTransform(dim, dim, variable.size, **facts))
        regular = index.create_variables()[dim]
        regular.attrs = {key: value for key, value in variable.attrs.items() if key != _STORED_ATTR}
        dataset = dataset.drop_vars(dim).assign_coords(xr.Coordinates({dim: regular}, indexes={dim: index}))
    return dataset
