"""Labelled tensors as tables of rows and columns; columns that were never observed are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.models.connectome.problem import Read

# Two halves of a symmetric array may differ by so much of the largest value.
_ASYMMETRY = 1e-5


@dataclass(frozen=True)
class Slot:
    """One part of what a column is: entry `code` of `label`, along dim `dim`."""

    dim: str
    label: np.ndarray
    code: np.ndarray


@dataclass(frozen=True)
class Table:
    """A tensor as rows of one dim and columns of all others; columns never observed are left out.

    Attributes
    ----------
    read : callable
        Rows `start` .. `stop` as an array (row, column), 0 where not observed.
    row_dim : str
    row_coords : dict
        Coordinates along the rows.
    slots : tuple of Slot
    pattern, row_pattern : array (pattern, column), array (row,), optional
        Which columns are observed in which rows; None where all are.
    block_rows : int
        Rows that are best read at once.
    """

    read: Read
    n_rows: int
    n_columns: int
    dtype: np.dtype
    row_dim: str
    row_coords: dict[str, Any]
    slots: tuple[Slot, ...]
    order: tuple[str, ...]
    pattern: np.ndarray | None = None
    row_pattern: np.ndarray | None = None
    block_rows: int = 32


def labels_of(array: xr.DataArray, dim: str) -> np.ndarray:
    """Labels along a dim, or positions; distinct. Pairs with coordinates ``x`` and ``x_2`` are named by these."""
    along = {str(name) for name, c in array.coords.items() if c.dims == (dim,)}
    names = sorted(name for name in along if f"{name}_2" in along) if dim == "pair" else []
    if names:
        values = pair_labels(array[names[0]].values, array[f"{names[0]}_2"].values)
    elif dim in array.coords and array.coords[dim].ndim == 1:
        values = array[dim].values
    else:
        return np.arange(array.sizes[dim])
    count = Counter(values.tolist())
    if len(count) != len(values):
        twice = sorted((label for label, n in count.items() if n > 1), key=str)
        raise RecordingError(f"distinct labels along {dim!r}", f"repeated {twice[:5]}", "name each entry once")
    return values


def pair_labels(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Pairs of unit labels as tuples in an array of objects.

    Examples
    --------
    >>> import numpy as np
    >>> pair_labels(np.array(["a", "a"]), np.array(["b", "c"])).tolist()
    [('a', 'b'), ('a', 'c')]
    """
    return as_labels(list(zip(one.tolist(), two.tolist(), strict=True)))


def as_labels(values: list[Any]) -> np.ndarray:
    """An array (label,) of labels, tuples kept whole."""
    if values and isinstance(values[0], tuple):
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out
    return np.array(values)


def read_tensor(array: xr.DataArray, symmetric: tuple[str, str] | None) -> Table:
    """A table of a labelled tensor.

    Parameters
    ----------
    array : DataArray
        Two dims or more. With `symmetric`, either both of these are dims, or they are coordinates along a dim `pair`
        of packed pairs.
    symmetric : (dim, dim_2), optional
    """
    if not isinstance(array, xr.DataArray):
        raise RecordingError("a DataArray with named dims", type(array).__name__, "wrap it: xr.DataArray(x, dims=...)")
    if array.ndim < 2 or 0 in array.shape:
        raise RecordingError(
            "a tensor of two dims or more, none of them empty", str(dict(array.sizes)), "check what was selected"
        )
    if array.dtype.kind not in "biuf":
        raise RecordingError("real numbers", f"dtype {array.dtype}", "pass numbers")
    given = {str(dim) for dim in array.dims}
    pairs: tuple[str, ...] = () if symmetric is None else tuple(symmetric)
    packed = symmetric is not None and not set(pairs) <= given
    if packed and not ("pair" in given and set(pairs) <= {str(c) for c in array.coords}):
        raise OptionError(
            f"dims {pairs[0]!r} and {pairs[1]!r}, or coordinates of these names along a dim 'pair'",
            f"dims {tuple(array.dims)}",
            "set symmetric=None, or name the dims",
        )
    inner = ("pair",) if packed else pairs
    others = [str(dim) for dim in array.dims if dim not in inner]
    if not others:
        raise RecordingError("a dim besides the symmetric", str(tuple(array.dims)), "factorise a matrix by NMF")
    row_dim = "time" if "time" in others else max(others, key=lambda dim: array.sizes[dim])
    between = [dim for dim in others if dim != row_dim]
    order = tuple(str(dim) for dim in array.dims)
    if packed:
        at = order.index("pair")
        order = (*order[:at], *pairs, *order[at + 1 :])
    array = array.transpose(row_dim, *between, *inner)
    row_coords = {str(k): (row_dim, v.values, v.attrs) for k, v in array.coords.items() if v.dims == (row_dim,)}
    inner_slots, pick = _inner(array, symmetric, packed)
    n_inner = len(pick[0]) if pick is not None else int(np.prod([array.sizes[d] for d in inner], dtype=int))
    shape = [array.sizes[dim] for dim in between]
    codes = np.indices([*shape, n_inner]).reshape(len(shape) + 1, -1)
    slots = [Slot(dim, labels_of(array, dim), codes[k]) for k, dim in enumerate(between)]
    slots += [Slot(slot.dim, slot.label, slot.code[codes[-1]]) for slot in inner_slots]
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    chunks = array.chunksizes.get(row_dim)
    # A chunk is read whole, whatever part of it is wanted.
    block_rows = 32 if chunks is None else int(max(chunks))

    def block(a: int, z: int) -> np.ndarray:
        values = np.asarray(array.isel({row_dim: slice(a, z)}).values, dtype=dtype)
        if pick is not None:
            upper, lower = values[..., pick[0], pick[1]], values[..., pick[1], pick[0]]
            _check_symmetric(upper, lower)
            values = upper
        return values.reshape(z - a, -1)

    n_rows, n_columns = array.sizes[row_dim], codes.shape[1]
    table = Table(block, n_rows, n_columns, dtype, row_dim, row_coords, tuple(slots), order, block_rows=block_rows)
    return _observed(table, lazy=chunks is not None, view=pick is None)


