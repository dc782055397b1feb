"""MNE objects to recordings and back: what went in comes out, gaps and clocks included."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError

mne = pytest.importorskip("mne")

RATE = 250.0


def make_raw(first_samp=120, dated=True, skip=False):
    names = ["Fz", "C/3", "\u00d6l", "EKG", "STI", "aux"]
    info = mne.create_info(names, RATE, ["eeg", "eeg", "seeg", "ecg", "stim", "misc"], verbose="error")
    info["bads"] = ["C/3", "aux"]
    info["chs"][0]["loc"][:3] = [0.01, -0.02, 0.09]
    with info._unlock():
        info["highpass"], info["lowpass"], info["line_freq"] = 0.5, 70.0, 50.0
    data = np.random.default_rng(0).normal(size=(6, 2000)) * 1e-5
    if skip:
        data[:, 500:800] = 0.0
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    if dated:
        raw.set_meas_date(1_600_000_000.125)
    start = raw.first_time if dated else 0.0
    onset, duration, text = [start + 0.5, start + 1.0], [0.0, 0.25], ["flash", "BAD blink"]
    channels = [("Fz", "C/3"), ()]
    if skip:
        onset, duration = [*onset, start + 2.0], [*duration, 300 / RATE]
        text, channels = [*text, "BAD_ACQ_SKIP"], [*channels, ()]
    raw.set_annotations(mne.Annotations(onset, duration, text, orig_time=raw.info["meas_date"], ch_names=channels))
    return raw


def assert_same_raw(back, raw):
    np.testing.assert_array_equal(back.get_data(), raw.get_data())
    assert mne.utils.object_diff(back.info, raw.info) == ""
    assert back.first_samp == raw.first_samp
    np.testing.assert_allclose(back.annotations.onset, raw.annotations.onset, atol=1e-9)
    np.testing.assert_allclose(back.annotations.duration, raw.annotations.duration, atol=1e-9)
    assert back.annotations.description.tolist() == raw.annotations.description.tolist()
    assert back.annotations.ch_names.tolist() == raw.annotations.ch_names.tolist()
    assert back.annotations.orig_time == raw.annotations.orig_time


@pytest.mark.parametrize("first_samp", [0, 120])
@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_raw_round_trip_is_exact(first_samp, dated, skip):
    raw = make_raw(first_samp, dated, skip)
    rec = nd.io.from_mne(raw)
    time = (first_samp + np.arange(2000)) / RATE
    kept = np.r_[0:500, 800:2000] if skip else np.arange(2000)
    np.testing.assert_allclose(rec["eeg"]["time"].values, time[kept], rtol=1e-14)
    np.testing.assert_allclose(rec["events"]["onset"].values, time[0] + np.array([0.5, 1.0]), rtol=1e-14)
    assert_same_raw(nd.io.to_mne(rec), raw)


def test_round_trip_through_a_file_is_exact(tmp_path):
    raw = make_raw(skip=True)
    rec = nd.load(nd.save(nd.io.from_mne(raw), tmp_path / "a.nc"))
    assert_same_raw(nd.io.to_mne(rec), raw)


def test_the_recording_does_not_follow_later_changes_of_the_raw():
    raw = make_raw()
    rec, before = nd.io.from_mne(raw), raw.get_data()
    raw.apply_function(lambda x: 0 * x, picks="all", verbose="error")
    np.testing.assert_array_equal(rec["eeg"]["signal"].values, before.T)


def recording(time, events=None, **options):
    rng = np.random.default_rng(1)
    node = nd.make_eeg(rng.normal(size=(time.size, 2)) * 1e-5, channel=["a", "b"], time=time, **options)
    return nd.make_recording(eeg=node, **({"events": nd.make_events(events)} if events is not None else {}))


def test_gaps_become_skips_and_come_back():
    time = np.r_[np.arange(100), np.arange(300, 400)] / 100 + 7.0
    rec = recording(time, [7.5, 10.25], sampling_rate=100.0)
    raw = nd.io.to_mne(rec)
    assert (raw.n_times, raw.first_samp) == (400, 700)
    assert not raw.get_data()[:, 100:300].any()
    skips = raw.annotations[raw.annotations.description == "BAD_ACQ_SKIP"]
    np.testing.assert_allclose([skips.onset[0], skips.duration[0]], [8.0, 2.0], atol=1e-9)
    back = nd.io.from_mne(raw)
    np.testing.assert_allclose(back["eeg"]["time"].values, time, rtol=1e-14)
    np.testing.assert_array_equal(back["eeg"]["signal"].values, rec["eeg"]["signal"].values)
    np.testing.assert_allclose(back["events"]["onset"].values, [7.5, 10.25], rtol=1e-14)


def test_events_stay_on_their_samples_when_the_clock_lies_between_ticks():
    time = 810.0298 + np.arange(500) / 100
    rec = recording(time, [time[37]], sampling_rate=100.0)
    raw = nd.io.to_mne(rec)
    assert raw.first_samp == 81003
    np.testing.assert_allclose(raw.annotations.onset[0] - raw.first_time, 0.37, atol=1e-9)


def test_times_off_the_grid_are_refused():
    time = np.sort(np.random.default_rng(0).uniform(0, 10, 500))
    with pytest.raises(RecordingError, match="grid of 50 Hz"):
        nd.io.to_mne(recording(time, sampling_rate=50.0))


def test_missing_rate_and_wrong_node():
    rec = recording(np.arange(10) / 5)
    with pytest.raises(MissingOptionError, match="sampling_rate"):
        nd.io.to_mne(rec)
    assert nd.io.to_mne(rec, sampling_rate=5.0).info["sfreq"] == 5.0
    with pytest.raises(OptionError, match="eeg_2"):
        nd.io.to_mne(rec, "eeg_2")
    with pytest.raises(OptionError, match="Raw"):
        nd.io.from_mne("a.fif")


def test_what_mne_cannot_hold_is_said():
    with pytest.warns(NeurodataWarning, match="become misc: strain"):
        raw = nd.io.to_mne(recording(np.arange(10) / 5, sampling_rate=5.0, ch_type=["eeg", "strain"]))
    assert raw.get_channel_types() == ["eeg", "misc"]
    with pytest.warns(NeurodataWarning, match="takes these channels for V.*: b"):
        nd.io.to_mne(recording(np.arange(10) / 5, sampling_rate=5.0, ch_unit=["V", ""]))
    with pytest.warns(NeurodataWarning, match="1 events lie outside"):
        raw = nd.io.to_mne(recording(np.arange(10) / 5, [0.4, 99.0], sampling_rate=5.0))
    np.testing.assert_allclose(raw.annotations.onset, [0.4])


def test_epochs():
    pd = pytest.importorskip("pandas")
    raw = make_raw(first_samp=120)
    events = np.array([[400, 0, 1], [600, 0, 2], [900, 0, 1], [2119, 0, 1]])
    table = pd.DataFrame({"correct": [True, False, True, True], "word": ["x", "y", "z", "w"]})
    epochs = mne.Epochs(
        raw, events, {"left": 1, "right": 2}, tmin=-0.1, tmax=0.2, baseline=None, metadata=table, picks="all",
        reject_by_annotation=False, verbose="error",
    )  # fmt: skip
    signal = nd.io.from_mne(epochs)
    assert signal.dims == ("trial", "time", "channel")
    assert signal["trial"].values.tolist() == [0, 1, 2]  # the last one runs over the end, MNE drops it
    assert signal["condition"].values.tolist() == ["left", "right", "left"]
    assert signal["event_sample"].values.tolist() == [400, 600, 900]
    assert signal["word"].values.tolist() == ["x", "y", "z"]
    for row, sample in enumerate([400, 600, 900]):
        start = sample - 120 - 25
        np.testing.assert_array_equal(signal.values[row], raw.get_data()[:, start : start + 76].T)
    np.testing.assert_allclose(signal["time"].values, np.arange(-25, 51) / RATE, atol=1e-12)
    assert signal["bad"].values.tolist() == [False, True, False, False, False, True]
