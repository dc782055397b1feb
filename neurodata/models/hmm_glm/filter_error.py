"""Standard errors of filters at each lag, for the pairs somebody looks at: for all pairs they would be large arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurodata.models.hmm_glm.design import Design, Layout
from neurodata.models.hmm_glm.mstep import gram_matrices
from neurodata.models.hmm_glm.passes import select_rows


def filter_standard_error(
    design: Design,
    layout: Layout,
    theta: np.ndarray,
    precision: np.ndarray,
    gamma: np.ndarray,
    link: int,
    pairs: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Standard error of each filter at each lag, (state, pair, lag), by the curvature at the fit (Laplace).

    Parameters
    ----------
    theta, precision : array (state, column, unit)
        Coefficients and the precision of their Gaussian prior.
    gamma : array (bin, state)
        Posterior probability of the states, taken as known.
    link : int
    pairs : sequence of (post, pre)
        Rows of units.
    """
    rows = select_rows(design.columns, design.counts, np.ascontiguousarray(gamma[design.row_bin]), 1e-4)
    error = np.zeros((len(theta), len(pairs), layout.n_lags))
    free_all = layout.free()
    for post in sorted({post for post, _ in pairs}):
        free = np.ones(layout.n_columns, dtype=bool) if free_all is None else free_all[:, post]
        for state, r in enumerate(rows):
            matrix = gram_matrices(r, theta[state], link, post) + np.diag(precision[state, :, post])
            matrix[np.diag_indices_from(matrix)] += 1e-10 * (1.0 + matrix.diagonal().max())
            covariance = np.zeros_like(matrix)
            covariance[np.ix_(free, free)] = np.linalg.inv(matrix[np.ix_(free, free)])
            for k, (to, pre) in enumerate(pairs):
                if to == post:
                    columns, shapes = _filter_of(layout, post, pre)
                    block = covariance[columns, columns]
                    variance = np.einsum("jl,jk,kl->l", shapes, block, shapes)
                    error[state, k, : shapes.shape[1]] = np.sqrt(np.maximum(variance, 0.0))
    return error


def _filter_of(layout: Layout, post: int, pre: int) -> tuple[slice, np.ndarray]:
    """Columns of the filter from `pre` to `post`, and their shapes."""
    if post == pre and layout.self_basis is not None:
        first = 1 + layout.n_coupling + post * len(layout.self_basis)
        return slice(first, first + len(layout.self_basis)), layout.self_basis
    first = 1 + pre * len(layout.basis)
    return slice(first, first + len(layout.basis)), layout.basis
