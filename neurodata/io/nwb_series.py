"""Electrical series of an NWB file as `eeg` nodes, other series as `behaviour` nodes and events."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers._coords import column_values, variable_name
from neurodata.containers.behaviour import make_behaviour
from neurodata.containers.eeg import make_eeg
from neurodata.containers.time_index import regular_time
from neurodata.containers.trials import make_events, make_trials
from neurodata.errors import FormatError
from neurodata.io.h5_lazy import ScaledDataset, lazy
from neurodata.io.nwb_objects import (
    SeriesTime,
    column,
    column_names,
    flat_values,
    row_stops,
    series_time,
    table_ids,
    text,
)

# Words in the name of a series, or of what holds it, that say what was measured.
_KINDS = ("lfp", "ieeg", "ecog", "eeg", "emg", "ecg", "eog", "meg")
_VOLT = {"v", "volt", "volts"}
_TAKEN_BY_EEG = {
    "channel",
    "time",
    "signal",
    "ch_type",
    "ch_unit",
    "ch_unit_original",
    "bad",
    "position",
    "attrs",
    "start",
}
_TAKEN_BY_EEG |= {"sampling_rate", "x", "y", "z"}


def read_electrical(
    series: h5py.Group, parent_types: list[str], ch_type: str | None, left_out: list[str]
) -> xr.Dataset:
    """The `eeg` node of an ElectricalSeries; the signal stays in the file until it is used."""
    data = series["data"]
    if data.ndim not in (1, 2):
        raise FormatError(
            f"data (time, channel) in {series.name}", f"shape {data.shape}", "pass skip=[...] with this path"
        )
    n_channels = 1 if data.ndim == 1 else data.shape[1]
    per_channel = (
        np.asarray(series["channel_conversion"][()]) if "channel_conversion" in series else np.ones(n_channels)
    )
    if per_channel.shape != (n_channels,):
        raise FormatError(
            f"one channel_conversion for each of the {n_channels} channels of {series.name}",
            f"shape {per_channel.shape}",
            "mend the file, or pass skip=[...] with this path",
        )
    scale, offset, unit = scaling(data)
    time = series_time(series)
    channel, coords, position, bad = _electrodes(series, n_channels, left_out)
    volt = unit.lower() in _VOLT
    attrs = {"source_name": series.name, **_words(series)}
    if "filtering" in series.attrs:
        attrs["filtering"] = text(series.attrs["filtering"])
    node = make_eeg(
        lazy(
            ScaledDataset(
                os.path.abspath(data.file.filename), data.name, data.shape, data.dtype, scale * per_channel, offset
            )
        ),
        channel=channel,
        time=regular_time(data.shape[0], time.rate, time.start) if time.rate is not None else time.timestamps,
        sampling_rate=time.rate,
        ch_type=ch_type or _kind(series.name, parent_types),
        ch_unit="V" if volt else unit,
        bad=bad,
        position=position,
        attrs=attrs,
        **coords,
    )
    if not volt:
        node["signal"].attrs["units"] = unit
    return node


def scaling(data: h5py.Dataset) -> tuple[float, float, str]:
    """Factor, offset and unit that turn stored numbers into the stated unit."""
    return float(data.attrs.get("conversion", 1.0)), float(data.attrs.get("offset", 0.0)), text(data.attrs.get("unit"))


def _kind(path: str, parent_types: list[str]) -> str:
    """What a series measures, by what holds it and by words in its path; "lfp" when nothing says otherwise."""
    if "LFP" in parent_types:
        return "lfp"
    words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", path.rsplit("/", 1)[-1]).lower())
    return next(({"ieeg": "seeg"}.get(kind, kind) for kind in _KINDS if kind in words), "lfp")


def _words(series: h5py.Group) -> dict[str, str]:
    """Description and comments of a series, without the placeholders that pynwb writes."""
    found = {key: text(series.attrs.get(key)) for key in ("description", "comments")}
    return {key: value for key, value in found.items() if value not in ("", "no description", "no comments")}


def _electrodes(
    series: h5py.Group, n_channels: int, left_out: list[str]
) -> tuple[np.ndarray | None, dict[str, Any], np.ndarray | None, np.ndarray | bool]:
    """Ids, columns, positions (m) and bad marks of the electrodes of a series."""
    if "electrodes" not in series:
        return None, {}, None, False
    rows = np.asarray(series["electrodes"][()], dtype=np.int64).reshape(-1)
    table = series.file[series["electrodes"].attrs["table"]]
    ids = table_ids(table)
    if rows.size != n_channels or (rows.size and (rows.min() < 0 or rows.max() >= ids.size)):
        raise FormatError(
            f"one electrode out of {ids.size} for each of the {n_channels} channels of {series.name}",
            f"rows {rows.tolist()[:8]}",
            "mend the file, or pass skip=[...] with this path",
        )
    coords: dict[str, Any] = {}
    place = np.full((n_channels, 3), np.nan)
    bad: np.ndarray | bool = False
    for name in column_names(table):
        values = column(table, name, join=True)
        if values is None or values.shape != ids.shape:
            left_out.append(f"{table.name}/{name} (several values per electrode)")
            continue
        values = values[rows]
        if name in ("x", "y", "z") and values.dtype.kind in "iuf":
            # The NWB schema states these in micrometres.
            place[:, "xyz".index(name)] = values * 1e-6
        elif name == "bad" and values.dtype.kind == "b":
            bad = values
        elif name not in ("group",):
            safe, attrs = variable_name("region" if name == "location" else name)
            if safe in _TAKEN_BY_EEG:
                safe, attrs = f"{safe}_", {"source_name": name}
            coords[safe] = xr.Variable("channel", column_values(values), attrs)
    return ids[rows], coords, (place if np.isfinite(place).any() else None), bad


@dataclass
class SignalGroup:
    """Signals (name, path of the series, unit, values) that share their times."""

    time: SeriesTime
    n: int
    members: list[tuple[str, str, str, np.ndarray]]

    @property
    def path(self) -> str:
        """Where its first series is."""
        return self.members[0][1]

    def node(self) -> xr.Dataset:
        """The `behaviour` node."""
        names = [member[0] for member in self.members]
        # Two series of one name are told apart by their whole path.
        labels = [name if names.count(name) == 1 else f"{path}:{name}" for name, path, _, _ in self.members]
        return make_behaviour(
            np.stack([member[3] for member in self.members], axis=1),
            signal=labels,
            unit=[member[2] for member in self.members],
            **self.time.arguments(),
            attrs={"source_names": [member[1] for member in self.members]},
        )


@dataclass
class BehaviourParts:
    """Signals gathered over the file, grouped by their times."""

    groups: list[SignalGroup] = field(default_factory=list)

    def add(self, series: h5py.Group, types: list[str]) -> bool:
        """Take in one series; False when its data are not numbers (time[, column])."""
        data = series.get("data")
        if data is None or data.dtype.kind not in "biuf" or data.ndim not in (1, 2):
            return False
        scale, offset, unit = scaling(data)
        values = np.asarray(data[()], dtype=np.float64)
        values = values * scale + offset if (scale, offset) != (1.0, 0.0) else values
        time = series_time(series)
        name = series.name.rsplit("/", 1)[-1]
        wide = values[:, None] if values.ndim == 1 else values
        if values.ndim == 1:
            names = [name]
        elif "SpatialSeries" in types and wide.shape[1] <= 3:
            names = [f"{name}_{axis}" for axis in "xyz"[: wide.shape[1]]]
        else:
            names = [f"{name}_{i}" for i in range(wide.shape[1])]
        signals = [(label, series.name, unit, wide[:, i]) for i, label in enumerate(names)]
        if not signals:
            return False
        group = next((g for g in self.groups if g.n == len(wide) and time.same(g.time, g.n)), None)
        if group is None:
            self.groups.append(SignalGroup(time, len(wide), signals))
        else:
            group.members += signals
        return True


def read_pose(container: h5py.Group, series: list[h5py.Group]) -> xr.Dataset | None:
    """The `behaviour` node of a pose (ndx-pose): keypoints that share their times; None when they do not."""
    first = series[0]["data"]
    time, n = series_time(series[0]), first.shape[0]
    same = all(one["data"].shape == first.shape and series_time(one).same(time, n) for one in series)
    if not same or first.ndim != 2 or first.shape[1] not in (2, 3):
        return None
    place, sure = [], []
    for one in series:
        scale, offset, unit = scaling(one["data"])
        place.append(one["data"][()] * scale + offset)
        sure.append(one["confidence"][()] if "confidence" in one else np.full(n, np.nan))
    return make_behaviour(
        position=np.stack(place, axis=2)[..., None],
        confidence=np.stack(sure, axis=1)[..., None],
        keypoint=[one.name.rsplit("/", 1)[-1].removeprefix("PoseEstimationSeries") for one in series],
        individual=[container.name.rsplit("/", 1)[-1]],
        position_unit=unit,
        **time.arguments(),
        attrs={"source_name": container.name},
    )


def event_rows(series: h5py.Group, types: list[str]) -> pd.DataFrame | None:
    """Rows onset, duration, description(, value) of a series of events; None when it does not hold events."""
    name = series.name.rsplit("/", 1)[-1]
    data = series["data"]
    n = data.shape[0] if data.ndim else 0
    onset = series_time(series).values(n)
    if "AnnotationSeries" in types:
        words = flat_values(data)
        return pd.DataFrame({"onset": onset, "duration": 0.0, "description": words, "source": series.name})
    if data.ndim != 1 or data.dtype.kind not in "biuf":
        return None
    values = np.asarray(data[()])
    if "IntervalSeries" in types:
        return _interval_rows(onset, values.astype(np.int64), name, series.name)
    scale, offset, _ = scaling(data)
    frame = {"onset": onset, "duration": 0.0, "description": name, "source": series.name}
    return pd.DataFrame({**frame, "value": values.astype(np.float64) * scale + offset})


def _interval_rows(onset: np.ndarray, mark: np.ndarray, name: str, source: str) -> pd.DataFrame:
    """Starts (positive marks) matched with the next stop (the same mark, negative); NaN when none follows."""
    rows = []
    for i in np.flatnonzero(mark > 0):
        stop = np.flatnonzero((mark == -mark[i]) & (np.arange(mark.size) > i))
        rows.append((onset[i], onset[stop[0]] - onset[i] if stop.size else np.nan, int(mark[i])))
    kinds = np.unique(np.abs(mark))
    columns = {"onset": [row[0] for row in rows], "duration": [row[1] for row in rows]}
    words = [name if kinds.size < 2 else f"{name} {row[2]}" for row in rows]
    return pd.DataFrame({**columns, "description": words, "source": source})


def read_trials(table: h5py.Group, left_out: list[str]) -> xr.Dataset:
    """The `trials` node of the trials table."""
    frame = interval_columns(table, left_out).rename(columns={"start_time": "start", "stop_time": "stop"})
    return make_trials(frame, trial=table_ids(table), attrs={"source_name": table.name})


def interval_columns(table: h5py.Group, left_out: list[str]) -> pd.DataFrame:
    """Columns of a TimeIntervals table that hold one value per row; tags and other lists of text are joined by ";"."""
    ids = table_ids(table)
    found: dict[str, Any] = {}
    for name in column_names(table):
        values = column(table, name, join=True)
        if values is None or values.shape != ids.shape:
            data, stops = table[name], row_stops(table, name)
            if data.shape[0] or stops is None or stops.any():
                left_out.append(f"{table.name}/{name} (several values per row)")
            continue
        found[name] = column_values(values)
    return pd.DataFrame(found, index=range(ids.size))


def interval_rows(table: h5py.Group, left_out: list[str]) -> pd.DataFrame:
    """A table of intervals as rows of events; `description` is the name of the table."""
    frame = interval_columns(table, left_out)
    start, stop = frame.pop("start_time"), frame.pop("stop_time")
    frame = frame.rename(
        columns={name: f"{name}_" for name in ("onset", "duration", "description", "source") if name in frame}
    )
    rows = {"onset": start, "duration": stop - start, "description": table.name.rsplit("/", 1)[-1]}
    return pd.DataFrame({**rows, "source": table.name, **frame})


def make_event_node(parts: list[pd.DataFrame]) -> xr.Dataset:
    """One `events` node from rows of several sources; a column that a source lacks is NaN or ""."""
    if len(parts) == 1:
        frame = parts[0]
    else:
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        frame = pd.DataFrame({name: _stacked(parts, name) for name in names})
    columns: dict[str, Any] = {str(name): frame[name].to_numpy() for name in frame.columns}
    # make_events names: a column named as one of its arguments would clash
    columns = {(f"{name}_" if name in ("attrs", "event") else name): values for name, values in columns.items()}
    return make_events(**columns)


def _stacked(parts: list[pd.DataFrame], name: str) -> np.ndarray:
    columns = [part[name].to_numpy() if name in part else None for part in parts]
    numbers = all(values is None or values.dtype.kind in "biuf" for values in columns)
    filler: Any = np.nan if numbers else ""
    filled = [
        np.full(len(part), filler, dtype=float if numbers else object) if values is None else values
        for part, values in zip(parts, columns, strict=True)
    ]
    return np.concatenate([values if numbers else np.asarray(values, dtype=object) for values in filled])
