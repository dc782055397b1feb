"""A plain start of a chain: random clusters, flat trajectories, one state."""

from __future__ import annotations

import numpy as np

from neurodata.models.bicluster.prior import Prior, draw_partition
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Info, Settings, sweep


def over_dispersed(rng: np.random.Generator, data: Counts, prior: Prior, chain: int) -> State:
    """Start of chain number `chain`."""
    n_units, n_bins = data.counts.shape
    n_slots, n_states, m = prior.max_clusters, prior.max_states, prior.size
    seen = data.counts >= 0
    mean = (np.where(seen, data.counts, 0).sum(axis=1) + 0.5) / (seen.sum(axis=1) + 1.0)
    stay = 0.9 if n_states > 1 else 1.0
    switch = np.full((n_states, n_states), (1.0 - stay) / max(n_states - 1, 1))
    np.fill_diagonal(switch, stay)
    return State(
        dispersion=np.full(n_units, 10.0),
        baseline=np.log(mean),
        loading=prior.loading_sd * rng.standard_normal((n_units, prior.n_latents)),
        cluster=draw_partition(rng, n_units, prior),
        x=np.zeros((n_slots, n_bins, m)),
        transition=np.broadcast_to(0.9 * np.eye(m), (n_slots, n_states, m, m)).copy(),
        offset=np.zeros((n_slots, n_states, m)),
        noise=np.broadcast_to(0.01 * np.eye(m), (n_slots, n_states, m, m)).copy(),
        path=np.zeros(n_bins, dtype=np.int64),
        beta=np.full(n_states, 1.0 / n_states),
        switch=switch,
        mass=prior.sticky_shape / prior.sticky_rate,
        stick=0.9,
        gamma=prior.states_shape / prior.states_rate,
    )


def step(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings, number: int, n_warmup: int
) -> tuple[State, Info]:
    """Sweep `number` of `n_warmup` of the warm-up."""
    return sweep(rng, state, data, prior, settings)
