"""Plots of motifs: what they show is what they were given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError

UNIT = ["a", "b", "c", "d"]


def graph() -> tuple[xr.DataArray, xr.DataArray]:
    """Links a-c (2), b-d (1) and a-b (0.5); c has a community with a, d is by itself, b without."""
    values = np.zeros((4, 4))
    for i, j, w in ((0, 2, 2.0), (1, 3, 1.0), (0, 1, 0.5)):
        values[i, j] = values[j, i] = w
    weight = xr.DataArray(values, dims=("unit", "unit_2"), coords={"unit": UNIT, "unit_2": UNIT})
    return weight, xr.DataArray([0, -1, 0, 1], dims="unit", coords={"unit": UNIT})


def test_courses_have_a_panel_each_with_stages_behind():
    course = xr.DataArray(
        np.column_stack([np.arange(10.0), np.zeros(10)]), dims=("time", "motif"), coords={"time": 5.0 + np.arange(10)}
    )
    panels = nd.plot.motif_courses(
        course, {"odour": [(6.0, 8.0)], "food": [(9.0, 99.0)]}, boundaries=xr.DataArray([7.5], dims="change")
    )
    assert len(panels) == 2
    assert panels[-1].get_xlabel() == "time (s)"
    top = panels[0].collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == 9.0
    assert [line.get_xdata()[0] for line in panels[0].lines] == [7.5]
    spans = [patch.get_extents().transformed(panels[0].transData.inverted()) for patch in panels[0].patches]
    np.testing.assert_allclose([(s.x0, s.x1) for s in spans], [(6.0, 8.0), (9.0, 14.0)])
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == ["odour", "food"]
    with pytest.raises(OptionError, match="time, motif"):
        nd.plot.motif_courses(course.rename(motif="state"))


def test_animals_after_each_other_are_drawn_by_sample():
    course = xr.DataArray(
        np.ones((6, 1)),
        dims=("time", "motif"),
        coords={"time": [0.0, 1, 2, 0, 1, 2], "time_session": ("time", list("aaabbb"))},
    )
    panels = nd.plot.motif_courses(course)
    assert panels[0].lines[0].get_xdata()[0] == 3
    assert "sample" in panels[0].get_xlabel()


def test_pairs_are_in_the_order_of_communities():
    weight, community = graph()
    ax = nd.plot.community_matrix(weight, community)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "c", "d", "b"]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert shown[0, 1] == 2.0
    assert shown[2, 3] == 1.0
    assert np.isnan(np.diag(shown)).all()
    with pytest.raises(OptionError, match="square"):
        nd.plot.community_matrix(weight[:2], community)
    with pytest.raises(OptionError, match="each of 4"):
        nd.plot.community_matrix(weight, community[:2])


def test_the_atlas_has_stars_where_it_is_significant():
    both = ("stage", "motif")
    atlas = xr.DataArray(
        np.ones((2, 3, 1)),
        dims=("stage", "motif", "community"),
        coords={
            "stage": ["fed", "starved"],
            "motif": [0, 1, 2],
            "correlation": (both, [[0.1, 0.2, -0.8], [0.0, 0.3, 0.8]]),
            "significant": (both, [[False, False, True], [False, False, True]]),
        },
        attrs={"level": 0.05},
    )
    ax = nd.plot.motif_atlas(atlas)
    assert [text.get_position() for text in ax.texts] == [(2, 0), (2, 1)]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["fed", "starved"]
    np.testing.assert_array_equal(ax.images[0].get_array(), atlas["correlation"].values)
    with pytest.raises(OptionError, match="correlations"):
        nd.plot.motif_atlas(atlas.drop_vars("correlation"))


def test_links_join_the_units_that_they_link():
    weight, community = graph()
    place = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    ax = nd.plot.motif_graph(weight, community, position=place, most=2)
    links = {tuple(map(tuple, segment)) for segment in ax.collections[0].get_segments()}
    assert links == {((0.0, 0.0), (0.0, 2.0)), ((1.0, 0.0), (3.0, 3.0))}
    assert ax.get_title(loc="right") == "2 strongest of 3 links"
    named = weight.assign_coords(x=("unit", place[:, 0]), y=("unit", place[:, 1]))
    by_coords = nd.plot.motif_graph(named, community, most=2).collections[0].get_segments()
    assert {tuple(map(tuple, segment)) for segment in by_coords} == links
    circle = nd.plot.motif_graph(weight, community)
    ends = np.concatenate(circle.collections[0].get_segments())
    np.testing.assert_allclose(np.linalg.norm(ends, axis=1), 1.0)
    assert [text.get_text() for text in circle.texts] == ["a", "c", "d"]
    with pytest.raises(OptionError, match="positions"):
        nd.plot.motif_graph(weight, community, position=place[:2])
