"""Filters, references, baselines and rates against SciPy, MNE and plain loops."""

import numpy as np
import pytest

import neurodata as nd

pre = nd.preprocess
RATE = 250.0


def signal(n=1500, n_channels=4, **options):
    values = np.random.default_rng(8).standard_normal((n, n_channels)) * 1e-5
    return nd.make_eeg(values, sampling_rate=RATE, **options)["signal"]


def test_a_band_pass_is_scipys():
    from scipy.signal import butter, filtfilt

    data = signal()
    # The transfer function instead of sections: another way through SciPy, sound at this low order.
    b, a = butter(2, [8.0, 30.0], "bandpass", fs=RATE)
    expected = filtfilt(b, a, data.values, axis=0)
    new = pre.filter(data, 8.0, 30.0, order=2)
    np.testing.assert_allclose(new.values[300:-300], expected[300:-300], atol=1e-12)


def test_a_band_pass_is_mnes():
    mne = pytest.importorskip("mne", reason="the extra eeg is not installed")
    data = signal()
    expected = mne.filter.filter_data(
        data.values.T,
        RATE,
        8.0,
        30.0,
        method="iir",
        iir_params={"order": 4, "ftype": "butter", "output": "sos"},
        verbose="error",
    ).T
    new = pre.filter(data, 8.0, 30.0)
    # MNE pads by another length; away from the ends that has died out.
    np.testing.assert_allclose(new.values[500:-500], expected[500:-500], atol=1e-10)


def test_an_average_reference_is_mnes():
    mne = pytest.importorskip("mne", reason="the extra eeg is not installed")
    types = ["eeg", "eeg", "eeg", "eog"]
    names = ["Fz", "Cz", "Pz", "EOG"]
    data = signal(channel=names, ch_type=types, bad=[False, False, True, False])
    info = mne.create_info(names, RATE, types)
    raw = mne.io.RawArray(data.values.T, info, verbose="error")
    raw.info["bads"] = ["Pz"]
    raw.set_eeg_reference("average", verbose="error")
    np.testing.assert_allclose(pre.rereference(data).values.T, raw.get_data(), atol=1e-18)


def test_maximin_is_the_formula_of_suite2p():
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

    rng = np.random.default_rng(9)
    trace = 100 + rng.gamma(1.0, 10.0, (2000, 3))
    node = nd.make_calcium(trace, sampling_rate=10.0)
    new = pre.delta_f_over_f(node["fluorescence"], baseline="maximin", window=20.0, smoothing=1.0).values
    low = minimum_filter1d(gaussian_filter1d(trace, 10.0, axis=0), 201, axis=0)
    f0 = maximum_filter1d(low, 201, axis=0)
    # Ends differ: suite2p mirrors the trace there, we leave out what was not recorded.
    inside = slice(300, -300)
    np.testing.assert_allclose(new[inside], ((trace - f0) / f0)[inside], rtol=1e-9)


def test_a_sliding_percentile_is_a_loop():
    rng = np.random.default_rng(10)
    trace = rng.gamma(1.0, 10.0, 300)
    trace[rng.integers(0, 300, 30)] = np.nan
    time = np.arange(300) / 10
    time[150:] += 5
    node = nd.make_calcium(trace[:, None], time=time)
    new = pre.delta_f_over_f(node["fluorescence"], window=4.0, percentile=20.0).values.ravel()
    expected = np.full(300, np.nan)
    for i in range(300):
        near = trace[(np.abs(time - time[i]) < 2.05) & ((np.arange(300) < 150) == (i < 150))]
        f0 = np.nanpercentile(near, 20)
        expected[i] = (trace[i] - f0) / f0
    np.testing.assert_allclose(new, expected, rtol=1e-9)


def test_gaussian_smoothing_is_a_loop():
    rng = np.random.default_rng(11)
    values = rng.standard_normal(200)
    values[rng.integers(0, 200, 25)] = np.nan
    time = np.arange(200) / 50
    time[120:] += 1
    new = pre.smooth(nd.make_eeg(values[:, None], time=time)["signal"], 0.06).values.ravel()
    for i in range(200):
        weight = np.exp(-0.5 * ((np.arange(200) - i) / 3.0) ** 2)
        weight[(np.abs(np.arange(200) - i) > 12) | ((np.arange(200) < 120) != (i < 120)) | np.isnan(values)] = 0
        expected = np.nan if np.isnan(values[i]) else (weight * np.nan_to_num(values)).sum() / weight.sum()
        np.testing.assert_allclose(new[i], expected, rtol=1e-9, atol=1e-12)


def test_a_lower_rate_is_scipys():
    from scipy.signal import resample_poly

    data = signal()
    new = pre.resample(data, 100.0)
    expected = resample_poly(data.values, 2, 5, axis=0, padtype="line")
    np.testing.assert_allclose(new.values, expected[: new.sizes["time"]], atol=1e-15)


def test_epochs_are_mnes():
    mne = pytest.importorskip("mne", reason="the extra eeg is not installed")
    data = signal()
    samples = np.array([200, 457, 903])
    raw = mne.io.RawArray(data.values.T, mne.create_info(4, RATE, "eeg"), verbose="error")
    events = np.stack([samples, np.zeros(3, int), np.ones(3, int)], axis=1)
    theirs = mne.Epochs(raw, events, tmin=-0.2, tmax=0.4, baseline=(-0.2, 0.0), preload=True, verbose="error")
    ours = pre.epoch(data, samples / RATE, (0.2, 0.4), baseline=(-0.2, 0.0))
    np.testing.assert_allclose(ours.time, theirs.times, atol=1e-12)
    np.testing.assert_allclose(ours.transpose("trial", "channel", "time"), theirs.get_data(copy=True), atol=1e-18)
