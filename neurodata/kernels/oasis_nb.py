"""Non-negative deconvolution of a first-order autoregressive process (OASIS), exact in linear time."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def deconvolve_ar1(y: np.ndarray, g: float, penalty: float, smallest: float, calcium: np.ndarray) -> None:
    """Minimise the sum over observed t of (c_t - y_t)^2 / 2 plus `penalty` times the sum of s, with s_t >= 0.

    s_t = c_t - g c_{t-1}, s_0 = c_0 (Friedrich et al. 2017, doi 10.1371/journal.pcbi.1005423, algorithm 1: samples are
    gathered in pools of pure decay, and a pool that begins too low joins the one before it). Here a pool is kept as the
    coefficients of its parabola a v^2 / 2 - b v in its first value v, so that a sample that is not observed adds to its
    length alone; no event begins there.

    Parameters
    ----------
    y : float64 array (time,)
        NaN where not observed.
    g : float
        Decay from one sample to the next, 0 to below 1.
    penalty : float
        Of each unit of s; 0 or more.
    smallest : float
        Events below this join the decay before them (exact for 0 only); 0 or more.
    calcium : float64 array (time,)
        Filled with c; NaN before the first observed sample.
    """
    n = y.size
    a, b = np.empty(n), np.empty(n)
    start = np.empty(n + 1, dtype=np.int64)
    pools = -1
    begin = 0
    while begin < n and np.isnan(y[begin]):
        calcium[begin] = np.nan
        begin += 1
    for t in range(begin, n):
        # The sum of s is that of (1 - g) c, and all of c at the last sample.
        cost = penalty if t == n - 1 else penalty * (1.0 - g)
        if np.isnan(y[t]):
            b[pools] -= cost * g ** (t - start[pools])
        else:
            pools += 1
            start[pools], a[pools], b[pools] = t, 1.0, y[t] - cost
        while pools > 0:
            decay = g ** (start[pools] - start[pools - 1])
            if b[pools] / a[pools] >= decay * b[pools - 1] / a[pools - 1] + smallest:
                break
            a[pools - 1] += decay * decay * a[pools]
            b[pools - 1] += decay * b[pools]
            pools -= 1
    start[pools + 1] = n
    for p in range(pools + 1):
        value = max(0.0, b[p] / a[p])
        for t in range(start[p], start[p + 1]):
            calcium[t] = value
            value *= g


def events(y: np.ndarray, g: float, penalty: float = 0.0, smallest: float = 0.0) -> np.ndarray:
    """Events s of one trace, (time,); 0 at the first observed sample, NaN where `y` is.

    After samples that were not observed, an event is what exceeds the decay over all of them.
    """
    y = np.ascontiguousarray(y, dtype=np.float64)
    calcium = np.empty(y.size)
    deconvolve_ar1(y, g, penalty, smallest, calcium)
    s = np.zeros(y.size)
    s[1:] = np.maximum(calcium[1:] - g * calcium[:-1], 0.0)
    first = np.flatnonzero(~np.isnan(y))[:1]
    s[first] = 0.0
    # Within a pool the difference is rounding error of the decay.
    s[s < 1e-12 * max(1.0, float(np.nanmax(np.abs(y), initial=0.0)))] = 0.0
    s[np.isnan(y)] = np.nan
    return s


def residual(y: np.ndarray, g: float, penalty: float) -> float:
    """Mean squared difference of trace and calcium over observed samples."""
    y = np.ascontiguousarray(y, dtype=np.float64)
    calcium = np.empty(y.size)
    deconvolve_ar1(y, g, penalty, 0.0, calcium)
    return float(np.nanmean((calcium - y) ** 2))
