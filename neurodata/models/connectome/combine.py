"""Tables put together: sessions that share their time side by side, stretches of time one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.models.connectome.problem import Mode, Part, Problem, Stretch, sum_of_squares
from neurodata.models.connectome.table import Slot, Table, as_labels, read_tensor

# What `read_problem` takes.
Tensor = Any
# Steps in time beyond this many times the median are gaps.
_GAP = 1.5


@dataclass(frozen=True)
class Layout:
    """Names of what is fitted.

    Attributes
    ----------
    row_dim, row_coords : str, dict
    labels : dict of dim to array
        Of the other dims with a factor.
    slots : tuple of str
        Dims of a column's parts; a symmetric dim is there twice.
    order : tuple of str
        Dims as the tensor has them.
    symmetric : tuple of str
        The two symmetric dims, or empty.
    """

    row_dim: str
    row_coords: dict[str, Any]
    labels: dict[str, np.ndarray]
    slots: tuple[str, ...]
    order: tuple[str, ...]
    symmetric: tuple[str, ...] = ()

    def rows(self, ranges: Sequence[tuple[int, int]]) -> Layout:
        """The layout of some rows only."""
        chosen = np.concatenate([np.arange(a, z) for a, z in ranges])
        coords = {
            name: (dims, np.asarray(values)[chosen], *rest) for name, (dims, values, *rest) in self.row_coords.items()
        }
        return replace(self, row_coords=coords)


def read_problem(data: Tensor, symmetric: tuple[str, str] | None) -> tuple[Problem, Layout]:
    """A tensor, a mapping of sessions, or a list of stretches, as a problem with its labels.

    Parameters
    ----------
    data : DataArray, object with a method ``table(symmetric)``, mapping of session to such, or list of such
    symmetric : (dim, dim_2), optional
    """

    def table(one: Any) -> Table:
        return one.table(symmetric) if hasattr(one, "table") else read_tensor(one, symmetric)

    if isinstance(data, Mapping):
        if not data:
            raise RecordingError("a session or more", "an empty mapping", "pass {name: tensor}")
        return combine([table(one) for one in data.values()], list(data), symmetric)
    single = isinstance(data, xr.DataArray) or hasattr(data, "table")
    if not single and (isinstance(data, (str, np.ndarray)) or not isinstance(data, Iterable)):
        raise RecordingError("a DataArray with named dims", type(data).__name__, "wrap it: xr.DataArray(x, dims=...)")
    tables = [table(one) for one in ([data] if single else data)]
    if not tables:
        raise RecordingError("a tensor or more", "an empty list", "pass tensors")
    return combine(tables, None, symmetric)


def combine(
    tables: Sequence[Table], sessions: Sequence[Any] | None, symmetric: tuple[str, str] | None
) -> tuple[Problem, Layout]:
    """One problem of one table, of sessions that share their time, or of stretches of time one after the other.

    Parameters
    ----------
    tables : sequence of Table
    sessions : sequence, optional
        Names of sessions: tables are then side by side, with a factor over `session`. Without, they are in a row.
    symmetric : (dim, dim_2), optional
    """
    first = tables[0]
    if any(t.row_dim != first.row_dim or [s.dim for s in t.slots] != [s.dim for s in first.slots] for t in tables):
        raise RecordingError("tensors with the same dims", "different ones", "select or rename dims")
    labels = {slot.dim: _union([s.label for t in tables for s in t.slots if s.dim == slot.dim]) for slot in first.slots}
    tables = [_relabelled(table, labels) for table in tables]
    if sessions is not None:
        if "session" in labels:
            raise RecordingError("sessions without a dim 'session' of their own", "one", "pass it as one DataArray")
        _check_time(tables)
        labels = {"session": as_labels(list(sessions)), **labels}
    ends = np.cumsum([0, *(len(label) for label in labels.values())]).tolist()
    modes = tuple(Mode(d, a, z) for d, a, z in zip(labels, ends[:-1], ends[1:], strict=True))
    offset = {mode.dim: mode.first for mode in modes}
    keys = [np.stack([offset[s.dim] + s.code for s in t.slots], axis=1).astype(np.int32) for t in tables]
    if symmetric is not None:
        for key in keys:  # one order of the two units of a pair everywhere
            key[:, -2:] = np.sort(key[:, -2:], axis=1)
    if sessions is None:
        index, places = _together(keys)
        stretches, row_coords = _in_a_row(tables, places)
    else:
        keys = [np.column_stack([np.full(len(key), w, dtype=np.int32), key]) for w, key in enumerate(keys)]
        index, places = np.concatenate(keys), _next_to(keys)
        parts = tuple(Part(t.read, place, t.n_columns, t.block_rows) for t, place in zip(tables, places, strict=True))
        stretches, row_coords = (Stretch(0, first.n_rows, parts),), first.row_coords
    _check_seen(index, modes, labels)
    row_group, column_group, observed = _classes(tables, places, len(index), sessions is not None)
    square = sum_of_squares(stretches)
    if square <= 0.0:
        raise RecordingError("a value above 0", "zeros only", "there is nothing to factorise")
    smooth = np.concatenate([_inside(t) for t in (tables[:1] if sessions is not None else tables)])
    dtype = np.result_type(*(t.dtype for t in tables))
    problem = Problem(
        stretches, index.astype(np.int32), modes, row_group, column_group, observed, square, dtype, smooth
    )
    added = ("session",) if sessions is not None else ()
    slots = (*added, *(s.dim for s in first.slots))
    return problem, Layout(first.row_dim, row_coords, labels, slots, (*added, *first.order), tuple(symmetric or ()))


def _union(parts: list[np.ndarray]) -> np.ndarray:
    """All labels in the order in which they first appear."""
    if all(p.shape == parts[0].shape and (p == parts[0]).all() for p in parts[1:]):
        return parts[0]
    if len({p.dtype.kind in "UT" for p in parts}) > 1:
        raise RecordingError("labels of one kind", "numbers and text", "name the units alike")
    return as_labels(list(dict.fromkeys(v for p in parts for v in p.tolist())))


def _relabelled(table: Table, labels: Mapping[str, np.ndarray]) -> Table:
    slots = []
    for slot in table.slots:
        place = {name: k for k, name in enumerate(labels[slot.dim].tolist())}
        own = np.array([place[name] for name in slot.label.tolist()], dtype=np.int64)
        slots.append(Slot(slot.dim, labels[slot.dim], own[slot.code]))
    return replace(table, slots=tuple(slots))


def _next_to(keys: list[np.ndarray]) -> list[slice | np.ndarray]:
    ends = np.cumsum([0, *(len(key) for key in keys)]).tolist()
    return [slice(a, z) for a, z in zip(ends[:-1], ends[1:], strict=True)]


def _together(keys: list[np.ndarray]) -> tuple[np.ndarray, list[slice | np.ndarray]]:
    """Columns that any table has, and where each table's are."""
    if all(key.shape == keys[0].shape and (key == keys[0]).all() for key in keys[1:]):
        return keys[0], [slice(None)] * len(keys)
    index, inverse = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    return index, [inverse.ravel()[place] for place in _next_to(keys)]


