"""The PyMC model of a fitted HMM-GLM: the same likelihood, right derivatives, and a posterior like Laplace's."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd

pm = pytest.importorskip("pymc")

# Wheels of PyTensor come without BLAS and warn of it; speed does not matter here.
pytestmark = pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS installation:UserWarning")


@pytest.fixture(scope="module")
def two_states():
    """Counts of three units in two states that the rates tell apart, with couplings of their own."""
    rng = np.random.default_rng(0)
    n_bins = 1500
    intercept = np.array([[-1.2, -1.2, 0.3], [0.3, 0.0, -1.2]])
    weight = np.array(
        [[[0, 0.6, 0], [-0.6, 0, 0], [0, 0, -0.4]], [[0, -0.5, 0], [0.5, 0, 0.4], [0, 0, 0]]],
    )
    counts, state = np.zeros((n_bins, 3), dtype=int), 0
    for t in range(n_bins):
        state = state if rng.random() < 0.98 else 1 - state
        history = counts[max(0, t - 2) : t].sum(axis=0) / 2
        counts[t] = rng.poisson(np.exp(intercept[state] + weight[state] @ history))
    labelled = nd.containers.make_counts(counts, bin_width=0.02, unit=["a", "b", "c"])
    model = nd.models.HMMGLM(n_states=2, n_basis=1, history=0.04, n_restarts=2, rng=0).fit(labelled)
    return model, labelled


def _function(built, expression, point):
    """Value of an expression of the model, by plain Python code: nothing is compiled."""
    from pytensor.compile.mode import Mode

    return built.compile_fn(
        expression, inputs=built.value_vars, mode=Mode(linker="py", optimizer=None), on_unused_input="ignore"
    )(point)


def _log_likelihood(built, point):
    (term,) = [potential for potential in built.potentials if potential.name == "log_likelihood"]
    return float(_function(built, built.replace_rvs_by_values([term])[0], point))


@pytest.mark.parametrize(
    "settings",
    [
        {"link": "exp"},
        {"link": "softplus", "self_history": 0.06, "n_basis": 2},
        {"link": "sigmoid", "share_intercept": True},
        {"prior": "onehot", "n_basis": 2, "history": 0.06},
        {"ridge": 0.0, "n_states": 1},
    ],
)
def test_the_marginal_likelihood_at_the_fit_is_ours(settings):
    rng = np.random.default_rng(1)
    parts = [nd.containers.make_counts(rng.poisson(0.6, (n, 3)), 0.02, unit=[7, 3, 9]) for n in (120, 90)]
    parts[0] = parts[0].astype(float)
    parts[0][40:45] = np.nan
    options = {"n_states": 2, "n_basis": 1, "history": 0.04, "n_restarts": 1, "max_iter": 200, "tol": 1e-4, **settings}
    model = nd.models.HMMGLM(**options, rng=0).fit(parts)
    built = model.to_pymc(parts, marginal=True)
    point = built.initial_point()
    assert _log_likelihood(built, point) == pytest.approx(model.log_likelihood(parts), abs=1e-8, rel=1e-12)
    weight = _function(built, built.replace_rvs_by_values([built["weight"]])[0], point)
    np.testing.assert_allclose(weight, model.weight_.values, atol=1e-12)
    assert list(built.coords["post"]) == [7, 3, 9]
    assert built.named_vars_to_dims["weight"] == ("state", "post", "pre")


def test_derivatives_of_the_marginal_model(two_states):
    from scipy.optimize import approx_fprime

    model, counts = two_states
    built = model.to_pymc([counts[:60], counts[60:110]], marginal=True)
    from pymc.blocking import DictToArrayBijection

    start = DictToArrayBijection.map(built.initial_point())
    rng = np.random.default_rng(2)
    at = start.data + 0.2 * rng.standard_normal(start.data.size)
    compiled = {"mode": "FAST_COMPILE"}
    value, slope = built.compile_logp(**compiled), built.compile_dlogp(**compiled)

    def as_point(x):
        return DictToArrayBijection.rmap(type(start)(x, start.point_map_info))

    expected = approx_fprime(at, lambda x: float(value(as_point(x))), 1e-6)
    np.testing.assert_allclose(slope(as_point(at)), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("marginal", [False, True])
def test_nuts_agrees_with_the_laplace_intervals(two_states, marginal):
    model, counts = two_states
    built = model.to_pymc(counts, marginal=marginal)
    trace = pm.sample(
        draws=500,
        tune=300,
        chains=2,
        cores=1,
        init="adapt_diag",
        random_seed=3,
        progressbar=False,
        compute_convergence_checks=False,
        model=built,
    )
    weight = trace.posterior["weight"]
    assert weight.dims == ("chain", "draw", "state", "post", "pre")
    assert weight["pre"].values.tolist() == ["a", "b", "c"]
    mean, sd = weight.mean(("chain", "draw")), weight.std(("chain", "draw"))
    error = model.weight_se_.values
    # Of about 1000 draws with little autocorrelation the mean has an error of 0.03 sd, the sd one of 3 %.
    assert np.abs((mean.values - model.weight_.values) / error).max() < 0.3
    assert np.abs(sd.values / error - 1.0).max() < 0.25
