"""Real calcium, MATLAB, table, tracking and pose recordings against independent readings of the same files."""

from __future__ import annotations

import csv
import re

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

import neurodata as nd
from neurodata._core.provenance import metadata

pytestmark = pytest.mark.real

SUITE2P = "calcium/suite2p_pynapple"
WORMS = "calcium/celegans_neuropal"
WORM_FILES = (
    "2022-01-16-01-data",
    "2022-07-26-31-data",
    "2022-07-26-38-data",
    "2022-07-27-31-data",
    "2022-07-27-38-data",
)
WORM_MAPPING = {
    "calcium/fluorescence": "gcamp/trace_array_original",
    "calcium/dff": "gcamp/traces_array_F_F20",
    "calcium/time": "timing/timestamp_confocal",
    "behaviour/time": "timing/timestamp_confocal",
    "behaviour/velocity": "behavior/velocity",
    "behaviour/pumping": "behavior/pumping",
    "behaviour/body_angle": "behavior/body_angle",
}
TRACK = "spikes/nelpy_linear_track"
TRACK_MAPPING = {"spikes/spike_time": "spikes/{1}/{1}/*/*/time", "spikes/meanrate": "spikes/{1}/{1}/*/*/meanrate"}
ALLEN = "spikes/allen_719161530"
DLC = "behaviour/dlc_openfield/m3v1mp4DeepCut_resnet50_openfieldOct30shuffle1_15001.h5"


def assert_round_trip(rec, tmp_path):
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


@pytest.mark.parametrize("level", ["", "/suite2p", "/suite2p/plane0"])
def test_suite2p_at_every_level(real_load, real_path, tmp_path, level):
    rec = real_load(SUITE2P + level, sampling_rate=30.0)
    plane = real_path(SUITE2P) / "suite2p" / "plane0"
    for variable, name in (("fluorescence", "F"), ("neuropil", "Fneu"), ("deconvolved", "spks")):
        expected = np.load(plane / f"{name}.npy")
        assert expected.shape == (219, 2000)
        np.testing.assert_array_equal(rec["calcium"][variable], expected.T)
        assert rec["calcium"][variable].dtype == np.float32
    iscell = np.load(plane / "iscell.npy")
    np.testing.assert_array_equal(rec["calcium"]["is_cell"], iscell[:, 0] == 1)
    np.testing.assert_array_equal(rec["calcium"]["cell_probability"], iscell[:, 1])
    np.testing.assert_array_equal(rec["calcium"]["time"], np.arange(2000) / 30.0)
    assert_round_trip(rec, tmp_path)


def test_suite2p_masks(real_load, real_path, tmp_path):
    rec = real_load(SUITE2P, sampling_rate=30.0, allow_pickle=True)
    stat = np.load(real_path(SUITE2P) / "suite2p" / "plane0" / "stat.npy", allow_pickle=True)
    node = rec["calcium"]
    stop = np.cumsum(node["mask_count"].values)
    for row, item in enumerate(stat):
        pixels = slice(stop[row] - node["mask_count"].values[row], stop[row])
        np.testing.assert_array_equal(node["mask_row"][pixels], item["ypix"])
        np.testing.assert_array_equal(node["mask_col"][pixels], item["xpix"])
        np.testing.assert_array_equal(node["mask_weight"][pixels], item["lam"])
        assert (node["y"].values[row], node["x"].values[row]) == tuple(item["med"])
        assert node["skew"].values[row] == item["skew"]
    assert_round_trip(rec, tmp_path)


def assert_is_the_worm(rec, path):
    with h5py.File(path) as file:
        time = file["timing/timestamp_confocal"][()]
        np.testing.assert_array_equal(rec["calcium"]["time"], time)
        np.testing.assert_array_equal(rec["behaviour"]["time"], time)
        np.testing.assert_array_equal(rec["calcium"]["fluorescence"], file["gcamp/trace_array_original"][()])
        np.testing.assert_array_equal(rec["calcium"]["dff"], file["gcamp/traces_array_F_F20"][()])
        value = rec["behaviour"]["value"]
        np.testing.assert_array_equal(value.sel(signal="velocity"), file["behavior/velocity"][()])
        np.testing.assert_array_equal(value.sel(signal="pumping"), file["behavior/pumping"][()])
        angles = [f"body_angle_{number}" for number in range(30)]
        np.testing.assert_array_equal(value.sel(signal=angles), file["behavior/body_angle"][()])


@pytest.mark.parametrize("name", WORM_FILES)
def test_worm(real_load, real_path, tmp_path, name):
    rec = real_load(f"{WORMS}/{name}.h5", mapping=WORM_MAPPING)
    assert_is_the_worm(rec, real_path(f"{WORMS}/{name}.h5"))
    assert_round_trip(rec, tmp_path)


