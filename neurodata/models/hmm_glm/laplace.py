"""Standard errors of the summed weights from the curvature of the objective at the fit (Laplace)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from neurodata.kernels.poisson_nb import weighted_terms
from neurodata.models.hmm_glm.design import Layout
from neurodata.models.hmm_glm.em import Posterior, Problem
from neurodata.models.hmm_glm.mstep import StateRows, gram_matrices, select_rows

# Multiply-adds above which one Gram matrix per state, scaled for each unit, stands in for one per state and unit.
_EXACT_WORK = 2e11


def weight_standard_error(
    problem: Problem, layout: Layout, theta: np.ndarray, posterior: Posterior
) -> tuple[np.ndarray, str]:
    """Standard error of each filter summed over lags, (state, post, pre), and how it was computed.

    The curvature is that of each state's own regression with the state posteriors held fixed, so uncertainty about
    the states themselves is not in it. "exact": one curvature matrix per state and unit. "shared": one per state,
    scaled by each unit's mean curvature, for large problems.
    """
    design = problem.design
    gamma = np.ascontiguousarray(posterior.gamma[design.row_bin])
    rows = select_rows(design.columns, design.counts, gamma, 1e-4)
    n_units = layout.n_units
    work = sum(len(r.columns) for r in rows) * n_units * layout.n_columns**2
    error = np.empty((len(rows), n_units, n_units))
    for s, r in enumerate(rows):
        shared = None if work <= _EXACT_WORK else r.columns.T @ (r.columns * r.weight[:, None])
        for post in range(n_units):
            if shared is None:
                curvature = gram_matrices(r, theta[s], problem.link, post)
            else:
                curvature = shared * _mean_curvature(r, theta[s], problem.link, post)
            error[s, post] = _summed(curvature, problem, layout, s, post)
    return error, "exact" if work <= _EXACT_WORK else "shared"


def _mean_curvature(rows: StateRows, theta: np.ndarray, link: int, post: int) -> float:
    eta = rows.columns @ theta[:, post : post + 1]
    fisher = np.empty_like(eta)
    counts = np.ascontiguousarray(rows.counts[:, post : post + 1])
    weighted_terms(eta, counts, rows.weight, link, np.empty_like(eta), fisher)
    return float(fisher.sum()) / max(float(rows.weight.sum()), 1e-12)


def _summed(curvature: np.ndarray, problem: Problem, layout: Layout, state: int, post: int) -> np.ndarray:
    """Standard errors of the sums over each pre unit's coefficients, for one post unit."""
    penalty = problem.penalty
    free = np.ones(layout.n_columns, dtype=bool) if penalty.free is None else penalty.free[:, post]
    matrix = curvature + np.diag(penalty.of_state(state)[0][:, post])
    matrix = matrix[np.ix_(free, free)]
    matrix[np.diag_indices_from(matrix)] += 1e-10 * (1.0 + matrix.diagonal().max())
    # Column i of `pick` sums the coefficients of the couplings from unit i.
    pick = np.zeros((layout.n_columns, layout.n_units))
    n_basis = len(layout.basis)
    pick[1 : 1 + layout.n_coupling] = np.repeat(np.eye(layout.n_units), n_basis, axis=0)
    if layout.self_basis is not None:
        n_self = len(layout.self_basis)
        pick[1 + layout.n_coupling + post * n_self : 1 + layout.n_coupling + (post + 1) * n_self, post] = 1.0
    pick = pick[free]
    solved = cho_solve(cho_factor(matrix, lower=True, check_finite=False), pick, check_finite=False)
    return np.sqrt(np.maximum(np.einsum("pi,pi->i", pick, solved), 0.0))
