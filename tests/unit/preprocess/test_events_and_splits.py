"""Deconvolved events as counts; blocked splits; gap-free segments."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError, RecordingError

pre = nd.preprocess


def test_known_quanta_are_found():
    rng = np.random.default_rng(4)
    truth = rng.poisson(0.2, (4000, 3))
    scale = np.array([0.01, 1.0, 250.0])
    amplitude = truth * scale * rng.normal(1, 0.05, truth.shape).clip(0.8, 1.2)
    node = nd.make_calcium(deconvolved=amplitude, sampling_rate=30.0, roi=[4, 9, 2], label=["x", "y", "z"])
    for quantum in ("quantile", "mode"):
        counts = pre.events_to_counts(node, quantum=quantum)
        np.testing.assert_allclose(counts.quantum, scale, rtol=0.1)
        assert (counts.values == truth).mean() > 0.999
    assert counts.dims == ("time", "unit")
    assert counts.unit.values.tolist() == [4, 9, 2]
    assert counts.label.values.tolist() == ["x", "y", "z"]
    assert counts.dtype == np.int32
    assert counts.attrs["bin_width"] == pytest.approx(1 / 30)
    np.testing.assert_array_equal(counts.time, node.time)


def test_residues_of_the_solver_are_not_the_typical_event():
    rng = np.random.default_rng(5)
    truth = (rng.random((5000, 1)) < 0.02).astype(int)
    amplitude = np.where(truth > 0, 3.0, rng.exponential(1e-4, truth.shape))
    counts = pre.events_to_counts(nd.make_calcium(deconvolved=amplitude, sampling_rate=30.0))
    assert float(counts.quantum[0]) == 3.0
    np.testing.assert_array_equal(counts, truth)


def test_silent_and_unobserved_rois():
    amplitude = np.array([[0.0, np.nan, 1.0], [0.0, np.nan, np.nan]])
    counts = pre.events_to_counts(nd.make_calcium(deconvolved=amplitude, sampling_rate=1.0))
    np.testing.assert_array_equal(counts, [[0, np.nan, 1], [0, np.nan, np.nan]])
    np.testing.assert_array_equal(counts.quantum, [np.nan, np.nan, 1])


def test_frames_are_summed_inside_stretches():
    amplitude = np.array([1, 0, 1, 1, 1, 0, 0, 1.0])[:, None]
    time = np.array([0, 1, 2, 3, 4, 10, 11, 12]) * 0.1
    node = nd.make_calcium(deconvolved=amplitude, time=time)
    counts = pre.events_to_counts(node, bin_width=0.2)
    assert counts.values.ravel().tolist() == [1, 2, 0]
    np.testing.assert_allclose(counts.time, [0.05, 0.25, 1.05])
    assert counts.attrs["bin_width"] == pytest.approx(0.2)
    assert counts.attrs["dropped_frames"] == 2


def test_a_bin_with_a_missing_frame_is_missing():
    amplitude = np.array([1, np.nan, 1, 1.0])[:, None]
    counts = pre.events_to_counts(nd.make_calcium(deconvolved=amplitude, sampling_rate=10.0), bin_width=0.2)
    np.testing.assert_array_equal(counts.values.ravel(), [np.nan, 2])


def test_stated_quanta():
    node = nd.make_calcium(deconvolved=np.array([[4.0, 4.0]]), sampling_rate=1.0)
    counts = pre.events_to_counts(node, quantum=np.array([1.0, 2.0]), sampling_rate=1.0)
    assert counts.values.tolist() == [[4, 2]]


def test_counts_fit_the_store_and_the_recording(tmp_path):
    node = nd.make_calcium(deconvolved=np.eye(4), sampling_rate=10.0)
    rec = nd.make_recording(calcium=node)
    counts = pre.events_to_counts(rec)
    new = nd.make_recording(spikes=counts.to_dataset())
    assert nd.load(nd.save(new, tmp_path / "x.nc")).identical(new)
    xr.testing.assert_identical(counts, pre.events_to_counts(node))


def test_event_errors():
    node = nd.make_calcium(deconvolved=np.eye(4), sampling_rate=10.0)
    with pytest.raises(OptionError, match=r"0.2 or 0.3"):
        pre.events_to_counts(node, bin_width=0.25)
    with pytest.raises(OptionError, match="stretches"):
        pre.events_to_counts(node, bin_width=1.0)
    with pytest.raises(RecordingError, match="negative"):
        pre.events_to_counts(nd.make_calcium(deconvolved=-np.eye(4), sampling_rate=10.0))
    with pytest.raises(RecordingError, match="deconvolved"):
        pre.events_to_counts(nd.make_calcium(np.eye(4), sampling_rate=10.0))
    with pytest.raises(OptionError, match="quant"):
        pre.events_to_counts(node, quantum="max")
    with pytest.raises(OptionError, match="above 0"):
        pre.events_to_counts(node, quantum=0.0)


# Splits


def test_every_sample_is_tested_once_and_none_is_near_its_training_data():
    seen = []
    for train, test in pre.blocked_splits(103, 5, gap=4):
        seen += test.tolist()
        assert np.abs(train[:, None] - test[None]).min() == 5
        assert np.array_equal(np.diff(test), np.ones(test.size - 1))
    assert seen == list(range(103))


def counts_with_gap():
    time = np.r_[np.arange(10), 100 + np.arange(10)] + 0.5
    return xr.DataArray(np.arange(20)[:, None], dims=("time", "unit"), coords={"time": time}, attrs={"bin_width": 1.0})


def test_the_gap_is_time_not_samples():
    # Blocks are 0-9 and 100-109 s: they are 90 s apart already.
    (train, test), _ = pre.blocked_splits(counts_with_gap(), 2, gap=50.0)
    assert (test.size, train.size) == (10, 10)
    (train, _), *_ = pre.blocked_splits(counts_with_gap(), 4, gap=3.0)
    assert train.tolist() == [8, 9, *range(10, 20)]


def test_sequences_have_no_gaps():
    for train, test in pre.train_test_blocks(counts_with_gap(), 4, gap=2.0):
        for part in [*train, *test]:
            assert np.allclose(np.diff(part.time), 1.0)
            assert part.attrs["bin_width"] == 1.0
    (_, test), *_ = pre.train_test_blocks(counts_with_gap(), 3)
    assert [part.values.ravel().tolist() for part in test] == [list(range(7))]


def test_trials_are_split_whole():
    data = nd.preprocess.epoch(
        nd.make_spikes({"a": [0.1]}, support=[[0, 100]]), np.arange(10, 90, 10.0), (1.0, 2.0), bin_width=0.5
    )
    splits = pre.blocked_splits(data, 4, gap=8.0)
    # Windows span 3 s, onsets are 10 s apart: neighbours are about 7 s apart and fall away.
    assert splits[1][1].tolist() == [2, 3]
    assert splits[1][0].tolist() == [0, 5, 6, 7]
    assert pre.blocked_splits(data, 4, gap=6.0)[1][0].tolist() == [0, 1, 4, 5, 6, 7]
    (train, test), *_ = pre.train_test_blocks(data, 4)
    assert train[0].sizes["trial"] == 6
    assert test[0].trial.values.tolist() == [0, 1]


def test_scikit_learn_takes_them():
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import cross_val_score

    x = np.arange(50.0)[:, None]
    assert cross_val_score(LinearRegression(), x, x[:, 0], cv=pre.blocked_splits(50, 5, gap=2)).shape == (5,)


def test_split_errors():
    for n_splits in (1, 11, 2.5):
        with pytest.raises(OptionError, match="n_splits"):
            pre.blocked_splits(10, n_splits)
    with pytest.raises(OptionError, match="training data"):
        pre.blocked_splits(10, 2, gap=9)
    with pytest.raises(OptionError, match="whole number"):
        pre.blocked_splits(10, 2, gap=0.5)
    with pytest.raises(OptionError, match="gap"):
        pre.blocked_splits(10, 2, gap=-1)


def test_segments_are_the_data():
    data = counts_with_gap()
    parts = pre.regular_segments(data)
    assert [part.sizes["time"] for part in parts] == [10, 10]
    assert xr.concat(parts, "time").drop_attrs().equals(data.drop_attrs())
    assert [part.sizes["time"] for part in pre.regular_segments(data, max_gap=1000.0)] == [20]
    with pytest.raises(OptionError, match="max_gap"):
        pre.regular_segments(data, max_gap=0)
