"""Pictures show the data they are given, with units, and leave nothing behind."""

from __future__ import annotations

import io
import time

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError, RecordingError
from neurodata.plot._decimate import envelope


@pytest.fixture(autouse=True)
def _nothing_left():
    """No figure in pyplot's list and no setting changed."""
    before = dict(matplotlib.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def _draw(ax) -> bytes:
    figure = (ax if hasattr(ax, "figure") else np.ravel(ax)[0]).figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


@pytest.fixture
def spikes():
    return nd.make_spikes({"b": [0.5, 1.0, 1.5], "a": [], "c": [2.0]}, support=[[0.0, 4.0]], depth=[30.0, 10.0, 20.0])


def test_raster_has_a_tick_for_each_spike(spikes):
    ax = nd.plot.raster(spikes)
    (ticks,) = ax.lines
    assert ticks.get_xdata().tolist() == [0.5, 1.0, 1.5, 2.0]
    assert ticks.get_ydata().tolist() == [0, 0, 0, 2]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    assert ax.get_xlim() == (0.0, 4.0)
    unit_rate = next(child for child in ax.child_axes if child.get_label() == "unit rate")
    assert [bar.get_width() for bar in unit_rate.patches] == [0.75, 0.0, 0.25]
    assert _draw(ax)


def test_raster_sorts_by_a_coordinate_and_cuts(spikes):
    ax = nd.plot.raster(spikes, sort="depth", start=0.9, stop=2.0, rates=False)
    (ticks,) = ax.lines
    assert ticks.get_xdata().tolist() == [1.0, 1.5, 2.0]
    assert ticks.get_ydata().tolist() == [2, 2, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "c", "b"]
    assert ax.child_axes == []
    with pytest.raises(OptionError, match="depth"):
        nd.plot.raster(spikes, sort="colour")


def test_the_rates_of_a_dense_raster_add_up_to_its_spikes():
    rng = np.random.default_rng(0)
    node = nd.make_spikes([np.sort(rng.uniform(0, 100, 5000)) for _ in range(4)], support=[[0.0, 100.0]])
    ax = nd.plot.raster(node)
    (image,) = ax.images
    rate = np.asarray(image.get_array())
    assert ax.lines[:] == []
    np.testing.assert_allclose(rate.mean(axis=1), 50.0)


def test_an_hour_of_500_units_is_drawn_in_seconds():
    rng = np.random.default_rng(1)
    n_units, n_spikes = 500, 4_000_000
    unit = np.sort(rng.integers(0, n_units, n_spikes))
    times = rng.uniform(0, 3600, n_spikes)
    node = nd.make_spikes(
        times[np.lexsort((times, unit))], spike_count=np.bincount(unit, minlength=n_units), support=[[0.0, 3600.0]]
    )
    begin = time.perf_counter()
    assert _draw(nd.plot.raster(node))
    assert time.perf_counter() - begin < 20  # 9 million took 2.1 s on one core that was shared


def test_raster_without_a_spike():
    assert _draw(nd.plot.raster(nd.make_spikes({"a": []})))


def test_envelope_keeps_every_extreme_and_breaks_at_gaps():
    rng = np.random.default_rng(2)
    t = np.r_[np.arange(5000), 9000 + np.arange(5000)] / 100.0
    x = rng.standard_normal((10_000, 2))
    x[3210, 1] = 50.0
    x[8888, 0] = -50.0
    time_, values = envelope(t, x, columns=200)
    assert len(time_) < 450
    assert np.nanmax(values[:, 1]) == 50.0
    assert np.nanmin(values[:, 0]) == -50.0
    (gap,) = np.flatnonzero(np.isnan(values).all(axis=1))
    assert 50.0 < time_[gap] < 90.0
    assert (np.diff(time_) >= 0).all()


def test_envelope_passes_over_missing_samples():
    x = np.arange(1000.0)[:, None]
    x[10:15] = np.nan
    _, values = envelope(np.arange(1000.0), x, columns=10)
    assert np.nanmin(values) == 0.0
    assert np.isfinite(values).all()


def test_traces_say_what_they_leave_out_and_which_are_no_cells():
    x = np.random.default_rng(3).standard_normal((100, 30))
    node = nd.make_calcium(x, sampling_rate=10.0, roi=np.arange(100, 130), is_cell=np.arange(30) > 0)
    ax = nd.plot.traces(node, most=10)
    assert ax.get_title("right") == "10 of 30 ROIs; grey: not a cell"
    assert [label.get_text() for label in ax.get_yticklabels()][0] == "100"
    first, second = ax.lines[:2]
    assert first.get_color() != second.get_color()
    assert ax.get_xlabel() == "time (s)"
    chosen = nd.plot.traces(node, roi=[105, 103])
    shown = chosen.lines[1].get_ydata()
    np.testing.assert_allclose(np.diff(shown), np.diff(x[:, 3]))
    with pytest.raises(OptionError, match="fluorescence"):
        nd.plot.traces(node, "dff")
    assert _draw(ax)


def test_signals_are_microvolts_and_only_voltages():
    x = np.random.default_rng(4).standard_normal((500, 3)) * [1e-5, 1e-5, 100.0]
    node = nd.make_eeg(x, channel=["Cz", "EOG L/R", "µ-temp"], sampling_rate=100.0, ch_unit=["V", "V", "C"])
    ax = nd.plot.signals(node)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Cz", "EOG L/R"]
    np.testing.assert_allclose(np.diff(ax.lines[0].get_ydata()), np.diff(x[:, 0]) * 1e6)
    assert any(text.get_text().endswith("µV") for text in ax.texts)
    with pytest.raises(OptionError, match="Pz"):
        nd.plot.signals(node, channel=["Pz"])
    assert _draw(ax)


def test_signals_mark_the_events_in_view():
    rec = nd.make_recording(
        eeg=nd.make_eeg(np.zeros((2000, 1)), sampling_rate=100.0),
        events=nd.make_events([2.0, 15.0], 0.0, ["go", "stop"]),
    )
    ax = nd.plot.signals(rec)
    assert [text.get_text().strip() for text in ax.texts if "µV" not in text.get_text()] == ["go"]


def test_spectrum_in_decibel():
    t = np.arange(20_000) / 200.0
    amplitude = 10e-6
    ax = nd.plot.spectrum(nd.make_eeg((amplitude * np.sin(2 * np.pi * 20 * t))[:, None], sampling_rate=200.0))
    frequency, level = ax.lines[0].get_data()
    assert frequency[np.argmax(level)] == pytest.approx(20.0)
    # A sine of 10 µV has 50 µV²; a Hann window of 2 s spreads it over 1.5 lines of 0.5 Hz.
    assert level.max() == pytest.approx(10 * np.log10(50 / 0.75), abs=0.05)
    with pytest.raises(RecordingError, match="eeg"):
        nd.plot.spectrum(nd.make_recording(spikes=nd.make_spikes({"a": [0.1]})))


def test_average_is_the_mean_and_its_standard_error():
    values = np.random.default_rng(5).standard_normal((12, 5))
    epochs = xr.DataArray(
        values,
        dims=("trial", "time"),
        coords={"time": np.linspace(-0.1, 0.3, 5), "description": ("trial", ["a", "b"] * 6)},
        attrs={"units": "V", "long_name": "signal"},
    )
    ax = nd.plot.average(epochs)
    assert [line.get_label() for line in ax.lines[:2]] == ["a (6)", "b (6)"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values[::2].mean(axis=0) * 1e6)
    band = ax.collections[0].get_paths()[0].vertices
    error = values[::2].std(axis=0, ddof=1) / np.sqrt(6) * 1e6
    for k, at in enumerate(epochs.time.values):
        edges = band[np.isclose(band[:, 0], at), 1]
        assert edges.max() - edges.min() == pytest.approx(2 * error[k])
    assert ax.get_ylabel() == "signal (µV)"
    with pytest.raises(OptionError, match="description"):
        nd.plot.average(epochs, by="kind")


def test_average_of_counts_is_a_rate(spikes):
    epochs = nd.preprocess.epoch(spikes, [1.0, 1.5], (0.25, 0.25), bin_width=0.25)
    ax = nd.plot.average(epochs.sel(unit="b"))
    assert ax.get_ylabel() == "rate (spikes/s)"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.0, 4.0])


