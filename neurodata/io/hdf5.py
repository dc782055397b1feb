"""HDF5 files of any layout, read through a mapping that the user gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurodata.errors import FormatError
from neurodata.io._mapping import read_mapping
from neurodata.io._mapping_fields import MappingOptions
from neurodata.io._paths import Leaf
from neurodata.io.registry import BY_SUFFIX, HDF5_MAGIC, NO, Reader, all_readers, has_suffix, starts_with

_SUFFIXES = (".h5", ".hdf5", ".hdf")
# HDF5 inside, but nothing that a mapping is meant for: Julia's own serialised objects.
_NEVER = (".jld2",)
_UNIT_ATTRS = ("units", "unit", "Units", "Unit")


class LazyDataset(BackendArray):
    """A two-dimensional dataset, transposed or not, read when indexed; it reopens its file, so it can be pickled."""

    def __init__(self, path: str, name: str, shape: tuple[int, ...], dtype: Any, transpose: bool) -> None:
        self.path, self.name, self.transpose = path, name, transpose
        self.shape = shape[::-1] if transpose else tuple(shape)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        with h5py.File(self.path, "r") as file:
            block = file[self.name][key[::-1] if self.transpose else key]
        return block.T if self.transpose else block


def lazy_dataset(dataset: Any, transpose: bool) -> Any:
    """An h5py dataset as an array that xarray reads when it is used."""
    path = str(Path(dataset.file.filename).resolve())
    return indexing.LazilyIndexedArray(LazyDataset(path, dataset.name, dataset.shape, dataset.dtype, transpose))


class H5Node:
    """A group, a dataset or a field of a compound dataset."""

    def __init__(self, item: Any, field: str | None = None) -> None:
        self.item, self.field = item, field

    def members(self) -> dict[str, H5Node]:
        """Groups and datasets by name; the fields of a compound dataset. Links that lead nowhere are left out."""
        if self.field is not None:
            return {}
        if hasattr(self.item, "keys"):
            found = {name: self.item.get(name) for name in self.item}
            return {name: type(self)(item) for name, item in found.items() if item is not None}
        return {name: H5Node(self.item, name) for name in self.item.dtype.names or ()}

    def positions(self) -> None:
        """Plain HDF5 has no cells."""

    def leaf(self) -> Leaf | None:
        """The dataset, unread."""
        if not hasattr(self.item, "shape") or self.item.shape is None:
            return None
        if self.field is not None:
            dtype = self.item.dtype[self.field]
            return Leaf((*self.item.shape, *dtype.shape), str(dtype.base), lambda: plain(self.item[self.field]))
        if self.item.dtype.names:
            return None
        lazily = self.item.dtype.kind == "f" and self.item.dtype.isnative and self.item.ndim == 2
        return Leaf(
            self.item.shape,
            str(self.item.dtype),
            lambda: plain(self.item[()]),
            lambda key: plain(self.item[key]),
            (lambda transpose: lazy_dataset(self.item, transpose)) if lazily else None,
            stated_unit(self.item),
        )


def plain(values: Any) -> np.ndarray:
    """Values as h5py gives them, text decoded, in the byte order of this machine."""
    array = np.asarray(values)
    if array.dtype.kind == "O":
        flat = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in array.reshape(-1)]
        if not all(isinstance(item, str) for item in flat):
            raise FormatError("numbers or text", "references or arrays of differing length", "map another dataset")
        return np.array(flat, dtype=str).reshape(array.shape)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def stated_unit(item: Any) -> str:
    """The unit in a dataset's attributes, "" when there is none."""
    for name in _UNIT_ATTRS:
        unit = item.attrs.get(name)
        if isinstance(unit, bytes):
            return unit.decode("utf-8", "replace")
        if isinstance(unit, str):
            return unit
    return ""


