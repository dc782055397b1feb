"""Is a course over time larger in some stages than in others? Against the same course, turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class ShiftTest(NamedTuple):
    """Correlations of courses with weights over time.

    Attributes
    ----------
    correlation : array (weight, course)
        NaN where either does not vary.
    p_value : array (weight, course)
        Two-sided: the share of turns whose correlation is as far from 0.
    joint_p_value : array (weight,)
        Of the sum over courses of squared correlations.
    """

    correlation: np.ndarray
    p_value: np.ndarray
    joint_p_value: np.ndarray


def circular_shift_test(
    course: np.ndarray,
    weight: np.ndarray,
    rows: Sequence[np.ndarray] | None = None,
    n_shifts: int = 4999,
    rng: np.random.Generator | None = None,
    detrend: bool = False,
) -> ShiftTest:
    """Correlate courses with weights over time, and with the weights turned in time.

    Turning keeps what each course and each weight is like over time, its slowness above all, and parts the two. One
    recording is turned by each whole number of samples (exact, the identity among them); of several, each is turned by
    a random number of its own.

    Parameters
    ----------
    course : array (time, course)
        Finite.
    weight : array (weight, time)
        1 and 0 for a stage, or a signal; finite.
    rows : sequence of array, optional
        Rows of each recording; default one.
    n_shifts : int
        Random turns, for several recordings.
    rng : Generator, optional
    detrend : bool
        Take the straight line of least squares off each course and weight, in each recording, first.

    Notes
    -----
    P values are exact where every turn is as likely as any other under the null, as for a stationary course that ends
    where it begins. A drift over the whole recording is not such a course: a stage that begins or ends with the
    recording then stands out for no reason of its own: under a straight drift, of all windows of one length those at
    the ends differ most from the rest. `detrend` takes that away, and with it most of what a single step is.

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(200)
    >>> found = circular_shift_test((time // 50 == 1)[:, None] * 1.0, (time // 50 == 1)[None, :] * 1.0)
    >>> round(float(found.correlation[0, 0]), 3), round(float(found.p_value[0, 0]), 3)
    (1.0, 0.005)
    """
    parts = [np.arange(len(course))] if rows is None else [np.asarray(part) for part in rows]
    kept = np.concatenate(parts)
    n = len(kept)
    ends = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    ranges = list(zip(ends[:-1], ends[1:], strict=True))
    raw = course[kept], weight[:, kept].T
    if detrend:
        raw = _level(raw[0], ranges), _level(raw[1], ranges)
    one, other = _standard(raw[0]), _standard(raw[1])
    # Cross-products of each recording at each turn, (turn, weight, course).
    turns = [_cross(one[a:z], other[a:z]) / n for a, z in ranges]
    if len(turns) == 1:
        null = turns[0]
    else:
        rng = np.random.default_rng(rng)
        drawn = [turn[rng.integers(len(turn), size=n_shifts)] for turn in turns]
        null = np.concatenate([np.sum([turn[0] for turn in turns], axis=0)[None], np.sum(drawn, axis=0)])
    found = null[0]
    slack = 1e-9
    p = (np.abs(null) >= np.abs(found) - slack).mean(axis=0)
    joint = (null**2).sum(axis=2)
    joint_p = (joint >= joint[0] - slack).mean(axis=0)
    flat = (one == 0).all(axis=0)[None, :] | (other == 0).all(axis=0)[:, None]
    return ShiftTest(
        np.where(flat, np.nan, found), np.where(flat, np.nan, p), np.where(flat.all(axis=1), np.nan, joint_p)
    )


def _level(values: np.ndarray, ranges: list[tuple[int, int]]) -> np.ndarray:
    """Without the straight line of each recording, by row."""
    out = np.array(values, dtype=np.float64)
    for a, z in ranges:
        line = np.arange(z - a) - 0.5 * (z - a - 1)
        power = line @ line
        if power > 0:
            out[a:z] -= np.outer(line, line @ out[a:z]) / power
    return out


def _standard(values: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over time; 0 where nothing varies."""
    away = values - values.mean(axis=0)
    spread = away.std(axis=0)
    return np.divide(away, spread, out=np.zeros_like(away), where=spread > 1e-12 * np.abs(values).max(initial=1e-300))


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``sum_t one[t] other[t - k]`` for each turn k, (turn, other, one), by Fourier transforms."""
    a, b = np.fft.rfft(one, axis=0), np.fft.rfft(other, axis=0)
    return np.fft.irfft(np.conj(b)[:, :, None] * a[:, None, :], n=len(one), axis=0)
