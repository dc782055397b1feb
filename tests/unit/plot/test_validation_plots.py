"""Pictures of scores: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

import neurodata as nd
from neurodata.errors import OptionError
from neurodata.plot._style import PALETTE

DIMS = ("model", "circuit", "observation", "seed")


def scores() -> xr.DataArray:
    values = np.arange(3 * 2 * 2 * 4, dtype=float).reshape(3, 2, 2, 4) / 100
    coords = {"model": ["a", "b", "c"], "circuit": ["x", "y"], "observation": ["full", "half"], "seed": range(4)}
    return xr.DataArray(values, dims=DIMS, coords=coords)


def test_the_map_shows_means_and_leaves_out_what_is_empty():
    score = scores()
    score[1] = np.nan
    score[:, 1, 1] = np.nan
    ax = nd.plot.score_map(score)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x, full", "x, half", "y, full"]
    shown = ax.images[0].get_array()
    expected = [[score[m, c, o].mean() for m in (0, 2)] for c, o in ((0, 0), (0, 1), (1, 0))]
    np.testing.assert_allclose(shown, expected)
    # sd of four steps of 0.01 is 0.0129; t(0.975, 3) = 3.182; over sqrt 4.
    assert ax.texts[0].get_text() == "0.01 ± 0.02"


def test_good_is_bright_whichever_way():
    def brightest(better):
        ax = nd.plot.score_map(scores(), better=better)
        image = ax.images[0]
        return np.unravel_index(np.argmax(image.cmap(image.norm(image.get_array()))[..., :3].sum(axis=-1)), (4, 3))

    assert brightest("higher") == (3, 2)
    assert brightest("lower") == (0, 0)


def test_a_map_without_any_score_is_drawn():
    ax = nd.plot.score_map(scores() * np.nan)
    assert {text.get_text() for text in ax.texts} == {"-"}


def test_against_chance_models_keep_their_colours_and_baselines_are_empty():
    score = scores()
    score[0] = np.nan
    panels = nd.plot.score_against_chance(score, xr.full_like(score, 0.25), label="AP", baselines=["c"])
    assert [ax.get_title() for ax in panels] == ["full", "half"]
    lines = panels[0].lines[:2]
    assert [line.get_label() for line in lines] == ["b", "c"]
    assert [to_hex(line.get_color()).upper() for line in lines] == list(PALETTE[1:3])
    assert lines[1].get_markerfacecolor() == "white"
    np.testing.assert_allclose(lines[0].get_xdata(), score[1, :, 0].mean("seed"))
    chance = panels[0].collections[-1].get_segments()
    assert all(np.allclose(segment[:, 0], 0.25) for segment in chance)


def test_over_lengths_the_order_is_that_of_time():
    score = xr.concat([scores() + 0.5, scores()], "duration").assign_coords(duration=[100.0, 50.0])
    panels = nd.plot.score_by_duration(score, label="AP")
    line = panels[1].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [50.0, 100.0])
    np.testing.assert_allclose(line.get_ydata(), [scores()[0, 1].mean(), scores()[0, 1].mean() + 0.5])
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["50", "100"]


def test_curves_of_models_without_scores_are_left_out():
    grid = np.linspace(0, 1, 5)
    values = np.array([grid, grid**2, np.full(5, np.nan)])
    rate = xr.DataArray(
        values, dims=("model", "false_positive_rate"), coords={"model": list("abc"), "false_positive_rate": grid}
    )
    precision = rate.rename(false_positive_rate="recall")
    roc, _ = nd.plot.detection_curves(rate, precision)
    assert [line.get_label() for line in roc.lines[:2]] == ["a", "b"]
    np.testing.assert_allclose(roc.lines[1].get_ydata(), grid**2)
    assert len(roc.lines) == 3  # and the line of guessing


def test_weights_of_models_that_give_none_are_refused_or_left_out():
    true = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("model", "edge_sample"), coords={"model": ["a", "b"]})
    claimed = (-true).where(true.model == "b")
    (panel,) = nd.plot.weight_scatter(true, claimed)
    np.testing.assert_allclose(panel.lines[-1].get_ydata(), [-3.0, -4.0, -5.0])
    assert panel.get_title(loc="left") == "b"
    assert "-1.00" in panel.get_title(loc="right")
    with pytest.raises(OptionError, match="none does"):
        nd.plot.weight_scatter(true, claimed * np.nan)


def test_runtimes_show_every_cell_and_the_median():
    ax = nd.plot.runtimes(xr.DataArray([[1.0, 2.0, 9.0], [np.nan] * 3], dims=("model", "seed")))
    assert sorted(ax.lines[0].get_xdata()) == [1.0, 2.0, 9.0]
    assert list(ax.lines[1].get_xdata()) == [2.0, 2.0]


def test_scores_of_other_dims_are_refused():
    with pytest.raises(OptionError, match="select one metric"):
        nd.plot.score_map(scores().expand_dims(metric=["ap"]))
    with pytest.raises(OptionError, match="several durations"):
        nd.plot.score_by_duration(scores())
