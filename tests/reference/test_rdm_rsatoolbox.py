"""RDMs, noise covariances and transforms against rsatoolbox 0.3.2: the same where it is right, and the exact definition
where it is not (each of those a test that shows the difference too)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

import neurodata as nd
from neurodata.models.trsa.rdm import to_vectors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="the peer of these tests (extra test) is not installed")
    from rsatoolbox.data import Dataset, TemporalDataset
    from rsatoolbox.data import noise as peer_noise
    from rsatoolbox.rdm import RDMs, calc_rdm, calc_rdm_movie, calc_rdm_unbalanced
    from rsatoolbox.rdm.transform import geodesic_transform, geotopological_transform, minmax_transform

# The peer fills arrays like its integer labels with NaN.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
N_RUNS, N_CONDITIONS, N_CHANNELS = 5, 12, 7
CLOSE = {"rtol": 0, "atol": 1e-10}


def upper(matrix):
    rows, columns = np.triu_indices(matrix.shape[-1], 1)
    return np.asarray(matrix)[..., rows, columns]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def values(rng):
    return rng.normal(size=(N_RUNS, N_CONDITIONS, N_CHANNELS)) + 2.0


@pytest.fixture
def precision(rng):
    root = rng.normal(size=(N_CHANNELS, N_CHANNELS))
    return root @ root.T + np.eye(N_CHANNELS)


def ours(values):
    return xr.DataArray(values, dims=("run", "condition", "channel"))


def theirs(values):
    n_runs, n_conditions, n_channels = values.shape
    return Dataset(
        values.reshape(-1, n_channels).copy(),
        obs_descriptors={
            "condition": np.tile(np.arange(n_conditions), n_runs),
            "run": np.repeat(np.arange(n_runs), n_conditions),
        },
    )


@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("measure", ["euclidean", "mahalanobis", "crossnobis"])
def test_distances(values, precision, measure, remove_mean):
    noise = {} if measure == "euclidean" else {"noise": precision}
    folds = {"cv_descriptor": "run"} if measure == "crossnobis" else {}
    want = calc_rdm(theirs(values), measure, "condition", remove_mean=remove_mean, **noise, **folds).dissimilarities[0]
    got = nd.models.rdm(ours(values), measure, noise.get("noise"), remove_mean=remove_mean)
    np.testing.assert_allclose(upper(got), want, **CLOSE)


@pytest.mark.parametrize("measure", ["correlation", "poisson"])
def test_correlation_and_poisson(values, measure):
    want = calc_rdm(theirs(np.abs(values)), measure, "condition").dissimilarities[0]
    np.testing.assert_allclose(upper(nd.models.rdm(ours(np.abs(values)), measure)), want, **CLOSE)


def test_crossnobis_with_a_precision_of_each_run(values, rng):
    noises = np.stack([np.linalg.inv(np.cov(rng.normal(size=(N_CHANNELS, 40)))) for _ in range(N_RUNS)])
    want = calc_rdm(theirs(values), "crossnobis", "condition", noise=list(noises), cv_descriptor="run")
    got = nd.models.rdm(ours(values), "crossnobis", noises)
    np.testing.assert_allclose(upper(got), want.dissimilarities[0], **CLOSE)


def test_unbalanced_crossnobis(rng, precision):
    n = 80
    x, condition, run = rng.normal(size=(n, N_CHANNELS)) + 2, rng.integers(0, 6, n), rng.integers(0, 4, n)
    data = Dataset(x, obs_descriptors={"condition": condition, "run": run})
    want = calc_rdm_unbalanced(data, "crossnobis", "condition", noise=precision, cv_descriptor="run").dissimilarities[0]
    got = nd.models.rdm(
        xr.DataArray(x, dims=("trial", "channel"), coords={"condition": ("trial", condition), "run": ("trial", run)}),
        "crossnobis",
        precision,
    )
    # The peer has its conditions in order of appearance.
    order = condition[np.sort(np.unique(condition, return_index=True)[1])]
    np.testing.assert_allclose(upper(got.sel(condition=order, condition_2=order)), want, **CLOSE)


@pytest.mark.parametrize("measure", ["euclidean", "correlation", "crossnobis"])
def test_movie(rng, precision, measure):
    x = rng.normal(size=(N_RUNS, N_CONDITIONS, N_CHANNELS, 6))
    flat = theirs(x[..., 0])
    data = TemporalDataset(
        x.reshape(-1, N_CHANNELS, 6), obs_descriptors=flat.obs_descriptors, time_descriptors={"time": np.arange(6.0)}
    )
    options = {"noise": precision, "cv_descriptor": "run"} if measure == "crossnobis" else {}
    want = calc_rdm_movie(data, method=measure, descriptor="condition", **options).dissimilarities
    movie = nd.models.rdm_movie(
        xr.DataArray(x, dims=("run", "condition", "channel", "time"), coords={"time": np.arange(6.0)}),
        measure,
        options.get("noise"),
    )
    assert movie.dims == ("time", "condition", "condition_2")
    np.testing.assert_allclose(upper(movie), want, **CLOSE)


METHODS = {
    "shrinkage_diag": "shrinkage-diagonal",
    "shrinkage_eye": "shrinkage-identity",
    "diag": "diagonal",
    "full": "full",
}


@pytest.mark.parametrize(("peer", "method"), METHODS.items())
@pytest.mark.parametrize("n", [15, 200])
@pytest.mark.parametrize("dof", [None, 9.0])
def test_covariance_from_residuals(rng, peer, method, n, dof):
    x = rng.normal(size=(n, N_CHANNELS)) @ rng.normal(size=(N_CHANNELS, N_CHANNELS))
    got = nd.models.noise_covariance(xr.DataArray(x, dims=("sample", "channel")), method, residuals=True, dof=dof)
    np.testing.assert_allclose(got, peer_noise.cov_from_residuals(x, dof=dof, method=peer), **CLOSE)


@pytest.mark.parametrize(("peer", "method"), METHODS.items())
def test_covariance_from_repeats(values, peer, method):
    got = nd.models.noise_covariance(ours(values), method)
    np.testing.assert_allclose(got, peer_noise.cov_from_unbalanced(theirs(values), "condition", method=peer), **CLOSE)
    inverse = nd.models.noise_precision(ours(values), method)
    np.testing.assert_allclose(
        inverse, peer_noise.prec_from_unbalanced(theirs(values), "condition", method=peer), rtol=1e-10
    )


def test_peer_defect_degrees_of_freedom_of_balanced_measurements(values):
    """`cov_from_measurements` takes a mean off each condition and then divides by (conditions - 1) runs."""
    want = (values - values.mean(axis=0)).reshape(-1, N_CHANNELS)
    exact = want.T @ want / (N_CONDITIONS * (N_RUNS - 1))
    np.testing.assert_allclose(nd.models.noise_covariance(ours(values), "full"), exact, **CLOSE)
    peer = peer_noise.cov_from_measurements(theirs(values), "condition", method="full")
    assert np.abs(peer - exact).max() > 0.01
    np.testing.assert_allclose(peer * (N_CONDITIONS - 1) * N_RUNS / (N_CONDITIONS * (N_RUNS - 1)), exact, **CLOSE)


def test_peer_defect_poisson_cv_is_the_mean_over_folds_not_the_last_one(values):
    x = np.abs(values) * 3.0
    prior, weight = 1.0, 0.1
    folds = []
    for m in range(N_RUNS):
        train = (np.delete(x, m, axis=0).mean(axis=0) + prior * weight) / (1 + weight)
        test = (x[m] + prior * weight) / (1 + weight)
        logs = np.log(test)
        folds.append(
            [
                ((train[i] - train[j]) * (logs[i] - logs[j])).sum() / N_CHANNELS
                for i in range(N_CONDITIONS)
                for j in range(i + 1, N_CONDITIONS)
            ]
        )
    got = upper(nd.models.rdm(ours(x), "poisson-cv"))
    np.testing.assert_allclose(got, np.mean(folds, axis=0), **CLOSE)
    peer = calc_rdm(theirs(x), "poisson_cv", "condition", cv_descriptor="run").dissimilarities[0]
    np.testing.assert_allclose(peer, folds[-1], **CLOSE)
    assert np.abs(peer - got).max() > 0.01


def textbook_gt(vector, lower, upper_):
    low, high = np.quantile(vector, [lower, upper_])
    out = []
    for d in vector:
        out.append(0.0 if d <= low else 1.0 if d >= high else (d - low) / (high - low))
    return np.array(out)


@pytest.fixture
def vectors(rng):
    """Two RDMs of nine conditions with entries from 1 to 3, where the peer's transform is right."""
    return rng.uniform(1.0, 3.0, size=(2, 36))


