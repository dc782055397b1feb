"""Tracked poses: files of each software, movement's datasets both ways, and a process left as it was."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import metadata

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import FormatError, MissingOptionError, OptionError, RecordingError, UntrustedDataError
from neurodata.io import from_movement, to_movement
from neurodata.io.pose import detect
from neurodata.io.registry import BY_CONTENT, NO

pytest.importorskip("movement", reason="the extra pose is not installed")

# movement's dependencies warn of their own deprecations while they are imported by the reader or the tests.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

VALUES = np.array([[1.0, 2.0, 0.9, 3.0, 4.0, 0.8], [5.0, np.nan, 0.1, 7.0, 8.0, 0.7]])


def dlc_frame(index=(0, 1)):
    columns = pd.MultiIndex.from_product(
        [["net"], ["nose", "tail"], ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    return pd.DataFrame(VALUES, columns=columns, index=list(index))


@pytest.fixture
def csv_path(tmp_path):
    dlc_frame().to_csv(tmp_path / "video.csv")
    return tmp_path / "video.csv"


def assert_is_the_frame(node):
    assert node["position"].dims == ("time", "space", "keypoint", "individual")
    assert node["keypoint"].values.tolist() == ["nose", "tail"]
    position = node["position"].sel(individual="individual_0")
    np.testing.assert_array_equal(position.sel(keypoint="nose", space="y"), VALUES[:, 1])
    np.testing.assert_array_equal(position.sel(keypoint="tail", space="x"), VALUES[:, 3])
    np.testing.assert_array_equal(node["confidence"].sel(keypoint="tail", individual="individual_0"), VALUES[:, 5])


def test_deeplabcut_csv(csv_path, tmp_path):
    assert detect(csv_path) == BY_CONTENT
    rec = nd.load(csv_path, sampling_rate=4.0)
    assert_is_the_frame(rec["behaviour"])
    np.testing.assert_array_equal(rec["behaviour"]["time"], [0.0, 0.25])
    assert rec["behaviour"]["position"].attrs["units"] == "px"
    assert rec.attrs["source_file"] == "video.csv"
    assert rec.attrs["source_format"] == "DeepLabCut"
    assert str(tmp_path) not in str(rec.attrs)
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_deeplabcut_hdf5(tmp_path, layout):
    path = tmp_path / "video.h5"
    dlc_frame().to_hdf(path, key="df_with_missing", format=layout)
    assert detect(path) == BY_CONTENT
    assert_is_the_frame(nd.load(path, sampling_rate=4.0)["behaviour"])


def test_frame_numbers_of_the_file_are_kept(tmp_path):
    dlc_frame(index=(10, 14)).to_csv(tmp_path / "video.csv")
    node = nd.load(tmp_path / "video.csv", sampling_rate=4.0)["behaviour"]
    np.testing.assert_array_equal(node["time"], [2.5, 3.5])


def test_several_animals_with_unequal_bodyparts(tmp_path):
    columns = pd.MultiIndex.from_tuples(
        [("net", who, part, axis) for who, part in (("a", "nose"), ("b", "nose"), ("single", "lamp")) for axis in "xy"],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    frame = pd.DataFrame(np.arange(12.0).reshape(2, 6), columns=columns)
    frame.to_csv(tmp_path / "video.csv")
    position = nd.load(tmp_path / "video.csv", sampling_rate=1.0)["behaviour"]["position"]
    np.testing.assert_array_equal(position.sel(individual="b", keypoint="nose", space="y"), [3.0, 9.0])
    np.testing.assert_array_equal(position.sel(individual="single", keypoint="lamp", space="x"), [4.0, 10.0])
    assert np.isnan(position.sel(individual="a", keypoint="lamp")).all()


def test_sleap_analysis_file(tmp_path):
    path = tmp_path / "video.analysis.h5"
    tracks = np.arange(2 * 2 * 3 * 4.0).reshape(2, 2, 3, 4)
    with h5py.File(path, "w") as file:
        file["tracks"] = tracks
        file["track_names"] = np.array([b"a", b"b"])
        file["node_names"] = np.array([b"nose", b"ear", b"tail"])
        file["point_scores"] = np.full((2, 3, 4), 0.5)
    assert detect(path) == BY_CONTENT
    rec = nd.load(path, sampling_rate=10.0)
    position = rec["behaviour"]["position"]
    assert dict(position.sizes) == {"time": 4, "space": 2, "keypoint": 3, "individual": 2}
    np.testing.assert_array_equal(position.sel(individual="b", keypoint="ear", space="y"), tracks[1, 1, 1])
    assert rec.attrs["source_format"] == "SLEAP"


def test_sleap_labels_file(tmp_path):
    sleap_io = pytest.importorskip("sleap_io")
    skeleton = sleap_io.Skeleton(["nose", "tail"])
    video = sleap_io.Video(filename="video.mp4", open_backend=False)
    track = sleap_io.Track("mouse")
    frames = [
        sleap_io.LabeledFrame(
            video=video,
            frame_idx=number,
            instances=[
                sleap_io.PredictedInstance.from_numpy(
                    np.array([[number, 1.0], [2.0, 3.0]]),
                    skeleton=skeleton,
                    point_scores=np.array([0.5, 0.6]),
                    score=0.9,
                    track=track,
                )
            ],
        )
        for number in range(3)
    ]
    labels = sleap_io.Labels(frames, videos=[video], skeletons=[skeleton], tracks=[track])
    labels.save(str(tmp_path / "video.slp"))
    node = nd.load(tmp_path / "video.slp", sampling_rate=10.0)["behaviour"]
    np.testing.assert_array_equal(node["position"].sel(keypoint="nose", space="x", individual="mouse"), [0, 1, 2])
    np.testing.assert_allclose(node["confidence"].sel(keypoint="tail", individual="mouse"), 0.6, atol=1e-6)


def test_lightning_pose_says_so_when_told(csv_path):
    rec = nd.load(csv_path, sampling_rate=4.0, source_software="LightningPose")
    assert rec.attrs["source_format"] == "LightningPose"
    with pytest.raises(OptionError, match="source_software"):
        nd.load(csv_path, sampling_rate=4.0, source_software="DLC")


def test_anipose_needs_a_unit(tmp_path):
    fixed = ["fnum", "center_0", "center_1", "center_2", *(f"M_{i}{j}" for i in range(3) for j in range(3))]
    own = [f"nose_{suffix}" for suffix in ("x", "y", "z", "score", "error", "ncams")]
    table = pd.DataFrame(np.zeros((2, len(own + fixed))), columns=own + fixed)
    table["fnum"], table["nose_z"] = [0, 1], [1.5, 2.5]
    table.to_csv(tmp_path / "pose3d.csv", index=False)
    assert detect(tmp_path / "pose3d.csv") == BY_CONTENT
    with pytest.raises(MissingOptionError, match="position_unit="):
        nd.load(tmp_path / "pose3d.csv", sampling_rate=1.0)
    rec = nd.load(tmp_path / "pose3d.csv", sampling_rate=1.0, position_unit="mm", individual="m1")
    position = rec["behaviour"]["position"]
    np.testing.assert_array_equal(position.sel(space="z", keypoint="nose", individual="m1"), [1.5, 2.5])
    assert position.attrs["units"] == "mm"


def test_a_rate_must_be_stated(csv_path):
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(csv_path)
    with pytest.raises(OptionError, match="positive"):
        nd.load(csv_path, sampling_rate=0.0)


class Payload:
    def __reduce__(self):
        return (print, ("a file ran this",))


def test_pickles_that_call_something_are_refused(tmp_path, capsys):
    path = tmp_path / "video.h5"
    dlc_frame().to_hdf(path, key="df_with_missing", format="table")
    with h5py.File(path, "r+") as file:
        file["df_with_missing"].attrs["note"] = np.bytes_(pickle.dumps(Payload(), protocol=0))
    with pytest.raises(UntrustedDataError, match="df_with_missing.note"):
        nd.load(path, sampling_rate=4.0)
    assert "a file ran this" not in capsys.readouterr().out


def test_damaged_and_foreign_files(csv_path, tmp_path):
    path = tmp_path / "video.h5"
    dlc_frame().to_hdf(path, key="df_with_missing", format="table")
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(FormatError, match="export it again|another reader"):
        nd.load(path, reader="pose", sampling_rate=4.0)
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    assert detect(tmp_path / "plain.csv") == NO
    with pytest.raises(FormatError, match="DeepLabCut"):
        nd.load(tmp_path / "plain.csv", reader="pose", sampling_rate=4.0)
    csv_path.write_text(csv_path.read_text().replace("7.0", "seven"))
    with pytest.raises(FormatError, match="numbers"):
        nd.load(csv_path, sampling_rate=4.0)


# movement made its dims singular in 0.17; the lock of Python 3.11 has an older one, that of 3.12 a newer one.
SINGULAR = tuple(int(part) for part in metadata.version("movement").split(".")[:2]) >= (0, 17)
KEYPOINTS, INDIVIDUALS = ("keypoint", "individual") if SINGULAR else ("keypoints", "individuals")


def poses():
    dims = ("time", "space", KEYPOINTS, INDIVIDUALS)
    values = np.random.default_rng(0).normal(size=(3, 2, 2, 1))
    return xr.Dataset(
        {"position": (dims, values), "confidence": (("time", KEYPOINTS, INDIVIDUALS), np.full((3, 2, 1), 0.5))},
        {
            "time": np.arange(3) / 30.0,
            "space": ["x", "y"],
            KEYPOINTS: ["nose", "tail"],
            INDIVIDUALS: ["mouse"],
        },
        {
            "fps": 30.0,
            "time_unit": "seconds",
            "ds_type": "poses",
            "source_software": "SLEAP",
            "source_file": "/somewhere/private/video.h5",
        },
    )


def test_movement_datasets_there_and_back():
    given = poses()
    rec = from_movement(given)
    assert rec.attrs["source_file"] == "video.h5"
    assert "private" not in str(rec.attrs)
    assert rec["behaviour"].attrs["sampling_rate"] == 30.0
    back = to_movement(rec)
    for name in ("position", "confidence"):
        np.testing.assert_array_equal(back[name], given[name])
        assert back[name].dims == given[name].dims
    assert back.attrs["fps"] == 30.0
    assert back.attrs["source_software"] == "SLEAP"


def test_movement_accepts_what_is_handed_back():
    from neurodata.io._movement import load_poses

    load_poses()
    from movement.validators.datasets import ValidPosesInputs

    ValidPosesInputs.validate(to_movement(from_movement(poses())))


def test_movement_datasets_without_seconds_or_positions():
    with pytest.raises(MissingOptionError, match="fps="):
        from_movement(poses().assign_attrs(time_unit="frames"))
    with pytest.raises(RecordingError, match="position"):
        from_movement(poses().drop_vars("position"))
    with pytest.raises(RecordingError, match="positions"):
        to_movement(nd.make_recording(spikes=nd.make_spikes({"a": [0.1]})))


def test_reading_leaves_the_process_as_it_was(csv_path, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
import warnings, xarray as xr
import neurodata as nd
options, show = dict(xr.get_options()), warnings.showwarning
nd.load({str(csv_path)!r}, sampling_rate=4.0)
import sys
assert "movement" in sys.modules
assert dict(xr.get_options()) == options
assert warnings.showwarning is show
from movement.utils.logging import logger
assert logger.configure.__name__ == "configure"
"""
    import os

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (home / ".movement").exists()
    assert "INFO" not in done.stderr