def test_averages_give_a_panel_to_each_item():
    epochs = xr.DataArray(
        np.zeros((3, 4, 5)),
        dims=("trial", "time", "channel"),
        coords={"time": np.arange(4.0), "channel": list("abcde")},
    )
    panels = nd.plot.averages(epochs, columns=3)
    assert panels.shape == (2, 3)
    assert [ax.get_title("left") for ax in panels.flat if ax.get_visible()] == list("abcde")
    assert _draw(panels)


def test_states_of_a_path_and_of_probabilities():
    t = np.arange(8) + 0.5
    path = xr.DataArray([0, 0, 1, 1, 1, 2, 2, 0], dims="time", coords={"time": t})
    proba = xr.DataArray(np.eye(3)[path.values], dims=("time", "state"), coords={"time": t})
    for given in (path, proba):
        ax = nd.plot.states(given)
        tops = np.array([patch.get_data().values for patch in ax.patches])
        bottoms = np.array([patch.get_data().baseline for patch in ax.patches])
        np.testing.assert_allclose((tops - bottoms).T, np.eye(3)[path.values])
    counts = nd.bin_spikes(nd.make_spikes({"a": [0.5, 3.2], "b": [7.5]}, support=[[0.0, 8.0]]), 1.0)
    ax = nd.plot.states(proba, counts)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), counts.values.T)
    assert _draw(ax)