def _check_time(tables: Sequence[Table]) -> None:
    first = tables[0]
    for other in tables[1:]:
        same = other.n_rows == first.n_rows
        if same and first.row_dim in first.row_coords and first.row_dim in other.row_coords:
            a, b = (np.asarray(t.row_coords[t.row_dim][1]) for t in (first, other))
            if a.dtype.kind in "iuf" and b.dtype.kind in "iuf":
                step = float(np.median(np.diff(a.astype(np.float64)))) if len(a) > 1 else 0.0
                same = np.allclose(a, b, rtol=0.0, atol=1e-6 + 1e-3 * step)
            else:
                same = bool((a == b).all())
        if not same:
            raise RecordingError(
                f"sessions with one {first.row_dim}",
                f"{first.n_rows} and {other.n_rows} entries, or other coordinates",
                "bring them to one clock, or pass a list: each then has its own time, and no factor over sessions",
            )


def _in_a_row(
    tables: Sequence[Table], places: Sequence[slice | np.ndarray]
) -> tuple[tuple[Stretch, ...], dict[str, Any]]:
    """Stretches of rows, and the coordinates of all rows."""
    stretches, offset = [], 0
    for table, place in zip(tables, places, strict=True):
        stretches.append(Stretch(offset, table.n_rows, (Part(table.read, place, table.n_columns, table.block_rows),)))
        offset += table.n_rows
    if len(tables) == 1:
        return tuple(stretches), tables[0].row_coords
    dim = tables[0].row_dim
    coords: dict[str, Any] = {
        name: (dim, np.concatenate([np.asarray(t.row_coords[name][1]) for t in tables]), tables[0].row_coords[name][2])
        for name in sorted(set.intersection(*(set(t.row_coords) for t in tables)))
    }
    sequence = np.repeat(np.arange(len(tables)), [t.n_rows for t in tables])
    return tuple(stretches), {**coords, "sequence": (dim, sequence, {"long_name": "which array of the list"})}


