"""The numbers behind the analyses, against what can be worked out by hand or is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurodata as nd
from neurodata.cli.analyses import _counts, all_analyses, default_analysis
from neurodata.cli.analyses._counts import prepare_counts
from neurodata.cli.analyses._shuffles import label_shuffle_p, one_sample_t, sign_flip_p, two_sample_t
from neurodata.cli.analyses._states_view import connections_table, dwell_table
from neurodata.cli.analyses.rdm import split_distances
from neurodata.cli.analyses.spectrum import _peaks, _segment
from neurodata.containers import make_counts
from neurodata.errors import RecordingError


def test_t_is_scipys():
    x = np.random.default_rng(0).standard_normal((15, 3, 2)) + 0.3
    np.testing.assert_allclose(one_sample_t(x), stats.ttest_1samp(x, 0.0).statistic)
    first = np.arange(15) < 6
    np.testing.assert_allclose(two_sample_t(x, first), stats.ttest_ind(x[first], x[~first], equal_var=False).statistic)


@pytest.mark.statistical
def test_shuffles_find_what_is_there_and_seldom_what_is_not():
    rng = np.random.default_rng(1)
    n_false = 0
    for _ in range(60):
        noise = rng.standard_normal((16, 4, 5))
        n_false += sign_flip_p(noise, rng, 99).min() <= 0.05
        n_false += label_shuffle_p(noise, np.arange(16) % 2 == 0, rng, 99).min() <= 0.05
    # 120 families at 5 %: 6 expected, and more than 15 come once in a thousand (binomial tail 0.0006).
    assert n_false <= 15
    signal = rng.standard_normal((16, 4, 5))
    signal[:, 1, 2] += 2.0
    p = sign_flip_p(signal, rng, 499)
    assert p[1, 2] == p.min() == 1 / 500
    signal[::2, 3, 3] += 4.0
    p = label_shuffle_p(signal, np.arange(16) % 2 == 0, rng, 499)
    assert p[3, 3] == p.min()
    assert p[3, 3] < 0.01


def test_dwell_times_end_at_switches_and_at_gaps():
    t = np.array([0.5, 1.5, 2.5, 3.5, 10.5, 11.5, 12.5])
    path = xr.DataArray([0, 0, 1, 1, 1, 0, -1], dims="time", coords={"time": t})
    probability = xr.DataArray(np.zeros((7, 2)), dims=("time", "state"), coords={"time": t, "state": [0, 1]})
    counts = make_counts([[1], [3], [0], [2], [4], [5], [9]], 1.0, time=t)
    table = dwell_table(path, probability, counts)
    assert table["n_visits"].values.tolist() == [2, 2]
    assert table["dwell_mean"].values.tolist() == [1.5, 1.5]
    assert table["occupancy"].values.tolist() == [0.5, 0.5]
    assert table["rate"].values.tolist() == [3.0, 2.0]


def test_a_state_that_is_never_the_most_probable():
    path = xr.DataArray([0, 0], dims="time", coords={"time": [0.5, 1.5]})
    probability = xr.DataArray(np.zeros((2, 2)), dims=("time", "state"), coords={"state": [0, 1]})
    table = dwell_table(path, probability, make_counts([[1], [1]], 1.0))
    assert table["n_visits"].values.tolist() == [1, 0]
    assert np.isnan(table["dwell_mean"].values[1])


def test_connections_are_the_most_probable_pairs_first():
    kinds = ["inhibitory", "none", "excitatory"]
    probability = np.zeros((2, 2, 2, 3))
    probability[..., 1] = 1.0
    probability[1, 0, 1] = [0.0, 0.2, 0.8]
    probability[0, 1, 0] = [0.3, 0.6, 0.1]
    probability[:, 0, 0] = [1.0, 0.0, 0.0]  # a unit's own past is no connection
    model = nd.models.HMMGLM()
    pair = {"post": ["x", "y"], "pre": ["x", "y"], "connection": kinds}
    model.connection_prob_ = xr.DataArray(probability, dims=("state", *pair), coords={"state": [0, 1], **pair})
    model.connection_prior_ = model.connection_prob_.mean("state")
    table = connections_table(model)
    assert table.columns == ("from → to", "state 0", "state 1", "shared prior")
    assert table.rows == (
        ("y → x", "- 0.00 / + 0.00", "- 0.00 / + 0.80", "- 0.00 / + 0.40"),
        ("x → y", "- 0.30 / + 0.10", "- 0.00 / + 0.00", "- 0.15 / + 0.05"),
    )


def test_split_distances_of_patterns_without_noise():
    patterns = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    labels = ["a", "b", "c"] * 4
    trials = xr.DataArray(
        patterns[[ord(label) - 97 for label in labels]],
        dims=("trial", "channel"),
        coords={"description": ("trial", labels)},
    )
    matrix = split_distances(trials, ["a", "b", "c"])
    np.testing.assert_allclose(np.diag(matrix.values), 0.0, atol=1e-12)
    assert (matrix.values[~np.eye(3, dtype=bool)] > 1.0).all()


def _trains(n_spikes, n_units=4):
    rng = np.random.default_rng(2)
    return [np.sort(rng.uniform(0, 100, n)) for n in np.broadcast_to(n_spikes, n_units)]


def test_what_is_left_out_of_the_counts_is_said():
    node = nd.make_spikes(
        _trains([200, 200, 3, 300]),
        support=[[0.0, 100.0]],
        unit=[7, 8, 9, 10],
        quality=["good", "good", "mua", "Noise"],
    )
    prepared = prepare_counts(nd.make_recording(spikes=node), None)
    assert prepared.counts["unit"].values.tolist() == [7, 8]
    assert prepared.counts.attrs["bin_width"] == 0.02
    assert any("1 clusters labelled noise" in line for line in prepared.remarks)
    assert any("1 units with fewer than" in line for line in prepared.remarks)
    with pytest.raises(RecordingError, match="at least 2 units"):
        prepare_counts(nd.make_recording(spikes=nd.make_spikes(_trains(3), support=[[0.0, 100.0]])), None)


def test_calcium_counts_are_of_cells_in_whole_frames():
    rng = np.random.default_rng(3)
    amplitude = rng.exponential(1.0, (900, 4)) * (rng.random((900, 4)) < 0.3)
    node = nd.make_calcium(deconvolved=amplitude, sampling_rate=30.0, is_cell=[True, True, False, True])
    prepared = prepare_counts(nd.make_recording(calcium=node), None)
    assert prepared.event == "event"
    assert prepared.counts["unit"].values.tolist() == [0, 1, 3]
    assert prepared.counts.attrs["bin_width"] == pytest.approx(6 / 30)


def test_the_default_analysis_is_chosen_by_the_data():
    spikes, eeg = nd.make_spikes(_trains(10)), nd.make_eeg(np.zeros((10, 1)), sampling_rate=10.0)
    assert default_analysis(nd.make_recording(spikes=spikes, eeg=eeg)).name == "states"
    assert default_analysis(nd.make_recording(eeg=eeg)).name == "spectrum"
    fluorescence = nd.make_calcium(np.zeros((10, 1)), sampling_rate=10.0)
    assert default_analysis(nd.make_recording(calcium=fluorescence)) is None
    assert all_analyses()["states"].lacks(nd.make_recording(calcium=fluorescence))


def test_large_recordings_are_bounded_and_it_is_said(monkeypatch):
    rec = nd.make_recording(spikes=nd.make_spikes(_trains([100, 300, 200, 400]), support=[[0.0, 100.0]]))
    monkeypatch.setattr(_counts, "MOST_WORK", 20_000.0)
    monkeypatch.setattr(_counts, "ENOUGH_UNITS", 2)
    prepared = prepare_counts(rec, None)
    # 5000 bins: two units cost 40 000, twice what is allowed, so half of the time is left out too.
    assert prepared.counts["unit"].values.tolist() == [1, 3]
    assert prepared.counts.sizes["time"] == 2500
    assert any("the 2 most active of 4 units" in line for line in prepared.remarks)
    assert any("first 50 s" in line for line in prepared.remarks)
    whole = prepare_counts(rec, None, limited=False)
    assert whole.counts.shape == (5000, 4)
    assert whole.remarks == []


def test_a_rhythm_is_found_in_noise_and_none_in_noise_alone():
    rng = np.random.default_rng(5)
    t = np.arange(12_000) / 100.0
    x = rng.standard_normal((12_000, 2))
    x[:, 1] += np.sin(2 * np.pi * 12 * t)
    peaks = _peaks(nd.preprocess.power_spectrum(nd.make_eeg(x, sampling_rate=100.0)))
    assert np.isnan(peaks.values[0])
    assert peaks.values[1] == pytest.approx(12.0)


def test_four_seconds_of_noise_have_no_rhythm():
    x = np.random.default_rng(6).standard_normal((400, 200))
    peaks = _peaks(nd.preprocess.power_spectrum(nd.make_eeg(x, sampling_rate=100.0)))
    # The logarithm of a spectrum has a short upper tail: by chance, less than once in 30 000 of the 200 x 53 values.
    assert np.isfinite(peaks.values).sum() <= 2


def test_welch_segments_fit_between_gaps():
    times = np.r_[np.arange(50), 500 + np.arange(120)] / 100.0
    eeg = nd.make_eeg(np.zeros((170, 1)), time=times, sampling_rate=100.0)
    assert _segment(eeg["signal"]) == pytest.approx(1.2)
    assert _segment(nd.make_eeg(np.zeros((900, 1)), sampling_rate=100.0)["signal"]) == 2.0
