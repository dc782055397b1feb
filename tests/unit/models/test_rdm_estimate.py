"""RDMs from patterns: what is refused, what is left out, labels, movies, searchlights, noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError, RecordingError

CLOSE = {"rtol": 0, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def patterns(rng, n_runs=4, n_conditions=5, n_channels=6, **coords):
    values = rng.normal(size=(n_runs, n_conditions, n_channels))
    return xr.DataArray(
        values,
        dims=("run", "condition", "channel"),
        coords={"condition": list("abcde")[:n_conditions], "channel": np.arange(n_channels) + 10, **coords},
    )


def as_trials(data):
    """The same patterns as single trials, shuffled."""
    flat = data.stack(trial=("run", "condition")).transpose("trial", "channel").reset_index("trial")
    order = np.random.default_rng(0).permutation(flat.sizes["trial"])
    return flat.isel(trial=order)


ALL = ["euclidean", "correlation", "cosine", "crossnobis", "poisson", "poisson-cv"]


@pytest.mark.parametrize("measure", ALL)
def test_an_rdm_is_symmetric_labelled_and_says_what_it_is(rng, measure):
    data = np.abs(patterns(rng))
    before = data.copy(deep=True)
    found = nd.models.rdm(data, measure)
    assert found.dims == ("condition", "condition_2")
    assert found["condition"].values.tolist() == found["condition_2"].values.tolist() == list("abcde")
    np.testing.assert_allclose(found, found.values.T, **CLOSE)
    assert (np.diagonal(found) == 0).all()
    assert found.attrs["measure"] == measure
    assert {"normalisation", "noise"} <= set(found.attrs)
    xr.testing.assert_identical(data, before)


@pytest.mark.parametrize("measure", ALL)
def test_trials_in_any_order_give_the_same_as_runs_by_conditions(rng, measure):
    data = np.abs(patterns(rng))
    np.testing.assert_allclose(nd.models.rdm(as_trials(data), measure), nd.models.rdm(data, measure), **CLOSE)


def test_dims_in_any_order(rng):
    data = patterns(rng)
    want = nd.models.rdm(data, "crossnobis")
    np.testing.assert_allclose(
        nd.models.rdm(data.transpose("channel", "condition", "run"), "crossnobis"), want, **CLOSE
    )


def test_labels_of_the_precision_decide_not_their_order(rng):
    data = patterns(rng)
    precision = nd.models.noise_precision(data)
    want = nd.models.rdm(data, "mahalanobis", precision)
    got = nd.models.rdm(data.isel(channel=[3, 1, 0, 2, 5, 4]), "mahalanobis", precision)
    np.testing.assert_allclose(got, want, **CLOSE)
    np.testing.assert_allclose(nd.models.rdm(data, "mahalanobis", "shrinkage-diagonal"), want, **CLOSE)


def test_a_diagonal_precision_is_one_number_per_channel(rng):
    data, weight = patterns(rng), rng.uniform(0.5, 2, 6)
    for measure in ("mahalanobis", "crossnobis"):
        want = nd.models.rdm(data, measure, np.diag(weight))
        np.testing.assert_allclose(nd.models.rdm(data, measure, weight), want, **CLOSE)


@pytest.mark.parametrize("measure", ["euclidean", "correlation", "cosine", "mahalanobis", "crossnobis", "poisson"])
def test_a_dead_channel_is_as_if_it_were_not_there(rng, measure):
    data = np.abs(patterns(rng))
    noise = np.cov(rng.normal(size=(6, 50)))
    with_noise = measure in ("mahalanobis", "crossnobis")
    live = [0, 1, 2, 4, 5]
    # The noise of the others is their covariance, not a part of the precision of all.
    want = nd.models.rdm(
        data.isel(channel=live), measure, np.linalg.inv(noise[np.ix_(live, live)]) if with_noise else None
    )
    got = nd.models.rdm(data.where(data.channel != 13), measure, np.linalg.inv(noise) if with_noise else None)
    np.testing.assert_allclose(got, want, **CLOSE)


def test_a_channel_that_one_condition_lacks_is_left_out_of_its_pairs_only(rng):
    data = patterns(rng)
    holed = data.where((data.channel != 13) | (data.condition != "b"))
    for measure in ("euclidean", "correlation", "crossnobis"):
        got, full = nd.models.rdm(holed, measure), nd.models.rdm(data, measure)
        part = nd.models.rdm(data.where(data.channel != 13, drop=True), measure)
        others = [label for label in "abcde" if label != "b"]
        np.testing.assert_allclose(
            got.sel(condition=others, condition_2=others), full.sel(condition=others, condition_2=others), **CLOSE
        )
        np.testing.assert_allclose(got.sel(condition="b"), part.sel(condition="b"), **CLOSE)


def test_a_condition_that_was_not_observed_is_unknown(rng):
    found = nd.models.rdm(patterns(rng).where(lambda d: d.condition != "b"))
    assert np.isnan(found.sel(condition="b", condition_2=["a", "c", "d", "e"])).all()
    assert np.isfinite(found.sel(condition="a", condition_2=["c", "d", "e"])).all()


def test_a_missing_run_of_one_condition_uses_the_other_runs(rng):
    data = patterns(rng)
    holed = data.where((data.run != 2) | (data.condition != "b"))
    trials = as_trials(data).to_dataset(name="x")
    kept = trials.isel(trial=np.flatnonzero(~((trials.run.values == 2) & (trials.condition.values == "b"))))["x"]
    np.testing.assert_allclose(nd.models.rdm(holed, "crossnobis"), nd.models.rdm(kept, "crossnobis"), **CLOSE)


def test_crossnobis_is_unbiased_and_the_plain_distance_is_not():
    """400 data sets without any signal: the mean crossnobis is 0 within 4 standard errors."""
    data = xr.DataArray(
        np.random.default_rng(0).normal(size=(400, 6, 4, 20)), dims=("rdm", "run", "condition", "channel")
    )
    crossed = nd.models.rdm(data, "crossnobis").values[:, 0, 1]
    assert abs(crossed.mean()) < 4 * crossed.std() / np.sqrt(400)
    # 2 sigma^2 / runs.
    assert nd.models.rdm(data, "euclidean").values[:, 0, 1].mean() == pytest.approx(2 / 6, rel=0.05)


def test_one_condition_and_one_run_are_refused(rng):
    with pytest.raises(RecordingError, match="two conditions"):
        nd.models.rdm(patterns(rng, n_conditions=1))
    for measure in ("crossnobis", "poisson-cv"):
        with pytest.raises(RecordingError, match="two runs"):
            nd.models.rdm(np.abs(patterns(rng, n_runs=1)), measure)
        with pytest.raises(RecordingError, match="two runs"):
            nd.models.rdm(np.abs(patterns(rng)).isel(run=0), measure)


def test_a_condition_of_one_run_has_no_crossed_distance(rng):
    trials = as_trials(patterns(rng))
    trials = trials.isel(trial=np.flatnonzero((trials.condition.values != "c") | (trials.run.values == 1)))
    with pytest.raises(RecordingError, match="not observed in two runs: c"):
        nd.models.rdm(trials, "crossnobis")
    found = nd.models.rdm(trials, "crossnobis", undefined="nan")
    assert np.isnan(found.sel(condition="c", condition_2="a"))
    assert np.isfinite(found.sel(condition="b", condition_2="a"))


def test_constant_patterns_have_no_correlation(rng):
    data = patterns(rng).isel(run=0).copy()
    data[1] = 0.1
    with pytest.raises(RecordingError, match="constant over channels: b"):
        nd.models.rdm(data, "correlation")
    assert np.isnan(nd.models.rdm(data, "correlation", undefined="nan").sel(condition="b", condition_2="a"))
    data[1] = 0.0
    with pytest.raises(RecordingError, match="zero in all channels: b"):
        nd.models.rdm(data, "cosine")


def test_constant_channels_have_no_precision(rng):
    data = patterns(rng).copy()
    data[:, :, 2] = 1e6
    with pytest.raises(RecordingError, match="constant ones: 12"):
        nd.models.noise_covariance(data)
    for method in ("full", "diagonal"):
        with pytest.raises(RecordingError):
            nd.models.noise_precision(data, method)
    # The identity as the target needs no variance of each channel.
    assert np.isfinite(nd.models.noise_precision(data, "shrinkage-identity")).all()


def test_no_repeats_no_noise(rng):
    with pytest.raises(RecordingError, match="repeats"):
        nd.models.noise_covariance(patterns(rng, n_runs=1))
    with pytest.raises(RecordingError, match="singular"):
        nd.models.noise_precision(patterns(rng, n_runs=2, n_conditions=3), "full")


def test_dead_channels_have_no_noise_and_the_rdm_leaves_them_out(rng):
    data = patterns(rng)
    holed = data.where(data.channel != 13)
    precision = nd.models.noise_precision(holed)
    assert np.isnan(precision.sel(channel=13)).all()
    want = nd.models.rdm(data.where(data.channel != 13, drop=True), "crossnobis", "shrinkage-diagonal")
    np.testing.assert_allclose(nd.models.rdm(holed, "crossnobis", precision), want, **CLOSE)


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        (lambda d: d, {"dissimilarity": "manhattan"}, OptionError),
        (lambda d: d, {"dissimilarity": "mahalanobis"}, OptionError),
        (lambda d: d, {"noise_precision": np.eye(6)}, OptionError),
        (lambda d: d, {"dissimilarity": "crossnobis", "noise_precision": np.eye(5)}, OptionError),
        (lambda d: d, {"dissimilarity": "crossnobis", "noise_precision": -np.eye(6)}, RecordingError),
        (lambda d: d, {"dissimilarity": "crossnobis", "noise_precision": np.triu(np.ones((6, 6)))}, OptionError),
        (lambda d: d, {"dissimilarity": "poisson"}, RecordingError),
        (lambda d: d / 0.0, {}, RecordingError),
        (lambda d: d.expand_dims(depth=2), {}, OptionError),
        (lambda d: d.rename(condition="stimulus"), {}, RecordingError),
        (lambda d: d.values, {}, RecordingError),
        (lambda d: d, {"undefined": "ignore"}, OptionError),
        (lambda d: d.assign_coords(condition=list("aacde")), {}, RecordingError),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_makes_no_sense_is_refused_with_a_typed_error(rng, change, options, error):
    with pytest.raises(error) as caught:
        nd.models.rdm(change(patterns(rng)), **options)
    assert "what to do" in str(caught.value)


def test_a_movie_is_an_rdm_at_each_time_and_averages_over_windows(rng):
    time = np.arange(10) / 100
    data = xr.DataArray(
        rng.normal(size=(3, 10, 4, 6)), dims=("run", "time", "condition", "channel"), coords={"time": time}
    )
    movie = nd.models.rdm_movie(data, "crossnobis")
    np.testing.assert_allclose(movie.isel(time=7), nd.models.rdm(data.isel(time=7), "crossnobis"), **CLOSE)
    windows = nd.models.rdm_movie(data, window=0.04, step=0.02)
    np.testing.assert_allclose(windows["time"], [0.015, 0.035, 0.055, 0.075], **CLOSE)
    np.testing.assert_allclose(windows[1], nd.models.rdm(data.isel(time=slice(2, 6)).mean("time")), **CLOSE)
    with pytest.raises(OptionError):
        nd.models.rdm_movie(data, window=0.001)
    with pytest.raises(RecordingError, match="gaps"):
        nd.models.rdm_movie(data.isel(time=[0, 1, 2, 5, 6]), window=0.02)


def test_a_movie_in_blocks_is_the_same(rng, monkeypatch):
    from neurodata.models.trsa import estimate

    data = xr.DataArray(rng.normal(size=(3, 4, 6, 10)), dims=("run", "condition", "channel", "time"))
    want = nd.models.rdm_movie(data, "crossnobis")
    monkeypatch.setattr(estimate, "_BLOCK_VALUES", 3 * 72)
    np.testing.assert_allclose(nd.models.rdm_movie(data, "crossnobis"), want, **CLOSE)


def test_noise_of_each_time(rng):
    data = xr.DataArray(rng.normal(size=(3, 4, 5, 2)), dims=("run", "condition", "channel", "time"))
    residuals = xr.DataArray(rng.normal(size=(2, 60, 5)) * [[[1.0]], [[3.0]]], dims=("time", "sample", "channel"))
    precision = nd.models.noise_precision(residuals, residuals=True, by="time")
    movie = nd.models.rdm_movie(data, "crossnobis", precision)
    for t in range(2):
        one = nd.models.rdm(data.isel(time=t), "crossnobis", precision.isel(time=t).values)
        np.testing.assert_allclose(movie.isel(time=t), one, **CLOSE)


def test_a_searchlight_is_the_rdm_of_the_channels_around(rng):
    data = patterns(rng, x=("channel", [0.0, 1.0, 2.0, 3.0, 10.0, 11.0]))
    found = nd.models.rdm_searchlight(data, 1.0, "crossnobis", "shrinkage-diagonal")
    assert found["centre"].values.tolist() == data["channel"].values.tolist()
    assert found["n_channels"].values.tolist() == [2, 3, 3, 2, 2, 2]
    covariance = nd.models.noise_covariance(data).values[1:4, 1:4]
    one = nd.models.rdm(data.isel(channel=[1, 2, 3]), "crossnobis", np.linalg.inv(covariance))
    np.testing.assert_allclose(found.sel(centre=12), one, **CLOSE)
    named = nd.models.rdm_searchlight(data, {"left": [10, 11]})
    np.testing.assert_allclose(named.sel(centre="left"), nd.models.rdm(data.isel(channel=[0, 1])), **CLOSE)
    assert (nd.models.rdm_searchlight(data, 3)["n_channels"] == 3).all()
    with pytest.raises(RecordingError, match="positions"):
        nd.models.rdm_searchlight(data.drop_vars("x"), 1.0)
    with pytest.raises(OptionError, match="99"):
        nd.models.rdm_searchlight(data, {"left": [99]})


def test_what_is_done_to_one_rdm_does_not_show_in_the_next(rng):
    """RDMs of the same conditions share their indexes, and nothing that can be changed."""
    data = patterns(rng)
    first = nd.models.rdm(data)
    want = first.copy(deep=True)
    first[:] = 7.0
    first["condition"].attrs["colour"] = "red"
    first.attrs["measure"] = "mine"
    first.name = "other"
    xr.testing.assert_identical(nd.models.rdm(data), want)


def test_align_matches_by_label_and_refuses_by_name(rng):
    one = nd.models.rdm(patterns(rng))
    other = one.isel(condition=[4, 2, 0], condition_2=[4, 2, 0])
    with pytest.raises(RecordingError, match="lacks b, d"):
        nd.models.align_rdms([one, other])
    with pytest.raises(OptionError, match="nobody measured"):
        nd.models.align_rdms([one, other], join="outer")
    first, second = nd.models.align_rdms([one, other], join="inner")
    assert first["condition"].values.tolist() == list("ace")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "values", [[[0.0, 1.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]], [[0.0, np.inf], [np.inf, 0.0]], [[0.0]], [1.0]]
)
def test_what_is_no_rdm_is_refused(values):
    with pytest.raises(RecordingError):
        nd.models.make_rdm(values)
