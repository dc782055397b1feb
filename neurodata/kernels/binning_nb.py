"""Counting spikes in bins, for spikes sorted by unit, then time."""

from __future__ import annotations

import numpy as np
from numba import njit

# Counts (bins x units) written before the next stretch of time: 1 MB of int32 stays in a core's cache while each unit's
# spikes are still read in stretches. Unit by unit over all bins would miss the cache at every spike.
BLOCK_CELLS = 2**18


@njit(cache=True)
def count_spikes(
    spike_time: np.ndarray, first: np.ndarray, last: np.ndarray, edge: np.ndarray, width: float, counts: np.ndarray
) -> int:
    """Add the spikes of each unit to `counts`; bin `k` is ``edge[k] <= t < edge[k + 1]``.

    Parameters
    ----------
    spike_time : float64 array (spike,)
        s, sorted inside each unit.
    first, last : int64 array (unit,)
        The spikes of unit `u` are ``spike_time[first[u]:last[u]]``.
    edge : float64 array (n_bins + 1,)
        Edges of the bins, s, about `width` apart. The edges decide; `width` only makes the first guess.
    width : float
        s.
    counts : int32 array (n_bins, n_units)
        Added to in place.

    Returns
    -------
    int
        Number of spikes counted; or ``-1 - u`` when the spikes of unit row `u` are not sorted (then `counts` means
        nothing).
    """
    n_bins, n_units = counts.shape
    cursor = first.copy()
    counted = 0
    per_width = 1.0 / width
    block_bins = max(1, BLOCK_CELLS // max(1, n_units))
    for u in range(n_units):
        while cursor[u] < last[u] and spike_time[cursor[u]] < edge[0]:
            cursor[u] += 1
    for block in range(0, n_bins, block_bins):
        block_stop = min(block + block_bins, n_bins)
        low, high = edge[block], edge[block_stop]
        for u in range(n_units):
            i = cursor[u]
            stop = last[u]
            previous = low
            while i < stop:
                t = spike_time[i]
                if t >= high:
                    break
                if not t >= previous:
                    return -1 - u
                previous = t
                # The product may be off by one at an edge, hardly ever more: the edges themselves decide.
                k = min(int((t - edge[0]) * per_width), block_stop - 1)
                while t < edge[k]:
                    k -= 1
                while t >= edge[k + 1]:
                    k += 1
                counts[k, u] += 1
                i += 1
            counted += i - cursor[u]
            cursor[u] = i
    return counted


@njit(cache=True)
def count_around(
    spike_time: np.ndarray, first: np.ndarray, last: np.ndarray, edge: np.ndarray, counts: np.ndarray
) -> int:
    """Count spikes in the bins around each event; the windows of events may overlap.

    Parameters
    ----------
    spike_time, first, last
        As in `count_spikes`.
    edge : float64 array (trial, n_bins + 1)
        Edges around each event, s, increasing.
    counts : int32 array (trial, n_bins, unit)
        Added to in place.

    Returns
    -------
    int
        -1, or the row of a unit whose spikes are not sorted.
    """
    n_trials, n_bins, n_units = counts.shape
    for u in range(n_units):
        for i in range(first[u] + 1, last[u]):
            if not spike_time[i] >= spike_time[i - 1]:
                return u
    for trial in range(n_trials):
        for u in range(n_units):
            i = first[u] + np.searchsorted(spike_time[first[u] : last[u]], edge[trial, 0])
            k = 0
            while i < last[u] and spike_time[i] < edge[trial, n_bins]:
                while spike_time[i] >= edge[trial, k + 1]:
                    k += 1
                counts[trial, k, u] += 1
                i += 1
    return -1
