"""Similarities between dissimilarity matrices given as vectors of pairs: each row of one stack with each of another.

A vector holds the upper triangle row by row. No entry may be NaN here: who calls has chosen the pairs.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.linalg import solve_triangular

from neurodata.kernels.rdm_ranks_nb import concordance, dense_ranks, ranks_in_order, tied_pairs

# What is left of a vector after its mean is taken is rounding error below this share of the vector.
_NOTHING = 1e-13


def n_conditions(n_pairs: int) -> int:
    """Conditions of a matrix with so many pairs.

    Examples
    --------
    >>> n_conditions(6)
    4
    """
    return int(round((1 + np.sqrt(1 + 8 * n_pairs)) / 2))


@functools.lru_cache(maxsize=16)
def pair_places(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of each pair, and the place of each pair in a matrix: the diagonal points behind the last pair.

    Examples
    --------
    >>> pair_places(3)[2].tolist()
    [[3, 0, 1], [0, 3, 2], [1, 2, 3]]
    """
    rows, columns = np.triu_indices(n, 1)
    place = np.full((n, n), rows.size)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    for made in (rows, columns, place):
        made.flags.writeable = False
    return rows, columns, place


def square(vectors: np.ndarray, n: int | None = None) -> np.ndarray:
    """Vectors (rdm, pair) as symmetric matrices (rdm, condition, condition) with zero diagonals.

    Examples
    --------
    >>> square(np.array([[1.0, 2.0, 3.0]]))[0].tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    n = n_conditions(vectors.shape[1]) if n is None else n
    padded = np.zeros((vectors.shape[0], vectors.shape[1] + 1))
    padded[:, :-1] = vectors
    return np.take(padded, pair_places(n)[2], axis=1)


def centred(vectors: np.ndarray) -> np.ndarray:
    """Vectors minus their means; what is only rounding error becomes zero."""
    out = vectors - vectors.mean(axis=1, keepdims=True)
    nothing = np.einsum("ij,ij->i", out, out) <= _NOTHING**2 * np.einsum("ij,ij->i", vectors, vectors)
    out[nothing] = 0.0
    return out


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines (rdm, rdm_2); NaN for a vector of length 0.

    Examples
    --------
    >>> cosine(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0, nan]]
    """
    size = np.sqrt(np.einsum("ij,ij->i", a, a))[:, None] * np.sqrt(np.einsum("ij,ij->i", b, b))
    return divide(a @ b.T, size)


def divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top` over `bottom`; NaN where `bottom` is not above 0.

    Examples
    --------
    >>> divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return np.divide(top, bottom, out=np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan), where=bottom > 0)


def ranks(vectors: np.ndarray) -> np.ndarray:
    """Average ranks from 1 (rdm, pair).

    Examples
    --------
    >>> ranks(np.array([[3.0, 1.0, 3.0]])).tolist()
    [[2.5, 1.0, 2.5]]
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float64)
    return ranks_in_order(vectors, np.argsort(vectors, axis=1), np.ones(vectors.shape[1]))


def rho_a(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean Spearman correlation over random breaking of ties: 12 sum r_a r_b / (n^3 - n), r centred average ranks."""
    n = a.shape[1]
    middle = (n + 1) / 2
    return (
        12.0 * ((ranks(a) - middle) @ (ranks(b) - middle).T) / (float(n) ** 3 - n)
        if n > 1
        else np.full((len(a), len(b)), np.nan)
    )


def kendall(a: np.ndarray, b: np.ndarray, adjust: bool, weight: np.ndarray | None = None) -> np.ndarray:
    """Kendall's tau-a, or tau-b where `adjust` takes the ties out of the denominator; copies counted by `weight`.

    Examples
    --------
    >>> one = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> kendall(one, one[:, [1, 0, 2, 3]], adjust=False).round(3).tolist()
    [[0.667]]
    """
    weight = np.ones(a.shape[1], dtype=np.int64) if weight is None else weight
    order_a, order_b = np.argsort(a, axis=1), np.argsort(b, axis=1)
    (rank_a, _), (rank_b, tied_b) = dense_ranks(a, order_a), dense_ranks(b, order_b)
    surplus = concordance(order_a, rank_a, rank_b, tied_b, weight).astype(np.float64)
    n = float(weight.sum())
    all_pairs = n * (n - 1) / 2
    if not adjust:
        return divide(surplus, np.full_like(surplus, all_pairs))
    free_a = all_pairs - tied_pairs(order_a, rank_a, weight)
    free_b = all_pairs - tied_pairs(order_b, rank_b, weight)
    return divide(surplus, np.sqrt(free_a[:, None] * free_b))


def whitened_gram(a: np.ndarray, b: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``a' V^-1 b``, ``a' V^-1 a`` and ``b' V^-1 b`` for conditions with independent errors, O(C^2) a pair of rows.

    V, the covariance of the pairs' dissimilarities, is ``(s_i + s_j)^2`` on its diagonal and ``s_i^2`` for two pairs
    that share condition i. ``V y = x`` then says ``2 s_i s_j y_ij = x_ij - u_i - u_j`` with ``u_i = s_i^2 sum_l y_il``,
    and its sums over one index give u. With ``h = 1 / s``, ``X_i = sum_l h_l x_il``, ``H = sum h``, twice it is
    ``sum_(i<j) h_i h_j a_ij b_ij - sum_i h_i A_i B_i / H + (sum h A) (sum h B) / (2 H^2)``.

    Parameters
    ----------
    a, b : array (rdm, pair) and (rdm_2, pair)
    variance : array (condition,)
        s, above 0.

    Returns
    -------
    array (rdm, rdm_2), array (rdm,), array (rdm_2,)
    """
    n = variance.size
    rows, columns, _ = pair_places(n)
    # sqrt(h_i h_j) into the vectors, sqrt(h_i / H) into the sums: every term is then a plain inner product.
    share = 1.0 / variance
    total = share.sum()
    root = np.sqrt(share[rows] * share[columns])
    parts = []
    for vectors in (a, b):
        sums = square(vectors, n) @ share
        parts.append((vectors * root, sums * np.sqrt(share / total), sums @ share / (np.sqrt(2.0) * total)))
    (pairs_a, sums_a, mean_a), (pairs_b, sums_b, mean_b) = parts
    both = pairs_a @ pairs_b.T - sums_a @ sums_b.T + np.outer(mean_a, mean_b)
    own = [np.einsum("ij,ij->i", x, x) - np.einsum("ij,ij->i", y, y) + z * z for x, y, z in parts]
    return 0.5 * both, 0.5 * own[0], 0.5 * own[1]


def whitened_vectors(vectors: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Vectors whose inner products are ``4 a' V^-1 b`` for any covariance S of the conditions' errors, O(C^3) a row.

    ``V = (K S K')^(o2)`` with K the contrasts of all pairs and o2 the elementwise square. With ``S = L L'``,
    ``w = S^-1 1 / (1' S^-1 1)`` and ``T = L^-1 (I - 1 w')``, the matrix ``T (-D / 2) T'`` is the second moment of the
    centred patterns where their errors are white, and V^-1 is the identity there up to a factor: no matrix of pairs by
    pairs is made. For S = I this is the double centring of linear CKA.

    Parameters
    ----------
    vectors : array (rdm, pair)
    covariance : array (condition, condition)

    Returns
    -------
    array (rdm, condition * condition)
    """
    n = covariance.shape[0]
    factor = np.linalg.cholesky(covariance)
    ones = np.ones(n)
    weight = solve_triangular(factor.T, solve_triangular(factor, ones, lower=True))
    weight /= weight.sum()
    turn = solve_triangular(factor, np.eye(n) - np.outer(ones, weight), lower=True)
    return (turn @ (-0.5 * square(vectors, n)) @ turn.T).reshape(vectors.shape[0], n * n)


def kernels(vectors: np.ndarray, n: int | None = None) -> np.ndarray:
    """Centred inner products (rdm, condition, condition) of the patterns whose squared distances the vectors are."""
    gram = -0.5 * square(vectors, n)
    rows = gram.mean(axis=1, keepdims=True)
    return gram - rows - np.swapaxes(rows, 1, 2) + rows.mean(axis=2, keepdims=True)


def _embedded(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns (rdm, condition, axis) with these distances, negative axes dropped; traces with and without them."""
    values, axes = np.linalg.eigh(kernels(vectors))
    kept = np.maximum(values, 0.0)
    return axes * np.sqrt(kept)[:, None, :], values.sum(axis=1), kept.sum(axis=1)


def alignment(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Greatest inner product of each pair of pattern sets over rotations, and the sizes of the sets.

    The trace norm of ``X' Y`` equals ``tr (A^1/2 B A^1/2)^1/2`` for kernels ``A = X X'``, ``B = Y Y'``, and singular
    values have no square roots of rounding errors.

    Returns
    -------
    array (rdm, rdm_2), array (rdm,), array (rdm_2,), array (rdm,), array (rdm_2,)
        Trace norm; traces of the kernels; traces without negative eigenvalues.
    """
    (first, trace_a, kept_a), (second, trace_b, kept_b) = _embedded(a), _embedded(b)
    out = np.empty((len(a), len(b)))
    for i, points in enumerate(first):
        out[i] = np.linalg.svd(points.T @ second, compute_uv=False).sum(axis=1)
    return out, trace_a, trace_b, kept_a, kept_b