def as_rdm(vectors):
    return nd.models.make_rdm(np.stack([squareform(one) for one in np.atleast_2d(vectors)]))


def test_geo_topological_where_the_peer_is_right(vectors):
    one = vectors[:1]
    want = geotopological_transform(RDMs(one.copy()), 0.2, 0.8).dissimilarities
    np.testing.assert_allclose(to_vectors(nd.models.geo_topological(as_rdm(one), 0.2, 0.8))[0], want, **CLOSE)


@pytest.mark.parametrize(
    ("shift", "scale", "text"), [(0.0, 0.25, "an upper quantile below 1"), (-2.0, 1.0, "negative entries")]
)
def test_peer_defects_of_the_geo_topological_transform(vectors, shift, scale, text):
    one = (vectors[:1] + shift) * scale
    got = to_vectors(nd.models.geo_topological(as_rdm(one), 0.3, 0.7))[0]
    np.testing.assert_allclose(got[0], textbook_gt(one[0], 0.3, 0.7), **CLOSE)
    peer = geotopological_transform(RDMs(one.copy()), 0.3, 0.7).dissimilarities
    assert np.abs(peer - got).max() > 0.1, text


def test_peer_defect_quantiles_are_per_rdm(vectors):
    both = np.stack([vectors[0], 10.0 * vectors[0]])
    got = to_vectors(nd.models.geo_topological(as_rdm(both), 0.2, 0.8))[0]
    np.testing.assert_allclose(got[0], got[1], **CLOSE)
    np.testing.assert_allclose(got[0], textbook_gt(vectors[0], 0.2, 0.8), **CLOSE)
    peer = geotopological_transform(RDMs(both.copy()), 0.2, 0.8).dissimilarities
    assert np.abs(peer[0] - peer[1]).max() > 0.1


