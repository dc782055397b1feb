"""Distances between spike trains: Victor-Purpura by dynamic programming, van Rossum by sums of exponentials."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def victor_purpura(first: np.ndarray, second: np.ndarray, cost: float, row: np.ndarray) -> float:
    """Cheapest way to turn one train into another: 1 to add or remove a spike, `cost` per s to shift it.

    Parameters
    ----------
    first, second : float64 arrays
        Spike times, s, sorted.
    cost : float
        1/s, finite.
    row : float64 array, longer than `second`
        Work space.
    """
    n, m = first.size, second.size
    for j in range(m + 1):
        row[j] = j
    for i in range(1, n + 1):
        corner = row[0]
        row[0] = i
        t = first[i - 1]
        for j in range(1, m + 1):
            shift = corner + cost * abs(t - second[j - 1])
            best = min(row[j], row[j - 1]) + 1.0
            corner = row[j]
            row[j] = shift if shift < best else best
    return row[m]


@njit(cache=True)
def markage(times: np.ndarray, tau: float, before: np.ndarray) -> None:
    """``sum_(k < i) exp(-(t_i - t_k) / tau)`` for each spike i, in linear time."""
    for i in range(times.size):
        before[i] = 0.0 if i == 0 else (1.0 + before[i - 1]) * np.exp(-(times[i] - times[i - 1]) / tau)


@njit(cache=True)
def overlap(first: np.ndarray, second: np.ndarray, before_first: np.ndarray, before_second: np.ndarray, tau: float):
    """``sum_ij exp(-|t_i - u_j| / tau)`` over the spikes of two trains, in linear time."""
    total = 0.0
    j = 0
    for i in range(first.size):
        while j < second.size and second[j] <= first[i]:
            j += 1
        if j > 0:
            total += np.exp(-(first[i] - second[j - 1]) / tau) * (1.0 + before_second[j - 1])
    i = 0
    for j in range(second.size):
        while i < first.size and first[i] < second[j]:
            i += 1
        if i > 0:
            total += np.exp(-(second[j] - first[i - 1]) / tau) * (1.0 + before_first[i - 1])
    return total


@njit(cache=True)
def victor_purpura_matrix(times: np.ndarray, start: np.ndarray, stop: np.ndarray, cost: float, out: np.ndarray) -> None:
    """Add distances between all pairs of trains ``times[start[a]:stop[a]]`` to `out` (train, train)."""
    n = start.size
    longest = 0
    for a in range(n):
        longest = max(longest, stop[a] - start[a])
    row = np.empty(longest + 1)
    for a in range(n):
        one = times[start[a] : stop[a]]
        for b in range(a):
            value = victor_purpura(one, times[start[b] : stop[b]], cost, row)
            out[a, b] += value
            out[b, a] += value


@njit(cache=True)
def van_rossum_matrix(times: np.ndarray, start: np.ndarray, stop: np.ndarray, tau: float, out: np.ndarray) -> None:
    """Add squared distances between all pairs of trains ``times[start[a]:stop[a]]`` to `out` (train, train).

    ``D^2 = (S_aa + S_bb) / 2 - S_ab`` with S the overlaps, spikes with themselves included: a single spike is at
    distance^2 1/2 from none, and two spikes far apart at 1 from each other.
    """
    n = start.size
    before = np.empty(times.size)
    own = np.empty(n)
    for a in range(n):
        one = before[start[a] : stop[a]]
        markage(times[start[a] : stop[a]], tau, one)
        own[a] = (stop[a] - start[a]) + 2.0 * one.sum()
    for a in range(n):
        for b in range(a):
            shared = overlap(
                times[start[a] : stop[a]],
                times[start[b] : stop[b]],
                before[start[a] : stop[a]],
                before[start[b] : stop[b]],
                tau,
            )
            value = max((own[a] + own[b]) / 2.0 - shared, 0.0)
            out[a, b] += value
            out[b, a] += value
