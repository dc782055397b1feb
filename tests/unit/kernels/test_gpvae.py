"""Terms of the evidence lower bound, against dense processes, quadrature and Monte Carlo."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit

from neurodata.kernels import gp_fourier, spectra_jx
from neurodata.kernels import gpvae_jx as gp
from neurodata.kernels.gpvae_refine_jx import refined
from neurodata.kernels.information_jx import weight
from neurodata.kernels.observation_jx import (
    expected_log_lik,
    information,
    low_rank_log_lik,
    low_rank_precision,
    mean_response,
)

N_BINS, LENGTH, LONGEST = 20, 3.0, 6.0


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def kernel(name, lag, length, period):
    r = np.abs(lag)
    return {
        "rbf": np.exp(-0.5 * (r / length) ** 2),
        "matern12": np.exp(-r / length),
        "matern32": (1 + np.sqrt(3) * r / length) * np.exp(-np.sqrt(3) * r / length),
        "matern52": (1 + np.sqrt(5) * r / length + 5 * r**2 / (3 * length**2)) * np.exp(-np.sqrt(5) * r / length),
        "periodic": np.exp(-0.5 * (r / length) ** 2) * np.cos(2 * np.pi * r / period),
    }[name]


@pytest.mark.parametrize("name", spectra_jx.KERNELS)
def test_densities_are_those_of_the_kernels(name):
    lag = np.linspace(0.0, 8.0, 9)
    omega = np.linspace(-4000.0, 4000.0, 4_000_001)
    density = np.asarray(spectra_jx.density(name, omega, 2.0, 1.5))
    found = [np.trapezoid(density * np.cos(omega * r), omega) / (2 * np.pi) for r in lag]
    # Matern 1/2 has a tail of 1 / w^2, of which 1 / (pi 4000) is cut off.
    np.testing.assert_allclose(found, kernel(name, lag, 2.0, 1.5), atol=3e-4 if name == "matern12" else 1e-6)


def geometry(n_bins=N_BINS, harmonics=40):
    circle = gp_fourier.circumference(n_bins, LONGEST)
    return {
        "basis": jnp.asarray(gp_fourier.basis(np.arange(n_bins), circle, harmonics)),
        "omega": jnp.asarray(gp_fourier.frequencies(circle, harmonics)),
    }


def prior_and_raw(kernel_name="rbf", n_latents=1):
    prior = gp.Prior(kernel_name, 1.0, LONGEST)
    raw = np.log((np.log(LENGTH) - np.log(1.0)) / (np.log(LONGEST) - np.log(LENGTH)))
    return prior, {"length": jnp.full(n_latents, raw), "log_period": jnp.zeros(n_latents)}


def test_courses_have_the_covariance_of_the_process_and_do_not_wrap():
    prior, params = prior_and_raw()
    np.testing.assert_allclose(gp.length_scale(params["length"], prior), LENGTH, rtol=1e-12)
    g = geometry()
    weighted = np.asarray(gp.root_density(params, prior, g["omega"]))[0][:, None] * np.asarray(g["basis"])
    lag = np.arange(N_BINS)[:, None] - np.arange(N_BINS)
    np.testing.assert_allclose(weighted.T @ weighted, kernel("rbf", lag, LENGTH, 1.0), atol=1e-6)


def test_pruning_keeps_the_variance():
    circle = gp_fourier.circumference(100.0, 10.0)
    k = np.arange(500)
    harmonics = gp_fourier.n_harmonics(np.asarray(spectra_jx.density("rbf", 2 * np.pi * k / circle, 3.0, 1.0)))
    omega = gp_fourier.frequencies(circle, harmonics)
    kept = np.asarray(spectra_jx.density("rbf", omega, 3.0, 1.0)).sum() / circle
    assert 1.0 - 1.1 * gp_fourier.PRUNED < kept <= 1.0
    assert harmonics < 40


@pytest.mark.parametrize("kind", ["poisson", "negbin", "gaussian", "bernoulli"])
def test_expected_log_likelihoods_against_quadrature(kind):
    rng = np.random.default_rng(0)
    y = (rng.random(6) < 0.5) * 1.0 if kind == "bernoulli" else rng.poisson(2.0, 6) * 1.0
    mean, var, log_noise = rng.normal(size=6), rng.uniform(0.05, 0.4, 6), rng.normal(size=6)

    def log_p(one, h, noise):
        if kind == "poisson":
            return stats.poisson.logpmf(one, np.exp(h))
        if kind == "negbin":
            size = np.exp(noise)
            return stats.nbinom.logpmf(one, size, size / (size + np.exp(h)))
        if kind == "gaussian":
            return stats.norm.logpdf(one, h, np.exp(0.5 * noise))
        return stats.bernoulli.logpmf(int(one), expit(h))

    expected = [
        quad(lambda h, k=k: log_p(y[k], h, log_noise[k]) * stats.norm.pdf(h, mean[k], np.sqrt(var[k])), -9, 9)[0]
        for k in range(6)
    ]
    np.testing.assert_allclose(expected_log_lik(kind, y, mean, var, log_noise), expected, atol=1e-6)
    np.testing.assert_allclose(
        expected_log_lik(kind, y, mean, None, log_noise),
        [log_p(*args) for args in zip(y, mean, log_noise, strict=True)],
        atol=1e-9,
    )
    response = {"gaussian": lambda h: h, "bernoulli": expit}.get(kind, np.exp)
    means = [quad(lambda h, k=k: response(h) * stats.norm.pdf(h, mean[k], np.sqrt(var[k])), -9, 9)[0] for k in range(6)]
    np.testing.assert_allclose(mean_response(kind, mean, var), means, atol=1e-6)


@pytest.mark.parametrize("kind", ["poisson", "negbin", "gaussian", "bernoulli"])
def test_information_is_the_variance_of_the_score(kind):
    h, log_noise = np.array([0.3]), np.array([0.4])
    size, rate, p = np.exp(0.4), np.exp(0.3), expit(0.3)
    if kind == "gaussian":
        assert information(kind, h, log_noise)[0] == pytest.approx(np.exp(-0.4))
        return
    law = {
        "poisson": stats.poisson(rate),
        "negbin": stats.nbinom(size, size / (size + rate)),
        "bernoulli": stats.bernoulli(p),
    }
    y = np.arange(0, 2 if kind == "bernoulli" else 200) * 1.0
    score = jax.vmap(jax.grad(lambda x, one: expected_log_lik(kind, one, x, None, log_noise)[0], 0), (None, 0))
    found = np.asarray(score(jnp.asarray(h), jnp.asarray(y)))[:, 0]
    np.testing.assert_allclose(information(kind, h, log_noise)[0], (law[kind].pmf(y) * found**2).sum(), rtol=1e-8)


def test_low_rank_noise_against_dense():
    rng = np.random.default_rng(1)
    residual, log_noise, factor = rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=(5, 2))
    dense = np.diag(np.exp(log_noise)) + factor @ factor.T
    seen = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=float)
    found = low_rank_log_lik(residual, seen, log_noise, factor)
    for k in range(4):
        i = np.flatnonzero(seen[k])
        expected = stats.multivariate_normal.logpdf(residual[k, i], cov=dense[np.ix_(i, i)]) if len(i) else 0.0
        assert found[k] == pytest.approx(expected, abs=1e-9)
    whole = low_rank_log_lik(residual, np.array([[1.0], [1.0], [0.0], [1.0]]), log_noise, factor)
    expected = stats.multivariate_normal.logpdf(residual, cov=dense) * [1, 1, 0, 1]
    np.testing.assert_allclose(whole, expected, atol=1e-9)
    right = rng.normal(size=(5, 3, 2))
    solved = np.linalg.solve(dense, right.reshape(5, -1)).reshape(5, 3, 2)
    np.testing.assert_allclose(low_rank_precision(log_noise, factor, right), solved, atol=1e-9)


def linear(likelihood, n_channels=8, n_latents=2, rank=0, seed=2):
    """A linear modality, its parameters and data of it with bins that are missing."""
    rng = np.random.default_rng(seed)
    m = gp.Modality("x", (n_channels,), likelihood, "linear", (4,), tuple(range(n_latents)), rank)
    params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), float), gp.init_modality(jax.random.PRNGKey(0), m))
    params["decoder"] = {"weight": jnp.asarray(rng.normal(size=(n_latents, n_channels))), "bias": jnp.zeros(n_channels)}
    params["log_noise"] = jnp.asarray(rng.normal(size=n_channels) * 0.3)
    if rank:
        params["factor"] = jnp.asarray(rng.normal(size=(n_channels, rank)))
    observed = (rng.random((3, N_BINS, n_channels)) < 0.8) * 1.0
    observed[1, 5:9] = 0.0
    y = rng.poisson(1.0, observed.shape) if likelihood == "poisson" else rng.normal(size=observed.shape)
    return m, params, {"y": jnp.asarray(y * observed), "observed": jnp.asarray(observed)}


def dense_posterior(m, params, data, trial):
    """Mean and covariance (T K) of gaussian courses given gaussian data, in the time domain."""
    lag = np.arange(N_BINS)[:, None] - np.arange(N_BINS)
    k = len(m.latents)
    prior = np.kron(kernel("rbf", lag, LENGTH, 1.0), np.eye(k))
    weight_, noise = np.asarray(params["decoder"]["weight"]), np.diag(np.exp(np.asarray(params["log_noise"])))
    if m.rank:
        noise = noise + np.asarray(params["factor"]) @ np.asarray(params["factor"]).T
    design = np.kron(np.eye(N_BINS), weight_.T)
    seen = np.asarray(data["observed"][trial]).ravel() > 0
    design, y = design[seen], np.asarray(data["y"][trial]).ravel()[seen]
    cov = design @ prior @ design.T + np.kron(np.eye(N_BINS), noise)[np.ix_(seen, seen)]
    gain = prior @ design.T @ np.linalg.inv(cov)
    return (gain @ y).reshape(N_BINS, k), prior - gain @ design @ prior, np.trace(gain @ design)


@pytest.mark.parametrize("rank", [0, 2])
def test_gaussian_posterior_is_that_of_the_dense_process(rank):
    m, params, data = linear("gaussian", rank=rank)
    prior, shared = prior_and_raw(n_latents=2)
    g = geometry()
    start = jnp.zeros((3, 2, len(g["omega"])))
    mean, cov, _, left = refined({**shared, "x": params}, (m,), prior, {"x": data}, g, {"x": 1.0}, start)
    for trial in range(3):
        expected, dense, known = dense_posterior(m, params, data, trial)
        np.testing.assert_allclose(mean[trial], expected, atol=1e-5)
        determined = 2 * len(g["omega"]) - np.trace(left[trial])
        assert float(determined) == pytest.approx(known, abs=1e-4)
        blocks = np.stack([dense[2 * t : 2 * t + 2, 2 * t : 2 * t + 2] for t in range(N_BINS)])
        np.testing.assert_allclose(cov[trial], blocks, atol=1e-5)


def test_poisson_posterior_is_stationary():
    m, params, data = linear("poisson")
    prior, shared = prior_and_raw(n_latents=2)
    g = geometry()
    weighted = np.asarray(gp.root_density(shared, prior, g["omega"]))[:, :, None] * np.asarray(g["basis"])
    start = jnp.zeros((3, 2, len(g["omega"])))
    mean, cov, a, _ = refined({**shared, "x": params}, (m,), prior, {"x": data}, g, {"x": 0.7}, start, n_steps=30)
    weight_ = np.asarray(params["decoder"]["weight"])
    var = np.einsum("kp,ntkl,lp->ntp", weight_, cov, weight_)
    score = (np.asarray(data["y"]) - np.exp(mean @ weight_ + 0.5 * var)) * np.asarray(data["observed"])
    slope = np.einsum("ntp,kp,kft->nkf", 0.7 * score, weight_, weighted) - np.asarray(a)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_divergence_against_the_closed_form_of_gaussians():
    rng = np.random.default_rng(3)
    whitened, ratio = rng.normal(size=(1, 1, 4)), rng.uniform(0.1, 1.0, (1, 1, 4))
    s = rng.uniform(0.5, 2.0, 4)
    q, p = np.diag(s * ratio[0, 0]), np.diag(s)
    m = np.sqrt(s) * whitened[0, 0]
    inverse = np.linalg.inv(p)
    expected = 0.5 * (np.trace(inverse @ q) + m @ inverse @ m - 4 + np.linalg.slogdet(p)[1] - np.linalg.slogdet(q)[1])
    assert gp.kl(whitened, ratio)[0, 0] == pytest.approx(expected, abs=1e-10)


def test_amortised_mean_is_the_exact_one_given_what_frames_say():
    m, params, data = linear("gaussian", n_latents=1)
    prior, shared = prior_and_raw()
    g, constants = geometry(), {"x": {"centre": jnp.zeros(8), "scale": jnp.ones(8)}}
    everything = {**shared, "x": params}
    whitened, ratio, weighted = gp.amortised(everything, (m,), prior, {"x": data}, constants, g)
    value, tau = gp.encode(params, m, data["y"], data["observed"], constants["x"])
    w = np.asarray(weighted)[0]
    for n in range(3):
        t = np.asarray(tau)[n, :, 0]
        exact = np.linalg.solve(np.eye(len(w)) + (w * t) @ w.T, w @ (t * np.asarray(value)[n, :, 0]))
        np.testing.assert_allclose(w.T @ np.asarray(whitened)[n, 0], w.T @ exact, atol=2e-3)
        np.testing.assert_allclose(1.0 / np.asarray(ratio)[n, 0], 1.0 + (w**2 * t).sum(axis=1), rtol=1e-10)


def test_the_bound_is_below_the_evidence_and_tight_at_the_posterior():
    """Of one channel whose encoder says exactly what the likelihood does, only coefficients' dependence is lost."""
    m, params, data = linear("gaussian", n_channels=1, n_latents=1)
    prior, shared = prior_and_raw()
    params["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])
    w, noise = float(params["decoder"]["weight"][0, 0]), float(jnp.exp(params["log_noise"][0]))
    params["encoder"]["direct"]["weight"] = params["encoder"]["direct"]["weight"].at[0, 0].set(1.0 / w)
    params["encoder"]["direct"]["bias"] = jnp.array([0.0, np.log(np.expm1(w**2 / noise)) + 2.0])
    constants = {"x": {"centre": jnp.zeros(1), "scale": jnp.ones(1)}}
    args = ((m,), prior, {"x": data}, constants, geometry(), {"x": 1.0}, jax.random.PRNGKey(0))
    bounds = np.asarray(gp.bound({**shared, "x": params}, *args))
    lag = np.arange(N_BINS)[:, None] - np.arange(N_BINS)
    for n in range(3):
        i = np.flatnonzero(np.asarray(data["observed"])[n, :, 0])
        cov = w**2 * kernel("rbf", lag, LENGTH, 1.0) + noise * np.eye(N_BINS)
        evidence = stats.multivariate_normal.logpdf(np.asarray(data["y"])[n, i, 0], cov=cov[np.ix_(i, i)])
        assert evidence - 8.0 < bounds[n] < evidence


def test_bound_of_a_network_against_monte_carlo():
    m = gp.Modality("x", (3, 2), "gaussian", "mlp", (5,), (0,), 1)
    params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), float), gp.init_modality(jax.random.PRNGKey(1), m))
    rng = np.random.default_rng(4)
    data = {"y": jnp.asarray(rng.normal(size=(2, 3, 6))), "observed": jnp.ones((2, 3, 1))}
    mean, root = jnp.asarray(rng.normal(size=(2, 3, 1))), jnp.full((2, 3, 1, 1), 0.4)
    keys = jax.random.split(jax.random.PRNGKey(2), 4000)
    found = np.asarray(jax.vmap(lambda key: gp.log_lik(params, m, data, mean, root, key))(keys))
    z = np.asarray(mean) + 0.4 * rng.normal(size=(4000, 2, 3, 1))
    residual = np.asarray(data["y"]) - np.asarray(gp.decode(params, m, jnp.asarray(z)))
    noise = (
        np.diag(np.exp(np.asarray(params["log_noise"]))) + np.asarray(params["factor"]) @ np.asarray(params["factor"]).T
    )
    expected = stats.multivariate_normal.logpdf(residual, cov=noise)
    error = np.sqrt((found.var(axis=0) + expected.var(axis=0)) / 4000)
    assert np.all(np.abs(found.mean(axis=0) - expected.mean(axis=0)) < 4.5 * error)


