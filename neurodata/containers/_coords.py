"""Pieces every constructor uses: the time coordinate, id coordinates, extra per-item coordinates, table columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.errors import MissingOptionError, RecordingError
from neurodata.schema import SECONDS

TIME_ATTRS = {"units": SECONDS, "long_name": "time"}


def time_coord(time: Any, sampling_rate: float | None, start: float, n: int) -> xr.Variable:
    """The time coordinate, from explicit times (s) or from a sampling rate (Hz) and the time of the first sample."""
    if time is None:
        if sampling_rate is None:
            raise MissingOptionError(
                expected="the times of the samples, or their sampling rate",
                got="neither",
                fix="pass time= (s) or sampling_rate= (Hz)",
            )
        if not np.isfinite(sampling_rate) or sampling_rate <= 0:
            raise RecordingError("a positive sampling rate in Hz", f"{sampling_rate!r}", "pass sampling_rate= in Hz")
        return xr.Variable("time", start + np.arange(n) / sampling_rate, TIME_ATTRS)
    if isinstance(time, xr.Variable):
        return time
    values = np.asarray(time, dtype=np.float64)
    if values.shape != (n,):
        raise RecordingError(f"one time per sample, {n} of them", f"times of shape {values.shape}", "check time=")
    return xr.Variable("time", values, TIME_ATTRS)


def id_values(ids: Any, n: int, what: str) -> np.ndarray:
    """Ids as int64 or text, `n` of them; `0..n-1` when the source has none."""
    if ids is None:
        return np.arange(n, dtype=np.int64)
    values = np.asarray(ids)
    if values.shape != (n,):
        raise RecordingError(f"{n} {what} ids", f"ids of shape {values.shape}", f"pass one id per {what}")
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    return values.astype(str)


def item_coords(dim: str, n: int, columns: Mapping[str, Any]) -> dict[str, xr.Variable]:
    """Extra coordinates along `dim` (label, depth, ...), each one value per item; None entries are left out."""
    coords = {}
    for name, values in columns.items():
        if values is None:
            continue
        column = values if isinstance(values, xr.Variable) else xr.Variable(dim, column_values(np.asarray(values)))
        if column.shape != (n,):
            raise RecordingError(
                f"{n} values of {name!r}, one per {dim}",
                f"shape {column.shape}",
                f"pass one value of {name!r} per {dim}",
            )
        coords[name] = column
    return coords


def column_values(values: Any) -> np.ndarray:
    """A table column as an array every store takes: missing text is "", missing numbers are NaN."""
    array = np.asarray(values)
    if array.dtype.kind in "biufUMm" and not isinstance(values, pd.Series):
        return array
    if isinstance(values, np.ndarray) and array.dtype == object and all(type(item) is str for item in array):
        return array.astype(str)
    series = pd.Series(values)
    if series.dtype.kind in "biuf" and not pd.api.types.is_extension_array_dtype(series.dtype):
        return series.to_numpy()
    if pd.api.types.is_bool_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan) if series.isna().any() else series.to_numpy()
    if series.dtype.kind in "Mm":
        return series.to_numpy()
    present = series[~series.isna()]
    if (
        len(present)
        and present.map(lambda item: isinstance(item, (bool, np.bool_))).all()
        and len(present) == len(series)
    ):
        return series.to_numpy(dtype=bool)
    if len(present) and present.map(lambda item: isinstance(item, (int, float, np.number))).all():
        return pd.to_numeric(series).to_numpy(dtype=np.float64)
    return np.array(
        ["" if missing else str(item) for item, missing in zip(series, series.isna(), strict=True)], dtype=str
    )


def variable_name(name: Any) -> tuple[str, dict[str, str]]:
    """A name a store can hold ("/" cannot be in one), and the attr that keeps the source's name when it differs."""
    text = str(name)
    safe = text.replace("/", "_") or "unnamed"
    return safe, ({} if safe == text else {"source_name": text})
