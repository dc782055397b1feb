"""Spiking circuits with blocks of neurons, of which other ones are active in each stage, seen by calcium imaging."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

import neurodata as nd
from neurodata.simulate import Calcium, Latent, States, zoo

N_NEURONS, N_BLOCKS, SECONDS = 75, 4, 480.0
# Blocks that are active in each stage.
ACTIVE = ((0, 1), (2, 3), (0, 2))
# Drive of active and of other blocks, and size and slowness of each block's own fluctuations: mV, s.
ON_MV, OFF_MV, SLOW_MV, SLOW_S = 1.0, -4.0, 2.5, 0.7
FRAME_RATE, NOISE = 10.0, 2.0


class Staged(NamedTuple):
    """dF/F (time, roi), the block of each ROI (-1 inhibitory), and the times at which stages change, s."""

    traces: xr.DataArray
    block: np.ndarray
    changes: np.ndarray
    stages: dict[str, list[tuple[float, float]]]


def draw(seed: int) -> Staged:
    """One recording: leaky integrate-and-fire neurons, blocks recurrent within, through GCaMP6f."""
    circuit = zoo.clustered(n=N_NEURONS, n_clusters=N_BLOCKS, rng=seed)
    cluster = circuit.network().cluster
    drive = np.zeros((len(ACTIVE), circuit.n_neurons))
    for row, active in zip(drive, ACTIVE, strict=True):
        row[cluster >= 0] = np.where(np.isin(cluster, active), ON_MV, OFF_MV)[cluster >= 0]
    circuit = circuit.replace(
        latents=tuple(Latent(SLOW_S, SLOW_MV * (cluster == k)) for k in range(N_BLOCKS)),
        states=States(len(ACTIVE), dwell=(70.0, 110.0), drive=drive),
    )
    rec = nd.simulate.run(circuit, SECONDS, rng=seed)
    seen = nd.simulate.observe(rec, [Calcium(frame_rate=FRAME_RATE, noise_level=NOISE)], rng=seed)
    state = seen["truth"]["state"]
    path, time = state.values, state["time"].values
    step = float(np.median(np.diff(time)))
    changes = time[np.flatnonzero(np.diff(path)) + 1] - 0.5 * step
    edges = [float(time[0] - step), *changes.tolist(), float(time[-1] + step)]
    stages: dict[str, list[tuple[float, float]]] = {}
    for a, z in zip(edges[:-1], edges[1:], strict=True):
        k = int(path[np.searchsorted(time, 0.5 * (a + z))])
        stages.setdefault(f"stage {k}", []).append((a, z))
    traces = nd.preprocess.delta_f_over_f(nd.simulate.without_truth(seen), neuropil_coefficient=0.7)
    block = nd.simulate.unit_truth(seen)["cluster"].values
    return Staged(traces["calcium"]["dff"] if "calcium" in traces else traces["dff"], block, changes, stages)
