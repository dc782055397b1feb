"""Curvature of the objective at a fit (Laplace): standard errors, variances, and a quadratic stand-in for the data.

The curvature is that of each state's own regression with the state posteriors held fixed, so uncertainty about the
states themselves is not in it. How it is computed depends on how much work it is:

"exact"    one curvature matrix per state and unit, from all rows;
"sampled"  the same from rows drawn at random, one from each stretch of equal length, scaled to all of them;
"shared"   one matrix per state from all rows, scaled by each unit's mean curvature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from neurodata.models.hmm_glm.design import Layout
from neurodata.models.hmm_glm.em import Posterior, Problem
from neurodata.models.hmm_glm.mstep import Penalty, gram_matrices
from neurodata.models.hmm_glm.passes import Passes, StateRows, select_rows, select_state, stretched

# Multiply-adds that curvatures at the end may cost.
MOST_WORK = 2e11
# Rows per column below which a sample of rows says too little.
_FEWEST_ROWS = 60
# Curvatures of all regressions are kept when they take no more than this (bytes), or than the design matrix.
_LEAST_ROOM = 2.5e8


class Uncertainty(NamedTuple):
    """What the curvature says at a fit.

    Attributes
    ----------
    variance : array (state, column, unit)
        Posterior variance of each coefficient; 0 where there is none.
    weight_error : array (state, post, pre)
        Standard error of each filter summed over lags.
    method : {"exact", "sampled", "shared"}
    """

    variance: np.ndarray
    weight_error: np.ndarray
    method: str


def uncertainty(problem: Problem, layout: Layout, theta: np.ndarray, posterior: Posterior) -> Uncertainty:
    """Variances and standard errors at a fit, the states taken as their posterior."""
    curvatures = Curvatures(problem, layout, theta, posterior)
    variance = np.zeros(theta.shape)
    error = np.empty((len(theta), layout.n_units, layout.n_units))
    for state, post, curvature in curvatures:
        matrix, free = precision_matrix(curvature, problem.penalty, state, post)
        inverse = _inverse(matrix)
        variance[state, free, post] = np.diag(inverse)
        pick = _sums(layout, post)[free]
        error[state, post] = np.sqrt(np.maximum(np.einsum("pi,pq,qi->i", pick, inverse, pick, optimize=True), 0.0))
    return Uncertainty(variance, error, curvatures.method)


def effective_number(known: Uncertainty, penalty: Penalty) -> float:
    """Effective number of coefficients: the trace of the data's curvature over that of the posterior.

    A coefficient that the data alone settle counts as one, one that its prior holds where it is as none. The prior is
    diagonal, so the trace needs no more than the posterior variances. Intercepts that states share count once.
    """
    count = 0.0
    for state, variance in enumerate(known.variance):
        # Where there is no coefficient the variance is 0.
        told = np.where(variance > 0, np.clip(1.0 - penalty.of_state(state)[0] * variance, 0.0, 1.0), 0.0)
        count += float(told[1:].sum())
        if state == 0 or not penalty.shared_intercept:
            count += float(told[0].sum())
    return count


class Curvatures:
    """State, unit and curvature matrix (column, column) of every regression, without the penalty.

    Parameters
    ----------
    problem : Problem
    layout : Layout
    theta : array (state, column, unit)
        Where.
    posterior : Posterior
    most_work : float
        Multiply-adds that they may cost.
    most_bytes : float
        Memory that all of them together may take.

    Attributes
    ----------
    method : {"exact", "sampled", "shared"}
    """

    def __init__(
        self,
        problem: Problem,
        layout: Layout,
        theta: np.ndarray,
        posterior: Posterior,
        most_work: float = MOST_WORK,
        most_bytes: float = np.inf,
    ) -> None:
        design = problem.design
        gamma = np.ascontiguousarray(posterior.gamma[design.row_bin])
        self._rows = select_rows(design.columns, design.counts, gamma, 1e-4)
        self._theta, self._link = theta, problem.link
        per_row = float(layout.n_units * layout.n_columns**2)
        total = sum(len(r.columns) for r in self._rows)
        affordable = most_work / per_row / len(self._rows)
        if 8.0 * per_row * len(self._rows) > most_bytes:
            self.method = "shared"
        elif total * per_row <= most_work:
            self.method = "exact"
        elif affordable >= _FEWEST_ROWS * layout.n_columns:
            self.method = "sampled"
        else:
            self.method = "shared"
        self._most_rows = int(affordable)

    def __iter__(self) -> Iterator[tuple[int, int, np.ndarray]]:
        for state, post, matrix, scale in self.scaled():
            yield state, post, matrix if scale == 1.0 else matrix * scale

    def scaled(self) -> Iterator[tuple[int, int, np.ndarray, float]]:
        """The same as a matrix, which units may share, and what it is to be multiplied by."""
        for state, r in enumerate(self._rows):
            theta = self._theta[state]
            if self.method == "exact":
                for post in range(theta.shape[1]):
                    yield state, post, gram_matrices(r, theta, self._link, post), 1.0
                continue
            mass = _curvature_sum(r, theta, self._link)
            if self.method == "sampled":
                part = r.at(stretched(len(r.columns), self._most_rows))
                known = np.maximum(_curvature_sum(part, theta, self._link), 1e-300)
                for post in range(theta.shape[1]):
                    yield state, post, gram_matrices(part, theta, self._link, post), float(mass[post] / known[post])
            else:
                with Passes() as passes:
                    shared = passes.gram(r, np.arange(len(r.columns))) / max(float(r.weight.sum()), 1e-12)
                for post in range(theta.shape[1]):
                    yield state, post, shared, float(mass[post])


class Quadratic:
    """The log-likelihood of all regressions as a quadratic function round a point, states as given.

    Its maximum and the variances under any Gaussian prior cost no pass over the data.

    Parameters
    ----------
    problem, layout, theta, posterior
        See `Curvatures`.
    most_work : float
        Multiply-adds that curvatures may cost.
    """

    def __init__(
        self, problem: Problem, layout: Layout, theta: np.ndarray, posterior: Posterior, most_work: float
    ) -> None:
        self._shape = theta.shape
        most_bytes = max(_LEAST_ROOM, problem.design.columns.nbytes)
        curvatures = Curvatures(problem, layout, theta, posterior, most_work, most_bytes)
        self._curvature = list(curvatures.scaled())
        # Natural parameter of the data: curvature @ theta + slope.
        self._pull = _slope(problem, theta, posterior)
        for state, post, matrix, scale in self._curvature:
            self._pull[state, :, post] += scale * (matrix @ theta[state, :, post])

    def maximum(self, penalty: Penalty) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and their posterior variances, (state, column, unit), under a prior."""
        theta, variance = np.zeros(self._shape), np.zeros(self._shape)
        for state, post, curvature, scale in self._curvature:
            precision, centre = (array[:, post] for array in penalty.of_state(state))
            matrix, free = precision_matrix(scale * curvature, penalty, state, post)
            inverse = _inverse(matrix)
            variance[state, free, post] = np.diag(inverse)
            theta[state, free, post] = inverse @ (self._pull[state, :, post] + precision * centre)[free]
        return theta, variance