def test_a_folder_of_worms(real_load, real_path, tmp_path):
    tree = real_load(WORMS, mapping=WORM_MAPPING)
    assert tuple(tree.children) == WORM_FILES
    for name in WORM_FILES:
        assert_is_the_worm(tree[name], real_path(f"{WORMS}/{name}.h5"))
    assert_round_trip(tree, tmp_path)


def test_worm_without_a_mapping_lists_the_file(real_path):
    path = real_path(f"{WORMS}/{WORM_FILES[0]}.h5")
    with pytest.raises(nd.errors.MissingOptionError) as caught:
        nd.load(path)
    listed: dict[str, str] = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            listed[name] = f"  {name}  {item.shape} {item.dtype}"

    with h5py.File(path) as file:
        file.visititems(note)
    assert len(listed) == 24
    for line in listed.values():
        assert line in str(caught.value).splitlines()


def tetrode_units(path):
    """Spike times by (tetrode, cell), as MATLAB counts them: plain loops over the nested cells."""
    tetrodes = loadmat(path)["spikes"][0, 0][0, 0]
    found = {}
    for tetrode in range(tetrodes.shape[1]):
        for cell in range(tetrodes[0, tetrode].shape[1]):
            unit = tetrodes[0, tetrode][0, cell]
            if unit.dtype.names and "time" in unit.dtype.names:
                found[f"{tetrode + 1}-{cell + 1}"] = (unit["time"][0, 0].ravel(), unit["meanrate"][0, 0].item())
    return found


def assert_are_the_units(rec, path):
    node, expected = rec["spikes"], tetrode_units(path)
    assert node["unit"].values.tolist() == list(expected)
    stop = np.cumsum(node["spike_count"].values)
    for row, (times, rate) in enumerate(expected.values()):
        start = stop[row] - node["spike_count"].values[row]
        np.testing.assert_array_equal(node["spike_time"].values[start : stop[row]], times)
        assert node["meanrate"].values[row] == rate
    assert int((node["spike_count"] > 0).sum()) == 31
    assert node.sizes["spike"] == 28829


def test_nelpy_units(real_load, real_path, tmp_path):
    rec = real_load(f"{TRACK}/spikes.mat", mapping=TRACK_MAPPING)
    assert_are_the_units(rec, real_path(f"{TRACK}/spikes.mat"))
    assert rec["spikes"].sizes["unit"] == 37, "six cells of the file are units without a spike"
    deep = real_load(f"{TRACK}/spikes.mat", mapping={"spikes/spike_time": "spikes/*/*/*/*/time"})
    assert [str(unit).removeprefix("1-1-") for unit in deep["spikes"]["unit"].values] == rec["spikes"][
        "unit"
    ].values.tolist()
    assert_round_trip(rec, tmp_path)


def assert_is_the_track(rec, path):
    content = path.read_bytes()
    body = content[content.index(b"<End settings>\n") + len(b"<End settings>\n") :]
    records = np.frombuffer(body, dtype="<u4,<u2,<u2,<u2,<u2")
    assert records.size == 118965
    node = rec["behaviour"]
    np.testing.assert_array_equal(node["time"], records["f0"] / 30000)
    for field, (keypoint, space) in zip(
        ("f1", "f2", "f3", "f4"), (("led1", "x"), ("led1", "y"), ("led2", "x"), ("led2", "y")), strict=True
    ):
        place = node["position"].sel(keypoint=keypoint, space=space, individual="individual_0")
        np.testing.assert_array_equal(place, records[field])


def test_nelpy_tracking(real_load, real_path, tmp_path):
    path = f"{TRACK}/trajectory.videoPositionTracking"
    rec = real_load(path)
    assert_is_the_track(rec, real_path(path))
    header = real_path(path).read_bytes()[:197].decode()
    assert rec["behaviour"].attrs["threshold"] == re.search(r"threshold: (\d+)", header).group(1)
    assert rec["behaviour"].attrs["pixel_scale"] == "0 pix/cm"
    assert_round_trip(rec, tmp_path)


def test_nelpy_folder(real_load, real_path, tmp_path):
    tree = real_load(TRACK, mapping=TRACK_MAPPING)
    assert sorted(tree.children) == ["spikes", "trajectory"]
    assert_are_the_units(tree["spikes"], real_path(f"{TRACK}/spikes.mat"))
    assert_is_the_track(tree["trajectory"], real_path(f"{TRACK}/trajectory.videoPositionTracking"))
    assert_round_trip(tree, tmp_path)


