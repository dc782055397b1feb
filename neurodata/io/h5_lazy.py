"""A dataset of an HDF5 file that is read when it is used, scaled, and can be pickled (the file is reopened by path)."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing


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


def lazy(array: BackendArray) -> Any:
    """The array as xarray keeps it inside a variable without reading it."""
    return indexing.LazilyIndexedArray(array)
