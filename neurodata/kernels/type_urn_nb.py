"""Types of one pair in several states, drawn from probabilities that the states share: exact posteriors, in Numba.

Each state draws one of three types from ``p ~ Dirichlet(concentration * share)``; with p integrated out the types
follow a Polya urn, whose probability depends only on how often each type occurs. Sums over all 3^S configurations are
therefore sums over counts.
"""

from __future__ import annotations

import math

import numba
import numpy as np


def urn_table(concentration: float, share: np.ndarray, n_states: int) -> np.ndarray:
    """Probability of one configuration with `a` states of type 0 and `b` of type 2, (a, b); 0 where a + b > S."""
    alpha = concentration * np.asarray(share, dtype=np.float64)
    table = np.zeros((n_states + 1, n_states + 1))
    for a in range(n_states + 1):
        for b in range(n_states + 1 - a):
            log_p = math.lgamma(concentration) - math.lgamma(concentration + n_states)
            for count, weight in zip((a, n_states - a - b, b), alpha, strict=True):
                log_p += math.lgamma(weight + count) - math.lgamma(weight)
            table[a, b] = math.exp(log_p)
    return table


@numba.njit(cache=True)
def _extend(table, likelihood, size, out):
    """Add one state to a table over counts (a, b) of the first `size` states."""
    for a in range(size + 2):
        for b in range(size + 2 - a):
            total = 0.0
            if a > 0:
                total += table[a - 1, b] * likelihood[0]
            if b > 0:
                total += table[a, b - 1] * likelihood[2]
            if a + b <= size:
                total += table[a, b] * likelihood[1]
            out[a, b] = total


@numba.njit(cache=True)
def urn_posterior(log_likelihood, table, posterior):
    """Posterior probability of each type in each state, and the log evidence of each pair.

    Parameters
    ----------
    log_likelihood : array (pair, state, 3)
    table : array (state + 1, state + 1)
        From `urn_table`.
    posterior : array (pair, state, 3), overwritten

    Returns
    -------
    array (pair,)
        Log of the sum over all configurations.
    """
    n_pairs, n_states, _ = log_likelihood.shape
    evidence = np.empty(n_pairs)
    before = np.zeros((n_states + 1, n_states + 1, n_states + 1))
    after = np.zeros((n_states + 1, n_states + 1, n_states + 1))
    like = np.empty((n_states, 3))
    for i in range(n_pairs):
        top_sum = 0.0
        for s in range(n_states):
            top = max(log_likelihood[i, s, 0], max(log_likelihood[i, s, 1], log_likelihood[i, s, 2]))
            top_sum += top
            for k in range(3):
                like[s, k] = np.exp(log_likelihood[i, s, k] - top)
        before[0, 0, 0] = 1.0
        after[0, 0, 0] = 1.0
        for s in range(n_states):
            _extend(before[s], like[s], s, before[s + 1])
            _extend(after[s], like[n_states - 1 - s], s, after[s + 1])
        total = 0.0
        for a in range(n_states + 1):
            for b in range(n_states + 1 - a):
                total += before[n_states, a, b] * table[a, b]
        evidence[i] = np.log(total) + top_sum
        for s in range(n_states):
            rest = n_states - 1 - s
            for k in range(3):
                found = 0.0
                for a in range(s + 1):
                    for b in range(s + 1 - a):
                        here = before[s, a, b]
                        for c in range(rest + 1):
                            for d in range(rest + 1 - c):
                                found += here * after[rest, c, d] * table[a + c + (k == 0), b + d + (k == 2)]
                posterior[i, s, k] = found * like[s, k] / total
    return evidence


@numba.njit(cache=True)
def urn_evidence(log_likelihood, table):
    """Log evidence of each pair, as `urn_posterior` gives it, without the posterior."""
    n_pairs, n_states, _ = log_likelihood.shape
    evidence = np.empty(n_pairs)
    old = np.zeros((n_states + 1, n_states + 1))
    new = np.zeros((n_states + 1, n_states + 1))
    like = np.empty(3)
    for i in range(n_pairs):
        top_sum = 0.0
        old[0, 0] = 1.0
        for s in range(n_states):
            top = max(log_likelihood[i, s, 0], max(log_likelihood[i, s, 1], log_likelihood[i, s, 2]))
            top_sum += top
            for k in range(3):
                like[k] = np.exp(log_likelihood[i, s, k] - top)
            _extend(old, like, s, new)
            old, new = new, old
        total = 0.0
        for a in range(n_states + 1):
            for b in range(n_states + 1 - a):
                total += old[a, b] * table[a, b]
        evidence[i] = np.log(total) + top_sum
    return evidence
