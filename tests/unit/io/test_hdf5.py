"""HDF5 through a mapping: paths, axes, units, laziness, and what goes wrong."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata
from neurodata.errors import FormatError, MissingOptionError, OptionError, RecordingError
from neurodata.io.hdf5 import detect
from neurodata.io.registry import BY_SUFFIX, NO

RNG = np.random.default_rng(11)
TRACE = RNG.normal(size=(7, 3))
TIME = np.array([10.0, 10.5, 11.0, 13.0, 13.5, 14.0, 14.5])


@pytest.fixture
def worm(tmp_path):
    """A lab's file: 7 frames with a gap, 3 neurons, behaviour, two units of an electrode."""
    path = tmp_path / "worm.h5"
    with h5py.File(path, "w") as file:
        file["gcamp/trace"] = TRACE
        file["gcamp/turned"] = TRACE.T
        file["gcamp/names"] = np.array(["AVA", "RIM", "é"], dtype=h5py.string_dtype())
        file["timing/confocal"] = TIME
        file["timing/ms"] = TIME * 1000
        file["timing/ms"].attrs["units"] = "ms"
        file["timing/odd"] = TIME
        file["timing/odd"].attrs["units"] = "fortnights"
        file["behavior/velocity"] = np.arange(7.0)
        file["behavior/velocity"].attrs["unit"] = "mm/s"
        file["behavior/angle"] = RNG.normal(size=(7, 2))
        file["behavior/pose"] = np.arange(7 * 2 * 4.0).reshape(7, 4, 2)
        for name, times in (("unit_10", [0.5, 2.0]), ("unit_2", [1.0]), ("unit_3", [])):
            file[f"ephys/{name}/times"] = np.array(times)
            file[f"ephys/{name}/depth"] = float(len(times))
        file["ephys/notes/text"] = "no spikes here"
    return path


BASE = {"calcium/fluorescence": "gcamp/trace", "calcium/time": "timing/confocal"}


def test_traces_are_matched_to_time_by_length_whichever_axis(worm):
    straight = nd.load(worm, mapping=BASE)["calcium"]
    turned = nd.load(worm, mapping=BASE | {"calcium/fluorescence": "gcamp/turned"})["calcium"]
    for node in (straight, turned):
        assert node["fluorescence"].dims == ("time", "roi")
        np.testing.assert_array_equal(node["fluorescence"], TRACE)
        np.testing.assert_array_equal(node["time"], TIME)
        assert node["roi"].values.tolist() == [0, 1, 2]


def test_ids_and_labels(worm):
    node = nd.load(worm, mapping=BASE | {"calcium/roi": "gcamp/names", "calcium/rank": np.array([3, 1, 2])})["calcium"]
    assert node["roi"].values.tolist() == ["AVA", "RIM", "é"]
    assert node["rank"].values.tolist() == [3, 1, 2]


def test_units_by_star_in_natural_order_and_empty_ones_survive(worm):
    rec = nd.load(worm, mapping={"spikes/spike_time": "ephys/unit_*/times", "spikes/depth": "ephys/unit_*/depth"})
    node = rec["spikes"]
    assert node["unit"].values.tolist() == [2, 3, 10]
    assert node["spike_count"].values.tolist() == [1, 0, 2]
    assert node["depth"].values.tolist() == [1.0, 0.0, 2.0]
    np.testing.assert_array_equal(node["spike_time"], [1.0, 0.5, 2.0])


def test_groups_that_lack_the_rest_of_the_path_are_noted(worm):
    rec = nd.load(worm, mapping={"spikes/spike_time": "ephys/*/times"})
    assert rec["spikes"]["unit"].values.tolist() == ["unit_2", "unit_3", "unit_10"]
    assert metadata(rec.attrs)["left_out"] == ["ephys/notes"]


