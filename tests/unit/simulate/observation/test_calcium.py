"""Calcium: exact filtering, kinetics as stated, noise level and neuropil that come back out."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.observation_nb import filter_spikes
from neurodata.simulate import Calcium, Subsample, observe
from neurodata.simulate.observation.indicators import INDICATORS, KINETICS, SINGLE_AP, response

# One ROI of F0 = 1 without anything that hides the signal.
BARE = {"noise_level": 0.0, "neuropil": 0.0, "bleaching": 0.0, "spread": 0.0, "brightness": 1.0, "warm": False}


def dff_of(seen, **settings):
    return nd.preprocess.delta_f_over_f(seen["calcium"].to_dataset(), neuropil_coefficient=0.7, **settings)["dff"]


@pytest.mark.parametrize("call", [filter_spikes, filter_spikes.py_func], ids=["numba", "python"])
def test_spikes_are_filtered_exactly(call):
    """Against the sum over spikes written out; frames with jitter and a gap."""
    rng = np.random.default_rng(0)
    frame = np.sort(np.concatenate((rng.uniform(0, 2, 40), rng.uniform(5, 6, 20))))
    spikes = [np.sort(rng.uniform(0, 6, n)) for n in (30, 0, 5)]
    spikes[2][0] = frame[3]  # exactly at a frame
    spikes[2].sort()
    first = np.concatenate(([0], np.cumsum([s.size for s in spikes])))
    out = np.empty((frame.size, 3))
    call(np.concatenate(spikes), first, frame, 0.02, 0.3, np.array([0.0, 4.0, 0.0]), out)
    expected = np.zeros((frame.size, 3))
    for u, train in enumerate(spikes):
        since = frame[:, None] - train
        expected[:, u] = np.where(since >= 0, np.exp(-since / 0.3) - np.exp(-since / 0.02), 0.0).sum(axis=1)
    # The past at 4 Hz: the area of the kernel's two parts, decaying since the first frame.
    since = frame - frame[0]
    expected[:, 1] += 4.0 * (0.3 * np.exp(-since / 0.3) - 0.02 * np.exp(-since / 0.02))
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("indicator", INDICATORS)
def test_one_spike_has_the_published_time_course(by_hand, indicator):
    peak, half, amplitude = SINGLE_AP[indicator]
    stage = Calcium(indicator=indicator, frame_rate=2000.0, **BARE)
    f = observe(by_hand([np.array([0.5])], 5.0), [stage], rng=0)["calcium"]["fluorescence"].values[:, 0] - 1
    at = np.argmax(f)
    assert f.max() == pytest.approx(amplitude, rel=1e-4)
    assert at / 2000 - 0.5 == pytest.approx(peak, abs=1e-3)
    assert (at + np.argmax(f[at:] < f.max() / 2)) / 2000 - 0.5 - peak == pytest.approx(half, abs=1.5e-3)
    assert (f[: int(0.5 * 2000)] == 0).all()


@pytest.mark.parametrize(("rise", "decay", "maximum", "centre", "slope"), [(0.00998, 0.68258, 1.905, 3.197, 1.410)])
def test_in_vivo_kinetics_are_those_of_the_fit(by_hand, rise, decay, maximum, centre, slope):
    """The model as its authors write it: (1 - exp(-t / rise)) exp(-t / decay) into a logistic curve."""
    train = np.array([0.5, 0.52, 0.61, 0.9, 0.95, 1.0, 1.3])
    stage = Calcium(kinetics="in_vivo", frame_rate=100.0, **BARE)
    f = observe(by_hand([train], 5.0), [stage], rng=0)["calcium"]["fluorescence"]
    since = f["time"].values[:, None] - train
    c = np.where(since > 0, (1 - np.exp(-since / rise)) * np.exp(-since / decay), 0.0).sum(axis=1)
    curve = maximum / (1 + np.exp(-slope * (c - centre))) - maximum / (1 + np.exp(slope * centre))
    np.testing.assert_allclose(f.values[:, 0] - 1, curve, atol=2e-6)


def test_nonlinearities_keep_one_spike_and_bend_many(by_hand):
    rec = by_hand([np.array([1.0]), np.array([1.0, 1.0, 1.0])], 3.0)

    def peaks(**settings):
        f = observe(rec, [Calcium(frame_rate=1000.0, **BARE | settings)], rng=0)["calcium"]["fluorescence"]
        return f.values.max(axis=0) - 1

    linear = peaks()
    assert linear[1] == pytest.approx(3 * linear[0], rel=1e-5)
    hill = peaks(hill=2.0, half_saturation=5.0)
    assert hill[0] == pytest.approx(0.19, rel=1e-3)
    assert hill[1] / hill[0] == pytest.approx((9 / (9 + 25)) * (1 + 25), rel=1e-3)
    more = peaks(supralinearity=0.5)
    assert more[0] == pytest.approx(0.19, rel=1e-3)
    assert more[1] / more[0] == pytest.approx(3 + 0.5 * (9 - 3), rel=1e-3)
    assert peaks(hill=1.0, half_saturation=1e9)[1] == pytest.approx(linear[1], rel=1e-3)


@pytest.mark.statistical
@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("kinetics", KINETICS)
def test_noise_level_comes_back_at_2_and_30_hz(poisson, indicator, kinetics):
    """Cells at 1 Hz; the median over cells of what a lab measures, within 10 % of what was set."""
    seen = observe(poisson(15, 1.0, 120.0), [Calcium(indicator=indicator, kinetics=kinetics)], rng=0)
    level = nd.preprocess.noise_level(dff_of(seen))
    assert np.median(level.values) == pytest.approx(2.0, rel=0.1)
    assert abs(level.values - 2).max() < 0.3


@pytest.mark.statistical
@pytest.mark.parametrize(("level", "rate"), [(1, 30), (1, 60), (2, 60), (4, 7.5), (4, 15), (8, 7.5), (8, 30), (8, 60)])
def test_other_noise_levels_and_frame_rates(poisson, level, rate):
    """At 0.2 Hz: at slow frame rates spikes add to the median difference, by CASCADE's definition; see below."""
    seen = observe(poisson(15, 0.2, 120.0), [Calcium(noise_level=level, frame_rate=rate)], rng=0)
    assert np.median(nd.preprocess.noise_level(dff_of(seen)).values) == pytest.approx(level, rel=0.1)


