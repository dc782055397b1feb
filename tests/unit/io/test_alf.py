"""ALF sessions: names taken apart, probes, units, trials, the wheel, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata, operations
from neurodata.errors import FormatError, MissingDependencyError, RecordingError, UntrustedDataError
from neurodata.io._alf_clusters import index_by_cluster
from neurodata.io._alf_files import parse_name
from neurodata.io._alf_session import table_columns
from neurodata.io.alf import detect
from neurodata.io.registry import BY_CONTENT, NO

TIMES = [0.1, 0.25, 0.4, 0.9, 1.5]
CLUSTERS = [2, 0, 2, 0, 2]
UUID = "12345678-90ab-cdef-1234-567890abcdef"
OTHER_UUID = "abcdef12-90ab-cdef-1234-567890abcdef"


def save(folder, **arrays):
    """Save arrays under ALF names given with `__` for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / (name.replace("__", ".") + ".npy"), np.asarray(values))
    return folder


def probe(folder, times=TIMES, clusters=CLUSTERS, **arrays):
    return save(folder, spikes__times=times, spikes__clusters=clusters, **arrays)


@pytest.fixture
def session(tmp_path):
    probe(tmp_path / "session" / "alf" / "probe00")
    return tmp_path / "session"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spikes.times.npy", ("spikes", "times", "", "")),
        ("_ibl_trials.stimOn_times.npy", ("trials", "stimOn_times", "", "")),
        ("_ibl_trials.intervals_bpod.npy", ("trials", "intervals", "bpod", "")),
        ("_ibl_trials.goCue_times_bpod.npy", ("trials", "goCue_times", "bpod", "")),
        ("channels.brainLocationIds_ccf_2017.npy", ("channels", "brainLocationIds", "ccf_2017", "")),
        (f"spikes.times.probe_00.{UUID}.npy", ("spikes", "times", "", "probe_00")),
        (f"spikes.times.{UUID}.npy", ("spikes", "times", "", "")),
        ("_phy_spikes_subset.waveforms.npy", ("spikes_subset", "waveforms", "", "")),
    ],
)
def test_names(name, expected):
    file = parse_name(Path(name))
    assert (file.object, file.attribute, file.timescale, file.extra) == expected


@pytest.mark.parametrize("name", ["spikes.npy", "spike_times.npy", "spikes.times.mat", "a b.c.npy", "PROVENANCE.md"])
def test_other_names(name):
    assert parse_name(Path(name)) is None


class TestDetect:
    def test_session_alf_and_probe(self, session):
        assert [detect(session / part) for part in ("", "alf", "alf/probe00")] == [BY_CONTENT] * 3

    def test_probes_without_a_folder_alf(self, tmp_path):
        probe(tmp_path / "s" / "probe_right" / "pykilosort")
        assert detect(tmp_path / "s") == BY_CONTENT

    def test_a_folder_of_sessions_is_not_one(self, session):
        assert detect(session.parent) == NO
        assert list(nd.load(session.parent).children) == ["session"]

    def test_trials_alone(self, tmp_path):
        save(tmp_path / "alf", _ibl_trials__intervals=[[0.0, 1.0]])
        assert detect(tmp_path) == BY_CONTENT
        assert list(nd.load(tmp_path).children) == ["trials"]

    def test_others(self, tmp_path):
        save(tmp_path / "phy", spike_times=[1], spike_clusters=[1], templates=[1])
        assert detect(tmp_path / "phy") == NO
        assert detect(tmp_path / "phy" / "templates.npy") == NO
        assert detect(tmp_path / "nothing") == NO


def test_times_and_ids(session):
    recording = nd.load(session)
    node = recording["spikes"]
    assert node["unit"].values.tolist() == [0, 2]
    assert node["spike_time"].values.tolist() == [0.25, 0.9, 0.1, 0.4, 1.5]
    assert node["spike_count"].values.tolist() == [2, 3]
    assert recording.attrs["probe"] == "probe00"


def test_a_probe_folder_alone(session):
    assert nd.load(session / "alf" / "probe00")["spikes"].identical(nd.load(session)["spikes"])


