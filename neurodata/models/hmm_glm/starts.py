"""Where EM begins: the one-state regression, and ways to split it into several states."""

from __future__ import annotations

import numpy as np

from neurodata.kernels.poisson_nb import mean_of, weighted_terms
from neurodata.models.hmm_glm.design import Design
from neurodata.models.hmm_glm.em import Parameters, Posterior, Problem, m_step
from neurodata.models.hmm_glm.mstep import Penalty, maximise
from neurodata.models.hmm_glm.passes import StateRows, stretched

# Bins per window of the first divisions; dwell times of a few windows or more are found.
_WINDOWS = (50, 25, 100)
# Fewest windows per state that clusters can be told from. Short recordings get shorter windows, down to a few bins.
_WINDOWS_PER_STATE = 4
_SHORTEST_WINDOW = 4
_STAY = 0.95
# Spread of the linear predictor that the noise of a perturbed start adds.
_PERTURBATION = 0.5
# Rows per column of the first round.
_FIRST_ROWS = 50
_OVERSAMPLING = 4
_POWER_ITERATIONS = 2


def intercept_guess(design: Design, link: int) -> np.ndarray:
    """Intercept that gives each unit its mean count; half a spike is added, so a silent unit has one too."""
    mean = (design.n_spikes + 0.5) / (design.n_observed + 1.0)
    if link == 0:
        return np.log(mean)
    if link == 1:
        return mean + np.log(-np.expm1(-mean))
    mean = np.minimum(mean, 0.99)
    return np.log(mean) - np.log1p(-mean)


def one_state(design: Design, penalty: Penalty, link: int, tol: float = 1e-10) -> np.ndarray:
    """Coefficients (column, unit) of the regression without states; `tol` (nats per unit) is when it has converged."""
    theta = np.zeros((1, design.columns.shape[1], design.counts.shape[1]))
    theta[0, 0] = intercept_guess(design, link)
    rows = StateRows(design.columns, design.counts, np.ones(len(design.columns)))
    # A first round on a part of the rows, which then count for all: the rest of the way is short.
    n_first = _FIRST_ROWS * design.columns.shape[1]
    if n_first < len(rows.columns) / 4:
        part = rows.at(stretched(len(rows.columns), n_first))
        part.weight[:] = len(rows.columns) / len(part.columns)
        theta = maximise([part], theta, penalty, link, max_newton=20, max_cg=20, cg_tol=1e-2, tol=1e-1)
    return maximise([rows], theta, penalty, link, max_newton=100, max_cg=50, cg_tol=1e-3, tol=tol)[0]