def test_matlab_exports_beside_other_formats(real_load, real_path, tmp_path):
    """A MATLAB file of any lab opens: the Neuralynx export has one column per record of 512 samples."""
    path = "spikes/neuralynx_ncs/LAHC1.mat"
    stored = loadmat(real_path(path))
    rec = real_load(
        path,
        mapping={
            "behaviour/time": "Timestamps",
            "behaviour/first": "Samples[0]",
            "behaviour/valid": "NumberOfValidSamples",
        },
        time_unit="us",
    )
    np.testing.assert_array_equal(rec["behaviour"]["time"], stored["Timestamps"].ravel() * 1e-6)
    np.testing.assert_array_equal(rec["behaviour"]["value"].sel(signal="first"), stored["Samples"][0])
    np.testing.assert_array_equal(rec["behaviour"]["value"].sel(signal="valid"), stored["NumberOfValidSamples"].ravel())
    assert_round_trip(rec, tmp_path)
    path = "eeg/bdf_mne/test_bdf_eeglab.mat"
    eeg = real_load(
        path,
        mapping={"eeg/signal": "data"},
        dims={"eeg/signal": ("channel", "time")},
        sampling_rate=256.0,
        signal_unit="uV",
    )
    np.testing.assert_array_equal(eeg["eeg"]["signal"], loadmat(real_path(path))["data"].T.astype(np.float64) * 1e-6)


@pytest.mark.parametrize("columns", [None, {"start": "goCue_times", "stop": "feedback_times"}])
def test_ibl_trials(real_load, real_path, tmp_path, columns):
    path = "trials/ibl_trials_csv/trials_df_test.csv"
    node = (rec := real_load(path, node="trials", columns=columns))["trials"]
    with open(real_path(path), newline="") as file:
        rows = list(csv.DictReader(file))
    assert node.sizes["trial"] == len(rows) == 500
    np.testing.assert_array_equal(node["trial"], [int(row[""]) for row in rows])
    ours = {column: name for name, column in (columns or {}).items()}
    names = [name for name in rows[0] if name]
    assert sorted(node.data_vars) == sorted(ours.get(name, name) for name in names)
    for name in names:
        np.testing.assert_array_equal(node[ours.get(name, name)], [float(row[name] or "nan") for row in rows])
    assert_round_trip(rec, tmp_path)


def test_ibl_trials_ask_what_they_are(real_path):
    with pytest.raises(nd.errors.MissingOptionError, match="stimOn_times"):
        nd.load(real_path("trials/ibl_trials_csv/trials_df_test.csv"))


def test_allen_counts(real_load, real_path, tmp_path):
    facts = {"node": "counts", "bin_width": 0.5, "dims": ("unit", "time"), "start": 2822.16}
    rec = real_load(
        ALLEN,
        reader="table",
        table="Y.csv",
        unit_coords={"region": "Lab_neuron.csv"},
        signals={"stimulus": "Lab_states.csv"},
        **facts,
    )
    folder = real_path(ALLEN)
    expected = np.loadtxt(folder / "Y.csv", delimiter=",")
    assert expected.shape == (63, 720)
    np.testing.assert_array_equal(rec["spikes"]["counts"], expected.T)
    assert rec["spikes"]["counts"].dtype == np.int32
    np.testing.assert_allclose(rec["spikes"]["time"], 2822.16 + 0.25 + 0.5 * np.arange(720), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(rec["spikes"]["region"], np.loadtxt(folder / "Lab_neuron.csv"))
    np.testing.assert_array_equal(
        rec["behaviour"]["value"].sel(signal="stimulus"), np.loadtxt(folder / "Lab_states.csv")
    )
    assert_round_trip(rec, tmp_path)
    alone = real_load(f"{ALLEN}/Y.csv", **facts)
    np.testing.assert_array_equal(alone["spikes"]["counts"], expected.T)


# movement's dependencies warn of their own deprecations while they are imported.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", [DLC, "behaviour/dlc_openfield"])
def test_deeplabcut(real_load, real_path, tmp_path, path):
    pytest.importorskip("movement", reason="the extra pose is not installed")
    tree = real_load(path, sampling_rate=30.0)
    rec = tree if path == DLC else tree[DLC.rpartition("/")[2].removesuffix(".h5")]
    with h5py.File(real_path(DLC)) as file:
        table = file["df_with_missing/table"][()]
    values = table["values_block_0"].reshape(2330, 4, 3)
    position = rec["behaviour"]["position"]
    assert position["keypoint"].values.tolist() == ["snout", "leftear", "rightear", "tailbase"]
    np.testing.assert_array_equal(position.sel(individual="individual_0", space="x"), values[:, :, 0])
    np.testing.assert_array_equal(position.sel(individual="individual_0", space="y"), values[:, :, 1])
    np.testing.assert_array_equal(rec["behaviour"]["confidence"][:, :, 0], values[:, :, 2])
    np.testing.assert_array_equal(rec["behaviour"]["time"], table["index"] / 30.0)
    assert "left_out" not in metadata(rec.attrs)
    assert_round_trip(tree, tmp_path)
