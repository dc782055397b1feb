"""Stationary Gaussian processes on a circle long enough not to wrap: frequencies and the real Fourier basis."""

from __future__ import annotations

import numpy as np

# Of the variance of the shortest allowed course; what the dropped harmonics hold.
PRUNED = 1e-4


def circumference(duration: float, longest: float) -> float:
    """Of the circle: courses that are `longest` length scales four times apart no longer know of each other."""
    return duration + 4.0 * longest


def n_harmonics(density: np.ndarray) -> int:
    """How many harmonics hold all but `PRUNED` of the variance, from the spectral density at harmonics 0, 1, ..."""
    share = np.cumsum(np.r_[density[:1], 2.0 * density[1:]])
    return int(np.searchsorted(share, (1.0 - PRUNED) * share[-1]))


def frequencies(circle: float, harmonics: int) -> np.ndarray:
    """Angular frequencies (2 harmonics + 1): of the constant, all cosines, all sines."""
    k = np.arange(1, harmonics + 1)
    return 2.0 * np.pi / circle * np.r_[0, k, k]


def basis(times: np.ndarray, circle: float, harmonics: int) -> np.ndarray:
    """Rows of the orthonormal real Fourier basis of functions on the circle, at times: (2 harmonics + 1, time).

    With coefficients of variance S(w), the spectral density, courses have the covariance (1 / circle) sum_w S(w)
    cos(w (t - t')), which tends to the kernel as the circle grows.
    """
    phase = 2.0 * np.pi / circle * np.arange(1, harmonics + 1)[:, None] * np.asarray(times)[None, :]
    constant = np.full((1, phase.shape[1]), np.sqrt(1.0 / circle))
    return np.concatenate([constant, np.sqrt(2.0 / circle) * np.cos(phase), np.sqrt(2.0 / circle) * np.sin(phase)])
