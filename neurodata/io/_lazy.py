"""A signal that is read from its file when it is used: what stands behind `signal` of a continuous recording."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

# Samples x channels read at once: strided or scattered reads of a long file never hold more than this (16 MB).
_BLOCK_VALUES = 2**21


class SampleSource(Protocol):
    """What a reader provides. It is pickled with the array, so it keeps no open file."""

    @property
    def n_samples(self) -> int: ...
    @property
    def n_channels(self) -> int: ...

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop` of `channels`, float64 (stop - start, channels.size), in the unit of the node."""
        ...


class SignalArray(BackendArray):
    """A source seen as an array (time, channel) for `xarray.core.indexing.LazilyIndexedArray`."""

    def __init__(self, source: SampleSource) -> None:
        self.source = source
        self.shape = (source.n_samples, source.n_channels)
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._get)

    def _get(self, key: tuple[Any, ...]) -> np.ndarray:
        row, column = key
        channels = np.atleast_1d(np.arange(self.shape[1])[column])
        one_row, one_column = isinstance(row, (int, np.integer)), isinstance(column, (int, np.integer))
        values = self._rows(slice(int(row), int(row) + 1) if one_row else row, channels)
        return values[0 if one_row else slice(None), 0 if one_column else slice(None)]

    def _rows(self, row: slice | np.ndarray, channels: np.ndarray) -> np.ndarray:
        if isinstance(row, slice):
            positions = range(self.shape[0])[row]
            if positions.step == 1:
                return self.source.read(positions.start, max(positions.start, positions.stop), channels)
            return self._scattered(np.arange(positions.start, positions.stop, positions.step), channels)
        return self._scattered(np.asarray(row), channels)

    def _scattered(self, positions: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Any positions in any order: each block of the file that holds some is read once, up to its last one."""
        values = np.empty((positions.size, channels.size))
        length = max(1, _BLOCK_VALUES // max(1, channels.size))
        block = positions // length
        for number in np.unique(block):
            here = np.flatnonzero(block == number)
            first, last = int(positions[here].min()), int(positions[here].max())
            values[here] = self.source.read(first, last + 1, channels)[positions[here] - first]
        return values


def lazy_signal(source: SampleSource) -> indexing.LazilyIndexedArray:
    """The array (time, channel) to hand to `make_eeg`: selections of it read only what they ask for."""
    return indexing.LazilyIndexedArray(SignalArray(source))
