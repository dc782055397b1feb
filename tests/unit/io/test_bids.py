"""BIDS datasets written here by hand, so that every sidecar value is known."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import FormatError, NeurodataWarning, OptionError
from neurodata.io.bids import detect

pytest.importorskip("mne_bids")

COUNTS = np.random.default_rng(0).integers(-2000, 2000, (200, 3)).astype("<i2")


def table(path, *rows):
    path.write_text("\ufeff" + "\n".join("\t".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")


def write_run(folder, stem, markers=()):
    """A BrainVision run of 3 channels at 100 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}_eeg.eeg").write_bytes(COUNTS.tobytes())
    channels = "\n".join(f"Ch{i}={name},,0.1,\u00b5V" for i, name in enumerate(["Fz", "EOG1", "C/3"], 1))
    (folder / f"{stem}_eeg.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}_eeg.eeg\nMarkerFile={stem}_eeg.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=3\nSamplingInterval=10000\n[Binary Infos]\nBinaryFormat=INT_16\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    marks = "\n".join(f"Mk{i}={marker}" for i, marker in enumerate(markers, 1))
    (folder / f"{stem}_eeg.vmrk").write_text(
        f"Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile={stem}_eeg.eeg\n"
        f"[Marker Infos]\n{marks}\n"
    )
    return folder / stem


@pytest.fixture
def dataset(tmp_path):
    """Two subjects; sub-01 has two runs of a task, all sidecars beside the first."""
    root = tmp_path / "study"
    for subject, stem in (("01", "task-rest_run-1"), ("01", "task-rest_run-2"), ("02", "task-rest_run-1")):
        write_run(root / f"sub-{subject}" / "eeg", f"sub-{subject}_{stem}", ["Stimulus,S  1,50,1,0"])
    (root / "dataset_description.json").write_text(json.dumps({"Name": "study", "BIDSVersion": "1.9.0"}))
    table(root / "participants.tsv", ("participant_id", "age"), ("sub-01", 29), ("sub-02", "n/a"))
    (root / "task-rest_eeg.json").write_text(
        json.dumps({"TaskName": "rest", "EEGReference": "Cz", "PowerLineFrequency": 50})
    )
    eeg = root / "sub-01" / "eeg"
    table(
        eeg / "sub-01_task-rest_run-1_channels.tsv",
        ("name", "type", "units", "status", "notch", "group"),
        ("Fz", "EEG", "\u00b5V", "bad", 50, "scalp"),
        ("EOG1", "VEOG", "\u00b5V", "good", "n/a", "n/a"),
        ("C/3", "EEG", "\u00b5V", "n/a", 50, "scalp"),
    )
    table(
        eeg / "sub-01_task-rest_run-1_events.tsv",
        ("onset", "duration", "trial_type", "response"),
        (0.5, 0.25, "go", 1.5),
        (1.25, "n/a", "n/a", "n/a"),
    )
    table(eeg / "sub-01_electrodes.tsv", ("name", "x", "y", "z"), ("Fz", 10, 20, 90), ("C/3", "n/a", "n/a", "n/a"))
    (eeg / "sub-01_coordsystem.json").write_text(
        json.dumps({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"})
    )
    return root


def test_runs_are_named_by_their_entities(dataset):
    tree = nd.load(dataset)
    assert list(tree.children) == ["sub-01_task-rest_run-1", "sub-01_task-rest_run-2", "sub-02_task-rest_run-1"]
    for _, rec in tree.children.items():
        np.testing.assert_allclose(rec["eeg"]["signal"].values, COUNTS * 1e-7, rtol=1e-12)
    assert tree["sub-02_task-rest_run-1"].attrs["subject_id"] == "02"


def test_sidecars_are_honoured(dataset):
    rec = nd.load(dataset, subject="01", run="1")
    node = rec["eeg"]
    assert node["bad"].values.tolist() == [True, False, False]
    assert node["ch_type"].values.tolist() == ["eeg", "eog", "eeg"]
    assert node["ch_unit"].values.tolist() == ["V"] * 3
    np.testing.assert_array_equal(node["notch"].values, [50, np.nan, 50])
    assert node["group"].values.tolist() == ["scalp", "", "scalp"]
    np.testing.assert_allclose([node[axis].values[0] for axis in "xyz"], [0.01, 0.02, 0.09])
    assert np.isnan(node["x"].values[1:]).all()
    assert node.attrs["position_frame"] == "CapTrak"
    assert (node.attrs["reference"], node.attrs["line_freq"]) == ("Cz", 50.0)
    events = rec["events"]
    assert events["onset"].values.tolist() == [0.5, 1.25]
    np.testing.assert_array_equal(events["duration"].values, [0.25, np.nan])
    assert events["description"].values.tolist() == ["go", ""]
    np.testing.assert_array_equal(events["response"].values, [1.5, np.nan])
    assert rec["events_2"]["description"].values.tolist() == ["Stimulus/S  1"]
    assert json.loads(rec.attrs["metadata_json"])["participant"]["age"] in (29, 29.0)
    assert rec.attrs["bids_path"] == "sub-01/eeg/sub-01_task-rest_run-1_eeg.vhdr"


def test_without_sidecars_the_file_speaks(dataset):
    rec = nd.load(dataset, subject="02")
    assert rec["eeg"]["ch_type"].values.tolist() == ["eeg"] * 3
    assert list(rec.children) == ["eeg", "events"]
    assert rec["events"]["description"].values.tolist() == ["Stimulus/S  1"]
    assert rec["eeg"].attrs["reference"] == "Cz"  # from the study's task-rest_eeg.json


def test_save_and_load(dataset, tmp_path):
    for options in ({}, {"subject": "01", "run": "1"}):
        tree = nd.load(dataset, **options)
        assert nd.load(nd.save(tree, tmp_path / "a.nc")).identical(tree)


def test_nothing_found(dataset):
    with pytest.raises(FormatError, match="sub-01, sub-02"):
        nd.load(dataset, subject="07")
    with pytest.raises(OptionError, match="datatypes"):
        nd.load(dataset, datatype="func")


def test_positions_in_several_spaces_need_a_choice(dataset):
    eeg = dataset / "sub-01" / "eeg"
    for space in ("CapTrak", "EEGLAB"):
        for old in ("electrodes.tsv", "coordsystem.json"):
            text = (eeg / f"sub-01_{old}").read_text().replace("CapTrak", space)
            (eeg / f"sub-01_space-{space}_{old}").write_text(text)
    for old in ("electrodes.tsv", "coordsystem.json"):
        (eeg / f"sub-01_{old}").unlink()
    with pytest.warns(NeurodataWarning, match="space="):
        rec = nd.load(dataset, subject="01", run="1")
    assert "x" not in rec["eeg"].coords
    rec = nd.load(dataset, subject="01", run="1", space="EEGLAB")
    assert rec["eeg"].attrs["position_frame"] == "EEGLAB"
    with pytest.raises(OptionError, match="space"):
        nd.load(dataset, subject="01", run="1", space="MNI")


def test_positions_without_a_unit_are_left_out_and_said(dataset):
    (dataset / "sub-01" / "eeg" / "sub-01_coordsystem.json").write_text(json.dumps({"EEGCoordinateUnits": "n/a"}))
    with pytest.warns(NeurodataWarning, match="left out"):
        rec = nd.load(dataset, subject="01", run="1")
    assert "x" not in rec["eeg"].coords


def test_channels_that_the_sidecar_does_not_list_are_said(dataset):
    path = dataset / "sub-01" / "eeg" / "sub-01_task-rest_run-1_channels.tsv"
    path.write_text(re.sub("EOG1.*\n", "", path.read_text(encoding="utf-8-sig")), encoding="utf-8")
    with pytest.warns(NeurodataWarning, match="does not list EOG1"):
        rec = nd.load(dataset, subject="01", run="1")
    assert rec["eeg"]["ch_type"].values.tolist() == ["eeg"] * 3
    assert rec["eeg"]["bad"].values.tolist() == [True, False, False]


def test_detect(dataset):
    assert detect(dataset) == 2
    assert detect(dataset / "sub-01") == 0
    (dataset / "dataset_description.json").write_text("{broken")
    assert detect(dataset) == 0
