"""BiClustering as an estimator: shapes, labels, files, held-out scores, interrupts, bad input."""

from __future__ import annotations

import pickle
import signal
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.diagnostics.convergence import bulk_effective_sample_size, r_hat
from neurodata.errors import NeurodataWarning, NotFittedError, OptionError, RecordingError
from neurodata.models.bicluster import estimator as module

pytestmark = pytest.mark.filterwarnings("ignore:chains disagree")


def small(**settings) -> nd.models.BiClustering:
    few = {"n_latents": 1, "max_clusters": 4, "max_states": 3, "n_chains": 2, "n_warmup": 4, "n_draws": 8, "rng": 0}
    return nd.models.BiClustering(**{**few, **settings})


@pytest.fixture(scope="module")
def counts() -> xr.DataArray:
    rng = np.random.default_rng(0)
    drive = np.repeat([0.0, 1.5, 0.0, 1.5], 10)[:, None] * np.array([1, 1, 1, -1, -1, -1])
    return make_counts(rng.poisson(np.exp(0.5 + drive)), 0.5, unit=list("abcdef"))


@pytest.fixture(scope="module")
def mask(counts):
    return nd.models.speckle(counts, 0.1, rng=1)


@pytest.fixture(scope="module")
def fitted(counts, mask):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="chains disagree")
        return small(course_draws=4).fit(counts.where(~mask))


def test_results_keep_ids_and_times(fitted, counts):
    assert fitted.unit_cluster_["unit"].values.tolist() == list("abcdef")
    np.testing.assert_array_equal(fitted.state_["time"], counts["time"])
    assert fitted.posterior_["posterior"]["unit_cluster"].dims == ("chain", "draw", "unit")
    assert float(fitted.n_clusters_.sum()) == pytest.approx(1.0)
    np.testing.assert_array_equal(np.diag(fitted.unit_similarity_), 1.0)
    assert fitted.complete_


def test_the_score_is_the_mean_probability_of_what_was_hidden(fitted, counts, mask):
    posterior, courses = fitted.posterior_["posterior"], fitted.posterior_["trajectories"]
    log_p, base = 0.0, 0.0
    training = counts.where(~mask)
    for t, i in np.argwhere(mask.values):
        each = []
        for c in range(2):
            for d, draw in enumerate(courses["draw"].values):
                k = int(posterior["unit_cluster"].values[c, draw, i])
                x = courses["trajectory"].values[c, d, k, t]
                eta = posterior["baseline"].values[c, draw, i] + x[0]
                eta += posterior["loading"].values[c, draw, i] @ x[1:]
                r = float(posterior["dispersion"].values[c, draw, i])
                each.append(nbinom.logpmf(counts.values[t, i], r, r / (r + np.exp(float(eta)))))
        log_p += logsumexp(each) - np.log(len(each))
        seen = training.values[:, i][np.isfinite(training.values[:, i])]
        base += poisson.logpmf(counts.values[t, i], (seen.sum() + 0.5) / (len(seen) + 1.0))
    expected = (log_p - base) / np.log(2.0) / counts.values[mask.values].sum()
    assert fitted.score(counts, mask) == pytest.approx(expected, rel=1e-5)
    assert fitted.score(counts) == fitted.score(counts, mask)


def test_what_was_fitted_is_not_scored(fitted, counts, mask):
    with pytest.raises(RecordingError, match="did not see"):
        fitted.score(counts, ~mask)
    with pytest.raises(RecordingError, match="not observed in the fit"):
        fitted.score(counts.where(~mask))
    with pytest.raises(RecordingError, match="bins of the fit"):
        fitted.score(counts.isel(time=slice(0, 20)))


