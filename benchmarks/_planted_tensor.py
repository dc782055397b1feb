"""Symmetric tensors of known motifs: groups of units that are active together in stretches of time, with noise."""

from __future__ import annotations

import numpy as np
import xarray as xr


def motifs(n_units: int, n_times: int, rank: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Loadings of units, 0 for seven of ten, and of time, two bumps each."""
    unit = rng.random((n_units, rank)) * (rng.random((n_units, rank)) < 0.3)
    for r in range(rank):  # at least two units in each
        unit[rng.choice(n_units, 2, replace=False), r] += 0.5
    t = np.arange(n_times)[:, None]
    centres = rng.uniform(0, n_times, (2, rank))
    time = sum(np.exp(-0.5 * ((t - c) / (n_times / 30)) ** 2) for c in centres)
    return unit, np.asarray(time)


def packed(
    unit: np.ndarray, time: np.ndarray, decibel: float, rng: np.random.Generator, scale: np.ndarray | None = None
) -> xr.DataArray:
    """The tensor (time, pair) as float32 with Gaussian noise of that ratio of powers, cut off at 0; made in blocks."""
    i, j = np.triu_indices(len(unit), 1)
    pair = unit[i] * unit[j] * (1.0 if scale is None else scale)
    power = ((time.T @ time) * (pair.T @ pair)).sum() / (len(time) * len(i))
    sd = np.float32(np.sqrt(power / 10 ** (decibel / 10)))
    pair32, time32 = np.ascontiguousarray(pair.T, dtype=np.float32), time.astype(np.float32)
    values = np.empty((len(time), len(i)), dtype=np.float32)
    for a in range(0, len(time), 64):
        block = time32[a : a + 64] @ pair32
        block += sd * rng.standard_normal(block.shape, dtype=np.float32)
        np.maximum(block, 0.0, out=values[a : a + 64])
    coords = {"time": np.arange(len(time)) * 0.5, "unit": ("pair", i), "unit_2": ("pair", j)}
    return xr.DataArray(values, dims=("time", "pair"), coords=coords)


def square(tensor: xr.DataArray, n_units: int) -> np.ndarray:
    """The same as a full array (unit, unit_2, time), diagonal 0."""
    i, j = np.triu_indices(n_units, 1)
    full = np.zeros((n_units, n_units, tensor.sizes["time"]), dtype=np.float32)
    full[i, j] = tensor.values.T
    full[j, i] = tensor.values.T
    return full
