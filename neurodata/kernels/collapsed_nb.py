"""Moves of the bi-clustering sampler with trajectories integrated out, in Numba.

Given Polya-Gamma weights, loadings and dynamics, the evidence of a cluster's counts is that of a Kalman filter. Moves
of units that are accepted by this evidence are not held back by trajectories that were drawn for the clusters of the
moment. Trajectories of clusters that changed are drawn anew. `collapsed_path_nb` does the same for the state path.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from neurodata.kernels import matrix_normal_nb
from neurodata.kernels.bicluster_nb import add_information, draw_coefficients, log_density_coefficients, mirror, regress
from neurodata.kernels.linear_dynamics_nb import filter_forward, mean_backward, precisions, sample_backward

draw_dynamics = matrix_normal_nb.draw


class Units(NamedTuple):
    """Counts and weights (unit, bin), and what each unit has; `cluster` is a slot."""

    counts: np.ndarray
    weight: np.ndarray
    dispersion: np.ndarray
    baseline: np.ndarray
    loading: np.ndarray
    cluster: np.ndarray


class Courses(NamedTuple):
    """Trajectories (slot, bin, m) and dynamics (slot, state, ...) of clusters; sequences and state path."""

    x: np.ndarray
    transition: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    starts: np.ndarray
    path: np.ndarray


class Numbers(NamedTuple):
    """Of the prior: coefficients (m,), partition, dynamics."""

    mean: np.ndarray
    precision: np.ndarray
    gamma: float
    log_new: np.ndarray
    centre: np.ndarray
    columns: np.ndarray
    scale: np.ndarray
    dof: float


class Work(NamedTuple):
    """Arrays of one filter."""

    precision: np.ndarray
    pulled: np.ndarray
    curved: np.ndarray
    log_det: np.ndarray
    factor: np.ndarray
    eta: np.ndarray


@numba.njit(cache=True)
def make_work(n_bins, n_states, m):
    """Work arrays."""
    return Work(
        np.empty((n_states, m, m)),
        np.empty((n_states, m, m)),
        np.empty((n_states, m, m)),
        np.empty(n_states),
        np.empty((n_bins, m, m)),
        np.empty((n_bins, m)),
    )


@numba.njit(cache=True)
def add_unit(units, i, j, h):
    """Add what unit `i` says of its cluster's trajectory; gives its constant."""
    r = units.dispersion[i]
    return add_information(units.counts[i], units.weight[i], math.log(r), r, units.baseline[i], units.loading[i], j, h)


@numba.njit(cache=True)
def evidence(j, h, courses, slot, path, work):
    """Log evidence of the information `j`, `h` (lower halves) under the dynamics of `slot`; the filter stays."""
    mirror(j)
    precisions(courses.noise[slot], courses.transition[slot], work.precision, work.pulled, work.curved, work.log_det)
    return filter_forward(
        j,
        h,
        courses.starts,
        path,
        courses.offset[slot],
        work.precision,
        work.pulled,
        work.curved,
        work.log_det,
        work.factor,
        work.eta,
    )


@numba.njit(cache=True)
def log_prior_coefficients(values, mean, precision):
    """Log density of baseline and loadings under the prior."""
    total = 0.0
    for a in range(values.size):
        total += 0.5 * (math.log(precision[a] / (2.0 * math.pi)) - precision[a] * (values[a] - mean[a]) ** 2)
    return total


@numba.njit(cache=True)
def redraw(rng, units, courses, slot, j, h, work):
    """Draw the trajectory of `slot` given its units."""
    j[:] = 0.0
    h[:] = 0.0
    for i in range(units.cluster.size):
        if units.cluster[i] == slot:
            add_unit(units, i, j, h)
    evidence(j, h, courses, slot, courses.path, work)
    sample_backward(
        rng, courses.starts, courses.path, courses.offset[slot], work.pulled, work.factor, work.eta, courses.x[slot]
    )