def test_flat_times_with_ids(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["t"] = [0.3, 0.1, 0.2]
        file["id"] = [7, 7, 5]
        file["ticks"] = [30, 10, 20]
    mapping = {"spikes/spike_time": "t", "spikes/spike_id": "id"}
    with pytest.raises(RecordingError, match="not sorted"):
        nd.load(tmp_path / "x.h5", mapping=mapping)
    node = nd.load(tmp_path / "x.h5", mapping=mapping, sort=True)["spikes"]
    assert node["unit"].values.tolist() == [5, 7]
    np.testing.assert_array_equal(node["spike_time"], [0.2, 0.1, 0.3])
    ticks = nd.load(
        tmp_path / "x.h5",
        mapping=mapping | {"spikes/spike_time": "ticks"},
        sort=True,
        time_unit="sample",
        sampling_rate=100.0,
    )["spikes"]
    np.testing.assert_allclose(ticks["spike_time"], [0.2, 0.1, 0.3], rtol=1e-12)
    with pytest.raises(MissingOptionError, match="spike_id"):
        nd.load(tmp_path / "x.h5", mapping={"spikes/spike_time": "t"})


def test_behaviour_signals_units_and_columns(worm):
    mapping = {
        "behaviour/time": "timing/confocal",
        "behaviour/velocity": "behavior/velocity",
        "behaviour/angle": "behavior/angle",
        "behaviour/first": "behavior/pose[:, 0, 1]",
    }
    node = nd.load(worm, mapping=mapping)["behaviour"]
    assert node["signal"].values.tolist() == ["velocity", "angle_0", "angle_1", "first"]
    assert node["signal_unit"].values.tolist() == ["mm/s", "", "", ""]
    np.testing.assert_array_equal(node["value"].sel(signal="first"), np.arange(7) * 8.0 + 1)


def test_positions_need_their_dims(worm):
    mapping = {"behaviour/time": "timing/confocal", "behaviour/position": "behavior/pose"}
    with pytest.raises(MissingOptionError, match="dims="):
        nd.load(worm, mapping=mapping)
    node = nd.load(worm, mapping=mapping, dims={"behaviour/position": ("time", "keypoint", "space")})["behaviour"]
    assert dict(node["position"].sizes) == {"time": 7, "space": 2, "keypoint": 4, "individual": 1}
    np.testing.assert_array_equal(node["position"][..., 0], np.arange(7 * 2 * 4.0).reshape(7, 4, 2).transpose(0, 2, 1))


def test_a_callable_gets_the_open_file(worm):
    node = nd.load(
        worm, mapping=BASE | {"calcium/fluorescence": lambda file: file["gcamp/trace"][()] - file["gcamp/trace"][0]}
    )["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], TRACE - TRACE[0])


def test_units_of_time(worm):
    scaled = nd.load(worm, mapping=BASE | {"calcium/time": "timing/ms"})["calcium"]["time"]
    np.testing.assert_allclose(scaled, TIME, rtol=1e-12)
    stated = nd.load(worm, mapping=BASE, time_unit="ms")["calcium"]["time"]
    np.testing.assert_allclose(stated, TIME / 1000, rtol=1e-12)
    with pytest.raises(OptionError, match="fortnights"):
        nd.load(worm, mapping=BASE | {"calcium/time": "timing/odd"})


def test_large_arrays_stay_in_the_file_and_select_exactly(worm, tmp_path):
    rec = nd.load(worm, mapping=BASE | {"calcium/dff": "gcamp/turned"})
    for name in ("fluorescence", "dff"):
        array = rec["calcium"][name]
        assert not array.variable._in_memory
        np.testing.assert_array_equal(array.isel(time=[5, 1], roi=slice(None, None, 2)), TRACE[[5, 1]][:, ::2])
        np.testing.assert_array_equal(array.isel(time=-1), TRACE[-1])
    again = pickle.loads(pickle.dumps(rec["calcium"]["dff"]))
    np.testing.assert_array_equal(again, TRACE)
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


def test_square_traces_need_dims(tmp_path):
    square = RNG.normal(size=(4, 4))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["f"], file["t"] = square, np.arange(4.0)
    mapping = {"calcium/fluorescence": "f", "calcium/time": "t"}
    with pytest.raises(MissingOptionError, match=r"both fit 4[\s\S]*dims="):
        nd.load(tmp_path / "x.h5", mapping=mapping)
    node = nd.load(tmp_path / "x.h5", mapping=mapping, dims={"calcium/fluorescence": ("roi", "time")})["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], square.T)
    with pytest.raises(OptionError, match="dims"):
        nd.load(tmp_path / "x.h5", mapping=mapping, dims={"calcium/fluorescence": ("roi", "tiem")})


def test_sampling_rate_instead_of_times(worm):
    mapping = {"calcium/fluorescence": "gcamp/trace"}
    with pytest.raises(MissingOptionError, match="which axis"):
        nd.load(worm, mapping=mapping, sampling_rate=2.0)
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(worm, mapping=mapping, dims={"calcium/fluorescence": ("time", "roi")})
    node = nd.load(worm, mapping=mapping, dims={"calcium/fluorescence": ("time", "roi")}, sampling_rate=2.0, start=1.0)[
        "calcium"
    ]
    np.testing.assert_array_equal(node["time"], 1.0 + np.arange(7) / 2.0)
    by_roi = nd.load(worm, mapping=mapping | {"calcium/roi": "gcamp/names"}, sampling_rate={"calcium": 2.0})["calcium"]
    np.testing.assert_array_equal(by_roi["fluorescence"], TRACE)


def test_counts_trials_events_and_eeg(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["counts"] = np.arange(6).reshape(2, 3)
        file["edges"] = np.array([0.25, 0.75, 1.25])
        file["start"], file["stop"], file["side"] = [0.0, 2.0], [1.0, 3.0], np.array([b"l", b"r"])
        file["onset"] = [0.5, 1.5, 2.5]
        file["lfp"] = np.arange(12).reshape(6, 2).astype(np.int16)
    path = tmp_path / "x.h5"
    mapping = {
        "spikes/counts": "counts",
        "spikes/time": "edges",
        "trials/start": "start",
        "trials/stop": "stop",
        "trials/side": "side",
        "events/onset": "onset",
        "eeg/signal": "lfp",
        "eeg/channel": np.array(["a", "b"]),
    }
    with pytest.raises(MissingOptionError, match="bin_width="):
        nd.load(path, mapping=mapping)
    with pytest.raises(MissingOptionError, match="signal_unit="):
        nd.load(path, mapping=mapping, bin_width=0.5)
    rec = nd.load(path, mapping=mapping, bin_width=0.5, signal_unit="uV", sampling_rate=100.0)
    np.testing.assert_array_equal(rec["spikes"]["counts"], [[0, 3], [1, 4], [2, 5]])
    assert rec["trials"]["side"].values.tolist() == ["l", "r"]
    assert rec["trials"]["stop"].values.tolist() == [1.0, 3.0]
    assert rec["events"]["onset"].values.tolist() == [0.5, 1.5, 2.5]
    np.testing.assert_allclose(rec["eeg"]["signal"], np.arange(12).reshape(6, 2) * 1e-6, rtol=1e-15)
    assert rec["eeg"]["ch_unit_original"].values.tolist() == ["uV", "uV"]


def test_without_a_mapping_the_file_is_listed(worm):
    with pytest.raises(MissingOptionError) as caught:
        nd.load(worm)
    text = str(caught.value)
    for line in ("gcamp/trace  (7, 3) float64", "timing/confocal  (7,) float64", "ephys/unit_10/times  (2,) float64"):
        assert line in text


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({"calcium/fluorescence": "gcamp/trce"}, OptionError, "did you mean gcamp/trace"),
        ({"calcium": "gcamp/trace"}, OptionError, "node/variable"),
        ({"kalzium/fluorescence": "gcamp/trace"}, OptionError, "kalzium"),
        ({"calcium/attrs": "gcamp/trace"}, OptionError, "not an option"),
        (BASE | {"calcium/time": "behavior/angle"}, RecordingError, "vector"),
        (BASE | {"calcium/dff": "behavior/angle[:3]"}, RecordingError, "axis of 7"),
        (BASE | {"calcium/fluorescence": "behavior/pose"}, RecordingError, "dims time and roi"),
        (BASE | {"calcium/fluorescence": "gcamp/trace[:, 9]"}, OptionError, "slice"),
        (BASE | {"calcium/fluorescence": "gcamp/trace[a]"}, OptionError, "slice"),
        (BASE | {"calcium/roi": lambda file: file["nowhere"]}, OptionError, "KeyError"),
        (BASE | {"calcium/roi": np.array([1, 1, 2])}, RecordingError, "unique"),
        ("gcamp/trace", OptionError, "dict"),
    ],
)
def test_mappings_that_do_not_fit(worm, mapping, error, message):
    with pytest.raises(error, match=message):
        nd.load(worm, mapping=mapping)


def test_truncated_foreign_and_empty_files(worm, tmp_path):
    content = worm.read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 3])
    with pytest.raises(FormatError, match="cut short"):
        nd.load(tmp_path / "cut.h5", mapping=BASE)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(FormatError, match="an HDF5 file"):
        nd.load(tmp_path / "text.h5", mapping=BASE)


def test_what_it_claims(worm, tmp_path):
    assert detect(worm) == BY_SUFFIX
    content = worm.read_bytes()
    for name, sure in (("a.strange", BY_SUFFIX), ("a.nwb", NO), ("a.jld2", NO), ("a.mat", NO), ("a.nc", NO)):
        (tmp_path / name).write_bytes(content)
        assert detect(tmp_path / name) == sure, name
