"""Counts of clusters of units whose latent dynamics switch, as in the simulation of Wei 2024 (arXiv:2309.02213)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Clustered(NamedTuple):
    """Truth and data.

    Counts (unit, bin), clusters (unit,), state that generated each bin (bin,), log means (unit, bin), trajectories
    (cluster, bin, m), their matrices (state, cluster, m, m), noise variance, baselines (unit,), loadings (unit, m - 1).
    """

    counts: np.ndarray
    cluster: np.ndarray
    state: np.ndarray
    log_mean: np.ndarray
    x: np.ndarray
    matrices: np.ndarray
    noise: float
    baseline: np.ndarray
    loading: np.ndarray


def random_rotation(rng: np.random.Generator, n: int, angle: float) -> np.ndarray:
    """Rotation of a random plane in n dimensions by `angle`."""
    plane = np.eye(n)
    plane[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return basis @ plane @ basis.T


def draw(
    seed: int,
    sizes: tuple[int, ...] = (10, 10, 10),
    n_bins: int = 500,
    n_states: int = 2,
    dispersion: float | None = 10.0,
    loading_sd: float = 0.5,
    dwell: float = 50.0,
) -> Clustered:
    """Clusters of the given sizes; states last about `dwell` bins (Poisson); `dispersion` None means Poisson counts.

    In the first state trajectories fall to noise, in the others they turn slowly, each in a plane of its own.
    """
    rng = np.random.default_rng(seed)
    n_latents, n_clusters = 2, len(sizes)
    m = 1 + n_latents
    matrices = np.empty((n_states, n_clusters, m, m))
    for s in range(n_states):
        for k in range(n_clusters):
            # Growth is bounded by the return to noise; where states follow one another for longer it must be less.
            growth = 1.01 if n_states == 2 else 0.99
            matrices[s, k] = 0.01 * np.eye(m) if s == 0 else growth * random_rotation(rng, m, np.pi / 20 * s)
    state: list[int] = []
    now = int(rng.integers(n_states))
    while len(state) < n_bins:
        state += [now] * max(1, int(rng.poisson(dwell)))
        now = int(rng.choice([s for s in range(n_states) if s != now])) if n_states > 1 else 0
    path = np.array(state[:n_bins])
    x = np.zeros((n_clusters, n_bins, m))
    x[:, 0] = 0.1 * rng.standard_normal((n_clusters, m))
    for t in range(1, n_bins):
        for k in range(n_clusters):
            x[k, t] = matrices[path[t], k] @ x[k, t - 1] + 0.1 * rng.standard_normal(m)
    cluster = np.repeat(np.arange(n_clusters), sizes)
    baseline, loading = 0.5 * rng.standard_normal(len(cluster)), loading_sd * rng.standard_normal((len(cluster), 2))
    log_mean = baseline[:, None] + x[cluster, :, 0] + np.einsum("ij,itj->it", loading, x[cluster, :, 1:])
    mean = np.exp(log_mean)
    rate = mean if dispersion is None else mean * rng.gamma(dispersion, size=mean.shape) / dispersion
    return Clustered(rng.poisson(rate), cluster, path, log_mean, x, matrices, 0.01, baseline, loading)
