"""Exact Poisson counts in the bi-clustering sampler, in Numba.

Steps for negative binomial counts with a large dispersion, kept fixed, are proposals that are taken or not by the ratio
of the two likelihoods. Trajectories are drawn in windows, given the bins beside them, so that few counts decide.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.bicluster_nb import mirror
from neurodata.kernels.linear_dynamics_nb import filter_forward, precisions, sample_backward


@numba.njit(cache=True)
def excess(y, r, eta):
    """Log probability of a count under the Poisson law less that under the negative binomial, but for a constant."""
    mu = math.exp(min(eta, 30.0))
    return (y + r) * math.log1p(mu / r) - mu


@numba.njit(cache=True)
def poisson_excess(counts, r, baseline, loading, x):
    """`excess` over all bins of a unit."""
    total = 0.0
    for t in range(counts.size):
        y = counts[t]
        if y >= 0:
            eta = baseline + x[t, 0]
            for a in range(loading.size):
                eta += loading[a] * x[t, 1 + a]
            total += excess(y, r, eta)
    return total


@numba.njit(cache=True)
def draw_windows(rng, units, courses, slot, width):
    """Trajectory of one cluster, window by window; gives the windows that were taken, and all.

    Parameters
    ----------
    units : collapsed_nb.Units
        The dispersions are those of the proposal.
    courses : collapsed_nb.Courses
    width : int
        Bins of a window; where windows begin is at random.
    """
    x = courses.x[slot]
    n_bins, m = x.shape
    n_states = courses.noise.shape[1]
    path = courses.path
    offset = courses.offset[slot]
    transition = courses.transition[slot]
    precision = np.empty((n_states, m, m))
    pulled = np.empty((n_states, m, m))
    curved = np.empty((n_states, m, m))
    log_det = np.empty(n_states)
    precisions(courses.noise[slot], transition, precision, pulled, curved, log_det)
    members = np.flatnonzero(units.cluster == slot)
    direction = np.ones(m)
    ends = np.zeros(2, dtype=np.int64)
    taken, n_all = 0, 0
    for q in range(courses.starts.size - 1):
        begin, end = courses.starts[q], courses.starts[q + 1]
        if end == begin:
            continue
        first = begin
        last = min(end, begin + 1 + int(rng.random() * width))
        while first < end:
            n = last - first
            j = np.zeros((n, m, m))
            h = np.zeros((n, m))
            for i in members:
                r = units.dispersion[i]
                o = units.baseline[i] - math.log(r)
                direction[1:] = units.loading[i]
                for t in range(n):
                    y = units.counts[i, first + t]
                    if y < 0:
                        continue
                    w = units.weight[i, first + t]
                    pull = 0.5 * (y - r) - w * o
                    for a in range(m):
                        h[t, a] += pull * direction[a]
                        for b in range(a + 1):
                            j[t, a, b] += w * direction[a] * direction[b]
            mirror(j)
            if first > begin:
                # The step into the window in place of the standard normal law of a first bin.
                s = path[first]
                for a in range(m):
                    j[0, a, a] -= 1.0
                    for b in range(m):
                        j[0, a, b] += precision[s, a, b]
                        mean = offset[s, b]
                        for c in range(m):
                            mean += transition[s, b, c] * x[first - 1, c]
                        h[0, a] += precision[s, a, b] * mean
            if last < end:
                s = path[last]
                for a in range(m):
                    for b in range(m):
                        j[n - 1, a, b] += curved[s, a, b]
                        h[n - 1, a] += pulled[s, a, b] * (x[last, b] - offset[s, b])
            ends[1] = n
            factor = np.empty((n, m, m))
            eta = np.empty((n, m))
            trial = np.empty((n, m))
            states = path[first:last]
            filter_forward(j, h, ends, states, offset, precision, pulled, curved, log_det, factor, eta)
            sample_backward(rng, ends, states, offset, pulled, factor, eta, trial)
            ratio = 0.0
            for i in members:
                seen = units.counts[i, first:last]
                r = units.dispersion[i]
                ratio += poisson_excess(seen, r, units.baseline[i], units.loading[i], trial)
                ratio -= poisson_excess(seen, r, units.baseline[i], units.loading[i], x[first:last])
            n_all += 1
            if math.log(1.0 - rng.random()) < ratio:
                taken += 1
                x[first:last] = trial
            first = last
            last = min(end, first + width)
    return taken, n_all
