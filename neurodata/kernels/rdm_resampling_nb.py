"""Rank correlations of models and data in resamples of conditions and RDMs, from how often each was drawn, in Numba."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def _rank(values, order, weight, out):
    """Average ranks less their mean of entries counted `weight` times."""
    n = order.size
    middle = 0.5 * (weight.sum() + 1.0)
    before = 0.0
    start = 0
    while start < n:
        value = values[order[start]]
        stop = start
        tied = 0.0
        while stop < n and values[order[stop]] == value:
            tied += weight[order[stop]]
            stop += 1
        rank = before + 0.5 * (tied + 1.0) - middle
        for k in range(start, stop):
            out[order[k]] = rank
        before += tied
        start = stop


@numba.njit(cache=True)
def _product(a, b, weight):
    total = 0.0
    for p in range(weight.size):
        total += weight[p] * a[p] * b[p]
    return total


@numba.njit(cache=True)
def _similarity(a, b, weight, tie_free):
    """Correlation of centred ranks: over the sums of squares of untied ranks (`tie_free` above 0), or their own."""
    if tie_free > 0:
        return _product(a, b, weight) / tie_free
    size = _product(a, a, weight) * _product(b, b, weight)
    return _product(a, b, weight) / np.sqrt(size) if size > 0 else np.nan


@numba.njit(cache=True)
def ranked_draws(stack, order, n_rdms, counts, known, rdm_counts, group, adjust, ceiling, fewest):
    """Spearman or rho-a of the models with the data in each draw, and the noise ceilings.

    Parameters
    ----------
    stack : array (rdm and model, pair)
        Data first; nothing NaN where `known`.
    order : array (rdm and model, pair), int
        ``argsort`` of `stack`.
    n_rdms : int
        How many rows are data.
    counts : array (draw, condition)
        How often each condition was drawn.
    known : array (pair,), bool
    rdm_counts : array (draw, rdm)
    group : array (rdm,), int
        Subject of each RDM, from 0.
    adjust : bool
        Spearman's correction for ties; rho-a without.
    ceiling : bool
    fewest : int
        Distinct conditions below which a draw gives NaN.

    Returns
    -------
    array (draw, model)
        Mean over the RDMs drawn.
    array (2, draw)
        Lower and upper ceiling: similarity with the ranks of the mean ranks, without and with the RDM's own group.
    """
    n_rows, n_pairs = stack.shape
    n_conditions = counts.shape[1]
    n_models = n_rows - n_rdms
    n_draws = counts.shape[0]
    n_groups = group.max() + 1
    scores = np.full((n_draws, n_models), np.nan)
    bounds = np.full((2, n_draws), np.nan)
    place = np.empty(n_pairs, dtype=np.int64)
    weight_all = np.empty(n_pairs)
    for d in range(n_draws):
        distinct = 0
        for i in range(n_conditions):
            distinct += counts[d, i] > 0
        if distinct < fewest:
            continue
        p = 0
        n_used = 0
        for i in range(n_conditions):
            for j in range(i + 1, n_conditions):
                weight_all[p] = counts[d, i] * counts[d, j] if known[p] else 0.0
                if weight_all[p] > 0:
                    place[p] = n_used
                    n_used += 1
                p += 1
        if n_used == 0:
            continue
        weight = np.empty(n_used)
        for p in range(n_pairs):
            if weight_all[p] > 0:
                weight[place[p]] = weight_all[p]
        total = weight.sum()
        tie_free = 0.0 if adjust else (total**3 - total) / 12.0
        values = np.empty(n_used)
        order_used = np.empty(n_used, dtype=np.int64)
        rank = np.empty((n_rows, n_used))
        for v in range(n_rows):
            if v < n_rdms and rdm_counts[d, v] == 0:
                continue
            k = 0
            for at in range(n_pairs):
                p = order[v, at]
                if weight_all[p] > 0:
                    order_used[k] = place[p]
                    values[place[p]] = stack[v, p]
                    k += 1
            _rank(values, order_used, weight, rank[v])
        drawn = 0.0
        for r in range(n_rdms):
            drawn += rdm_counts[d, r]
        for m in range(n_models):
            held = 0.0
            for r in range(n_rdms):
                if rdm_counts[d, r] > 0:
                    held += rdm_counts[d, r] * _similarity(rank[n_rdms + m], rank[r], weight, tie_free)
            scores[d, m] = held / drawn
        if not ceiling:
            continue
        pooled = np.zeros(n_used)
        for r in range(n_rdms):
            if rdm_counts[d, r] > 0:
                pooled += rdm_counts[d, r] * rank[r]
        best = np.empty(n_used)
        _rank(pooled, np.argsort(pooled), weight, best)
        lower, upper = 0.0, 0.0
        n_drawn = 0
        for g in range(n_groups):
            size = 0.0
            rest = pooled.copy()
            for r in range(n_rdms):
                if group[r] == g and rdm_counts[d, r] > 0:
                    size += rdm_counts[d, r]
                    rest -= rdm_counts[d, r] * rank[r]
            if size == 0:
                continue
            n_drawn += 1
            _rank(rest, np.argsort(rest), weight, values)
            for r in range(n_rdms):
                if group[r] == g and rdm_counts[d, r] > 0:
                    share = rdm_counts[d, r] / size
                    upper += share * _similarity(best, rank[r], weight, tie_free)
                    lower += share * _similarity(values, rank[r], weight, tie_free)
        bounds[1, d] = upper / n_drawn
        if n_drawn > 1:
            bounds[0, d] = lower / n_drawn
    return scores, bounds
