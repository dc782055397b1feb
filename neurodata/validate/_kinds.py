"""Kinds of twins: what a model may claim decides what has to be true in them."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodata.simulate.circuit import Circuit
from neurodata.simulate.inputs import States

# Of switching twins: the mean time in a state stays within these, s.
DWELL = (2.0, 10.0)
MOST_CLUSTERS = 4


def n_slow(circuit: Circuit) -> int:
    """Number of the slowest shared drives of a twin, which are its last ones."""
    slowest = max((latent.tau for latent in circuit.latents), default=0.0)
    return sum(latent.tau == slowest for latent in circuit.latents)


def switching(circuit: Circuit, n_states: int, rng: np.random.Generator) -> Circuit:
    """The slow shared drives of a twin replaced by hidden states that give each neuron the same variance of drive.

    Every state holds each shared drive at a level drawn from a normal distribution; the levels of a drive have mean 0
    and variance 1 over states. The time in a state is exponential, with the correlation time of the drives it replaces.

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> switching(zoo.null(n=5, rng=0), 3, np.random.default_rng(0)).states.drive.shape
    (3, 5)
    """
    k = n_slow(circuit)
    slow = circuit.latents[len(circuit.latents) - k :]
    level = rng.standard_normal((n_states, k))
    level -= level.mean(axis=0)
    level /= np.sqrt((level**2).mean(axis=0))
    loading = np.array([latent.loading for latent in slow]).reshape(k, circuit.n_neurons)
    tau = slow[0].tau if slow else DWELL[0]
    dwell = float(np.clip(tau * n_states / (n_states - 1), *DWELL))
    states = States(n_states, dwell=dwell, drive=level @ loading)
    return circuit.replace(latents=circuit.latents[: len(circuit.latents) - k], states=states, name="switching twin")


def clustered(circuit: Circuit, rng: np.random.Generator) -> Circuit:
    """The slow shared drives of a twin turned so that neurons fall into groups, each driven alike.

    Neurons are grouped by the direction of their loadings (k-means); each takes the mean direction of its group and
    keeps its own strength.

    Examples
    --------
    >>> from neurodata.simulate import Latent, zoo
    >>> circuit = zoo.null(n=20, rng=0).replace(latents=[Latent(1.0, np.arange(20.0)), Latent(1.0, np.ones(20))])
    >>> len(set(clustered(circuit, np.random.default_rng(0)).network().cluster.tolist()))
    4
    """
    from sklearn.cluster import KMeans

    k = n_slow(circuit)
    slow = circuit.latents[len(circuit.latents) - k :]
    loading = np.array([latent.loading for latent in slow]).reshape(k, circuit.n_neurons).T
    strength = np.sqrt((loading**2).sum(axis=1, keepdims=True))
    n_groups = max(2, min(MOST_CLUSTERS, circuit.n_neurons // 5))
    direction = loading / np.maximum(strength, 1e-12)
    seed = int(rng.integers(2**31))
    fitted = KMeans(n_groups, n_init=4, random_state=seed).fit(direction)
    group = fitted.labels_.astype(np.int64)
    centre = fitted.cluster_centers_ / np.maximum(np.linalg.norm(fitted.cluster_centers_, axis=1, keepdims=True), 1e-12)
    alike = strength * centre[group]
    first = len(circuit.latents) - k
    latents = [
        *circuit.latents[:first],
        *(dataclasses.replace(latent, loading=column) for latent, column in zip(slow, alike.T, strict=True)),
    ]
    populations, begin = [], 0
    for population in circuit.populations:
        populations.append(dataclasses.replace(population, cluster=group[begin : begin + population.n]))
        begin += population.n
    return circuit.replace(populations=populations, latents=latents, name="clustered twin")
