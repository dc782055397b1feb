"""Geo-topological and geodesic transforms, connected groups, dependence, aligned scaling."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.stats import rankdata

import neurodata as nd
from neurodata.errors import OptionError, RecordingError
from neurodata.models.trsa.rdm import from_vectors, to_vectors

CLOSE = {"rtol": 0, "atol": 1e-12}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def points_rdm(rng, n=10, n_rdms=3):
    place = rng.normal(size=(n_rdms, n, 3))
    return nd.models.make_rdm(((place[:, :, None] - place[:, None]) ** 2).sum(-1), measure="euclidean")


def test_ranks_come_first_then_quantiles_of_them(rng):
    rdm = points_rdm(rng)
    got = to_vectors(nd.models.geo_topological(rdm, 0.25, 0.8, rank=True))[0]
    for row, vector in zip(got, to_vectors(rdm)[0], strict=True):
        rank = rankdata(vector)
        rank = (rank - rank.min()) / (rank.max() - rank.min())
        low, high = np.quantile(rank, [0.25, 0.8])
        np.testing.assert_allclose(row, np.clip((rank - low) / (high - low), 0, 1), **CLOSE)


def test_unknown_pairs_stay_unknown_and_have_no_say(rng):
    vector = to_vectors(points_rdm(rng, n_rdms=1))[0][0]
    holed = vector.copy()
    holed[[3, 8]] = np.nan
    for rank in (False, True):
        got = to_vectors(nd.models.geo_topological(from_vectors(holed), 0.2, 0.7, rank))[0][0]
        assert np.isnan(got).sum() == 2
        low, high = np.quantile(rankdata(vector[~np.isnan(holed)]) if rank else vector[~np.isnan(holed)], [0.2, 0.7])
        known = rankdata(holed[~np.isnan(holed)]) if rank else holed[~np.isnan(holed)]
        np.testing.assert_allclose(got[~np.isnan(holed)], np.clip((known - low) / (high - low), 0, 1), **CLOSE)


def test_ties_at_both_quantiles_leave_a_step():
    got = nd.models.geo_topological(from_vectors([1.0, 1.0, 1.0, 1.0, 1.0, 4.0]), 0.2, 0.6)
    assert sorted(to_vectors(got)[0][0].tolist()) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("lower", "upper"), [(0.5, 0.5), (0.7, 0.3), (-0.1, 0.5), (0.2, 1.1), (np.nan, 0.5)])
def test_lower_must_be_below_upper(rng, lower, upper):
    for call in (nd.models.geo_topological, lambda r, lo, up: nd.models.geodesic(r, lower=lo, upper=up)):
        with pytest.raises(OptionError, match="lower < upper"):
            call(points_rdm(rng), lower, upper)


def edges_of(vector, graph, n):
    """Which pairs are connected, by plain loops."""
    scaled = (vector - vector.min()) / (vector.max() - vector.min())
    square = from_vectors(scaled).values
    if graph == "p-shortest":
        return scaled, scaled <= np.quantile(scaled, 0.3)
    near = np.zeros((n, n), dtype=bool)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for j in sorted(others, key=lambda j: square[i, j])[:3]:
            near[i, j] = True
    both = near & near.T if graph == "mutual-knn" else near | near.T
    return scaled, both[np.triu_indices(n, 1)]


@pytest.mark.parametrize(
    ("graph", "options"),
    [("p-shortest", {"share": 0.3}), ("union-knn", {"n_neighbours": 3}), ("mutual-knn", {"n_neighbours": 3})],
)
def test_graphs_against_plain_loops_and_scipy(rng, graph, options):
    rdm = points_rdm(rng, n=12)
    for one, vector in zip(nd.models.geodesic(rdm, graph, **options), to_vectors(rdm)[0], strict=True):
        scaled, kept = edges_of(vector, graph, 12)
        rows, columns = (index[kept] for index in np.triu_indices(12, 1))
        # A sparse graph keeps edges of length 0.
        want = shortest_path(csr_matrix((scaled[kept], (rows, columns)), shape=(12, 12)), directed=False)
        want[np.isinf(want)] = np.nan
        np.testing.assert_allclose(one, want, rtol=0, atol=1e-10)


def test_what_to_do_with_parts_that_no_path_joins():
    place = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.5])
    rdm = nd.models.make_rdm(np.abs(np.subtract.outer(place, place)))
    options = {"graph": "union-knn", "n_neighbours": 1}
    apart = nd.models.geodesic(rdm, **options)
    assert apart.attrs["n_disconnected"] == 9
    assert np.isnan(apart.values[:3, 3:]).all()
    assert np.isfinite(apart.values[:3, :3]).all()
    longest = nd.models.geodesic(rdm, **options, disconnected="max")
    assert (longest.values[:3, 3:] == np.nanmax(apart)).all()
    bridged = nd.models.geodesic(rdm, **options, disconnected="bridge").values
    # One more edge, the shortest between the parts: 2 to 10, scaled as all lengths are.
    bridge = (8 - 1) / 11.5
    np.testing.assert_allclose(bridged[2, 3], bridge, **CLOSE)
    np.testing.assert_allclose(bridged[0, 5], apart[0, 2] + bridge + apart[3, 5], **CLOSE)
    with pytest.raises(RecordingError, match="9 pairs"):
        nd.models.geodesic(rdm, **options, disconnected="raise")


@pytest.mark.parametrize(
    "options",
    [
        {"graph": "nearest"},
        {"graph": "p-shortest"},
        {"graph": "p-shortest", "share": 0.0},
        {"graph": "union-knn", "n_neighbours": 0},
        {"graph": "two-step", "share": 0.5},
        {"disconnected": "inf"},
    ],
)
def test_graphs_that_make_no_sense(rng, options):
    with pytest.raises(OptionError):
        nd.models.geodesic(points_rdm(rng), **options)


def test_groups_are_the_connected_components_at_each_threshold(rng):
    rdm = points_rdm(rng)
    curve = nd.models.betti0_curve(rdm)
    assert curve.dims == ("rdm", "threshold")
    for k in range(3):
        for j in range(0, 101, 5):
            graph = (rdm.values[k] <= float(curve["threshold"][j])).astype(int)
            assert int(curve[k, j]) == connected_components(graph, directed=False)[0]


def test_unknown_pairs_never_merge():
    rdm = nd.models.make_rdm([[0.0, 1, np.nan], [1, 0, np.nan], [np.nan, np.nan, 0]])
    np.testing.assert_array_equal(nd.models.merge_dissimilarities(rdm), [1.0, np.nan])
    assert nd.models.betti0_curve(rdm, [5.0]).values.tolist() == [2]


def plain_distance_correlation(a, b):
    def centred(d):
        return d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    a, b = centred(a), centred(b)
    return np.sqrt(max((a * b).mean(), 0) / np.sqrt((a * a).mean() * (b * b).mean()))


def test_the_largest_distance_correlation_of_the_grid(rng):
    a, b = (points_rdm(rng, n_rdms=1)[0] for _ in range(2))
    test = nd.models.adaptive_dependence(a, b, n_thresholds=3, n_permutations=5, rng=0)
    cells = [(0.0, 0.5), (0.0, 1.0), (0.5, 1.0)]
    want = max(
        plain_distance_correlation(nd.models.geo_topological(a, *x).values, nd.models.geo_topological(b, *y).values)
        for x in cells
        for y in cells
    )
    np.testing.assert_allclose(test["statistic"].sel(kind="correlation"), want, **CLOSE)


@pytest.mark.statistical
def test_the_choice_of_thresholds_costs_no_validity():
    """Independent points, 300 tests of 39 permutations: p <= 0.05 in 15 of them on average, 28 with 3.5 sd."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(300):
        a, b = (nd.models.make_rdm(np.abs(np.subtract.outer(x, x))) for x in rng.normal(size=(2, 8)))
        p.append(nd.models.adaptive_dependence(a, b, n_thresholds=4, n_permutations=39, rng=rng)["p_value"].values)
    rejected = (np.array(p) <= 0.05).sum(axis=0)
    assert (rejected <= 28).all()
    assert (rejected >= 3).all()


