"""Trials (a table, one row per trial) and events (onset, duration, description)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import TIME_ATTRS, column_values, id_values, variable_name
from neurodata.containers.check import events_problems, raise_problems, trials_problems
from neurodata.errors import RecordingError


def make_trials(
    table: pd.DataFrame | Mapping[str, Any],
    *,
    trial: Any = None,
    units: Mapping[str, str] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The `trials` node from a table: one variable per column, one row per trial.

    Parameters
    ----------
    table : DataFrame or mapping of columns
        `start` and `stop` are times in s. Missing numbers become NaN, missing text "".
    trial : array (trial,), optional
        Ids of the trials; default ``0..n-1``.
    units : mapping, optional
        Unit of a column, e.g. ``{"reaction_time": "s"}``. `start` and `stop` are always s.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.make_trials({"start": [0.0, 2.0], "stop": [1.0, 3.0], "stimulus": ["left", None]})["stimulus"].values
    array(['left', ''], dtype='<U4')
    """
    frame = pd.DataFrame(table)
    units = {"start": "s", "stop": "s", **(units or {})}
    data = {}
    for column in frame.columns:
        name, column_attrs = variable_name(column)
        if str(column) in units:
            column_attrs = {**column_attrs, "units": units[str(column)]}
        if name == "trial":
            name, column_attrs = "trial_", {**column_attrs, "source_name": "trial"}
        if name in data:
            raise RecordingError("columns whose names stay distinct", f"two named {name!r}", "rename one of them")
        values = column_values(frame[column])
        data[name] = ("trial", values.astype(np.float64) if name in ("start", "stop") else values, column_attrs)
    dataset = xr.Dataset(
        data, coords={"trial": ("trial", id_values(trial, len(frame), "trial"))}, attrs=storable_attrs(attrs or {})
    )
    raise_problems(trials_problems(dataset))
    return dataset


def make_events(
    onset: Any,
    duration: Any = 0.0,
    description: Any = "",
    *,
    attrs: Mapping[str, Any] | None = None,
    **columns: Any,
) -> xr.Dataset:
    """The `events` node: `onset` (s), `duration` (s; 0 for instants, NaN when unknown), `description`.

    Parameters
    ----------
    onset : array (event,)
        s, on the recording's clock, in any order; kept as it is.
    duration : float or array (event,)
        s.
    description : str or array (event,)
        What happened.
    **columns
        Further facts, one value per event.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.make_events([1.0, 2.0], description="flash")["description"].values.tolist()
    ['flash', 'flash']
    """
    times = np.asarray(onset, dtype=np.float64).reshape(-1)
    n = times.size
    text = np.full(n, description, dtype=object) if np.ndim(description) == 0 else np.asarray(description, dtype=object)
    data: dict[str, Any] = {
        "onset": ("event", times, {**TIME_ATTRS, "long_name": "onset"}),
        "duration": (
            "event",
            np.full(n, float(duration)) if np.ndim(duration) == 0 else np.asarray(duration, dtype=np.float64),
            {**TIME_ATTRS, "long_name": "duration"},
        ),
        "description": ("event", np.array(["" if item is None else str(item) for item in text], dtype=str), {}),
    }
    for column, values in columns.items():
        name, column_attrs = variable_name(column)
        data[name] = ("event", column_values(values), column_attrs)
    sizes = {name: len(item[1]) for name, item in data.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError("as many values in every column as onsets", f"{sizes}", "check the columns")
    dataset = xr.Dataset(
        data, coords={"event": ("event", np.arange(n, dtype=np.int64))}, attrs=storable_attrs(attrs or {})
    )
    raise_problems(events_problems(dataset))
    return dataset