def test_files_and_pickles_keep_everything(fitted, counts, tmp_path):
    for again in (nd.models.load(fitted.save(tmp_path / "m.nc")), pickle.loads(pickle.dumps(fitted))):
        assert again.get_params() == fitted.get_params()
        xr.testing.assert_identical(again.to_dataset(), fitted.to_dataset())
        xr.testing.assert_identical(again.state_, fitted.state_)
        assert again.score(counts) == fitted.score(counts)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_arviz_reads_the_posterior(fitted):
    import arviz

    data = arviz.from_datatree(fitted.posterior_)
    assert data.posterior["baseline"].shape == (2, 8, 6)
    assert np.isfinite(data.sample_stats["log_likelihood"]).all()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_convergence_is_arvizs():
    import arviz

    rng = np.random.default_rng(0)
    for draws in (rng.standard_normal((4, 300)).cumsum(axis=1), rng.poisson(0.3, (4, 301)).astype(float)):
        assert float(r_hat(draws)) == pytest.approx(float(arviz.rhat(draws)), rel=1e-9)
        # ArviZ keeps one more autocorrelation.
        assert float(bulk_effective_sample_size(draws)) == pytest.approx(float(arviz.ess(draws)), rel=0.05)


def test_bands_checks_and_simulations(fitted, counts):
    bands = fitted.predict_rate(0.8)
    assert (bands["low"] <= bands["mean"]).all()
    assert bands["mean"].dims == ("time", "unit")
    check = fitted.posterior_predictive(rng=0)
    assert ((check["tail_probability"] >= 0) & (check["tail_probability"] <= 1)).all()
    new = fitted.simulate(30, rng=1)
    assert new["counts"].dims == ("time", "unit")
    xr.testing.assert_identical(new, fitted.simulate(30, rng=1))
    similar = fitted.state_similarity(stride=4)
    assert similar.shape == (10, 10)
    assert similar["time_2"].values[1] == counts["time"].values[4]


def test_trials_and_lists_come_back_in_their_shape(counts):
    parts = [counts.isel(time=slice(0, 20)), counts.isel(time=slice(20, None))]
    model = small().fit(parts)
    assert [one.sizes["time"] for one in model.state_] == [20, 20]
    trials = xr.DataArray(
        counts.values.reshape(2, 20, 6), dims=("trial", "time", "unit"), coords={"time": np.arange(20) * 0.5}
    )
    assert small().fit(trials).state_.dims == ("trial", "time")


def test_the_seed_alone_decides(counts):
    one, other = small().fit(counts), small(n_jobs=2).fit(counts)
    xr.testing.assert_identical(one.posterior_["posterior"].to_dataset(), other.posterior_["posterior"].to_dataset())


class InterruptedAt:
    """A bar that is told so many things before somebody presses Ctrl-C."""

    def __init__(self, n: int) -> None:
        self.n = n

    def start(self, total: int, label: str) -> None:
        pass

    def update(self, n: int = 1, note: str = "") -> None:
        self.n -= 1
        if self.n == 0:
            signal.raise_signal(signal.SIGINT)

    def close(self) -> None:
        pass


def test_an_interrupted_run_gives_its_draws_and_can_go_on(counts, tmp_path):
    handler = signal.getsignal(signal.SIGINT)  # not always Python's own: brian2 puts its own in place when imported
    with pytest.warns(NeurodataWarning, match="interrupted"):
        model = small(progress=InterruptedAt(18), checkpoint=str(tmp_path)).fit(counts)
    assert not model.complete_
    n = model.posterior_["posterior"].sizes["draw"]
    assert 0 < n < 8
    again, whole = small(checkpoint=str(tmp_path)).fit(counts), small().fit(counts)
    xr.testing.assert_identical(again.posterior_["posterior"].to_dataset(), whole.posterior_["posterior"].to_dataset())
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(KeyboardInterrupt, match="first draw"):
        small(progress=InterruptedAt(4)).fit(counts)