def with_hdf5(path: Path, use: Callable[[Any], xr.DataTree]) -> xr.DataTree:
    """Open an HDF5 file and build a recording from it; a damaged or foreign file is a FormatError."""
    import h5py

    if not path.is_file() or not starts_with_any(path):
        raise FormatError(
            "an HDF5 file",
            f"{path.name}, which is none" + ("" if path.is_file() else " (a folder)"),
            "choose another reader= (nd.io.readers() lists them)",
        )
    try:
        with h5py.File(path, "r") as file:
            return use(file)
    # h5py raises RuntimeError and KeyError for damage that it meets below the top of the file.
    except (OSError, RuntimeError, KeyError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            "a complete HDF5 file",
            f"{path.name}: {type(error).__name__}: {error}",
            "the file is damaged or was cut short; copy it again",
        ) from error


def starts_with_any(path: Path) -> bool:
    """Whether the HDF5 signature is where the format allows it for small user blocks (MATLAB's has 512 bytes)."""
    return any(starts_with(path, HDF5_MAGIC, offset) for offset in (0, 512, 1024, 2048))


def detect(path: Path) -> int:
    """By suffix, or any HDF5 content whose suffix no other reader has. Never sure: other formats are HDF5 inside."""
    if not path.is_file() or has_suffix(path, _NEVER):
        return NO
    if has_suffix(path, _SUFFIXES):
        return BY_SUFFIX
    taken = {suffix for reader in all_readers().values() for suffix in reader.suffixes}
    return BY_SUFFIX if starts_with_any(path) and not has_suffix(path, tuple(taken)) else NO


def read(
    path: Path,
    *,
    mapping: Mapping[str, Any] | None = None,
    dims: Any = None,
    sampling_rate: Any = None,
    start: float = 0.0,
    time_unit: str | None = None,
    bin_width: float | None = None,
    signal_unit: str | None = None,
    sort: bool = False,
    support: Any = None,
) -> xr.DataTree:
    """Read an HDF5 file of any layout through a mapping.

    Parameters
    ----------
    path : Path
    mapping : mapping
        ``{"node/variable": where}``. Nodes are calcium, spikes, eeg, behaviour, trials, events (with a number from 2:
        eeg_2); variables are theirs and any further coordinate or column. `where` is a path (``"gcamp/trace"``), a
        path with `*` (one match per unit, the matched part is its id), a path with a slice (``"pose[:, 0]"``) or a
        callable that gets the open `h5py.File`. Without it, the error lists every array of the file.
    dims : mapping or tuple, optional
        ``{"calcium/fluorescence": ("roi", "time")}`` in the order of the file, where lengths do not tell.
    sampling_rate : float or mapping, optional
        Hz, for nodes whose times are not in the file; ``{"eeg": 1000.0, "behaviour": 30.0}`` when they differ.
    start : float
        Time of the first sample or left edge of the first bin where `sampling_rate` or `bin_width` is used, s.
    time_unit : {"s", "ms", "us", "sample"}, optional
        Unit of the times in the file; default what its `units` attributes say, else s.
    bin_width : float, optional
        s, for spikes/counts.
    signal_unit : str, optional
        Unit of eeg/signal in the file, unless its attributes say it.
    sort, support
        As in `make_spikes`.

    Notes
    -----
    Traces of two axes in floating point stay in the file and are read when used.

    Examples
    --------
    >>> import h5py, tempfile, pathlib, numpy as np, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "worm.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["gcamp/trace"] = np.ones((5, 3))
    ...     file["timing/frame"] = np.arange(5) * 0.5
    >>> rec = nd.load(path, mapping={"calcium/fluorescence": "gcamp/trace", "calcium/time": "timing/frame"})
    >>> dict(rec["calcium"].sizes)
    {'time': 5, 'roi': 3}
    """
    options = MappingOptions(dims, sampling_rate, start, time_unit, bin_width, signal_unit, sort, support)
    return with_hdf5(path, lambda file: read_mapping(H5Node(file), file, mapping, options, path.name))


READER = Reader(
    name="hdf5",
    formats="HDF5 of any layout, through mapping=",
    modalities=("calcium", "spikes", "eeg", "behaviour", "trials", "events"),
    suffixes=_SUFFIXES,
    detect=detect,
    read=read,
    needs=("mapping",),
)
