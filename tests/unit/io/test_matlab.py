"""MATLAB files through a mapping: v5 written by scipy, v7.3 written with h5py as MATLAB lays it out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

import neurodata as nd
from neurodata._core.provenance import metadata
from neurodata.errors import FormatError, MissingOptionError, OptionError, RecordingError

TRACE = np.random.default_rng(2).normal(size=(6, 4))
TIME = np.arange(6) * 0.1 + 3.0


def cells(items):
    array = np.empty((1, len(items)), dtype=object)
    for number, item in enumerate(items):
        array[0, number] = item
    return array


@pytest.fixture
def v5(tmp_path):
    """`session.traces`, `session.cells{i}.times` with an empty cell, a struct array, names in a cell."""
    path = tmp_path / "session.mat"
    struct_array = np.zeros((1, 2), dtype=[("times", object), ("region", object)])
    struct_array[0, 0] = (np.array([[0.1, 0.4]]), "CA1")
    struct_array[0, 1] = (np.zeros((0, 0)), "CA3")
    savemat(
        path,
        {
            "session": {
                "traces": TRACE,
                "time": TIME,
                "cells": cells([{"times": [[1.0], [2.0]]}, np.zeros((0, 0)), {"times": np.zeros((0, 1))}]),
                "names": cells(["a", "b", "", "d"]),
            },
            "units": struct_array,
            "matrix": np.array([[0.5, 0.25], [0.75, 0.5]]),
            "trains": cells([np.array([[0.2, 0.3]]), np.zeros((0, 0))]),
        },
    )
    return path


def write_v73(path):
    """The same as v5, as MATLAB -v7.3 lays it out: axes reversed, cells and struct arrays as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        count = iter(range(1000))

        def numbers(place, values, kind="double"):
            values = np.asarray(values, dtype=float)
            if values.size == 0:
                place[0][place[1]] = np.array(values.shape, dtype=np.uint64)
                place[0][place[1]].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                place[0][place[1]] = values.T
            place[0][place[1]].attrs["MATLAB_class"] = np.bytes_(kind)

        def text(group, name, value):
            group[name] = np.array([[ord(letter)] for letter in value], dtype=np.uint16)
            group[name].attrs["MATLAB_class"] = np.bytes_("char")
            group[name].attrs["MATLAB_int_decode"] = np.int32(2)

        def reference(write):
            name = f"r{next(count)}"
            write(refs, name)
            return refs[name].ref

        def references(group, name, items, kind="cell"):
            data = np.array([[item] for item in items], dtype=h5py.ref_dtype)
            group.create_dataset(name, data=data, dtype=h5py.ref_dtype)
            if kind:
                group[name].attrs["MATLAB_class"] = np.bytes_(kind)

        def unit(times):
            def write(group, name):
                struct = group.create_group(name)
                struct.attrs["MATLAB_class"] = np.bytes_("struct")
                numbers((struct, "times"), times)

            return write

        session = file.create_group("session")
        session.attrs["MATLAB_class"] = np.bytes_("struct")
        numbers((session, "traces"), TRACE)
        numbers((session, "time"), TIME[:, None])
        empty = reference(lambda g, n: numbers((g, n), np.zeros((0, 0))))
        references(
            session,
            "cells",
            [reference(unit([[1.0], [2.0]])), empty, reference(unit(np.zeros((0, 1))))],
        )
        names = [reference(lambda g, n, letter=letter: text(g, n, letter)) for letter in ("a", "b", "xyz", "d")]
        references(session, "names", names)
        units = file.create_group("units")
        units.attrs["MATLAB_class"] = np.bytes_("struct")
        first = reference(lambda g, n: numbers((g, n), [[0.1, 0.4]]))
        second = reference(lambda g, n: numbers((g, n), np.zeros((0, 0))))
        references(units, "times", [first, second], kind="")
        regions = [reference(lambda g, n, name=name: text(g, n, name)) for name in ("CA1", "CA3")]
        references(units, "region", regions, kind="")
        sparse = file.create_group("sparse")
        sparse.attrs["MATLAB_sparse"] = np.uint64(3)
        sparse.attrs["MATLAB_class"] = np.bytes_("double")
        sparse["data"], sparse["ir"], sparse["jc"] = [5.0, 6.0], np.array([0, 2]), np.array([0, 1, 2])
        file["flag"] = np.array([[1, 0, 1]], dtype=np.uint8).T
        file["flag"].attrs["MATLAB_class"] = np.bytes_("logical")
    with open(path, "r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM")
    return path


