"""Nodes from the columns of a table: trials, events, spikes, counts, behaviour, calcium."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers import (
    make_behaviour,
    make_calcium,
    make_counts,
    make_events,
    make_spikes,
    make_trials,
)
from neurodata.errors import FormatError, MissingOptionError, OptionError, RecordingError

NODES = ("trials", "events", "spikes", "counts", "behaviour", "calcium")
_TRACES = ("fluorescence", "dff", "deconvolved", "neuropil")
_SECONDS = {None: 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_SPIKE_EXTRA = {"spike_amplitude", "spike_sample"}
# Column that says where something happened in time, by node; all that is a time is scaled by time_unit.
_TIMES = {"trials": ("start", "stop"), "events": ("onset", "duration"), "behaviour": ("time",), "calcium": ("time",)}


@dataclass(frozen=True)
class TableOptions:
    """What the caller states; see the reader "table"."""

    node: str | None
    columns: dict[str, str]
    named: bool
    dims: Any
    variable: str
    time_unit: str | None
    sampling_rate: float | None
    start: float
    bin_width: float | None
    unit_coords: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    sort: bool = False
    support: Any = None


def table_nodes(frame: pd.DataFrame, options: TableOptions, name: str) -> dict[str, xr.Dataset]:
    """The nodes of one table."""
    frame, ids = _renamed(frame, options, name)
    node = options.node or _inferred(frame, options, name)
    if node != "counts" and not options.named:
        raise MissingOptionError(
            f"names of the columns, to know what is what in {node}",
            f"{name} without a header line",
            "add a first line of names, pass header=True if it has one, or node='counts'",
        )
    if node in _TIMES:
        frame = _scaled(frame, _TIMES[node], options)
    if node in ("trials", "events") and (options.unit_coords or options.signals):
        raise OptionError(f"no unit_coords= or signals= for {node}", name, "drop them")
    if node == "trials":
        return {"trials": _with_sources(make_trials(frame, trial=ids), options)}
    if node == "events":
        return {"events": _with_sources(_events(frame), options)}
    if node == "spikes":
        return {"spikes": _spikes(frame, options, name)}
    if node == "counts":
        dataset = _counts(frame, options, name)
        return {"spikes": dataset, **_signal_node(options, dataset["time"].values)}
    return _sampled(frame, node, options, name)


def _renamed(frame: pd.DataFrame, options: TableOptions, name: str) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Columns under our names; an unnamed first column of distinct whole numbers is the index that pandas writes."""
    if not options.named:
        if options.columns:
            raise OptionError("columns= for tables with a header line", f"{name} without", "pass header=True")
        return frame, None
    frame = frame.rename(columns={column: str(column).strip() for column in frame.columns})
    missing = sorted(set(options.columns.values()) - set(map(str, frame.columns)))
    if missing:
        raise OptionError(
            f"columns of {name}: {', '.join(map(str, frame.columns))}", ", ".join(missing), "correct columns="
        )
    ids = None
    first = frame.columns[0]
    if str(first).startswith("Unnamed: 0") and "Unnamed: 0" not in options.columns.values():
        values = frame[first]
        if pd.api.types.is_integer_dtype(values.dtype) and values.is_unique:
            ids, frame = values.to_numpy(), frame.drop(columns=first)
    clash = sorted(set(options.columns) & (set(map(str, frame.columns)) - set(options.columns.values())))
    if clash:
        raise OptionError("new names that are free", f"{clash} are columns already", "rename those too")
    return frame.rename(columns={column: ours for ours, column in options.columns.items()}), ids


def _with_sources(dataset: xr.Dataset, options: TableOptions) -> xr.Dataset:
    """Renamed columns keep the file's name as an attribute."""
    for ours, column in options.columns.items():
        if ours in dataset and ours != column:
            dataset[ours].attrs["source_name"] = column
    return dataset


