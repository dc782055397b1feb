"""Curvatures by any method, and the quadratic stand-in for the data, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.hmm_glm.em import Parameters, Problem, begin
from neurodata.models.hmm_glm.laplace import Curvatures, Quadratic
from neurodata.models.hmm_glm.mstep import Penalty
from neurodata.models.hmm_glm.passes import StateRows, stretched
from neurodata.models.sequences import read_counts

N_UNITS, N_BINS = 3, 20_000
BASIS = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    counts = nd.containers.make_counts(rng.poisson([0.3, 0.6, 1.0], (N_BINS, N_UNITS)), bin_width=0.01)
    layout = Layout(N_UNITS, BASIS, None)
    design = build_design(read_counts(counts), layout)
    centre = np.zeros((layout.n_columns, N_UNITS))
    precision = rng.uniform(1.0, 20.0, (2, layout.n_columns, N_UNITS))
    return Problem(design, 0, Penalty(precision, centre, None, False), 10.0), layout


@pytest.fixture(scope="module")
def run(problem):
    theta = 0.1 * np.random.default_rng(1).standard_normal((2, 1 + N_UNITS * len(BASIS), N_UNITS))
    theta[:, 0] = np.log([[0.3, 0.6, 1.0], [0.4, 0.5, 0.8]])
    transition = np.array([[0.95, 0.05], [0.1, 0.9]])
    return begin(problem[0], Parameters(theta, np.full(2, 0.5), transition))


def _curvature(problem: Problem, run, state: int, post: int) -> np.ndarray:
    """Sum over rows of gamma * mean * x x', one by one."""
    design = problem.design
    total = np.zeros((design.columns.shape[1],) * 2)
    for x, weight in zip(design.columns, run.posterior.gamma[design.row_bin, state], strict=True):
        total += weight * np.exp(x @ run.parameters.theta[state, :, post]) * np.outer(x, x)
    return total


@pytest.mark.parametrize(
    ("most_work", "method", "off"), [(1e12, "exact", 1e-3), (1.2e6, "sampled", 0.1), (1e4, "shared", 0.2)]
)
def test_curvatures_by_every_method(problem, run, most_work, method, off):
    curvatures = Curvatures(*problem, run.parameters.theta, run.posterior, most_work)
    assert curvatures.method == method
    found = {(state, post): matrix for state, post, matrix in curvatures}
    assert sorted(found) == [(s, p) for s in range(2) for p in range(N_UNITS)]
    for (state, post), matrix in found.items():
        if (state, post) in {(0, 1), (1, 2)}:
            expected = _curvature(problem[0], run, state, post)
            scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
            assert np.abs((matrix - expected) / scale).max() < off


def test_too_little_memory_for_all_curvatures_makes_units_share_one(problem, run):
    curvatures = Curvatures(*problem, run.parameters.theta, run.posterior, most_bytes=100.0)
    assert curvatures.method == "shared"


def test_the_quadratic_has_the_maximum_and_variance_of_a_newton_step(problem, run):
    data = Quadratic(*problem, run.parameters.theta, run.posterior, 1e12)
    theta, variance = data.maximum(problem[0].penalty)
    design = problem[0].design
    for state, post in [(0, 0), (1, 2)]:
        here = run.parameters.theta[state, :, post]
        precision = problem[0].penalty.precision[state, :, post]
        gamma = run.posterior.gamma[design.row_bin, state]
        slope = design.columns.T @ (gamma * (design.counts[:, post] - np.exp(design.columns @ here)))
        matrix = _curvature(problem[0], run, state, post) + np.diag(precision)
        expected = here + np.linalg.solve(matrix, slope - precision * here)
        np.testing.assert_allclose(theta[state, :, post], expected, atol=1e-3 * np.abs(expected).max())
        np.testing.assert_allclose(variance[state, :, post], np.diag(np.linalg.inv(matrix)), rtol=1e-3)


def test_sampled_rows_come_one_from_each_stretch():
    rows = StateRows(np.arange(1000.0)[:, None], np.arange(1000, dtype=np.int32)[:, None], np.arange(1000.0))
    part = rows.at(stretched(1000, 100))
    np.testing.assert_array_equal(part.counts[:, 0] // 10, np.arange(100))
    np.testing.assert_array_equal(part.weight, part.columns[:, 0])
    np.testing.assert_array_equal(stretched(1000, 2000), np.arange(1000))
