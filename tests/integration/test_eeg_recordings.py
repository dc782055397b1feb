"""Real recordings of continuous voltage against independent readings: struct and numpy on the bytes, MATLAB exports,
a text export, pyxdf, MNE and mne-bids."""

from __future__ import annotations

import json
import struct
import warnings

import numpy as np
import pytest
from scipy.io import loadmat

import neurodata as nd
from neurodata.errors import FormatError, MissingOptionError, NeurodataWarning

pytestmark = pytest.mark.real

EDF = "eeg/edf_mne/test.edf"
UNEVEN = "eeg/edf_mne/test_uneven_samp.edf"
DUPLICATE = "eeg/edf_mne/duplicate_channel_labels.edf"
BDF = "eeg/bdf_mne/test.bdf"
PHYSIONET = ("eeg/physionet_eegmmi/S001R03.edf", "eeg/physionet_eegmmi/S001R04.edf")
BRAINVISION = "eeg/brainvision_mne/test.vhdr"
BRAINVISION_UNITS = "eeg/brainvision_mne/test_units.vhdr"
BRAINVISION_OLD = "eeg/brainvision_mne/test_old_layout_latin1_software_filter.vhdr"
FIF = "eeg/brainvision_mne/test_bin_raw.fif"
CNT = "eeg/cnt_gdf_testing/scan41_short.cnt"
GDF = "eeg/cnt_gdf_testing/test_1ch.gdf"
SET = "eeg/cnt_gdf_testing/test_raw_event_duration.set"
EEGLAB = "eeg/eeglab_sample/eeglab_data.set"
EGI = "eeg/egi_raw_mne/test_egi.raw"
BIDS = "eeg/bids_tiny"
XDF = ("events/xdf_clock_resets/clock_resets.xdf", "events/xdf_clock_resets/minimal.xdf")

OPTIONS = {CNT: {"data_format": "int16"}}
# One channel of this file is a sine of 5 V, labelled as such: the warning is deserved.
DESERVED = {UNEVEN: "'3Hz \\+5/-5 V' \\(3.5"}
ALL = (
    *(EDF, UNEVEN, DUPLICATE, BDF, *PHYSIONET, BRAINVISION, BRAINVISION_UNITS, BRAINVISION_OLD, FIF),
    *(CNT, GDF, SET, EEGLAB, EGI, BIDS, *XDF),
)


