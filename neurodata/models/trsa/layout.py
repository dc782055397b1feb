"""Which dim of the data is what for an RDM: conditions, runs, channels, and batches such as time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError

# Dims that are never taken for channels unless asked for.
BATCH = ("time", "rdm")


class Layout(NamedTuple):
    """Patterns as arrays. Balanced data have `row` None and values (..., run, condition, channel)."""

    values: np.ndarray  # (..., run, condition, channel), or (..., observation, channel)
    row: np.ndarray | None  # (observation,), index into conditions
    fold: np.ndarray | None  # (observation,), index into runs; None without runs
    conditions: np.ndarray  # labels
    runs: np.ndarray  # labels; [0] without runs
    pattern: tuple[str, ...]  # dims that make up a pattern
    batch: tuple[str, ...]  # leading dims
    coords: dict[str, Any]  # coordinates of the batch dims
    has_runs: bool
    complete: bool  # nothing is NaN
    mean: np.ndarray | None  # (..., condition, channel), over the runs of balanced data


def layout(
    data: xr.DataArray, condition: str = "condition", run: str = "run", pattern: str | Sequence[str] | None = None
) -> Layout:
    """Find the roles of the dims.

    Parameters
    ----------
    data : DataArray
        Either dims ([run,] condition, channel, ...): every condition once in every run; or dims (observation, channel,
        ...), where `condition` (and `run`) are coordinates on the dim of observations, in any number and order.
    condition, run : str
        Names of the dims or coordinates.
    pattern : str or sequence of str, optional
        Dims that make up a pattern; by default the one that is left besides time.

    Raises
    ------
    RecordingError
        No conditions, fewer than two of them, infinite or complex values.
    OptionError
        More than one dim could be the channels.
    """
    if not isinstance(data, xr.DataArray):
        raise RecordingError("patterns as a DataArray", type(data).__name__, "select one variable")
    if data.dtype.kind not in "fiub":
        raise RecordingError("real numbers", f"{data.dtype}", "convert the values")
    balanced = condition in data.dims
    if balanced:
        roles = [run, condition] if run in data.dims else [condition]
    else:
        if condition not in data.coords or data[condition].ndim != 1:
            raise RecordingError(
                f"a dim {condition!r}, or a coordinate {condition!r} that says of which condition each observation is",
                f"dims {data.dims}, coordinates {sorted(map(str, data.coords))}",
                "assign it, or name another with condition=",
            )
        roles = [str(data[condition].dims[0])]
    others = [str(dim) for dim in data.dims if dim not in roles]
    pattern_dims = _pattern(others, pattern)
    batch = tuple(dim for dim in others if dim not in pattern_dims)
    # Plain variables: coordinates would cost more than the arithmetic of a small RDM.
    values = np.asarray(data.variable.transpose(*batch, *roles, *pattern_dims).values)
    if values.dtype != np.float64:
        values = values.astype(np.float64)
    if len(pattern_dims) > 1:
        values = values.reshape(*values.shape[: -len(pattern_dims)], -1)
    # Means over runs are needed anyway, and what is not finite shows in them: no pass over the data for it alone.
    with np.errstate(invalid="ignore"):
        mean = _over_runs(values) if balanced and run in data.dims else None
        complete = bool(np.isfinite((values if mean is None else mean).sum()))
    if not complete and np.isinf(values).any():
        raise RecordingError("finite values, NaN where not observed", "infinite ones", "set them to NaN")
    if values.shape[-1] == 0:
        raise RecordingError("one channel or more", "none", "check the selection")
    known = data.coords.variables
    coords = {str(n): c for n, c in known.items() if c.dims and set(c.dims) <= set(batch)} if batch else {}
    if balanced:
        labels = labels_of(data, condition)
        if len(set(labels.tolist())) < labels.size:
            raise RecordingError("every condition once along its dim", "labels that repeat", "use the form with trials")
        has_runs = run in data.dims
        values = values if has_runs else values[..., None, :, :]
        folds = labels_of(data, run) if has_runs else np.zeros(1, dtype=np.int64)
        found = Layout(values, None, None, labels, folds, pattern_dims, batch, coords, has_runs, complete, mean)
    else:
        found = _observations(data, values, roles[0], condition, run, pattern_dims, batch, coords, complete)
    if found.conditions.size < 2:
        raise RecordingError(
            "two conditions or more", f"{found.conditions.size}", "there are no dissimilarities of fewer"
        )
    return found


def _over_runs(values: np.ndarray) -> np.ndarray:
    """Means (..., condition, channel) of (..., run, condition, channel)."""
    n = values.shape[-3]
    if n and values.ndim == 3 and values.flags.c_contiguous:
        # One pass at the speed of the memory.
        return (np.full(n, 1.0 / n) @ values.reshape(n, -1)).reshape(values.shape[1:])
    return values.mean(axis=-3)


def labels_of(data: xr.DataArray, dim: str) -> np.ndarray:
    """Labels along a dim; numbers from 0 where it has none."""
    known = data.coords.variables
    return np.asarray(known[dim].values) if dim in known else np.arange(data.sizes[dim])


def _observations(
    data: xr.DataArray,
    values: np.ndarray,
    dim: str,
    condition: str,
    run: str,
    pattern: tuple[str, ...],
    batch: tuple[str, ...],
    coords: dict[str, Any],
    complete: bool,
) -> Layout:
    labels = data[condition].values
    unknown = np.array([label is None or label != label or label == "" for label in labels.tolist()], dtype=bool)
    if unknown.any():
        raise RecordingError(
            "a condition for every observation", f"{int(unknown.sum())} without", "drop these observations"
        )
    conditions, row = np.unique(labels, return_inverse=True)
    fold, runs, has_runs = None, np.zeros(1, dtype=np.int64), False
    if run in data.coords or run == dim:
        named = data[run]
        if named.dims != (dim,):
            raise RecordingError(f"a run for each observation, on {dim!r}", f"dims {named.dims}", "assign it")
        runs, fold = np.unique(named.values, return_inverse=True)
        has_runs = True
        fold = fold.ravel()
    return Layout(values, row.ravel(), fold, conditions, runs, pattern, batch, coords, has_runs, complete, None)


def _pattern(others: list[str], pattern: str | Sequence[str] | None) -> tuple[str, ...]:
    if pattern is not None:
        names = (pattern,) if isinstance(pattern, str) else tuple(pattern)
        missing = [name for name in names if name not in others]
        if missing or not names:
            raise OptionError(f"pattern= among {others}", f"{pattern!r}", "name dims of the data")
        return names
    free = [dim for dim in others if dim not in BATCH]
    if len(free) != 1:
        raise OptionError(
            "one dim besides conditions, runs and time, the channels",
            f"{free or others or 'none'}",
            "name the dims that make up a pattern with pattern=",
        )
    return (free[0],)


def cells(
    values: np.ndarray, row: np.ndarray, fold: np.ndarray | None, n_conditions: int, n_runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums (..., run, condition, channel) and counts (run, condition) of observations (..., observation, channel).

    Examples
    --------
    >>> sums, counts = cells(np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1]), None, 2, 1)
    >>> sums.tolist(), counts.tolist()
    ([[[1.0], [6.0]]], [[1.0, 2.0]])
    """
    place = row if fold is None else fold * n_conditions + row
    counts = np.bincount(place, minlength=n_conditions * n_runs).astype(np.float64)
    order = np.argsort(place, kind="stable")
    present, first = np.unique(place[order], return_index=True)
    sorted_values = values if (np.diff(order) == 1).all() else np.take(values, order, axis=-2)
    if present.size == place.size:
        total = sorted_values
    else:
        total = np.add.reduceat(sorted_values, first, axis=-2)
    if present.size == counts.size:
        sums = total
    else:
        sums = np.zeros((*values.shape[:-2], counts.size, values.shape[-1]))
        sums[..., present, :] = total
    shape = (n_runs, n_conditions)
    return sums.reshape(*values.shape[:-2], *shape, values.shape[-1]), counts.reshape(shape)
