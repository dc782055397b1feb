"""deconvolve() and noise_level(): what they are told and find, NaN, gaps, attrs, and known spikes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata._core.provenance import operations
from neurodata.errors import MissingOptionError, OptionError, RecordingError

RATE = 20.0


def traces(n_frames: int = 1200, n_rois: int = 3, noise: float = 0.05, seed: int = 0):
    """dF/F of known events of size 1 that decay within 0.5 s, at 20 Hz: (node, events)."""
    rng = np.random.default_rng(seed)
    events = (rng.random((n_frames, n_rois)) < 0.03).astype(float)
    c = np.zeros_like(events)
    g = np.exp(-1 / RATE / 0.5)
    for t in range(n_frames):
        c[t] = events[t] + (g * c[t - 1] if t else 0.0)
    y = c + noise * rng.standard_normal(c.shape)
    return nd.make_calcium(dff=y, sampling_rate=RATE, roi=[f"r{k}" for k in range(n_rois)]), events


def deconvolve(data, **settings):
    return nd.preprocess.deconvolve(data, **{"decay": 0.5} | settings)


def test_known_events_are_found_in_their_frame():
    node, events = traces()
    found = deconvolve(node["dff"]).values
    assert np.corrcoef(found[5:].ravel(), events[5:].ravel())[0, 1] > 0.95
    assert found[events > 0].mean() == pytest.approx(1.0, abs=0.1)
    assert found.min() >= 0


@pytest.mark.parametrize("penalty", [3.0, "noise"])
def test_a_penalty_removes_small_events(penalty):
    node, events = traces()
    plain, sparse = deconvolve(node["dff"]).values, deconvolve(node["dff"], penalty=penalty).values
    assert (sparse > 0).sum() < 0.9 * (plain > 0).sum()
    assert sparse.sum() < plain.sum()
    assert np.corrcoef(sparse[5:].ravel(), events[5:].ravel())[0, 1] > 0.95


def test_the_noise_penalty_leaves_the_noise():
    from neurodata.kernels.oasis_nb import residual
    from neurodata.preprocess.deconvolution import _penalty_for_noise

    node, _ = traces(noise=0.1)
    y = node["dff"].values[:, 0]
    g = np.exp(-1 / RATE / 0.5)
    assert residual(y, g, _penalty_for_noise([y], g, 0.1)) == pytest.approx(0.01, rel=1e-3)
    assert _penalty_for_noise([np.full(4, np.nan)], g, 0.1) == 0.0


def test_a_threshold_leaves_no_event_below_it():
    node, events = traces(noise=0.1)
    found = deconvolve(node["dff"], threshold=3.0, baseline=0.0).values
    sd = np.median(abs(np.diff(node["dff"].values, axis=0)), axis=0) / 0.9538725524
    for k in range(3):
        some = found[1:, k][found[1:, k] > 0]
        assert some.min() >= 3 * sd[k] * (1 - 1e-9)
    assert (found > 0).sum() < 3 * events.sum()


def test_a_baseline_is_found_and_taken_away():
    node, _ = traces()
    plain = deconvolve(node["dff"])
    moved = deconvolve(node["dff"] + 5.0)
    np.testing.assert_allclose(moved.values, plain.values, atol=1e-9)
    # Estimated on sparse traces: 0, within a few standard errors of the smoothed noise.
    known = deconvolve(node["dff"], baseline=0.0)
    assert abs(plain.sum("time") - known.sum("time")).values.max() < 0.35 * known.sum("time").values.min()


def test_gaps_are_not_bridged():
    node, _ = traces()
    whole = node["dff"]
    apart = whole.assign_coords(
        time=("time", np.where(whole.time < 30, whole.time, whole.time + 100), whole.time.attrs)
    )
    found = deconvolve(apart, baseline=0.0)
    first = deconvolve(whole.isel(time=slice(0, 600)), baseline=0.0)
    second = deconvolve(whole.isel(time=slice(600, None)), baseline=0.0)
    np.testing.assert_allclose(found.values, np.concatenate((first.values, second.values)), atol=1e-9)
    assert (found.values[[0, 600]] == 0).all()


def test_nan_stays_and_the_decay_goes_on_through_it():
    y = np.exp(-np.arange(60) / RATE / 0.5)
    y = np.concatenate((np.zeros(20), y))[:, None]
    y[[25, 26, 27], 0] = np.nan
    found = deconvolve(nd.make_calcium(dff=y, sampling_rate=RATE)["dff"], baseline=0.0).values[:, 0]
    assert np.flatnonzero(np.isnan(found)).tolist() == [25, 26, 27]
    assert np.flatnonzero(found > 1e-6).tolist() == [20]  # no event after the gap: what is there has decayed
    never = nd.make_calcium(dff=np.full((30, 2), np.nan), sampling_rate=RATE)["dff"]
    assert np.isnan(deconvolve(never).values).all()


def test_nodes_and_recordings_get_a_variable_and_a_log():
    node, _ = traces()
    node = node.assign_attrs(indicator="GCaMP6m", scope="A")
    rec = nd.make_recording(calcium=node)
    seen = nd.check(nd.preprocess.deconvolve(rec))["calcium"].to_dataset()
    assert seen["deconvolved"].dims == ("time", "roi")
    assert seen["deconvolved"].attrs["units"] == "dF/F"
    assert seen.attrs["scope"] == "A"
    assert operations(seen.attrs)[-1]["operation"] == "deconvolve"
    assert operations(seen["deconvolved"].attrs)[-1]["parameters"]["decay"] == 1.0  # of GCaMP6m
    np.testing.assert_array_equal(seen["roi"].values, node["roi"].values)
    assert "deconvolved" not in node
    with pytest.raises(RecordingError, match="delta_f_over_f"):
        nd.preprocess.deconvolve(nd.make_calcium(np.ones((5, 1)), sampling_rate=1.0))


def test_dims_dtypes_and_chunks_are_kept():
    node, _ = traces()
    plain = deconvolve(node["dff"])
    turned = deconvolve(node["dff"].transpose("roi", "time"))
    assert turned.dims == ("roi", "time")
    np.testing.assert_array_equal(turned.values.T, plain.values)
    assert deconvolve(node["dff"].astype(np.float32)).dtype == np.float32
    pytest.importorskip("dask", reason="lazy arrays are dask's")
    lazy = deconvolve(node["dff"].chunk({"roi": 1, "time": 100}))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), plain)


def test_an_unknown_decay_is_asked_for():
    node, _ = traces()
    with pytest.raises(MissingOptionError, match="decay="):
        nd.preprocess.deconvolve(node["dff"])
    with pytest.raises(MissingOptionError, match="XCaMP"):
        nd.preprocess.deconvolve(node.assign_attrs(indicator="XCaMP"))


@pytest.mark.parametrize(
    "settings",
    [
        {"indicator": "OGB-1"},
        {"decay": 0.0},
        {"decay": 1e-4},
        {"penalty": -1.0},
        {"penalty": "loud"},
        {"threshold": float("nan")},
        {"baseline": float("inf")},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(OptionError):
        deconvolve(traces()[0]["dff"], **settings)


def test_noise_level_is_cascades():
    """The formula written out, and the constant for white noise."""
    y = 0.08 * np.random.default_rng(0).standard_normal((20_000, 2))
    dff = nd.make_calcium(dff=y, sampling_rate=25.0)["dff"]
    level = nd.preprocess.noise_level(dff)
    np.testing.assert_allclose(level.values, 100 * np.median(abs(np.diff(y, axis=0)), axis=0) / 5.0)
    np.testing.assert_allclose(level.values, 95.387 * 0.08 / 5.0, rtol=0.03)  # the median of 20 000 varies by 0.8 %
    assert level.dims == ("roi",)
    assert level.attrs["units"] == "%/sqrt(Hz)"


def test_noise_level_leaves_gaps_and_nan_out():
    y = 0.1 * np.random.default_rng(1).standard_normal((400, 3))
    y[:, 2] = np.nan
    y[100:110, 1] = np.nan
    time = np.arange(400) / 10.0
    time[200:] += 50.0
    dff = nd.make_calcium(dff=y, time=time)["dff"]
    dff.values[200:, 0] += 100.0  # a jump across the gap is no noise
    change = np.delete(abs(np.diff(y, axis=0)), 199, axis=0)
    expected = 100 * np.nanmedian(change[:, :2], axis=0) / np.sqrt(10)
    found = nd.preprocess.noise_level(dff)
    np.testing.assert_allclose(found.values[:2], expected)
    assert np.isnan(found.values[2])
    with pytest.raises(RecordingError, match="delta_f_over_f"):
        nd.preprocess.noise_level(nd.make_calcium(np.ones((5, 1)), sampling_rate=1.0))


def test_events_follow_simulated_spikes():
    """From the simulator to events and back, in 0.2 s: closer to the spikes than dF/F is, which smears them."""
    from neurodata.simulate import Calcium, observe, run, zoo

    rec = run(zoo.static(n=10, bias=15.0, rng=0), 60.0, rng=0)
    stage = Calcium(noise_level=1.0)
    node = nd.preprocess.delta_f_over_f(observe(rec, [stage], rng=0)["calcium"].to_dataset(), neuropil_coefficient=0.7)
    node = nd.preprocess.deconvolve(node, decay=stage.time_constants[1])
    counts = nd.preprocess.bin_spikes(rec, 0.2).values
    active = np.flatnonzero(counts.sum(axis=0) > 20)

    def likeness(name: str) -> float:
        binned = node[name].values[: counts.shape[0] * 6].reshape(-1, 6, 10).sum(axis=1)
        return float(np.median([np.corrcoef(binned[:, k], counts[:, k])[0, 1] for k in active]))

    assert active.size >= 5
    assert likeness("deconvolved") > likeness("dff") + 0.05
