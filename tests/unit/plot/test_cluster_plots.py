"""Plots of bi-clustering: what they show is what they were given."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError


def test_similarity_is_in_the_order_of_the_clusters():
    label = np.array([1, 0, 1, 0, 0])
    values = (label[:, None] == label[None, :]) * 0.8 + 0.1
    unit = ["a", "b", "c", "d", "e"]
    matrix = xr.DataArray(values, dims=("unit", "unit_2"), coords={"unit": unit, "unit_2": unit})
    ax = nd.plot.similarity(matrix, xr.DataArray(label, dims="unit", coords={"unit": unit}))
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown[:3, :3], 0.9)
    np.testing.assert_allclose(shown[:3, 3:], 0.1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "d", "e", "a", "c"]
    assert [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1] == [2.5]
    with pytest.raises(OptionError, match="square"):
        nd.plot.similarity(matrix[:2])
    with pytest.raises(OptionError, match="each of 5"):
        nd.plot.similarity(matrix, xr.DataArray([0, 1], dims="unit"))


def test_numbers_are_bars_of_their_probabilities():
    table = xr.DataArray([0.25, 0.75], dims="n_states", coords={"n_states": [2, 4]})
    ax = nd.plot.group_numbers(table)
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.75]
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == [2, 4]
    assert ax.get_xlabel() == "number of states"


def test_rates_are_drawn_as_counts_not_logs():
    time, unit = np.arange(6.0), [4, 7, 9]
    counts = xr.DataArray(np.arange(18.0).reshape(6, 3), dims=("time", "unit"), coords={"time": time, "unit": unit})
    log = xr.zeros_like(counts) + np.log(2.0)
    rate = xr.Dataset({"mean": log, "low": log - 1, "high": log + 1}, attrs={"level": 0.5})
    state = xr.DataArray([0, 0, 1, 1, -1, 1], dims="time", coords={"time": time})
    panels = nd.plot.rates(rate, counts, [7, 9], marks=state)
    assert [ax.get_ylabel() for ax in panels] == ["unit 7", "unit 9"]
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), counts.sel(unit=7))
    np.testing.assert_allclose(panels[0].lines[1].get_ydata(), 2.0)
    assert panels[0].get_title(loc="right") == "band: 50 %"
    assert len(panels[0].patches) == 3
    assert len(nd.plot.rates(rate, counts, most=2)) == 2
    with pytest.raises(OptionError, match="units of the data"):
        nd.plot.rates(rate, counts, [5])
    with pytest.raises(OptionError, match="predict_rate"):
        nd.plot.rates(rate[["mean"]], counts)


def test_chains_show_draws_and_even_ranks_of_equal_chains():
    rng = np.random.default_rng(0)
    values = np.stack([rng.permutation(1000), rng.permutation(1000)]) * 1.0
    data = xr.Dataset({"mass": (("chain", "draw"), values), "other": (("chain",), [1.0, 2.0])})
    panels = nd.plot.chains(data)
    assert panels.shape == (1, 2)
    np.testing.assert_allclose(panels[0, 0].lines[1].get_ydata(), values[1])
    heights = panels[0, 1].patches[0].get_xy()[:, 1]
    assert heights.max() == 50
    with pytest.raises(OptionError, match="mass"):
        nd.plot.chains(data, ["other"])


def test_a_fitted_model_goes_into_every_plot():
    counts = nd.containers.make_counts(np.random.default_rng(0).poisson(2.0, (30, 4)), bin_width=0.5)
    model = nd.models.BiClustering(n_latents=1, n_chains=2, n_warmup=4, n_draws=4, rng=0).fit(counts)
    nd.plot.similarity(model.unit_similarity_, model.unit_cluster_)
    nd.plot.group_numbers(model.n_states_)
    nd.plot.rates(model.predict_rate(), counts, marks=model.state_)
    nd.plot.chains(model.posterior_)
    nd.plot.trajectories(model.latent_, model.state_)
    nd.plot.states(model.state_, counts)


def trajectories_of(n_clusters: int = 3) -> xr.Dataset:
    """Two courses of six bins with a gap after the third."""
    time = np.array([0.0, 0.5, 1.0, 5.0, 5.5, 6.0])
    coords = {"cluster": np.arange(n_clusters), "time": time, "latent": ["common", "factor_1"]}
    values = np.arange(n_clusters * 12.0).reshape(n_clusters, 6, 2)
    mean = xr.DataArray(values, dims=("cluster", "time", "latent"), coords=coords)
    return xr.Dataset({"mean": mean, "low": mean - 1, "high": mean + 2}, attrs={"level": 0.8})


def test_trajectories_have_bands_and_no_bridge_over_gaps():
    latent = trajectories_of()
    state = xr.DataArray([0, 0, 1, 1, 1, 0], dims="time", coords={"time": latent["time"]})
    panels = nd.plot.trajectories(latent, state)
    assert [ax.get_ylabel() for ax in panels] == ["cluster 0", "cluster 1", "cluster 2", "state"]
    line = panels[1].lines[2]
    expected = latent["mean"].values[1, :, 1]
    np.testing.assert_allclose(line.get_ydata(), [*expected[:3], np.nan, *expected[3:]])
    assert line.get_label() == "factor_1"
    band = panels[1].collections[1].get_paths()
    assert len(band) == 2
    assert band[0].get_extents().y0 == expected[:3].min() - 1
    assert band[0].get_extents().y1 == expected[:3].max() + 2
    assert panels[0].get_title(loc="right") == "band: 80 %"
    assert panels[-1].get_xlabel() == "time (s)"


def test_trajectories_say_what_they_leave_out():
    latent = trajectories_of()
    latent["mean"][1, :, 1] = np.nan
    panels = nd.plot.trajectories(latent, most=2, start=4.0)
    assert len(panels) == 2
    assert panels[0].get_title(loc="right") == "band: 80 %; smaller clusters, not shown: 1"
    np.testing.assert_array_equal(panels[0].lines[1].get_xdata(), [5.0, 5.5, 6.0])
    assert len(panels[1].lines) == 2
    with pytest.raises(OptionError, match="latent_"):
        nd.plot.trajectories(latent[["mean"]])
    with pytest.raises(OptionError, match="trial"):
        nd.plot.trajectories(latent.expand_dims(trial=2))
    with pytest.raises(OptionError, match="stretch"):
        nd.plot.trajectories(latent, start=100.0)