def test_namespace_and_data_set_ids_in_names(tmp_path):
    save(tmp_path / "alf", **{f"_ibl_spikes__times__{UUID}": TIMES, f"_ibl_spikes__clusters__{OTHER_UUID}": CLUSTERS})
    assert nd.load(tmp_path)["spikes"]["spike_count"].values.tolist() == [2, 3]


def test_probes_by_extra_part(tmp_path):
    for extra, shift in (("probe_00", 0), ("probe_01", 10)):
        save(
            tmp_path / "alf",
            **{f"spikes__times__{extra}": TIMES, f"spikes__clusters__{extra}": np.array(CLUSTERS) + shift},
        )
    sessions = nd.load(tmp_path)
    assert list(sessions.children) == ["probe_00", "probe_01"]
    assert sessions["probe_01/spikes"]["unit"].values.tolist() == [10, 12]


def test_several_probes(session):
    probe(session / "alf" / "probe01", clusters=[5, 5, 5, 5, 5])
    save(session / "alf", _ibl_trials__intervals=[[0.0, 1.0], [1.0, 2.0]])
    sessions = nd.load(session)
    assert list(sessions.children) == ["probe00", "probe01"]
    assert sessions["probe01/spikes"]["unit"].values.tolist() == [5]
    for name in ("probe00", "probe01"):
        assert sessions[name]["trials"]["stop"].values.tolist() == [1.0, 2.0]


def test_two_sortings_of_one_probe_are_kept_apart(tmp_path):
    probe(tmp_path / "alf" / "probe00" / "pykilosort")
    probe(tmp_path / "alf" / "probe00" / "ks2_matlab")
    assert list(nd.load(tmp_path).children) == ["probe00_ks2_matlab", "probe00_pykilosort"]


def test_spike_samples_and_amplitudes(tmp_path):
    probe(tmp_path / "alf", spikes__samples=[1, 2, 3, 4, 5], spikes__amps=[[0.1], [0.2], [0.3], [0.4], [0.5]])
    node = nd.load(tmp_path)["spikes"]
    assert node["spike_sample"].values.tolist() == [2, 4, 1, 3, 5]
    assert node["spike_amplitude"].values.tolist() == [0.2, 0.4, 0.1, 0.3, 0.5]
    assert node["spike_amplitude"].attrs["units"] == "V"


class TestUnits:
    def test_rows_of_the_clusters_arrays_are_the_units(self, tmp_path):
        folder = probe(
            tmp_path / "alf",
            clusters__depths=[100.0, 200.0, 300.0, 400.0],
            clusters__channels=[0, 1, 1, 2],
            clusters__waveforms=np.zeros((4, 82, 32)),
            channels__localCoordinates=[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]],
            channels__mlapdv=np.arange(9.0).reshape(3, 3),
            channels__brainLocationAcronyms_ccf_2017=["CA1", "VISp", "LP"],
            channels__rawInd=[7, 8, 9],
        )
        (folder / "clusters.uuids.csv").write_text("uuids\na\nb\nc\nd\n")
        (folder / "clusters.metrics.csv").write_text("cluster_id,label,ks2_label\n0,1.0,good\n2,0.33,mua\n3,0,\n")
        recording = nd.load(folder.parent)
        node = recording["spikes"]
        assert node["unit"].values.tolist() == [0, 1, 2, 3]
        assert node["spike_count"].values.tolist() == [2, 0, 3, 0]
        assert node["depth"].values.tolist() == [100, 200, 300, 400]
        assert node["depth"].attrs["units"] == "um"
        assert node["channel"].values.tolist() == [0, 1, 1, 2]
        assert node["y"].values.tolist() == [10, 20, 20, 30]
        assert node["ap"].values.tolist() == [1, 4, 4, 7]
        assert node["rawInd"].values.tolist() == [7, 8, 8, 9]
        assert node["region"].values.tolist() == ["CA1", "VISp", "VISp", "LP"]
        assert node["uuids"].values.tolist() == ["a", "b", "c", "d"]
        np.testing.assert_array_equal(node["label"].values, [1.0, np.nan, 0.33, 0.0])
        assert node["quality"].values.tolist() == ["good", "", "mua", ""]
        assert metadata(recording.attrs)["left_out"] == ["alf/clusters.waveforms.npy"]

    def test_units_that_only_the_metrics_name_are_kept(self, tmp_path):
        folder = probe(tmp_path / "alf")
        (folder / "clusters.metrics.csv").write_text("cluster_id,label\n2,1.0\n8,0.5\n")
        node = nd.load(folder)["spikes"]
        assert node["unit"].values.tolist() == [0, 2, 8]
        assert node["spike_count"].values.tolist() == [2, 3, 0]

    def test_ids_outside_the_rows(self, tmp_path):
        with pytest.raises(RecordingError, match=r"rows of the clusters arrays \(0 to 1\)"):
            nd.load(probe(tmp_path / "alf", clusters__depths=[1.0, 2.0]))

    def test_clusters_arrays_of_different_lengths(self, tmp_path):
        with pytest.raises(RecordingError, match="clusters arrays of one length"):
            nd.load(probe(tmp_path / "alf", clusters__depths=[1.0, 2.0, 3.0], clusters__amps=[1.0]))

    def test_channels_outside_the_rows(self, tmp_path):
        folder = probe(tmp_path / "alf", clusters__channels=[0, 1, 5], channels__rawInd=[0, 1])
        with pytest.raises(RecordingError, match="rows of channels.rawInd"):
            nd.load(folder)

    def test_duplicate_ids(self, tmp_path):
        folder = probe(tmp_path / "alf")
        (folder / "clusters.metrics.csv").write_text("cluster_id,label\n2,1.0\n2,0.5\n")
        with pytest.raises(RecordingError, match="more than once"):
            nd.load(folder)
        with pytest.raises(RecordingError, match="more than once"):
            index_by_cluster(pd.DataFrame({"cluster_id": [1, 1]}), "clusters.metrics.pqt")
        with pytest.raises(FormatError, match="cluster_id"):
            index_by_cluster(pd.DataFrame({"label": [1, 1]}), "clusters.metrics.pqt")