def start(problem: Problem, base: np.ndarray, n_states: int, index: int, rng: np.random.Generator) -> Parameters:
    """Parameters at which restart `index` begins: even ones divide windows of time, odd ones perturb weights.

    Parameters
    ----------
    base : array (column, unit)
        The one-state regression.
    """
    if n_states == 1:
        return Parameters(base[None], np.ones(1), np.ones((1, 1)))
    if index % 2 == 0:
        window = window_length(problem.design, n_states, _WINDOWS[index // 2 % len(_WINDOWS)])
        owner = window_of_row(problem.design, window)
        if owner[-1] + 1 >= _WINDOWS_PER_STATE * n_states:
            return _divided(problem, base, n_states, owner, rng)
    return _perturbed(problem, base, n_states, rng)


def window_length(design: Design, n_states: int, longest: int) -> int:
    """Bins per window: `longest`, or fewer where that leaves too few windows for `n_states`."""
    fewest = _WINDOWS_PER_STATE * n_states
    if window_of_row(design, longest)[-1] + 1 >= fewest:
        return longest
    # No window holds more rows than it has bins, so there are at least rows / bins of them.
    return min(longest, max(_SHORTEST_WINDOW, len(design.row_bin) // fewest))


def window_of_row(design: Design, window: int) -> np.ndarray:
    """Number of the window, `window` bins long and inside one sequence, of each row."""
    sequence = np.searchsorted(design.starts, design.row_bin, side="right") - 1
    inside = (design.row_bin - design.starts[sequence]) // window
    new = (np.diff(sequence) != 0) | (np.diff(inside) != 0)
    return np.concatenate([[0], np.cumsum(new)])


def window_scores(
    problem: Problem, base: np.ndarray, owner: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Leading principal components, (window, n), of how each window would change the one-state coefficients.

    A window's score is the gradient of its log-likelihood by all coefficients at the one-state fit, each divided by
    the root of its information. Windows of one state pull the same way, whether its rates or its couplings differ, so
    the scores fall into as many clusters as there are states. The (window, column x unit) matrix is never made: only
    its products with vectors are, by subspace iteration.
    """
    design, penalty = problem.design, problem.penalty
    eta = design.columns @ base
    slope, fisher = np.empty_like(eta), np.empty_like(eta)
    mean = mean_of(eta, problem.link)
    weighted_terms(eta, mean, design.counts, np.ones(len(eta)), problem.link, slope, fisher)
    information = np.zeros(base.shape)
    for a in range(0, len(eta), 4096):
        information += (design.columns[a : a + 4096] ** 2).T @ fisher[a : a + 4096]
    scale = 1.0 / np.sqrt(information + penalty.precision[0] + 1e-12)
    if penalty.free is not None:
        scale = scale * penalty.free
    first = np.flatnonzero(np.concatenate([[True], np.diff(owner) > 0]))

    def project(v: np.ndarray) -> np.ndarray:
        return np.add.reduceat(((design.columns @ (scale * v)) * slope).sum(axis=1), first)

    def back(u: np.ndarray) -> np.ndarray:
        return scale * (design.columns.T @ (slope * u[owner][:, None]))

    k = min(n + _OVERSAMPLING, len(first))
    scores = np.stack([project(rng.standard_normal(base.shape)) for _ in range(k)], axis=1)
    for _ in range(_POWER_ITERATIONS):
        scores = np.linalg.qr(scores)[0]
        shapes = np.stack([back(u).ravel() for u in scores.T], axis=1)
        shapes = np.linalg.qr(shapes)[0] if shapes.shape[0] >= k else shapes
        scores = np.stack([project(v.reshape(base.shape)) for v in shapes.T], axis=1)
    left, size, _ = np.linalg.svd(scores, full_matrices=False)
    return (left * size)[:, :n]


def _divided(
    problem: Problem, base: np.ndarray, n_states: int, owner: np.ndarray, rng: np.random.Generator
) -> Parameters:
    from sklearn.cluster import KMeans

    scores = window_scores(problem, base, owner, n_states + 1, rng)
    label = KMeans(n_states, n_init=5, random_state=int(rng.integers(2**31))).fit_predict(scores)[owner]
    design = problem.design
    gamma = np.full((design.n_bins, n_states), 1.0 / n_states)
    gamma[design.row_bin] = 0.1 / n_states
    gamma[design.row_bin, label] += 0.9
    sticky = _sticky(n_states)
    first = np.full(n_states, 1.0)
    posterior = Posterior(gamma, sticky * (design.n_bins / n_states), first, np.zeros(1))
    return m_step(problem, posterior, np.repeat(base[None], n_states, axis=0), max_newton=3)


def _perturbed(problem: Problem, base: np.ndarray, n_states: int, rng: np.random.Generator) -> Parameters:
    theta = np.repeat(base[None], n_states, axis=0)
    size = _PERTURBATION / np.sqrt(problem.design.columns[:, 1:].var(axis=0).sum() + 1e-12)
    noise = size * rng.standard_normal(theta[:, 1:].shape)
    theta[:, 1:] += noise if problem.penalty.free is None else noise * problem.penalty.free[1:]
    return Parameters(theta, np.full(n_states, 1.0 / n_states), _sticky(n_states))


def _sticky(n_states: int) -> np.ndarray:
    transition = np.full((n_states, n_states), (1.0 - _STAY) / (n_states - 1))
    np.fill_diagonal(transition, _STAY)
    return transition
