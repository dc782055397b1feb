"""MATLAB files, v5 (scipy) and v7.3 (HDF5), read through a mapping that the user gives."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import FormatError
from neurodata.io._mapping import read_mapping
from neurodata.io._mapping_fields import MappingOptions
from neurodata.io._paths import Leaf
from neurodata.io.hdf5 import lazy_dataset, plain, with_hdf5
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, HDF5_MAGIC, NO, Reader, has_suffix, starts_with

_V5, _V73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"


class MatNode:
    """A variable of a v5 file as scipy gives it: numbers, text, struct arrays, cell arrays."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    def _is_struct_array(self) -> bool:
        return isinstance(self.value, np.ndarray) and self.value.dtype.names is not None and not self._is_opaque

    @property
    def _is_opaque(self) -> bool:
        # Tables, strings, function handles: MATLAB's own serialisation, which scipy passes on undecoded.
        return type(self.value).__name__ in ("MatlabOpaque", "MatlabFunction")

    @property
    def _is_cell(self) -> bool:
        return isinstance(self.value, np.ndarray) and self.value.dtype == object and not self._is_opaque

    def members(self) -> dict[str, MatNode]:
        """Variables of the file, or fields of a struct."""
        if isinstance(self.value, Mapping):
            return {name: MatNode(item) for name, item in self.value.items() if not name.startswith("__")}
        element = self.value
        if self._is_struct_array and self.value.size == 1:
            element = self.value.reshape(-1)[0]
        if isinstance(element, np.void) and element.dtype.names:
            return {name: MatNode(element[name]) for name in element.dtype.names}
        return {}

    def positions(self) -> list[MatNode] | None:
        """Elements of a cell or struct array, in MATLAB's (column) order."""
        if self._is_cell or self._is_struct_array:
            return [MatNode(item) for item in self.value.ravel(order="F")]
        return None

    def leaf(self) -> Leaf | None:
        """Numbers or text; a cell of texts is text."""
        value = self.value
        if hasattr(value, "toarray"):
            return Leaf(value.shape, f"{value.dtype} (sparse)", lambda: value.toarray())
        if self._is_cell:
            texts = [_matlab_text(item) for item in value.ravel(order="F")]
            if not texts or any(text is None for text in texts):
                return None
            array = np.array(texts, dtype=str)
            return Leaf(array.shape, "text", lambda: array)
        if not isinstance(value, np.ndarray) or value.dtype.names is not None or value.dtype == object:
            return None
        return Leaf(value.shape, str(value.dtype), lambda: plain(value), lambda key: plain(value[key]))


def _matlab_text(item: Any) -> str | None:
    """Text of a char array in a cell, None for anything else. An empty double is MATLAB's usual empty text."""
    if isinstance(item, np.ndarray) and item.dtype.kind == "U" and item.size <= 1:
        return str(item.reshape(-1)[0]) if item.size else ""
    return None


class Mat73Node:
    """A variable of a v7.3 file: HDF5 with axes reversed, cells and struct arrays as references."""

    def __init__(self, item: Any, index: int | None = None) -> None:
        # `index` picks one element of a struct array, whose fields are datasets of references.
        self.item, self.index = item, index

    @property
    def _class(self) -> str:
        name = self.item.attrs.get("MATLAB_class", b"")
        return name.decode() if isinstance(name, bytes) else str(name)

    @property
    def _is_group(self) -> bool:
        return hasattr(self.item, "keys")

    @property
    def _is_sparse(self) -> bool:
        return self._is_group and "MATLAB_sparse" in self.item.attrs

    def _struct_array_size(self) -> int | None:
        """Number of elements when a group is a struct array: all fields are references and none of them is a cell."""
        if not self._is_group or self.index is not None or self._is_sparse or not len(self.item):
            return None
        fields = list(self.item.values())
        if all(_is_reference(field) and "MATLAB_class" not in field.attrs for field in fields):
            return int(fields[0].size)
        return None

    def members(self) -> dict[str, Mat73Node]:
        """Variables of the file, or fields of a struct."""
        if not self._is_group or self._is_sparse:
            return {}
        size = self._struct_array_size()
        if size is not None and size != 1:
            return {}
        index = 0 if size == 1 else self.index
        if index is not None:
            return {name: Mat73Node(_dereference(field)[index]) for name, field in self.item.items()}
        # "#refs#" and "#subsystem#" are MATLAB's own storage.
        return {name: Mat73Node(item) for name, item in self.item.items() if not name.startswith("#")}

    def positions(self) -> list[Mat73Node] | None:
        """Elements of a cell or struct array, in MATLAB's (column) order."""
        size = self._struct_array_size()
        if size is not None:
            return [Mat73Node(self.item, number) for number in range(size)]
        if self._is_group or self._class != "cell":
            return None
        return [] if _is_empty(self.item) else [Mat73Node(item) for item in _dereference(self.item)]

    def leaf(self) -> Leaf | None:
        """Numbers or text in MATLAB's order of axes; a cell of texts is text."""
        if self._is_sparse:
            rows = int(self.item.attrs["MATLAB_sparse"])
            columns = self.item["jc"].size - 1
            return Leaf((rows, columns), "sparse", lambda: self._sparse(rows, columns))
        if self._is_group:
            return None
        if self._class == "cell":
            items = self.positions() or []
            if not items or any(node._is_group or node._class != "char" for node in items):
                return None
            texts = np.array([node._text() for node in items], dtype=str)
            return Leaf(texts.shape, "text", lambda: texts)
        if _is_reference(self.item) or self.item.dtype.names:
            return None
        if _is_empty(self.item):
            shape = tuple(int(size) for size in self.item[()])
            return Leaf(shape, self._class, lambda: np.zeros(shape, dtype=str if self._class == "char" else np.float64))
        if self._class == "char":
            return Leaf((1,), "text", lambda: np.array([self._text()]))
        logical = self._class == "logical"
        lazily = self.item.dtype.kind == "f" and self.item.dtype.isnative and self.item.ndim == 2
        return Leaf(
            self.item.shape[::-1],
            self._class or str(self.item.dtype),
            lambda: plain(self.item[()]).T.astype(bool) if logical else plain(self.item[()]).T,
            None if logical else self._part,
            # The dataset is transposed already when it is seen as MATLAB shows it.
            (lambda transpose: lazy_dataset(self.item, not transpose)) if lazily else None,
        )

    def _part(self, key: tuple[Any, ...]) -> np.ndarray:
        full = (*key, *[slice(None)] * (self.item.ndim - len(key)))
        return plain(self.item[full[::-1]]).T

    def _text(self) -> str:
        if _is_empty(self.item):
            return ""
        codes = np.asarray(self.item[()]).T
        return "".join(map(chr, codes.reshape(-1)))

    def _sparse(self, rows: int, columns: int) -> np.ndarray:
        from scipy.sparse import csc_matrix

        if "data" not in self.item:
            return np.zeros((rows, columns))
        parts = (plain(self.item["data"][()]), self.item["ir"][()].astype(int), self.item["jc"][()].astype(int))
        return csc_matrix(parts, shape=(rows, columns)).toarray()


