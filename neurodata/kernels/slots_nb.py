"""Which cluster each unit belongs to, where all clusters that may be have trajectories, in Numba.

As `membership_nb`, for dynamics in which clusters depend on one another: there a new cluster cannot be thought of apart
from the others, so each slot has a trajectory, with units or without, and none has to be proposed.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.bicluster_nb import draw_coefficients, regress
from neurodata.kernels.membership_nb import choose


@numba.njit(cache=True)
def reassign(
    rng, counts, weight, dispersion, baseline, loading, cluster, x, gamma, log_new, prior_mean, prior_precision
):  # fmt: skip
    """Cluster, baseline and loadings of each unit in turn, in place; gives how many changed their cluster.

    Parameters
    ----------
    counts, weight : array (unit, bin)
    dispersion, baseline : array (unit,)
    loading : array (unit, latent)
    cluster : array (unit,)
        Slot of each unit's cluster.
    x : array (slot, bin, m)
    gamma : float
        Weight of a cluster with units is ``size + gamma``.
    log_new : array (slot,)
        Log weight of a new cluster beside 0, 1, ... others; it is any of the slots without units.
    prior_mean, prior_precision : array (m,)
        Of baseline and loadings.
    """
    n_units = counts.shape[0]
    n_slots, _, m = x.shape
    size = np.zeros(n_slots, dtype=np.int64)
    for i in range(n_units):
        size[cluster[i]] += 1
    log_weight = np.empty(n_slots)
    factor = np.empty((n_slots, m, m))
    centre = np.empty((n_slots, m))
    values = np.empty(m)
    moved = 0
    for i in range(n_units):
        old = cluster[i]
        size[old] -= 1
        n_others = 0
        for k in range(n_slots):
            n_others += size[k] > 0
        r = dispersion[i]
        for k in range(n_slots):
            log_weight[k] = regress(
                counts[i], weight[i], math.log(r), r, x[k], prior_mean, prior_precision, factor[k], centre[k]
            )
            if size[k] > 0:
                log_weight[k] += math.log(size[k] + gamma)
            else:
                log_weight[k] += log_new[n_others] - math.log(n_slots - n_others)
        slot = choose(rng, log_weight, n_slots)
        draw_coefficients(rng, factor[slot], centre[slot], values)
        moved += slot != old
        size[slot] += 1
        cluster[i] = slot
        baseline[i] = values[0]
        loading[i] = values[1:]
    return moved
