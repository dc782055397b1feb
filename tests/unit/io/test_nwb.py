"""NWB: files written by pynwb, an independent writer, and the values that went into them."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import FormatError, RecordingError

pynwb = pytest.importorskip("pynwb")
pytestmark = pytest.mark.filterwarnings(
    # pynwb warns of its own future defaults and of layouts that are written here on purpose
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning:hdmf",
    "ignore::UserWarning:pynwb",
)

START = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def make_file():
    """An empty NWB file in memory."""
    return lambda **facts: pynwb.NWBFile("a session", "id-1", START, **facts)


@pytest.fixture
def load(tmp_path):
    """Write with pynwb, load with neurodata."""

    def write_and_load(file, **options):
        path = tmp_path / "file.nwb"
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file)
        return nd.load(path, **options)

    return write_and_load


def left_out(recording) -> list[str]:
    return json.loads(recording.attrs["metadata_json"])["left_out"]


def add_electrodes(file, n=3):
    group = file.create_electrode_group("shank0", "probe", "CA1", device=file.create_device("probe"))
    file.add_electrode_column("label", "name")
    for i in range(n):
        file.add_electrode(x=1000.0 * i, y=2.0, z=3.0, location=f"CA{i}", group=group, label=f"ch{i}", id=10 + i)
    return group


class TestUnits:
    def test_times_ids_and_columns(self, make_file, load):
        file = make_file()
        group = add_electrodes(file)
        file.add_unit_column("quality", "label")
        file.add_unit_column("snr", "signal to noise")
        trains = {7: [0.25, 0.5, 1.5], 3: [], 11: [0.125, 9.0]}
        for i, (unit, times) in enumerate(trains.items()):
            file.add_unit(
                id=unit, spike_times=times, quality=f"q{i}", snr=i / 2, electrodes=[2 - i], electrode_group=group
            )
        node = load(file)["spikes"]
        assert node["unit"].values.tolist() == [7, 3, 11]
        assert node["spike_count"].values.tolist() == [3, 0, 2]
        assert node["spike_time"].values.tolist() == [0.25, 0.5, 1.5, 0.125, 9.0]
        assert node["spike_unit"].values.tolist() == [0, 0, 0, 2, 2]
        assert node["quality"].values.tolist() == ["q0", "q1", "q2"]
        assert node["snr"].values.tolist() == [0.0, 0.5, 1.0]
        assert node["channel"].values.tolist() == [12, 11, 10]
        assert node["region"].values.tolist() == ["CA2", "CA1", "CA0"]
        assert node["electrode_group"].values.tolist() == ["shank0"] * 3

    def test_several_electrodes_per_unit_are_named(self, make_file, load):
        file = make_file()
        add_electrodes(file)
        file.add_unit(spike_times=[1.0], electrodes=[0, 2])
        file.add_unit(spike_times=[2.0], electrodes=[1])
        assert load(file)["spikes"]["electrodes"].values.tolist() == ["10, 12", "11"]

    def test_common_observation_intervals_are_the_support(self, make_file, load):
        file = make_file()
        for times in ([-1.0, 2.0], [5.5]):
            file.add_unit(spike_times=times, obs_intervals=[[-2.0, 3.0], [5.0, 6.0]])
        node = load(file)["spikes"]
        assert node["support_start"].values.tolist() == [-2.0, 5.0]
        assert node["support_stop"].values.tolist() == [3.0, 6.0]

    def test_observation_intervals_that_differ_are_named(self, make_file, load):
        file = make_file()
        file.add_unit(spike_times=[1.0], obs_intervals=[[0.0, 3.0]])
        file.add_unit(spike_times=[2.0], obs_intervals=[[1.0, 3.0]])
        recording = load(file)
        assert "support_start" not in recording["spikes"]
        assert any("obs_intervals" in text for text in left_out(recording))

    def test_waveforms_are_named_as_left_out(self, make_file, load):
        file = make_file()
        file.add_unit(spike_times=[1.0], waveform_mean=np.ones((4, 2)))
        file.add_unit(spike_times=[2.0], waveform_mean=np.ones((4, 2)))
        assert left_out(load(file)) == ["/units/waveform_mean (several values per unit)"]

    def test_amplitudes_follow_their_spikes(self, make_file, load):
        file = make_file()
        file.add_unit_column("spike_amplitudes", "uV", index=True)
        file.add_unit(spike_times=[2.0, 1.0], spike_amplitudes=[20.0, 10.0])
        file.add_unit(spike_times=[3.0], spike_amplitudes=[30.0])
        node = load(file, sort=True)["spikes"]
        assert node["spike_time"].values.tolist() == [1.0, 2.0, 3.0]
        assert node["spike_amplitude"].values.tolist() == [10.0, 20.0, 30.0]

    def test_unsorted_times_are_refused_and_sorted_on_request(self, make_file, load):
        file = make_file()
        file.add_unit(spike_times=[2.0, 1.0])
        with pytest.raises(RecordingError, match=r"/units[\s\S]*not sorted[\s\S]*sort=True"):
            load(file)
        assert load(file_again([2.0, 1.0]), sort=True)["spikes"]["spike_time"].values.tolist() == [1.0, 2.0]

    def test_times_in_ms_are_refused_until_stated(self, make_file, load):
        file = make_file()
        rng = np.random.default_rng(0)
        times = np.sort(rng.random(500)) * 600_000.0
        file.add_unit(spike_times=times)
        with pytest.raises(RecordingError, match="time_unit='ms'"):
            load(file)
        np.testing.assert_allclose(
            load(file_again(times), time_unit="ms")["spikes"]["spike_time"], times / 1e3, rtol=1e-15
        )

    def test_negative_and_nan_times_are_refused(self, make_file, load):
        file = make_file()
        file.add_unit(spike_times=[-1.0, 1.0])
        with pytest.raises(RecordingError, match="negative"):
            load(file)

    def test_an_index_beyond_the_data_is_a_format_error(self, make_file, load, tmp_path):
        file = make_file()
        file.add_unit(spike_times=[1.0, 2.0])
        load(file)
        with h5py.File(tmp_path / "file.nwb", "a") as opened:
            opened["units/spike_times_index"][0] = 5
        with pytest.raises(FormatError, match="spike_times_index"):
            nd.load(tmp_path / "file.nwb")


def file_again(times):
    file = pynwb.NWBFile("a session", "id-1", START)
    file.add_unit(spike_times=times)
    return file


class TestOphys:
    @pytest.fixture
    def with_planes(self, make_file):
        """Two planes: pixel masks at 10 Hz, image masks at given times; the second series takes ROIs 2 and 0."""
        file = make_file()
        rng = np.random.default_rng(1)
        device = file.create_device("scope")
        channel = pynwb.ophys.OpticalChannel("green", "d", 510.0)
        module = file.create_processing_module("ophys", "d")
        segmentation = pynwb.ophys.ImageSegmentation()
        module.add(segmentation)
        made = {}
        for k in range(2):
            imaging = file.create_imaging_plane(
                name=f"imaging{k}",
                optical_channel=channel,
                description="d",
                device=device,
                excitation_lambda=920.0,
                indicator="GCaMP6f",
                location="V1",
            )
            plane = segmentation.create_plane_segmentation("d", imaging, f"seg{k}")
            if k == 0:
                plane.add_column("iscell", "label, probability")
                plane.add_column("centroid", "x, y")
                for i in range(3):
                    plane.add_roi(
                        pixel_mask=[(i, 5, 1.0), (i + 1, 6, 0.5)],
                        iscell=[float(i % 2), 0.1 * i],
                        centroid=[i + 0.5, 5.5],
                    )
            else:
                for i in range(3):
                    mask = np.zeros((4, 6))
                    mask[i, i + 1] = i + 1.0
                    plane.add_roi(image_mask=mask)
            made[k] = plane
        traces = {name: rng.random((20, 3)).astype(np.float32) for name in ("raw", "neuropil", "deconvolved", "dff")}
        everything = made[0].create_roi_table_region("all", region=[0, 1, 2])
        fluorescence = pynwb.ophys.Fluorescence()
        module.add(fluorescence)
        for name, key in (("RoiResponseSeries", "raw"), ("Neuropil", "neuropil"), ("Deconvolved", "deconvolved")):
            fluorescence.create_roi_response_series(
                name, traces[key], rois=everything, unit="n.a.", rate=10.0, starting_time=2.5
            )
        dff = pynwb.ophys.DfOverF()
        module.add(dff)
        dff.create_roi_response_series(
            "Series", traces["dff"], rois=everything, unit="n.a.", rate=10.0, starting_time=2.5
        )
        traces["second"] = rng.random((7, 2))
        traces["second_time"] = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 1.3])
        some = made[1].create_roi_table_region("some", region=[2, 0])
        fluorescence.create_roi_response_series(
            "Second", traces["second"], rois=some, unit="n.a.", timestamps=traces["second_time"], conversion=2.0
        )
        return file, traces

    def test_traces_times_and_planes(self, with_planes, load):
        file, traces = with_planes
        recording = load(file)
        assert list(recording.children) == ["calcium", "calcium_2"]
        node = recording["calcium"]
        np.testing.assert_array_equal(node["time"], 2.5 + np.arange(20) / 10.0)
        for name, key in (("fluorescence", "raw"), ("neuropil",) * 2, ("deconvolved",) * 2, ("dff",) * 2):
            np.testing.assert_array_equal(node[name], traces[key])
            assert node[name].dtype == np.float32
        assert node["is_cell"].values.tolist() == [False, True, False]
        np.testing.assert_array_equal(node["cell_probability"], [0.0, 0.1, 0.2])
        np.testing.assert_array_equal(node["x"], [0.5, 1.5, 2.5])
        np.testing.assert_array_equal(node["y"], [5.5] * 3)
        assert node["mask_count"].values.tolist() == [2, 2, 2]
        assert node["mask_col"].values.tolist() == [0, 1, 1, 2, 2, 3]
        assert node["mask_row"].values.tolist() == [5, 6] * 3
        assert node["mask_weight"].values.tolist() == [1.0, 0.5] * 3
        assert node.attrs["indicator"] == "GCaMP6f"
        second = recording["calcium_2"]
        np.testing.assert_array_equal(second["time"], traces["second_time"])
        np.testing.assert_array_equal(second["fluorescence"], traces["second"] * 2.0)
        assert second["roi"].values.tolist() == [2, 0]
        assert second["plane"].values.tolist() == [1, 1]
        assert second["mask_row"].values.tolist() == [2, 0]
        assert second["mask_col"].values.tolist() == [3, 1]
        assert second["mask_weight"].values.tolist() == [3.0, 1.0]
        assert left_out(recording) == []

    def test_traces_of_another_width_than_their_rois_are_refused(self, with_planes, load, tmp_path):
        file, _ = with_planes
        load(file)
        with h5py.File(tmp_path / "file.nwb", "a") as opened:
            series = opened["processing/ophys/DfOverF/Series"]
            turned = series["data"][()].T
            del series["data"]
            series["data"] = turned
        with pytest.raises(FormatError, match=r"time, 3 ROIs[\s\S]*\(3, 20\)[\s\S]*skip="):
            nd.load(tmp_path / "file.nwb")
        again = nd.load(tmp_path / "file.nwb", skip=["/processing/ophys/DfOverF/Series"])
        assert "dff" not in again["calcium"]
        assert left_out(again) == ["/processing/ophys/DfOverF/Series (skip)"]


class TestElectrical:
    @pytest.fixture
    def with_signal(self, make_file):
        file = make_file()
        add_electrodes(file)
        rng = np.random.default_rng(2)
        raw = rng.integers(-3000, 3000, (50, 2)).astype(np.int16)
        region = file.create_electrode_table_region([2, 0], "two")
        file.add_acquisition(
            pynwb.ecephys.ElectricalSeries(
                "ElectricalSeriesEEG",
                raw,
                region,
                rate=500.0,
                starting_time=1.0,
                conversion=2e-7,
                offset=1e-3,
                channel_conversion=[1.0, 3.0],
            )
        )
        slow = rng.random((20, 2)).astype(np.float32)
        times = np.r_[np.arange(10) * 0.01, 5 + np.arange(10) * 0.01]
        lfp = pynwb.ecephys.LFP()
        file.create_processing_module("ecephys", "d").add(lfp)
        lfp.create_electrical_series("ElectricalSeries", slow, region, timestamps=times)
        return file, raw, slow, times

    def test_values_in_volts_times_and_electrodes(self, with_signal, load):
        file, raw, slow, times = with_signal
        recording = load(file)
        node = recording["eeg"]
        np.testing.assert_allclose(node["signal"], raw * 2e-7 * np.array([1.0, 3.0]) + 1e-3, rtol=0, atol=1e-18)
        np.testing.assert_array_equal(node["time"], 1.0 + np.arange(50) / 500.0)
        assert node["channel"].values.tolist() == [12, 10]
        assert node["label"].values.tolist() == ["ch2", "ch0"]
        assert node["region"].values.tolist() == ["CA2", "CA0"]
        np.testing.assert_allclose(node["x"], [2e-3, 0.0])
        assert node["ch_type"].values.tolist() == ["eeg", "eeg"]
        second = recording["eeg_2"]
        np.testing.assert_array_equal(second["signal"], slow)
        assert second["signal"].dtype == np.float32
        np.testing.assert_array_equal(second["time"], times)
        assert second["ch_type"].values.tolist() == ["lfp", "lfp"]

    def test_the_signal_stays_in_the_file_and_pickles(self, with_signal, load):
        file, raw, *_ = with_signal
        recording = load(file)
        signal = recording["eeg"]["signal"]
        assert not signal.variable._in_memory
        again = pickle.loads(pickle.dumps(signal))
        assert not again.variable._in_memory
        expected = raw * 2e-7 * np.array([1.0, 3.0]) + 1e-3
        for rows, columns in (
            (slice(3, 9, 2), slice(None)),
            ([7, 2, 2], [1]),
            (-1, 0),
            (slice(None, None, -1), [1, 0]),
            (np.arange(50) % 7 == 0, 1),
        ):
            index = np.ix_(np.atleast_1d(np.arange(50)[rows]), np.atleast_1d(np.arange(2)[columns]))
            got = again.isel(time=rows, channel=columns).values
            np.testing.assert_allclose(got.reshape(expected[index].shape), expected[index], rtol=0, atol=1e-18)

    def test_saved_and_loaded_again_it_is_identical(self, with_signal, load, tmp_path):
        recording = load(with_signal[0])
        assert nd.load(nd.save(recording, tmp_path / "x.nc")).identical(recording)


class TestTables:
    def test_trials(self, make_file, load):
        file = make_file()
        file.add_trial_column("stimulus", "what")
        file.add_trial_column("correct", "whether")
        file.add_trial(start_time=1.0, stop_time=2.0, stimulus="left", correct=True, tags=["a", "b"])
        file.add_trial(start_time=3.0, stop_time=4.5, stimulus="right", correct=False, tags=[])
        node = load(file)["trials"]
        assert node["start"].values.tolist() == [1.0, 3.0]
        assert node["stop"].values.tolist() == [2.0, 4.5]
        assert node["stimulus"].values.tolist() == ["left", "right"]
        assert node["correct"].values.tolist() == [True, False]
        assert node["tags"].values.tolist() == ["a; b", ""]

    def test_other_intervals_annotations_and_event_series_are_events(self, make_file, load):
        file = make_file()
        file.add_epoch(start_time=0.0, stop_time=10.0, tags=["wake"])
        stimuli = pynwb.epoch.TimeIntervals("gratings", "d")
        stimuli.add_column("angle", "deg")
        stimuli.add_interval(start_time=2.0, stop_time=2.5, angle=45.0)
        file.add_time_intervals(stimuli)
        file.add_acquisition(pynwb.misc.AnnotationSeries("notes", data=["seizure"], timestamps=[7.0]))
        file.add_acquisition(
            pynwb.misc.IntervalSeries("running", data=np.array([1, -1, 1], np.int8), timestamps=[1.0, 4.0, 6.0])
        )
        licks = pynwb.behavior.BehavioralEvents(name="BehavioralEvents")
        licks.create_timeseries("lick", data=[3.0], timestamps=[8.5], unit="n.a.")
        file.create_processing_module("behavior", "d").add(licks)
        node = load(file)["events"]
        rows = {
            (str(d), float(o), float(t)): i
            for i, (d, o, t) in enumerate(
                zip(
                    node["description"].values,
                    node["onset"].values,
                    np.nan_to_num(node["duration"].values, nan=-1),
                    strict=True,
                )
            )
        }
        assert set(rows) == {
            ("epochs", 0.0, 10.0),
            ("gratings", 2.0, 0.5),
            ("seizure", 7.0, 0.0),
            ("running", 1.0, 3.0),
            ("running", 6.0, -1.0),  # never stopped: duration unknown
            ("lick", 8.5, 0.0),
        }
        assert node["angle"].values[rows["gratings", 2.0, 0.5]] == 45.0
        assert np.isnan(node["angle"].values[rows["epochs", 0.0, 10.0]])
        assert node["tags"].values[rows["epochs", 0.0, 10.0]] == "wake"
        assert node["value"].values[rows["lick", 8.5, 0.0]] == 3.0


class TestBehaviour:
    def test_series_share_a_node_when_they_share_times(self, make_file, load):
        file = make_file()
        module = file.create_processing_module("behavior", "d")
        place = np.arange(12.0).reshape(6, 2)
        position = pynwb.behavior.Position()
        module.add(position)
        position.create_spatial_series(
            "head", data=place, reference_frame="box", rate=30.0, conversion=0.5, unit="meters"
        )
        file.add_acquisition(pynwb.TimeSeries("speed", data=np.arange(6.0), unit="m/s", rate=30.0, starting_time=0.0))
        file.add_acquisition(pynwb.TimeSeries("pupil", data=[1.0, 2.0, 4.0], unit="px", timestamps=[0.1, 0.2, 0.9]))
        recording = load(file)
        assert sorted(recording.children) == ["behaviour", "behaviour_2"]
        by_signal = {str(name): node for node in recording.children.values() for name in node["signal"].values}
        assert set(by_signal) == {"head_x", "head_y", "speed", "pupil"}
        node = by_signal["head_x"]
        np.testing.assert_array_equal(node["value"].sel(signal="head_x"), place[:, 0] * 0.5)
        np.testing.assert_array_equal(node["value"].sel(signal="head_y"), place[:, 1] * 0.5)
        np.testing.assert_array_equal(node["value"].sel(signal="speed"), np.arange(6.0))
        np.testing.assert_array_equal(node["time"], np.arange(6) / 30.0)
        assert node["signal_unit"].sel(signal="speed").item() == "m/s"
        pupil = by_signal["pupil"]
        np.testing.assert_array_equal(pupil["value"][:, 0], [1.0, 2.0, 4.0])
        np.testing.assert_array_equal(pupil["time"], [0.1, 0.2, 0.9])

    def test_a_pose_of_ndx_pose_is_positions_of_keypoints(self, make_file, load, tmp_path):
        """The extension's layout, written with h5py: a container of series (time, 2) that each have a confidence."""
        file = make_file()
        file.create_processing_module("behavior", "d")
        file.add_unit(spike_times=[1.0])
        load(file)
        rng = np.random.default_rng(4)
        place, sure = rng.random((2, 5, 2)), rng.random((2, 5))
        with h5py.File(tmp_path / "file.nwb", "a") as opened:
            pose = opened.create_group("processing/behavior/mouse")
            pose.attrs["neurodata_type"] = "PoseEstimation"
            for k, name in enumerate(("nose", "tail")):
                series = pose.create_group(name)
                series.attrs["neurodata_type"] = "PoseEstimationSeries"
                series["data"], series["confidence"] = place[k], sure[k]
                series["data"].attrs["unit"] = "pixels"
                series["starting_time"] = 2.0
                series["starting_time"].attrs["rate"] = 50.0
        node = nd.load(tmp_path / "file.nwb")["behaviour"]
        np.testing.assert_array_equal(node["position"][..., 0], place.transpose(1, 2, 0))
        np.testing.assert_array_equal(node["confidence"][..., 0], sure.T)
        assert node["keypoint"].values.tolist() == ["nose", "tail"]
        assert node["individual"].values.tolist() == ["mouse"]
        assert node["position"].attrs["units"] == "pixels"
        np.testing.assert_array_equal(node["time"], 2.0 + np.arange(5) / 50.0)

    def test_times_that_go_back_name_the_series(self, make_file, load, tmp_path):
        file = make_file()
        file.add_unit(spike_times=[1.0])
        file.add_acquisition(pynwb.TimeSeries("pupil", data=[1.0, 2.0, 4.0], unit="px", timestamps=[0.1, 0.3, 0.2]))
        with pytest.raises(RecordingError, match=r"/acquisition/pupil[\s\S]*time must increase[\s\S]*skip="):
            load(file)
        assert list(nd.load(tmp_path / "file.nwb", skip=["/acquisition/pupil"]).children) == ["spikes"]


