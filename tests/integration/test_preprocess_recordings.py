"""Preprocessing of real recordings, against the files read by other means."""

import numpy as np
import pytest

import neurodata as nd

pre = nd.preprocess
pytestmark = pytest.mark.real


def test_deconvolved_events_of_suite2p(real_load, real_path):
    folder = "calcium/suite2p_pynapple/suite2p"
    recording = real_load(folder, sampling_rate=30.0)
    counts = pre.events_to_counts(recording)
    spks = np.load(real_path(f"{folder}/plane0/spks.npy")).astype(np.float64).T
    np.testing.assert_array_equal(counts, np.round(spks / counts.quantum.values))
    # Some of these ROIs have hundreds of residues of 1e-5 and one event of 1 (a ratio of 38 000). With a typical event
    # as the unit, the largest event of a ROI is tens of them: 129 at most in these data.
    assert counts.max() < 200
    assert (counts.max("time") >= 1).all()
    pooled = pre.events_to_counts(recording, bin_width=0.1)
    assert pooled.shape == (666, 219)
    assert pooled.attrs["dropped_frames"] == 2


def test_dff_of_suite2p(real_load):
    recording = real_load("calcium/suite2p_pynapple/suite2p", sampling_rate=30.0)
    cells = recording["calcium"].to_dataset()
    trace = cells["fluorescence"].values.astype(np.float64)
    f0 = np.median(trace, axis=0)
    # Many traces of this small file are 0 more than half of the time: no baseline to divide by, and that is said.
    with pytest.warns(nd.errors.NeurodataWarning, match=f"{(f0 <= 0).sum()} trace"):
        dff = pre.delta_f_over_f(cells["fluorescence"], baseline="constant", percentile=50)
    assert np.isnan(dff.values[:, f0 <= 0]).all()
    kept = f0 > 0
    expected = (trace[:, kept] - f0[kept]) / f0[kept]
    np.testing.assert_allclose(dff.values[:, kept], expected, rtol=1e-5, atol=1e-6)


def test_motor_imagery_epochs_are_mnes(real_load, real_path):
    mne = pytest.importorskip("mne", reason="the extra eeg is not installed")
    name = "eeg/physionet_eegmmi/S001R04.edf"
    recording = real_load(name)
    kinds = ["T1", "T2"]
    ours = pre.epoch(
        pre.rereference(pre.filter(recording, 1.0, 40.0))["eeg"]["signal"], recording["events"], (0.5, 2.0), kind=kinds
    )
    raw = mne.io.read_raw_edf(real_path(name), preload=True, verbose="error")
    raw.filter(
        1.0,
        40.0,
        method="iir",
        iir_params={"order": 4, "ftype": "butter", "output": "sos"},
        verbose="error",
    )
    raw.set_eeg_reference("average", verbose="error")
    events, codes = mne.events_from_annotations(raw, verbose="error")
    chosen = {kind: codes[kind] for kind in kinds}
    theirs = mne.Epochs(raw, events, chosen, tmin=-0.5, tmax=2.0, baseline=None, preload=True, verbose="error")
    assert ours.sizes["trial"] == len(theirs)
    assert ours.description.values.tolist() == _names(theirs.events[:, 2], chosen)
    values = ours.transpose("trial", "channel", "time").values
    # MNE pads the filter by another length: compare away from the ends, at 1e-3 of the signal's 3e-5 V.
    inside = slice(2, -2)
    np.testing.assert_allclose(values[inside], theirs.get_data(copy=True)[inside], atol=3e-8)


def _names(codes, chosen):
    by_code = {code: name for name, code in chosen.items()}
    return [by_code[code] for code in codes]


def test_spikes_of_an_nwb_file_are_all_counted(real_load, real_path):
    import h5py

    name = "spikes/nwb_units_pynapple/A8604-211122.nwb"
    counts = nd.bin_spikes(real_load(name), 0.02)
    with h5py.File(real_path(name)) as file:
        times, stop = file["units/spike_times"][:], file["units/spike_times_index"][:]
    assert int(counts.sum()) + counts.attrs["n_spikes_outside"] == times.size
    edge = counts.attrs["bin_start"] + np.arange(counts.sizes["time"] + 1) * 0.02
    for u, train in enumerate(np.split(times, stop[:-1])):
        np.testing.assert_array_equal(counts[:, u], np.diff(np.searchsorted(train, edge)))
