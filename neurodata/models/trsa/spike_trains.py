"""RDMs from distances between spike trains, which need no bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.spike_distance_nb import van_rossum_matrix, victor_purpura_matrix
from neurodata.models.trsa.rdm import make_rdm
from neurodata.preprocess._apply import node_of
from neurodata.preprocess._onsets import Onsets, onsets_of
from neurodata.preprocess.bin import inside, recorded_stretches, sorted_spikes

DISTANCES = ("victor-purpura", "van-rossum")


def spike_train_rdm(
    data: xr.Dataset | xr.DataTree,
    at: Any,
    window: tuple[float, float],
    distance: str = "victor-purpura",
    *,
    cost: float = 10.0,
    tau: float = 0.05,
    by: str | None = "description",
    run: str | None = None,
    within: bool = True,
    kind: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | Any = None,
    column: str | None = None,
) -> xr.DataArray:
    r"""Dissimilarities of conditions from distances between the spike trains of their trials.

    Parameters
    ----------
    data : Dataset or DataTree
        A `spikes` node, or a recording with one.
    at, window, kind, where, column
        As in `preprocess.epoch`: `window` is (before, after), both positive, in s.
    distance : {"victor-purpura", "van-rossum"}
        The cheapest way to turn one train into another, 1 for each spike added or removed and `cost` for each second by
        which one is shifted [1]_; or the squared difference of trains smoothed with a decaying exponential of time
        constant `tau` [2]_, with 1/2 for a single spike against none.
    cost : float
        1/s, 0 or above: 0 compares numbers of spikes; spikes further than ``2 / cost`` apart are never the same one.
    tau : float
        s, above 0.
    by : str, optional
        Column of the events that says which condition each is of. None: an RDM of the trials themselves.
    run : str, optional
        Column of the events: only trials of different runs are compared.
    within : bool
        Take off the distances inside conditions: :math:`d_{ij} = \bar D_{ij} - (\bar D_{ii} + \bar D_{jj}) / 2`, means
        over pairs of different trials. 0 on average where two conditions do not differ, and negative at times, as
        crossnobis is. False: :math:`\bar D_{ij}`, which grows with the noise of the trials.

    Returns
    -------
    DataArray (condition, condition_2)
        Mean over units. Conditions in sorted order; for ``by=None`` the trials' ids. Events without a complete window
        in the recorded stretches are left out (attr `n_left_out`). Empty trains count as they are.

    Raises
    ------
    RecordingError
        One condition; a condition without two trials (in different runs) where those are needed.
    OptionError
        Costs, time constants or columns that make no sense.

    Notes
    -----
    Victor-Purpura takes O(n m) for trains of n and m spikes; van Rossum O(n + m), through sums that run along both
    trains [3]_. With the squared van Rossum distance the result is the squared difference of the conditions' mean
    smoothed trains, without bias.

    References
    ----------
    .. [1] J. Victor, K. Purpura, "Nature and precision of temporal coding in visual cortex: a metric-space analysis",
       J. Neurophysiol. 76 (1996), 1310-1326, doi:10.1152/jn.1996.76.2.1310.
    .. [2] M. van Rossum, "A novel spike distance", Neural Comput. 13 (2001), 751-763,
       doi:10.1162/089976601300014321.
    .. [3] C. Houghton, T. Kreuz, "On the efficient calculation of van Rossum distances", Network 23 (2012), 48-58,
       doi:10.3109/0954898X.2012.673048.

    Examples
    --------
    >>> import neurodata as nd
    >>> spikes = nd.make_spikes({"a": [0.1, 2.1, 2.3]}, support=[[0.0, 5.0]])
    >>> one = nd.models.spike_train_rdm(spikes, [0.0, 2.0], (0.0, 1.0), by=None)
    >>> round(float(one[0, 1]), 6)
    1.0
    """
    _check(distance, cost, tau)
    node = node_of(data, "spikes")
    if "spike_time" not in node:
        raise RecordingError("spikes with spike_time", f"{sorted(map(str, node.data_vars))}", "pass a spikes node")
    onsets = onsets_of(at, kind, where, column)
    before, after = (float(value) for value in window)
    if not (np.isfinite([before, after]).all() and before >= 0 and after >= 0 and before + after > 0):
        raise OptionError("window=(before, after), both in s and positive", f"{window!r}", "correct it")
    known = np.isfinite(onsets.time)
    low = np.where(known, onsets.time, 0.0)[:, None] - before
    usable = np.flatnonzero(known & inside(recorded_stretches(node), low, low + before + after, before + after)[:, 0])
    if usable.size < 2:
        raise RecordingError("two events or more with a complete window", f"{usable.size}", "shorten the window")
    labels = None if by is None else _labels(onsets, by)[usable]
    runs = None if run is None else _labels(onsets, run)[usable]
    between = _distances(node, onsets.time[usable], before, after, distance, cost, tau)
    settings = {"distance": distance, **({"cost": cost} if distance == "victor-purpura" else {"tau": tau})}
    attrs: dict[str, Any] = {**settings, "n_left_out": int(known.size - usable.size)}
    if labels is None:
        values, conditions = between, onsets.trial[usable]
    else:
        values, conditions = _by_condition(between, labels, runs, within)
        attrs["within"] = int(within)
    return make_rdm(
        values,
        conditions,
        measure=distance,
        normalisation="units",
        noise="none",
        attrs=with_operation(attrs, "spike_train_rdm", by=by, run=run, within=within, window=[before, after]),
    )


def _check(distance: str, cost: float, tau: float) -> None:
    if distance not in DISTANCES:
        raise OptionError(f"a distance among {', '.join(DISTANCES)}", f"{distance!r}", "choose one of them")
    if not (np.isfinite(cost) and cost >= 0):
        raise OptionError("a cost of 0 or above, 1/s", f"{cost}", "10 shifts a spike by up to 0.2 s")
    if not (np.isfinite(tau) and tau > 0):
        raise OptionError("a time constant tau above 0, s", f"{tau}", "0.05 is 50 ms")


def _labels(onsets: Onsets, name: str) -> np.ndarray:
    if name not in onsets.columns:
        raise OptionError(f"a column of the events among {sorted(onsets.columns)}", f"{name!r}", "pass by=None or name")
    return onsets.columns[name].values


def _distances(
    node: xr.Dataset, onset: np.ndarray, before: float, after: float, distance: str, cost: float, tau: float
) -> np.ndarray:
    """Mean over units of the distances (trial, trial)."""
    times, first, last = sorted_spikes(node)
    n = onset.size
    total = np.zeros((n, n))
    for begin, end in zip(first, last, strict=True):
        own = times[begin:end]
        if own.size and not (np.diff(own) >= 0).all():
            raise RecordingError("spike times sorted inside each unit", "others", "see nd.check(rec)")
        left, right = np.searchsorted(own, onset - before), np.searchsorted(own, onset + after)
        number = right - left
        trains = np.concatenate([own[a:b] - t for a, b, t in zip(left, right, onset, strict=True)])
        stop = np.cumsum(number)
        if distance == "victor-purpura":
            victor_purpura_matrix(trains, stop - number, stop, float(cost), total)
        else:
            van_rossum_matrix(trains, stop - number, stop, float(tau), total)
    if first.size == 0:
        raise RecordingError("one unit or more", "none", "pass another recording")
    return total / first.size


def _by_condition(
    between: np.ndarray, labels: np.ndarray, runs: np.ndarray | None, within: bool
) -> tuple[np.ndarray, np.ndarray]:
    conditions, row = np.unique(labels, return_inverse=True)
    row = row.ravel()
    if conditions.size < 2:
        raise RecordingError("two conditions or more", f"{conditions.size}", "there are no dissimilarities of fewer")
    allowed = ~np.eye(row.size, dtype=bool) if runs is None else runs[:, None] != runs
    member = (row[:, None] == np.arange(conditions.size)).astype(np.float64)
    number = member.T @ allowed @ member
    mean = np.divide(
        member.T @ np.where(allowed, between, 0.0) @ member, number, out=np.full(number.shape, np.nan), where=number > 0
    )
    own = np.diagonal(mean).copy()
    if within and np.isnan(own).any():
        names = ", ".join(map(str, conditions[np.isnan(own)][:5]))
        raise RecordingError(
            "two trials (in different runs) of every condition", f"fewer of {names}", "pass within=False, or drop them"
        )
    found = mean - (own[:, None] + own) / 2.0 if within else mean
    found = (found + found.T) / 2.0
    np.fill_diagonal(found, 0.0)
    return found, conditions
