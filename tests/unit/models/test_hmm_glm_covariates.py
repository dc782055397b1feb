"""Covariates of the HMM-GLM: matched by time, recovered, taken by every method, refused where they do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import PoissonRegressor

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import MissingOptionError, OptionError, RecordingError

BIN, N_BINS = 0.02, 3000
WEIGHT = np.array([[0.8, 0.0], [-0.6, 0.02]])  # (unit, covariate)


def covariate_array(values, names=("pulse", "speed"), start=0.0) -> xr.DataArray:
    time = start + (np.arange(len(values)) + 0.5) * BIN
    return xr.DataArray(
        values, dims=("time", "covariate"), coords={"time": time, "covariate": list(names)[: values.shape[1]]}
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    # The second covariate is measured on quite another scale, as a speed in cm/s is.
    values = np.column_stack([rng.random(N_BINS) < 0.2, 20.0 * rng.standard_normal(N_BINS)])
    counts = np.zeros((N_BINS, 2))
    coupling = np.array([[0.0, 0.4], [0.0, 0.0]])
    for t in range(N_BINS):
        past = counts[t - 1] if t else 0.0 * counts[0]
        counts[t] = rng.poisson(np.exp(-1.0 + coupling @ past + WEIGHT @ values[t]))
    return counts, values


def model(n_states=1, **settings):
    options = {"prior": None, "history": BIN, "n_basis": 1, "n_restarts": 1, "rng": 0, **settings}
    return nd.models.HMMGLM(n_states=n_states, **options)


def test_one_state_without_ridge_is_a_poisson_regression_on_history_and_covariates(data):
    counts, values = data
    fit = model(ridge=0.0, tol=1e-14).fit(make_counts(counts, BIN), covariate_array(values))
    design = np.column_stack([counts[:-1], values[1:]])
    for unit in range(2):
        peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        peer.fit(design, counts[1:, unit])
        np.testing.assert_allclose(fit.weight_.values[0, unit], peer.coef_[:2], atol=1e-6)
        np.testing.assert_allclose(fit.covariate_weight_.values[0, unit], peer.coef_[2:], atol=1e-6)
        np.testing.assert_allclose(fit.intercept_.values[0, unit], peer.intercept_, atol=1e-6)
        rate = peer.predict(design)
        full = np.column_stack([np.ones(len(design)), design])
        error = np.sqrt(np.diag(np.linalg.inv(full.T @ (rate[:, None] * full))))
        np.testing.assert_allclose(fit.covariate_weight_se_.values[0, unit], error[3:], rtol=1e-4)
    assert fit.covariate_weight_["covariate"].values.tolist() == ["pulse", "speed"]


@pytest.mark.parametrize("prior", ["onehot", "gaussian", None])
def test_weights_are_recovered_under_every_prior(data, prior):
    counts, values = data
    fit = model(prior=prior).fit(make_counts(counts, BIN), covariate_array(values))
    error = (fit.covariate_weight_.values[0] - WEIGHT) / fit.covariate_weight_se_.values[0]
    assert np.abs(error).max() < 4.0


def test_the_prior_does_not_depend_on_the_unit_of_measurement(data):
    counts, values = data
    counts = make_counts(counts[:600], BIN)
    a = model(ridge=100.0).fit(counts, covariate_array(values[:600]))
    b = model(ridge=100.0).fit(counts, covariate_array(values[:600] * [1.0, 1000.0]))
    np.testing.assert_allclose(b.covariate_weight_ * [1.0, 1000.0], a.covariate_weight_, rtol=1e-6)


def test_covariates_are_found_by_time_and_name_not_by_position(data):
    counts, values = data
    whole = covariate_array(values)
    part = make_counts(counts, BIN).isel(time=slice(500, 1500))
    straight = model().fit(part, whole.isel(time=slice(500, 1500)))
    longer = model().fit(part, whole)
    turned = model().fit(part, whole.isel(time=slice(None, None, -1), covariate=[1, 0]))
    xr.testing.assert_identical(longer.covariate_weight_, straight.covariate_weight_)
    np.testing.assert_allclose(
        turned.covariate_weight_.sel(covariate=["pulse", "speed"]), straight.covariate_weight_, atol=1e-6
    )
    assert longer.score(part, whole) == longer.score(part, whole.isel(covariate=[1, 0]))


def test_bins_with_nan_are_not_used(data):
    counts, values = data
    holes = values.copy()
    holes[1000:1400, 1] = np.nan
    fit = model(ridge=0.0, tol=1e-14).fit(make_counts(counts, BIN), covariate_array(holes))
    design = np.column_stack([counts[:-1], values[1:]])
    kept = np.isfinite(holes[1:]).all(axis=1)
    peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    peer.fit(design[kept], counts[1:, 0][kept])
    np.testing.assert_allclose(fit.covariate_weight_.values[0, 0], peer.coef_[2:], atol=1e-6)


def test_trials_and_lists_have_covariates_of_their_own(data):
    counts, values = data
    halves = [(counts[:1500], values[:1500]), (counts[1500:], values[1500:])]
    listed = model().fit([make_counts(c, BIN) for c, _ in halves], [covariate_array(v) for _, v in halves])
    trial = xr.DataArray(["a", "b"], dims="trial", name="trial")
    counted = xr.concat([make_counts(c, BIN) for c, _ in halves], trial)
    given = xr.concat([covariate_array(v) for _, v in halves], trial)
    trials = model().fit(counted, given.isel(trial=[1, 0]))
    np.testing.assert_allclose(trials.covariate_weight_, listed.covariate_weight_, atol=1e-9)
    shared = model().fit(counted, given.isel(trial=0, drop=True))
    assert np.abs(shared.covariate_weight_ - listed.covariate_weight_).max() > 0.1


def test_every_method_takes_them(data, tmp_path):
    counts, values = data
    given, labelled = covariate_array(values), make_counts(counts, BIN)
    fit = model(n_states=2, n_restarts=2, self_history=0.06, max_iter=300).fit(labelled, given)
    assert fit.covariate_weight_.sizes == {"state": 2, "unit": 2, "covariate": 2}
    np.testing.assert_allclose(fit.log_likelihood(labelled, given), fit.log_likelihood_[-1], rtol=1e-10)
    assert fit.predict(labelled, given).sizes == {"time": N_BINS}
    assert fit.predict_proba(labelled, given).sizes == {"time": N_BINS, "state": 2}
    # Without the pulse that drives it unit 0 is predicted worse.
    silent = given.copy()
    silent.loc[{"covariate": "pulse"}] = 0.0
    assert fit.score(labelled, given) > fit.score(labelled, silent) + 0.02
    assert fit.cosmoothing(labelled, [0], given) > fit.cosmoothing(labelled, [0], silent) + 0.02
    drawn = fit.simulate(N_BINS, covariates=given, rng=0)
    np.testing.assert_array_equal(drawn["counts"]["time"], given["time"])
    on = values[:, 0] > 0
    ratio = drawn["counts"].values[on].mean(axis=0) / drawn["counts"].values[~on].mean(axis=0)
    assert ratio[0] > 1.6
    assert ratio[1] < 0.8
    loaded = nd.models.load(fit.save(tmp_path / "fit.nc"))
    assert loaded.score(labelled, given) == fit.score(labelled, given)
    assert np.isfinite(fit.filter_se(labelled, [(0, 1)], given)).all()


def test_number_of_states_with_covariates(data):
    counts, values = data
    given, labelled = covariate_array(values), make_counts(counts, BIN)
    without = nd.models.select_n_states(model(), labelled, [1], n_folds=2)
    with_them = nd.models.select_n_states(model(), labelled, [1], n_folds=2, covariates=given)
    assert float(with_them["mean_score"][0]) > float(without["mean_score"][0]) + 0.02
    assert float(with_them["bic"][0]) < float(without["bic"][0])


def test_what_does_not_fit_the_counts_is_refused(data):
    counts, values = data
    labelled, given = make_counts(counts, BIN), covariate_array(values)
    for wrong, words in (
        (given.isel(time=slice(0, 2000)), "none for 1000 of 3000 bins"),
        (covariate_array(values, start=0.3 * BIN), "time of every bin"),
        (given.drop_vars("time"), "in both counts and covariates"),
        (given.where(given < 50, np.inf), "infinite"),
        (given.rename(covariate="column"), "dims"),
        (xr.concat([given, given.isel(time=[0])], "time"), "one value per time"),
        (xr.concat([given, given], "covariate"), "each once"),
        ([given, given], "one array of covariates for each of the 1"),
        (values, "DataArray"),
        (given * np.nan, "at least one bin"),
        (given.astype(str), "numbers"),
    ):
        with pytest.raises(RecordingError, match=words):
            model().fit(labelled, wrong)


def test_covariates_at_predict_must_be_those_of_the_fit(data):
    counts, values = data
    labelled, given = make_counts(counts, BIN), covariate_array(values)
    fit = model().fit(labelled, given)
    for method in (fit.predict, fit.predict_proba, fit.score, fit.log_likelihood):
        with pytest.raises(MissingOptionError, match="pulse"):
            method(labelled)
        with pytest.raises(RecordingError, match=r"missing \['speed'\]"):
            method(labelled, given.sel(covariate=["pulse"]))
    with pytest.raises(MissingOptionError, match="pulse"):
        fit.simulate(10)
    with pytest.raises(RecordingError, match="every bin"):
        fit.simulate(10, covariates=given.isel(time=slice(0, 10)) * np.nan)
    with pytest.raises(OptionError, match="no covariates"):
        model().fit(labelled).score(labelled, given)