def precision_matrix(curvature: np.ndarray, penalty: Penalty, state: int, post: int) -> tuple[np.ndarray, np.ndarray]:
    """Posterior precision of the coefficients that exist, and which those are."""
    free = np.ones(len(curvature), dtype=bool) if penalty.free is None else penalty.free[:, post]
    matrix = curvature + np.diag(penalty.of_state(state)[0][:, post])
    matrix = matrix[np.ix_(free, free)]
    matrix[np.diag_indices_from(matrix)] += 1e-10 * (1.0 + matrix.diagonal().max())
    return matrix, free


def _inverse(matrix: np.ndarray) -> np.ndarray:
    factor = cho_factor(matrix, lower=True, check_finite=False)
    return cho_solve(factor, np.eye(len(matrix)), check_finite=False)


def _curvature_sum(rows: StateRows, theta: np.ndarray, link: int) -> np.ndarray:
    """Curvature summed over rows, by unit."""
    with Passes() as passes:
        fisher = passes.derivatives(rows, theta, link)[2]
    return fisher.sum(axis=0, dtype=np.float64)


def _slope(problem: Problem, theta: np.ndarray, posterior: Posterior) -> np.ndarray:
    """Derivative of the expected log-likelihood by the coefficients."""
    design = problem.design
    slope = np.empty_like(theta)
    with Passes() as passes:
        for state, weight in enumerate(posterior.gamma[design.row_bin].T):
            rows = select_state(design.columns, design.counts, weight, 1e-4)
            slope[state] = passes.derivatives(rows, theta[state], problem.link)[1]
    return slope


def _sums(layout: Layout, post: int) -> np.ndarray:
    """Column i sums the filter from unit i to `post`: each coefficient times the sum of its shape."""
    pick = np.zeros((layout.n_columns, layout.n_units))
    pick[1 : 1 + layout.n_coupling] = np.kron(np.eye(layout.n_units), layout.basis.sum(axis=1)[:, None])
    if layout.self_basis is not None:
        own = layout.self_basis.sum(axis=1)
        first = 1 + layout.n_coupling + post * len(own)
        pick[first : first + len(own), post] = own
    return pick