def _check_seen(index: np.ndarray, modes: Sequence[Mode], labels: Mapping[str, np.ndarray]) -> None:
    for mode in modes:
        lost = np.setdiff1d(np.arange(mode.first, mode.last), index) - mode.first
        if lost.size:
            raise RecordingError(
                f"each entry of {mode.dim!r} observed somewhere",
                f"nothing but NaN for {labels[mode.dim][lost][:5].tolist()}",
                "leave these out",
            )


def _inside(table: Table) -> np.ndarray:
    """Rows with a neighbour on either side, without a gap in time."""
    inside = np.ones(table.n_rows, dtype=bool)
    inside[:1] = inside[-1:] = False
    if table.row_dim in table.row_coords and table.n_rows > 2:
        values = np.asarray(table.row_coords[table.row_dim][1])
        if values.dtype.kind in "iuf":
            gap = np.diff(values.astype(np.float64))
            jump = np.flatnonzero(gap > _GAP * np.median(gap))
            inside[jump] = inside[jump + 1] = False
    return inside


def _classes(
    tables: Sequence[Table], places: Sequence[slice | np.ndarray], n_columns: int, side_by_side: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of rows and of columns, and which class of columns is observed in which class of rows."""
    n_rows = tables[0].n_rows if side_by_side else sum(t.n_rows for t in tables)
    if all(t.pattern is None for t in tables) and (side_by_side or all(isinstance(p, slice) for p in places)):
        return np.zeros(n_rows, np.int32), np.zeros(n_columns, np.int32), np.ones((1, 1))
    own = []
    for t in tables:
        everything = np.zeros(t.n_rows, np.int32), np.ones((1, t.n_columns), bool)
        own.append(everything if t.pattern is None or t.row_pattern is None else (t.row_pattern, t.pattern))
    if side_by_side:
        which, row_group = np.unique(np.stack([group for group, _ in own]), axis=1, return_inverse=True)
        pattern = np.concatenate([part[w] for (_, part), w in zip(own, which, strict=True)], axis=1)
    else:
        pattern = np.zeros((sum(len(part) for _, part in own), n_columns), dtype=bool)
        groups, offset = [], 0
        for (group, part), place in zip(own, places, strict=True):
            pattern[offset : offset + len(part), place] = part
            groups.append(group + offset)
            offset += len(part)
        row_group = np.concatenate(groups)
    bits, column_group = np.unique(np.packbits(pattern, axis=0), axis=1, return_inverse=True)
    observed = np.unpackbits(bits, axis=0, count=len(pattern)).astype(np.float64)
    return row_group.ravel().astype(np.int32), column_group.ravel().astype(np.int32), observed
