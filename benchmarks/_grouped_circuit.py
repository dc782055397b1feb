"""Three populations of leaky integrate-and-fire neurons, each with a slow drive of its own, under two drive regimes."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import xarray as xr

import neurodata as nd
from neurodata.simulate import Latent, zoo
from neurodata.simulate.inputs import States

N_UNITS, SECONDS, BIN_S = 45, 300.0, 0.25
# Change of the drive of each population in each regime, and size of the slow drives, mV.
REGIMES = np.array([[2.5, 0.0, -1.5], [0.0, 2.5, 1.5]])
SLOW_MV, SLOW_S = 1.0, 1.0


class Grouped(NamedTuple):
    """Counts (time, unit) with the population of each unit and the regime of each bin."""

    counts: xr.DataArray
    group: np.ndarray
    regime: np.ndarray


def draw(seed: int) -> Grouped:
    """One recording."""
    group = np.arange(N_UNITS) % 3
    circuit = zoo.null(n=N_UNITS, rng=seed)
    populations, begin = [], 0
    for population in circuit.populations:
        populations.append(dataclasses.replace(population, cluster=group[begin : begin + population.n]))
        begin += population.n
    circuit = circuit.replace(
        populations=tuple(populations),
        latents=tuple(Latent(SLOW_S, SLOW_MV * (group == k)) for k in range(3)),
        states=States(2, dwell=(20.0, 40.0), drive=REGIMES[:, group]),
    )
    recording = nd.simulate.run(circuit, SECONDS, rng=seed)
    counts = nd.bin_spikes(nd.simulate.without_truth(recording), BIN_S)
    state = recording["truth"]["state"]
    row = np.searchsorted(state["time"].values, counts["time"].values, side="right") - 1
    return Grouped(counts, group, state.values[np.clip(row, 0, None)])