@pytest.mark.parametrize(("likelihood", "decoder"), [("poisson", "linear"), ("negbin", "mlp"), ("gaussian", "conv")])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_are_finite_at_extremes(likelihood, decoder, scale):
    with jax.enable_x64(False):
        m = gp.Modality("x", (6, 5), likelihood, decoder, (4,), (0,), 2 if likelihood == "gaussian" else 0)
        params = {**prior_and_raw()[1], "x": gp.init_modality(jax.random.PRNGKey(0), m)}
        y = scale * np.random.default_rng(0).poisson(1.0, (2, N_BINS, 30))
        data = {"x": {"y": jnp.asarray(y, jnp.float32), "observed": jnp.ones((2, N_BINS, 1), jnp.float32)}}
        constants = {"x": {"centre": jnp.zeros(30), "scale": jnp.ones(30)}}
        g = {k: v.astype(jnp.float32) for k, v in geometry().items()}

        def total(p):
            args = ((m,), prior_and_raw()[0], data, constants, g, {"x": 1.0}, jax.random.PRNGKey(1))
            return gp.bound(p, *args).sum()

        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(jax.grad(total)(params)))


def test_weights_are_one_for_right_likelihoods_and_less_for_repeated_channels():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(40, N_BINS, 1))
    covariance = jnp.zeros((40, N_BINS, 1, 1))
    m, params, _ = linear("gaussian", n_latents=1)
    noise = rng.normal(size=(40, N_BINS, 8))
    spread = np.exp(0.5 * np.asarray(params["log_noise"]))

    def found(errors):
        y = z @ np.asarray(params["decoder"]["weight"]) + errors * spread
        data = {"y": jnp.asarray(y), "observed": jnp.ones((40, N_BINS, 1))}
        return float(weight(params, m, data, jnp.asarray(z), covariance))

    # Mean square of 800 scores: its standard error is 5 %.
    assert found(noise) > 0.85
    sign = np.sign(np.asarray(params["decoder"]["weight"]))[0]
    assert found(noise[..., :1] * sign) < 0.3