class TestTrials:
    def test_intervals_and_columns(self, session):
        save(
            session / "alf",
            _ibl_trials__intervals=[[0.0, 1.0], [1.5, 2.5]],
            _ibl_trials__intervals_bpod=[[0.1, 1.1], [1.6, 2.6]],
            _ibl_trials__stimOn_times=[0.2, np.nan],
            _ibl_trials__choice=[1, -1],
            _ibl_trials__position=[[1, 2], [3, 4]],
        )
        recording = nd.load(session)
        node = recording["trials"]
        assert node["start"].values.tolist() == [0.0, 1.5]
        assert node["stop"].values.tolist() == [1.0, 2.5]
        assert node["start_bpod"].values.tolist() == [0.1, 1.6]
        assert node["choice"].values.tolist() == [1, -1]
        assert node["position_1"].values.tolist() == [2, 4]
        assert node["stimOn_times"].attrs["units"] == "s"
        assert "units" not in node["choice"].attrs
        assert "events" not in recording.children

    def test_event_times_without_intervals_are_events_too(self, session):
        save(session / "alf", _ibl_trials__stimOn_times=[2.0, np.nan, 5.0], _ibl_trials__feedback_times=[1.0, 4.0, 6.0])
        recording = nd.load(session)
        assert recording["trials"].sizes["trial"] == 3
        node = recording["events"]
        assert node["onset"].values.tolist() == [1.0, 2.0, 4.0, 5.0, 6.0]
        assert node["description"].values.tolist() == ["feedback", "stimOn", "feedback", "stimOn", "feedback"]
        assert node["trial"].values.tolist() == [0, 0, 1, 2, 2]

    def test_licks(self, session):
        save(session / "alf", licks__times=[0.5, 0.7])
        assert nd.load(session)["events"]["description"].values.tolist() == ["lick", "lick"]

    def test_columns_of_different_lengths(self, session):
        save(session / "alf", _ibl_trials__choice=[1, 1, 1], _ibl_trials__stimOn_times=[1.0, 2.0])
        with pytest.raises(RecordingError, match="choice 3, stimOn_times 2"):
            nd.load(session)

    def test_two_versions_of_a_column(self, session):
        save(session / "alf", _ibl_trials__choice=[1, 1], _lab_trials__choice=[1, 1])
        assert nd.load(session)["trials"]["choice"].values.tolist() == [1, 1]
        save(session / "alf", _lab_trials__choice=[1, 2])
        with pytest.raises(FormatError, match="_ibl_trials.choice.npy and _lab_trials.choice.npy, which differ"):
            nd.load(session)

    def test_tasks_in_folders(self, session):
        save(session / "alf" / "task_00", _ibl_trials__choice=[1])
        save(session / "alf" / "task_01", _ibl_trials__choice=[2])
        recording = nd.load(session)
        assert recording["trials"]["choice"].values.tolist() == [1]
        assert recording["trials_2"]["choice"].values.tolist() == [2]

    def test_table_as_text(self, session):
        table = session / "alf" / "_ibl_trials.table.csv"
        table.write_text("intervals_0,intervals_1,choice,side\n0.5,1,1,left\n2,3,-1,NA\n")
        node = nd.load(session)["trials"]
        assert node["start"].values.tolist() == [0.5, 2.0]
        assert node["stop"].values.tolist() == [1.0, 3.0]
        assert node["side"].values.tolist() == ["left", "NA"]
        table.write_text("")
        with pytest.raises(FormatError, match="table"):
            nd.load(session)

    def test_table_columns(self):
        frame = pd.DataFrame({"intervals_0": [0.0], "intervals_1": [1.0], "choice": [1], "name": [None]})
        columns = table_columns(frame)
        assert list(columns) == ["start", "stop", "choice", "name"]
        assert columns["name"].tolist() == [""]

    def test_parquet_table(self, session):
        frame = pd.DataFrame({"intervals_0": [0.5, 2.0], "intervals_1": [1.0, 3.0], "choice": [1, -1]})
        path = session / "alf" / "_ibl_trials.table.pqt"
        frame.to_parquet(path)
        node = nd.load(session)["trials"]
        assert node["start"].values.tolist() == [0.5, 2.0]
        assert node["stop"].values.tolist() == [1.0, 3.0]
        assert node["choice"].values.tolist() == [1, -1]
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(FormatError, match="Parquet"):
            nd.load(session)

    def test_parquet_table_without_pyarrow(self, session, monkeypatch):
        (session / "alf" / "_ibl_trials.table.pqt").write_bytes(b"PAR1")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingDependencyError, match=r"neurodata\[ephys\]"):
            nd.load(session)


