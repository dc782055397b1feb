"""Sweeps of the sampler where the trajectories of all clusters move together (``dynamics="full"``, the paper's way).

All ``max_clusters`` slots have trajectories, with units or without: those of a cluster without units still move those
of the others. They are stacked, slot by slot, into one vector of ``max_clusters * m`` courses, which then is the
trajectory of a model with a single cluster: `stacked` makes its state, and steps of dynamics and path are those of
`neurodata.models.bicluster.sweep`. Arrays `transition`, `offset` and `noise` of a state are (1, state, ...) here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodata.kernels import bicluster_nb, collapsed_nb, collapsed_path_nb, coordinates_nb, slots_nb
from neurodata.models.bicluster import sweep as blocks
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Info, Settings


def sweep(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> tuple[State, Info]:
    """The next state of the chain, whichever dynamics the prior has."""
    if prior.dynamics == "block":
        return blocks.sweep(rng, state, data, prior, settings)
    state, info = join(state, prior), Info()
    blocks.draw_dispersions(rng, state, data, prior, blocks.log_means(state))
    weight = blocks.draw_weights(rng, state, data, blocks.log_means(state), settings)
    info.moved = reassign(rng, state, data, prior, weight)
    info.turned, info.switched = move_path(rng, state, data, prior, weight, settings)
    shift(rng, state, data, prior)
    together = stacked(state)
    info.relabelled = blocks.relabel(rng, together, data, prior.stacked(), settings)
    change_coordinates(rng, state, data, prior)
    together = stacked(state)
    for _ in range(settings.path_rounds):
        blocks.draw_dynamics(rng, together, data, prior.stacked())
        blocks.draw_switches(rng, together, data, prior)
        blocks.draw_path(rng, together, data)
    return replace(together, cluster=state.cluster, x=state.x), info


def join(state: State, prior: Prior) -> State:
    """A copy with dynamics of all slots in one: those of clusters with units as they are, none across clusters."""
    state = state.copy()
    n_slots, n_bins, m = state.x.shape
    n_states, size = len(state.beta), n_slots * m
    if state.transition.shape[-1] == size:
        return state
    transition = np.tile(prior.transition_mean * np.eye(size), (1, n_states, 1, 1))
    offset = np.zeros((1, n_states, size))
    noise = np.tile(prior.noise_scale * np.eye(size), (1, n_states, 1, 1))
    x = np.zeros((n_slots, n_bins, m))
    for k in state.clusters():
        own = slice(k * m, (k + 1) * m)
        transition[0, :, own, own], noise[0, :, own, own] = state.transition[k], state.noise[k]
        offset[0, :, own] = state.offset[k]
        x[k] = state.x[k]
    return replace(state, x=x, transition=transition, offset=offset, noise=noise)


def stacked(state: State) -> State:
    """The same as a single cluster; its trajectory is a copy, all else is shared."""
    n_slots, n_bins, m = state.x.shape
    x = np.ascontiguousarray(state.x.transpose(1, 0, 2)).reshape(1, n_bins, n_slots * m)
    return replace(state, cluster=np.zeros(1, dtype=np.int64), x=x)


def _unstack(together: State, state: State) -> None:
    n_slots, n_bins, m = state.x.shape
    state.x[:] = together.x[0].reshape(n_bins, n_slots, m).transpose(1, 0, 2)


def reassign(rng: np.random.Generator, state: State, data: Counts, prior: Prior, weight: np.ndarray) -> int:
    """Cluster, baseline and loadings of each unit; gives how many changed their cluster."""
    return int(
        slots_nb.reassign(
            rng,
            data.counts,
            weight,
            state.dispersion,
            state.baseline,
            state.loading,
            state.cluster,
            state.x,
            prior.cluster_weight,
            prior.log_new(len(state.cluster)),
            prior.coefficient_mean(),
            prior.coefficient_precision(),
        )
    )


def move_path(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, weight: np.ndarray, settings: Settings
) -> tuple[int, int]:
    """Path with trajectories integrated out, then trajectories; what is given back is as for blocks."""
    together = stacked(state)
    clusters = collapsed_path_nb.Clusters(
        *_information(state, data, weight),
        together.transition,
        together.offset,
        together.noise,
        *(part[None] for part in blocks.precisions(together, 0)),
    )
    sizes = blocks.window_sizes(rng, settings)
    moved = collapsed_path_nb.move_path(rng, clusters, state.path, data.starts, state.switch, sizes)
    courses = collapsed_nb.Courses(
        together.x, together.transition, together.offset, together.noise, data.starts, together.path
    )
    collapsed_path_nb.settle(rng, clusters, courses, np.zeros(1, dtype=np.int64))
    _unstack(together, state)
    return moved


def _information(state: State, data: Counts, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the counts say of all courses: precision (1, bin, n, n), block by block, and linear term (1, bin, n)."""
    n_slots, n_bins, m = state.x.shape
    precision, linear = np.zeros((1, n_bins, n_slots * m, n_slots * m)), np.zeros((1, n_bins, n_slots * m))
    for k in state.clusters():
        j, h = np.zeros((n_bins, m, m)), np.zeros((n_bins, m))
        for i in np.flatnonzero(state.cluster == k):
            r = float(state.dispersion[i])
            bicluster_nb.add_information(
                data.counts[i], weight[i], np.log(r), r, state.baseline[i], state.loading[i], j, h
            )
        bicluster_nb.mirror(j)
        own = slice(k * m, (k + 1) * m)
        precision[0, :, own, own], linear[0, :, own] = j, h
    return precision, linear


def shift(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """Move the levels of all clusters between trajectories, offsets and baselines, as `sweep.shift` does for one."""
    n_slots, _, m = state.x.shape
    direction = np.zeros((len(state.cluster), n_slots, m))
    unit = np.arange(len(state.cluster))
    direction[unit, state.cluster, 0] = 1.0
    direction[unit, state.cluster, 1:] = state.loading
    flat = direction.reshape(len(unit), n_slots * m)
    together = stacked(state)
    v = blocks.draw_shift(
        rng,
        data,
        prior,
        together.x[0],
        together.transition[0],
        together.offset[0],
        together.noise[0],
        flat,
        state.baseline,
    )
    state.x += v.reshape(n_slots, 1, m)
    state.baseline -= flat @ v


def change_coordinates(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """Coordinates of each cluster's latent space, dynamics integrated out: they are to be drawn next."""
    together = stacked(state)
    sums = blocks.step_sums(together, data, 0)
    for k in range(len(state.x)):
        members = np.flatnonzero(state.cluster == k)
        loading = state.loading[members]
        coordinates_nb.draw(
            rng,
            together.x[0],
            k * prior.size,
            loading,
            data.starts,
            *sums,
            prior.coefficient_precision(),
            *prior.stacked().matrix_normal(),
        )
        state.loading[members] = loading
    _unstack(together, state)