def load(real_load, name):
    if name in DESERVED:
        with pytest.warns(NeurodataWarning, match=DESERVED[name]):
            return real_load(name)
    return real_load(name, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_every_recording_survives_a_round_trip(real_load, tmp_path, name, suffix):
    if suffix == ".zarr":
        pytest.importorskip("zarr")
    recording = load(real_load, name)
    path = nd.save(recording, tmp_path / f"copy{suffix}")
    assert nd.load(path).identical(recording)


# EDF and BDF, against the bytes.


def edf_header(data):
    """The fields of the published header, by position."""
    n = int(data[252:256])
    at, fields = 256, {}
    for key, width in (
        *(("label", 16), ("transducer", 80), ("unit", 8), ("pmin", 8), ("pmax", 8), ("dmin", 8), ("dmax", 8)),
        *(("prefilter", 80), ("samples", 8), ("reserved", 32)),
    ):
        fields[key] = [data[at + i * width : at + (i + 1) * width].decode("latin-1").strip() for i in range(n)]
        at += n * width
    return fields, int(data[184:192]), int(data[236:244]), float(data[244:252])


def edf_samples(path):
    """Physical values of every signal, as the header calibrates them."""
    data = path.read_bytes()
    fields, start, n_records, record_s = edf_header(data)
    width = 3 if data[0] == 0xFF else 2
    samples = [int(text) for text in fields["samples"]]
    records = np.frombuffer(data[start:], np.uint8)[: n_records * width * sum(samples)].reshape(n_records, -1)
    values, offset = [], 0
    for i, n in enumerate(samples):
        part = records[:, offset : offset + n * width].reshape(-1, width).astype(np.int64)
        offset += n * width
        digital = sum(part[:, k] << (8 * k) for k in range(width))
        digital = np.where(digital >= 1 << (8 * width - 1), digital - (1 << (8 * width)), digital)
        limits = [float(fields[key][i]) for key in ("pmin", "pmax", "dmin", "dmax")]
        span = (limits[1] - limits[0]) / (limits[3] - limits[2])
        values.append((digital - limits[2]) * span + limits[0])
    return fields, values, record_s


@pytest.mark.parametrize("name", [EDF, DUPLICATE, BDF, *PHYSIONET])
def test_edf_and_bdf_against_their_bytes(real_path, real_load, name):
    fields, values, record_s = edf_samples(real_path(name))
    node = real_load(name)["eeg"]
    rows = [i for i, label in enumerate(fields["label"]) if label != "EDF Annotations"]
    assert node["label"].values.tolist() == [fields["label"][i] for i in rows]
    stim = np.array([fields["label"][i] == "Status" for i in rows])
    expected = np.stack([values[i] for i in rows], axis=1) * np.where(stim, 1.0, 1e-6)
    np.testing.assert_allclose(node["signal"].values, expected, rtol=1e-9, atol=1e-15)
    rate = int(fields["samples"][0]) / record_s
    assert node.attrs["sampling_rate"] == rate
    np.testing.assert_allclose(node["time"].values, np.arange(len(expected)) / rate, atol=1e-12)
    assert node["ch_unit"].values.tolist() == ["V" if not s else fields["unit"][i] for i, s in zip(rows, stim)]  # noqa: B905
    assert node["ch_unit_original"].values.tolist() == [fields["unit"][i] for i in rows]
    assert (node["ch_type"].values[stim] == "stim").all()


@pytest.mark.parametrize("name", [EDF, DUPLICATE, BDF, *PHYSIONET])
def test_edf_and_bdf_against_mne(real_path, real_load, name):
    mne = pytest.importorskip("mne")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # MNE tells of duplicate labels
        raw = mne.io.read_raw(real_path(name), verbose="error")
    recording = real_load(name)
    node = recording["eeg"]
    assert node["channel"].values.tolist() == raw.ch_names
    assert node["ch_type"].values.tolist() == raw.get_channel_types()
    values = node["signal"].values
    if name == BDF:  # MNE keeps the lower 17 of the 24 bits of the status channel
        values[:, -1] = values[:, -1].astype(int) & (2**17 - 1)
    np.testing.assert_allclose(values, raw.get_data().T, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(node["time"].values, raw.times, atol=1e-9)
    assert recording.attrs["time_origin"] == raw.info["meas_date"].replace(tzinfo=None).isoformat()
    if len(raw.annotations):
        events = recording["events"]
        np.testing.assert_allclose(events["onset"].values, raw.annotations.onset, atol=1e-9)
        np.testing.assert_allclose(events["duration"].values, raw.annotations.duration, atol=1e-9)
        assert events["description"].values.tolist() == raw.annotations.description.tolist()
    else:
        assert "events" not in recording.children


def test_bdf_against_the_matlab_export(real_path, real_load):
    exported = loadmat(real_path("eeg/bdf_mne/test_bdf_eeglab.mat"))["data"]
    signal = real_load(BDF)["eeg"]["signal"].isel(channel=slice(0, 72)).values
    # The export is float32 microvolts: its relative precision is 6e-8.
    np.testing.assert_allclose(signal.T * 1e6, exported, rtol=1e-6, atol=1e-6)


def test_several_rates_are_native_and_agree_with_the_matlab_export(real_path, real_load):
    fields, values, record_s = edf_samples(real_path(UNEVEN))
    recording = load(real_load, UNEVEN)
    exported = loadmat(real_path("eeg/edf_mne/test_uneven_samp.mat"))["data"]
    assert list(recording.children) == ["eeg", "eeg_2"]
    for row, (name, rate, factor) in enumerate((("eeg", 100.0, 1.0), ("eeg_2", 12.8, 1e-6))):
        node = recording[name]
        assert node.attrs["sampling_rate"] == int(fields["samples"][row]) / record_s == rate
        np.testing.assert_allclose(node["time"].values, np.arange(len(values[row])) / rate, atol=1e-9)
        np.testing.assert_allclose(node["signal"].values[:, 0], values[row] * factor, rtol=1e-9, atol=1e-15)
        # The export repeats or interpolates up to 1600 Hz, a multiple of both rates: its ticks are the native samples.
        step = round(1600 / rate)
        native = exported[row, ::step] if row == 1 else exported[row, : 16 * 11000 : step]
        assert np.mean(np.isclose(node["signal"].values[:, 0] / factor, native, rtol=1e-5, atol=1e-2)) > 0.98


def test_annotations_of_the_motor_imagery_runs_agree_with_their_event_files(real_path, real_load):
    """PhysioNet's .event companions carry the same cues as text: 'T0 duration: 4.2'."""
    for name in PHYSIONET:
        cues = real_path(f"{name}.event").read_bytes().split(b"duration: ")
        codes = [part.rstrip()[-2:].decode() for part in cues[:-1]]
        seconds = [float(part[:3]) for part in cues[1:]]
        events = real_load(name)["events"]
        assert events["description"].values.tolist() == codes
        np.testing.assert_allclose(events["duration"].values, seconds, atol=1e-9)
        # Cues follow each other without a pause.
        np.testing.assert_allclose(np.diff(events["onset"].values), seconds[:-1], atol=0.11)


# Formats through MNE, against the bytes where their layout is simple, else against MNE itself.


def vhdr_channels(path):
    lines = path.read_bytes().decode("utf-8").splitlines()
    channels = [line.partition("=")[2].split(",") for line in lines if line.startswith("Ch") and "=" in line]
    # A line may leave the unit out, or empty: that means microvolts.
    channels = [[*fields, ""][:4] for fields in channels if len(fields) >= 3]
    return [[*fields[:3], fields[3] or "\u00b5V"] for fields in channels]


@pytest.mark.parametrize("name", [BRAINVISION, BRAINVISION_UNITS])
def test_brainvision_against_its_bytes(real_path, real_load, name):
    path = real_path(name)
    channels = vhdr_channels(path)
    counts = np.fromfile(path.parent / "test.eeg", "<i2").reshape(-1, len(channels))
    factor = {"V": 1.0, "mV": 1e-3, "\u00b5V": 1e-6, "uV": 1e-6, "nV": 1e-9}
    scale = [float(fields[2]) * factor.get(fields[3], 1.0) for fields in channels]
    recording = real_load(name)
    node = recording["eeg"]
    assert node["channel"].values.tolist() == [fields[0] for fields in channels]
    np.testing.assert_allclose(node["signal"].values, counts * scale, rtol=1e-9, atol=1e-18)
    assert node["ch_unit_original"].values.tolist() == [fields[3] for fields in channels]
    assert node["ch_unit"].values.tolist() == ["V" if fields[3] in factor else fields[3] for fields in channels]
    assert {"C", "S"} <= set(node["ch_unit"].values)
    np.testing.assert_allclose(node["time"].values, np.arange(7900) / 1000, atol=1e-12)
    marks = (path.parent / "test.vmrk").read_text("utf-8").splitlines()
    marks = [line.partition("=")[2].split(",") for line in marks if line.startswith("Mk")]
    marks = [fields for fields in marks if fields[0] != "New Segment"]
    events = recording["events"]
    np.testing.assert_allclose(events["onset"].values, [(int(fields[2]) - 1) / 1000 for fields in marks], atol=1e-9)
    assert events["description"].values.tolist() == [f"{fields[0]}/{fields[1]}" for fields in marks]


def test_old_brainvision_header_against_its_bytes(real_path, real_load):
    path = real_path(BRAINVISION_OLD)
    counts = np.fromfile(path.with_suffix(".eeg"), "<f4").reshape(29, -1)
    assert "DataOrientation=VECTORIZED" in path.read_text("latin-1")  # channel after channel
    recording = real_load(BRAINVISION_OLD)
    node = recording["eeg"]
    resolution = np.array([float(fields[2] or 1) for fields in old_channels(path)])
    np.testing.assert_allclose(node["signal"].values.T, counts * resolution[:, None] * 1e-6, rtol=1e-6, atol=1e-15)
    assert node["channel"].values.tolist() == [fields[0] for fields in old_channels(path)]
    assert recording["events"].sizes["event"] == 1


def old_channels(path):
    lines = path.read_bytes().decode("latin-1").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("[Channel Infos]"))
    return [line.partition("=")[2].split(",") for line in lines[start:] if line.startswith("Ch") and line[2].isdigit()]


def test_fif_against_brainvision(real_path, real_load):
    """The FIF file is an older conversion of the same recording; its EEG channels 1 to 32 are the BrainVision ones."""
    mne = pytest.importorskip("mne")
    raw = mne.io.read_raw_fif(real_path(FIF), verbose="error")
    node = real_load(FIF)["eeg"]
    np.testing.assert_array_equal(node["signal"].values, raw.get_data().T)
    np.testing.assert_allclose(node["time"].values, raw.times + raw.first_samp / 1000, atol=1e-12)
    counts = np.fromfile(real_path(BRAINVISION).parent / "test.eeg", "<i2").reshape(-1, 32)
    # Calibrations of the FIF are float32.
    np.testing.assert_allclose(node["signal"].values[:, :32], counts * 0.5e-6, rtol=1e-7, atol=1e-15)


def test_eeglab_against_its_data_file(real_path, real_load):
    path = real_path(EEGLAB)
    stored = loadmat(path, squeeze_me=True, struct_as_record=False)["EEG"]
    samples = np.fromfile(path.with_suffix(".fdt"), "<f4").reshape(-1, 32)
    recording = real_load(EEGLAB)
    node = recording["eeg"]
    np.testing.assert_allclose(node["signal"].values, samples.astype(float) * 1e-6, rtol=1e-9, atol=0)
    assert node["channel"].values.tolist() == [place.labels for place in stored.chanlocs]
    np.testing.assert_allclose(node["time"].values, np.arange(30504) / 128, atol=1e-12)
    events = recording["events"]
    latency = np.array([event.latency for event in stored.event])
    # MNE keeps onsets to the microsecond, a ten-thousandth of a sample here.
    np.testing.assert_allclose(events["onset"].values, (latency - 1) / 128, atol=0.51e-6, rtol=0)
    assert events["description"].values.tolist() == [str(event.type) for event in stored.event]
    assert np.isfinite(node["x"].values).all()


def test_eeglab_single_file(real_path, real_load):
    stored = loadmat(real_path(SET), squeeze_me=True, struct_as_record=False)
    stored = stored.get("EEG") or type("EEG", (), stored)
    recording = real_load(SET)
    samples = np.asarray(stored.data, dtype=float).reshape(-1) * 1e-6
    np.testing.assert_allclose(recording["eeg"]["signal"].values[:, 0], samples, rtol=1e-9, atol=0)
    latency, duration = zip(*[(event.latency, event.duration) for event in np.atleast_1d(stored.event)], strict=True)
    np.testing.assert_allclose(recording["events"]["onset"].values, (np.array(latency) - 1) / 128, atol=0.51e-6, rtol=0)
    np.testing.assert_allclose(recording["events"]["duration"].values, np.array(duration) / 128, atol=1e-9)


def test_egi_against_its_text_export_and_its_bytes(real_path, real_load):
    path = real_path(EGI)
    recording = real_load(EGI)
    node = recording["eeg"]
    exported = np.loadtxt(path.with_suffix(".txt"))
    # First line: times; then one line per channel in microvolts, four decimals.
    np.testing.assert_allclose(node["time"].values, exported[0], atol=1e-9)
    n = min(256, len(exported) - 1)
    assert n == 256
    np.testing.assert_allclose(node["signal"].values[:, :n].T * 1e6, exported[1 : n + 1], atol=5.1e-5, rtol=1e-7)
    data = path.read_bytes()
    version, rate, n_channels = struct.unpack(">i", data[:4])[0], *struct.unpack(">2h", data[20:24])
    n_samples, n_codes = struct.unpack(">ih", data[30:36])
    assert (version, rate, n_channels) == (4, 250, 256)
    rows = np.frombuffer(data[36 + 4 * n_codes :], ">f4").reshape(n_samples, -1)
    np.testing.assert_allclose(node["signal"].values[:, :256], rows[:, :256].astype(float) * 1e-6, rtol=1e-9)
    codes = [data[36 + 4 * i : 40 + 4 * i].decode().strip() for i in range(n_codes)]
    on = rows[:, 256:] > 0
    onset = sorted((row / rate, codes[k]) for row, k in np.argwhere(on & ~np.vstack([on[:1] & False, on[:-1]])))
    events = recording["events"]
    found = list(zip(events["onset"].values, events["description"].values, strict=True))
    assert {text for _, text in found} <= set(codes)
    for time, text in found:
        assert min(abs(time - at) for at, code in onset if code == text) < 1e-9


def test_gdf_against_its_bytes(real_path, real_load):
    data = real_path(GDF).read_bytes()
    blocks = struct.unpack_from("<H", data, 184)[0]
    n_records, n_channels = struct.unpack_from("<q", data, 236)[0], struct.unpack_from("<H", data, 252)[0]
    assert n_channels == 1
    channel = 256  # one channel: its fields follow each other
    code = struct.unpack_from("<H", data, channel + 102)[0]
    pmin, pmax, dmin, dmax = struct.unpack_from("<4d", data, channel + 104)
    samples, kind = struct.unpack_from("<2i", data, channel + 216)
    dtype = {3: "<i2", 5: "<i4", 16: "<f4", 17: "<f8"}[kind]
    counts = np.frombuffer(data, dtype, n_records * samples, blocks * 256).astype(float)
    assert code == 4274  # mV
    expected = ((counts - dmin) * (pmax - pmin) / (dmax - dmin) + pmin) * 1e-3
    node = real_load(GDF)["eeg"]
    np.testing.assert_allclose(node["signal"].values[:, 0], expected, rtol=1e-9, atol=1e-12)
    assert node["ch_unit_original"].values.tolist() == ["mV"]
    assert (node.attrs["sampling_rate"], node.sizes["time"]) == (150.0, 4500)


def test_neuroscan_against_its_bytes_and_without_its_number_format(real_path, real_load):
    path = real_path(CNT)
    with pytest.raises(MissingOptionError, match="data_format='int16'"):
        nd.load(path)
    data = path.read_bytes()
    n_channels, rate = struct.unpack_from("<H", data, 370)[0], struct.unpack_from("<H", data, 376)[0]
    table = struct.unpack_from("<i", data, 886)[0]
    names, scale, baseline = [], [], []
    for at in range(900, 900 + 75 * n_channels, 75):
        names.append(data[at : at + 10].split(b"\0")[0].decode())
        baseline.append(struct.unpack_from("<h", data, at + 47)[0])
        sensitivity, calibration = (
            struct.unpack_from("<f", data, at + 59)[0],
            struct.unpack_from("<f", data, at + 71)[0],
        )
        scale.append(sensitivity * calibration / 204.8 * 1e-6)
    start = 900 + 75 * n_channels
    n = (table - start) // (2 * n_channels)
    counts = np.frombuffer(data, "<i2", n * n_channels, start).reshape(-1, n_channels)
    recording = load(real_load, CNT)
    node = recording["eeg"]
    assert node["channel"].values.tolist() == names
    assert (node.attrs["sampling_rate"], node.sizes["time"]) == (rate, 3070)
    np.testing.assert_allclose(node["signal"].values, (counts - baseline) * scale, rtol=1e-6, atol=1e-15)
    assert set(node["channel"].values[node["bad"].values]) == {"LEFT_EAR", "VEOGR"}
    assert recording["events"].sizes["event"] == 6


@pytest.mark.parametrize("name", [BRAINVISION, BRAINVISION_OLD, FIF, CNT, GDF, SET, EEGLAB, EGI])
def test_times_and_events_against_mne(real_path, real_load, name):
    mne = pytest.importorskip("mne")
    reader = mne.io.read_raw_egi if name == EGI else mne.io.read_raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        raw = reader(real_path(name), verbose="error", **OPTIONS.get(name, {}))
    recording = load(real_load, name)
    node = recording["eeg"]
    assert node["channel"].values.tolist() == raw.ch_names
    assert node["ch_type"].values.tolist() == raw.get_channel_types()
    volts = node["ch_unit"].values == "V"
    np.testing.assert_allclose(node["signal"].values[:, volts], raw.get_data().T[:, volts], rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(node["time"].values, raw.times + raw.first_time, atol=1e-9)
    if len(raw.annotations):
        np.testing.assert_allclose(recording["events"]["onset"].values, raw.annotations.onset, atol=1e-9)
        np.testing.assert_allclose(recording["events"]["duration"].values, raw.annotations.duration, atol=1e-9)
        assert recording["events"]["description"].values.tolist() == raw.annotations.description.tolist()


def test_bids_against_its_sidecars_and_mne_bids(real_path, real_load):
    mne_bids = pytest.importorskip("mne_bids")
    root = real_path(BIDS)
    folder = root / "sub-01" / "ses-eeg" / "eeg"
    stem = "sub-01_ses-eeg_task-rest"

    def table(name):
        rows = [line.split("\t") for line in (folder / name).read_text("utf-8-sig").splitlines()]
        return {key: [row[i] for row in rows[1:]] for i, key in enumerate(rows[0])}

    recording = real_load(BIDS)
    node = recording["eeg"]
    channels, electrodes, events = (
        table(name) for name in (f"{stem}_channels.tsv", "sub-01_ses-eeg_electrodes.tsv", f"{stem}_events.tsv")
    )
    assert node["channel"].values.tolist() == channels["name"]
    counts = np.fromfile(folder / f"{stem}_eeg.eeg", "<i2").reshape(-1, len(channels["name"]))
    volts = node["ch_unit"].values == "V"
    np.testing.assert_allclose(node["signal"].values, counts * np.where(volts, 1e-7, 0.1), rtol=1e-9, atol=1e-18)
    assert node["bad"].values.tolist() == [status == "bad" for status in channels["status"]]
    assert node["bad"].values.any()
    known = dict(zip(electrodes["name"], zip(*(electrodes[axis] for axis in "xyz"), strict=True), strict=True))
    for i, name in enumerate(channels["name"]):
        place = [float(node[axis].values[i]) for axis in "xyz"]
        wanted = [np.nan if item == "n/a" else float(item) for item in known.get(name, ["n/a"] * 3)]
        np.testing.assert_allclose(place, wanted, atol=1e-12)
    assert recording["events"]["onset"].values.tolist() == [float(item) for item in events["onset"]]
    assert recording["events"]["description"].values.tolist() == events["trial_type"]
    assert recording["events"]["value"].values.tolist() == [int(item) for item in events["value"]]
    assert json.loads(recording.attrs["metadata_json"])["sidecar"]["TaskName"] == "rest"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mne-bids tells of coordinate frames and of dates
        where = mne_bids.BIDSPath(subject="01", session="eeg", task="rest", datatype="eeg", root=root)
        raw = mne_bids.read_raw_bids(where, verbose="error")
    assert node["channel"].values.tolist() == raw.ch_names
    np.testing.assert_allclose(node["signal"].values[:, volts], raw.get_data().T[:, volts], rtol=1e-9, atol=1e-18)
    assert node["channel"].values[node["bad"].values].tolist() == raw.info["bads"]
    assert node["ch_type"].values.tolist() == raw.get_channel_types()
    np.testing.assert_allclose(recording["events"]["onset"].values, raw.annotations.onset, atol=1e-9)


@pytest.mark.parametrize("name", XDF)
def test_xdf_against_pyxdf(real_path, real_load, name):
    pyxdf = pytest.importorskip("pyxdf")
    streams, _ = pyxdf.load_xdf(str(real_path(name)), verbose=False)
    recording = real_load(name)
    for stream in streams:
        if stream["info"]["channel_format"] == ["string"]:
            np.testing.assert_allclose(recording["events"]["onset"].values, stream["time_stamps"], atol=1e-9)
            assert recording["events"]["description"].values.tolist() == [row[0] for row in stream["time_series"]]
        else:
            node = recording["eeg"]
            np.testing.assert_allclose(node["time"].values, stream["time_stamps"], atol=1e-9)
            np.testing.assert_array_equal(node["signal"].values, stream["time_series"])
            assert set(node["ch_unit"].values) == {""}


def test_xdf_keeps_the_break_of_its_clock_reset(real_load):
    time = real_load(XDF[0])["eeg"]["time"].values
    step = np.diff(time)
    assert step.argmax() == 12875  # where pyxdf parts the stream
    assert step.max() > 270
    assert np.delete(step, 12875).max() < 0.011


# Folders of several recordings.


FOLDERS = {
    "eeg/physionet_eegmmi": ["S001R03", "S001R04"],
    "eeg/brainvision_mne": ["test", "test_bin_raw", "test_old_layout_latin1_software_filter", "test_units"],
    "eeg/eeglab_sample": ["eeglab_data"],
    "events/xdf_clock_resets": ["clock_resets", "minimal"],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_recordings(real_load, name):
    tree = real_load(name)
    assert list(tree.children) == FOLDERS[name]
    for recording in tree.children.values():
        assert recording["eeg"].sizes["time"] > 0


def test_folders_with_matlab_exports_beside(real_path, real_load):
    with pytest.warns(NeurodataWarning) as told:
        tree = real_load("eeg/edf_mne")
    assert list(tree.children) == ["duplicate_channel_labels", "test", "test_uneven_samp"]
    texts = sorted(str(item.message) for item in told)
    assert len(texts) == 2
    assert "3Hz" in texts[0]
    assert "test_uneven_samp.mat" in texts[1]
    with pytest.warns(NeurodataWarning, match=r"left out.*test_bdf_eeglab\.mat"):
        assert list(real_load("eeg/bdf_mne").children) == ["test"]


def test_a_folder_takes_the_options_of_its_files(real_load):
    tree = real_load("eeg/cnt_gdf_testing", data_format="int16")
    assert list(tree.children) == ["scan41_short", "test_1ch", "test_raw_event_duration"]


# Bad input made of real files.


@pytest.mark.parametrize("keep", [100, 5000, 0.5, -1])
def test_a_cut_real_edf_is_refused(real_path, tmp_path, keep):
    data = real_path(PHYSIONET[0]).read_bytes()
    cut = tmp_path / "cut.edf"
    cut.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(FormatError):
        nd.load(cut)


@pytest.mark.parametrize(
    ("name", "reader"),
    [(EDF, "xdf"), (EDF, "bids"), (BRAINVISION, "edf"), (EEGLAB, "edf"), (XDF[0], "mne"), (BDF, "xdf"), (BIDS, "edf")],
)
def test_the_wrong_reader_is_a_typed_error(real_path, name, reader):
    with pytest.raises(FormatError) as caught:
        nd.load(real_path(name), reader=reader)
    assert caught.value.expected
    assert caught.value.fix
