"""Spectra against SciPy, and around gaps and missing samples."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import signal as scipy_signal

import neurodata as nd
from neurodata.errors import OptionError, RecordingError

FS = 128.0


def _node(values, time=None):
    return nd.make_eeg(values, time=time, sampling_rate=FS)


def test_power_spectrum_is_scipys_welch():
    x = np.random.default_rng(0).standard_normal((5000, 3)).cumsum(axis=0)
    frequency, expected = scipy_signal.welch(x, FS, window="hann", nperseg=256, axis=0)
    got = nd.preprocess.power_spectrum(_node(x), segment=2.0)
    np.testing.assert_allclose(got["frequency"].values, frequency)
    np.testing.assert_allclose(got.values, expected, rtol=1e-10)
    assert got.attrs["units"] == "V^2/Hz"


def test_odd_segments_too():
    x = np.random.default_rng(1).standard_normal((2000, 1))
    frequency, expected = scipy_signal.welch(x, FS, nperseg=129, noverlap=129 - 64, axis=0)
    got = nd.preprocess.power_spectrum(_node(x), segment=129 / FS)
    np.testing.assert_allclose(got["frequency"].values, frequency)
    np.testing.assert_allclose(got.values, expected, rtol=1e-10)


def test_no_segment_crosses_a_gap():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((512, 1)), rng.standard_normal((512, 1)) + 1000.0
    time = np.r_[np.arange(512), 5000 + np.arange(512)] / FS
    got = nd.preprocess.power_spectrum(_node(np.r_[first, second], time), segment=2.0)
    parts = [scipy_signal.welch(part, FS, nperseg=256, axis=0)[1] for part in (first, second)]
    np.testing.assert_allclose(got.values, np.mean(parts, axis=0), rtol=1e-9)


def test_a_missing_sample_costs_one_channel_its_segments_only():
    x = np.random.default_rng(3).standard_normal((2048, 2))
    broken = x.copy()
    broken[100, 0] = np.nan
    got = nd.preprocess.power_spectrum(_node(broken), segment=2.0)
    whole = nd.preprocess.power_spectrum(_node(x), segment=2.0)
    np.testing.assert_array_equal(got[:, 1], whole[:, 1])
    assert np.isfinite(got.values).all()
    assert not np.allclose(got[:, 0], whole[:, 0])


def test_max_duration_reads_part_of_it():
    x = np.random.default_rng(4).standard_normal((12800, 1))
    got = nd.preprocess.power_spectrum(_node(x), segment=1.0, max_duration=10.0)
    assert got.attrs["n_segments"] == 20
    assert float(got.mean()) == pytest.approx(2 / FS, rel=0.1)  # white noise of variance 1: 1 / (fs / 2)


def test_spectrogram_is_scipys():
    x = np.random.default_rng(5).standard_normal((1000, 2))
    frequency, time, expected = scipy_signal.spectrogram(x[:, 1], FS, window="hann", nperseg=64, noverlap=32)
    got = nd.preprocess.spectrogram(_node(x)["signal"], window=0.5, step=0.25)
    assert got.dims == ("time", "channel", "frequency")
    np.testing.assert_allclose(got.values[:, 1].T, expected, rtol=1e-9, atol=1e-18)
    # SciPy puts a window at the end of its middle sample, half a sample later than the mean of its times.
    np.testing.assert_allclose(got["time"].values, time - 0.5 / FS)


def test_spectrogram_of_epochs_and_over_a_gap():
    x = np.random.default_rng(6).standard_normal((4, 200, 2))
    epochs = xr.DataArray(x, dims=("trial", "time", "channel"), coords={"time": np.arange(200) / FS - 0.5})
    got = nd.preprocess.spectrogram(epochs, window=0.25, step=0.125, sampling_rate=FS)
    one = nd.preprocess.spectrogram(epochs[2], window=0.25, step=0.125, sampling_rate=FS)
    np.testing.assert_allclose(got[2].values, one.values)
    time = np.r_[np.arange(100), 300 + np.arange(100)] / FS
    over = nd.preprocess.spectrogram(_node(x[0], time)["signal"], window=0.25, step=0.125)
    missing = over.isnull().all(["channel", "frequency"]).values
    expected = [start < 100 < start + 32 for start in range(0, 200 - 32 + 1, 16)]
    assert missing.tolist() == expected


def test_windows_that_do_not_fit():
    node = _node(np.zeros((100, 1)))
    with pytest.raises(OptionError, match="segment"):
        nd.preprocess.power_spectrum(node, segment=2.0)
    with pytest.raises(OptionError, match="window"):
        nd.preprocess.spectrogram(node["signal"], window=2.0)
    with pytest.raises(RecordingError, match="counts"):
        nd.preprocess.spectrogram(nd.bin_spikes(nd.make_spikes({"a": [0.1, 3.0]}), 0.1))
