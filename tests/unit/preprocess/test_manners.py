"""What every preprocessing function owes its input: untouched, coords, attrs and ids kept, the operation logged."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata._core.provenance import operations

pre = nd.preprocess
RNG = np.random.default_rng(3)
N = 400


def signal(chunked=False):
    time = np.arange(N) / 100.0
    time[250:] += 1.5
    values = RNG.standard_normal((N, 3))
    values[40, 1] = np.nan
    node = nd.make_eeg(
        values, channel=["Fz", "Cz/ö", "Pz"], time=time, sampling_rate=100.0, depth=[1.0, 2.0, 3.0], attrs={"who": "me"}
    )
    array = node["signal"].assign_attrs(who="me")
    return array.chunk({"time": 64, "channel": 2}) if chunked else array


CALLS = {
    "smooth": lambda x: pre.smooth(x, 0.05),
    "zscore": lambda x: pre.zscore(x),
    "filter": lambda x: pre.filter(x, 1.0, 20.0, notch=30.0, order=2),
    "rereference": lambda x: pre.rereference(x),
    "resample": lambda x: pre.resample(x, 50.0),
    "epoch": lambda x: pre.epoch(x, [0.5, 2.4], (0.2, 0.3)),
    "delta_f_over_f": lambda x: pre.delta_f_over_f(x + 10, baseline="maximin", window=1.0, smoothing=0.05),
    "deconvolve": lambda x: pre.deconvolve(x, decay=0.2),
    "regular_segments": lambda x: pre.regular_segments(x)[1],
}
SAME_TIME = ["smooth", "zscore", "filter", "rereference", "delta_f_over_f", "deconvolve"]


@pytest.mark.parametrize("name", CALLS)
def test_input_is_untouched(name):
    data = signal()
    before = data.copy(deep=True)
    CALLS[name](data)
    xr.testing.assert_identical(data, before)


@pytest.mark.parametrize("name", CALLS)
def test_ids_coords_and_attrs_are_kept_and_the_operation_is_logged(name):
    with xr.set_options(keep_attrs=True):
        data = signal()
        new = CALLS[name](data)
    assert new.attrs["who"] == "me"
    assert operations(new.attrs)[-1]["operation"] == name
    assert new.channel.values.tolist() == data.channel.values.tolist()
    assert new.depth.values.tolist() == [1.0, 2.0, 3.0]
    assert new.time.attrs["units"] == "s"


@pytest.mark.parametrize("name", SAME_TIME)
def test_time_gaps_and_nan_stay(name):
    data = signal()
    new = CALLS[name](data)
    assert new.dims == data.dims
    np.testing.assert_array_equal(new.time, data.time)
    np.testing.assert_array_equal(np.isnan(new), np.isnan(data))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_floats_is_kept(name, dtype):
    assert CALLS[name](signal().astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", CALLS)
def test_dask_arrays_stay_lazy_and_give_the_same(name):
    pytest.importorskip("dask", reason="the extra dask is not installed")
    rng = np.random.default_rng(5)
    data = signal()
    data = data.copy(data=rng.standard_normal(data.shape))
    lazy = CALLS[name](data.chunk({"time": 64, "channel": 2}))
    assert lazy.chunks is not None
    eager = CALLS[name](data)
    np.testing.assert_allclose(lazy.compute().values, eager.values, rtol=1e-12, atol=1e-12)
    assert lazy.compute().coords.equals(eager.coords)


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("rereference",)])
def test_order_of_dims_does_not_matter(name):
    data = signal()
    new, turned = CALLS[name](data), CALLS[name](data.transpose("channel", "time"))
    np.testing.assert_allclose(turned.transpose(*new.dims).values, new.values, atol=1e-12)


@pytest.mark.parametrize("name", ["filter", "rereference", "resample"])
def test_nodes_and_recordings_come_back_as_what_they_were(name):
    node = nd.make_eeg(RNG.standard_normal((N, 2)), sampling_rate=100.0, attrs={"who": "me"})
    rec = nd.make_recording(
        {"eeg": node, "eeg_2": node.assign_attrs(who="other"), "events": nd.make_events([1.0])}, attrs={"lab": "x"}
    )
    before = rec.copy(deep=True)
    new_node, new_rec = CALLS[name](node), CALLS[name](rec)
    assert isinstance(new_node, xr.Dataset)
    assert isinstance(new_rec, xr.DataTree)
    nd.check(new_rec)
    xr.testing.assert_identical(rec, before)
    xr.testing.assert_identical(new_rec["eeg"].to_dataset(inherit=False), new_node)
    assert new_rec["eeg_2"].attrs["who"] == "other"
    assert new_rec.attrs["lab"] == "x"
    xr.testing.assert_identical(new_rec["events"].to_dataset(), rec["events"].to_dataset())
    np.testing.assert_array_equal(new_node["signal"], CALLS[name](node["signal"]))
    assert operations(new_node.attrs)[-1]["operation"] == name


@pytest.mark.parametrize("name", ["filter", "rereference", "resample"])
def test_results_survive_the_store(name, tmp_path):
    rec = CALLS[name](nd.make_recording(eeg=nd.make_eeg(RNG.standard_normal((N, 2)), sampling_rate=100.0)))
    assert nd.load(nd.save(rec, tmp_path / "x.nc")).identical(rec)


@pytest.mark.parametrize("name", ["smooth", "zscore", "regular_segments"])
def test_other_input_is_a_typed_error(name):
    node = nd.make_eeg(np.zeros((9, 1)), sampling_rate=10.0)
    with pytest.raises(nd.errors.RecordingError, match="DataArray"):
        CALLS[name](node)


def test_no_function_is_hidden_by_a_module_of_its_name():
    import importlib

    for module in ("filtering", "epoching", "resampling", "rereferencing", "smoothing", "bin", "dff", "scale"):
        importlib.import_module(f"neurodata.preprocess.{module}")
    assert all(callable(getattr(pre, name)) for name in pre.__all__)
