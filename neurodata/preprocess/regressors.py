"""Event times as regressors on the bins of counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.preprocess._sampling import sampling_step, time_values


def stimulus_regressors(
    onsets: Any,
    bins: xr.DataArray,
    *,
    window: tuple[float, float] = (0.0, 0.2),
    n_basis: int = 5,
    kind: Literal["raised_cosine", "boxcar"] = "raised_cosine",
    condition: Any = None,
    name: str = "stimulus",
) -> xr.DataArray:
    """Columns that tell a regression when events happened, for the covariates of `HMMGLM`.

    Each column is the sum over events of one shape, placed at the onset and read at the bin centres. The shapes cover
    the window: a weighted sum of them is the response to an event.

    Parameters
    ----------
    onsets : array (event,), or Dataset with `start` or `onset`
        s, on the clock of `bins`; the `trials` node of a recording, say.
    bins : DataArray (time, ...)
        Counts; only its `time` (bin centres, s) and ``attrs["bin_width"]`` are read.
    window : (float, float)
        s from onset; events whose window lies outside the bins, in whole or part, count where they overlap.
    n_basis : int
        Shapes in the window, evenly spaced.
    kind : {"raised_cosine", "boxcar"}
        Raised cosines overlap by half and add up to 1 between the first and the last centre; boxcars touch, so weights
        are a response histogram, and ``n_basis=1`` is "on during the window".
    condition : array (event,), optional
        Label of each event; each condition gets columns of its own. Read from a Dataset's `condition` by default.
    name : str
        Columns are called ``name_0``, ..., or ``name_<condition>_0``, ...

    Returns
    -------
    DataArray (time, covariate)
        float64, with the `time` of `bins`.

    Raises
    ------
    OptionError
        A window, a number or a kind of shapes that makes no sense.
    RecordingError
        Onsets that are no times, or bins without time.

    Examples
    --------
    >>> from neurodata.containers import make_counts
    >>> bins = make_counts([[0], [1], [0], [2]], bin_width=0.1)
    >>> stimulus_regressors([0.1], bins, window=(0.0, 0.2), n_basis=2, kind="boxcar").values.T.tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    low, high = float(window[0]), float(window[1])
    if not (np.isfinite([low, high]).all() and low < high):
        raise OptionError("window=(from, to) in s, from before to", f"{window!r}", "pass e.g. window=(0.0, 0.2)")
    if kind not in ("raised_cosine", "boxcar"):
        raise OptionError("kind 'raised_cosine' or 'boxcar'", f"{kind!r}", "choose one of the two")
    if n_basis < 1:
        raise OptionError("n_basis of at least 1", f"{n_basis!r}", "pass n_basis=")
    onset, label = _events(onsets, condition)
    if not isinstance(bins, xr.DataArray) or "time" not in bins.coords:
        raise RecordingError("bins with a time coordinate (s)", f"{type(bins).__name__}", "pass binned counts")
    time = time_values(bins)
    width = float(bins.attrs["bin_width"]) if "bin_width" in bins.attrs else float(sampling_step(bins, time, None))
    if (high - low) / n_basis < width * (1 - 1e-6):
        raise OptionError(
            f"shapes of at least one bin, {width:g} s, each", f"{n_basis} in {high - low:g} s", "lower n_basis="
        )
    kinds = [None] if label is None else list(np.unique(label))
    columns, names = [], []
    for one in kinds:
        chosen = onset if label is None else onset[label == one]
        columns.append(_columns(chosen, time, low, high, int(n_basis), kind))
        names += [f"{name}_{k}" if one is None else f"{name}_{one}_{k}" for k in range(n_basis)]
    return xr.DataArray(
        np.concatenate(columns, axis=1),
        dims=("time", "covariate"),
        coords={"time": bins["time"], "covariate": names},
        attrs={"bin_width": width, "units": "1", "long_name": "stimulus regressors"},
        name="covariates",
    )


def _events(onsets: Any, condition: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Onsets (s) and their conditions."""
    if isinstance(onsets, (xr.Dataset, xr.DataTree)):
        known = next((key for key in ("start", "onset") if key in onsets), None)
        if known is None:
            raise RecordingError("events with start or onset", f"{list(map(str, onsets))}", "pass the times themselves")
        if condition is None and "condition" in onsets:
            condition = onsets["condition"].values
        onsets = onsets[known].values
    onset = np.asarray(onsets, dtype=np.float64).reshape(-1)
    if not np.isfinite(onset).all():
        raise RecordingError("onsets in s", "NaN or infinite values", "leave out events of unknown time")
    if condition is None:
        return onset, None
    label = np.asarray(condition).reshape(-1)
    if label.shape != onset.shape:
        raise RecordingError(f"a condition for each of {len(onset)} events", f"{len(label)}", "check condition=")
    return onset, label


def _columns(onset: np.ndarray, time: np.ndarray, low: float, high: float, n: int, kind: str) -> np.ndarray:
    """Summed shapes of all events, (bin, shape)."""
    out = np.zeros((len(time), n))
    slack = 1e-9 * max(1.0, float(np.abs(time).max(initial=0.0)))
    begin = np.searchsorted(time, onset + low - slack)
    end = np.searchsorted(time, onset + high - slack)
    length = end - begin
    row = np.repeat(begin - np.concatenate([[0], np.cumsum(length)[:-1]]), length) + np.arange(length.sum())
    position = (time[row] - np.repeat(onset, length) - low) / (high - low)
    if kind == "boxcar":
        np.add.at(out, (row, np.clip((position * n + 1e-9).astype(np.int64), 0, n - 1)), 1.0)
        return out
    # Centres half a spacing from the ends, so that each end of the window is within reach of one shape.
    for k in range(n):
        away = np.clip(position * n - (k + 0.5), -1.0, 1.0)
        np.add.at(out[:, k], row, 0.5 * (1.0 + np.cos(np.pi * away)))
    return out