def _inferred(frame: pd.DataFrame, options: TableOptions, name: str) -> str:
    columns = set(map(str, frame.columns)) if options.named else set()
    fits = [
        node
        for node, fit in (
            ("trials", {"start", "stop"} <= columns),
            ("events", "onset" in columns),
            (
                "spikes",
                any({"unit", time} <= columns <= {"unit", time} | _SPIKE_EXTRA for time in ("time", "spike_time")),
            ),
        )
        if fit
    ]
    if len(fits) != 1:
        listed = ", ".join(map(str, frame.columns[:30])) if options.named else f"no names, {frame.shape[1]} wide"
        raise MissingOptionError(
            "to know what the table holds",
            f"{name}: columns {listed}; {len(frame)} rows",
            f"pass node= ({', '.join(NODES)}), with columns={{our name: column}}, and for counts bin_width= and dims=; "
            "several tables of one recording: nd.load(folder, reader='table', table=..., unit_coords=, signals=)",
        )
    return fits[0]


def _scaled(frame: pd.DataFrame, columns: tuple[str, ...], options: TableOptions) -> pd.DataFrame:
    factor = _factor(options)
    present = [column for column in columns if column in frame.columns]
    for column in present:
        if not pd.api.types.is_numeric_dtype(frame[column].dtype):
            raise RecordingError(f"numbers in the column {column!r}", "text", "correct the table or columns=")
    if factor == 1.0:
        return frame
    return frame.assign(**{column: frame[column] * factor for column in present})


def _factor(options: TableOptions) -> float:
    if options.time_unit == "sample":
        if options.sampling_rate is None:
            raise MissingOptionError("the sampling rate of times in samples", "none", "pass sampling_rate= (Hz)")
        return 1.0 / options.sampling_rate
    if options.time_unit not in _SECONDS:
        raise OptionError("time_unit 's', 'ms', 'us' or 'sample'", repr(options.time_unit), "correct it")
    return _SECONDS[options.time_unit]


def _needed(frame: pd.DataFrame, column: str, node: str, name: str) -> None:
    if column not in frame.columns:
        raise MissingOptionError(
            f"the column {column!r} for {node}",
            f"{name}: columns {', '.join(map(str, frame.columns[:30]))}",
            f'pass columns={{"{column}": ...}}',
        )


def _events(frame: pd.DataFrame) -> xr.Dataset:
    _needed(frame, "onset", "events", "the table")
    columns: dict[str, Any] = {str(column): frame[column] for column in frame.columns}
    given = {key: columns.pop(key) for key in ("onset", "duration", "description") if key in columns}
    if "description" in given:
        given["description"] = given["description"].astype(object).where(given["description"].notna(), "")
    if "attrs" in columns:
        raise OptionError("columns that are no options", "attrs", "rename it with columns=")
    return make_events(**given, **columns)


def _spikes(frame: pd.DataFrame, options: TableOptions, name: str) -> xr.Dataset:
    if options.signals:
        raise OptionError("no signals= for spikes", name, "drop it")
    time = "spike_time" if "spike_time" in frame.columns else "time"
    _needed(frame, time, "spikes", name)
    _needed(frame, "unit", "spikes", name)
    unknown = set(map(str, frame.columns)) - {"unit", time} - _SPIKE_EXTRA
    if unknown:
        raise OptionError(
            f"columns unit, {time} and {', '.join(sorted(_SPIKE_EXTRA))}",
            ", ".join(sorted(unknown)),
            "name them with columns= or take them out of the table",
        )
    extra: dict[str, Any] = {column: frame[column].to_numpy() for column in _SPIKE_EXTRA if column in frame.columns}
    ids = frame["unit"].to_numpy()
    if ids.dtype.kind == "f":
        raise RecordingError("whole numbers or text as unit ids", "missing or broken ones", "correct the table")
    return make_spikes(
        frame[time].to_numpy(),
        ids if ids.dtype.kind in "iu" else ids.astype(str),
        time_unit=options.time_unit,
        sampling_rate=options.sampling_rate,
        sort=options.sort,
        support=options.support,
        **extra,
        **options.unit_coords,
    )


def _counts(frame: pd.DataFrame, options: TableOptions, name: str) -> xr.Dataset:
    if options.bin_width is None:
        raise MissingOptionError("the width of the bins", f"{name} without", "pass bin_width= (s)")
    dims = None if options.dims is None else tuple(options.dims)
    if dims not in (("time", "unit"), ("unit", "time")):
        raise MissingOptionError(
            "to know whether rows are bins or units",
            f"dims={dims!r}, {len(frame)} rows and {frame.shape[1]} columns in {name}",
            'pass dims=("time", "unit") when rows are bins, ("unit", "time") when rows are units',
        )
    values = frame.to_numpy()
    if values.dtype.kind not in "iufb":
        raise RecordingError("numbers in every cell", "text", "check header= and the table")
    by_unit = dims[0] == "unit"
    named = options.named and not by_unit
    counts = make_counts(
        values.T if by_unit else values,
        options.bin_width,
        start=options.start,
        unit=[str(column) for column in frame.columns] if named else None,
        **options.unit_coords,
    )
    return counts.to_dataset()