@pytest.fixture(params=["v5", "v7.3"])
def session(request, v5, tmp_path):
    return v5 if request.param == "v5" else write_v73(tmp_path / "session73.mat")


def test_traces_have_the_shape_that_matlab_shows(session, tmp_path):
    mapping = {"calcium/fluorescence": "session/traces", "calcium/time": "session/time"}
    rec = nd.load(session, mapping=mapping)
    np.testing.assert_array_equal(rec["calcium"]["fluorescence"], TRACE)
    np.testing.assert_array_equal(rec["calcium"]["time"], TIME)
    np.testing.assert_array_equal(
        nd.load(session, mapping={"behaviour/time": "session/time", "behaviour/x": "session/traces[:, 1]"})[
            "behaviour"
        ]["value"][:, 0],
        TRACE[:, 1],
    )
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


def test_dims_are_those_of_matlab_too(session):
    mapping = {"calcium/fluorescence": "session/traces"}
    node = nd.load(session, mapping=mapping, dims={"calcium/fluorescence": ("time", "roi")}, sampling_rate=5.0)[
        "calcium"
    ]
    assert dict(node.sizes) == {"time": 6, "roi": 4}
    turned = nd.load(session, mapping=mapping, dims={"calcium/fluorescence": ("roi", "time")}, sampling_rate=5.0)
    np.testing.assert_array_equal(turned["calcium"]["fluorescence"], TRACE.T)


def test_cells_of_structs_keep_matlabs_numbers_and_skip_empty_cells(session):
    node = nd.load(session, mapping={"spikes/spike_time": "session/cells/*/times"})["spikes"]
    assert node["unit"].values.tolist() == [1, 3]
    assert node["spike_count"].values.tolist() == [2, 0]


def test_struct_arrays_and_text_fields(session):
    mapping = {"spikes/spike_time": "units/*/times", "spikes/region": "units/*/region"}
    node = nd.load(session, mapping=mapping)["spikes"]
    assert node["unit"].values.tolist() == [1, 2]
    assert node["spike_count"].values.tolist() == [2, 0]
    assert node["region"].values.tolist() == ["CA1", "CA3"]


def test_positions_from_one_and_from_zero(session):
    for path in ("session/cells{1}/times", "session/cells[0]/times", "session/cells/{1}/times"):
        node = nd.load(session, mapping={"events/onset": path})["events"]
        assert node["onset"].values.tolist() == [1.0, 2.0], path
    with pytest.raises(OptionError, match="leads to no array"):
        nd.load(session, mapping={"events/onset": "session/cells{9}/times"})


def test_a_cell_of_texts_names_the_rois(session):
    mapping = {
        "calcium/fluorescence": "session/traces",
        "calcium/time": "session/time",
        "calcium/label": "session/names",
    }
    labels = nd.load(session, mapping=mapping)["calcium"]["label"].values.tolist()
    assert labels in (["a", "b", "", "d"], ["a", "b", "xyz", "d"])


def test_listing_folds_cells_into_a_star(session):
    with pytest.raises(MissingOptionError) as caught:
        nd.load(session)
    assert "session/cells/*/times  (2, 1)" in str(caught.value)
    assert "session/traces  (6, 4)" in str(caught.value)


def test_cells_of_vectors_with_an_empty_one(v5):
    node = nd.load(v5, mapping={"spikes/spike_time": "trains/*"})["spikes"]
    assert node["spike_count"].to_series().to_dict() == {1: 2, 2: 0}


