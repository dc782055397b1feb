"""Which pairs are linked, in a degree-corrected stochastic block model of simple graphs, in Numba.

Without groups, a pair is linked with probability ``t_i t_j / (1 + t_i t_j)``, the model of largest entropy with the
observed degrees; the usual ``k_i k_j / 2E`` takes multigraphs for granted and sees groups of hubs where there are none.
The pairs of two groups have ``n`` links expected of it and ``e`` observed, ``e ~ Poisson(rate n)``, and the rate has a
gamma prior with one shape and mean for pairs of groups and one for groups themselves, both learned.
"""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True)
def propensities(degree, count, n_rounds, tol):
    """The `t` of nodes of each degree with which expected degrees are those observed, by fixed-point iteration.

    Parameters
    ----------
    degree, count : array (degree,)
        Distinct degrees and the number of nodes of each.

    Returns
    -------
    array (degree,)
    """
    n = degree.size
    total = 0.0
    nodes = 0.0
    for a in range(n):
        total += degree[a] * count[a]
        nodes += count[a]
    t = degree / math.sqrt(max(total, 1e-300))
    for _ in range(n_rounds):
        worst = 0.0
        new = np.zeros(n)
        for a in range(n):
            if degree[a] == 0.0:
                continue
            # A node that is linked to all others has an infinite propensity.
            wanted = min(degree[a], nodes - 1.0 - 1e-3)
            share = 0.0
            for b in range(n):
                others = count[b] - 1.0 if a == b else count[b]
                share += others * t[b] / (1.0 + t[a] * t[b])
            worst = max(worst, abs(t[a] * share - wanted) / wanted)
            # The geometric mean of old and new does not oscillate.
            new[a] = math.sqrt(t[a] * wanted / max(share, 1e-300))
        t = new
        if worst < tol:
            break
    return t


@numba.njit(cache=True)
def log_block(within, links, expected, shape):
    """Log evidence of `links` where `expected` were expected, with the rate integrated out, up to a constant.

    Parameters
    ----------
    within : int
        1 for a group with itself, 0 for two groups.
    shape : array (2, 2)
        Log shape and log mean of the gamma prior of rates, by `within`.
    """
    alpha = math.exp(shape[within, 0])
    beta = alpha * math.exp(-shape[within, 1])
    value = math.lgamma(alpha + links) - math.lgamma(alpha)
    return value + alpha * math.log(beta) - (alpha + links) * math.log(beta + expected)


@numba.njit(cache=True)
def block_table(most, shape):
    """Parts of `log_block` that depend on the number of links alone, for 0 .. most links: (2, most + 1)."""
    table = np.empty((2, most + 1))
    for c in range(2):
        alpha = math.exp(shape[c, 0])
        value = alpha * math.log(alpha * math.exp(-shape[c, 1]))
        for e in range(most + 1):
            table[c, e] = value
            # lgamma(alpha + e + 1) = lgamma(alpha + e) + log(alpha + e)
            value += math.log(alpha + e)
    return table


@numba.njit(cache=True)
def log_block_by(table, within, links, expected, alpha, beta):
    """`log_block` by a table of `block_table`; alpha and beta are of the gamma prior."""
    return table[within, int(links + 0.5)] - (alpha + links) * math.log(beta + expected)


@numba.njit(cache=True)
def log_links(size, links, expected, shape):
    """Sum of `log_block` over all pairs of groups in use."""
    value = 0.0
    for r in range(size.size):
        if size[r] > 0:
            for s in range(r + 1):
                if size[s] > 0:
                    value += log_block(1 if r == s else 0, links[r, s], expected[r, s], shape)
    return value
