"""A dataset of an HDF5 file that is read when it is used, scaled, and can be pickled (the file is reopened by path)."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from neurodata.containers.check import raise_problems, train_problems


class ScaledDataset(BackendArray):
    """``data * scale + offset`` of shape (time, column), read when indexed.

    Parameters
    ----------
    path : str
        Absolute path of the file.
    name : str
        Path of the dataset inside it.
    shape : tuple
        Shape of the dataset: (time,), which becomes one column, or (time, column).
    dtype : dtype
        Of the dataset. Floats that need no scaling keep theirs; everything else becomes float64.
    scale : array (column,), optional
    offset : float
    """

    def __init__(
        self, path: str, name: str, shape: tuple[int, ...], dtype: Any, scale: np.ndarray | None, offset: float = 0.0
    ) -> None:
        self.path, self.name, self.offset = path, name, offset
        self.flat = len(shape) == 1
        self.shape = (*shape, 1) if self.flat else tuple(shape)
        self.scale = None if scale is None or (scale == 1).all() else np.asarray(scale, dtype=np.float64)
        plain = self.scale is None and offset == 0 and np.dtype(dtype).kind == "f"
        self.dtype = np.dtype(dtype).newbyteorder("=") if plain else np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        rows, columns = key
        with h5py.File(self.path, "r") as file:
            dataset = file[self.name]
            block = dataset[rows][..., None][..., columns] if self.flat else dataset[rows, columns]
        block = np.asarray(block, dtype=self.dtype)
        if self.scale is not None:
            block = block * self.scale[columns]
        return block + self.offset if self.offset else block


class StoredTrains(BackendArray):
    """Spike times that stay in their file until they are used, and are then read and checked whole, once.

    Parameters
    ----------
    path, name : str
        Of the file, and of the dataset in it: float64, s, the trains of the units one after another.
    count, unit : array (unit,)
    support : array (epoch, 2), optional
        Starts and stops, s.
    look : bool
        As in `containers.check.train_problems`.
    """

    def __init__(
        self, path: str, name: str, count: np.ndarray, unit: np.ndarray, support: np.ndarray | None, look: bool
    ) -> None:
        self.path, self.name, self.count, self.unit, self.support, self.look = path, name, count, unit, support, look
        self.shape = (int(count.sum()),)
        self.dtype = np.dtype(np.float64)
        self._times: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_times": None}

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, lambda part: self.times()[part]
        )

    def times(self) -> np.ndarray:
        """All times, checked."""
        if self._times is None:
            import h5py

            with h5py.File(self.path, "r") as file:
                times = np.asarray(file[self.name][()], dtype=np.float64)
            support = [] if self.support is None else list(self.support.T)
            raise_problems(train_problems(times, self.count, self.unit, support, look=self.look))
            self._times = times
        return self._times


def lazy(array: BackendArray) -> Any:
    """The array as xarray keeps it inside a variable without reading it."""
    return indexing.LazilyIndexedArray(array)