@pytest.mark.statistical
def test_noise_level_with_neurons_of_17_hz():
    """The circuit of the zoo fires much more than most imaged cells: spikes add 9 % to the level that is measured."""
    rec = nd.simulate.run(nd.simulate.zoo.static(n=20, rng=0), 40.0, rng=1)
    level = nd.preprocess.noise_level(dff_of(observe(rec, [Calcium()], rng=0)))
    assert np.median(level.values) == pytest.approx(2.0, rel=0.1)
    assert np.median(level.values) > 2.05


def test_spikes_raise_the_measured_level_where_frames_are_slow(poisson):
    """What CASCADE's definition counts as noise: at 7.5 Hz and 5 Hz of spikes the signal outweighs a level of 1."""
    seen = observe(poisson(10, 5.0, 120.0), [Calcium(noise_level=1.0, frame_rate=7.5)], rng=0)
    assert np.median(nd.preprocess.noise_level(dff_of(seen)).values) > 2


def test_neuropil_is_what_suite2p_would_give(poisson):
    rec = poisson(8, 1.0, 60.0)
    settings = {"noise_level": 0.5, "bleaching": 0.0, "spread": 0.0, "brightness": 100.0}
    node = observe(rec, [Calcium(neuropil=0.7, **settings)], rng=0)["calcium"].to_dataset()
    alone = observe(rec, [Calcium(neuropil=0.0, **settings)], rng=0)["calcium"].to_dataset()
    np.testing.assert_allclose(
        (node["fluorescence"] - 0.7 * node["neuropil"]).values, alone["fluorescence"].values, rtol=1e-4
    )
    neuropil = node["neuropil"].values
    assert neuropil.mean() == pytest.approx(50.0, rel=0.05)
    together = np.corrcoef(neuropil.T)[np.triu_indices(8, 1)]
    assert together.mean() > 0.4  # shared 64 % of the variance, less the noise
    assert node["fluorescence"].dtype == np.float32
    assert node.attrs["sampling_rate"] == 30.0


