"""Loops of the observation stages: dead time of a channel, spikes filtered exactly to frame times."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def outside_dead_time(time: np.ndarray, channel: np.ndarray, dead_time: float) -> np.ndarray:
    """Which events a channel detects that is blind for a while after each event it detects.

    Parameters
    ----------
    time : float64 array (event,)
        s, sorted within each channel.
    channel : int64 array (event,)
        Sorted.
    dead_time : float
        s.

    Returns
    -------
    bool array (event,)
    """
    kept = np.ones(time.size, dtype=np.bool_)
    last, where = -np.inf, np.int64(-1)
    for i in range(time.size):
        if channel[i] != where:
            where, last = channel[i], -np.inf
        if time[i] - last < dead_time:
            kept[i] = False
        else:
            last = time[i]
    return kept


@njit(cache=True)
def filter_spikes(
    spike_time: np.ndarray,
    first: np.ndarray,
    frame_time: np.ndarray,
    rise: float,
    decay: float,
    rate: np.ndarray,
    out: np.ndarray,
) -> None:
    """Sum over spikes of exp(-t / decay) - exp(-t / rise) at each frame, t the time since the spike.

    Exact for spikes at any time: both exponentials are carried from frame to frame and each spike enters at its own.

    Parameters
    ----------
    spike_time : float64 array (spike,)
        s, sorted inside each unit.
    first : int64 array (unit + 1,)
        The spikes of unit `u` are ``spike_time[first[u]:first[u + 1]]``.
    frame_time : float64 array (frame,)
        s, increasing, gaps allowed. A spike at the time of a frame is in it.
    rise, decay : float
        s, rise below decay.
    rate : float64 array (unit,)
        Hz; the trace begins where a unit that had always fired at this rate would be on average.
    out : float64 array (frame, unit)
        Filled.
    """
    n_frames = frame_time.size
    for u in range(first.size - 1):
        slow, fast = rate[u] * decay, rate[u] * rise
        at, end = first[u], first[u + 1]
        before = frame_time[0] if n_frames > 0 else 0.0
        for k in range(n_frames):
            now = frame_time[k]
            slow *= np.exp(-(now - before) / decay)
            fast *= np.exp(-(now - before) / rise)
            while at < end and spike_time[at] <= now:
                since = now - spike_time[at]
                slow += np.exp(-since / decay)
                fast += np.exp(-since / rise)
                at += 1
            out[k, u] = slow - fast
            before = now
