"""Similarities of models and data in resamples of conditions and of RDMs, from how often each was drawn; NumPy.

A resample of conditions in which the pairs of two copies of one condition are left out is a weighted statistic of the
pairs with weights ``c_i c_j``, c the number of times a condition was drawn. No resampled matrix is made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodata.kernels.rdm_similarity import divide, square

# Fewer distinct conditions than this leave no matrix worth comparing.
FEWEST = 3


class Grams(NamedTuple):
    """Inner products in each draw: data with data, models with data, models with themselves; sizes of the data."""

    data: np.ndarray  # (draw, rdm, rdm), or (draw, rdm) where only the diagonal was asked for
    cross: np.ndarray  # (draw, model, rdm)
    model: np.ndarray  # (draw, model)
    size: np.ndarray  # (draw, rdm), root mean squares or standard deviations over pairs


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """How often each pair of distinct conditions is in a draw (draw, pair), from counts (draw, condition).

    Examples
    --------
    >>> pair_weights(np.array([[2.0, 1.0, 0.0]])).tolist()
    [[2.0, 0.0, 0.0]]
    """
    rows, columns = np.triu_indices(counts.shape[1], 1)
    return counts[:, rows] * counts[:, columns]


def grams(
    data: np.ndarray,
    models: np.ndarray,
    counts: np.ndarray,
    known: np.ndarray,
    *,
    centre: bool,
    variance: np.ndarray | None = None,
    full: bool = True,
) -> Grams:
    """Inner products of RDMs in every draw: plain ones, or ``a' V^-1 b`` with V of the conditions that were drawn.

    Parameters
    ----------
    data, models : array (rdm, pair) and (model, pair)
        Zero where not `known`.
    counts : array (draw, condition)
        How often each condition was drawn.
    known : array (pair,), bool
        Pairs that take part.
    centre : bool
        Take the mean over the drawn pairs from each RDM first.
    variance : array (condition,), optional
        Variances of the conditions' errors, for V; all pairs must be known. Copies of a condition have errors of their
        own. None for plain inner products.
    full : bool
        All pairs of data RDMs, not the diagonal alone.

    Notes
    -----
    With copies, ``V y = x`` reads ``2 s_i s_j y_ij = x_ij - u_i - u_j``, ``u_i = s_i^2 sum_(l != i) c_l y_il``. With
    ``h = c / s``, ``H = sum h``, ``X_i = sum_l h_l x_il`` and ``d_i = 2 / s_i + H - 2 h_i``, sums over one index give
    ``d_i u_i + T = X_i``, ``T = sum h u``; so with ``a = h / d`` twice the inner product of x and z is
    ``sum_(i<j) h_i h_j x_ij z_ij - sum a X Z + (sum a X) (sum a Z) / (1 + sum a)``.
    """
    n_rdms, n_models = len(data), len(models)
    stack = np.concatenate([data, models])
    if centre:
        # Exact for any constant; it keeps rounding errors small.
        stack = np.where(known, stack - stack[:, known].mean(axis=1, keepdims=True), 0.0)
    weight = pair_weights(counts) * known
    total = weight.sum(axis=1)
    mean = divide(weight @ stack.T, total[:, None])
    rows = np.arange(len(stack))
    squares = weight @ (stack**2).T
    spread = divide(squares, total[:, None]) - (mean**2 if centre else 0.0)
    size = np.sqrt(np.maximum(spread[:, :n_rdms], 0.0))
    if variance is None:
        inner, linear, inner_total = weight, mean * total[:, None], total
    else:
        share = counts / variance
        inner = pair_weights(share)
        linear, inner_total = inner @ stack.T, inner.sum(axis=1)
        sums = (share @ square(stack).transpose(1, 0, 2).reshape(counts.shape[1], -1)).reshape(
            len(share), len(stack), counts.shape[1]
        )
        if centre:
            sums -= mean[:, :, None] * (share.sum(axis=1, keepdims=True) - share)[:, None, :]
        pivot = 2.0 / variance + share.sum(axis=1, keepdims=True) - 2.0 * share
        singular = (np.abs(pivot) <= 1e-12 * share.sum(axis=1, keepdims=True)) & (counts > 0)
        slope = np.where(singular, 0.0, share / np.where(singular | (counts == 0), 1.0, pivot))
        lean = np.einsum("dc,drc->dr", slope, sums)

    def product(one: int, others: np.ndarray) -> np.ndarray:
        """Inner products (draw, other) of row `one` with rows `others`."""
        out = inner @ (stack[one] * stack[others]).T
        if centre:
            out -= mean[:, [one]] * linear[:, others] + linear[:, [one]] * mean[:, others]
            out += inner_total[:, None] * mean[:, [one]] * mean[:, others]
        if variance is not None:
            out -= np.einsum("dc,dkc->dk", slope * sums[:, one], sums[:, others])
            out += lean[:, [one]] * lean[:, others] / (1.0 + slope.sum(axis=1))[:, None]
            for draw in np.flatnonzero(singular.any(axis=1)):
                out[draw] += _singular_terms(singular[draw], slope[draw], sums[draw], lean[draw], one, others)
        return out

    cross = np.empty((len(counts), n_models, n_rdms))
    own = np.empty((len(counts), n_models))
    for m in range(n_models):
        found = product(n_rdms + m, np.append(rows[:n_rdms], n_rdms + m))
        cross[:, m], own[:, m] = found[:, :-1], found[:, -1]
    if full:
        between = np.empty((len(counts), n_rdms, n_rdms))
        for r in range(n_rdms):
            between[:, r, r:] = product(r, rows[r:n_rdms])
            between[:, r:, r] = between[:, r, r:]
    else:
        between = np.concatenate([product(r, rows[r : r + 1]) for r in range(n_rdms)], axis=1)
    few = (counts > 0).sum(axis=1) < FEWEST
    for part in (cross, own, between):
        part[few] = np.nan
    return Grams(between, cross, own, size)


def _singular_terms(
    singular: np.ndarray, slope: np.ndarray, sums: np.ndarray, lean: np.ndarray, one: int, others: np.ndarray
) -> np.ndarray:
    """What differs where condition i makes up so much of a draw that d_i = 0: then ``T = X_i``, and u_i comes last."""
    (i,) = np.flatnonzero(singular)
    total = slope.sum()
    first, second = sums[one, i], sums[others, i]
    regular = lean[one] * lean[others] / (1.0 + total)
    return lean[one] * second - first * (second * (1.0 + total) - lean[others]) - regular


def scores(gram: Grams, rdm_counts: np.ndarray) -> np.ndarray:
    """Mean cosine of each model with the RDMs of each draw (draw, model); rdm_counts (draw, rdm)."""
    own = gram.data if gram.data.ndim == 2 else np.einsum("drr->dr", gram.data)
    size = np.sqrt(np.maximum(gram.model[:, :, None] * own[:, None, :], 0.0))
    return weighted_mean(divide(gram.cross, size), rdm_counts)


def weighted_mean(similarity: np.ndarray, rdm_counts: np.ndarray) -> np.ndarray:
    """Mean over RDMs (draw, model) of similarities (draw, model, rdm) counted as often as they were drawn."""
    share = rdm_counts / rdm_counts.sum(axis=1, keepdims=True)
    return np.einsum("dmr,dr->dm", np.where(share[:, None, :] > 0, similarity, 0.0), share)


def ceilings(between: np.ndarray, scale: np.ndarray, rdm_counts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Lower and upper noise ceiling (2, draw) of a cosine from the inner products of the RDMs alone.

    The best single prediction is the sum of the RDMs, each scaled, ``p = sum_r k_r f_r x_r``; the lower ceiling leaves
    the RDM's own group out of it. Each group that was drawn counts once.

    Parameters
    ----------
    between : array (draw, rdm, rdm)
    scale : array (draw, rdm)
        f, one over the size of each RDM.
    rdm_counts : array (draw, rdm)
        k.
    group : array (rdm,), int
        Subject of each RDM.
    """
    share = rdm_counts * np.where(rdm_counts > 0, scale, 0.0)
    member = np.eye(group.max() + 1)[group]
    own = np.einsum("drr->dr", between)
    with_all = np.einsum("drs,ds->dr", between, share)
    whole = np.einsum("dr,dr->d", share, with_all)[:, None]
    same = member @ member.T
    with_group = np.einsum("drs,ds->dr", between * same, share)
    inside = (share * with_group) @ same
    without = whole - 2.0 * (share * with_all) @ same + inside
    # Nothing is left of the others when there is one group: rounding must not pass for a prediction.
    nothing = without <= 1e-12 * whole
    lower = divide(with_all - with_group, np.where(nothing, 0.0, np.sqrt(np.maximum(without * own, 0.0))))
    upper = divide(with_all, np.sqrt(np.maximum(whole * own, 0.0)))
    return np.stack([mean_over_groups(part, rdm_counts, member) for part in (lower, upper)])


def mean_over_groups(values: np.ndarray, rdm_counts: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Mean over groups that were drawn of the mean over their RDMs (draw,); values (draw, rdm), member (rdm, group)."""
    drawn = rdm_counts > 0
    size = rdm_counts @ member
    held = np.where(drawn, values, 0.0) * rdm_counts @ member
    return divide(held, size).sum(axis=1, where=size > 0) / (size > 0).sum(axis=1)
