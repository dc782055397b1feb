"""Events as regressors on bins: where they are, what they add up to, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import OptionError, RecordingError
from neurodata.preprocess import stimulus_regressors

BINS = make_counts(np.zeros((100, 2)), 0.01, start=5.0)


def test_boxcars_are_counts_of_events_by_lag():
    onset = np.array([5.1, 5.13, 5.5])
    got = stimulus_regressors(onset, BINS, window=(-0.02, 0.04), n_basis=3, kind="boxcar")
    expected = np.zeros((100, 3))
    for time, row in zip(BINS["time"].values, expected, strict=True):
        for event in onset:
            for k in range(3):
                row[k] += -0.02 + 0.02 * k <= time - event < 0.02 * k
    np.testing.assert_array_equal(got.values, expected)
    assert got["time"].identical(BINS["time"].rename("time"))


def test_raised_cosines_follow_their_formula_and_add_up_to_one_inside():
    got = stimulus_regressors([5.2], BINS, window=(0.0, 0.3), n_basis=5).values
    lag = BINS["time"].values - 5.2
    for k in range(5):
        away = (lag - (k + 0.5) * 0.06) / 0.06
        expected = np.where((np.abs(away) < 1) & (lag >= 0) & (lag < 0.3), 0.5 + 0.5 * np.cos(np.pi * away), 0.0)
        np.testing.assert_allclose(got[:, k], expected, atol=1e-12)
    inside = (lag > 0.03) & (lag < 0.27)
    np.testing.assert_allclose(got.sum(axis=1)[inside], 1.0)
    assert (got[(lag < 0) | (lag > 0.3)] == 0).all()


def test_events_beyond_the_bins_count_where_they_overlap_and_gaps_stay_gaps():
    late = stimulus_regressors([4.9, 5.95, 9.0], BINS, window=(0.0, 0.2), n_basis=1, kind="boxcar")
    assert late.values[:, 0].nonzero()[0].tolist() == [*range(10), *range(95, 100)]
    gap = BINS.isel(time=[*range(20), *range(60, 100)])
    part = stimulus_regressors([5.15], gap, window=(0.0, 0.5), n_basis=1, kind="boxcar")
    assert part["time"].values[part.values[:, 0] > 0].tolist() == gap["time"].values[15:25].tolist()


def test_conditions_of_a_trials_table_get_columns_of_their_own():
    trials = nd.make_trials({"start": [5.1, 5.3, 5.5], "stop": [5.2, 5.4, 5.6], "condition": ["b", "a", "b"]})
    got = stimulus_regressors(trials, BINS, window=(0.0, 0.01), n_basis=1, kind="boxcar", name="cue")
    assert got["covariate"].values.tolist() == ["cue_a_0", "cue_b_0"]
    assert [np.flatnonzero(column).tolist() for column in got.values.T] == [[30], [10, 50]]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"window": (0.2, 0.0)}, OptionError, "window"),
        ({"window": (0.0, np.inf)}, OptionError, "window"),
        ({"window": (0.0, 0.02)}, OptionError, "at least one bin"),
        ({"n_basis": 0}, OptionError, "n_basis"),
        ({"kind": "square"}, OptionError, "raised_cosine"),
        ({"onsets": [np.nan]}, RecordingError, "NaN"),
        ({"onsets": xr.Dataset({"stop": ("event", [1.0])})}, RecordingError, "start or onset"),
        ({"condition": ["a", "b"]}, RecordingError, "condition for each"),
        ({"bins": np.zeros(3)}, RecordingError, "time coordinate"),
    ],
)
def test_what_makes_no_sense_is_refused(change, error, words):
    options = {"onsets": [5.1], "bins": BINS, **change}
    with pytest.raises(error, match=words):
        stimulus_regressors(options.pop("onsets"), options.pop("bins"), **options)


def test_a_response_comes_back_through_a_regression():
    """Counts with a known response to events: the weights times the shapes are that response."""
    rng = np.random.default_rng(0)
    time = (np.arange(20_000) + 0.5) * 0.01
    onset = np.cumsum(rng.uniform(0.2, 0.5, 500))
    response = np.zeros(time.size)
    for event in onset:
        lag = time - event
        response += np.where((lag >= 0) & (lag < 0.1), -2.0, 0.0)
    counts = make_counts(rng.poisson(np.exp(-1.0 + response))[:, None], 0.01, time=time)
    columns = stimulus_regressors(onset, counts, window=(0.0, 0.2), n_basis=2, kind="boxcar")
    fit = nd.models.HMMGLM(n_states=1, prior=None, history=0.01, n_basis=1).fit(counts, columns)
    # Standard errors are about 0.06 and 0.02.
    np.testing.assert_allclose(fit.covariate_weight_.values[0, 0], [-2.0, 0.0], atol=0.25)
