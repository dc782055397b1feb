"""Which cluster each unit belongs to: exact Gibbs steps of the bi-clustering sampler, in Numba.

Given the Polya-Gamma weights, baseline and loadings are integrated out for every cluster there is. A cluster of the
unit's own has its trajectory integrated out instead, by the filter, for dynamics, baseline and loadings drawn from the
prior (algorithm 8 of Neal 2000, doi:10.1080/10618600.2000.10474879, on the model without that trajectory).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels import matrix_normal_nb
from neurodata.kernels.bicluster_nb import add_information, draw_coefficients, mirror, regress
from neurodata.kernels.linear_dynamics_nb import filter_forward, precisions, sample_backward
from neurodata.kernels.poisson_courses_nb import poisson_excess

draw_dynamics = matrix_normal_nb.draw


@numba.njit(cache=True)
def choose(rng, log_weight, n):
    """Index below `n` with probability proportional to ``exp(log_weight)``."""
    top = -np.inf
    for i in range(n):
        top = max(top, log_weight[i])
    total = 0.0
    for i in range(n):
        total += math.exp(log_weight[i] - top)
    left = rng.random() * total
    for i in range(n):
        left -= math.exp(log_weight[i] - top)
        if left <= 0.0:
            return i
    return n - 1


@numba.njit(cache=True)
def reassign(
    rng,
    counts,
    weight,
    dispersion,
    baseline,
    loading,
    cluster,
    x,
    transition,
    offset,
    noise,
    starts,
    state,
    gamma,
    log_new,
    births,
    n_new,
    prior_mean,
    prior_precision,
    dynamics_centre,
    dynamics_precision,
    dynamics_scale,
    dynamics_dof,
    poisson=False,
):
    """One step of each unit, in place; gives how many changed their cluster.

    Parameters
    ----------
    counts : array (unit, bin)
    weight : array (unit, bin)
    dispersion, baseline : array (unit,)
    loading : array (unit, latent)
    cluster : array (unit,)
        Slot of each unit's cluster.
    x : array (slot, bin, m)
    transition, offset, noise : array (slot, state, m, m), (slot, state, m), (slot, state, m, m)
    starts, state : array (sequence + 1,), (bin,)
    gamma : float
        Weight of a cluster is ``size + gamma``.
    log_new : array (slot,)
        Log weight of a new cluster beside 0, 1, ... others.
    births : array (unit,), bool
        Units that may go into a cluster of their own, or leave it.
    n_new : int
        Trials of a cluster of its own.
    prior_mean, prior_precision : array (m,)
        Of baseline and loadings.
    dynamics_...
        Prior of the dynamics, see `matrix_normal_nb.draw`.
    poisson : bool
        Counts are Poisson: the step for negative binomial counts is a proposal, taken or not for each unit.
    """
    n_units, n_bins = counts.shape
    n_slots, _, m = x.shape
    n_states = transition.shape[1]
    size = np.zeros(n_slots, dtype=np.int64)
    for i in range(n_units):
        size[cluster[i]] += 1
    log_weight = np.empty(n_slots + n_new)
    option = np.empty(n_slots, dtype=np.int64)
    factor = np.empty((n_slots, m, m))
    centre = np.empty((n_slots, m))
    values = np.empty(m)
    new_values = np.empty((n_new, m))
    new_transition = np.empty((n_new, n_states, m, m))
    new_offset = np.empty((n_new, n_states, m))
    new_noise = np.empty((n_new, n_states, m, m))
    precision = np.empty((n_states, m, m))
    pulled = np.empty((n_states, m, m))
    curved = np.empty((n_states, m, m))
    log_det = np.empty(n_states)
    j = np.empty((n_bins, m, m))
    h = np.empty((n_bins, m))
    filtered = np.empty((n_bins, m, m))
    eta = np.empty((n_bins, m))
    own_x = np.empty((n_bins, m))
    own_transition = np.empty((n_states, m, m))
    own_offset = np.empty((n_states, m))
    own_noise = np.empty((n_states, m, m))
    excess = 0.0
    moved = 0
    for i in range(n_units):
        old = cluster[i]
        r = dispersion[i]
        log_r = math.log(r)
        alone = size[old] == 1
        if poisson:
            excess = poisson_excess(counts[i], r, baseline[i], loading[i], x[old])
            if alone:
                own_x[:] = x[old]
                own_transition[:] = transition[old]
                own_offset[:] = offset[old]
                own_noise[:] = noise[old]
        if alone and not births[i]:
            regress(counts[i], weight[i], log_r, r, x[old], prior_mean, prior_precision, factor[0], centre[0])
            draw_coefficients(rng, factor[0], centre[0], values)
            if poisson:
                ratio = poisson_excess(counts[i], r, values[0], values[1:], x[old]) - excess
                if math.log(1.0 - rng.random()) >= ratio:
                    continue
            baseline[i] = values[0]
            loading[i] = values[1:]
            continue
        size[old] -= 1
        n_options = 0
        for k in range(n_slots):
            if size[k] > 0:
                marginal = regress(
                    counts[i],
                    weight[i],
                    log_r,
                    r,
                    x[k],
                    prior_mean,
                    prior_precision,
                    factor[n_options],
                    centre[n_options],
                )
                log_weight[n_options] = math.log(size[k] + gamma) + marginal
                option[n_options] = k
                n_options += 1
        n_trials = n_new if births[i] and n_options < n_slots else 0
        for trial in range(n_trials):
            if trial == 0 and alone:
                new_transition[0] = transition[old]
                new_offset[0] = offset[old]
                new_noise[0] = noise[old]
                new_values[0, 0] = baseline[i]
                new_values[0, 1:] = loading[i]
            else:
                for s in range(n_states):
                    draw_dynamics(
                        rng,
                        dynamics_centre,
                        dynamics_precision,
                        dynamics_scale,
                        dynamics_dof,
                        new_transition[trial, s],
                        new_offset[trial, s],
                        new_noise[trial, s],
                    )
                for a in range(m):
                    new_values[trial, a] = prior_mean[a] + rng.standard_normal() / math.sqrt(prior_precision[a])
            j[:] = 0.0
            h[:] = 0.0
            marginal = add_information(
                counts[i], weight[i], log_r, r, new_values[trial, 0], new_values[trial, 1:], j, h
            )
            mirror(j)
            precisions(new_noise[trial], new_transition[trial], precision, pulled, curved, log_det)
            marginal += filter_forward(
                j, h, starts, state, new_offset[trial], precision, pulled, curved, log_det, filtered, eta
            )
            log_weight[n_options + trial] = log_new[n_options] - math.log(n_new) + marginal
        chosen = choose(rng, log_weight, n_options + n_trials)
        if chosen < n_options:
            draw_coefficients(rng, factor[chosen], centre[chosen], values)
            slot = option[chosen]
        else:
            trial = chosen - n_options
            slot = old
            if not alone:
                slot = 0
                while size[slot] > 0:
                    slot += 1
            transition[slot] = new_transition[trial]
            offset[slot] = new_offset[trial]
            noise[slot] = new_noise[trial]
            values[:] = new_values[trial]
            if trial < n_trials - 1:
                j[:] = 0.0
                h[:] = 0.0
                add_information(counts[i], weight[i], log_r, r, values[0], values[1:], j, h)
                mirror(j)
                precisions(new_noise[trial], new_transition[trial], precision, pulled, curved, log_det)
                filter_forward(
                    j, h, starts, state, new_offset[trial], precision, pulled, curved, log_det, filtered, eta
                )
            sample_backward(rng, starts, state, offset[slot], pulled, filtered, eta, x[slot])
        if poisson:
            ratio = poisson_excess(counts[i], r, values[0], values[1:], x[slot]) - excess
            if math.log(1.0 - rng.random()) >= ratio:
                size[old] += 1
                if alone:
                    x[old] = own_x
                    transition[old] = own_transition
                    offset[old] = own_offset
                    noise[old] = own_noise
                continue
        moved += slot != old
        size[slot] += 1
        cluster[i] = slot
        baseline[i] = values[0]
        loading[i] = values[1:]
    return moved
