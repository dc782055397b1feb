"""Standard errors of the summed weights from the curvature of the objective at the fit (Laplace)."""

from __future__ import annotations

from collections.abc import Iterator

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
    n_units = layout.n_units
    error = np.empty((len(theta), n_units, n_units))
    rows, exact = _rows(problem, layout, posterior)
    for state, post, curvature in _curvatures(rows, exact, problem, theta):
        error[state, post] = _summed(curvature, problem, layout, state, post)
    return error, "exact" if exact else "shared"


def coefficient_variance(
    problem: Problem, layout: Layout, theta: np.ndarray, posterior: Posterior, most_work: float = _EXACT_WORK
) -> np.ndarray:
    """Posterior variance of each coefficient, (state, column, unit), by the same curvature; 0 where there is none.

    `most_work` is that of exact curvatures (multiply-adds); beyond, they are shared.
    """
    variance = np.zeros(theta.shape)
    rows, exact = _rows(problem, layout, posterior, most_work)
    for state, post, curvature in _curvatures(rows, exact, problem, theta):
        matrix, free = _precision_matrix(curvature, problem, state, post)
        factor = cho_factor(matrix, lower=True, check_finite=False)
        inverse = cho_solve(factor, np.eye(len(matrix)), check_finite=False)
        variance[state, free, post] = np.diag(inverse)
    return variance


def _rows(
    problem: Problem, layout: Layout, posterior: Posterior, most_work: float = _EXACT_WORK
) -> tuple[list[StateRows], bool]:
    """The rows of each state, and whether each unit can have a curvature of its own."""
    design = problem.design
    gamma = np.ascontiguousarray(posterior.gamma[design.row_bin])
    rows = select_rows(design.columns, design.counts, gamma, 1e-4)
    work = sum(len(r.columns) for r in rows) * layout.n_units * layout.n_columns**2
    return rows, work <= most_work


def _curvatures(
    rows: list[StateRows], exact: bool, problem: Problem, theta: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray]]:
    """State, unit and curvature of every regression."""
    for state, r in enumerate(rows):
        shared = None if exact else r.columns.T @ (r.columns * r.weight[:, None])
        for post in range(theta.shape[2]):
            if shared is None:
                yield state, post, gram_matrices(r, theta[state], problem.link, post)
            else:
                yield state, post, shared * _mean_curvature(r, theta[state], problem.link, post)


def _mean_curvature(rows: StateRows, theta: np.ndarray, link: int, post: int) -> float:
    eta = rows.columns @ theta[:, post : post + 1]
    fisher = np.empty_like(eta)
    counts = np.ascontiguousarray(rows.counts[:, post : post + 1])
    weighted_terms(eta, counts, rows.weight, link, np.empty_like(eta), fisher)
    return float(fisher.sum()) / max(float(rows.weight.sum()), 1e-12)


def _precision_matrix(curvature: np.ndarray, problem: Problem, state: int, post: int) -> tuple[np.ndarray, np.ndarray]:
    """Posterior precision of the coefficients that exist, and which those are."""
    penalty = problem.penalty
    free = np.ones(len(curvature), dtype=bool) if penalty.free is None else penalty.free[:, post]
    matrix = curvature + np.diag(penalty.of_state(state)[0][:, post])
    matrix = matrix[np.ix_(free, free)]
    matrix[np.diag_indices_from(matrix)] += 1e-10 * (1.0 + matrix.diagonal().max())
    return matrix, free


def _summed(curvature: np.ndarray, problem: Problem, layout: Layout, state: int, post: int) -> np.ndarray:
    """Standard errors of the filters summed over lags, for one post unit."""
    matrix, free = _precision_matrix(curvature, problem, state, post)
    # Column i of `pick` sums the filter from unit i: each coefficient times the sum of its shape.
    pick = np.zeros((layout.n_columns, layout.n_units))
    sums = layout.basis.sum(axis=1)[:, None]
    pick[1 : 1 + layout.n_coupling] = np.kron(np.eye(layout.n_units), sums)
    if layout.self_basis is not None:
        own = layout.self_basis.sum(axis=1)
        first = 1 + layout.n_coupling + post * len(own)
        pick[first : first + len(own), post] = own
    pick = pick[free]
    solved = cho_solve(cho_factor(matrix, lower=True, check_finite=False), pick, check_finite=False)
    return np.sqrt(np.maximum(np.einsum("pi,pi->i", pick, solved), 0.0))
