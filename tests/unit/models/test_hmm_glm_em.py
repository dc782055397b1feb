"""The M-step's derivatives and steps, and EM's course, on small problems."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from neurodata.containers import make_counts
from neurodata.kernels.poisson_nb import LINKS, mean_of, weighted_terms
from neurodata.models.hmm_glm import mstep, passes
from neurodata.models.hmm_glm.basis import exponential, raised_cosine, refractory
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.hmm_glm.em import Parameters, Problem, advance, begin, e_step
from neurodata.models.hmm_glm.starts import intercept_guess, one_state, start, window_of_row
from neurodata.models.sequences import read_counts


def make_problem(link="exp", shared=False, own=False, n_bins=400, n_units=3, ridge=2.0, counts=None):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.6, (n_bins, n_units)) if counts is None else counts
    layout = Layout(counts.shape[1], raised_cosine(2, 3), refractory(1, 3) if own else None)
    design = build_design(read_counts(make_counts(counts, 0.02)), layout)
    precision = np.full(layout.n_columns, ridge)
    precision[0] *= 0.01
    centre = np.zeros((layout.n_columns, counts.shape[1]))
    centre[0] = intercept_guess(design, LINKS[link])
    return Problem(design, LINKS[link], mstep.Penalty(precision, centre, layout.free(), shared), 10.0)


def rows_and_theta(problem, n_states=2, scale=0.3):
    rng = np.random.default_rng(1)
    design = problem.design
    gamma = rng.dirichlet(np.ones(n_states), size=len(design.columns))
    rows = passes.select_rows(design.columns, design.counts, gamma, 0.0)
    theta = scale * rng.normal(size=(n_states, design.columns.shape[1], design.counts.shape[1]))
    if problem.penalty.free is not None:
        theta *= problem.penalty.free
    if problem.penalty.shared_intercept:
        theta[:, 0] = theta[0, 0]
    return rows, theta


def derivatives(problem, rows, theta):
    """Value (state, unit) and slope by the predictor, of all rows at once."""
    value, slope = [], []
    for s, r in enumerate(rows):
        eta = r.columns @ theta[s]
        slope.append(np.empty_like(eta))
        mean = mean_of(eta, problem.link)
        value.append(weighted_terms(eta, mean, r.counts, r.weight, problem.link, slope[-1], np.empty_like(eta)))
    return np.stack(value), slope


def objective(problem, rows, theta):
    return derivatives(problem, rows, theta)[0].sum() + problem.penalty.value(theta).sum()


def gradient(problem, rows, theta):
    slope = derivatives(problem, rows, theta)[1]
    full = np.stack([r.columns.T @ g for r, g in zip(rows, slope, strict=True)])
    return mstep._tied(full, problem.penalty) + mstep._tied_penalty_slope(theta, problem.penalty)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("own", [False, True])
def test_gradient_equals_finite_differences(link, own):
    problem = make_problem(link, own=own, n_bins=60)
    rows, theta = rows_and_theta(problem)
    got = gradient(problem, rows, theta)
    for index in np.ndindex(theta.shape):
        if problem.penalty.free is not None and not problem.penalty.free[index[1:]]:
            assert got[index] == 0.0
            continue
        step = np.zeros_like(theta)
        step[index] = 1e-5
        slope = (objective(problem, rows, theta + step) - objective(problem, rows, theta - step)) / 2e-5
        np.testing.assert_allclose(got[index], slope, rtol=1e-6, atol=1e-5)


def test_gradient_by_a_shared_intercept_is_the_sum_over_states():
    problem = make_problem(shared=True, n_bins=60)
    rows, theta = rows_and_theta(problem)
    got = gradient(problem, rows, theta)
    for unit in range(3):
        step = np.zeros_like(theta)
        step[:, 0, unit] = 1e-5
        slope = (objective(problem, rows, theta + step) - objective(problem, rows, theta - step)) / 2e-5
        np.testing.assert_allclose(got[:, 0, unit], slope, rtol=1e-6)


def test_curvature_equals_the_differences_of_the_gradient():
    # With the exponential link the expected curvature is the curvature.
    problem = make_problem("exp", n_bins=80)
    rows, theta = rows_and_theta(problem)
    for unit in range(3):
        curvature = mstep.gram_matrices(rows[1], theta[1], problem.link, unit) + np.diag(
            problem.penalty.precision[0][:, unit]
        )
        for column in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[1, column, unit] = 1e-5
            change = (gradient(problem, rows, theta + step) - gradient(problem, rows, theta - step)) / 2e-5
            np.testing.assert_allclose(-change[1, :, unit], curvature[column], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_maximise_ends_where_the_gradient_vanishes(link, shared, own):
    problem = make_problem(link, shared=shared, own=own)
    rows, theta = rows_and_theta(problem)
    best = mstep.maximise(rows, theta, problem.penalty, problem.link, max_newton=100, max_cg=50, cg_tol=1e-3, tol=1e-13)
    # The gradient at the start is in the hundreds.
    assert np.abs(gradient(problem, rows, best)).max() < 1e-4
    if shared:
        np.testing.assert_array_equal(best[0, 0], best[1, 0])
    if own:
        assert (best[:, ~problem.penalty.free] == 0.0).all()


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_a_step_never_lowers_the_objective_of_any_unit(scale):
    # Starts with predictors in the hundreds: exp of them is beyond any count.
    problem = make_problem("exp")
    rows, theta = rows_and_theta(problem, scale=scale)

    def by_unit(theta):
        return derivatives(problem, rows, theta)[0] + problem.penalty.value(theta)

    value = by_unit(theta)
    for _ in range(15):
        theta = mstep.maximise(rows, theta, problem.penalty, problem.link)
        new = by_unit(theta)
        assert np.isfinite(theta).all()
        assert (new >= value - 1e-9 * np.abs(value)).all()
        value = new


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("index", [0, 1])
def test_objective_never_falls(link, shared, index):
    # Counts without any states: the posterior is diffuse, EM slow, and rows are dropped all the time.
    problem = make_problem(link, shared=shared)
    base = one_state(problem.design, problem.penalty, problem.link)
    run = begin(problem, start(problem, base, 3, index, np.random.default_rng(0)))
    run = advance(problem, run, 40, 0.0)
    course = np.array(run.objective)
    assert len(course) > 10
    assert (np.diff(course) >= -1e-8 * np.abs(course[:-1])).all()


def test_log_likelihood_does_not_depend_on_the_order_of_states():
    problem = make_problem()
    rng = np.random.default_rng(3)
    theta = rng.normal(0, 0.3, (3, problem.design.columns.shape[1], 3))
    parameters = Parameters(theta, rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), size=3))
    order = np.array([2, 0, 1])
    a, b = e_step(problem.design, parameters, problem.link), e_step(problem.design, parameters.permuted(order), 0)
    np.testing.assert_allclose(a.log_z, b.log_z, rtol=1e-12)
    np.testing.assert_allclose(a.gamma[:, order], b.gamma, atol=1e-12)
    np.testing.assert_allclose(problem.log_prior(parameters), problem.log_prior(parameters.permuted(order)))


def test_windows_stay_inside_sequences():
    counts = [make_counts(np.ones((n, 1)), 0.1) for n in (12, 5, 21)]
    design = build_design(read_counts(counts), Layout(1, exponential(2), None))
    owner = window_of_row(design, 8)
    sequence = np.searchsorted(design.starts, design.row_bin, side="right")
    assert (np.diff(owner) >= 0).all()
    for window in np.unique(owner):
        assert len(np.unique(sequence[owner == window])) == 1
        assert (owner == window).sum() <= 8


def test_intercept_guess_gives_the_mean_count():
    for link, mean in (
        ("exp", np.exp),
        ("softplus", lambda e: np.logaddexp(0, e)),
        ("sigmoid", expit),
    ):
        problem = make_problem(link)
        design = problem.design
        expected = (design.n_spikes + 0.5) / (design.n_observed + 1)
        np.testing.assert_allclose(mean(intercept_guess(design, LINKS[link])), expected)