def test_bad_input_is_named(counts):
    for change, words in (
        (lambda c: c - 9, "negative"),
        (lambda c: c + 0.5, "whole"),
        (lambda c: c * 0, "spike"),
        (lambda c: c.isel(time=slice(0, 9)), "10 bins"),
    ):
        with pytest.raises(RecordingError, match=words):
            small().fit(change(counts))
    for setting in ({"dynamics": "other"}, {"n_draws": 0}, {"cluster_rate": 1.0}, {"max_states": 200}, {"thin": 1.5}):
        with pytest.raises(OptionError, match=next(iter(setting))):
            small(**setting).fit(counts)
    with pytest.raises(NotFittedError):
        _ = small().posterior_


def test_constant_units_are_kept_and_told(counts):
    silent = counts.copy()
    silent[:, 2] = 0
    with pytest.warns(NeurodataWarning, match="never change"):
        model = small().fit(silent)
    assert model.constant_units_ == '["c"]'
    assert model.unit_cluster_.sizes["unit"] == 6


def test_one_unit_is_one_cluster(counts):
    model = small(n_chains=1).fit(counts.isel(unit=[0]))
    assert model.n_clusters_["n_clusters"].values.tolist() == [1]


def test_a_run_that_does_not_fit_is_refused_with_one_that_does(counts, monkeypatch):
    model = small(n_draws=1000, course_draws=1000)
    total = model.bytes_needed(counts)["total"]
    monkeypatch.setattr(module, "free_bytes", lambda: int(0.6 * total))
    with pytest.raises(OptionError, match="pass course_draws=500"):
        model.fit(counts)


def test_a_mask_hides_the_fraction_that_was_asked_for(counts):
    gaps = counts.where(counts > 0)
    mask = nd.models.speckle(gaps, 0.25, rng=0)
    assert int(mask.sum()) == round(0.25 * int(gaps.notnull().sum()))
    assert not (mask & gaps.isnull()).any()


def test_the_credible_ball_holds_the_draws_it_says(fitted):
    point, draws = fitted.unit_cluster_.values, fitted.posterior_["posterior"]["unit_cluster"].values.reshape(-1, 6)

    def information(a: np.ndarray, b: np.ndarray) -> float:
        """Variation of information from the table of the two."""
        joint = np.array([[np.mean((a == i) & (b == j)) for j in np.unique(b)] for i in np.unique(a)])
        parts = [joint[joint > 0], joint.sum(axis=0), joint.sum(axis=1)]
        both, one, other = (-(p * np.log(p)).sum() for p in parts)
        return 2 * both - one - other

    distance = np.array([information(draw, point) for draw in draws])
    ball = fitted.unit_credible_ball(0.7)
    radius = float(ball["radius"])
    assert (distance <= radius + 1e-9).mean() >= 0.7
    assert (distance < radius - 1e-9).mean() < 0.7
    within = draws[distance <= radius + 1e-9]
    n_groups = [len(np.unique(draw)) for draw in within]
    assert ball["unit"].values.tolist() == list("abcdef")
    for name, n in (("vertical_upper", min(n_groups)), ("vertical_lower", max(n_groups))):
        bound = ball[name].values
        assert len(np.unique(bound)) == n
        own = [information(draw, point) for draw, k in zip(within, n_groups, strict=True) if k == n]
        assert information(bound, point) == pytest.approx(max(own))
        assert float(ball[f"distance_{name}"]) == pytest.approx(max(own))
    assert float(ball["distance_horizontal"]) == pytest.approx(radius)
    with pytest.raises(OptionError, match="level"):
        fitted.unit_credible_ball(1.0)


def test_the_credible_ball_of_states_has_times(fitted, counts):
    ball = fitted.state_credible_ball(0.9, stride=4)
    assert ball["horizontal"].dims == ("bin",)
    np.testing.assert_array_equal(ball["time"], counts["time"][::4])
    np.testing.assert_array_equal(ball["point"], fitted.state_.values[::4])
    with pytest.raises(OptionError, match="stride"):
        fitted.state_credible_ball(stride=0)
