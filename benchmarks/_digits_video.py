"""Spikes and a video that share a latent: a digit turns and grows while neurons fire.

The simulation of Gondur et al. (ICLR 2024), "Multi-modal Gaussian process variational autoencoders for neural and
behavioral data", with scikit-learn's digits, so that nothing is downloaded. The angle of the digit is the shared
latent, its size the absolute value of the behavioural one; each frame shows another example of the digit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates, zoom
from sklearn.datasets import load_digits

LENGTH_SCALE = 10.0
SHARED_VARIANCE, NEURAL_VARIANCE, ZOOM_VARIANCE, ZOOM_MEAN = 0.3, 0.5, 0.8, 1.0
DEGREES = 120.0


class Simulation(NamedTuple):
    data: dict[str, xr.DataArray]
    latent: xr.DataArray  # (trial, time, latent): shared, neural, zoom
    rate: np.ndarray  # (trial, time, unit)
    oracle: np.ndarray  # frames of the mean digit at the true angle and size


def _digits(size: int) -> np.ndarray:
    """All threes, 0 to 255, in the middle of frames of size x size."""
    found = load_digits()
    threes = found.images[found.target == 3] / 16.0 * 255.0
    inner = round(size * 28 / 36)
    large = np.array([np.clip(zoom(one, inner / 8, order=3), 0, 255) for one in threes])
    before = (size - inner) // 2
    return np.pad(large, ((0, 0), (before, size - inner - before), (before, size - inner - before)))


def _turned(images: np.ndarray, degrees: np.ndarray, factor: np.ndarray) -> np.ndarray:
    size = images.shape[-1]
    centre = (size - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij")).reshape(2, -1) - centre
    out = np.empty((len(images), size * size))
    for k, (image, turn, grow) in enumerate(zip(images, np.deg2rad(degrees), np.maximum(factor, 0.02), strict=True)):
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        out[k] = map_coordinates(image, rotation @ grid / grow + centre, order=1)
    return out.reshape(-1, size, size)


def simulate(seed: int, n_trials: int = 100, n_bins: int = 60, n_units: int = 100, size: int = 16) -> Simulation:
    rng = np.random.default_rng(seed)
    lag = np.arange(n_bins)[:, None] - np.arange(n_bins)
    root = np.linalg.cholesky(np.exp(-0.5 * (lag / LENGTH_SCALE) ** 2) + 1e-6 * np.eye(n_bins))
    course = np.einsum("ts,nks->ntk", root, rng.normal(size=(n_trials, 3, n_bins)))
    latent = course * np.sqrt([SHARED_VARIANCE, NEURAL_VARIANCE, ZOOM_VARIANCE]) + [0.0, 0.0, ZOOM_MEAN]
    loading = 1.5 * rng.uniform(-1, 1, size=(2, n_units))
    rate = np.exp(latent[..., :2] @ loading + 0.5 * rng.uniform(-1, 1, size=n_units))
    digits = _digits(size)
    chosen = digits[rng.integers(len(digits), size=n_trials * n_bins)]
    angle, factor = DEGREES * latent[..., 0].ravel(), np.abs(latent[..., 2]).ravel()
    shape = (n_trials, n_bins, size, size)
    mean = np.broadcast_to(digits.mean(axis=0), chosen.shape)
    dims, coords = ("trial", "time"), {"time": np.arange(n_bins, dtype=float)}
    return Simulation(
        {
            "spikes": xr.DataArray(rng.poisson(rate), dims=(*dims, "unit"), coords=coords),
            "video": xr.DataArray(_turned(chosen, angle, factor).reshape(shape), dims=(*dims, "y", "x"), coords=coords),
        },
        xr.DataArray(latent, dims=(*dims, "latent"), coords={**coords, "latent": ["shared", "neural", "zoom"]}),
        rate,
        _turned(mean, angle, factor).reshape(shape),
    )
