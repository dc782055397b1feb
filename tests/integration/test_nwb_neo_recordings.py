"""Real NWB and Neuralynx recordings against independent readings: h5py, pynwb, struct, MATLAB exports, neo."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

import neurodata as nd
from neurodata._core.provenance import metadata

pytestmark = pytest.mark.real

UNITS = "spikes/nwb_units_pynapple/A8604-211122.nwb"
OPHYS = "calcium/nwb_ophys_derived/suite2p_60roi.nwb"
NEURALYNX = "spikes/neuralynx_ncs"


def test_nwb_units_against_h5py(real_path, real_load):
    recording = real_load(UNITS)
    node = recording["spikes"]
    with h5py.File(real_path(UNITS)) as file:
        stops = file["units/spike_times_index"][()].astype(int)
        times, ids = file["units/spike_times"][()], file["units/id"][()]
        group = file["units/group"][()]
        epoch = [file[f"intervals/epochs/{name}"][0] for name in ("start_time", "stop_time")]
    np.testing.assert_array_equal(node["unit"], ids)
    np.testing.assert_array_equal(node["group"], group)
    np.testing.assert_array_equal(node["spike_time"], times)
    assert node["spike_count"].values.tolist() == np.diff(stops, prepend=0).tolist()
    for row, part in enumerate(np.split(times, stops[:-1])):
        np.testing.assert_array_equal(node["spike_time"].values[node["spike_unit"].values == row], part)
    assert node["electrode_group"].values.tolist() == ["group0_psb"] * 3
    events = recording["events"]
    assert events["description"].values.tolist() == ["epochs"]
    assert events["tags"].values.tolist() == ["wake"]
    assert (events["onset"].item(), events["duration"].item()) == (epoch[0], epoch[1] - epoch[0])
    assert recording.attrs["time_origin"].startswith("2022-04-05T03:07:59.411186")
    assert metadata(recording.attrs)["left_out"] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_nwb_units_against_pynwb(real_path, real_load):
    pynwb = pytest.importorskip("pynwb")
    node = real_load(UNITS)["spikes"]
    with pynwb.NWBHDF5IO(real_path(UNITS), "r") as io:
        frame = io.read().units.to_dataframe()
    assert frame.index.tolist() == node["unit"].values.tolist()
    np.testing.assert_array_equal(np.concatenate(frame["spike_times"].tolist()), node["spike_time"])


def test_nwb_ophys_against_h5py(real_path, real_load):
    node = real_load(OPHYS)["calcium"]
    with h5py.File(real_path(OPHYS)) as file:
        ophys = file["processing/ophys"]
        for name, path in (
            ("fluorescence", "Fluorescence/Fluorescence"),
            ("neuropil", "Neuropil/Neuropil"),
            ("deconvolved", "Deconvolved/Deconvolved"),
        ):
            np.testing.assert_array_equal(node[name], ophys[path]["data"][()])
            assert node[name].dtype == np.float32
        table = ophys["ImageSegmentation/PlaneSegmentation"]
        iscell, pixels = table["iscell"][()], table["pixel_mask"][()]
        stops = table["pixel_mask_index"][()].astype(int)
        np.testing.assert_array_equal(node["roi"], table["id"][()])
    np.testing.assert_allclose(node["time"], np.arange(2000) / 30.0, rtol=0, atol=1e-12)
    assert node.attrs["sampling_rate"] == 30.0
    np.testing.assert_array_equal(node["is_cell"], iscell[:, 0] == 1)
    np.testing.assert_array_equal(node["cell_probability"], iscell[:, 1])
    np.testing.assert_array_equal(node["mask_count"], np.diff(stops, prepend=0))
    for name, key in (("mask_col", "x"), ("mask_row", "y"), ("mask_weight", "weight")):
        np.testing.assert_array_equal(node[name], pixels[key])


def test_nwb_ophys_against_the_suite2p_files_it_was_made_of(real_path, real_load):
    node = real_load(OPHYS)["calcium"]
    plane = next(real_path("calcium/suite2p_pynapple").rglob("F.npy")).parent
    for name, file in (("fluorescence", "F.npy"), ("neuropil", "Fneu.npy"), ("deconvolved", "spks.npy")):
        np.testing.assert_array_equal(node[name], np.load(plane / file)[:60].T[:2000])


def records_of(path) -> tuple[np.ndarray, np.ndarray]:
    """Valid samples and times (s) of a continuous file, record by record."""
    block = path.read_bytes()[16384:]
    samples, times = [], []
    for at in range(0, len(block), 1044):
        stamp, _, rate, valid = struct.unpack_from("<QIII", block, at)
        samples.append(struct.unpack_from(f"<{valid}h", block, at + 20))
        times.append([(stamp + i * 1_000_000 / rate) / 1e6 for i in range(valid)])
    return np.concatenate(samples), np.concatenate(times)


@pytest.mark.parametrize("name", ["LAHC1", "LAHC2", "LAHC3", "LAHC1_3_gaps", "LAHC2_3_gaps"])
def test_neuralynx_file_against_its_records(real_path, real_load, name):
    node = real_load(f"{NEURALYNX}/{name}.ncs")["eeg"]
    samples, times = records_of(real_path(f"{NEURALYNX}/{name}.ncs"))
    np.testing.assert_array_equal(node["time"], times)
    # ADBitVolts 0.00000030517578125, InputInverted True
    np.testing.assert_allclose(node["signal"][:, 0], samples * -0.000000305175781250000006, rtol=1e-15)


@pytest.mark.parametrize(("name", "gaps"), [("LAHC1", []), ("LAHC1_3_gaps", [3.499e-3, 11.5e-3, 50e-3])])
def test_neuralynx_file_against_its_matlab_export(real_path, real_load, name, gaps):
    """The export of Neuralynx' own MATLAB importer: samples (512, record), timestamps in us, valid samples."""
    node = real_load(f"{NEURALYNX}/{name}.ncs")["eeg"]
    export = loadmat(real_path(f"{NEURALYNX}/{name}.mat"))
    valid = export["NumberOfValidSamples"].ravel().astype(int)
    stamp, rate = export["Timestamps"].ravel(), float(export["SampleFrequencies"].ravel()[0])
    samples = np.concatenate([export["Samples"][:n, k] for k, n in enumerate(valid)])
    np.testing.assert_allclose(node["signal"][:, 0], samples * -0.000000305175781250000006, rtol=1e-15)
    first = np.cumsum(valid) - valid
    np.testing.assert_array_equal(node["time"].values[first], stamp / 1e6)
    expected = np.concatenate([(t + np.arange(n) * 1e6 / rate) / 1e6 for t, n in zip(stamp, valid, strict=True)])
    np.testing.assert_array_equal(node["time"], expected)
    step = np.diff(node["time"].values)
    # float64 holds seconds since 1970 to 2.4e-7 s
    np.testing.assert_allclose(np.sort(step[step > 1.5 / rate]) - 1 / rate, gaps, atol=1e-6)


