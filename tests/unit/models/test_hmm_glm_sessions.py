"""Sessions that share a connectome with different units, and data that are no input of the model."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import NotFittedError, OptionError, RecordingError

BIN, IDS = 0.02, np.array(["a", "b", "c", "d"])


def network(n_bins: int, seed: int = 0) -> tuple[xr.DataArray, np.ndarray]:
    """Counts of four units, and the weights (post, pre) by which they act on the next bin."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((4, 4))
    # Without a loop, so that activity cannot run away.
    weight[1, 0], weight[2, 1], weight[3, 2], weight[2, 0] = 0.7, -0.8, 0.6, 0.6
    counts = np.zeros((n_bins, 4))
    for t in range(1, n_bins):
        counts[t] = rng.poisson(np.exp(-1.2 + weight @ counts[t - 1]))
    return make_counts(counts, BIN, unit=IDS), weight


def model(n_states=1, **settings):
    return nd.models.HMMGLM(
        n_states=n_states, **{"prior": None, "history": BIN, "n_basis": 1, "n_restarts": 1, "rng": 0, **settings}
    )


@pytest.fixture(scope="module")
def sessions():
    """a, b, c in the first and b, c, d in the second: a and d are never seen together."""
    first, second = network(6000, 1)[0], network(6000, 2)[0]
    return first.sel(unit=["a", "b", "c"]), second.sel(unit=["d", "c", "b"])


@pytest.mark.parametrize("prior", [None, "gaussian", "onehot"])
def test_couplings_of_pairs_seen_together_are_recovered(sessions, prior):
    fit = model(prior=prior).fit(list(sessions))
    assert fit.intercept_["unit"].values.tolist() == ["a", "b", "c", "d"]
    weight = fit.weight_.isel(state=0)
    together = np.ones((4, 4), dtype=bool)
    together[0, 3] = together[3, 0] = False
    np.testing.assert_array_equal(np.isfinite(weight), together)
    np.testing.assert_array_equal(np.isfinite(fit.weight_se_[0]), together)
    np.testing.assert_array_equal(np.isfinite(fit.filter_[0, ..., 0]), together)
    truth = network(2)[1]
    # Four standard errors (about 0.03 each), and what a, hidden in the second session, adds to the others there.
    assert np.abs(weight.values - truth)[together].max() < 0.2
    assert np.abs(fit.intercept_.sel(unit=["b", "c"]) + 1.2).max() < 0.2
    if prior == "onehot":
        probability = fit.connection_prob_.isel(state=0)
        assert np.isfinite(probability).all()
        assert (fit.connection_[0].values[(truth != 0) & together] == np.sign(truth)[(truth != 0) & together]).all()
        # Nothing was learned of the pair, so it is as likely as any other: between the certain ones.
        assert 0.2 < float(probability.sel(post="a", pre="d", connection="none")) < 0.95


def test_two_sessions_tell_more_than_one(sessions):
    one, both = model().fit(sessions[0]), model().fit(list(sessions))
    pair = {"post": "c", "pre": "b"}
    ratio = float(both.weight_se_.sel(pair)[0] / one.weight_se_.sel(pair)[0])
    assert ratio == pytest.approx(1 / np.sqrt(2), rel=0.15)


def test_log_likelihood_of_the_fitted_sessions_is_that_of_the_fit(sessions):
    fit = model(n_states=2, max_iter=500).fit(list(sessions))
    np.testing.assert_allclose(fit.log_likelihood(list(sessions)), fit.log_likelihood_[-1], rtol=1e-9)
    parts = fit.log_likelihood(sessions[0]) + fit.log_likelihood(sessions[1])
    np.testing.assert_allclose(parts, fit.log_likelihood_[-1], rtol=1e-9)


def test_one_session_or_some_of_its_units_can_be_scored(sessions, tmp_path):
    fit = model(n_states=2, max_iter=500).fit(list(sessions))
    assert fit.score(sessions[1]) > 0.01
    assert fit.predict(sessions[0].sel(unit=["c", "a"])).sizes == {"time": 6000}
    assert np.isfinite(fit.cosmoothing(sessions[1], ["c"]))
    assert nd.models.load(fit.save(tmp_path / "fit.nc")).score(sessions[1]) == fit.score(sessions[1])
    with pytest.raises(RecordingError, match="unknown"):
        fit.score(make_counts(np.ones((50, 2)), BIN, unit=["b", "z"]))


def test_order_of_units_and_sessions_does_not_matter(sessions):
    straight = model(ridge=1.0, tol=1e-12).fit(list(sessions))
    turned = model(ridge=1.0, tol=1e-12).fit([sessions[1], sessions[0].sel(unit=["b", "a", "c"])])
    again = turned.weight_.sel(post=straight.weight_["post"], pre=straight.weight_["pre"])
    np.testing.assert_allclose(again, straight.weight_, atol=1e-6)