def test_dependence_asks_for_known_pairs_of_the_same_conditions(rng):
    a = points_rdm(rng, n_rdms=1)[0]
    with pytest.raises(RecordingError, match="lacks"):
        nd.models.adaptive_dependence(a, a.isel(condition=slice(9), condition_2=slice(9)))
    with pytest.raises(RecordingError, match="unknown"):
        nd.models.adaptive_dependence(a, a.where((a.condition + a.condition_2) != 3))


def test_scaling_finds_the_points_and_turns_them_as_little_as_it_can(rng):
    start = rng.normal(size=(8, 2)) * [3.0, 1.0]
    start -= start.mean(axis=0)
    drift = start + np.cumsum(rng.normal(size=(5, 8, 2)) * 0.1, axis=0)
    movie = nd.models.make_rdm(((drift[:, :, None] - drift[:, None]) ** 2).sum(-1), dims=["time"])
    points = nd.models.procrustes_mds(movie)
    back = ((points.values[:, :, None] - points.values[:, None]) ** 2).sum(-1)
    np.testing.assert_allclose(back, movie, rtol=0, atol=1e-9)
    np.testing.assert_allclose(points["captured"], 1.0, rtol=0, atol=1e-9)
    centred = drift - drift.mean(axis=1, keepdims=True)
    # After alignment a step is as small as that of the true points, which are turned best or worse.
    steps, true = (np.linalg.norm(np.diff(x, axis=0), axis=(1, 2)) for x in (points.values, centred))
    assert (steps <= true + 1e-9).all()
    with pytest.raises(RecordingError):
        nd.models.procrustes_mds(movie.where(movie.condition + movie.condition_2 != 3))
    with pytest.raises(OptionError):
        nd.models.procrustes_mds(movie, n_axes=9)


def test_a_transform_keeps_labels_and_leading_dims_and_says_what_it_did(rng):
    rdm = points_rdm(rng).rename(rdm="time").assign_coords(time=[0.1, 0.2, 0.3])
    for found in (nd.models.geo_topological(rdm, 0.1, 0.9), nd.models.geodesic(rdm)):
        assert found.dims == rdm.dims
        xr.testing.assert_identical(found["time"], rdm["time"])
        assert found.attrs["measure"] == "euclidean"
        assert found.attrs["normalisation"] in ("geo-topological", "geodesic")
