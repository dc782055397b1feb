"""Truth at the times of a model, which has bins of its own."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError

# A step longer than this many usual (median) steps is a gap.
_GAP = 1.5


def nearest_frames(true_time: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Row of the truth's frame nearest to each of the model's times; -1 outside.

    Parameters
    ----------
    true_time : array (frame,)
        Centres of the truth's frames, s, increasing.
    time : array (time,)
        s.

    Returns
    -------
    array (time,), int
        A time more than half a frame from every centre is outside.

    Examples
    --------
    >>> import numpy as np
    >>> nearest_frames(np.array([0.5, 1.5, 2.5]), np.array([0.0, 0.9, 1.2, 3.1])).tolist()
    [0, 0, 1, -1]
    """
    if true_time.size == 0:
        return np.full(time.shape, -1)
    right = np.clip(np.searchsorted(true_time, time), 1, max(true_time.size - 1, 1))
    right = np.minimum(right, true_time.size - 1)
    left = np.maximum(right - 1, 0)
    row = np.where(np.abs(time - true_time[left]) <= np.abs(true_time[right] - time), left, right)
    reach = np.median(np.diff(true_time)) / 2 if true_time.size > 1 else 0.0
    # Frames and bins are computed differently, so that equal times may differ in the last digits.
    return np.where(np.abs(true_time[row] - time) <= reach * (1 + 1e-6) + 1e-9, row, -1)


def at_model_times(claim: xr.DataArray, truth: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Claim and truth over the times they share, the truth at its nearest frame; both have the model's times.

    Parameters
    ----------
    claim : DataArray (time, ...)
    truth : DataArray (time, ...)
    """
    for array, whose in ((claim, "claims"), (truth, "truth")):
        if "time" not in array.coords:
            raise RecordingError(f"a time coordinate (s) of the {whose}", "none", "give the data to fit times")
    time = claim["time"].values.astype(np.float64)
    row = nearest_frames(truth["time"].values.astype(np.float64), time)
    inside = np.flatnonzero(row >= 0)
    there = truth.isel(time=row[inside]).assign_coords(time=time[inside])
    return claim.isel(time=inside), there


def stretches(time: np.ndarray) -> list[slice]:
    """Runs of times without a gap, in order.

    Examples
    --------
    >>> import numpy as np
    >>> stretches(np.array([0.0, 0.1, 0.2, 0.9, 1.0]))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    if time.size == 0:
        return []
    step = np.diff(time)
    cut = np.flatnonzero(step > _GAP * np.median(step)) + 1 if step.size else np.zeros(0, dtype=int)
    bounds = [0, *cut.tolist(), time.size]
    return [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
