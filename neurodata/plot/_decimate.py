"""Long traces as what can be seen of them: the lowest and the highest sample under each column of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

# Columns of a wide figure at print resolution.
COLUMNS = 2000
# A step between samples longer than this many usual (median) steps breaks the line, as in `nd.summary`.
_GAP_STEPS = 1.5
# Samples of all channels read at once from a lazy array.
_BLOCK = 4_000_000


def envelope(time: np.ndarray, values: Any, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum of each stretch of samples, in turn, so that a line through them covers the signal.

    Parameters
    ----------
    time : array (time,)
        s.
    values : array (time, item)
        Lazy arrays are read in blocks.
    columns : int
        Stretches to make, at most; short signals are returned as they are.

    Returns
    -------
    time : array (sample,)
    values : array (sample, item)
        With a row of NaN where the recording has a gap, so that no line crosses it.

    Examples
    --------
    >>> t, v = envelope(np.arange(6.0), np.array([[0.0], [5.0], [1.0], [1.0], [-2.0], [1.0]]), columns=2)
    >>> v[:, 0].tolist()
    [0.0, 5.0, -2.0, 1.0]
    """
    n, n_items = values.shape
    step = np.diff(time)
    cut = np.flatnonzero(step > _GAP_STEPS * np.median(step)) + 1 if n > 2 else np.zeros(0, dtype=int)
    bounds = [0, *cut.tolist(), n]
    times, parts = [], []
    for k, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        if k:
            times.append(np.array([0.5 * (time[first - 1] + time[first])]))
            parts.append(np.full((1, n_items), np.nan))
        share = max(1, int(np.ceil(columns * (last - first) / n)))
        stretch_time, stretch = _one_stretch(time[first:last], values[first:last], share)
        times.append(stretch_time)
        parts.append(stretch)
    return np.concatenate(times), np.concatenate(parts)


def _one_stretch(time: np.ndarray, values: Any, columns: int) -> tuple[np.ndarray, np.ndarray]:
    n, n_items = values.shape
    width = -(-n // columns)
    if width <= 2:
        return time, np.asarray(values, dtype=np.float64)
    starts = np.arange(0, n, width)
    result = np.empty((starts.size, 2, n_items))
    at_once = max(1, _BLOCK // max(1, width * n_items))
    for first in range(0, starts.size, at_once):
        chosen = starts[first : first + at_once]
        block = np.asarray(values[chosen[0] : min(n, chosen[-1] + width)], dtype=np.float64)
        rows = chosen - chosen[0]
        # fmin and fmax pass over NaN; a stretch of NaN only stays NaN.
        result[first : first + chosen.size, 0] = np.fmin.reduceat(block, rows, axis=0)
        result[first : first + chosen.size, 1] = np.fmax.reduceat(block, rows, axis=0)
    return np.repeat(time[starts], 2), result.reshape(-1, n_items)
