"""Stages, stimuli and behaviour as weights over the times of a course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError

# Columns of a table of intervals that name what happens, in the order they are looked for.
_NAMES = ("stage", "condition", "description", "stimulus", "name")


class StageWeights(NamedTuple):
    """Weights of stages over time.

    Attributes
    ----------
    name : list of str
    kind : list of str
        "stage" (1 within, 0 outside) or "signal".
    weight : array (stage, time)
        NaN where nothing is known.
    """

    name: list[str]
    kind: list[str]
    weight: np.ndarray


def stage_weights(stages: Any, time: np.ndarray) -> StageWeights:
    """Weights of stages at given times.

    Parameters
    ----------
    stages : mapping of name to intervals, DataArray (time,) or (time, signal), or Dataset of intervals or events
        Intervals are ``[(start, stop), ...]`` in s. A DataArray of text, whole numbers or booleans has a stage per
        value, each from its time to the next; one of other numbers has signals, interpolated. A Dataset has `start`
        and `stop`, or `onset` and `duration`, and a column of names.
    time : array (time,)
        s.

    Examples
    --------
    >>> import numpy as np
    >>> found = stage_weights({"odour": [(1.0, 2.5)]}, np.arange(4.0))
    >>> found.name, found.weight.tolist()
    (['odour'], [[0.0, 1.0, 1.0, 0.0]])
    """
    if isinstance(stages, xr.Dataset):
        stages = _intervals(stages)
    if isinstance(stages, Mapping):
        return _within(stages, time)
    if isinstance(stages, xr.DataArray) and "time" in stages.dims and "time" in stages.coords:
        return _sampled(stages, time)
    raise RecordingError(
        "stages as {name: [(start, stop), ...]}, a DataArray over time, or a table of trials or events",
        type(stages).__name__,
        "pass one of these, with times in s on the clock of the traces",
    )


def _intervals(table: xr.Dataset) -> dict[str, list[tuple[float, float]]]:
    if {"start", "stop"} <= set(table.variables):
        start, stop = table["start"].values, table["stop"].values
    elif {"onset", "duration"} <= set(table.variables):
        start = table["onset"].values
        stop = start + table["duration"].values
    else:
        raise RecordingError(
            "start and stop, or onset and duration", f"{sorted(map(str, table.variables))}", "add them"
        )
    column = next((name for name in _NAMES if name in table.variables), None)
    if column is None:
        raise RecordingError(f"a column among {_NAMES}", f"{sorted(map(str, table.variables))}", "name what happens")
    found: dict[str, list[tuple[float, float]]] = {}
    for name, a, z in zip(table[column].values, start, stop, strict=True):
        found.setdefault(str(name), []).append((float(a), float(z)))
    return found


def _within(stages: Mapping[Any, Any], time: np.ndarray) -> StageWeights:
    if not stages:
        raise OptionError("a stage or more", "none", "pass {name: [(start, stop), ...]}")
    weight = np.zeros((len(stages), len(time)))
    for row, (name, given) in zip(weight, stages.items(), strict=True):
        intervals = np.asarray(given, dtype=np.float64).reshape(-1, 2)
        if not (intervals[:, 1] > intervals[:, 0]).all():
            raise OptionError(f"intervals that end after they begin, for {name!r}", f"{given!r:.80}", "correct them")
        for start, stop in intervals:
            row[(time >= start) & (time < stop)] = 1.0
    return StageWeights([str(name) for name in stages], ["stage"] * len(stages), weight)


def _sampled(stages: xr.DataArray, time: np.ndarray) -> StageWeights:
    own = np.asarray(stages["time"].values, dtype=np.float64)
    if len(own) < 2 or not (np.diff(own) > 0).all():
        raise RecordingError("stages at two times or more, in order", f"{len(own)} times", "sort them")
    step = float(np.median(np.diff(own)))
    inside = (time >= own[0] - 0.5 * step) & (time <= own[-1] + step)
    if stages.dtype.kind == "f":
        if stages.ndim > 2:
            raise RecordingError("signals (time, signal)", f"dims {stages.dims}", "stack or select dims")
        dim = next((str(d) for d in stages.dims if d != "time"), None)
        values = stages.transpose("time", ...).values.reshape(len(own), -1).astype(np.float64)
        if dim is None:
            names = [str(stages.name or "signal")]
        else:
            names = [str(v) for v in (stages[dim].values if dim in stages.coords else range(values.shape[1]))]
        # Away from a NaN on either side: nothing is made up in gaps.
        weight = np.stack([np.interp(time, own, column) for column in values.T])
        weight[:, ~inside] = np.nan
        return StageWeights(names, ["signal"] * len(names), weight)
    if stages.ndim != 1 or stages.dtype.kind not in "biuUSO":
        raise RecordingError("labels (time,)", f"dims {stages.dims}, dtype {stages.dtype}", "pass text or numbers")
    row = np.clip(np.searchsorted(own, time + 1e-9, side="right") - 1, 0, len(own) - 1)
    label = np.array([str(v) for v in stages.values])
    names = [name for name in dict.fromkeys(label.tolist()) if name not in ("", "nan")]
    known = inside & ~np.isin(label[row], ["", "nan"])
    weight = np.stack([np.where(known, label[row] == name, np.nan) for name in names]).astype(np.float64)
    return StageWeights(names, ["stage"] * len(names), weight)


def joined(parts: list[StageWeights]) -> StageWeights:
    """Stages of several recordings after each other; one that a recording lacks is 0 there, a signal NaN."""
    if len(parts) == 1:
        return parts[0]
    names = list(dict.fromkeys(name for part in parts for name in part.name))
    kinds = {name: kind for part in parts for name, kind in zip(part.name, part.kind, strict=True)}
    blocks = []
    for part in parts:
        block = np.zeros((len(names), part.weight.shape[1]))
        for k, name in enumerate(names):
            if name in part.name:
                block[k] = part.weight[part.name.index(name)]
            elif kinds[name] == "signal":
                block[k] = np.nan
        blocks.append(block)
    return StageWeights(names, [kinds[name] for name in names], np.concatenate(blocks, axis=1))