class TestFile:
    def test_facts_about_subject_and_session(self, make_file, load):
        subject = pynwb.file.Subject(subject_id="mouse-1", species="Mus musculus", age="P90D")
        file = make_file(session_id="s-9", lab="a lab", subject=subject)
        file.add_unit(spike_times=[1.0])
        attrs = load(file).attrs
        assert attrs["subject_id"] == "mouse-1"
        assert attrs["session_id"] == "s-9"
        assert attrs["identifier"] == "id-1"
        assert datetime.fromisoformat(attrs["time_origin"]) == START
        general = json.loads(attrs["metadata_json"])["general"]
        assert general["subject/species"] == "Mus musculus"
        assert general["lab"] == "a lab"

    def test_what_has_no_place_is_named(self, make_file, load):
        file = make_file()
        file.add_unit(spike_times=[1.0])
        file.add_acquisition(
            pynwb.image.ImageSeries("movie", data=np.zeros((3, 4, 5), np.uint8), unit="n.a.", rate=1.0)
        )
        file.add_acquisition(pynwb.TimeSeries("words", data=["a", "b"], unit="n.a.", rate=1.0))
        assert left_out(load(file)) == ["/acquisition/movie (ImageSeries)", "/acquisition/words (TimeSeries)"]

    def test_a_file_without_anything_that_fits_says_what_it_holds(self, make_file, load):
        file = make_file()
        file.add_acquisition(
            pynwb.image.ImageSeries("movie", data=np.zeros((3, 4, 5), np.uint8), unit="n.a.", rate=1.0)
        )
        with pytest.raises(FormatError, match="movie"):
            load(file)

    def test_truncated_and_foreign_files_are_format_errors(self, make_file, load, tmp_path):
        file = make_file()
        file.add_unit(spike_times=np.arange(1000.0))
        load(file, time_unit="s")
        whole = (tmp_path / "file.nwb").read_bytes()
        (tmp_path / "cut.nwb").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "text.nwb").write_text("not HDF5")
        with h5py.File(tmp_path / "other.nwb", "w") as other:
            other["x"] = [1.0]
        for name in ("cut.nwb", "text.nwb", "other.nwb"):
            with pytest.raises(FormatError, match=name):
                nd.load(tmp_path / name, reader="nwb")

    def test_a_type_of_an_extension_is_read_as_the_type_it_derives_from(self, make_file, load, tmp_path):
        """The file's own specifications say what a type derives from; here one is put in by hand."""
        file = make_file()
        file.add_acquisition(pynwb.TimeSeries("speed", data=np.arange(3.0), unit="m/s", rate=1.0))
        add_electrodes(file)
        file.add_acquisition(
            pynwb.ecephys.ElectricalSeries(
                "raw", np.ones((4, 1)), file.create_electrode_table_region([0], "one"), rate=2.0
            )
        )
        load(file)
        spec = {"groups": [{"neurodata_type_def": "MyElectricalSeries", "neurodata_type_inc": "ElectricalSeries"}]}
        with h5py.File(tmp_path / "file.nwb", "a") as opened:
            opened["specifications/my-extension/1.0/my"] = json.dumps(spec)
            opened["acquisition/raw"].attrs["neurodata_type"] = "MyElectricalSeries"
        recording = nd.load(tmp_path / "file.nwb")
        assert recording["eeg"].sizes == {"time": 4, "channel": 1}
