"""What units share slowly: principal components of their smoothed counts, as many as are more than chance.

Units that follow one slow drive predict each other's spikes without any connection. The components stand for the drive
in a regression. A window with a hole keeps what a unit's own spike, and a synapse that answers it, do at once out of
the component at that bin.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from neurodata.models.sequences import CountSequences

# Part of the window's standard deviation within which bins are left out, and where the window ends.
_HOLE, _REACH = 0.3, 4.0
_MOST_COMPONENTS = 5
_SURROGATES = 20


def slow_activity(sequences: CountSequences, width: float, most: int = _MOST_COMPONENTS) -> np.ndarray:
    """Slow shared components in every bin.

    Counts are averaged with a Gaussian window round each bin that leaves out the nearest bins; the principal components
    of these averages are kept whose variance exceeds that of the first component of any of 20 surrogates, in which
    each unit is shifted in time by its own amount (parallel analysis [1]_).

    Parameters
    ----------
    sequences : CountSequences
        Missing counts are left out of the averages.
    width : float
        Standard deviation of the window, s; bins within 0.3 of it are left out. At least two bins.
    most : int
        Most components.

    Returns
    -------
    array (bin, component)
        Each of standard deviation 1; no column when nothing is shared.

    References
    ----------
    .. [1] J. L. Horn, "A rationale and test for the number of factors in factor analysis", Psychometrika 30 (1965),
       doi:10.1007/BF02289447.
    """
    width = max(width / sequences.bin_width, 2.0)
    window = _window(width)
    parts = [_smoothed(sequences.counts[a:b], window) for a, b in _stretches(sequences)]
    smooth = np.concatenate(parts)
    # Units of equal noise: counts vary as much as their mean.
    level = np.nanmean(np.where(sequences.counts >= 0, sequences.counts, np.nan), axis=0, where=sequences.counts >= 0)
    scaled = np.nan_to_num((smooth - np.nanmean(smooth, axis=0)) / np.sqrt(np.maximum(level, 1e-12)))
    scaled[:, ~(level > 0)] = 0.0
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    # Neighbouring averages are alike: surrogates need one in some.
    thin = scaled[:: max(1, int(width / 4))]
    chance = max(_first_of_shifted(thin, np.random.default_rng(i)) for i in range(_SURROGATES))
    shared = np.flatnonzero(values / len(scaled) > chance / len(thin))[::-1][: min(most, level.size // 2)]
    components = scaled @ vectors[:, shared]
    return components / np.maximum(components.std(axis=0), 1e-12)


def _window(width: float) -> np.ndarray:
    """Window over lags, in bins; its own bin at least is left out."""
    reach = int(_REACH * width)
    lag = np.abs(np.arange(-reach, reach + 1))
    return np.where(lag <= max(_HOLE * width, 0.5), 0.0, np.exp(-0.5 * (lag / width) ** 2))


def _stretches(sequences: CountSequences) -> list[tuple[int, int]]:
    return list(zip(sequences.starts[:-1].tolist(), sequences.starts[1:].tolist(), strict=True))


def _smoothed(counts: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Weighted means of the observed counts of one sequence; NaN where the window holds none."""
    seen = counts >= 0
    total = _convolved(np.where(seen, counts, 0).astype(np.float64), window)
    weight = _convolved((seen if not seen.all() else seen[:, :1]).astype(np.float64), window)
    return np.where(weight > 1e-3 * window.max(), total / np.maximum(weight, 1e-12), np.nan)


def _convolved(values: np.ndarray, window: np.ndarray) -> np.ndarray:
    half = len(window) // 2
    return fftconvolve(values, window[:, None], mode="full", axes=0)[half : half + len(values)]


def _first_of_shifted(values: np.ndarray, rng: np.random.Generator) -> float:
    """Largest eigenvalue when every unit is shifted round by its own amount."""
    shifts = [int(rng.integers(len(values))) for _ in range(values.shape[1])]
    shifted = np.stack([np.roll(values[:, unit], by) for unit, by in enumerate(shifts)], axis=1)
    return float(np.linalg.eigvalsh(shifted.T @ shifted)[-1])
