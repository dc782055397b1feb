"""Geweke's test on a normal mean with one observation: its posterior is N(y / 2, 1 / 2)."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import OptionError


def prior(rng):
    return {"x": rng.normal()}


def simulate(params, rng):
    return rng.normal(params["x"])


def step(params, data, rng):
    return {"x": rng.normal(data / 2, np.sqrt(0.5))}


FUNCTIONS = {"x": lambda params, data: params["x"], "product": lambda params, data: params["x"] * data}
SETTINGS = {"n_marginal": 1000, "n_successive": 2000, "rng": 1}


def test_moments_are_those_of_plain_loops():
    result = nd.validate.geweke(prior, simulate, step, FUNCTIONS, **SETTINGS)
    free, chained = np.random.default_rng(1).spawn(2)
    x = np.empty(1000)
    for k in range(1000):
        x[k] = free.normal()
        free.normal()
    values = np.empty(2000)
    x_now = chained.normal()
    y_now = chained.normal(x_now)
    for k in range(2000):
        x_now = chained.normal(y_now / 2, np.sqrt(0.5))
        y_now = chained.normal(x_now)
        values[k] = x_now
    found = result.sel(function="x")
    np.testing.assert_allclose(found.marginal, [x.mean(), x.var()], rtol=1e-12)
    np.testing.assert_allclose(found.successive, [values.mean(), ((values - x.mean()) ** 2).mean()], rtol=1e-12)
    assert found.marginal_se.sel(moment="mean").item() == pytest.approx(x.std(ddof=1) / np.sqrt(1000))
    error = np.hypot(found.marginal_se, found.successive_se)
    np.testing.assert_allclose(found.z, (found.successive - found.marginal) / error)
    # The chain of x is an autoregression with coefficient 1/2: it is worth a third of its length.
    assert found.ess.sel(moment="mean").item() == pytest.approx(2000 / 3, rel=0.25)


def test_two_functions_of_two_moments_share_the_level():
    from scipy.stats import norm

    result = nd.validate.geweke(prior, simulate, step, FUNCTIONS, **SETTINGS)
    assert result.attrs["bound"] == pytest.approx(norm.isf(0.05 / 8))
    assert result.passed.all()
    assert result.attrs["verdict"] == "passed: 2 of 2 functions (all abs(z) < 2.50 in a right sampler)"
    np.testing.assert_allclose(result.p, 2 * norm.sf(np.abs(result.z)))


def test_the_result_does_not_depend_on_the_number_of_workers():
    # Functions without a name of their own, since workers cannot import this file.
    prior, simulate = (lambda rng: {"x": rng.normal()}), (lambda params, rng: rng.normal(params["x"]))
    step = lambda params, data, rng: {"x": rng.normal(data / 2, 0.5**0.5)}  # noqa: E731
    one, two = (nd.validate.geweke(prior, simulate, step, FUNCTIONS, **SETTINGS, n_chains=3, n_jobs=n) for n in (1, 2))
    assert one.identical(two)


@pytest.mark.statistical
def test_a_step_without_the_prior_fails():
    """The step that knows no prior makes the sd of x a random walk: it was seen at z above 10 in each of 20 seeds."""

    def flat(params, data, rng):
        return {"x": rng.normal(data, 1.0)}

    functions = {"x": lambda params, data: np.tanh(params["x"])}
    result = nd.validate.geweke(prior, simulate, flat, functions, **SETTINGS)
    assert not result.passed.any()


def test_a_chain_that_hardly_moves_is_undecided():
    def lazy(params, data, rng):
        return step(params, data, rng) if rng.random() < 0.01 else params

    result = nd.validate.geweke(prior, simulate, lazy, {"x": FUNCTIONS["x"]}, **SETTINGS)
    assert not result.passed.any()
    assert (np.abs(result.z) < result.attrs["bound"]).all()
    assert result.attrs["verdict"].startswith("UNDECIDED")
    assert "too few to tell" in result.attrs["verdict"]


def test_a_step_may_change_parameters_in_place_and_functions_may_return_arrays():
    def vector_prior(rng):
        return {"x": rng.normal(size=2)}

    def vector_simulate(params, rng):
        return rng.normal(params["x"])

    def in_place(params, data, rng):
        params["x"][:] = rng.normal(data / 2, np.sqrt(0.5))
        return params

    functions = {"x": lambda params, data: params["x"]}
    result = nd.validate.geweke(vector_prior, vector_simulate, in_place, functions, **SETTINGS)
    assert result.function.values.tolist() == ["x[0]", "x[1]"]
    assert result.passed.all()
    assert (result.successive.sel(moment="square") > 0.8).all()


def test_constants_agree_or_not():
    functions = {"same": lambda params, data: 0.1, "x": FUNCTIONS["x"]}
    result = nd.validate.geweke(prior, simulate, step, functions, **SETTINGS)
    assert result.passed.all()
    np.testing.assert_array_equal(result.z.sel(function="same"), 0.0)

    def stuck(params, data, rng):
        return {"x": 0.3}

    result = nd.validate.geweke(prior, simulate, stuck, {"positive": lambda p, d: p["x"] > -50}, **SETTINGS)
    assert result.passed.all()
    result = nd.validate.geweke(prior, simulate, stuck, {"flag": lambda p, d: float(p["x"] == 0.3)}, **SETTINGS)
    assert np.isinf(result.z).any()
    assert not result.passed.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"functions": {}}, "dict of name to function"),
        ({"functions": {"x": lambda params, data: np.inf}}, "NaN or infinite: x"),
        ({"functions": {"x": lambda p, d: np.zeros(1 + (p["x"] > 0))}}, "same quantities in every simulation"),
        ({"step": lambda params, data, rng: 1.0}, "step to return a dict"),
        ({"n_successive": 10}, "100 or more"),
        ({"level": 0.0}, "level between 0 and 1"),
    ],
)
def test_what_cannot_be_tested_is_refused(change, message):
    call = {"step": step, "functions": FUNCTIONS, **SETTINGS, **change}
    with pytest.raises(OptionError, match=message):
        nd.validate.geweke(prior, simulate, call.pop("step"), call.pop("functions"), **call)