def _sampled(frame: pd.DataFrame, node: str, options: TableOptions, name: str) -> dict[str, xr.Dataset]:
    """Behaviour or calcium: an optional time column, every other column a signal or an ROI."""
    clock: dict[str, Any]
    if "time" in frame.columns:
        clock = {"time": frame["time"].to_numpy(dtype=np.float64)}
        frame = frame.drop(columns="time")
    elif options.sampling_rate is not None:
        clock = {"sampling_rate": options.sampling_rate, "start": options.start}
    else:
        raise MissingOptionError(
            f"the times of {node}",
            f"{name}: columns {', '.join(map(str, frame.columns[:30]))}",
            'pass columns={"time": ...}, or sampling_rate= (Hz)',
        )
    texts = [str(column) for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column].dtype)]
    if texts:
        raise RecordingError("columns of numbers", f"text in {', '.join(texts[:5])}", "take them out of the table")
    names = [str(column) for column in frame.columns]
    if node == "behaviour":
        if options.unit_coords:
            raise OptionError("no unit_coords= for behaviour", name, "drop it")
        columns = [
            frame.to_numpy(dtype=np.float64),
            *[_per_sample(values)[:, None] for values in options.signals.values()],
        ]
        lengths = {column.shape[0] for column in columns}
        if len(lengths) > 1:
            raise RecordingError(f"signals= of {len(frame)} values", f"lengths {sorted(lengths)}", "check them")
        return {
            "behaviour": make_behaviour(np.concatenate(columns, axis=1), signal=names + list(options.signals), **clock)
        }
    if options.variable not in _TRACES:
        raise OptionError(f"variable= out of {', '.join(_TRACES)}", repr(options.variable), "correct it")
    traces: dict[str, Any] = {options.variable: frame.to_numpy(dtype=np.float64)}
    dataset = make_calcium(**traces, **clock, roi=names, **options.unit_coords)
    return {"calcium": dataset, **_signal_node(options, dataset["time"].values)}


def _per_sample(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iufb":
        raise RecordingError("signals= of numbers", "text", "turn the labels into numbers")
    return values.astype(np.float64)


def _signal_node(options: TableOptions, time: np.ndarray) -> dict[str, xr.Dataset]:
    if not options.signals:
        return {}
    sizes = {name: values.shape for name, values in options.signals.items()}
    if set(sizes.values()) != {time.shape}:
        raise RecordingError(f"{time.size} values in signals=, one per sample", f"{sizes}", "check them")
    values = np.stack([_per_sample(values) for values in options.signals.values()], axis=1)
    return {"behaviour": make_behaviour(values, signal=list(options.signals), time=time)}


def inscopix_node(head: list[list[str]], frame: pd.DataFrame, variable: str, name: str) -> xr.Dataset:
    """The trace table of the Inscopix software: names, then status of the cells, then time (s) and one column each.

    The layout was taken from the software's published exporter, not checked on a file of it.
    """
    if variable not in _TRACES:
        raise OptionError(f"variable= out of {', '.join(_TRACES)}", repr(variable), "correct it")
    cells, status = head[0][1:], head[1][1:]
    if not len(cells) == len(status) == frame.shape[1] - 1:
        raise FormatError(
            "a name and a status for every cell",
            f"{name}: {len(cells)} names, {len(status)} of status, {frame.shape[1] - 1} columns",
            "export it again",
        )
    try:
        values = frame.to_numpy(dtype=np.float64)
    except ValueError as error:
        raise FormatError("numbers below the two header lines", f"{name}: {error}", "export it again") from error
    traces: dict[str, Any] = {variable: values[:, 1:]}
    return make_calcium(
        **traces, time=values[:, 0], roi=cells, label=status, is_cell=[item == "accepted" for item in status]
    )