def test_peer_defect_inputs_are_overwritten(vectors):
    rdm = as_rdm(vectors)
    before = rdm.copy(deep=True)
    nd.models.geo_topological(rdm, 0.2, 0.8)
    nd.models.geo_topological(rdm, 0.2, 0.8, rank=True)
    nd.models.geodesic(rdm, disconnected="bridge")
    xr.testing.assert_identical(rdm, before)
    for change in (lambda x: geotopological_transform(x, 0.2, 0.8), minmax_transform, geodesic_transform):
        peer = RDMs(vectors.copy())
        change(peer)
        assert np.abs(peer.dissimilarities - vectors).max() > 0.1


def shortest(length):
    """Shortest paths by relaxing every edge as often as there are nodes."""
    found = length.copy()
    for _ in range(len(length)):
        for i in range(len(length)):
            for j in range(len(length)):
                found[i, j] = min(found[i, j], (found[i] + found[:, j]).min())
    return found


def test_peer_defect_geodesics_keep_edges_of_length_zero(vectors):
    one = vectors[0]
    scaled = (one - one.min()) / (one.max() - one.min())
    edges = squareform(scaled)
    edges[edges == 1.0] = np.inf
    np.fill_diagonal(edges, 0.0)
    exact = shortest(edges)
    got = nd.models.geodesic(as_rdm(one).isel(rdm=0))
    np.testing.assert_allclose(got, exact, **CLOSE)
    assert np.diagonal(got).max() == 0
    assert upper(got).min() == 0
    peer = geodesic_transform(RDMs(one[None].copy())).dissimilarities[0]
    assert (np.abs(peer - upper(exact)) > 1e-3).any()
    # Everything else in it is as it should be: without the shortest edge the exact paths are the peer's.
    cut = edges.copy()
    cut[squareform(scaled) == 0.0] = np.inf
    np.fill_diagonal(cut, 0.0)
    np.testing.assert_allclose(peer, upper(shortest(cut)), **CLOSE)
