"""The reader that goes through MNE, on small files written here."""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest
from scipy.io import savemat

import neurodata as nd
from neurodata.errors import FormatError, MissingDependencyError, MissingOptionError, NeurodataWarning, OptionError
from neurodata.io.mne import detect
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO

mne = pytest.importorskip("mne")

COUNTS = np.random.default_rng(0).integers(-2000, 2000, (600, 4)).astype("<i2")


def brainvision(folder, name="a", channels=None, markers=(), encoding="utf-8"):
    """A BrainVision triplet: 600 samples of 4 channels at 100 Hz."""
    channels = channels or ["Fp1,,0.1,\u00b5V", "C3/A2,Cz,0.001,mV", "Temp,,0.5,C", "\u00d6l\\1,,1,"]
    (folder / f"{name}.eeg").write_bytes(COUNTS.tobytes())
    lines = [f"Ch{i}={text}" for i, text in enumerate(channels, 1)]
    header = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "[Common Infos]",
        "Codepage=UTF-8" if encoding == "utf-8" else "; no code page",
        f"DataFile={name}.eeg",
        f"MarkerFile={name}.vmrk",
        "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(channels)}",
        "SamplingInterval=10000",
        "[Binary Infos]",
        "BinaryFormat=INT_16",
        "[Channel Infos]",
        *lines,
    ]
    (folder / f"{name}.vhdr").write_bytes("\n".join(header).encode(encoding))
    text = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]", f"DataFile={name}.eeg"]
    text += ["[Marker Infos]", *[f"Mk{i}={marker}" for i, marker in enumerate(markers, 1)]]
    (folder / f"{name}.vmrk").write_text("\n".join(text))
    return folder / f"{name}.vhdr"


def test_brainvision_keeps_units_names_and_references(tmp_path):
    rec = nd.load(brainvision(tmp_path))
    node = rec["eeg"]
    assert node["channel"].values.tolist() == ["Fp1", "C3/A2", "Temp", "\u00d6l,"]
    assert node["ch_unit"].values.tolist() == ["V", "V", "C", "V"]
    assert node["ch_unit_original"].values.tolist() == ["\u00b5V", "mV", "C", "\u00b5V"]
    assert node["ch_type"].values.tolist() == ["eeg", "eeg", "misc", "eeg"]
    assert node["reference"].values.tolist() == ["", "Cz", "", ""]
    np.testing.assert_allclose(node["signal"].values, COUNTS * [1e-7, 1e-6, 0.5, 1e-6], rtol=1e-12)
    assert nd.load(nd.save(rec, tmp_path / "a.nc")).identical(rec)


def test_siemens_and_unknown_units_keep_their_numbers(tmp_path):
    node = nd.load(brainvision(tmp_path, channels=["a,,0.5,\u00b5S", "b,,0.5,uS", "c,,0.25,ARU", "d,,2,%"]))["eeg"]
    np.testing.assert_allclose(node["signal"].values, COUNTS * [0.5, 0.5, 0.25, 2.0], rtol=1e-12)
    assert node["ch_unit"].values.tolist() == ["\u00b5S", "uS", "ARU", "%"]


def test_pauses_of_a_brainvision_recorder_are_gaps(tmp_path):
    markers = [
        "New Segment,,1,1,0,20200101120000000000",
        "Stimulus,S  1,150,1,0",
        "New Segment,,301,1,0,20200101120103500000",
        "Stimulus,S  2,401,1,0",
    ]
    rec = nd.load(brainvision(tmp_path, markers=markers))
    time = np.arange(600) / 100
    time[300:] += 60.5
    np.testing.assert_allclose(rec["eeg"]["time"].values, time, atol=1e-9)
    # MNE takes the first segment marker for the date alone; its time is the attribute time_origin.
    assert rec.attrs["time_origin"] == "2020-01-01T12:00:00"
    np.testing.assert_allclose(rec["events"]["onset"].values, [1.49, 63.5, 64.5], atol=1e-9)
    at = rec["eeg"]["time"].sel(time=rec["events"]["onset"].values, method="nearest").values
    np.testing.assert_allclose(at, rec["events"]["onset"].values, atol=1e-9)


def test_segments_that_follow_each_other_are_no_gap(tmp_path):
    markers = ["New Segment,,1,1,0,20200101120000000000", "New Segment,,301,1,0,20200101120003004000"]
    rec = nd.load(brainvision(tmp_path, markers=markers))
    np.testing.assert_array_equal(rec["eeg"]["time"].values, np.arange(600) / 100)


