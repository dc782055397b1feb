"""Recordings for the observation stages: one from the simulator, and ones whose truth is written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd


def trains_of(node: xr.Dataset) -> list[np.ndarray]:
    """Spike times of each unit, in order."""
    return np.split(node["spike_time"].values, np.cumsum(node["spike_count"].values)[:-1])


@pytest.fixture
def trains():
    """`trains(rec)`: spike times of each unit of a recording, in order."""
    return lambda rec: trains_of(rec["spikes"].to_dataset())


@pytest.fixture
def by_hand():
    """`by_hand(trains, stop, ...)`: a recording with a truth that says no more than it must."""

    def make(trains, stop: float, *, position=None, cluster=None, support=None) -> xr.DataTree:
        n = len(trains)
        neuron = np.arange(n)
        truth = xr.Dataset(
            {
                "sign": ("neuron", np.ones(n, dtype=np.int8)),
                "cell_type": ("neuron", np.full(n, "excitatory")),
                "population": ("neuron", np.full(n, "E")),
                "cluster": ("neuron", np.full(n, -1) if cluster is None else np.asarray(cluster)),
                "observed": ("neuron", np.ones(n, dtype=np.int8)),
                "unit_neuron": (("unit", "source"), neuron[:, None]),
                "weight": (("post", "pre"), np.zeros((n, n))),
                "exists": (("post", "pre"), np.zeros((n, n))),
                "delay": (("post", "pre"), np.full((n, n), np.nan)),
            },
            coords={"neuron": neuron, "unit": neuron, "post": neuron, "pre": neuron},
            attrs={"duration": stop},
        )
        if position is not None:
            truth["position"] = ("neuron", np.asarray(position, dtype=np.float64))
        epochs = [[0.0, stop]] if support is None else support
        spikes = nd.make_spikes(list(trains), unit=neuron, time_unit="s", support=epochs)
        return nd.make_recording(spikes=spikes, truth=truth)

    return make


@pytest.fixture
def poisson(by_hand):
    """`poisson(n, rate, stop, seed)`: independent Poisson trains with places in a row."""

    def make(n: int, rate: float, stop: float, seed: int = 0) -> xr.DataTree:
        rng = np.random.default_rng(seed)
        times = [np.sort(rng.uniform(0, stop, rng.poisson(rate * stop))) for _ in range(n)]
        return by_hand(times, stop, position=np.arange(n) / n)

    return make


@pytest.fixture(scope="session")
def simulated() -> xr.DataTree:
    """Clusters of spiking neurons for 10 s."""
    return nd.simulate.run(nd.simulate.zoo.clustered(n=40, rng=0), 10.0, rng=0)