def test_bleaching_takes_its_share(by_hand):
    f = observe(by_hand([np.zeros(0)], 20.0), [Calcium(**BARE | {"bleaching": 0.2})], rng=0)["calcium"]["fluorescence"]
    assert float(f[0, 0]) == pytest.approx(1.0)
    assert float(f[-1, 0]) == pytest.approx(0.8)


def test_a_warm_start_has_no_rise_at_the_beginning(poisson):
    rec = poisson(40, 10.0, 20.0)
    settings = BARE | {"decay": 1.0}
    cold = observe(rec, [Calcium(**settings)], rng=0)["calcium"]["fluorescence"].values.mean(axis=1) - 1
    warm = (
        observe(rec, [Calcium(**settings | {"warm": True})], rng=0)["calcium"]["fluorescence"].values.mean(axis=1) - 1
    )
    assert cold[:15].mean() < 0.5 * cold[300:].mean()
    assert warm[:15].mean() == pytest.approx(warm[300:].mean(), rel=0.1)


def test_frames_follow_the_recorded_stretches(by_hand):
    rec = by_hand([np.array([9.9])], 60.0, support=[[1.0, 10.0], [11.0, 12.0]])
    f = observe(rec, [Calcium(frame_rate=10.0, **BARE)], rng=0)["calcium"]["fluorescence"]
    assert f["time"].values[[0, 89, 90]].tolist() == pytest.approx([1.0, 9.9, 11.0])
    assert f.sizes["time"] == 100
    # The transient has gone on while nobody looked.
    answer = response("GCaMP6f", "single_ap")
    left = np.exp(-1.1 / answer.decay) - np.exp(-1.1 / answer.rise)
    peak = observe(rec, [Calcium(frame_rate=1000.0, **BARE)], rng=0)["calcium"]["fluorescence"].values.max() - 1
    height = 0.19 / peak
    assert height == pytest.approx(1.0, abs=0.01)
    at = answer.rise * answer.decay / (answer.decay - answer.rise) * np.log(answer.decay / answer.rise)
    scale = 0.19 / (np.exp(-at / answer.decay) - np.exp(-at / answer.rise))
    assert float(f[90, 0]) - 1 == pytest.approx(scale * left, rel=1e-3)


def test_rois_carry_the_ids_of_the_units_and_the_truth_goes_along(simulated):
    seen = observe(simulated, [Subsample(n=7), Calcium()], rng=0)
    truth = seen["truth"].to_dataset()
    assert "spikes" not in seen.children
    assert seen["calcium"]["roi"].values.tolist() == truth["unit"].values.tolist()
    assert truth["unit_neuron"].values[:, 0].tolist() == seen["calcium"]["roi"].values.tolist()
    assert (truth["noise_sd"].values > 0).all()
    assert "spikes" in observe(simulated, [Calcium(keep_spikes=True)], rng=0).children
    fewer = observe(seen, [Subsample(n=3)], rng=0)
    kept = np.isin(truth["unit"].values, fewer["calcium"]["roi"].values)
    np.testing.assert_array_equal(fewer["truth"]["noise_sd"].values, truth["noise_sd"].values[kept])


def test_a_recording_of_one_frame_is_refused(by_hand):
    with pytest.raises(RecordingError, match="two frames"):
        observe(by_hand([np.array([0.01])], 0.05), [Calcium()], rng=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"indicator": "OGB-1"},
        {"kinetics": "in_vitro"},
        {"frame_rate": 0.0},
        {"noise_level": -1.0},
        {"bleaching": 1.0},
        {"hill": 0.0},
        {"supralinearity": 2.0},
        {"rise": 1.0},
        {"decay": float("nan")},
        {"half_saturation": 0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(OptionError):
        Calcium(**settings)