def test_neuralynx_folder_groups_channels_by_their_times(real_path, real_load):
    recording = real_load(NEURALYNX)
    assert set(recording.children) == {"eeg", "eeg_2", "events"}
    for node, files in (
        (recording["eeg"], ["LAHC1.ncs", "LAHC2.ncs", "LAHC3.ncs"]),
        (recording["eeg_2"], ["LAHC1_3_gaps.ncs", "LAHC2_3_gaps.ncs"]),
    ):
        assert node["file"].values.tolist() == files
        for column, file in enumerate(files):
            samples, times = records_of(real_path(f"{NEURALYNX}/{file}"))
            np.testing.assert_array_equal(node["time"], times)
            np.testing.assert_allclose(node["signal"][:, column], samples * -0.000000305175781250000006, rtol=1e-15)
    assert {"LAHC1.mat", "LAHC1_3_gaps.mat"} <= set(metadata(recording.attrs)["left_out"])


def test_neuralynx_events_against_their_records(real_path, real_load):
    node = real_load(NEURALYNX)["events"]
    block = real_path(f"{NEURALYNX}/Events.nev").read_bytes()[16384:]
    rows = [struct.unpack_from("<hhhQhHhhh8i128s", block, at) for at in range(0, len(block), 184)]
    assert node["onset"].values.tolist() == [row[3] / 1e6 for row in rows]
    assert node["event_id"].values.tolist() == [row[4] for row in rows]
    assert node["ttl"].values.tolist() == [row[5] for row in rows]
    assert node["description"].values.tolist() == [row[-1].split(b"\0")[0].decode() for row in rows]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_neuralynx_volts_against_neo(real_path, real_load):
    rawio = pytest.importorskip("neo.rawio")
    path = real_path(f"{NEURALYNX}/LAHC1_3_gaps.ncs")
    reader = rawio.NeuralynxRawIO(str(path.parent), include_filenames=[path.name], gap_tolerance_ms=0.0)
    reader.parse_header()
    parts = []
    for segment in range(reader.segment_count(0)):
        raw = reader.get_analogsignal_chunk(0, segment, stream_index=0)
        parts.append(reader.rescale_signal_raw_to_float(raw, "float64", stream_index=0))
    expected = np.concatenate(parts)[:, 0] * 1e-6  # neo gives uV
    node = real_load(f"{NEURALYNX}/LAHC1_3_gaps.ncs")["eeg"]
    np.testing.assert_allclose(node["signal"][:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("relative", [UNITS, OPHYS, NEURALYNX, f"{NEURALYNX}/LAHC1_3_gaps.ncs"])
def test_saved_and_loaded_again_it_is_identical(real_load, tmp_path, relative):
    recording = real_load(relative)
    assert nd.load(nd.save(recording, tmp_path / "saved.nc")).identical(recording)