@numba.njit(cache=True)
def move_units(rng, units, courses, numbers, n_tries):
    """Metropolis-Hastings: a unit at random to another cluster at random, or one of its own; gives how many moved.

    Baseline and loadings in the new cluster are proposed from the regression on the smoothed trajectory of the units
    that are there (the prior, in a cluster of its own); those of the way back from the units left behind.
    """
    n_units, n_bins = units.counts.shape
    n_slots, _, m = courses.x.shape
    n_states = courses.noise.shape[1]
    work = make_work(n_bins, n_states, m)
    j = np.empty((n_bins, m, m))
    h = np.empty((n_bins, m))
    smooth = np.empty((n_bins, m))
    factor = np.empty((m, m))
    centre = np.empty(m)
    new = np.empty(m)
    old = np.empty(m)
    size = np.zeros(n_slots, dtype=np.int64)
    for i in range(n_units):
        size[units.cluster[i]] += 1
    moved = 0
    for _ in range(n_tries):
        i = int(rng.random() * n_units)
        a = units.cluster[i]
        alone = size[a] == 1
        n_clusters = 0
        for k in range(n_slots):
            n_clusters += size[k] > 0
        n_options = n_clusters - 1 + (0 if alone else 1)
        if n_options == 0:
            continue
        option = int(rng.random() * n_options)
        b = -1
        for k in range(n_slots):
            if size[k] > 0 and k != a:
                if option == 0:
                    b = k
                    break
                option -= 1
        born = b < 0
        if born:
            if n_clusters == n_slots:
                continue
            b = 0
            while size[b] > 0:
                b += 1
            for s in range(n_states):
                draw_dynamics(
                    rng,
                    numbers.centre,
                    numbers.columns,
                    numbers.scale,
                    numbers.dof,
                    courses.transition[b, s],
                    courses.offset[b, s],
                    courses.noise[b, s],
                )
        r = units.dispersion[i]
        log_r = math.log(r)
        old[0] = units.baseline[i]
        old[1:] = units.loading[i]
        # Its old cluster without and with it.
        ratio = 0.0
        j[:] = 0.0
        h[:] = 0.0
        if alone:
            ratio += log_prior_coefficients(old, numbers.mean, numbers.precision)
        else:
            for u in range(n_units):
                if units.cluster[u] == a and u != i:
                    add_unit(units, u, j, h)
            ratio += evidence(j, h, courses, a, courses.path, work)
            mean_backward(courses.starts, courses.path, courses.offset[a], work.pulled, work.factor, work.eta, smooth)
            regress(units.counts[i], units.weight[i], log_r, r, smooth, numbers.mean, numbers.precision, factor, centre)
            ratio += log_density_coefficients(factor, centre, old)
        ratio -= log_prior_coefficients(old, numbers.mean, numbers.precision)
        ratio -= add_unit(units, i, j, h)
        ratio -= evidence(j, h, courses, a, courses.path, work)
        # Its new cluster without and with it.
        j[:] = 0.0
        h[:] = 0.0
        if born:
            for q in range(m):
                new[q] = numbers.mean[q] + rng.standard_normal() / math.sqrt(numbers.precision[q])
            ratio -= log_prior_coefficients(new, numbers.mean, numbers.precision)
        else:
            for u in range(n_units):
                if units.cluster[u] == b:
                    add_unit(units, u, j, h)
            ratio -= evidence(j, h, courses, b, courses.path, work)
            mean_backward(courses.starts, courses.path, courses.offset[b], work.pulled, work.factor, work.eta, smooth)
            regress(units.counts[i], units.weight[i], log_r, r, smooth, numbers.mean, numbers.precision, factor, centre)
            draw_coefficients(rng, factor, centre, new)
            ratio -= log_density_coefficients(factor, centre, new)
        ratio += log_prior_coefficients(new, numbers.mean, numbers.precision)
        ratio += add_information(units.counts[i], units.weight[i], log_r, r, new[0], new[1:], j, h)
        ratio += evidence(j, h, courses, b, courses.path, work)
        others = n_clusters - 1 if alone else n_clusters
        ratio += numbers.log_new[others] if born else math.log(size[b] + numbers.gamma)
        ratio -= numbers.log_new[others] if alone else math.log(size[a] - 1 + numbers.gamma)
        if math.log(1.0 - rng.random()) < ratio:
            moved += 1
            units.cluster[i] = b
            units.baseline[i] = new[0]
            units.loading[i] = new[1:]
            size[a] -= 1
            size[b] += 1
            redraw(rng, units, courses, b, j, h, work)
            if size[a] > 0:
                redraw(rng, units, courses, a, j, h, work)
    return moved
