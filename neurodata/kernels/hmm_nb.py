"""Hidden Markov chains given the log-likelihood of each bin: exact smoothing and the most probable path, in Numba.

Several sequences lie end to end in one array; `starts` holds where each begins, and the total length last. Messages
are normalised in every bin after the largest log-likelihood was taken out, so nothing under- or overflows however
many units a bin has, and the sums over pairs of bins are kept as one (state, state) matrix.
The transition matrix must be positive: then the largest normalised message is at least its smallest entry.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def _scaled_likelihood(log_likelihood, scaled):
    """Fill `scaled` with ``exp(log_likelihood - max over states)`` and return the sum of the maxima."""
    total = 0.0
    n_bins, n_states = log_likelihood.shape
    for t in range(n_bins):
        top = log_likelihood[t, 0]
        for s in range(1, n_states):
            top = max(top, log_likelihood[t, s])
        for s in range(n_states):
            scaled[t, s] = np.exp(log_likelihood[t, s] - top)
        total += top
    return total


@numba.njit(cache=True)
def _forward(scaled, initial, transition, alpha, scale):
    """Filtered probabilities into `alpha`, their normalisers into `scale`, of one sequence; returns sum log scale."""
    n_bins, n_states = scaled.shape
    total = 0.0
    for t in range(n_bins):
        norm = 0.0
        for j in range(n_states):
            if t == 0:
                predicted = initial[j]
            else:
                predicted = 0.0
                for i in range(n_states):
                    predicted += alpha[t - 1, i] * transition[i, j]
            alpha[t, j] = predicted * scaled[t, j]
            norm += alpha[t, j]
        scale[t] = norm
        for j in range(n_states):
            alpha[t, j] /= norm
        total += np.log(norm)
    return total


@numba.njit(cache=True)
def _backward(scaled, scale, transition, gamma, pair):
    """Turn filtered probabilities in `gamma` into smoothed ones, in place; add to `pair` (without the transition)."""
    n_bins, n_states = scaled.shape
    beta = np.ones(n_states)
    message = np.empty(n_states)
    for t in range(n_bins - 2, -1, -1):
        for j in range(n_states):
            message[j] = scaled[t + 1, j] * beta[j] / scale[t + 1]
        norm = 0.0
        for i in range(n_states):
            back = 0.0
            filtered = gamma[t, i]
            for j in range(n_states):
                back += transition[i, j] * message[j]
                pair[i, j] += filtered * message[j]
            beta[i] = back
            gamma[t, i] = filtered * back
            norm += gamma[t, i]
        for i in range(n_states):
            gamma[t, i] /= norm


def forward_backward(
    log_likelihood: np.ndarray, starts: np.ndarray, initial: np.ndarray, transition: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Exact posterior of the states of a hidden Markov chain.

    Parameters
    ----------
    log_likelihood : array (bin, state), float64
        Log-likelihood of each bin under each state; 0 where nothing was observed.
    starts : array (sequence + 1,), int64
        First bin of each sequence, and the number of bins last.
    initial : array (state,)
        Probability of the first state of a sequence.
    transition : array (state, state)
        Row i: probabilities of the next state after state i; all positive.

    Returns
    -------
    log_z : array (sequence,)
        Log-likelihood of each sequence.
    gamma : array (bin, state)
        Posterior probability of each state.
    pair : array (state, state)
        Expected number of transitions i -> j.
    first : array (state,)
        Expected number of sequences that begin in each state.

    Examples
    --------
    >>> import numpy as np
    >>> log_z, gamma, pair, first = forward_backward(
    ...     np.log([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 2]), np.array([0.5, 0.5]), np.full((2, 2), 0.5)
    ... )
    >>> float(np.exp(log_z[0]).round(6)), gamma.round(3).tolist()
    (0.25, [[0.9, 0.1], [0.9, 0.1]])
    """
    return _forward_backward(
        np.ascontiguousarray(log_likelihood, dtype=np.float64),
        np.asarray(starts, dtype=np.int64),
        np.ascontiguousarray(initial, dtype=np.float64),
        np.ascontiguousarray(transition, dtype=np.float64),
    )


@numba.njit(cache=True)
def _forward_backward(log_likelihood, starts, initial, transition):
    n_bins, n_states = log_likelihood.shape
    scaled = np.empty((n_bins, n_states))
    gamma = np.empty((n_bins, n_states))
    scale = np.empty(n_bins)
    pair = np.zeros((n_states, n_states))
    first = np.zeros(n_states)
    log_z = np.empty(len(starts) - 1)
    for q in range(len(starts) - 1):
        a, b = starts[q], starts[q + 1]
        log_z[q] = _scaled_likelihood(log_likelihood[a:b], scaled[a:b])
        log_z[q] += _forward(scaled[a:b], initial, transition, gamma[a:b], scale[a:b])
        _backward(scaled[a:b], scale[a:b], transition, gamma[a:b], pair)
        for s in range(n_states):
            first[s] += gamma[a, s]
    return log_z, gamma, pair * transition, first


def viterbi(
    log_likelihood: np.ndarray, starts: np.ndarray, initial: np.ndarray, transition: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Most probable path of states of each sequence.

    Parameters
    ----------
    log_likelihood, starts, initial, transition
        As in `forward_backward`; zeros in `initial` and `transition` are allowed here.

    Returns
    -------
    path : array (bin,), int64
    log_probability : array (sequence,)
        Joint log-probability of the path and the data.

    Examples
    --------
    >>> import numpy as np
    >>> path, _ = viterbi(np.log([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 2]), np.array([0.5, 0.5]),
    ...                   np.array([[0.5, 0.5], [0.5, 0.5]]))
    >>> path.tolist()
    [0, 1]
    """
    with np.errstate(divide="ignore"):
        log_initial = np.log(np.ascontiguousarray(initial, dtype=np.float64))
        log_transition = np.log(np.ascontiguousarray(transition, dtype=np.float64))
    return _viterbi(
        np.ascontiguousarray(log_likelihood, dtype=np.float64),
        np.asarray(starts, dtype=np.int64),
        log_initial,
        log_transition,
    )


@numba.njit(cache=True)
def _viterbi(log_likelihood, starts, log_initial, log_transition):
    n_bins, n_states = log_likelihood.shape
    best_from = np.empty((n_bins, n_states), dtype=np.int16)
    path = np.empty(n_bins, dtype=np.int64)
    log_probability = np.empty(len(starts) - 1)
    value = np.empty(n_states)
    new = np.empty(n_states)
    for q in range(len(starts) - 1):
        a, b = starts[q], starts[q + 1]
        for j in range(n_states):
            value[j] = log_initial[j] + log_likelihood[a, j]
        for t in range(a + 1, b):
            for j in range(n_states):
                best = 0
                for i in range(1, n_states):
                    if value[i] + log_transition[i, j] > value[best] + log_transition[best, j]:
                        best = i
                best_from[t, j] = best
                new[j] = value[best] + log_transition[best, j] + log_likelihood[t, j]
            value[:] = new
        last = np.argmax(value)
        log_probability[q] = value[last]
        for t in range(b - 1, a - 1, -1):
            path[t] = last
            if t > a:
                last = best_from[t, last]
    return path, log_probability
