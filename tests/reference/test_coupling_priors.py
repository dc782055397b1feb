"""The priors of couplings against sums over all configurations, quadrature and plain linear algebra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import multivariate_normal, norm

import neurodata as nd
from neurodata.kernels.type_urn_nb import urn_evidence, urn_posterior, urn_table
from neurodata.models.hmm_glm import onehot, shared_mean
from neurodata.models.hmm_glm.basis import raised_cosine
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.hmm_glm.shape import learn_shapes, with_shapes
from neurodata.models.sequences import read_counts


@pytest.mark.parametrize("n_states", [1, 2, 4])
def test_types_against_all_configurations(n_states):
    rng = np.random.default_rng(n_states)
    log_likelihood = 2.0 * rng.standard_normal((3, n_states, 3))
    concentration, share = 2.5, np.array([0.15, 0.6, 0.25])
    alpha = concentration * share
    weight = np.zeros((3, n_states, 3))
    total = np.zeros(3)
    for types in itertools.product(range(3), repeat=n_states):
        count = np.bincount(types, minlength=3)
        log_p = (gammaln(alpha + count) - gammaln(alpha)).sum() + gammaln(concentration)
        log_p -= gammaln(concentration + n_states)
        p = np.exp(log_p + log_likelihood[:, range(n_states), types].sum(axis=1))
        total += p
        for s, k in enumerate(types):
            weight[:, s, k] += p
    found = np.empty_like(weight)
    table = urn_table(concentration, share, n_states)
    evidence = urn_posterior(log_likelihood, table, found)
    np.testing.assert_allclose(found, weight / total[:, None, None], rtol=1e-10)
    np.testing.assert_allclose(evidence, np.log(total), rtol=1e-10)
    np.testing.assert_allclose(urn_evidence(log_likelihood, table), np.log(total), rtol=1e-10)


def test_moments_of_each_type_against_quadrature():
    prior = onehot.TypePrior(0.8, 0.4, 0.5, 0.7, 0.05, 3.0, (0.1, 0.8, 0.1))
    w = np.linspace(-6.0, 6.0, 240001)
    for mean, variance in ((0.3, 0.02), (-1.2, 0.1), (0.0, 0.5)):
        log_likelihood, first, second = onehot.type_terms(np.array(mean), np.array(variance), prior)
        density = (
            norm.pdf(w, -0.5, 0.7) * np.heaviside(-w, 0.5) / norm.cdf(0.5 / 0.7),
            norm.pdf(w, 0.0, 0.05),
            norm.pdf(w, 0.8, 0.4) * np.heaviside(w, 0.5) / norm.cdf(0.8 / 0.4),
        )
        for k in range(3):
            joint = density[k] * norm.pdf(mean, w, np.sqrt(variance))
            mass = np.trapezoid(joint, w)
            assert log_likelihood[k] == pytest.approx(np.log(mass), abs=1e-4)
            assert first[k] == pytest.approx(np.trapezoid(w * joint, w) / mass, abs=1e-4)
            assert second[k] == pytest.approx(np.trapezoid(w**2 * joint, w) / mass, abs=1e-4)


def test_shared_mean_against_the_joint_gaussian():
    rng = np.random.default_rng(0)
    prior = shared_mean.MeanPrior(0.7, 0.3)
    variance = rng.uniform(0.05, 0.5, (3, 2))
    mean = rng.standard_normal((3, 2))
    centre, spread, shared = shared_mean.posterior(mean, variance, prior)
    total = 0.0
    for pair in range(2):
        # Unknowns: the three weights and mu; the prior of all four is Gaussian.
        cov = np.full((4, 4), 0.7**2)
        cov[:3, :3] += 0.3**2 * np.eye(3)
        observe = np.eye(3, 4)
        noise = np.diag(variance[:, pair])
        gain = cov @ observe.T @ np.linalg.inv(observe @ cov @ observe.T + noise)
        expected = gain @ mean[:, pair]
        after = cov - gain @ observe @ cov
        np.testing.assert_allclose(centre[:, pair], expected[:3], rtol=1e-10)
        np.testing.assert_allclose(shared[pair], expected[3], rtol=1e-10)
        np.testing.assert_allclose(spread[:, pair], np.diag(after)[:3], rtol=1e-10)
        total += multivariate_normal.logpdf(mean[:, pair], np.zeros(3), observe @ cov @ observe.T + noise)
    assert shared_mean.log_evidence(mean, variance, prior) == pytest.approx(total, rel=1e-10)


def draw(rng, n_states, n_pairs, prior, variance):
    """Weights from the prior itself, and noisy summaries of them."""
    p = rng.dirichlet(prior.concentration * np.array(prior.share), n_pairs)
    kind = np.array([rng.choice(3, size=n_states, p=row) for row in p]).T - 1
    strength = np.zeros((n_states, n_pairs))
    for sign, mean, sd in (
        (-1, prior.inhibitory_mean, prior.inhibitory_sd),
        (1, prior.excitatory_mean, prior.excitatory_sd),
    ):
        draws = mean + sd * rng.standard_normal((200, n_states, n_pairs))
        first = np.argmax(draws > 0, axis=0)
        strength = np.where(kind == sign, np.take_along_axis(draws, first[None], axis=0)[0] * sign, strength)
    weight = np.where(kind == 0, prior.none_sd * rng.standard_normal(kind.shape), strength)
    return kind, weight, weight + np.sqrt(variance) * rng.standard_normal(kind.shape)


@pytest.mark.statistical
def test_types_are_calibrated_and_their_prior_is_learned():
    truth = onehot.TypePrior(0.8, 0.3, 0.9, 0.3, 0.02, 2.0, (0.1, 0.8, 0.1))
    variance = np.full((4, 3000), 0.03)
    kind, weight, mean = draw(np.random.default_rng(5), 4, 3000, truth, variance)
    prior = onehot.learn_prior(mean, variance)
    assert prior.excitatory_mean == pytest.approx(0.8, abs=0.15)
    assert prior.share[1] == pytest.approx(0.8, abs=0.03)
    found = onehot.posterior(mean, variance, prior)
    for k in range(3):
        p = found.probability[..., k].ravel()
        hit = (kind == k - 1).ravel()
        for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
            some = (p > low) & (p < high)
            # States of one pair are not independent: the binomial error is doubled.
            error = 2.0 * np.sqrt(p[some].mean() * (1 - p[some].mean()) / some.sum())
            assert hit[some].mean() == pytest.approx(p[some].mean(), abs=3.0 * error)
    inside = np.abs(found.mean - weight) < 1.96 * np.sqrt(found.variance)
    assert 0.94 < inside.mean() < 0.985  # mixtures are not Gaussian, so not exactly 0.95


def test_dale_gives_a_presynaptic_unit_one_sign():
    prior = onehot.TypePrior(0.8, 0.3, 0.8, 0.3, 0.02, 3.0, (0.1, 0.8, 0.1))
    # Unit 0 excites clearly; its third target looks weakly inhibited.
    mean = np.array([[0.9, 1.0, -0.35]])
    variance = np.full((1, 3), 0.02)
    label = np.zeros(3, dtype=np.int64)
    free = onehot.posterior(mean, variance, prior)
    tied = onehot.posterior(mean, variance, prior, label)
    assert free.probability[0, 2, 0] > 0.3
    assert tied.probability[0, 2, 0] < 1e-3
    np.testing.assert_allclose(tied.probability.sum(axis=-1), 1.0, atol=1e-9)


def shaped_regression(rng, course, n_units=12, n_bins=4000):
    """A design of random counts, and coefficients (column, unit): strengths times a course, and noise."""
    basis = raised_cosine(4, 10)
    counts = nd.containers.make_counts(rng.poisson(rng.uniform(0.1, 0.5, n_units), (n_bins, n_units)), 0.005)
    layout = Layout(n_units, basis, None)
    design = build_design(read_counts(counts), layout)
    strength = rng.standard_normal((n_units, n_units)) * (rng.random((n_units, n_units)) < 0.3)
    coupling = strength[:, None] * course[None, :, None] + 0.02 * rng.standard_normal((n_units, 4, n_units))
    theta = np.concatenate([np.full((1, n_units), -1.0), coupling.reshape(-1, n_units)])
    return layout, design, theta


def test_common_course_is_found():
    course = np.array([0.1, 0.5, 0.3, 0.1])
    layout, design, theta = shaped_regression(np.random.default_rng(0), course)
    shapes = learn_shapes(design, layout, theta)
    found, true = shapes[0] @ layout.basis, course @ layout.basis
    np.testing.assert_allclose(found.sum(), 1.0)
    np.testing.assert_allclose(found, true / true.sum(), atol=0.03)


def test_other_shapes_are_the_same_regression():
    layout, design, theta = shaped_regression(np.random.default_rng(1), np.array([0.4, -0.2, 0.1, 0.3]))
    predictor = design.columns @ theta
    filters = layout.filters(*layout.coefficients(theta[None]))
    shapes = learn_shapes(design, layout, theta)
    new_layout, new_design, new_theta = with_shapes(shapes, layout, design, theta)
    np.testing.assert_allclose(new_design.columns @ new_theta, predictor, atol=1e-9)
    np.testing.assert_allclose(new_layout.filters(*new_layout.coefficients(new_theta[None])), filters, atol=1e-9)
    # Regressors of one unit's contrasts are not correlated with that of its course, on average over units.
    columns = new_design.columns[:, 1:].reshape(-1, layout.n_units, 4)
    covariance = np.mean([np.cov(columns[:, m].T) for m in range(layout.n_units)], axis=0)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(covariance / scale, np.eye(4), atol=1e-6)