def test_lazy_pickles_and_chunks(tmp_path):
    node = nd.load(brainvision(tmp_path))["eeg"]
    expected = COUNTS * [1e-7, 1e-6, 0.5, 1e-6]
    assert not node["signal"].variable._in_memory
    np.testing.assert_allclose(pickle.loads(pickle.dumps(node))["signal"].values, expected, rtol=1e-12)
    picked = node["signal"].isel(time=slice(500, 20, -3), channel=[3, 0, 3])
    np.testing.assert_allclose(picked.values, expected[500:20:-3, [3, 0, 3]], rtol=1e-12)
    window = node["signal"].sel(time=slice(1.0, 2.0), channel="Temp")
    np.testing.assert_allclose(window.values, expected[100:201, 2], rtol=1e-12)
    pytest.importorskip("dask")
    chunked = nd.load(tmp_path / "a.vhdr", chunks={"time": 100})["eeg"]["signal"]
    np.testing.assert_allclose(chunked.values, expected, rtol=1e-12)


def test_missing_companion(tmp_path):
    path = brainvision(tmp_path)
    (tmp_path / "a.eeg").unlink()
    with pytest.raises(FormatError, match="companions"):
        nd.load(path)


@pytest.fixture
def raw():
    info = mne.create_info(["Fz", "EKG/1", "STI", "ear"], 128.0, ["eeg", "ecg", "stim", "misc"], verbose="error")
    info["bads"] = ["Fz"]
    info["chs"][0]["loc"][:3] = [0.01, 0.02, 0.09]
    raw = mne.io.RawArray(np.random.default_rng(0).normal(size=(4, 1000)) * 1e-5, info, first_samp=300, verbose="error")
    raw.set_meas_date(1_600_000_000.25)
    return raw


def test_fif_keeps_the_clock_of_the_acquisition(tmp_path, raw):
    notes = mne.Annotations([4.0], [0.5], ["flash"], orig_time=raw.info["meas_date"])
    raw.set_annotations(notes)
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    rec = nd.load(tmp_path / "a_raw.fif")
    np.testing.assert_allclose(rec["eeg"]["time"].values, (300 + np.arange(1000)) / 128, rtol=1e-14)
    np.testing.assert_allclose(rec["events"]["onset"].values, [4.0], atol=1e-9)
    np.testing.assert_allclose(rec["eeg"]["signal"].values, raw.get_data().T, rtol=1e-12)
    assert rec.attrs["time_origin"] == "2020-09-13T12:26:40.250000+00:00"
    assert rec["eeg"]["bad"].values.tolist() == [True, False, False, False]
    assert rec["eeg"]["ch_type"].values.tolist() == ["eeg", "ecg", "stim", "misc"]
    np.testing.assert_allclose(rec["eeg"]["z"].values, [0.09, np.nan, np.nan, np.nan], rtol=1e-6)
    assert rec["eeg"].attrs["position_frame"] == "head"
    assert nd.load(nd.save(rec, tmp_path / "a.nc")).identical(rec)


def test_what_mne_fills_with_zeros_is_a_gap(tmp_path, raw):
    skip = mne.Annotations([300 / 128 + 2.0], [1.5], ["BAD_ACQ_SKIP"], orig_time=raw.info["meas_date"])
    raw.set_annotations(skip)
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    rec = nd.load(tmp_path / "a_raw.fif")
    kept = np.r_[0:256, 448:1000]
    np.testing.assert_allclose(rec["eeg"]["time"].values, (300 + kept) / 128, rtol=1e-14)
    np.testing.assert_allclose(rec["eeg"]["signal"].values, raw.get_data().T[kept], rtol=1e-12)
    np.testing.assert_allclose(rec["eeg"]["signal"].isel(time=slice(250, 262)).values, raw.get_data().T[kept[250:262]])
    assert "events" not in rec.children


def test_epochs_in_a_file_are_told_from_raw_data(tmp_path, raw):
    events = np.array([[400, 0, 1], [600, 0, 1]])
    epochs = mne.Epochs(raw, events, tmin=0, tmax=0.5, baseline=None, picks="all", verbose="error")
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    with pytest.raises(FormatError, match="fif"):
        nd.load(tmp_path / "a-epo.fif")


def eeglab_struct(n_channels=2, n=500):
    data = np.random.default_rng(1).normal(size=(n_channels, n)).astype("f4") * 20
    locations = np.zeros(n_channels, dtype=[("labels", object), ("type", object)])
    locations["labels"] = [f"c/{i}" for i in range(n_channels)]
    locations["type"] = ["EEG"] + ["MISC"] * (n_channels - 1)
    return data, {
        "setname": "a", "nbchan": n_channels, "trials": 1, "pnts": n, "srate": 250.0, "xmin": 0.0,
        "xmax": (n - 1) / 250,
        "data": data, "chanlocs": locations, "event": [], "epoch": [], "ref": "common", "icawinv": [], "icasphere": [],
        "icaweights": [], "icaact": [], "times": [],
    }  # fmt: skip


