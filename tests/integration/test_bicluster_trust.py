"""BiClustering on spiking circuits whose groups are known, the way anybody would ask how far to trust it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import neurodata as nd
from neurodata.simulate import Circuit, Latent, zoo

N, SECONDS = 18, 100.0
# Chains of a test are short, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:chains disagree")


def grouped(seed: int, strength: float) -> Circuit:
    """Unconnected neurons in three groups, each with a slow drive of its own of `strength` mV."""
    circuit = zoo.null(n=N, rng=seed)
    group = np.arange(N) % 3
    latents = tuple(Latent(2.0, strength * np.equal(group, k)) for k in range(3))
    populations, begin = [], 0
    for population in circuit.populations:
        populations.append(dataclasses.replace(population, cluster=group[begin : begin + population.n]))
        begin += population.n
    return circuit.replace(latents=latents, populations=tuple(populations))


def asked(strength: float):
    # Without factors: two groups with a course each also are one group with a factor.
    model = nd.models.BiClustering(
        n_latents=0, n_chains=1, n_warmup=100, n_draws=40, max_clusters=6, max_states=2, rng=0
    )
    circuits = [grouped(seed, strength) for seed in range(2)]
    rec = nd.simulate.run(circuits[0], SECONDS, rng=0)
    return nd.validate.trust(model, rec, circuits=circuits, rng=0, quiet=True)


def test_groups_with_a_drive_of_their_own_are_found():
    found = asked(1.5)
    assert found["error"].values.tolist() == ["", ""]
    assert "cluster" in found.attrs["claims"]
    np.testing.assert_array_equal(found["score"].sel(metric="cluster_ari"), 1.0)
    np.testing.assert_array_equal(found["score"].sel(metric="cluster_vi"), 0.0)
    assert "Groups of units that share a slow drive are found" in found.attrs["verdict"]


def test_groups_without_a_drive_are_not_made_up():
    # Adjusted Rand index 0 is guessing; labels of nothing that agree to a quarter would be a leak of the truth.
    assert (abs(asked(0.0)["score"].sel(metric="cluster_ari")) < 0.25).all()
