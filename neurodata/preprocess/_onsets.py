"""The times to align to: from numbers, from an events or a trials node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError


class Onsets(NamedTuple):
    """Times (trial,) in s, ids (trial,) and further columns, each one value per trial."""

    time: np.ndarray
    trial: np.ndarray
    columns: dict[str, xr.Variable]


def onsets_of(at: Any, kind: str | Sequence[str] | None, where: Any, column: str | None) -> Onsets:
    """Read `at`, keep the rows that `kind` and `where` select; order and ids stay."""
    if isinstance(at, xr.DataTree):
        at = at.to_dataset(inherit=False)
    if isinstance(at, xr.Dataset):
        onsets = _from_table(at, column)
    elif isinstance(at, xr.DataArray):
        onsets = _from_array(at)
    else:
        time = np.atleast_1d(np.asarray(at, dtype=np.float64))
        onsets = Onsets(time, np.arange(time.size), {})
    if onsets.time.ndim != 1:
        raise RecordingError("one time per event", f"shape {onsets.time.shape}", "pass a vector of times (s)")
    if np.isinf(onsets.time).any():
        raise RecordingError("finite times, or NaN where unknown", "infinite ones", "correct at=")
    keep = _selected(onsets, kind, where)
    if not keep.any():
        raise OptionError(
            "at least one event to align to",
            f"none of {keep.size} left" if keep.size else "no events",
            "correct at=, kind= or where=",
        )
    columns = {name: variable[keep] for name, variable in onsets.columns.items()}
    return Onsets(onsets.time[keep], onsets.trial[keep], columns)


def _from_table(table: xr.Dataset, column: str | None) -> Onsets:
    dim = "event" if "event" in table.dims else "trial"
    name = column or {"event": "onset", "trial": "start"}[dim]
    numeric = [str(n) for n, v in table.data_vars.items() if v.dims == (dim,) and v.dtype.kind in "if"]
    if dim not in table.dims or name not in numeric:
        raise OptionError(
            "an events or trials node, and the name of its column with the times",
            f"column {name!r}; columns with numbers are {numeric}",
            "pass column=",
        )
    columns = {
        str(n): xr.Variable("trial", v.values, v.attrs)
        for n, v in table.variables.items()
        if v.dims == (dim,) and n not in (dim, name)
    }
    ids = table[dim].values if dim in table.coords else np.arange(table.sizes[dim])
    return Onsets(table[name].values.astype(np.float64), ids, columns)


def _from_array(times: xr.DataArray) -> Onsets:
    if times.ndim != 1:
        raise RecordingError("one time per event", f"dims {times.dims}", "pass a vector of times (s)")
    dim = times.dims[0]
    ids = times[dim].values if dim in times.coords else np.arange(times.size)
    columns = {
        str(name): xr.Variable("trial", coord.values, coord.attrs)
        for name, coord in times.coords.items()
        if name != dim and coord.dims == (dim,)
    }
    return Onsets(times.values.astype(np.float64), ids, columns)


def _selected(onsets: Onsets, kind: str | Sequence[str] | None, where: Any) -> np.ndarray:
    keep = np.ones(onsets.time.size, dtype=bool)
    if kind is not None:
        if "description" not in onsets.columns:
            raise OptionError("events with a description, to select by kind=", "none", "use where=")
        text = onsets.columns["description"].values.astype(str)
        kinds = [kind] if isinstance(kind, str) else list(kind)
        unknown = [name for name in kinds if name not in text]
        if unknown:
            raise OptionError(f"kinds among {sorted(set(text.tolist()))}", f"{unknown}", "correct kind=")
        keep &= np.isin(text, kinds)
    if isinstance(where, Mapping):
        for name, wanted in where.items():
            if name not in onsets.columns:
                raise OptionError(f"columns among {sorted(onsets.columns)}", f"{name!r}", "correct where=")
            several = list(wanted) if isinstance(wanted, (list, tuple, set, np.ndarray)) else [wanted]
            keep &= np.isin(onsets.columns[name].values, several)
    elif where is not None:
        mask = np.asarray(where)
        if mask.dtype != bool or mask.shape != keep.shape:
            raise OptionError(
                f"where= as {{column: value}} or as {keep.size} booleans",
                f"{mask.dtype} of shape {mask.shape}",
                "correct where=",
            )
        keep &= mask
    return keep
