"""Moves of the dynamics of the bi-clustering sampler with trajectories integrated out, in Numba.

Where counts say little of a trajectory, its steps have just the size that the noise has now, and a noise drawn given
the steps has just theirs: neither moves. Here dynamics are compared by the evidence of the counts instead, given
Polya-Gamma weights, loadings and the path; trajectories are to be drawn afterwards.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels import matrix_normal_nb
from neurodata.kernels.collapsed_nb import make_work
from neurodata.kernels.linear_dynamics_nb import backward_solve, cholesky, filter_forward, precisions

log_prior = matrix_normal_nb.log_density
_MOST_STEPS = 20


@numba.njit(cache=True)
def evidence(clusters, q, s, path, starts, work):
    """Log evidence of what cluster `q` sees, after a change of the dynamics of state `s`."""
    precisions(
        clusters.noise[q, s : s + 1], clusters.transition[q, s : s + 1], clusters.precision[q, s : s + 1],
        clusters.pulled[q, s : s + 1], clusters.curved[q, s : s + 1], clusters.log_det[q, s : s + 1],
    )  # fmt: skip
    value = filter_forward(
        clusters.j[q], clusters.h[q], starts, path, clusters.offset[q], clusters.precision[q], clusters.pulled[q],
        clusters.curved[q], clusters.log_det[q], work.factor, work.eta,
    )  # fmt: skip
    return value if math.isfinite(value) else -np.inf


@numba.njit(cache=True)
def turn_row(rng, clusters, q, s, row, path, starts, centre, columns, now, work):
    """Elliptical slice sampling of a row of Z, ``[A b] = centre + L Z`` with L L' = Q; gives the evidence.

    Murray, Adams & MacKay 2010 (JMLR W&CP 9:541). With fewer dimensions at a time steps are longer.
    """
    m = centre.shape[0]
    transition, offset = clusters.transition[q, s], clusters.offset[q, s]
    root, factor = np.empty((m, m)), np.empty((m + 1, m + 1))
    cholesky(clusters.noise[q, s], root)
    cholesky(columns, factor)
    white, before = np.empty((m, m + 1)), np.empty((m, m + 1))
    for i in range(m):
        for c in range(m + 1):
            before[i, c] = transition[i, c] if c < m else offset[i]
            value = before[i, c] - centre[i, c]
            for k in range(i):
                value -= root[i, k] * white[k, c]
            white[i, c] = value / root[i, i]
    other = np.empty(m + 1)
    for c in range(m + 1):
        other[c] = rng.standard_normal()
    backward_solve(factor, other)
    level = now - rng.standard_exponential()
    angle = 2.0 * math.pi * rng.random()
    low, high = angle - 2.0 * math.pi, angle
    while True:
        for c in range(m + 1):
            step = (math.cos(angle) - 1.0) * white[row, c] + math.sin(angle) * other[c]
            for i in range(row, m):
                if c < m:
                    transition[i, c] = before[i, c] + root[i, row] * step
                else:
                    offset[i] = before[i, c] + root[i, row] * step
        now = evidence(clusters, q, s, path, starts, work)
        if now > level or high - low < 1e-12:
            return now
        if angle < 0.0:
            low = angle
        else:
            high = angle
        angle = low + (high - low) * rng.random()


@numba.njit(cache=True)
def _stretch(noise, i, factor):
    """``D Q D`` in place; D has `factor` at place i of its diagonal, else ones."""
    for k in range(noise.shape[0]):
        noise[i, k] *= factor
        noise[k, i] *= factor


@numba.njit(cache=True)
def stretch_noise(rng, clusters, q, s, i, path, starts, centre, columns, scale, dof, now, work):
    """Slice sampling of u in ``D Q D``, D = diag(1, .., exp(u), .., 1); gives the evidence.

    A generalised Gibbs step (Liu & Sabatti 2000, doi:10.1093/biomet/87.2.353): the map has the Jacobian
    ``exp((m + 1) u)``.
    """
    m = centre.shape[0]
    noise, transition, offset = clusters.noise[q, s], clusters.transition[q, s], clusters.offset[q, s]
    before = noise.copy()
    level = now + log_prior(transition, offset, noise, centre, columns, scale, dof) - rng.standard_exponential()
    low = -rng.random()
    high = low + 1.0
    left = int(rng.random() * _MOST_STEPS)
    right = _MOST_STEPS - 1 - left
    # First the lower end steps out, then the upper one, then the interval shrinks.
    phase = 0
    while True:
        if phase == 0 and left == 0:
            phase = 1
        if phase == 1 and right == 0:
            phase = 2
        u = low if phase == 0 else (high if phase == 1 else low + (high - low) * rng.random())
        noise[:] = before
        _stretch(noise, i, math.exp(u))
        now = evidence(clusters, q, s, path, starts, work)
        value = now + (m + 1) * u + log_prior(transition, offset, noise, centre, columns, scale, dof)
        inside = math.isfinite(value) and value > level
        if phase == 0:
            if inside:
                low -= 1.0
                left -= 1
            else:
                phase = 1
        elif phase == 1:
            if inside:
                high += 1.0
                right -= 1
            else:
                phase = 2
        elif inside or high - low < 1e-12:
            return now
        elif u < 0.0:
            low = u
        else:
            high = u


@numba.njit(cache=True)
def move_dynamics(rng, clusters, path, starts, centre, columns, scale, dof):
    """Dynamics of one state of each cluster, at random among those on the path.

    Parameters
    ----------
    clusters : `collapsed_path_nb.Clusters`
        What they have of the dynamics is changed.
    path : array (bin,)
    starts : array (sequence + 1,)
    centre, columns, scale, dof
        Prior of the dynamics.
    """
    n_clusters, n_states, m = clusters.offset.shape
    work = make_work(path.size, n_states, m)
    steps = np.zeros(n_states, dtype=np.int64)
    for k in range(starts.size - 1):
        for t in range(starts[k] + 1, starts[k + 1]):
            steps[path[t]] += 1
    n_used = (steps > 0).sum()
    if n_used == 0:
        return
    for q in range(n_clusters):
        left = int(rng.random() * n_used)
        s = 0
        while steps[s] == 0 or left > 0:
            left -= steps[s] > 0
            s += 1
        now = evidence(clusters, q, s, path, starts, work)
        for i in range(m):
            now = turn_row(rng, clusters, q, s, i, path, starts, centre, columns, now, work)
            now = stretch_noise(rng, clusters, q, s, i, path, starts, centre, columns, scale, dof, now, work)
