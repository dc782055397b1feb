"""What holds for RDMs of any patterns: orders of conditions, rotations, monotone changes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodata as nd
from neurodata.models.trsa.rdm import from_vectors, to_vectors

MEASURES = ("euclidean", "correlation", "cosine", "crossnobis", "poisson", "poisson-cv")


def patterns(seed, n_conditions, n_channels):
    values = np.random.default_rng(seed).uniform(0.1, 5.0, size=(3, n_conditions, n_channels))
    return xr.DataArray(values, dims=("run", "condition", "channel"), coords={"condition": np.arange(n_conditions)})


small = {"seed": st.integers(0, 10**6), "n_conditions": st.integers(2, 7), "n_channels": st.integers(2, 9)}


@given(**small, measure=st.sampled_from(MEASURES))
def test_conditions_channels_and_runs_in_any_order(seed, n_conditions, n_channels, measure):
    data = patterns(seed, n_conditions, n_channels)
    rng = np.random.default_rng(seed + 1)
    moved = data.isel(
        condition=rng.permutation(n_conditions), channel=rng.permutation(n_channels), run=rng.permutation(3)
    )
    first, second = nd.models.align_rdms([nd.models.rdm(data, measure), nd.models.rdm(moved, measure)])
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10)


@given(**small)
def test_distances_do_not_change_with_rotations_and_shifts(seed, n_conditions, n_channels):
    data = patterns(seed, n_conditions, n_channels)
    rng = np.random.default_rng(seed + 1)
    turn = np.linalg.qr(rng.normal(size=(n_channels, n_channels)))[0]
    other = data.copy(data=data.values @ turn + rng.normal(size=n_channels) * 10)
    for measure in ("euclidean", "crossnobis"):
        np.testing.assert_allclose(nd.models.rdm(other, measure), nd.models.rdm(data, measure), rtol=0, atol=1e-10)


@given(**small)
def test_distances_of_no_noise_are_the_same_crossed_or_not(seed, n_conditions, n_channels):
    data = patterns(seed, n_conditions, n_channels)
    data = data.copy(data=np.broadcast_to(data.values[:1], data.shape))
    for crossed, plain in (("crossnobis", "euclidean"), ("poisson-cv", "poisson")):
        np.testing.assert_allclose(nd.models.rdm(data, crossed), nd.models.rdm(data, plain), rtol=0, atol=1e-10)


vectors = st.lists(st.floats(-5, 5), min_size=10, max_size=10).map(np.array)


@given(vector=vectors, low=st.floats(0, 0.9), width=st.floats(0.05, 1))
def test_geo_topological_is_monotone_and_ranks_forget_the_scale(vector, low, width):
    upper = min(low + width, 1.0)
    rdm = from_vectors(vector)
    got = to_vectors(nd.models.geo_topological(rdm, low, upper))[0][0]
    assert ((got >= 0) & (got <= 1)).all()
    order = np.argsort(vector, kind="stable")
    assert (np.diff(got[order]) >= 0).all()
    rank = nd.models.geo_topological(rdm, low, upper, rank=True)
    twice = nd.models.geo_topological(from_vectors(2.0 * vector), low, upper, rank=True)
    np.testing.assert_array_equal(rank, twice)


@given(vector=vectors, upper=st.floats(0.3, 1.0))
def test_geodesics_are_metrics_and_no_longer_than_their_edges(vector, upper):
    rdm = from_vectors(vector)
    path = nd.models.geodesic(rdm, upper=upper, disconnected="bridge").values
    edge = nd.models.geo_topological(rdm, 0.0, upper).values
    kept = edge < 1
    assert (path[kept] <= edge[kept]).all()
    for k in range(5):
        assert (path <= path[:, [k]] + path[[k], :] + 1e-12).all()


@given(vector=vectors)
def test_vectors_and_matrices_round_trip(vector):
    rdm = from_vectors(vector, list("vwxyz"))
    np.testing.assert_array_equal(to_vectors(rdm)[0][0], vector)
    np.testing.assert_array_equal(from_vectors(to_vectors(rdm)[0], like=rdm), rdm)
