"""Networks that switch between states, as in the simulation of Li et al. 2024 (arXiv:2310.15263), section 5.1.

20 units with a sigmoid link and one exponential basis of five bins; each pair is inhibitory, absent or excitatory in
each state, the odds are shared by the states and come from a Dirichlet distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from neurodata.containers import make_counts

N_UNITS, N_LAGS, STAY, BIN_WIDTH = 20, 5, 0.98, 0.02
CONCENTRATION = 2.0 * np.array([0.1, 0.8, 0.1])


class Network(NamedTuple):
    """Truth and data.

    Attributes
    ----------
    kind, weight : array (state, post, pre)
        -1, 0, 1, and how strong.
    intercept : array (unit,)
    transition : array (state, state)
    train, test : list of DataArray (time, unit)
    state, state_test : array (bin,)
        Of all sequences, one after the other.
    """

    kind: np.ndarray
    weight: np.ndarray
    intercept: np.ndarray
    transition: np.ndarray
    train: list[xr.DataArray]
    test: list[xr.DataArray]
    state: np.ndarray
    state_test: np.ndarray


def draw(n_states: int, n_bins: int, n_train: int, n_test: int, seed: int, n_units: int = N_UNITS) -> Network:
    """A network, and sequences of `n_bins` bins of it."""
    rng = np.random.default_rng(seed)
    shape = (n_states, n_units, n_units)
    odds = rng.dirichlet(CONCENTRATION, size=shape[1:])
    # The largest of log odds plus Gumbel noise is a draw from the odds.
    kind = np.argmax(np.log(odds + 1e-300) + rng.gumbel(size=(*shape, 3)), axis=-1) - 1
    weight = kind * np.log1p(rng.uniform(0.0, 3.0, shape))
    intercept = 0.1 * (rng.random(n_units) - 0.5)
    transition = np.full((n_states, n_states), (1.0 - STAY) / (n_states - 1))
    np.fill_diagonal(transition, STAY)
    basis = np.exp(-np.arange(1.0, N_LAGS + 1.0))
    basis /= basis.sum()
    counts, states = [], []
    for _ in range(n_train + n_test):
        x = np.zeros((n_bins + N_LAGS, n_units))
        z = np.zeros(n_bins, dtype=int)
        now = 0
        for t in range(n_bins):
            now = z[t] = rng.choice(n_states, p=transition[now])
            past = basis @ x[t : t + N_LAGS][::-1]
            x[t + N_LAGS] = rng.poisson(1.0 / (1.0 + np.exp(-intercept - weight[now] @ past)))
        counts.append(make_counts(x[N_LAGS:], BIN_WIDTH))
        states.append(z)
    return Network(
        kind,
        weight,
        intercept,
        transition,
        counts[:n_train],
        counts[n_train:],
        np.concatenate(states[:n_train]),
        np.concatenate(states[n_train:]),
    )
