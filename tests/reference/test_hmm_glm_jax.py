"""Derivatives of the HMM-GLM against automatic differentiation."""

from __future__ import annotations

import jax
import jax.scipy.special
import numpy as np
import pytest

from neurodata.containers import make_counts
from neurodata.kernels.poisson_nb import LINKS
from neurodata.models.hmm_glm.basis import raised_cosine, refractory
from neurodata.models.hmm_glm.design import Design, Layout, build_design
from neurodata.models.hmm_glm.em import Parameters, e_step
from neurodata.models.hmm_glm.mstep import gram_matrices
from neurodata.models.hmm_glm.passes import Passes, StateRows
from neurodata.models.sequences import read_counts

N_STATES = 3


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def make_design() -> Design:
    """Two sequences, some counts missing."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, (2, 60, 3)).astype(float)
    counts[0, 20, 1] = counts[1, 30:32] = np.nan
    layout = Layout(3, raised_cosine(2, 4), refractory(1, 2))
    return build_design(read_counts([make_counts(one, 0.02) for one in counts]), layout)


def make_parameters(design: Design) -> Parameters:
    rng = np.random.default_rng(1)
    theta = 0.4 * rng.standard_normal((N_STATES, design.columns.shape[1], 3))
    transition = rng.dirichlet(np.ones(N_STATES), size=N_STATES)
    return Parameters(theta, rng.dirichlet(np.ones(N_STATES)), transition)


def means(eta, link):
    jnp = jax.numpy
    return {"exp": jnp.exp, "softplus": jax.nn.softplus, "sigmoid": jax.nn.sigmoid}[link](eta)


def terms(design: Design, theta, link):
    """Log-likelihood (row, state, unit) without factorials, 0 where not observed."""
    jnp = jax.numpy
    mean = means(jnp.einsum("rc,scn->rsn", design.columns, theta), link)
    counts = design.counts[:, None]
    return jnp.where(counts >= 0, counts * jnp.log(mean) - mean, 0.0)


def log_likelihood(design: Design, theta, initial, transition, link):
    """Log-likelihood of all sequences: the forward recursion in log space, bin after bin."""
    jnp = jax.numpy
    by_bin = jnp.zeros((design.n_bins, N_STATES)).at[design.row_bin].set(terms(design, theta, link).sum(axis=2))
    total = 0.0
    for a, b in zip(design.starts[:-1], design.starts[1:], strict=True):
        alpha = jnp.log(initial) + by_bin[a]
        for t in range(a + 1, b):
            alpha = jax.scipy.special.logsumexp(alpha[:, None] + jnp.log(transition), axis=0) + by_bin[t]
        total += jax.scipy.special.logsumexp(alpha)
    return total


@pytest.mark.parametrize("link", LINKS)
def test_gradient_of_the_marginal_likelihood(link):
    """The M-step's gradient at the E-step's posterior is that of the likelihood with the states summed out."""
    design = make_design()
    at = make_parameters(design)
    posterior = e_step(design, at, LINKS[link])
    value, gradient = jax.value_and_grad(lambda theta: log_likelihood(design, theta, at.initial, at.transition, link))(
        at.theta
    )
    np.testing.assert_allclose(posterior.log_z.sum(), value, rtol=1e-10)
    with Passes() as passes:
        for s in range(N_STATES):
            rows = StateRows(design.columns, design.counts, posterior.gamma[design.row_bin, s].copy())
            found = passes.derivatives(rows, at.theta[s], LINKS[link])[1]
            np.testing.assert_allclose(found, gradient[s], rtol=1e-8, atol=1e-10)


def test_expected_transitions_are_the_gradient_by_their_logarithms():
    design = make_design()
    at = make_parameters(design)
    posterior = e_step(design, at, LINKS["exp"])
    initial, transition = jax.grad(
        lambda first, pair: log_likelihood(design, at.theta, jax.numpy.exp(first), jax.numpy.exp(pair), "exp"),
        argnums=(0, 1),
    )(np.log(at.initial), np.log(at.transition))
    np.testing.assert_allclose(posterior.pair, transition, rtol=1e-8)
    np.testing.assert_allclose(posterior.first, initial, rtol=1e-8)


@pytest.mark.parametrize("link", LINKS)
def test_curvature_is_the_hessian_expected_over_counts(link):
    """Counts put at their means make the observed information of a Poisson regression the expected one."""
    design = make_design()
    theta = make_parameters(design).theta[0]
    weight = np.random.default_rng(2).random(len(design.columns))
    rows = StateRows(design.columns, design.counts, weight)
    jnp = jax.numpy
    for unit in range(3):
        seen = design.counts[:, unit] >= 0
        expected = means(design.columns @ theta[:, unit], link)

        def value(coefficients, seen=seen, expected=expected):
            mean = means(design.columns @ coefficients, link)
            return jnp.where(seen, weight * (expected * jnp.log(mean) - mean), 0.0).sum()

        hessian = jax.hessian(value)(theta[:, unit])
        np.testing.assert_allclose(
            gram_matrices(rows, theta, LINKS[link], unit), -hessian, rtol=1e-8, atol=1e-8 * np.abs(hessian).max()
        )
