"""Matrix-normal inverse-Wishart draws and densities against SciPy's two halves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import invwishart, kstest, matrix_normal, multivariate_normal, t

from neurodata.kernels import matrix_normal_nb as mn
from neurodata.kernels.linear_dynamics_nb import step_sums

M = 2
CENTRE = np.array([[0.5, -0.2, 1.0], [0.1, 0.8, -0.4]])
COLUMNS = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 0.7]])
SCALE = np.array([[1.0, 0.3], [0.3, 0.5]])
DOF = 11.0
N = 40_000


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    transition, offset, noise = np.empty((N, M, M)), np.empty((N, M)), np.empty((N, M, M))
    for k in range(N):
        mn.draw(rng, CENTRE, COLUMNS, SCALE, DOF, transition[k], offset[k], noise[k])
    return np.concatenate([transition, offset[..., None]], axis=2), noise


def within(values, expected, z=4.5):
    """Means over draws within z standard errors."""
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) < z * error).all()


def test_moments_of_the_noise(draws):
    noise = draws[1]
    law = invwishart(DOF, SCALE)
    within(noise, law.mean())
    # Diagonal only: SciPy gives the variances of elements.
    within((noise - law.mean()) ** 2, law.var())
    within(np.linalg.inv(noise), DOF * np.linalg.inv(SCALE))


def test_moments_of_the_coefficients(draws):
    coefficients, noise = draws
    within(coefficients, CENTRE)
    away = coefficients - CENTRE
    # Given Q, rows covary as Q and columns as the inverse of their precision.
    expected = np.einsum("ij,ab->iajb", SCALE / (DOF - M - 1), np.linalg.inv(COLUMNS))
    within(np.einsum("nia,njb->niajb", away, away), expected)
    white = np.einsum("nij,nia,njb->nab", np.linalg.inv(noise), away, away)
    within(white, M * np.linalg.inv(COLUMNS))


def test_an_element_with_the_noise_integrated_out_is_a_student(draws):
    coefficients, noise = draws
    dof = DOF - M + 1
    spread = np.sqrt(SCALE[0, 0] * np.linalg.inv(COLUMNS)[2, 2] / dof)
    assert kstest(coefficients[:, 0, 2], t(dof, CENTRE[0, 2], spread).cdf).pvalue > 1e-3
    # A diagonal element of an inverse Wishart is one of size 1.
    assert kstest(noise[:, 1, 1], invwishart(dof, SCALE[1, 1]).rvs(N, random_state=1)).pvalue > 1e-3


def log_density(coefficients, noise, centre=CENTRE, columns=COLUMNS, scale=SCALE, dof=DOF):
    transition, offset = np.ascontiguousarray(coefficients[:, :M]), np.ascontiguousarray(coefficients[:, M])
    return mn.log_density(transition, offset, noise, centre, columns, scale, dof)


def test_log_density(draws):
    for coefficients, noise in zip(draws[0][:20], draws[1][:20], strict=True):
        expected = invwishart.logpdf(noise, DOF, SCALE)
        expected += matrix_normal.logpdf(coefficients, CENTRE, noise, np.linalg.inv(COLUMNS))
        assert log_density(coefficients, noise) == pytest.approx(expected, rel=1e-10)


def test_posterior(draws):
    """Prior times likelihood over posterior is the evidence, the same for all dynamics."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((8, M))
    cross, inputs = np.empty((1, M, M + 1)), np.empty((1, M + 1, M + 1))
    outputs, count = np.empty((1, M, M)), np.empty(1)
    step_sums(x, np.array([0, 8]), np.zeros(8, dtype=np.int64), cross, inputs, outputs, count)
    centre, columns, scale = np.empty((M, M + 1)), np.empty((M + 1, M + 1)), np.empty((M, M))
    mn.posterior(cross[0], inputs[0], outputs[0], CENTRE, COLUMNS, SCALE, centre, columns, scale)
    evidence = []
    for coefficients, noise in zip(draws[0][:10], draws[1][:10], strict=True):
        value = log_density(coefficients, noise) - log_density(coefficients, noise, centre, columns, scale, DOF + 7)
        for k in range(1, 8):
            value += multivariate_normal.logpdf(x[k], coefficients @ np.append(x[k - 1], 1.0), noise)
        evidence.append(value)
    np.testing.assert_allclose(evidence, evidence[0], rtol=1e-9)


def test_compiled_and_plain_draws_agree():
    found = []
    for f in (mn.draw, mn.draw.py_func):
        out = np.empty((M, M)), np.empty(M), np.empty((M, M))
        f(np.random.default_rng(4), CENTRE, COLUMNS, SCALE, DOF, *out)
        found.append(out)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)