def test_a_one_element_struct_array_takes_a_star(tmp_path):
    one = np.zeros((1, 1), dtype=[("times", object)])
    one[0, 0] = (np.array([[0.5]]),)
    savemat(tmp_path / "one.mat", {"units": one})
    node = nd.load(tmp_path / "one.mat", mapping={"spikes/spike_time": "units/*/times"})["spikes"]
    assert node["unit"].values.tolist() == [1]


def test_two_stars_give_joined_ids_and_missing_levels_are_skipped(tmp_path):
    tetrodes = cells([cells([{"t": [[0.1]]}, {"t": [[0.2, 0.3]]}]), np.zeros((0, 0)), cells([{"t": np.zeros((0, 1))}])])
    savemat(tmp_path / "deep.mat", {"spikes": cells([tetrodes])})
    node = nd.load(tmp_path / "deep.mat", mapping={"spikes/spike_time": "spikes/{1}/*/*/t"})["spikes"]
    assert node["spike_count"].to_series().to_dict() == {"1-1": 1, "1-2": 2, "3-1": 0}


def test_sparse_and_logical_of_v73(tmp_path):
    path = write_v73(tmp_path / "x.mat")
    rec = nd.load(
        path,
        mapping={"spikes/counts": "sparse", "trials/flag": "flag"},
        bin_width=1.0,
        dims={"spikes/counts": ("time", "unit")},
    )
    np.testing.assert_array_equal(rec["spikes"]["counts"], [[5, 0], [0, 0], [0, 6]])
    assert rec["trials"]["flag"].values.tolist() == [True, False, True]


def test_a_callable_gets_what_scipy_loads(v5):
    node = nd.load(v5, mapping={"trials/start": lambda file: file["matrix"][:, 0], "trials/x": "matrix[:, 1]"})[
        "trials"
    ]
    assert node["start"].values.tolist() == [0.5, 0.75]
    assert node["x"].values.tolist() == [0.25, 0.5]


def test_the_mapping_is_recorded(v5):
    rec = nd.load(v5, mapping={"trials/start": "matrix[:, 0]"})
    assert metadata(rec.attrs)["mapping"] == {"trials/start": "matrix[:, 0]"}


def test_times_in_ms_are_noticed(tmp_path):
    savemat(tmp_path / "ms.mat", {"u": {"a": np.cumsum(np.full(300, 700.0))}})
    with pytest.raises(RecordingError, match="do not look like seconds"):
        nd.load(tmp_path / "ms.mat", mapping={"spikes/spike_time": "u/*"})
    node = nd.load(tmp_path / "ms.mat", mapping={"spikes/spike_time": "u/*"}, time_unit="ms")["spikes"]
    np.testing.assert_allclose(node["spike_time"][0], 0.7)


def test_damaged_files(v5, tmp_path):
    content = v5.read_bytes()
    mapping = {"trials/start": "matrix"}
    for name, broken in (
        ("cut.mat", content[: len(content) // 2]),
        ("text.mat", b"hello" * 100),
        ("short.mat", content[:60]),
        ("cut73.mat", write_v73(tmp_path / "whole.mat").read_bytes()[:3000]),
    ):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(FormatError):
            nd.load(tmp_path / name, mapping=mapping)


def test_positions_run_down_the_columns_as_in_matlab(tmp_path):
    grid = np.empty((2, 2), dtype=object)
    for row, column in np.ndindex(2, 2):
        grid[row, column] = np.array([[10.0 * (row + 1) + column + 1]])
    savemat(tmp_path / "v5.mat", {"grid": grid})
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        table = np.empty((2, 2), dtype=h5py.ref_dtype)
        for row, column in np.ndindex(2, 2):
            name = f"#refs#/{row}{column}"
            file[name] = grid[row, column]
            table[column, row] = file[name].ref
        file.create_dataset("grid", data=table, dtype=h5py.ref_dtype)
        file["grid"].attrs["MATLAB_class"] = np.bytes_("cell")
    for name in ("v5.mat", "v73.mat"):
        node = nd.load(tmp_path / name, mapping={"spikes/spike_time": "grid/*"})["spikes"]
        assert node["unit"].values.tolist() == [1, 2, 3, 4], name
        assert node["spike_time"].values.tolist() == [11.0, 21.0, 12.0, 22.0], name
