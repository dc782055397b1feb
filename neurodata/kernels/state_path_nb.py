"""Draws of state paths and of the sticky HDP's tables, in Numba."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True)
def sample_path(rng, log_likelihood, starts, initial, transition, path):
    """Draw the path (bin,), overwritten, of a hidden Markov chain: filter forward, sample backward.

    Parameters
    ----------
    log_likelihood : array (bin, state)
    starts : array (sequence + 1,)
    initial, transition : array (state,), (state, state)

    Returns
    -------
    float
        Log-likelihood with the path summed out.
    """
    n_states = initial.size
    filtered = np.empty(log_likelihood.shape)
    total = 0.0
    weight = np.empty(n_states)
    for q in range(starts.size - 1):
        first, last = starts[q], starts[q + 1] - 1
        if last < first:
            continue
        for t in range(first, last + 1):
            top = -np.inf
            for s in range(n_states):
                top = max(top, log_likelihood[t, s])
            norm = 0.0
            for s in range(n_states):
                if t == first:
                    value = initial[s]
                else:
                    value = 0.0
                    for u in range(n_states):
                        value += filtered[t - 1, u] * transition[u, s]
                value *= math.exp(log_likelihood[t, s] - top)
                filtered[t, s] = value
                norm += value
            for s in range(n_states):
                filtered[t, s] /= norm
            total += math.log(norm) + top
        for t in range(last, first - 1, -1):
            norm = 0.0
            for s in range(n_states):
                weight[s] = filtered[t, s] * (transition[s, path[t + 1]] if t < last else 1.0)
                norm += weight[s]
            left = rng.random() * norm
            chosen = n_states - 1
            for s in range(n_states):
                left -= weight[s]
                if left <= 0.0:
                    chosen = s
                    break
            # Rounding must not choose what is impossible.
            while weight[chosen] == 0.0:
                chosen = (chosen + 1) % n_states
            path[t] = chosen
    return total


@numba.njit(cache=True)
def count_transitions(path, starts, out):
    """Number of steps from state to state (state, state), overwritten."""
    out[:] = 0.0
    for q in range(starts.size - 1):
        for t in range(starts[q] + 1, starts[q + 1]):
            out[path[t - 1], path[t]] += 1.0


@numba.njit(cache=True)
def sample_tables(rng, counts, mass, sticky, out):
    """Tables of the sticky Chinese restaurant franchise that say something about the shared weights, (state,).

    Parameters
    ----------
    counts : array (state, state)
        Transitions.
    mass : array (state, state)
        ``alpha beta_k + kappa [j = k]``.
    sticky : float
        kappa.
    out : array (state,), overwritten
        Tables whose dish was not chosen out of stickiness (Fox et al. 2011, doi:10.1214/10-AOAS395).
    """
    n_states = counts.shape[0]
    out[:] = 0.0
    for j in range(n_states):
        for k in range(n_states):
            for n in range(int(counts[j, k])):
                if rng.random() * (mass[j, k] + n) < mass[j, k] and (j != k or rng.random() * mass[j, j] >= sticky):
                    out[k] += 1.0