def test_states_leave_a_gap_open():
    path = xr.DataArray([0, 0, 0, 1, 1], dims="time", coords={"time": [0.5, 1.5, 2.5, 7.5, 8.5]})
    ax = nd.plot.states(path)
    height = sum(patch.get_data().values - patch.get_data().baseline for patch in ax.patches)
    np.testing.assert_allclose(height, [1, 1, 1, 0, 0, 0, 0, 1, 1])


def test_weights_share_a_scale_and_leave_the_diagonal_white():
    values = np.random.default_rng(6).standard_normal((2, 4, 4))
    values[:, np.arange(4), np.arange(4)] = -99.0
    weight = xr.DataArray(values, dims=("state", "post", "pre"), coords={"post": list("abcd"), "pre": list("abcd")})
    panels = nd.plot.weights(weight, sort=[3, 2, 1, 0])
    shown = np.ma.masked_invalid(panels[1].images[0].get_array())
    assert shown[0, 3] == values[1, 3, 0]
    assert np.ma.getmaskarray(shown)[np.arange(4), np.arange(4)].all()
    limits = {panel.images[0].get_clim() for panel in panels}
    assert len(limits) == 1
    assert max(limits.pop()) < 5
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["d", "c", "b", "a"]
    assert _draw(panels)


def test_rdm_labels_its_conditions():
    matrix = xr.DataArray([[0.0, 0.4], [0.4, 0.0]], dims=("condition", "condition_2"), coords={"condition": ["x", "y"]})
    ax = nd.plot.rdm(matrix)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y"]
    assert {text.get_text() for text in ax.texts} == {"0.40"}
    assert _draw(ax)


def test_given_axes_are_used():
    figure = matplotlib.figure.Figure()
    ax = figure.add_subplot()
    assert nd.plot.raster(nd.make_spikes({"a": [0.1]}), ax=ax) is ax
