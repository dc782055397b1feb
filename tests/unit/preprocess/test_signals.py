"""Smoothing, scaling, filters, references and rates: values, gaps, NaN and errors."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import NeurodataWarning, OptionError, RecordingError

pre = nd.preprocess


def trace(values, time=None, rate=10.0, **options):
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    rate = None if time is not None else rate
    return nd.make_eeg(values, time=time, sampling_rate=rate, **options)["signal"]


# Smoothing


def test_boxcar_is_the_mean_of_the_window():
    new = pre.smooth(trace([0, 0, 3, 0, 0, 0]), 0.3, kind="boxcar")
    np.testing.assert_allclose(new.values.ravel(), [0, 1, 1, 1, 0, 0])


def test_an_even_boxcar_does_not_shift():
    new = pre.smooth(trace([0, 0, 0, 4, 0, 0, 0]), 0.2, kind="boxcar")
    np.testing.assert_allclose(new.values.ravel(), [0, 0, 1, 2, 1, 0, 0])


@pytest.mark.parametrize("kind", ["gaussian", "boxcar"])
def test_a_constant_stays_constant_up_to_gaps_ends_and_nan(kind):
    values = np.full(40, 7.0)
    values[[3, 12, 13]] = np.nan
    time = np.arange(40) / 10
    time[25:] += 3
    new = pre.smooth(trace(values, time), 0.4, kind=kind).values.ravel()
    np.testing.assert_allclose(new[~np.isnan(values)], 7.0)
    np.testing.assert_array_equal(np.isnan(new), np.isnan(values))


def test_nothing_is_smoothed_across_a_gap():
    time = np.r_[np.arange(10), np.arange(10) + 12.0]
    new = pre.smooth(trace(np.r_[np.zeros(10), np.ones(10)], time), 3.0)
    np.testing.assert_array_equal(new.values.ravel(), np.r_[np.zeros(10), np.ones(10)])


def test_width_of_the_gaussian_is_in_seconds():
    values = np.zeros(401)
    values[200] = 1.0
    new = pre.smooth(trace(values, rate=100.0), 0.2)
    offset = (np.arange(401) - 200) / 100
    assert float(np.sqrt((new.values.ravel() * offset**2).sum())) == pytest.approx(0.2, rel=2e-3)


def test_trials_are_smoothed_one_by_one():
    data = xr.DataArray(
        [[[0.0], [3.0], [0.0]], [[0.0], [0.0], [0.0]]], dims=("trial", "time", "unit"), coords={"time": [0.0, 1.0, 2.0]}
    )
    assert pre.smooth(data, 3.0, kind="boxcar").values[..., 0].tolist() == [[1.5, 1.0, 1.5], [0, 0, 0]]


def test_smooth_errors():
    for width in (0, np.nan):
        with pytest.raises(OptionError, match="width"):
            pre.smooth(trace([1, 2, 3]), width)
    with pytest.raises(OptionError, match="kind"):
        pre.smooth(trace([1, 2, 3]), 1.0, kind="median")
    with pytest.raises(RecordingError, match="resample"):
        pre.smooth(trace([1, 2, 3, 4], [0.0, 1.0, 2.2, 3.0]), 1.0)


# Scaling


def test_zscore_leaves_nan_out():
    new = pre.zscore(trace([[1.0, 5.0], [np.nan, 5.0], [3.0, np.nan]]))
    np.testing.assert_array_equal(new, [[-1, 0], [np.nan, 0], [1, np.nan]])
    assert new.attrs["units"] == "1"


def test_a_constant_with_rounding_errors_is_a_constant():
    new = pre.zscore(trace(np.full(1000, 0.1)))
    assert (new == 0).all()


def test_a_unit_never_observed_stays_nan():
    assert np.isnan(pre.zscore(trace(np.full(5, np.nan)))).all()
    assert np.isnan(pre.zscore(trace(np.full(5, np.nan)), robust=True)).all()


def test_zscore_per_trial_or_pooled():
    data = xr.DataArray([[0.0, 2.0], [10.0, 12.0]], dims=("trial", "time"), coords={"time": [0.0, 1.0]})
    assert pre.zscore(data).values.tolist() == [[-1, 1], [-1, 1]]
    pooled = pre.zscore(data, ["trial", "time"])
    np.testing.assert_allclose(pooled, (data - 6) / np.std([0, 2, 10, 12]))


def test_robust_score_ignores_an_outlier():
    values = np.r_[np.arange(9.0), 1e6]
    new = pre.zscore(trace(values), robust=True).values.ravel()
    np.testing.assert_allclose(new, (values - 4.5) / (1.482602218505602 * 2.5))


def test_robust_score_without_spread_is_nan_and_says_so():
    with pytest.warns(NeurodataWarning, match="sparse"):
        new = pre.zscore(trace([0, 0, 0, 0, 1.0]), robust=True)
    assert np.isnan(new).all()


def test_zscore_of_an_unknown_dim():
    with pytest.raises(OptionError, match="unit"):
        pre.zscore(trace([1, 2]), "unit")


# dF/F


def test_dff_with_a_constant_baseline_and_neuropil():
    node = nd.make_calcium(
        np.array([[11.0], [11.0], [21.0]]), neuropil=np.array([[2.0], [2.0], [2.0]]), sampling_rate=10.0
    )
    new = pre.delta_f_over_f(node, baseline="constant", percentile=0, neuropil_coefficient=0.5)
    np.testing.assert_allclose(new["dff"].values.ravel(), [0, 0, 1.0])
    assert new["dff"].attrs["units"] == "dF/F"
    plain = pre.delta_f_over_f(node, baseline="constant", percentile=0)
    np.testing.assert_allclose(plain["dff"].values.ravel(), [0, 0, 10 / 11])
    rec = nd.make_recording(calcium=node)
    xr.testing.assert_identical(nd.check(pre.delta_f_over_f(rec))["calcium"]["dff"], pre.delta_f_over_f(node)["dff"])


@pytest.mark.parametrize("baseline", ["percentile", "maximin"])
def test_a_sliding_baseline_follows_drift_and_not_events(baseline):
    time = np.arange(3000) / 10
    drift = 100 + 0.1 * time
    values = drift.copy()
    values[::100] *= 2
    node = nd.make_calcium(values[:, None], sampling_rate=10.0)
    dff = pre.delta_f_over_f(node["fluorescence"], baseline=baseline, window=20.0, smoothing=0.01).values.ravel()
    assert np.abs(dff[np.arange(3000) % 100 != 0]).max() < 0.02
    assert dff[::100].min() > 0.95


@pytest.mark.parametrize("baseline", ["percentile", "maximin"])
def test_a_baseline_does_not_see_over_a_gap(baseline):
    time = np.r_[np.arange(50) / 10, 100 + np.arange(50) / 10]
    node = nd.make_calcium(np.r_[np.full(50, 10.0), np.full(50, 20.0)][:, None], time=time)
    np.testing.assert_allclose(
        pre.delta_f_over_f(node["fluorescence"], baseline=baseline, window=1000.0), 0, atol=1e-12
    )


def test_a_baseline_of_zero_or_below_has_no_ratio():
    with pytest.warns(NeurodataWarning, match="1 trace"):
        new = pre.delta_f_over_f(trace([[-1.0, 1.0], [-1.0, 1.0]]), baseline="constant")
    np.testing.assert_array_equal(new, [[np.nan, 0], [np.nan, 0]])


def test_dff_errors():
    node = nd.make_calcium(np.ones((4, 1)), sampling_rate=1.0)
    with pytest.raises(RecordingError, match="neuropil"):
        pre.delta_f_over_f(node, neuropil_coefficient=0.7)
    with pytest.raises(OptionError, match="baseline"):
        pre.delta_f_over_f(node, baseline="mode")
    with pytest.raises(OptionError, match="window"):
        pre.delta_f_over_f(node, window=0)
    with pytest.raises(nd.errors.MissingOptionError, match="neuropil_coefficient"):
        pre.delta_f_over_f(node["fluorescence"], neuropil=node["fluorescence"])
    with pytest.raises(RecordingError, match="fluorescence"):
        pre.delta_f_over_f(nd.make_calcium(deconvolved=np.ones((4, 1)), sampling_rate=1.0))


# Filters


def sine(frequency, n=4000, rate=1000.0):
    return np.sin(2 * np.pi * frequency * np.arange(n) / rate)


def test_a_band_passes_and_the_rest_does_not():
    data = trace(np.stack([sine(2), sine(20), sine(200)], axis=1), rate=1000.0)
    new = pre.filter(data, 8.0, 60.0).values[1000:3000]
    np.testing.assert_allclose(new[:, 1], data.values[1000:3000, 1], atol=5e-3)
    assert np.abs(new[:, [0, 2]]).max() < 5e-3


def test_a_notch_takes_out_the_mains():
    data = trace(np.stack([sine(50), sine(40)], axis=1), rate=1000.0)
    new = pre.filter(data, notch=[50, 100]).values[1500:2500]
    assert np.abs(new[:, 0]).max() < 1e-2
    np.testing.assert_allclose(new[:, 1], data.values[1500:2500, 1], atol=1e-2)


def test_a_gap_is_an_end():
    values, time = sine(5, 2000), np.arange(2000) / 1000
    time[1000:] += 0.35
    new = pre.filter(trace(values, time), lowpass=30.0)
    for part in (slice(None, 1000), slice(1000, None)):
        alone = pre.filter(trace(values[part], time[part]), lowpass=30.0)
        np.testing.assert_allclose(new.values[part], alone.values, atol=1e-12)


def test_nan_is_an_end_too():
    values = np.stack([sine(5, 600), sine(5, 600)], axis=1)
    values[250:300, 0] = np.nan
    new = pre.filter(trace(values, rate=1000.0), lowpass=30.0).values
    np.testing.assert_allclose(new[:250, 0], pre.filter(trace(values[:250, 0], rate=1000.0), lowpass=30.0)[:, 0])
    assert np.isnan(new[250:300, 0]).all()
    assert not np.isnan(new[300:]).any()
    assert not np.isnan(new[:, 1]).any()


def test_channels_that_are_not_voltages_pass_through():
    data = trace(
        np.stack([sine(200)] * 4, axis=1),
        rate=1000.0,
        ch_type=["eeg", "STIM", "misc", "eeg"],
        ch_unit=["V", "V", "V", "C"],
    )
    new = pre.filter(data, lowpass=20.0)
    np.testing.assert_array_equal(new[:, 1:], data[:, 1:])
    assert np.abs(new[1000:3000, 0]).max() < 1e-3
    assert new.channel.equals(data.channel)
    node = nd.make_recording(eeg=data.to_dataset())
    np.testing.assert_array_equal(pre.filter(node, lowpass=20.0)["eeg"]["signal"], new)


def test_the_band_is_recorded_and_only_narrows():
    node = nd.make_eeg(sine(5)[:, None], sampling_rate=1000.0, attrs={"highpass": 0.1, "lowpass": 40.0})
    new = pre.filter(node, 1.0, 100.0)
    assert (new.attrs["highpass"], new.attrs["lowpass"]) == (1.0, 40.0)


def test_filter_errors():
    data = trace(sine(5, 200), rate=1000.0)
    with pytest.raises(OptionError, match="500 Hz"):
        pre.filter(data, lowpass=500.0)
    with pytest.raises(OptionError, match="highpass below lowpass"):
        pre.filter(data, 30.0, 10.0)
    with pytest.raises(OptionError, match="at least one"):
        pre.filter(data)
    with pytest.raises(RecordingError, match="at least 16 samples"):
        pre.filter(data[:10], lowpass=30.0)
    with pytest.raises(RecordingError, match="resample"):
        pre.filter(trace(sine(5, 200), np.sort(np.random.default_rng(0).uniform(0, 1, 200))), lowpass=3.0)
    with pytest.raises(OptionError, match="sampling rate that fits"):
        pre.filter(data, lowpass=30.0, sampling_rate=500.0)
    counts = nd.bin_spikes(nd.make_spikes({"a": [0.1]}, support=[[0, 9]]), 0.1)
    with pytest.raises(RecordingError, match="smooth"):
        pre.filter(counts, lowpass=1.0)


def test_short_stretches_can_be_left_out():
    values = sine(5, 200)
    values[[10, 150]] = np.nan
    data = trace(values, rate=1000.0)
    with pytest.raises(RecordingError, match="one of 10 samples"):
        pre.filter(data, lowpass=30.0)
    new = pre.filter(data, lowpass=30.0, short="nan").values.ravel()
    assert np.isnan(new[:11]).all()
    assert not np.isnan(new[11:150]).any()


# References


def cap():
    values = np.array([[1.0, 2.0, 6.0, 100.0, 50.0]])
    return trace(
        values,
        channel=["Fz", "Cz", "Pz", "bad", "trig"],
        ch_type=["eeg", "eeg", "eeg", "eeg", "stim"],
        bad=[False, False, False, True, False],
    )


def test_average_leaves_bad_and_other_channels_out():
    new = pre.rereference(cap())
    np.testing.assert_allclose(new.values, [[-2, -1, 3, 97, 50]])
    assert new.attrs["reference"] == "average"


def test_named_channels_are_the_reference():
    assert pre.rereference(cap(), "Cz").values.tolist() == [[-1, 0, 4, 98, 50]]
    new = pre.rereference(cap(), ["Fz", "Pz"])
    np.testing.assert_allclose(new.values, [[-2.5, -1.5, 2.5, 96.5, 50]])
    assert new.attrs["reference"] == "Fz+Pz"


def test_nan_in_the_average_and_in_a_named_reference():
    data = trace([[1.0, np.nan, 3.0]], channel=["a", "b", "c"])
    np.testing.assert_array_equal(pre.rereference(data), [[-1, np.nan, 1]])
    assert np.isnan(pre.rereference(data, "b")).all()


def test_rereference_errors():
    with pytest.raises(OptionError, match="'Oz'"):
        pre.rereference(cap(), "Oz")
    with pytest.raises(OptionError, match="voltage"):
        pre.rereference(cap(), "trig")
    with pytest.raises(OptionError, match="ch_type"):
        pre.rereference(cap(), ch_type="seeg")
    with pytest.raises(RecordingError, match="channel"):
        pre.rereference(xr.DataArray([1.0], dims="time"))


# Rates


@pytest.mark.parametrize("rate", [250.0, 400.0, 1000.0, 1500.0, 2000.0])
def test_a_slow_wave_is_the_same_at_any_rate(rate):
    data = trace(sine(7, 2000), rate=1000.0)
    new = pre.resample(data, rate)
    inside = (new.time > 0.2) & (new.time < 1.8)
    expected = np.sin(2 * np.pi * 7 * new.time.values)
    np.testing.assert_allclose(new.values[inside.values, 0], expected[inside.values], atol=2e-3)
    np.testing.assert_allclose(np.diff(new.time), 1 / rate)
    assert new.time.values[-1] <= data.time.values[-1] + 1e-9
    assert new.attrs["sampling_rate"] == rate


def test_fast_waves_do_not_fold():
    new = pre.resample(trace(sine(430), rate=1000.0), 100.0)
    assert np.abs(new.values[20:-20]).max() < 1e-2


def test_gaps_stay_gaps():
    time = np.arange(1000) / 1000
    time[400:] += 0.777
    new = pre.resample(trace(np.r_[np.zeros(400), np.ones(600)], time), 100.0)
    np.testing.assert_allclose(new.time, np.r_[np.arange(40) / 100, time[400] + np.arange(60) / 100])
    np.testing.assert_allclose(new.values.ravel(), np.r_[np.zeros(40), np.ones(60)], atol=1e-12)


def test_nan_takes_the_reach_of_the_filter_and_no_more():
    values = np.ones((1000, 2))
    values[500, 0] = np.nan
    new = pre.resample(trace(values, rate=1000.0), 100.0)
    missing = np.flatnonzero(np.isnan(new.values[:, 0]))
    assert missing.tolist() == list(range(40, 61))
    np.testing.assert_allclose(new.values[:, 1], 1.0, atol=1e-12)
    np.testing.assert_allclose(np.delete(new.values[:, 0], missing), 1.0, atol=1e-3)


def test_uneven_times_become_even():
    rng = np.random.default_rng(1)
    time = np.arange(500) / 50 + rng.uniform(-0.004, 0.004, 500)
    data = trace(np.sin(2 * np.pi * time), time)
    with pytest.raises(RecordingError, match="linear"):
        pre.resample(data, 50.0)
    for rate in (100.0, 20.0):
        new = pre.resample(data, rate, method="linear", max_gap=0.1)
        np.testing.assert_allclose(np.diff(new.time), 1 / rate)
        middle = slice(int(rate), -int(rate))
        np.testing.assert_allclose(new.values[middle, 0], np.sin(2 * np.pi * new.time.values[middle]), atol=0.02)


def test_interpolation_does_not_cross_gaps_or_nan():
    time = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 1.3])
    data = trace([0, 1, 2, 10, np.nan, 12, 13], time)
    new = pre.resample(data, 20.0, method="linear", max_gap=0.15)
    np.testing.assert_allclose(new.time, [0, 0.05, 0.1, 0.15, 0.2, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3])
    np.testing.assert_allclose(
        new.values.ravel(), [0, 0.5, 1, 1.5, 2, 10, np.nan, np.nan, np.nan, 12, 12.5, 13], atol=1e-9
    )


def test_resample_errors():
    counts = nd.bin_spikes(nd.make_spikes({"a": [0.1]}, support=[[0, 9]]), 0.1)
    with pytest.raises(RecordingError, match="bin_spikes"):
        pre.resample(counts, 5.0)
    with pytest.raises(OptionError, match="ratio"):
        pre.resample(trace(sine(5), rate=1000.0), 999.91)
    with pytest.raises(OptionError, match="positive"):
        pre.resample(trace(sine(5), rate=1000.0), 0)
    with pytest.raises(OptionError, match="method"):
        pre.resample(trace(sine(5), rate=1000.0), 10, method="cubic")


# Gaps


def test_a_stated_rate_tells_gaps_where_most_steps_are_gaps():
    # Pairs of samples 10 ms apart, 90 ms between pairs: the median step alone cannot tell which is the usual one.
    time = np.sort(np.r_[np.arange(20) * 0.1, np.arange(19) * 0.1 + 0.01])
    values = np.arange(39.0)
    node = nd.make_eeg(values[:, None], time=time, sampling_rate=100.0)
    data = node["signal"].assign_attrs(sampling_rate=100.0)
    assert len(pre.regular_segments(data)) == 20
    new = pre.smooth(data, 0.03, kind="boxcar").values.ravel()
    np.testing.assert_allclose(new[:4], [0.5, 0.5, 2.5, 2.5])


def test_a_rate_that_no_step_follows_is_an_error():
    with pytest.raises(OptionError, match="fits the time coordinate"):
        pre.smooth(trace(np.zeros(50), rate=10.0), 1.0, sampling_rate=100.0)
