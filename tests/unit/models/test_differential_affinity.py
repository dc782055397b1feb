"""differential_affinity against the formula and plain NumPy: gates, signs, lags, smoothing, gaps, NaN."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.signal import savgol_filter
from scipy.stats import spearmanr

import neurodata as nd
from neurodata.errors import OptionError, RecordingError

STEP = 0.1


def traces(n_times: int = 200, n_units: int = 4, seed: int = 0) -> xr.DataArray:
    """Random walks, 10 Hz, not starting at 0."""
    values = np.cumsum(np.random.default_rng(seed).standard_normal((n_times, n_units)), axis=0)
    return xr.DataArray(
        values,
        dims=("time", "unit"),
        coords={"time": 3.0 + STEP * np.arange(n_times), "unit": [f"n{k}" for k in range(n_units)]},
    )


def mad(values):
    return 1.482602218505602 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def slopes(data, window=5, order=2):
    scaled = (data.values - np.median(data.values, axis=0)) / mad(data.values)
    return savgol_filter(scaled, window, order, deriv=1, delta=STEP, axis=0)


def expected(first, second, scale, i, j, sign=1.0):
    gate = [np.abs(d) ** 2 / (s**2 + np.abs(d) ** 2) for d, s in ((first[:, i], scale[i]), (second[:, j], scale[j]))]
    return np.exp(-((first[:, i] - sign * second[:, j]) ** 2) / (scale[i] * scale[j])) * gate[0] * gate[1]


def test_the_formula():
    data = traces()
    slope = slopes(data)
    tensor = nd.models.differential_affinity(data).to_dataarray()
    assert tensor.dims == ("time", "pair")
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor["time"], data["time"])
    for p in range(tensor.sizes["pair"]):
        i, j = (int(str(tensor[name].values[p])[1:]) for name in ("unit", "unit_2"))
        np.testing.assert_allclose(
            tensor[:, p], expected(slope, slope, mad(slope), i, j), rtol=1e-4, atol=1e-7, err_msg=f"{i}, {j}"
        )


def test_units_of_traces_do_not_matter_and_silence_is_not_coupling():
    data = traces()
    one = nd.models.differential_affinity(data).to_dataarray()
    other = nd.models.differential_affinity(5.0 + data * [1.0, 1e3, 1e-3, 7.0]).to_dataarray()
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-6)
    time = np.arange(400) * STEP
    pulse = np.exp(-0.5 * (time - 10.0) ** 2)
    noise = 1e-3 * np.random.default_rng(1).standard_normal((400, 2))
    quiet = xr.DataArray(pulse[:, None] + noise, dims=("time", "unit"), coords={"time": time})
    found = nd.models.differential_affinity(quiet, scale="rms").to_dataarray()[:, 0]
    assert float(found.sel(time=[9.0, 11.0], method="nearest").min()) > 0.5
    # Without the gate it is 1 there.
    assert float(found.sel(time=slice(20.0, 40.0)).max()) < 1e-3


def test_scale_by_standard_deviations():
    data = traces()
    slope = savgol_filter(data.values / data.values.std(axis=0), 5, 2, deriv=1, delta=STEP, axis=0)
    tensor = nd.models.differential_affinity(data, scale="rms").to_dataarray()
    np.testing.assert_allclose(tensor[:, 0], expected(slope, slope, slope.std(axis=0), 0, 1), rtol=1e-4, atol=1e-7)


def test_signs_and_lags():
    data = traces()
    slope = slopes(data)
    scale = mad(slope)
    made = {sign: nd.models.differential_affinity(data, sign=sign).to_dataarray() for sign in ("negative", "both")}
    opposite = expected(slope, slope, scale, 0, 1, -1.0)
    np.testing.assert_allclose(made["negative"][:, 0], opposite, rtol=1e-4, atol=1e-7)
    larger = np.maximum(opposite, expected(slope, slope, scale, 0, 1))
    np.testing.assert_allclose(made["both"][:, 0], larger, rtol=1e-4, atol=1e-7)
    late = nd.models.differential_affinity(data, lag=3 * STEP).to_dataarray()
    now, before = slope[3:], slope[:-3]
    mean = 0.5 * (expected(now, before, scale, 0, 1) + expected(before, now, scale, 0, 1))
    np.testing.assert_allclose(late[3:, 0], mean, rtol=1e-4, atol=1e-7)
    assert np.isnan(late[:3]).all()


@pytest.mark.parametrize("causal", [True, False])
def test_smoothing_is_a_weighted_mean_that_stops_at_gaps(causal):
    data = traces()
    data = data.assign_coords(time=np.where(np.arange(200) < 90, data["time"], data["time"] + 60.0))
    data.attrs["sampling_rate"] = 1 / STEP
    raw = nd.models.differential_affinity(data)
    smooth = nd.models.differential_affinity(data, smoothing=0.4, causal=causal)
    values = raw.to_dataarray().values.astype(float)
    reach = 20  # five time constants
    for t in (0, 3, 50, 88, 89, 90, 91, 150, 199):
        low, high = (0, 90) if t < 90 else (90, 200)
        near = np.arange(max(low, t - reach), t + 1 if causal else min(high, t + reach + 1))
        weight = np.exp(-np.abs(near - t) * STEP / 0.4)
        mean = (weight[:, None] * values[near]).sum(axis=0) / weight.sum()
        np.testing.assert_allclose(smooth.read(t, t + 1)[0], mean, rtol=1e-4)
    whole = smooth.read(0, 200)
    for a, z in ((0, 7), (80, 100), (199, 200)):
        np.testing.assert_allclose(smooth.read(a, z), whole[a:z], rtol=1e-5)


def test_derivatives_do_not_cross_gaps():
    data = traces()
    parts = [data.isel(time=slice(0, 90)), data.isel(time=slice(90, None))]
    parts[1] = parts[1].assign_coords(time=parts[1]["time"] + 60.0)
    joined = xr.concat(parts, "time")
    tensor = nd.models.differential_affinity(joined).to_dataarray()
    scaled = (data.values - np.median(data.values, axis=0)) / mad(data.values)
    slope = np.concatenate(
        [savgol_filter(scaled[a:z], 5, 2, deriv=1, delta=STEP, axis=0) for a, z in ((0, 90), (90, 200))]
    )
    np.testing.assert_allclose(tensor[:, 0], expected(slope, slope, mad(slope), 0, 1), rtol=1e-4, atol=1e-7)


def test_nan_is_honoured_and_nothing_else_is_lost():
    data = traces()
    data[60:80, 1] = np.nan
    data[100:102, 2] = np.nan
    for options in ({}, {"smoothing": 0.3}, {"lag": 0.2}):
        tensor = nd.models.differential_affinity(data, **options).to_dataarray(packed=False)
        missing = np.isnan(tensor.sel(unit="n1", unit_2="n0").values)
        assert missing[60:80].all()
        assert np.isfinite(tensor.sel(unit="n0", unit_2="n3").values[2:]).all()
        assert not missing[:60][2:].any()
        assert missing[82:].sum() == 0
    square = nd.models.differential_affinity(data).to_dataarray(packed=False)
    assert np.isnan(square.values[:, range(4), range(4)]).all()
    np.testing.assert_array_equal(square.values, square.values.transpose(0, 2, 1))


def test_rank_correlations_are_spearmans():
    data = traces(60)
    made = {
        sign: nd.models.differential_affinity(data, method="rank_correlation", window=1.1, sign=sign).to_dataarray()
        for sign in ("positive", "negative", "both")
    }
    assert np.isnan(made["both"][:5]).all()
    assert np.isnan(made["both"][-5:]).all()
    for t in (5, 30, 54):
        value = spearmanr(data.values[t - 5 : t + 6, 0], data.values[t - 5 : t + 6, 2]).statistic
        for sign, want in (("positive", max(0.0, value)), ("negative", max(0.0, -value)), ("both", abs(value))):
            assert float(made[sign][t, 1]) == pytest.approx(want, abs=1e-6)


def test_other_dims_of_items_keep_their_name():
    tensor = nd.models.differential_affinity(traces().rename(unit="channel").transpose()).to_dataarray(packed=False)
    assert tensor.dims == ("time", "channel", "channel_2")
    assert tensor["channel_2"].values.tolist() == ["n0", "n1", "n2", "n3"]


def test_a_stream_says_what_it_is_and_takes_no_memory():
    stream = nd.models.differential_affinity(traces(300, 50))
    assert stream.nbytes == 4 * 300 * 50 * 49 // 2
    assert "50 units" in repr(stream)
    assert stream.read(10, 12).shape == (2, 1225)


def altered(change):
    data = traces()
    change(data)
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (altered(lambda x: x.values.__setitem__((slice(None), 1), 3.0)), "constant traces of .'n1'"),
        (altered(lambda x: x.values.__setitem__((slice(None), 2), np.nan)), "NaN for .'n2'"),
        (altered(lambda x: x.values.__setitem__((slice(3, None), 2), np.nan)), "samples in a row"),
        (altered(lambda x: x.values.__setitem__((3, 2), np.inf)), "infinite"),
        (traces().assign_coords(unit=["a", "a", "b", "c"]), "repeated"),
        (traces().isel(unit=[0]), "two traces"),
        (traces().rename(time="frame"), "dims"),
        (traces().drop_vars("time"), "time"),
        (traces().values, "DataArray"),
    ],
)
def test_bad_traces_are_refused(data, words):
    with pytest.raises(RecordingError, match=words):
        nd.models.differential_affinity(data)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "pearson"},
        {"sign": "any"},
        {"scale": "max"},
        {"lag": 0.05},
        {"lag": -0.1},
        {"window": 0.1},
        {"window": -1.0},
        {"polynomial": 0},
        {"smoothing": 0.0},
        {"method": "rank_correlation", "lag": 0.1},
        {"method": "rank_correlation", "window": 0.1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(OptionError):
        nd.models.differential_affinity(traces(), **settings)