def test_a_session_with_the_units_missing_is_one_with_nan_columns(sessions):
    wide = [session.reindex(unit=IDS).astype(float) for session in sessions]
    np.testing.assert_allclose(model().fit(wide).weight_, model().fit(list(sessions)).weight_, atol=1e-9)


def test_ids_of_two_kinds_are_refused(sessions):
    with pytest.raises(RecordingError, match="one kind"):
        model().fit([sessions[0], make_counts(np.ones((50, 2)), BIN, unit=[1, 2])])


def test_units_that_differ_between_fit_and_score_are_refused():
    counts, _ = network(500)
    fit = model().fit(counts)
    for other in (counts.isel(unit=slice(0, 3)), counts.assign_coords(unit=["a", "b", "c", "z"])):
        for method in (fit.score, fit.predict, fit.predict_proba, fit.log_likelihood):
            with pytest.raises(RecordingError, match="units of the fit"):
                method(other)
    with pytest.raises(NotFittedError):
        model().score(counts)
    with pytest.raises(RecordingError, match="bins of 0.02 s"):
        fit.score(counts.assign_attrs(bin_width=0.04).assign_coords(time=2 * counts["time"]))


def raw(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=("time", "unit"), attrs={"bin_width": BIN})


@pytest.mark.parametrize(
    ("values", "settings", "error", "words"),
    [
        (-np.ones((50, 2)), {}, RecordingError, "negative"),
        (np.full((50, 2), 0.5), {}, RecordingError, "whole counts"),
        (np.zeros((50, 2)), {}, RecordingError, "at least one spike"),
        (np.full((50, 2), np.nan), {}, RecordingError, "observed"),
        (np.zeros((50, 0)), {}, RecordingError, "observed"),
        (np.ones((4, 2)), {"history": 0.1}, RecordingError, "history"),
        (np.ones((4, 2)), {"n_states": 5}, OptionError, "no more states than bins"),
        (np.ones((50, 2)), {"prior": "horseshoe"}, OptionError, "prior, one of"),
        (np.ones((50, 2)), {"n_states": 0}, OptionError, "n_states"),
        (np.ones((50, 2)), {"n_states": 2.5}, OptionError, "n_states"),
        (np.ones((50, 2)), {"link": "log"}, OptionError, "link, one of"),
        (np.ones((50, 2)), {"basis": "boxes"}, OptionError, "basis, one of"),
        (np.ones((50, 2)), {"ridge": -1.0}, OptionError, "ridge"),
        (np.ones((50, 2)), {"dale": True}, OptionError, "dale"),
        (np.ones((50, 2)), {"history": 0.001}, OptionError, "history"),
    ],
)
def test_what_is_no_input_is_refused(values, settings, error, words):
    with pytest.raises(error, match=words):
        model(**settings).fit(raw(values))


@pytest.mark.parametrize("prior", [None, "gaussian", "onehot"])
@pytest.mark.parametrize("n_states", [1, 3])
def test_silent_and_unseen_units_and_holes_leave_the_rest_as_it_is(prior, n_states):
    counts = network(1500)[0].astype(float)
    counts[700:730] = np.nan
    counts[900, 2] = np.nan
    odd = counts.copy()
    odd[:, 3] = 0.0
    odd = xr.concat([odd, odd.isel(unit=[0]).assign_coords(unit=["e"]) * np.nan], "unit", join="outer")
    fit = model(n_states=n_states, prior=prior, max_iter=500).fit(odd.assign_attrs(bin_width=BIN))
    assert np.isfinite(fit.weight_.sel(post=IDS, pre=IDS)).all()
    assert np.isnan(fit.weight_.sel(pre="e")).all()
    assert np.isnan(fit.intercept_.sel(unit="e")).all()
    # The silent unit is held to half a spike.
    assert (np.exp(fit.intercept_.sel(unit="d")) < 0.05).all()
    assert np.isfinite(fit.score(odd.assign_attrs(bin_width=BIN)))


def test_more_states_than_there_are_leave_results_finite():
    rng = np.random.default_rng(0)
    fit = model(n_states=6, max_iter=400, stickiness=0.0).fit(make_counts(rng.poisson(0.3, (400, 2)), BIN))
    for name in ("weight_", "weight_se_", "intercept_", "transition_", "initial_", "occupancy_"):
        assert np.isfinite(getattr(fit, name)).all()
    np.testing.assert_allclose(fit.transition_.sum("state_2"), 1.0)
    np.testing.assert_allclose(fit.occupancy_.sum(), 1.0)