def _inner(
    array: xr.DataArray, symmetric: tuple[str, str] | None, packed: bool
) -> tuple[list[Slot], tuple[np.ndarray, np.ndarray] | None]:
    """Slots of the symmetric part, and which pairs to take of a square."""
    if symmetric is None:
        return [], None
    dim, dim_2 = symmetric
    if packed:
        one, two = array[dim].values, array[dim_2].values
        label = np.array(list(dict.fromkeys([*one.tolist(), *two.tolist()])), dtype=np.result_type(one, two))
        place = {name: k for k, name in enumerate(label.tolist())}
        i = np.array([place[name] for name in one.tolist()])
        j = np.array([place[name] for name in two.tolist()])
        if (i == j).any():
            raise RecordingError("pairs of two different units", "a unit with itself", "leave the diagonal out")
        key = np.minimum(i, j) * len(label) + np.maximum(i, j)
        if len(np.unique(key)) != len(key):
            raise RecordingError("each pair once", "a pair more than once", "keep pairs i < j only")
        return [Slot(dim, label, i), Slot(dim, label, j)], None
    label, label_2 = labels_of(array, dim), labels_of(array, dim_2)
    if len(label) != len(label_2) or (label != label_2).any():
        raise RecordingError(f"the same labels along {dim!r} and {dim_2!r}", "different ones", "reindex one of them")
    if len(label) < 2:
        raise RecordingError("two units or more", str(len(label)), "a pair needs two")
    i, j = np.triu_indices(len(label), 1)
    return [Slot(dim, label, i), Slot(dim, label, j)], (i, j)


def _check_symmetric(upper: np.ndarray, lower: np.ndarray) -> None:
    slack = _ASYMMETRY * np.abs(upper).max(initial=0.0, where=np.isfinite(upper))
    if not np.isclose(upper, lower, rtol=0.0, atol=slack, equal_nan=True).all():
        raise RecordingError("a symmetric array", "halves that differ", "set symmetric=None, or symmetrise it first")


def _observed(table: Table, lazy: bool, view: bool) -> Table:
    """The table without columns that are never observed; patterns where cells are missing."""
    block, n_rows, n_columns = table.read, table.n_rows, table.n_columns
    step = table.block_rows if lazy else 128
    ranges = [(a, min(a + step, n_rows)) for a in range(0, n_rows, step)]
    ever, anything_missing = np.zeros(n_columns, dtype=bool), False
    for a, z in ranges:
        missing = np.isnan(block(a, z))
        ever |= ~missing.all(axis=0)
        anything_missing |= bool(missing.any())
    if not ever.any():
        raise RecordingError("an observed value", "nothing but NaN", "check what was selected")
    keep: Any = slice(None) if ever.all() else np.flatnonzero(ever)
    pattern = row_pattern = None
    if anything_missing:
        pattern, row_pattern = _patterns(block, ranges, keep, int(ever.sum()))

    def clean(a: int, z: int) -> np.ndarray:
        values = block(a, z)[:, keep]
        if pattern is not None:
            values = np.nan_to_num(values, nan=0.0, posinf=np.inf)
        return np.ascontiguousarray(values)

    read = clean
    if not lazy:
        as_it_is = view and bool(ever.all()) and pattern is None
        whole = _whole(block, clean, ranges, n_rows, int(ever.sum()), table.dtype, as_it_is)

        def read(a: int, z: int) -> np.ndarray:
            return whole[a:z]

    kept = tuple(Slot(slot.dim, slot.label, slot.code[keep]) for slot in table.slots)
    return replace(table, read=read, n_columns=int(ever.sum()), slots=kept, pattern=pattern, row_pattern=row_pattern)


def _whole(
    block: Read, clean: Read, ranges: list[tuple[int, int]], n_rows: int, n_columns: int, dtype: np.dtype, view: bool
) -> np.ndarray:
    """All rows in memory: the input itself where that is as it should be, else a copy made block by block."""
    if view:
        return np.ascontiguousarray(block(0, n_rows))
    whole = np.empty((n_rows, n_columns), dtype=dtype)
    for a, z in ranges:
        whole[a:z] = clean(a, z)
    return whole


def _patterns(
    block: Read, ranges: list[tuple[int, int]], keep: Any, n_columns: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Distinct rows of what is observed, and which row has which; None where everything is."""
    bits = np.concatenate([np.packbits(~np.isnan(block(a, z)[:, keep]), axis=1) for a, z in ranges])
    distinct, row_pattern = np.unique(bits, axis=0, return_inverse=True)
    pattern = np.unpackbits(distinct, axis=1, count=n_columns).astype(bool)
    if pattern.all():
        return None, None
    return pattern, row_pattern.ravel().astype(np.int32)
