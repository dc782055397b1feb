"""Ranks of dissimilarities, plain and with multiplicities, and Kendall's concordance in O(n log n), in Numba."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def ranks_in_order(values, order, weight):
    """Average ranks (from 1) of entries of which each counts `weight` times; NaN-free.

    An entry whose copies would hold the places ``s + 1 .. s + W`` together with all that tie with it gets
    ``s + (W + 1) / 2``; entries of weight 0 get the rank they would have between the others.

    Parameters
    ----------
    values : array (rdm, pair)
    order : array (rdm, pair), int
        ``argsort`` of `values`.
    weight : array (pair,)
        How often each pair counts.

    Returns
    -------
    array (rdm, pair)
    """
    n_rdms, n = values.shape
    out = np.empty((n_rdms, n))
    for r in range(n_rdms):
        before = 0.0
        start = 0
        while start < n:
            value = values[r, order[r, start]]
            stop = start
            tied = 0.0
            while stop < n and values[r, order[r, stop]] == value:
                tied += weight[order[r, stop]]
                stop += 1
            rank = before + 0.5 * (tied + 1.0)
            for k in range(start, stop):
                out[r, order[r, k]] = rank
            before += tied
            start = stop
    return out


@numba.njit(cache=True)
def dense_ranks(values, order):
    """Ranks 1, 2, ... of the distinct values of each row, and whether a row has ties.

    Parameters
    ----------
    values : array (rdm, pair)
    order : array (rdm, pair), int
        ``argsort`` of `values`.

    Returns
    -------
    array (rdm, pair), int64
    array (rdm,), bool
    """
    n_rdms, n = values.shape
    out = np.empty((n_rdms, n), dtype=np.int64)
    tied = np.zeros(n_rdms, dtype=np.bool_)
    for r in range(n_rdms):
        rank = 0
        for k in range(n):
            if k == 0 or values[r, order[r, k]] != values[r, order[r, k - 1]]:
                rank += 1
            else:
                tied[r] = True
            out[r, order[r, k]] = rank
    return out, tied


@numba.njit(cache=True)
def concordance(order_a, rank_a, rank_b, tied_b, weight):
    """Concordant minus discordant pairs of entries, every row of a with every row of b; entries count `weight` times.

    Entries are taken in the order of a; those already seen stand in a Fenwick tree [1]_ over the ranks of b, which says
    how many of them are below and how many above. Entries that tie in a are looked up before any of them is entered.

    Parameters
    ----------
    order_a : array (rdm, pair), int
    rank_a, rank_b : array (rdm, pair) and (rdm_2, pair), int
        From `dense_ranks`.
    tied_b : array (rdm_2,), bool
    weight : array (pair,), int64

    Returns
    -------
    array (rdm, rdm_2), int64

    References
    ----------
    .. [1] P. Fenwick, "A new data structure for cumulative frequency tables", Softw. Pract. Exp. 24 (1994),
       doi:10.1002/spe.4380240306.
    """
    n_a, n = rank_a.shape
    n_b = rank_b.shape[0]
    out = np.zeros((n_a, n_b), dtype=np.int64)
    tree = np.zeros(n + 1, dtype=np.int64)
    for a in range(n_a):
        for b in range(n_b):
            tree[:] = 0
            seen = np.int64(0)
            total = np.int64(0)
            start = 0
            while start < n:
                stop = start + 1
                value = rank_a[a, order_a[a, start]]
                while stop < n and rank_a[a, order_a[a, stop]] == value:
                    stop += 1
                for k in range(start, stop):
                    p = order_a[a, k]
                    if weight[p] == 0:
                        continue
                    below = np.int64(0)
                    at = rank_b[b, p] - 1
                    while at > 0:
                        below += tree[at]
                        at &= at - 1
                    not_above = below
                    if tied_b[b]:
                        not_above = np.int64(0)
                        at = rank_b[b, p]
                        while at > 0:
                            not_above += tree[at]
                            at &= at - 1
                    total += weight[p] * (below + not_above - seen)
                for k in range(start, stop):
                    p = order_a[a, k]
                    if weight[p] == 0:
                        continue
                    seen += weight[p]
                    at = rank_b[b, p]
                    while at <= n:
                        tree[at] += weight[p]
                        at += at & -at
                start = stop
            out[a, b] = total
    return out


@numba.njit(cache=True)
def tied_pairs(order, rank, weight):
    """Pairs of copies of entries that have the same value, in each row (float, exact below 2^53).

    Parameters
    ----------
    order, rank : array (rdm, pair), int
    weight : array (pair,), int64

    Returns
    -------
    array (rdm,)
    """
    n_rdms, n = rank.shape
    out = np.zeros(n_rdms)
    for r in range(n_rdms):
        start = 0
        while start < n:
            stop = start
            held = np.int64(0)
            value = rank[r, order[r, start]]
            while stop < n and rank[r, order[r, stop]] == value:
                held += weight[order[r, stop]]
                stop += 1
            out[r] += 0.5 * held * (held - 1)
            start = stop
    return out
