"""Split-merge moves of the bi-clustering sampler, trajectories included, in Numba.

Two units at random. In one cluster, the second takes part of the units to a new cluster; in two, all of the second's
cluster join the first's. Units are given to the two sides one after the other (sequential allocation, Dahl & Newcomb
2022, doi:10.1080/00949655.2021.1998502) by how well their counts regress on the trajectories of those already there,
which are smoothed with the dynamics of the first cluster, in its coordinates. So the way back from a merge, whose
allocation is given, has a probability that does not depend on the coordinates of the cluster that vanished.

Dynamics and coefficients of a new cluster come, at even odds, from the prior or from a regression on what the
allocation gave: the second makes splits likely, the first makes merges so, as the prior then cancels. Trajectories come
from their Laplace approximation. Polya-Gamma weights play no part: given them, the counts are bound to the trajectories
for which the weights were drawn.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels import matrix_normal_nb
from neurodata.kernels.collapsed_nb import log_prior_coefficients, make_work
from neurodata.kernels.laplace_nb import draw_values, fit_unit, log_density_values, log_weight, smooth_course
from neurodata.kernels.linear_dynamics_nb import sample_backward, step_sums

draw_dynamics = matrix_normal_nb.draw
log_density_dynamics = matrix_normal_nb.log_density
posterior_dynamics = matrix_normal_nb.posterior

# Log odds of one allocation are kept within these bounds, so that a single unit does not forbid the way back.
MOST_SURE = 4.0
# Steps of the old cluster that inform the dynamics of a new one.
TRUST = 0.3
# Rounds of least squares: of a passing guess, and of what is drawn from.
FEW_ROUNDS = 2
ROUNDS = 5


@numba.njit(cache=True)
def fit(units, i, x, numbers, n_rounds, factor, mean):
    """`laplace_nb.fit_unit` of unit `i`."""
    return fit_unit(units.counts[i], units.dispersion[i], x, numbers.mean, numbers.precision, n_rounds, factor, mean)


@numba.njit(cache=True)
def allocate(rng, units, courses, numbers, slot, order, side, forced, start, j, h, smooth, work):
    """Give units to two sides; gives the log probability of what was chosen, or of what was `forced`.

    Parameters
    ----------
    order : array (unit of the two clusters,)
        Units in the order of their turn; the first two are the anchors of side 0 and 1.
    side : array (unit of the two clusters,)
        In the order of `order`; read if `forced`, else overwritten.
    start : array (2, m)
        Baseline and loadings of the anchors in the coordinates of `slot`.
    smooth : array (2, bin, m), overwritten
        Trajectories of both sides; at the end that of side 1 has all of its units.
    """
    n = order.size
    m = numbers.mean.size
    members = np.empty((2, n), dtype=np.int64)
    values = np.empty((2, n, m))
    size = np.ones(2, dtype=np.int64)
    due = np.full(2, 2, dtype=np.int64)
    factor = np.empty((m, m))
    trial = np.empty((2, m))
    score = np.empty(2)
    for s in range(2):
        members[s, 0] = order[s]
        values[s, 0] = start[s]
        smooth_course(
            units.counts, units.dispersion, members[s, :1], values[s, :1], courses, slot, FEW_ROUNDS, j, h, work,
            smooth[s],
        )  # fmt: skip
    total = 0.0
    for q in range(2, n):
        i = order[q]
        for s in range(2):
            score[s] = math.log(size[s]) + fit(units, i, smooth[s], numbers, FEW_ROUNDS, factor, trial[s])
        odds = min(max(score[1] - score[0], -MOST_SURE), MOST_SURE)
        if not forced:
            side[q] = 1 if rng.random() < 1.0 / (1.0 + math.exp(-odds)) else 0
        s = side[q]
        total -= math.log1p(math.exp(-odds if s == 1 else odds))
        members[s, size[s]] = i
        values[s, size[s]] = trial[s]
        size[s] += 1
        if size[s] == due[s]:
            smooth_course(
                units.counts, units.dispersion, members[s, : size[s]], values[s, : size[s]], courses, slot,
                FEW_ROUNDS, j, h, work, smooth[s],
            )  # fmt: skip
            due[s] *= 2
    for _ in range(2):
        # Coefficients that were fitted early are fitted again.
        smooth_course(
            units.counts, units.dispersion, members[1, : size[1]], values[1, : size[1]], courses, slot, FEW_ROUNDS, j,
            h, work, smooth[1],
        )  # fmt: skip
        for q in range(size[1]):
            fit(units, members[1, q], smooth[1], numbers, FEW_ROUNDS, factor, values[1, q])
    return total


@numba.njit(cache=True)
def log_proposal(rng, units, courses, numbers, x, smooth, members, slot, drawn, values):
    """Log density of proposing `values` and the dynamics of `slot` over that of their prior; draws them if not `drawn`.

    Parameters
    ----------
    x, smooth : array (bin, m)
        Trajectory of the undivided cluster; that of the new one's units after the allocation.
    members : array (unit of the new cluster,)
    slot : int
        Where the dynamics of the new cluster are, or go.
    values : array (unit of the new cluster, m)
    """
    n_states, m = courses.offset.shape[1:]
    cross = np.empty((n_states, m, m + 1))
    inputs = np.empty((n_states, m + 1, m + 1))
    outputs = np.empty((n_states, m, m))
    count = np.empty(n_states)
    step_sums(x, courses.starts, courses.path, cross, inputs, outputs, count)
    factor = np.empty((m, m))
    mean = np.empty(m)
    centre = np.empty((m, m + 1))
    precision = np.empty((m + 1, m + 1))
    scale = np.empty((m, m))
    informed = rng.random() < 0.5
    ratio = 0.0
    for s in range(n_states):
        posterior_dynamics(
            TRUST * cross[s], TRUST * inputs[s], TRUST * outputs[s], numbers.centre, numbers.columns, numbers.scale,
            centre, precision, scale,
        )  # fmt: skip
        dof = numbers.dof + TRUST * count[s]
        a, b, q = courses.transition[slot, s], courses.offset[slot, s], courses.noise[slot, s]
        if not drawn:
            if informed:
                draw_dynamics(rng, centre, precision, scale, dof, a, b, q)
            else:
                draw_dynamics(rng, numbers.centre, numbers.columns, numbers.scale, numbers.dof, a, b, q)
        ratio += log_density_dynamics(a, b, q, centre, precision, scale, dof)
        ratio -= log_density_dynamics(a, b, q, numbers.centre, numbers.columns, numbers.scale, numbers.dof)
    for k in range(members.size):
        fit(units, members[k], smooth, numbers, ROUNDS, factor, mean)
        if not drawn:
            if informed:
                draw_values(rng, factor, mean, values[k])
            else:
                for a in range(m):
                    values[k, a] = numbers.mean[a] + rng.standard_normal() / math.sqrt(numbers.precision[a])
        ratio += log_density_values(factor, mean, values[k])
        ratio -= log_prior_coefficients(values[k], numbers.mean, numbers.precision)
    # log((1 + exp(ratio)) / 2)
    return max(ratio, 0.0) + math.log1p(math.exp(-abs(ratio))) - math.log(2.0)


@numba.njit(cache=True)
def side_weight(rng, units, members, values, courses, slot, drawn, x, j, h, mean, work):
    """Log of likelihood times prior of a cluster's trajectory over its density as a proposal; draws it if not `drawn`.

    `mean` (bin, m) is overwritten with the smoothed trajectory.
    """
    normaliser = smooth_course(units.counts, units.dispersion, members, values, courses, slot, ROUNDS, j, h, work, mean)
    if not drawn:
        sample_backward(rng, courses.starts, courses.path, courses.offset[slot], work.pulled, work.factor, work.eta, x)
    return log_weight(units.counts, units.dispersion, members, values, j, h, normaliser, x)


@numba.njit(cache=True)
def split_or_merge(rng, units, courses, numbers, log_partition, n_tries):
    """Metropolis-Hastings steps; gives how many splits and merges were accepted.

    Parameters
    ----------
    units : collapsed_nb.Units
        Its weights are not used.
    courses : collapsed_nb.Courses
    numbers : collapsed_nb.Numbers
    log_partition : array (slot,)
        Log of V_n(t), t = 1, 2, ...
    """
    n_units, n_bins = units.counts.shape
    n_slots, _, m = courses.x.shape
    n_states = courses.noise.shape[1]
    work = make_work(n_bins, n_states, m)
    j = np.empty((n_bins, m, m))
    h = np.empty((n_bins, m))
    smooth = np.empty((2, n_bins, m))
    mean_a = np.empty((n_bins, m))
    unused = np.empty((n_bins, m))
    factor = np.empty((m, m))
    centre = np.empty(m)
    x_joined = np.empty((n_bins, m))
    x_a = np.empty((n_bins, m))
    x_b = np.empty((n_bins, m))
    accepted = np.zeros(2, dtype=np.int64)
    if n_units < 2:
        return accepted
    for _ in range(n_tries):
        first = int(rng.random() * n_units)
        second = int(rng.random() * (n_units - 1))
        second += second >= first
        a, b = units.cluster[first], units.cluster[second]
        split = a == b
        size = np.zeros(n_slots, dtype=np.int64)
        for i in range(n_units):
            size[units.cluster[i]] += 1
        n_clusters = np.count_nonzero(size)
        if split:
            if n_clusters == n_slots:
                continue
            b = 0
            while size[b] > 0:
                b += 1
        n = size[a] if split else size[a] + size[b]
        order, side = in_order(rng, units.cluster, first, second, a, b)
        joined = np.empty((n, m))
        for q in range(n):
            joined[q, 0] = units.baseline[order[q]]
            joined[q, 1:] = units.loading[order[q]]
        parted = joined.copy()
        ratio = 0.0
        if split:
            x_joined[:] = courses.x[a]
            ratio -= side_weight(rng, units, order, joined, courses, a, True, x_joined, j, h, unused, work)
        else:
            x_a[:] = courses.x[a]
            x_b[:] = courses.x[b]
            ratio -= side_weight(
                rng, units, order[side == 0], parted[side == 0], courses, a, True, x_a, j, h, mean_a, work
            )
            ratio -= side_weight(
                rng, units, order[side == 1], parted[side == 1], courses, b, True, x_b, j, h, unused, work
            )
            # The units of the second cluster in the coordinates of the first.
            for q in range(n):
                if side[q] == 1:
                    fit(units, order[q], mean_a, numbers, ROUNDS, factor, centre)
                    draw_values(rng, factor, centre, joined[q])
                    ratio -= log_density_values(factor, centre, joined[q])
                    ratio += log_prior_coefficients(joined[q], numbers.mean, numbers.precision)
            ratio += side_weight(rng, units, order, joined, courses, a, False, x_joined, j, h, unused, work)
        proposal = allocate(rng, units, courses, numbers, a, order, side, not split, joined[:2], j, h, smooth, work)
        moving = order[side == 1]
        values = parted[side == 1]
        proposal += log_proposal(rng, units, courses, numbers, x_joined, smooth[1], moving, b, not split, values)
        n_a, n_b = n - moving.size, moving.size
        partition = math.lgamma(n_a + numbers.gamma) + math.lgamma(n_b + numbers.gamma)
        partition -= math.lgamma(n + numbers.gamma) + math.lgamma(numbers.gamma)
        if split:
            ratio += partition + log_partition[n_clusters] - log_partition[n_clusters - 1] - proposal
            ratio += side_weight(
                rng, units, order[side == 0], joined[side == 0], courses, a, False, x_a, j, h, mean_a, work
            )
            ratio += side_weight(rng, units, moving, values, courses, b, False, x_b, j, h, unused, work)
            for q in range(n):
                if side[q] == 1:
                    fit(units, order[q], mean_a, numbers, ROUNDS, factor, centre)
                    ratio += log_density_values(factor, centre, joined[q])
                    ratio -= log_prior_coefficients(joined[q], numbers.mean, numbers.precision)
        else:
            ratio += proposal - partition + log_partition[n_clusters - 2] - log_partition[n_clusters - 1]
        if math.log(1.0 - rng.random()) < ratio:
            if split:
                accepted[0] += 1
                courses.x[a] = x_a
                courses.x[b] = x_b
                for k in range(n_b):
                    units.cluster[moving[k]] = b
                    units.baseline[moving[k]] = values[k, 0]
                    units.loading[moving[k]] = values[k, 1:]
            else:
                accepted[1] += 1
                courses.x[a] = x_joined
                for q in range(n):
                    units.cluster[order[q]] = a
                    units.baseline[order[q]] = joined[q, 0]
                    units.loading[order[q]] = joined[q, 1:]
    return accepted


@numba.njit(cache=True)
def in_order(rng, cluster, first, second, a, b):
    """Units of clusters `a` and `b`, the anchors first and the others in an order at random, and their sides."""
    n = np.sum((cluster == a) | (cluster == b))
    order = np.empty(n, dtype=np.int64)
    order[0], order[1] = first, second
    q = 2
    for i in range(cluster.size):
        if i != first and i != second and (cluster[i] == a or cluster[i] == b):
            order[q] = i
            q += 1
    for q in range(n - 1, 2, -1):
        other = 2 + int(rng.random() * (q - 1))
        order[q], order[other] = order[other], order[q]
    side = np.zeros(n, dtype=np.int64)
    for q in range(n):
        side[q] = cluster[order[q]] == b
    side[1] = 1
    return order, side
