"""What an ALF session holds besides spikes: trials, events, the wheel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers import make_behaviour, make_events, make_trials
from neurodata.containers._coords import column_values
from neurodata.errors import FormatError, RecordingError
from neurodata.io._alf_files import AlfFile, pick, read_array, read_parquet
from neurodata.io._cluster_tables import read_text_table, typed_column

_WHEEL_UNITS = {"position": "rad", "velocity": "rad/s", "acceleration": "rad/s2"}


def read_trials(files: Sequence[AlfFile], allow_pickle: bool) -> dict[str, xr.Dataset]:
    """The `trials` node of a folder, and `events` where trials have event times but no intervals.

    Attributes are columns under their own names; ``intervals`` becomes `start` and `stop`. Without intervals a trial
    has no extent, so its times (``stimOn_times``, ...) are also given as events, NaN (it did not happen) left out.
    """
    columns: dict[str, np.ndarray] = {}
    read_from: dict[str, str] = {}
    for file in files:
        if file.object == "trials":
            for name, values in _columns(file, allow_pickle).items():
                if name in columns and not _same(columns[name], values):
                    raise FormatError(
                        f"one value of the column {name} per trial",
                        f"{read_from[name]} and {file.path.name}, which differ",
                        "move the one that is not meant elsewhere",
                    )
                columns[name], read_from[name] = values, file.path.name
    nodes = {}
    if columns:
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) > 1:
            raise RecordingError(
                "columns of trials of one length",
                ", ".join(f"{name} {size}" for name, size in sizes.items()),
                "check that the files are of one session",
            )
        frame = pd.DataFrame(columns)
        units = {name: "s" for name in columns if _holds_times(name)}
        nodes["trials"] = make_trials(frame, units=units)
    onset, description, trial = [np.zeros(0)], [np.zeros(0, dtype=str)], [np.zeros(0)]
    if columns and "start" not in columns:
        for name in sorted(columns):
            if _holds_times(name) and columns[name].dtype.kind in "iuf":
                happened = np.flatnonzero(np.isfinite(columns[name]))
                onset.append(columns[name][happened])
                description.append(np.full(happened.size, name.partition("_times")[0]))
                trial.append(happened.astype(np.float64))
    licks = pick(files, "licks", "times")
    if licks is not None:
        times = read_array(licks, allow_pickle)
        onset.append(times)
        description.append(np.full(times.size, "lick"))
        trial.append(np.full(times.size, np.nan))
    if len(onset) > 1:
        times = np.concatenate(onset)
        order = np.argsort(times, kind="stable")
        rows = np.concatenate(trial)
        more: dict[str, Any] = {} if np.isnan(rows).all() else {"trial": rows[order]}
        nodes["events"] = make_events(times[order], 0.0, np.concatenate(description)[order], **more)
    return nodes


def read_wheel(files: Sequence[AlfFile], allow_pickle: bool) -> xr.Dataset | None:
    """The `behaviour` node from ``wheel.position``, its speed where that is stored, and its times."""
    position = pick(files, "wheel", "position")
    if position is None:
        return None
    stamps = pick(files, "wheel", "timestamps") or pick(files, "wheel", "times")
    if stamps is None:
        raise FormatError("wheel.timestamps beside wheel.position", "no times of the samples", "add the file")
    signals = {"position": read_array(position, allow_pickle)}
    for attribute in ("velocity", "acceleration"):
        file = pick(files, "wheel", attribute)
        if file is not None:
            signals[attribute] = read_array(file, allow_pickle)
    n = len(signals["position"])
    time = _sample_times(read_array(stamps, allow_pickle), n, stamps.path.name)
    sizes = {"times": len(time), **{name: len(values) for name, values in signals.items()}}
    if len(set(sizes.values())) > 1:
        raise RecordingError("wheel files of one length", f"{sizes}", "check that the files are of one session")
    return make_behaviour(
        np.column_stack(list(signals.values())),
        signal=[f"wheel_{name}" for name in signals],
        unit=[_WHEEL_UNITS[name] for name in signals],
        time=time,
    )


def _columns(file: AlfFile, allow_pickle: bool) -> dict[str, np.ndarray]:
    if file.extension != "npy":
        if file.extension in ("pqt", "parquet"):
            return table_columns(read_parquet(file.path))
        text = read_text_table(file.path)
        return table_columns(pd.DataFrame({name: typed_column(text[name].to_numpy(dtype=object)) for name in text}))
    values = read_array(file, allow_pickle)
    if values.ndim == 1:
        return {file.name: values}
    if values.ndim != 2:
        raise FormatError(f"one or a few values per trial in {file.path.name}", f"{values.shape}", "write it again")
    return {_part_name(file.name, part): values[:, part] for part in range(values.shape[1])}


def table_columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns of ``trials.table``, in which ``intervals_0`` and ``intervals_1`` are the two ends.

    Examples
    --------
    >>> table_columns(pd.DataFrame({"intervals_0": [0.0], "intervals_1": [1.0]}))
    {'start': array([0.]), 'stop': array([1.])}
    """
    names = {"intervals_0": "start", "intervals_1": "stop"}
    return {names.get(str(name), str(name)): column_values(table[name]) for name in table.columns}


def _part_name(name: str, part: int) -> str:
    attribute, _, timescale = name.partition("_")
    if attribute == "intervals" and part < 2:
        return ("start", "stop")[part] + (f"_{timescale}" if timescale else "")
    return f"{name}_{part}"


def _holds_times(name: str) -> bool:
    return "_times" in name or "_intervals" in name or name.partition("_")[0] in ("start", "stop")


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")


def _sample_times(stamps: np.ndarray, n: int, name: str) -> np.ndarray:
    """One time per sample; a table (sample, time) of synchronisation points is interpolated, as ALF defines it."""
    if stamps.ndim == 1:
        return stamps.astype(np.float64)
    if stamps.ndim != 2 or stamps.shape[1] != 2 or stamps[0, 0] > 0 or stamps[-1, 0] < n - 1:
        raise FormatError(
            f"one time per sample in {name}, or (sample, time) from the first sample to the last",
            f"shape {stamps.shape} for {n} samples",
            "write it again",
        )
    return np.interp(np.arange(n), stamps[:, 0], stamps[:, 1])
