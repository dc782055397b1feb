"""Claimed hidden states against the true ones: labels up to their names, times of change, how long states last."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from neurodata.validate.metrics.alignment import at_model_times, stretches
from neurodata.validate.metrics.base import Metric

# How far a claimed change may be from a true one, s. States of the default circuits last 2 to 10 s.
TOLERANCE = 0.25


class Path(NamedTuple):
    """Labels (time,) and times (s) where both claim and truth are known."""

    claimed: np.ndarray
    true: np.ndarray
    time: np.ndarray


def labels(claims: xr.Dataset, truth: xr.Dataset) -> Path:
    """Claimed and true state at the model's times; times at which either is unknown (below 0, NaN) are left out."""
    claimed, true = at_model_times(claims["state"], truth["state"])
    a, b = claimed.values.astype(np.float64), true.values.astype(np.float64)
    known = (a >= 0) & (b >= 0)
    return Path(a[known].astype(np.int64), b[known].astype(np.int64), claimed["time"].values[known])


def accuracy(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Part of the time in the right state, claimed states named after the true ones that fit best (one to one)."""
    path = labels(claims, truth)
    if path.true.size == 0 or np.unique(path.true).size < 2:
        return float("nan")
    table = contingency_matrix(path.true, path.claimed)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / path.true.size)


def largest_share(truth: xr.Dataset) -> float:
    """Part of the time in the commonest true state: the accuracy of claiming one state throughout."""
    state = truth["state"].values
    state = state[state >= 0]
    return float(np.unique(state, return_counts=True)[1].max() / state.size) if state.size else float("nan")


def _agreement(claims: xr.Dataset, truth: xr.Dataset, score) -> float:
    path = labels(claims, truth)
    if path.true.size == 0 or np.unique(path.true).size < 2:
        return float("nan")
    return float(score(path.true, path.claimed))


def ari(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Adjusted Rand index of the states."""
    return _agreement(claims, truth, adjusted_rand_score)


def ami(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Adjusted mutual information of the states."""
    return _agreement(claims, truth, adjusted_mutual_info_score)


def change_times(state: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Times (s) half way between bins of different state; not across gaps, nor from or to an unknown state (below 0).

    Examples
    --------
    >>> import numpy as np
    >>> change_times(np.array([0, 0, 1, -1, 1, 0]), np.arange(6.0)).tolist()
    [1.5, 4.5]
    """
    found = []
    for part in stretches(time):
        s, t = state[part], time[part]
        at = np.flatnonzero((s[1:] != s[:-1]) & (s[1:] >= 0) & (s[:-1] >= 0))
        found.append((t[at] + t[at + 1]) / 2)
    return np.concatenate(found) if found else np.zeros(0)


def matched(claimed: np.ndarray, true: np.ndarray, tolerance: float) -> int:
    """Most pairs of a claimed and a true time that are within `tolerance` of each other, each used once.

    On a line, taking the earliest that fit is as good as any other matching.

    Examples
    --------
    >>> import numpy as np
    >>> matched(np.array([1.0, 1.1, 5.0]), np.array([1.2, 3.0]), 0.25)
    1
    """
    a, b = np.sort(claimed), np.sort(true)
    i = j = n = 0
    while i < a.size and j < b.size:
        if abs(a[i] - b[j]) <= tolerance:
            i, j, n = i + 1, j + 1, n + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return n


def change_f1(claims: xr.Dataset, truth: xr.Dataset, tolerance: float = TOLERANCE) -> float:
    """F1 of times of change, found when within `tolerance` (s); of `change`, or else of the path `state`.

    True changes outside the model's time, and within gaps of it, are not counted. NaN when nothing truly changes.
    """
    frame, state = truth["time"].values, truth["state"].values
    true = change_times(state, frame)
    if "state" in claims:
        time = claims["state"]["time"].values.astype(np.float64)
        known = claims["state"].values >= 0
        time, path = time[known], claims["state"].values[known].astype(np.int64)
        claimed = claims["change"].values if "change" in claims else change_times(path, time)
        half = np.median(np.diff(time)) / 2 if time.size > 1 else 0.0
        spans = [(time[part][0] - half, time[part][-1] + half) for part in stretches(time)]
        inside = np.array([any(a <= t <= b for a, b in spans) for t in true], dtype=bool)
        true = true[inside]
    elif "change" in claims:
        claimed = claims["change"].values
    else:
        return float("nan")
    claimed = claimed[np.isfinite(claimed)]
    if true.size == 0:
        return float("nan")
    return 2.0 * matched(claimed, true, tolerance) / (claimed.size + true.size)


def dwell_times(state: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How long each visit to a state lasts, s; visits cut off by an end or a gap count with what was seen of them.

    Examples
    --------
    >>> import numpy as np
    >>> dwell_times(np.array([0, 0, 0, 1]), 0.5 * np.arange(4)).tolist()
    [1.5, 0.5]
    """
    step = float(np.median(np.diff(time))) if time.size > 1 else np.nan
    found: list[float] = []
    for part in stretches(time):
        s = state[part]
        cut = np.concatenate([[0], np.flatnonzero(np.diff(s)) + 1, [s.size]])
        found += (np.diff(cut) * step).tolist()
    return np.array(found)


def dwell_bias(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Mean claimed over mean true dwell time, less 1: -0.5 is states that last half as long as they do."""
    path = labels(claims, truth)
    if path.time.size < 2 or np.unique(path.true).size < 2:
        return float("nan")
    return float(dwell_times(path.claimed, path.time).mean() / dwell_times(path.true, path.time).mean() - 1.0)


_STATE = ("state",)
METRICS = (
    Metric("state_accuracy", _STATE, accuracy, _STATE, largest_share, "higher", (0.0, 1.0)),
    Metric("state_ari", _STATE, ari, _STATE, 0.0, "higher", (-1.0, 1.0)),
    Metric("state_ami", _STATE, ami, _STATE, 0.0, "higher", (-1.0, 1.0)),
    Metric("change_f1", (), partial(change_f1, tolerance=TOLERANCE), _STATE, None, "higher", (0.0, 1.0)),
    Metric("dwell_bias", _STATE, dwell_bias, _STATE, None, "zero", (-1.0, np.inf)),
)
