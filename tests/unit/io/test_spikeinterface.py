"""Folders that SpikeInterface saves, against the object that was saved; nothing in them is unpickled unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata
from neurodata.errors import (
    FormatError,
    MissingOptionError,
    OptionError,
    RecordingError,
    UntrustedDataError,
)
from neurodata.io.registry import BY_CONTENT, NO
from neurodata.io.spikeinterface import detect

si = pytest.importorskip("spikeinterface.core", reason="needs the extra ephys")

pytestmark = [
    # What SpikeInterface says of its own files while a test writes them.
    pytest.mark.filterwarnings("ignore:The extractor is not serializable:UserWarning"),
    pytest.mark.filterwarnings("ignore:The recording registered to this sorting:UserWarning"),
    pytest.mark.filterwarnings("ignore:The Recording is not serializable:UserWarning"),
    pytest.mark.filterwarnings("ignore:The 'npz_folder' format is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*NpzFolderSorting.write_sorting:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Property .* not saved because:UserWarning"),
]
RATE = 1000.0


def one_segment(unit_ids=("a", "b", "c")):
    trains = [np.array([10, 250, 900]), np.array([], dtype=np.int64), np.array([5, 5, 700])]
    sorting = si.NumpySorting.from_unit_dict(dict(zip(unit_ids, trains, strict=True)), RATE)
    sorting.set_property("quality", np.array(["good", "mua", ""]))
    sorting.set_property("depth", np.array([1.5, np.nan, 3.0]))
    sorting.set_property("gt_unit_locations", np.arange(9.0).reshape(3, 3))
    return sorting


def two_segments():
    return si.NumpySorting.from_unit_dict(
        [{1: np.array([10, 20]), 2: np.array([30])}, {1: np.array([5]), 2: np.array([], dtype=np.int64)}], RATE
    )


FORMATS = {"numpy_folder": "saved", "zarr": "saved.zarr", "npz_folder": "saved"}


def save(sorting, folder, form="numpy_folder"):
    path = folder / FORMATS[form]
    sorting.save(folder=path, format=form)
    return path


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("unit_ids", [("a", "b", "c"), (12, 3, 7)], ids=["text", "numbers"])
def test_saved_sorting(tmp_path, form, unit_ids):
    path = save(one_segment(unit_ids), tmp_path, form)
    assert detect(path) == BY_CONTENT
    node = nd.load(path)["spikes"]
    assert node["unit"].values.tolist() == list(unit_ids)
    assert node["spike_count"].values.tolist() == [3, 0, 3]
    assert node["spike_time"].values.tolist() == [0.01, 0.25, 0.9, 0.005, 0.005, 0.7]
    assert node["spike_sample"].values.tolist() == [10, 250, 900, 5, 5, 700]
    assert node["quality"].values.tolist() == ["good", "mua", ""]
    np.testing.assert_array_equal(node["depth"], [1.5, np.nan, 3.0])
    assert node["gt_unit_locations_1"].values.tolist() == [1, 4, 7]
    assert node.attrs["sampling_rate"] == RATE


@pytest.mark.parametrize("form", FORMATS)
def test_segments_are_not_laid_on_one_clock_by_guess(tmp_path, form):
    path = save(two_segments(), tmp_path, form)
    with pytest.raises(MissingOptionError, match="segment_start="):
        nd.load(path)
    assert nd.load(path, segment=1)["spikes"]["spike_time"].values.tolist() == [0.005]
    node = nd.load(path, segment_start=[100.0, 50.0])["spikes"]
    assert node["spike_time"].values.tolist() == [50.005, 100.01, 100.02, 100.03]
    assert node["spike_segment"].values.tolist() == [1, 0, 0, 0]
    assert node["spike_sample"].values.tolist() == [5, 10, 20, 30]
    assert metadata(node.attrs)["segment_start"] == [100.0, 50.0]


def test_segments_that_overlap(tmp_path):
    with pytest.raises(RecordingError, match="lie apart on one clock"):
        nd.load(save(two_segments(), tmp_path), segment_start=[0.0, 0.02])


@pytest.mark.parametrize("options", [{"segment": 2}, {"segment": -1}, {"segment_start": [1.0]}, {"segment_start": "x"}])
def test_segment_options(tmp_path, options):
    with pytest.raises((OptionError, ValueError)):
        nd.load(save(two_segments(), tmp_path), **options)


@pytest.fixture(params=["binary_folder", "zarr"])
def analyzer(tmp_path, request):
    """An analyzer of two units over 3 s, saved, with locations."""
    recording, sorting = si.generate_ground_truth_recording(num_channels=4, num_units=3, durations=[3.0], seed=0)
    path = tmp_path / ("analyzer.zarr" if request.param == "zarr" else "analyzer")
    made = si.create_sorting_analyzer(sorting, recording, format=request.param, folder=path, sparse=False)
    return made, path


class TestAnalyzer:
    def test_spikes_and_support(self, analyzer):
        made, path = analyzer
        assert detect(path) == BY_CONTENT
        node = nd.load(path)["spikes"]
        assert node["unit"].values.tolist() == made.unit_ids.tolist()
        for row, unit in enumerate(made.unit_ids):
            train = node["spike_sample"].values[node["spike_unit"].values == row]
            np.testing.assert_array_equal(train, made.sorting.get_unit_spike_train(unit, segment_index=0))
        assert (node["support_start"].values.tolist(), node["support_stop"].values.tolist()) == ([0.0], [3.0])

    def test_locations_and_metrics(self, analyzer):
        made, path = analyzer
        place = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
        if path.suffix == ".zarr":
            import zarr

            root = zarr.open_group(str(path), mode="r+")
            root.require_group("extensions/unit_locations")["unit_locations"] = place
            metrics = root.require_group("extensions/quality_metrics/metrics")
            metrics["index"] = made.unit_ids[::-1].astype("U1")
            metrics["snr"] = np.array([3.0, 2.0, 1.0])
        else:
            folder = path / "extensions" / "unit_locations"
            folder.mkdir(parents=True)
            np.save(folder / "unit_locations.npy", place)
            folder = path / "extensions" / "quality_metrics"
            folder.mkdir()
            rows = "".join(f"{unit},{snr}\n" for unit, snr in zip(made.unit_ids[::-1], [3.0, 2.0, 1.0], strict=True))
            (folder / "metrics.csv").write_text(f",snr\n{rows}")
        node = nd.load(path)["spikes"]
        assert node["x"].values.tolist() == [1, 4, 7]
        assert node["z"].attrs["units"] == "um"
        assert node["snr"].values.tolist() == [1.0, 2.0, 3.0]

    def test_the_object_gives_the_same(self, analyzer):
        made, path = analyzer
        saved, live = nd.load(path)["spikes"], nd.io.from_spikeinterface(made)["spikes"]
        for name in ("spike_time", "spike_sample", "spike_unit", "support_start", "support_stop", "unit"):
            np.testing.assert_array_equal(saved[name], live[name])


class TestBadInput:
    def test_pickled_property_needs_asking(self, tmp_path):
        sorting = one_segment()
        sorting.set_property("notes", np.array([{"a": 1}, None, None], dtype=object))
        path = save(sorting, tmp_path)
        with pytest.raises(UntrustedDataError, match="allow_pickle=True"):
            nd.load(path)
        assert nd.load(path, allow_pickle=True)["spikes"]["notes"].values.tolist() == ["{'a': 1}", "", ""]

    def test_pickled_zarr_array_is_refused(self, tmp_path):
        import numcodecs
        import zarr

        path = save(one_segment(), tmp_path, "zarr")
        group = zarr.open_group(str(path), mode="r+")
        values = np.array(["x", "y", "z"], dtype=object)
        group["properties"].create_dataset("notes", data=values, dtype=object, object_codec=numcodecs.Pickle())
        with pytest.raises(UntrustedDataError, match="from_spikeinterface"):
            nd.load(path)

    def test_pickles_beside_the_spikes_are_not_opened(self, tmp_path):
        path = save(one_segment(), tmp_path)
        (path / "provenance.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        assert nd.load(path)["spikes"].sizes["unit"] == 3

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("numpysorting_info.json", "{"),
            ("numpysorting_info.json", "{}"),
            ("numpysorting_info.json", "[]"),
            ("spikes.npy", "x"),
        ],
    )
    def test_damaged(self, tmp_path, file, text):
        path = save(one_segment(), tmp_path)
        (path / file).write_text(text)
        with pytest.raises(FormatError):
            nd.load(path)

    def info(self, path, **changes):
        info = json.loads((path / "numpysorting_info.json").read_text())
        (path / "numpysorting_info.json").write_text(json.dumps(info | changes))
        return path

    def test_duplicate_ids(self, tmp_path):
        path = self.info(save(one_segment(), tmp_path), unit_ids=["a", "a", "c"])
        with pytest.raises(RecordingError, match="unique"):
            nd.load(path)

    @pytest.mark.parametrize("changes", [{"unit_ids": ["a", "b"]}, {"num_segments": 0}, {"sampling_frequency": 0}])
    def test_facts_that_contradict_the_spikes(self, tmp_path, changes):
        with pytest.raises(FormatError):
            nd.load(self.info(save(one_segment(), tmp_path), **changes))

    def test_no_units(self, tmp_path):
        sorting = si.NumpySorting.from_unit_dict({}, RATE)
        with pytest.raises(RecordingError, match="there are no units"):
            nd.load(save(sorting, tmp_path))

    def rewrite(self, path, change):
        spikes = np.load(path / "spikes.npy")
        change(spikes)
        np.save(path / "spikes.npy", spikes)
        return path

    def test_unsorted(self, tmp_path):
        def swap(spikes):
            spikes["sample_index"] = spikes["sample_index"][::-1].copy()

        path = self.rewrite(save(one_segment(), tmp_path), swap)
        with pytest.raises(RecordingError, match="sort=True"):
            nd.load(path)
        node = nd.load(path, sort=True)["spikes"]
        inside = np.diff(node["spike_unit"].values) == 0
        assert (np.diff(node["spike_time"].values)[inside] >= 0).all()

    def test_negative(self, tmp_path):
        path = self.rewrite(save(one_segment(), tmp_path), lambda spikes: spikes["sample_index"].__isub__(7))
        with pytest.raises(RecordingError, match="negative"):
            nd.load(path)

    def test_truncated(self, tmp_path):
        path = save(one_segment(), tmp_path)
        whole = (path / "spikes.npy").read_bytes()
        (path / "spikes.npy").write_bytes(whole[:-5])
        with pytest.raises(FormatError, match="truncated"):
            nd.load(path)

    def test_wrong_reader(self, tmp_path):
        assert detect(tmp_path) == NO
        with pytest.raises(FormatError, match="from_spikeinterface"):
            nd.load(tmp_path, reader="spikeinterface")


@pytest.mark.parametrize("form", FORMATS)
def test_round_trip(tmp_path, form):
    recording = nd.load(save(one_segment(), tmp_path, form))
    nd.save(recording, tmp_path / "x.nc")
    assert nd.load(tmp_path / "x.nc").identical(recording)