class TestWheel:
    def test_position_and_times(self, session):
        save(session / "alf", _ibl_wheel__position=[0.0, 0.1, 0.3], _ibl_wheel__timestamps=[5.0, 5.1, 5.4])
        node = nd.load(session)["behaviour"]
        assert node["value"].values[:, 0].tolist() == [0.0, 0.1, 0.3]
        assert node["time"].values.tolist() == [5.0, 5.1, 5.4]
        assert node["signal_unit"].values.tolist() == ["rad"]

    def test_synchronisation_points(self, session):
        save(
            session / "alf", _ibl_wheel__position=np.arange(5.0), _ibl_wheel__timestamps=[[0, 1.0], [2, 2.0], [4, 6.0]]
        )
        assert nd.load(session)["behaviour"]["time"].values.tolist() == [1.0, 1.5, 2.0, 4.0, 6.0]

    def test_points_that_leave_samples_out(self, session):
        save(session / "alf", _ibl_wheel__position=np.arange(5.0), _ibl_wheel__timestamps=[[0, 1.0], [2, 2.0]])
        with pytest.raises(FormatError, match="first sample to the last"):
            nd.load(session)

    def test_lengths_and_missing_times(self, session):
        save(session / "alf", _ibl_wheel__position=np.arange(5.0))
        with pytest.raises(FormatError, match="timestamps"):
            nd.load(session)
        save(session / "alf", _ibl_wheel__timestamps=np.arange(4.0))
        with pytest.raises(RecordingError, match="one length"):
            nd.load(session)


