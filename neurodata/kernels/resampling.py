"""Other sampling rates, along the last axis."""

from __future__ import annotations

import numpy as np


def polyphase(values: np.ndarray, up: int, down: int, n_kept: list[int], slices: list[slice]) -> np.ndarray:
    """Resample each stretch by `up` / `down` with an anti-aliasing filter (SciPy's `resample_poly`, Kaiser window).

    Parameters
    ----------
    values : array (..., time)
        A NaN makes every new sample NaN that its filter would need it for.
    up, down : int
    n_kept : list of int
        New samples kept per stretch.
    slices : list of slice

    Returns
    -------
    float64 array (..., new time)
    """
    from scipy.signal import resample_poly

    parts = []
    for part, n in zip(slices, n_kept, strict=True):
        x = values[..., part].astype(np.float64)
        if x.shape[-1] == 1:
            new = x
        else:
            missing = np.isnan(x)
            # The ends are continued as a line, so that an offset does not ring there.
            new = resample_poly(_placeholders(x, missing), up, down, axis=-1, padtype="line")
            if missing.any():
                new[_touched(missing, up, down, new.shape[-1])] = np.nan
        parts.append(new[..., :n])
    return np.concatenate(parts, axis=-1) if parts else values.astype(np.float64)


def _placeholders(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Missing samples joined up by lines, so that the ends are continued from what was observed.

    What comes of a placeholder is made NaN afterwards.
    """
    if not missing.any():
        return values
    filled = np.where(missing, 0.0, values)
    where = np.arange(values.shape[-1])
    for place in np.ndindex(values.shape[:-1]):
        seen = ~missing[place]
        if seen.any():
            filled[place] = np.interp(where, where[seen], values[place][seen])
    return filled


def _touched(missing: np.ndarray, up: int, down: int, n_new: int) -> np.ndarray:
    """New samples whose filter reaches a missing one: resample_poly's filter spans 10 max(up, down) fine samples."""
    reach = 10 * max(up, down)
    before = np.concatenate([np.zeros((*missing.shape[:-1], 1), dtype=np.int64), missing.cumsum(axis=-1)], axis=-1)
    centre = np.arange(n_new) * down
    first = np.ceil((centre - reach) / up).astype(int).clip(0, missing.shape[-1])
    last = np.floor((centre + reach) / up).astype(int).clip(-1, missing.shape[-1] - 1)
    return before[..., last + 1] > before[..., first]


def linear(values: np.ndarray, time: np.ndarray, new_time: np.ndarray, max_gap: float) -> np.ndarray:
    """Interpolate linearly between observed neighbours that are no further apart than `max_gap` (s); else NaN."""
    result = np.full((*values.shape[:-1], new_time.size), np.nan)
    for place in np.ndindex(values.shape[:-1]):
        row = values[place].astype(np.float64)
        seen = ~np.isnan(row)
        t, x = time[seen], row[seen]
        if t.size == 0:
            continue
        after = np.searchsorted(t, new_time, side="left")
        exact = (after < t.size) & (t[after.clip(max=t.size - 1)] == new_time)
        between = (after > 0) & (after < t.size)
        right = after.clip(1, max(t.size - 1, 1))
        between &= t[right.clip(max=t.size - 1)] - t[right - 1] <= max_gap
        out = np.interp(new_time, t, x)
        result[place] = np.where(exact | between, out, np.nan)
    return result
