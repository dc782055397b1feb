"""LFP, EEG and behaviour: what is set and what is in the truth comes out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import MissingDependencyError, OptionError, RecordingError
from neurodata.simulate import EEG, LFP, Behaviour, observe
from neurodata.simulate.observation.currents import coloured_noise


def zscored(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def test_the_lfp_is_the_reference_weighted_sum(simulated):
    """Written out from the truth: excitation 6 ms ago minus 1.65 times (negative) inhibition, of excitatory cells."""
    truth = simulated["truth"].to_dataset()
    inhibits = truth["population"].values[truth["sign"].values < 0][0]
    cells = [p != inhibits for p in truth["current_population"].values]
    e, i = (truth[name].values[:, cells].astype(float).sum(axis=1) for name in ("current_e", "current_i"))
    assert (i <= 0).all()
    expected = e[:-6] - 1.65 * i[6:]
    node = observe(simulated, [LFP(snr=None, scale=2e-4)], rng=0)["eeg"].to_dataset()
    np.testing.assert_allclose(node["signal"].values[:, 0], 2e-4 * zscored(expected), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(node["time"].values, truth["current_time"].values[6:])
    assert node["ch_type"].values.tolist() == ["lfp"]
    assert node["ch_unit"].values.tolist() == ["V"]


def test_lower_rates_lose_only_what_is_fast(simulated):
    fine = observe(simulated, [LFP(snr=None)], rng=0)["eeg"]["signal"]
    coarse = observe(simulated, [LFP(snr=None, sampling_rate=250.0)], rng=0)["eeg"]["signal"]
    np.testing.assert_array_equal(coarse["time"].values, fine["time"].values[::4])
    slow = nd.preprocess.filter(fine, lowpass=60.0).values[::4]
    slow_coarse = nd.preprocess.filter(coarse, lowpass=60.0).values
    inside = slice(50, -50)
    assert np.corrcoef(slow[inside, 0], slow_coarse[inside, 0])[0, 1] > 0.999
    with pytest.raises(OptionError, match="divides 1000"):
        observe(simulated, [LFP(sampling_rate=300.0)], rng=0)


@pytest.mark.statistical
def test_noise_has_the_variance_and_the_slope_asked_for(simulated):
    for n in (4001, 4000):
        noise = coloured_noise(n, 200, 1.0, np.random.default_rng(0))
        # The slowest frequencies carry most of it: the variance of each column varies by about a third.
        assert noise.var(axis=0).mean() == pytest.approx(1.0, abs=0.1)
        assert abs(noise.mean(axis=0)).max() < 1e-12
        power = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(axis=1)[1:-1]
        slope = np.polyfit(np.log(np.arange(1, power.size + 1)), np.log(power), 1)[0]
        assert slope == pytest.approx(-1.0, abs=0.05)
    clean = observe(simulated, [LFP(snr=None)], rng=0)["eeg"]["signal"].values
    noisy = [observe(simulated, [LFP(snr=4.0)], rng=seed)["eeg"]["signal"].values - clean for seed in range(20)]
    assert clean.var() / np.var(noisy) == pytest.approx(4.0, rel=0.3)


def test_eeg_is_lead_field_times_sources(simulated):
    lead = np.random.default_rng(0).normal(size=(5, 2)) * 100
    lead = np.hstack((lead, np.zeros((5, 0))))
    n_sources = observe(simulated, [LFP(sources="population", snr=None)], rng=0)["eeg"].sizes["channel"]
    assert n_sources == lead.shape[1]
    source = observe(simulated, [LFP(sources="population", snr=None, scale=1.0, sampling_rate=250.0)], rng=0)
    expected = 2e-8 * source["eeg"]["signal"].values @ lead.T
    node = observe(simulated, [EEG(lead_field=lead, snr=None, position=np.ones((5, 3)))], rng=0)["eeg"].to_dataset()
    np.testing.assert_allclose(node["signal"].values, expected, rtol=1e-9, atol=1e-15)
    assert node["channel"].values.tolist() == ["EEG001", "EEG002", "EEG003", "EEG004", "EEG005"]
    assert node["x"].values.tolist() == [1.0] * 5
    with pytest.raises(OptionError, match="2 sources"):
        observe(simulated, [EEG(lead_field=np.ones((4, 3)))], rng=0)


def test_clusters_are_sources_where_populations_are_clusters(simulated):
    by_population = observe(simulated, [LFP(sources="population", snr=None)], rng=0)["eeg"]["signal"].values
    by_cluster = observe(simulated, [LFP(sources="cluster", snr=None)], rng=0)["eeg"]["signal"].values
    np.testing.assert_array_equal(by_population, by_cluster)


def test_a_head_of_spheres(simulated):
    """Largest over the source, falling with distance; a radial dipole makes a field around its axis."""
    pytest.importorskip("mne", reason="the lead field of a sphere is computed by MNE")
    place = np.array([[0.0, 0.0, 0.07], [0.06, 0.0, 0.03]])
    stage = EEG(snr=None, source_position=place)
    names, electrode, lead = stage._sphere(2)
    np.testing.assert_allclose(np.linalg.norm(electrode, axis=1), 0.095, rtol=1e-3)
    assert names[np.argmax(lead[:, 0])] == "Cz"
    assert electrode[np.argmax(lead[:, 1]), 0] > 0.05
    order = np.argsort(np.linalg.norm(electrode - place[0], axis=1))
    assert (np.diff(lead[order, 0]) < 1e-6 * lead.max()).mean() > 0.95
    seen = observe(simulated, [stage], rng=0)["eeg"].to_dataset()
    assert seen["signal"].sizes["channel"] == 32
    assert 1e-7 < seen["signal"].values.std() < 2e-5  # microvolts
    assert set("xyz") <= {str(c) for c in seen.coords}
    with pytest.raises(OptionError, match="inside the brain"):
        observe(simulated, [EEG(source_position=10 * place)], rng=0)
    with pytest.raises(OptionError, match="electrodes of"):
        observe(simulated, [EEG(channels=("nose",))], rng=0)
    with pytest.raises(OptionError, match="2 source positions"):
        observe(simulated, [EEG(source_position=place[:1])], rng=0)


def test_the_sphere_against_the_closed_form_of_a_uniform_sphere():
    """In a sphere of one conductivity a dipole at the centre makes 3 p cos / (4 pi s R^2) at its surface.

    Shells of other conductivity change the size but, by symmetry, not the cosine.
    """
    pytest.importorskip("mne", reason="the lead field of a sphere is computed by MNE")
    stage = EEG(source_position=np.array([[0.0, 0.0, 1e-4]]), source_orientation=np.array([[0.0, 0.0, 1.0]]))
    _, electrode, lead = stage._sphere(1)
    cosine = electrode[:, 2] / np.linalg.norm(electrode, axis=1)
    assert np.corrcoef(lead[:, 0], cosine)[0, 1] > 0.9999


def test_without_mne_the_error_says_what_to_install(simulated, monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(MissingDependencyError, match=r"neurodata\[eeg\]"):
        observe(simulated, [EEG()], rng=0)


def test_fields_need_currents_and_pyramidal_cells(simulated, by_hand):
    with pytest.raises(RecordingError, match="current_e"):
        observe(by_hand([np.array([1.0])], 2.0), [LFP()], rng=0)
    truth = simulated["truth"].to_dataset()
    silent = simulated.copy()
    silent["truth"] = xr.DataTree(truth.assign(sign=-abs(truth["sign"])))
    with pytest.raises(OptionError, match="excitatory"):
        observe(silent, [LFP()], rng=0)


def test_behaviour_reads_out_a_latent_with_gain_lag_and_noise():
    rec = nd.simulate.run(nd.simulate.zoo.null(n=5, tau=1.0, rng=0), 60.0, rng=1)
    latent, time = rec["truth"]["latent"].values[:, 0], rec["truth"]["time"].values
    plain = observe(rec, [Behaviour(gain=[3.0], tau=0.0, noise=0.0, lag=0.5)], rng=0)["behaviour"]["value"]
    # The latent is constant within frames of 5 ms: the value half a second before.
    at = np.clip(((plain["time"].values - 0.5) / 0.005 + 1e-6).astype(int), 0, latent.size - 1)
    np.testing.assert_allclose(plain.values[:, 0], 3.0 * latent[at])
    assert plain["time"].values[0] == 0.0
    noisy = observe(rec, [Behaviour(gain=[3.0], tau=0.0, noise=0.5, lag=0.5)], rng=0)["behaviour"]["value"]
    rest = (noisy - plain).values
    assert rest.std() / plain.values.std() == pytest.approx(0.5, rel=0.06)  # 1800 samples: 3 sd are 5 %
    smooth = observe(rec, [Behaviour(gain=[3.0], tau=0.4, noise=0.0)], rng=0)["behaviour"]["value"].values[:, 0]
    lags = [
        np.corrcoef(smooth[k:], np.interp(np.arange(0, 60, 1 / 30), time, latent)[: smooth.size - k])[0, 1]
        for k in range(25)
    ]
    assert 5 <= int(np.argmax(lags)) <= 20  # a low pass comes late


def test_states_and_mixtures():
    rec = nd.simulate.run(nd.simulate.zoo.switching_drive(n=20, rng=0), 20.0, rng=0)
    n = int(rec["truth"]["state"].values.max()) + 1
    seen = observe(rec, [Behaviour(of="state", tau=0.0, noise=0.0, names=tuple("abcdefgh"[:n]))], rng=0)["behaviour"][
        "value"
    ]
    at = (seen["time"].values / 0.005 + 1e-6).astype(int)
    np.testing.assert_array_equal(seen.values.argmax(axis=1), rec["truth"]["state"].values[at])
    mixed = observe(rec, [Behaviour(of="state", gain=np.arange(n)[None, :], tau=0.0, noise=0.0)], rng=0)["behaviour"][
        "value"
    ]
    np.testing.assert_allclose(mixed.values[:, 0], rec["truth"]["state"].values[at])
    with pytest.raises(OptionError, match="columns of state"):
        observe(rec, [Behaviour(of="state", gain=np.ones(n + 1))], rng=0)
    with pytest.raises(OptionError, match="names"):
        observe(rec, [Behaviour(of="state", names=("one",) * 1)], rng=0)
    with pytest.raises(OptionError, match="latent to read out"):
        observe(rec, [Behaviour(of="latent")], rng=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LFP(sources="layers"),
        lambda: LFP(snr=0.0),
        lambda: LFP(scale=-1.0),
        lambda: LFP(noise_exponent=9.0),
        lambda: EEG(lead_field=np.ones(3)),
        lambda: EEG(lead_field=np.full((2, 2), np.nan)),
        lambda: EEG(lead_field=np.ones((2, 2)), channels=("a",)),
        lambda: EEG(position=np.ones((2, 3))),
        lambda: EEG(moment=0.0),
        lambda: Behaviour(of="mood"),
        lambda: Behaviour(gain=[np.nan]),
        lambda: Behaviour(tau=-1.0),
        lambda: Behaviour(names=("a", "a")),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(OptionError):
        make()
