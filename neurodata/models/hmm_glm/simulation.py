"""Draws from the model: a path of states, and counts that feed back on themselves."""

from __future__ import annotations

import numpy as np

from neurodata.kernels.poisson_nb import mean_of


def simulate_counts(
    intercept: np.ndarray,
    filters: np.ndarray,
    initial: np.ndarray,
    transition: np.ndarray,
    link: int,
    n_bins: int,
    ceiling: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Counts (bin, unit), states (bin,), and how many means were above `ceiling` and held there.

    Parameters
    ----------
    intercept : array (bin or 1, state, unit)
        With what covariates add.
    filters : array (state, post, pre, lag)
    initial : array (state,)
    transition : array (state, state)
    link : int
    n_bins : int
    ceiling : float
        Largest mean count per bin; an exponential link can otherwise run away.
    rng : Generator
    """
    n_states, n_units, _, n_lags = filters.shape
    # (state, lag x pre, post), the latest bin last, as the counts lie.
    kernel = filters[..., ::-1].transpose(0, 3, 2, 1).reshape(n_states, n_lags * n_units, n_units)
    edges = np.cumsum(transition, axis=1)
    draw = rng.random(n_bins)
    state = np.empty(n_bins, dtype=np.int64)
    counts = np.zeros((n_bins + n_lags, n_units))
    capped = 0
    for t in range(n_bins):
        edge = np.cumsum(initial) if t == 0 else edges[state[t - 1]]
        state[t] = min(int(np.searchsorted(edge, draw[t], side="right")), n_states - 1)
        level = intercept[t if len(intercept) > 1 else 0, state[t]]
        mean = mean_of(level + counts[t : t + n_lags].ravel() @ kernel[state[t]], link)
        capped += int((mean > ceiling).sum())
        counts[t + n_lags] = rng.poisson(np.minimum(mean, ceiling))
    return counts[n_lags:], state, capped