class TestBadInput:
    def test_lengths_differ(self, tmp_path):
        with pytest.raises(RecordingError, match=r"spikes.times \(5,\), spikes.clusters \(2,\)"):
            nd.load(probe(tmp_path / "alf", clusters=[1, 2]))

    def test_no_clusters(self, tmp_path):
        with pytest.raises(FormatError, match="spikes.clusters.npy beside"):
            nd.load(save(tmp_path / "alf", spikes__times=TIMES))

    def test_unsorted(self, tmp_path):
        folder = probe(tmp_path / "alf", times=[0.1, 0.9, 0.05, 0.95, 1.5], spikes__amps=np.arange(5.0))
        with pytest.raises(RecordingError, match="sort=True"):
            nd.load(folder)
        node = nd.load(folder, sort=True)["spikes"]
        assert node["spike_time"].values.tolist() == [0.9, 0.95, 0.05, 0.1, 1.5]
        assert node["spike_amplitude"].values.tolist() == [1, 3, 2, 0, 4]
        assert operations(node.attrs)[0]["operation"] == "sort"

    def test_negative_needs_a_support(self, tmp_path):
        folder = probe(tmp_path / "alf", times=[-0.5, 0.25, 0.4, 0.9, 1.5])
        with pytest.raises(RecordingError, match="support="):
            nd.load(folder)
        node = nd.load(folder, support=[[-1.0, 2.0]])["spikes"]
        assert node["spike_time"].values[2] == -0.5
        assert node["support_start"].values.tolist() == [-1.0]

    def test_nan(self, tmp_path):
        with pytest.raises(RecordingError, match="NaN"):
            nd.load(probe(tmp_path / "alf", times=[0.1, np.nan, 0.4, 0.9, 1.5]))

    def test_ms(self, tmp_path):
        # Poisson spikes at 5/s, in ms.
        times = np.cumsum(np.random.default_rng(0).exponential(200.0, 500))
        folder = probe(tmp_path / "alf", times=times, clusters=np.zeros(500, dtype=int))
        with pytest.raises(RecordingError, match="time_unit='ms'"):
            nd.load(folder)
        np.testing.assert_array_equal(nd.load(folder, time_unit="ms")["spikes"]["spike_time"], times * 1e-3)
        np.testing.assert_array_equal(nd.load(folder, time_unit="s")["spikes"]["spike_time"], times)

    def test_no_units(self, tmp_path):
        with pytest.raises(RecordingError, match="there are no units"):
            nd.load(probe(tmp_path / "alf", times=[], clusters=[]))

    def test_units_without_spikes(self, tmp_path):
        folder = probe(tmp_path / "alf", times=[], clusters=[], clusters__depths=[1.0, 2.0])
        assert nd.load(folder)["spikes"]["spike_count"].values.tolist() == [0, 0]

    def test_object_arrays_need_asking(self, tmp_path):
        folder = probe(tmp_path / "alf")
        np.save(folder / "spikes.clusters.npy", np.array(CLUSTERS, dtype=object), allow_pickle=True)
        with pytest.raises(UntrustedDataError, match="allow_pickle=True"):
            nd.load(folder)
        assert nd.load(folder, allow_pickle=True)["spikes"]["unit"].values.tolist() == [0, 2]

    @pytest.mark.parametrize("clusters", [[0.5] * 5, [np.nan] * 5, ["a"] * 5], ids=str)
    def test_ids_that_are_none(self, tmp_path, clusters):
        with pytest.raises(FormatError, match="spikes.clusters.npy"):
            nd.load(probe(tmp_path / "alf", clusters=clusters))

    def test_truncated(self, session):
        path = session / "alf" / "probe00" / "spikes.times.npy"
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(FormatError, match="truncated"):
            nd.load(session)

    def test_two_files_of_one_attribute(self, session):
        save(session / "alf" / "probe00", _lab_spikes__clusters=CLUSTERS)
        with pytest.raises(FormatError, match="one file of spikes.clusters"):
            nd.load(session)

    @pytest.mark.parametrize("name", ["_lab_spikes__times", "spikes__times_bpod"])
    def test_two_files_of_times(self, session, name):
        save(session / "alf" / "probe00", **{name: TIMES})
        with pytest.raises(FormatError, match="times"):
            nd.load(session)

    def test_wrong_reader(self, tmp_path):
        with pytest.raises(FormatError, match="ALF names"):
            nd.load(tmp_path, reader="alf")


def test_round_trip(session, tmp_path):
    probe(session / "alf" / "probe01", clusters__depths=[1.0, 2.0, 3.0])
    save(session / "alf", _ibl_trials__stimOn_times=[1.0, np.nan], _ibl_trials__side=["left", ""])
    sessions = nd.load(session)
    nd.save(sessions, tmp_path / "x.nc")
    assert nd.load(tmp_path / "x.nc").identical(sessions)
