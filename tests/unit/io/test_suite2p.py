"""suite2p folders built file by file: ids, planes, what is not unpickled, and what disagrees."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata
from neurodata.errors import FormatError, MissingOptionError, RecordingError, UntrustedDataError
from neurodata.io.registry import BY_CONTENT, NO
from neurodata.io.suite2p import detect


def write_plane(folder, n_rois=3, n_frames=20, seed=0, fs=None, stat=False):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    arrays = {name: rng.normal(size=(n_rois, n_frames)).astype(np.float32) for name in ("F", "Fneu", "spks")}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    iscell = np.stack([np.arange(n_rois) % 2, rng.random(n_rois)], axis=1)
    np.save(folder / "iscell.npy", iscell)
    if fs is not None:
        np.save(folder / "ops.npy", {"fs": fs, "nplanes": 1}, allow_pickle=True)
    if stat:
        rois = [
            {
                "ypix": np.arange(row + 1),
                "xpix": np.arange(row + 1) + 10,
                "lam": np.full(row + 1, 0.5, dtype=np.float32),
                "med": [row, row + 10],
                "skew": 0.1 * row,
            }
            for row in range(n_rois)
        ]
        table = np.empty(n_rois, dtype=object)
        table[:] = rois
        np.save(folder / "stat.npy", table, allow_pickle=True)
    return arrays, iscell


def test_one_plane_is_found_at_every_level(tmp_path):
    arrays, iscell = write_plane(tmp_path / "mouse" / "suite2p" / "plane0")
    for path in (tmp_path / "mouse", tmp_path / "mouse" / "suite2p", tmp_path / "mouse" / "suite2p" / "plane0"):
        node = nd.load(path, sampling_rate=10.0)["calcium"]
        np.testing.assert_array_equal(node["fluorescence"], arrays["F"].T)
        np.testing.assert_array_equal(node["neuropil"], arrays["Fneu"].T)
        np.testing.assert_array_equal(node["deconvolved"], arrays["spks"].T)
        np.testing.assert_array_equal(node["is_cell"], iscell[:, 0] == 1)
        np.testing.assert_array_equal(node["cell_probability"], iscell[:, 1])
        np.testing.assert_array_equal(node["time"], np.arange(20) / 10.0)
        assert node["roi"].values.tolist() == [0, 1, 2]
        assert node["fluorescence"].dtype == np.float32


def test_traces_stay_in_their_files(tmp_path):
    write_plane(tmp_path / "plane0")
    data = nd.load(tmp_path / "plane0", sampling_rate=10.0)["calcium"]["fluorescence"].variable._data
    while data.base is not None and not isinstance(data, np.memmap):
        data = data.base
    assert isinstance(data, np.memmap) or type(data).__name__ == "mmap"


def test_a_flat_folder_has_no_plane(tmp_path):
    write_plane(tmp_path / "traces")
    assert "plane" not in nd.load(tmp_path / "traces", sampling_rate=10.0)["calcium"].coords


def test_rate_and_masks_come_from_pickled_files_only_when_allowed(tmp_path):
    write_plane(tmp_path / "plane0", fs=7.5, stat=True)
    with pytest.raises(MissingOptionError, match="allow_pickle=True"):
        nd.load(tmp_path / "plane0")
    plain = nd.load(tmp_path / "plane0", sampling_rate=5.0)
    assert metadata(plain.attrs)["left_out"] == ["plane0/ops.npy", "plane0/stat.npy"]
    assert "mask_row" not in plain["calcium"]
    full = nd.load(tmp_path / "plane0", allow_pickle=True)
    node = full["calcium"]
    assert node.attrs["sampling_rate"] == 7.5
    assert "left_out" not in metadata(full.attrs)
    assert node["mask_count"].values.tolist() == [1, 2, 3]
    assert node["mask_row"].values.tolist() == [0, 0, 1, 0, 1, 2]
    assert node["mask_col"].values.tolist() == [10, 10, 11, 10, 11, 12]
    assert node["y"].values.tolist() == [0, 1, 2]
    assert node["x"].values.tolist() == [10, 11, 12]
    stated = nd.load(tmp_path / "plane0", allow_pickle=True, sampling_rate=8.0)["calcium"]
    assert (stated.attrs["sampling_rate"], stated.attrs["ops_fs"]) == (8.0, 7.5)


def test_planes_of_equal_length_become_one_node_with_ids_that_say_the_plane(tmp_path):
    first, _ = write_plane(tmp_path / "suite2p" / "plane0", n_rois=2, seed=1)
    second, _ = write_plane(tmp_path / "suite2p" / "plane10", n_rois=1, seed=2)
    third, _ = write_plane(tmp_path / "suite2p" / "plane2", n_rois=1, seed=3)
    write_plane(tmp_path / "suite2p" / "combined", n_rois=4)
    rec = nd.load(tmp_path / "suite2p", sampling_rate=10.0)
    node = rec["calcium"]
    assert node["roi"].values.tolist() == ["plane0_0", "plane0_1", "plane2_0", "plane10_0"]
    assert node["plane"].values.tolist() == [0, 0, 2, 10]
    assert node["roi_index"].values.tolist() == [0, 1, 0, 0]
    np.testing.assert_array_equal(node["fluorescence"].sel(roi="plane10_0"), second["F"][0])
    np.testing.assert_array_equal(node["fluorescence"].sel(roi="plane0_1"), first["F"][1])
    np.testing.assert_array_equal(node["deconvolved"].sel(roi="plane2_0"), third["spks"][0])
    assert metadata(rec.attrs)["left_out"] == ["combined"]


def test_planes_of_unequal_length_are_not_trimmed(tmp_path):
    write_plane(tmp_path / "suite2p" / "plane0", n_frames=20)
    last, _ = write_plane(tmp_path / "suite2p" / "plane1", n_frames=19)
    rec = nd.load(tmp_path / "suite2p", sampling_rate=10.0)
    assert {name: rec[name].sizes["time"] for name in rec.children} == {"calcium": 20, "calcium_2": 19}
    np.testing.assert_array_equal(rec["calcium_2"]["neuropil"], last["Fneu"].T)


def test_combined_is_read_when_it_is_alone(tmp_path):
    arrays, _ = write_plane(tmp_path / "suite2p" / "combined")
    node = nd.load(tmp_path / "suite2p", sampling_rate=10.0)["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], arrays["F"].T)


def test_second_channel_and_red_cells_are_kept(tmp_path):
    arrays, _ = write_plane(tmp_path / "plane0")
    np.save(tmp_path / "plane0" / "F_chan2.npy", arrays["F"] * 2)
    np.save(tmp_path / "plane0" / "redcell.npy", np.array([[1, 0.9], [0, 0.1], [0, 0.2]]))
    node = nd.load(tmp_path / "plane0", sampling_rate=10.0)["calcium"]
    np.testing.assert_array_equal(node["fluorescence_chan2"], arrays["F"].T * 2)
    assert node["is_red"].values.tolist() == [True, False, False]


def test_frames_that_disagree_are_named(tmp_path):
    write_plane(tmp_path / "plane0")
    np.save(tmp_path / "plane0" / "spks.npy", np.zeros((3, 19), dtype=np.float32))
    with pytest.raises(RecordingError, match=r"F\.npy \(3, 20\).*spks\.npy \(3, 19\)"):
        nd.load(tmp_path / "plane0", sampling_rate=10.0)


def test_rois_of_iscell_that_disagree_are_named(tmp_path):
    write_plane(tmp_path / "plane0")
    np.save(tmp_path / "plane0" / "iscell.npy", np.zeros((4, 2)))
    with pytest.raises(RecordingError, match=r"iscell\.npy"):
        nd.load(tmp_path / "plane0", sampling_rate=10.0)


def test_traces_as_objects_and_truncated_traces(tmp_path):
    arrays, _ = write_plane(tmp_path / "plane0")
    np.save(tmp_path / "plane0" / "F.npy", arrays["F"].astype(object), allow_pickle=True)
    with pytest.raises(UntrustedDataError, match="allow_pickle"):
        nd.load(tmp_path / "plane0", sampling_rate=10.0)
    np.save(tmp_path / "plane0" / "F.npy", arrays["F"])
    content = (tmp_path / "plane0" / "F.npy").read_bytes()
    (tmp_path / "plane0" / "F.npy").write_bytes(content[:-9])
    with pytest.raises(FormatError, match="truncated"):
        nd.load(tmp_path / "plane0", sampling_rate=10.0)


@pytest.mark.parametrize("rate", [0.0, -3.0, np.nan])
def test_a_rate_that_makes_no_sense(tmp_path, rate):
    write_plane(tmp_path / "plane0")
    with pytest.raises(RecordingError, match="sampling_rate"):
        nd.load(tmp_path / "plane0", sampling_rate=rate)


def test_a_parent_with_other_recordings_is_not_taken_whole(tmp_path):
    write_plane(tmp_path / "suite2p" / "plane0")
    assert detect(tmp_path) == BY_CONTENT
    (tmp_path / "notes.md").write_text("a note")
    assert detect(tmp_path) == BY_CONTENT
    (tmp_path / "behaviour.csv").write_text("start,stop\n0,1\n")
    assert detect(tmp_path) == NO
    tree = nd.load(tmp_path, sampling_rate=10.0)
    assert sorted(tree.children) == ["behaviour", "suite2p"]


def test_wrong_reader(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(FormatError, match="suite2p folder"):
        nd.load(tmp_path, reader="suite2p", sampling_rate=1.0)
