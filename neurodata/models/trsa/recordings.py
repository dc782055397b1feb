"""Patterns of activity around events, ready for `rdm`: from spikes, calcium traces and EEG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.preprocess import epoch
from neurodata.preprocess._apply import node_of
from neurodata.schema import modality_of

_VARIABLES = {"eeg": ("signal",), "calcium": ("dff", "deconvolved", "fluorescence")}
VALUES = ("mean", "count", "rate", "sqrt")


def event_patterns(
    data: xr.DataArray | xr.Dataset | xr.DataTree,
    at: Any,
    window: tuple[float, float],
    *,
    by: str = "description",
    kind: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | Any = None,
    column: str | None = None,
    run: str | int | Sequence[Any] | None = None,
    during: tuple[float, float] | None = None,
    keep_time: bool = False,
    value: str | None = None,
    variable: str | None = None,
    bin_width: float | None = None,
    baseline: tuple[float, float] | None = None,
    drop_bad: bool = True,
) -> xr.DataArray:
    """One pattern per event, with its condition and run, as `rdm` and `rdm_movie` take them.

    Parameters
    ----------
    data : DataArray (time, channel), Dataset or DataTree
        A signal, or a node or recording with one of `spikes`, `eeg`, `calcium`.
    at, window, kind, where, column, baseline
        As in `preprocess.epoch`: `window` is (before, after), both positive, in s.
    by : str
        Column of the events or trials that says which condition each is of.
    run : str, int or array (trial,), optional
        Column with runs; or a number of runs to cut the session into, stretches with the same number of events (or one
        more); or labels, one for each row of `at` that is selected. None: no runs, no cross-validation.
    during : (start, stop), optional
        Average over this part only, in s relative to the event (negative = before it), `start` included.
    keep_time : bool
        Keep the dim ``time`` instead, for movies.
    value : {"mean", "count", "rate", "sqrt"}, optional
        Mean over the window; for spikes also their number, per second (default), or the square root of it.
    variable : str, optional
        Variable of a calcium node, where it has several.
    bin_width : float, optional
        s, for spikes: needed with `keep_time` or a window that begins before the event.
    drop_bad : bool
        Leave out channels that are marked ``bad``.

    Returns
    -------
    DataArray (trial, [time,] channel)
        Coordinates `condition` and `run` on trial. Events without a complete window are left out (their number is in
        the log of operations).

    Raises
    ------
    OptionError
        Columns that do not exist; runs that make no sense; no sample in `during`.
    RecordingError
        No node, or several, to take.

    Examples
    --------
    >>> import neurodata as nd
    >>> spikes = nd.make_spikes({"a": [0.1, 0.2, 2.1], "b": [2.2]}, support=[[0.0, 5.0]])
    >>> events = nd.make_events([0.0, 2.0], description=["left", "right"])
    >>> patterns = nd.models.event_patterns(spikes, events, (0.0, 1.0))
    >>> patterns.values.tolist(), patterns["condition"].values.tolist()
    ([[2.0, 0.0], [1.0, 1.0]], ['left', 'right'])
    """
    source, is_spikes = _source(data, variable)
    value = value or ("rate" if is_spikes else "mean")
    if value not in VALUES or (value != "mean" and not is_spikes):
        raise OptionError(
            f"value among {', '.join(VALUES)}; counts, rates and their roots for spikes", f"{value!r}", "choose another"
        )
    width = bin_width
    if is_spikes and width is None:
        if keep_time or during is not None or float(window[0]) > 0:
            raise MissingOptionError(
                "the width of the bins", "a window that begins before the event, or time kept", "pass bin_width= (s)"
            )
        width = float(window[1])
    cut = epoch(
        source,
        at,
        window,
        kind=kind,
        where=where,
        column=column,
        bin_width=width if is_spikes else None,
        baseline=baseline,
        drop=True,
    )
    if cut.sizes["trial"] == 0:
        raise RecordingError("an event with a complete window", "none", "shorten the window")
    if drop_bad and "bad" in cut.coords and cut["bad"].dims == ("channel",):
        cut = cut.isel(channel=np.flatnonzero(~cut["bad"].values.astype(bool)))
    cut = cut.assign_coords(condition=("trial", _column(cut, by)))
    if run is not None:
        cut = cut.assign_coords(run=("trial", _runs(cut, run)))
    attrs = cut.attrs
    if during is not None:
        time = cut["time"].values
        rows = np.flatnonzero((time >= during[0] - 5e-10) & (time < during[1] - 5e-10))
        if rows.size == 0:
            raise OptionError("samples between start and stop", f"none in {during}", "widen during= or the window")
        cut = cut.isel(time=rows)
    if is_spikes:
        cut = _of_counts(cut, value, keep_time, float(width or 0.0))
    elif not keep_time:
        cut = cut.mean("time")
    settings = {"by": by, "run": run if isinstance(run, (str, int)) else None, "during": during, "value": value}
    return cut.assign_attrs(with_operation(attrs, "event_patterns", **settings)).rename("pattern")


def _source(data: Any, variable: str | None) -> tuple[Any, bool]:
    """What to cut, and whether these are spikes."""
    if isinstance(data, xr.DataArray):
        return data, False
    if isinstance(data, xr.DataTree) and data.children:
        found = [name for name in data.children if modality_of(name) in ("spikes", "eeg", "calcium")]
        if len(found) != 1:
            raise RecordingError(
                "a recording with one node of spikes, eeg or calcium",
                f"{found or list(data.children)}",
                f"pass the node itself, e.g. rec[{(found or ['eeg'])[0]!r}]",
            )
        data = data[found[0]]
    node = node_of(data, "spikes")
    if "spike_time" in node:
        return node, True
    if variable is not None:
        if variable not in node:
            raise OptionError(f"a variable among {sorted(map(str, node.data_vars))}", f"{variable!r}", "correct it")
        return node[variable], False
    present = [str(name) for names in _VARIABLES.values() for name in names if name in node]
    if len(present) != 1:
        raise OptionError(
            "one variable to take", f"{present or sorted(map(str, node.data_vars))}", "name it with variable="
        )
    return node[present[0]], False


def _column(cut: xr.DataArray, name: str) -> np.ndarray:
    if name not in cut.coords or cut[name].dims != ("trial",):
        columns = sorted(str(n) for n, c in cut.coords.items() if c.dims == ("trial",))
        raise OptionError(f"a column of the events among {columns}", f"{name!r}", "name the one with the conditions")
    return cut[name].values


def _runs(cut: xr.DataArray, run: Any) -> np.ndarray:
    n = cut.sizes["trial"]
    if isinstance(run, str):
        return _column(cut, run)
    if isinstance(run, (int, np.integer)) and not isinstance(run, bool):
        if not 2 <= run <= n:
            raise OptionError(f"2 to {n} runs", f"{run}", "pass another number")
        # Stretches of the session: events of one run share its slow drifts, those of different runs do not.
        order = np.argsort(cut["onset"].values, kind="stable")
        out = np.empty(n, dtype=np.int64)
        out[order] = np.arange(n) * int(run) // n
        return out
    labels = np.asarray(run)
    if labels.shape != (n,):
        raise OptionError(
            f"a run for each of {n} events with a complete window", f"shape {labels.shape}", "pass a column's name"
        )
    return labels


def _of_counts(cut: xr.DataArray, value: str, keep_time: bool, width: float) -> xr.DataArray:
    duration = width if keep_time else width * cut.sizes["time"]
    number = cut if keep_time else cut.sum("time")
    if value == "mean":
        found = cut.astype(np.float64) if keep_time else cut.mean("time")
    elif value == "rate":
        found = number / duration
    elif value == "sqrt":
        found = number.copy(data=np.sqrt(number.values.astype(np.float64)))
    else:
        found = number.astype(np.float64)
    return found
