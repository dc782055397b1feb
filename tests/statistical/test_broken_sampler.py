"""A Gibbs sampler with one conditional 10 % too wide fails both checks of samplers; the right one passes both.

The model: group means theta_j ~ N(mu, 1/tau), two observations of each ~ N(theta_j, 1/lam); mu ~ N(0, 1), tau and lam
~ Gamma(5, 5). Every conditional is conjugate. `widen` multiplies the variance of one of them.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest

import neurodata as nd

THETA, MU, TAU, LAM = range(4)
N_SEEN = 2


@numba.njit
def sweep(rng, theta, mu, tau, lam, y, widen):
    """One Gibbs sweep; changes theta in place."""
    n_groups = theta.size
    precision = tau + N_SEEN * lam
    for j in range(n_groups):
        mean = (tau * mu + lam * y[j].sum()) / precision
        theta[j] = mean + np.sqrt(widen[THETA] / precision) * rng.standard_normal()
    precision = 1 + n_groups * tau
    mu = tau * theta.sum() / precision + np.sqrt(widen[MU] / precision) * rng.standard_normal()
    # A gamma variable whose shape and rate are divided by w has the same mean and w times the variance.
    shape, rate = 5 + n_groups / 2, 5 + 0.5 * ((theta - mu) ** 2).sum()
    tau = rng.standard_gamma(shape / widen[TAU]) * widen[TAU] / rate
    rest = 0.0
    for j in range(n_groups):
        for k in range(N_SEEN):
            rest += (y[j, k] - theta[j]) ** 2
    shape, rate = 5 + n_groups * N_SEEN / 2, 5 + 0.5 * rest
    lam = rng.standard_gamma(shape / widen[LAM]) * widen[LAM] / rate
    return mu, tau, lam


@numba.njit
def chain(rng, y, n_draws, n_warmup, widen):
    theta, mu, tau, lam = np.zeros(y.shape[0]), 0.0, 1.0, 1.0
    thetas, others = np.empty((n_draws, theta.size)), np.empty((n_draws, 3))
    for k in range(-n_warmup, n_draws):
        mu, tau, lam = sweep(rng, theta, mu, tau, lam, y, widen)
        if k >= 0:
            thetas[k] = theta
            others[k] = mu, tau, lam
    return thetas, others


def world(n_groups: int):
    """`prior` and `simulate` of the model."""

    def prior(rng):
        mu, tau, lam = rng.normal(), rng.gamma(5, 1 / 5), rng.gamma(5, 1 / 5)
        return {"theta": rng.normal(mu, tau**-0.5, n_groups), "mu": mu, "tau": tau, "lam": lam}

    def simulate(params, rng):
        return params["theta"][:, None] + params["lam"] ** -0.5 * rng.standard_normal((n_groups, N_SEEN))

    return prior, simulate


def widened(conditional: int | None) -> np.ndarray:
    factors = np.ones(4)
    if conditional is not None:
        factors[conditional] = 1.1
    return factors


def log_likelihood(params, y):
    rest = ((y - params["theta"][..., None]) ** 2).sum(axis=(-1, -2))
    return 0.5 * y.size * np.log(params["lam"]) - 0.5 * params["lam"] * rest


QUANTITIES = {
    "mu": lambda params, y: params["mu"],
    "tau": lambda params, y: params["tau"],
    "lam": lambda params, y: params["lam"],
    "log_likelihood": log_likelihood,
    "between": lambda params, y: ((params["theta"] - params["mu"][:, None]) ** 2).sum(axis=-1),
}


def calibrated(conditional: int | None, seed: int):
    widen = widened(conditional)

    def sample(y, n_draws, rng):
        thetas, others = chain(rng, y, n_draws, 50, widen)
        return {"theta": thetas, "mu": others[:, 0], "tau": others[:, 1], "lam": others[:, 2]}

    settings = {"n_simulations": 200, "quantities": QUANTITIES, "vectorized": True, "rng": seed}
    return nd.validate.sbc(*world(100), sample, **settings)


@pytest.mark.statistical
def test_sbc_passes_the_right_sampler():
    """Fails in at most 5 % of seeds by design (the level); seen: 1 of the seeds 0-39, not this one."""
    result = calibrated(None, seed=0)
    assert result.passed.all(), result.attrs["verdict"]
    assert np.median(result.ess) > 75


@pytest.mark.statistical
def test_sbc_fails_the_broken_sampler():
    """Failed for all of the seeds 0-39. With 100 groups, 10 % more variance of every theta moves the log-likelihood by
    0.6 of its posterior sd, where 200 simulations see 0.27. A single number whose conditional is wrong moves by nothing
    that 4000 simulations see (the table in the docstring of sbc): Geweke's test is for that.
    """
    result = calibrated(THETA, seed=0)
    assert not result.passed.sel(quantity="log_likelihood")
    assert result.attrs["verdict"].startswith("FAILED")


@numba.njit
def summaries(theta, mu, tau, lam, y):
    between, within = ((theta - mu) ** 2).sum(), 0.0
    for j in range(theta.size):
        for k in range(N_SEEN):
            within += (y[j, k] - theta[j]) ** 2
    logs = np.log(np.array([tau, lam, between, within, between * tau, within * lam]))
    return np.concatenate((np.array([mu, theta[0]]), logs))


def compared_jointly(conditional: int | None, seed: int):
    widen = widened(conditional)

    def step(params, y, rng):
        theta = params["theta"]
        mu, tau, lam = sweep(rng, theta, params["mu"], params["tau"], params["lam"], y, widen)
        return {"theta": theta, "mu": mu, "tau": tau, "lam": lam}

    functions = {"f": lambda params, y: summaries(*params.values(), y)}
    return nd.validate.geweke(*world(3), step, functions, n_marginal=20_000, n_successive=50_000, rng=seed)


@pytest.mark.statistical
def test_geweke_passes_the_right_sampler():
    """Fails in at most 5 % of seeds by design (the level, by Bonferroni). Seen: 5 of the seeds 0-59 (0, 11, 40, 45,
    48); and 37 of 1000 seeds with chains of 20000, where every z had a mean within 0.1 of 0 and an sd of 0.96 to 1.06.
    """
    result = compared_jointly(None, seed=1)
    assert result.passed.all(), result.attrs["verdict"]


@pytest.mark.statistical
@pytest.mark.parametrize("conditional", [THETA, TAU, LAM])
def test_geweke_fails_the_broken_sampler(conditional):
    """Each failed for all of the seeds 0-59. That of mu, a single number, failed for 30 of them, and for 59 with
    chains of 120000.
    """
    result = compared_jointly(conditional, seed=1)
    assert not result.passed.all()
    assert result.attrs["verdict"].startswith("FAILED")
