"""`spike_unit` of spikes that are sorted by unit: it follows from `spike_count`, so it is computed when it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

# Below this many spikes the rows are simply made (1 MB).
_COMPUTE_FROM = 2**17


class UnitRows(BackendArray):
    """The row of its unit for each spike, ``np.repeat(np.arange(n_units), count)``, made where it is asked for."""

    def __init__(self, count: np.ndarray) -> None:
        self.count = count
        self.shape = (int(count.sum()),)
        self.dtype = np.dtype(np.int64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._get)

    def _get(self, key: tuple[Any, ...]) -> np.ndarray:
        (which,) = key
        if isinstance(which, slice) and which == slice(None):
            return np.repeat(np.arange(self.count.size), self.count)
        position = np.arange(*which.indices(self.shape[0])) if isinstance(which, slice) else np.asarray(which)
        return np.searchsorted(np.cumsum(self.count), np.mod(position, self.shape[0]), side="right")


def unit_rows(count: np.ndarray) -> Any:
    """The data of `spike_unit` for spikes sorted by unit; computed on first use when they are many."""
    if count.sum() < _COMPUTE_FROM:
        return np.repeat(np.arange(count.size), count)
    return indexing.MemoryCachedArray(indexing.LazilyIndexedArray(UnitRows(count)))


def count_behind(spike_unit: xr.Variable) -> np.ndarray | None:
    """The counts that a computed `spike_unit` follows from, for checks that need not compute it; None for an array."""
    data: Any = spike_unit._data
    while isinstance(data, indexing.MemoryCachedArray | indexing.CopyOnWriteArray):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, UnitRows):
        return None
    whole = all(part in (slice(None), slice(0, data.array.shape[0], 1)) for part in data.key.tuple)
    return data.array.count if whole else None