def test_eeglab_values_are_microvolts(tmp_path):
    data, struct_ = eeglab_struct()
    savemat(tmp_path / "a.set", {"EEG": struct_})
    node = nd.load(tmp_path / "a.set")["eeg"]
    assert node["channel"].values.tolist() == ["c/0", "c/1"]
    assert node["ch_type"].values.tolist() == ["eeg", "misc"]
    np.testing.assert_allclose(node["signal"].values, data.T * [1e-6, 1.0], rtol=1e-6)
    assert node["ch_unit"].values.tolist() == ["V", ""]


def test_eeglab_of_matlab_7_3(tmp_path):
    """The layout that MATLAB gives a struct in a v7.3 file: groups, text as uint16, references for cells."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("pymatreader")
    data, struct_ = eeglab_struct()
    path = tmp_path / "a.set"
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("EEG")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key in ("nbchan", "trials", "pnts", "srate", "xmin", "xmax"):
            group.create_dataset(key, data=np.array([[float(struct_[key])]])).attrs["MATLAB_class"] = np.bytes_(
                "double"
            )
        group.create_dataset("data", data=data.T).attrs["MATLAB_class"] = np.bytes_("single")
        for key in ("event", "epoch", "icawinv", "icasphere", "icaweights", "icaact", "times"):
            empty = group.create_dataset(key, data=np.array([0, 0], dtype="u8"))
            empty.attrs["MATLAB_class"] = np.bytes_("double")
            empty.attrs["MATLAB_empty"] = np.uint8(1)
        for key in ("setname", "ref"):
            text = group.create_dataset(key, data=np.array([[ord(c)] for c in struct_[key]], dtype="u2"))
            text.attrs["MATLAB_class"] = np.bytes_("char")
            text.attrs["MATLAB_int_decode"] = np.int32(2)
        places = group.create_group("chanlocs")
        places.attrs["MATLAB_class"] = np.bytes_("struct")
        references = file.create_group("#refs#")
        for key in ("labels", "type"):
            cells = []
            for i, text in enumerate(struct_["chanlocs"][key]):
                item = references.create_dataset(f"{key}{i}", data=np.array([[ord(c)] for c in text], dtype="u2"))
                item.attrs["MATLAB_class"] = np.bytes_("char")
                item.attrs["MATLAB_int_decode"] = np.int32(2)
                cells.append([item.ref])
            places.create_dataset(key, data=np.array(cells, dtype=h5py.ref_dtype))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49))
    assert detect(path) == BY_CONTENT
    node = nd.load(path)["eeg"]
    np.testing.assert_allclose(node["signal"].values, data.T * [1e-6, 1.0], rtol=1e-6)
    assert node["channel"].values.tolist() == ["c/0", "c/1"]


def test_epoched_eeglab_is_refused(tmp_path):
    data, struct_ = eeglab_struct()
    struct_.update(data=data.reshape(2, 100, 5), trials=5, pnts=100)
    savemat(tmp_path / "a.set", {"EEG": struct_})
    with pytest.raises(FormatError, match="epochs"):
        nd.load(tmp_path / "a.set")


def egi(path, version=2, n_channels=3, n=40):
    """EGI simple binary, unsegmented, 16-bit integers, one event code (layout of the format's published header)."""
    counts = np.random.default_rng(2).integers(-900, 900, (n, n_channels)).astype(">i2")
    events = np.zeros((n, 1), ">i2")
    events[[10, 25]] = 1
    head = struct.pack(">i6h", version, 2020, 1, 2, 3, 4, 5) + struct.pack(">i", 0)
    head += struct.pack(">5hi", 250, n_channels, 1, 0, 0, n) + struct.pack(">h", 1) + b"TRIG"
    path.write_bytes(head + np.hstack([counts, events]).astype(">i2").tobytes())
    return counts


def test_egi_simple_binary(tmp_path):
    counts = egi(tmp_path / "a.raw")
    rec = nd.load(tmp_path / "a.raw")
    node = rec["eeg"]
    np.testing.assert_allclose(node["signal"].values[:, :3], counts * 1e-6, rtol=1e-12)
    assert node["ch_unit"].values.tolist()[:4] == ["V", "V", "V", ""]
    np.testing.assert_allclose(rec["events"]["onset"].values, [10 / 250, 25 / 250], atol=1e-12)


def gdf(path, codes=(4275, 4274, 0), samples=(10, 10, 10), n_records=6):
    """GDF 2.10 with 16-bit samples (layout: arXiv:cs/0608052)."""
    n = len(codes)
    main = b"GDF 2.10".ljust(184, b"\0") + struct.pack("<H", n + 1) + b"\0" * 50
    main += struct.pack("<q", n_records) + struct.pack("<II", 1, 1) + struct.pack("<HH", n, 0)
    assert len(main) == 256
    head = b"".join(f"c{i}".encode().ljust(16, b"\0") for i in range(n)) + b"\0" * 80 * n + b"\0" * 6 * n
    head += struct.pack(f"<{n}H", *codes)
    head += struct.pack(f"<{n}d", *[-3276.8] * n) + struct.pack(f"<{n}d", *[3276.7] * n)
    head += struct.pack(f"<{n}d", *[-32768.0] * n) + struct.pack(f"<{n}d", *[32767.0] * n)
    head += b"\0" * 68 * n + b"\0" * 12 * n + struct.pack(f"<{n}I", *samples) + struct.pack(f"<{n}I", *[3] * n)
    head += b"\0" * 12 * n + b"\0" * 20 * n
    counts = [np.random.default_rng(i).integers(-99, 99, (n_records, k)).astype("<i2") for i, k in enumerate(samples)]
    path.write_bytes(main + head.ljust(256 * n, b"\0") + np.hstack(counts).tobytes())
    return np.stack([item.reshape(-1) for item in counts], axis=1) if len(set(samples)) == 1 else counts


def test_gdf_units_come_from_its_codes(tmp_path):
    counts = gdf(tmp_path / "a.gdf", codes=(4275, 4274, 0))
    node = nd.load(tmp_path / "a.gdf")["eeg"]
    np.testing.assert_allclose(node["signal"].values, counts * 0.1 * [1e-6, 1e-3, 1.0], rtol=1e-9, atol=1e-15)
    assert node["ch_unit"].values.tolist() == ["V", "V", ""]
    assert node["ch_unit_original"].values.tolist() == ["uV", "mV", ""]


def test_gdf_of_several_rates_is_refused_not_resampled(tmp_path):
    gdf(tmp_path / "a.gdf", samples=(10, 5, 10))
    with pytest.raises(FormatError, match="one sampling rate"):
        nd.load(tmp_path / "a.gdf")


def test_wrong_reader_and_options(tmp_path):
    path = brainvision(tmp_path)
    for reader in ("edf", "xdf", "bids"):
        with pytest.raises(FormatError) as caught:
            nd.load(path, reader=reader)
        assert caught.value.fix
    (tmp_path / "text.set").write_text("no MATLAB file")
    with pytest.raises(FormatError, match=r"text\.set"):
        nd.load(tmp_path / "text.set", reader="mne")
    with pytest.raises(OptionError, match="data_format"):
        nd.load(path, data_fromat="int16")


@pytest.mark.parametrize("name", ["a.set", "a.gdf", "a.raw", "a_raw.fif"])
@pytest.mark.parametrize("keep", [16, 200, 0.6])
def test_truncated_files_are_typed_errors_or_said(tmp_path, raw, name, keep):
    path = tmp_path / name
    if name == "a.set":
        savemat(path, {"EEG": eeglab_struct()[1]})
    elif name == "a.gdf":
        gdf(path)
    elif name == "a.raw":
        egi(path)
    else:
        raw.save(path, verbose="error")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises((FormatError, NeurodataWarning)):
        nd.load(path)


def test_neuroscan_without_a_number_format_names_the_option(tmp_path):
    n_channels, n = 2, 30
    head = bytearray(b"Version 3.0".ljust(900, b"\0"))
    struct.pack_into("<H", head, 370, n_channels)
    struct.pack_into("<H", head, 376, 250)
    body = b"".join(f"c{i}".encode().ljust(75, b"\0") for i in range(n_channels))
    struct.pack_into("<i", head, 886, 900 + len(body) + n * n_channels * 2)
    (tmp_path / "a.cnt").write_bytes(bytes(head) + body + b"\0" * (n * n_channels * 2))
    with pytest.raises(MissingOptionError, match="data_format"):
        nd.load(tmp_path / "a.cnt")


def test_ant_files_name_the_package_they_need(tmp_path, monkeypatch):
    path = tmp_path / "a.cnt"
    path.write_bytes(b"RIFF" + b"\0" * 100)
    assert detect(path) == BY_CONTENT
    monkeypatch.setitem(__import__("sys").modules, "antio", None)
    with pytest.raises(MissingDependencyError, match="antio"):
        nd.load(path)


def test_detect(tmp_path):
    path = brainvision(tmp_path)
    assert detect(path) == BY_CONTENT
    assert detect(path.with_suffix(".eeg")) == NO
    assert detect(path.with_suffix(".vmrk")) == NO
    (tmp_path / "b.vhdr").write_text("something else")
    assert detect(tmp_path / "b.vhdr") == BY_SUFFIX
    (tmp_path / "b.raw").write_bytes(b"12345678")
    assert detect(tmp_path / "b.raw") == NO