def _is_reference(item: Any) -> bool:
    import h5py

    return not hasattr(item, "keys") and h5py.check_ref_dtype(item.dtype) is not None


def _is_empty(item: Any) -> bool:
    return bool(item.attrs.get("MATLAB_empty", 0))


def _dereference(item: Any) -> list[Any]:
    """What a dataset of references points at. Its axes are reversed, so its row order is MATLAB's column order."""
    return [item.file[reference] for reference in np.asarray(item[()]).reshape(-1)]


def _load_v5(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path)
    except (
        MatReadError,
        ValueError,
        TypeError,
        OSError,
        EOFError,
        NotImplementedError,
        zlib.error,
        struct.error,
        KeyError,
        IndexError,
        OverflowError,
        MemoryError,
    ) as error:
        raise FormatError(
            "a complete MATLAB file, v5 or v7.3",
            f"{path.name}: {type(error).__name__}: {error}",
            "the file is damaged, was cut short, or is of another format; save it again",
        ) from error


def detect(path: Path) -> int:
    """By the header text, for .mat only: EEGLAB's .set and others are MATLAB files inside."""
    if not path.is_file() or not has_suffix(path, (".mat",)):
        return NO
    return BY_CONTENT if starts_with(path, _V5) or starts_with(path, _V73) else BY_SUFFIX


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
    """Read a MATLAB file through a mapping.

    Parameters
    ----------
    path : Path
        v5 to v7 (scipy) or v7.3 (HDF5); shapes are as MATLAB shows them in both.
    mapping : mapping
        As for the reader "hdf5". Paths go through structs by field name and through cell and struct arrays by
        position: ``cells{4}/times`` counts from 1 as MATLAB does, ``cells[3]/times`` from 0 as Python does.
        ``cells/*/times`` takes every position, with MATLAB's number as the id; several `*` give ids such as "1-14".
        Cells and structs of one element are opened without being named, unless by `*`. Positions that lack the rest
        of the path (empty cells) are no units; those whose array is empty are units without spikes.
        A callable gets the dict of `scipy.io.loadmat`, or the open `h5py.File` of a v7.3 file.
    dims, sampling_rate, start, time_unit, bin_width, signal_unit, sort, support
        As for the reader "hdf5".

    Notes
    -----
    Tables, strings and other objects that MATLAB stores in its own serialisation are not read.

    Examples
    --------
    >>> import scipy.io, tempfile, pathlib, numpy as np, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "units.mat"
    >>> scipy.io.savemat(path, {"data": {"unit_3": np.array([0.1, 0.2]), "unit_7": np.zeros(0)}})
    >>> rec = nd.load(path, mapping={"spikes/spike_time": "data/unit_*"})
    >>> rec["spikes"]["spike_count"].to_series().to_dict()
    {3: 2, 7: 0}
    """
    options = MappingOptions(dims, sampling_rate, start, time_unit, bin_width, signal_unit, sort, support)
    if starts_with(path, HDF5_MAGIC) or starts_with(path, HDF5_MAGIC, 512):
        return with_hdf5(path, lambda file: read_mapping(Mat73Node(file), file, mapping, options, path.name))
    if not path.is_file():
        raise FormatError("a MATLAB file", f"{path.name} is a folder", "name the file")
    opened = _load_v5(path)
    return read_mapping(MatNode(opened), opened, mapping, options, path.name)


READER = Reader(
    name="matlab",
    formats="MATLAB v5 and v7.3, through mapping=",
    modalities=("calcium", "spikes", "eeg", "behaviour", "trials", "events"),
    suffixes=(".mat",),
    detect=detect,
    read=read,
    needs=("mapping",),
)
