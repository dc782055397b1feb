"""Aligned trajectories: one truth seen in many frames is found again, and bands hold what they say."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import orthogonal_procrustes
from scipy.ndimage import gaussian_filter1d

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import NotFittedError
from neurodata.models.bicluster import align
from neurodata.models.bicluster.layout import Layout
from neurodata.models.sequences import read_counts

pytestmark = pytest.mark.filterwarnings("ignore:chains disagree")

POINT = np.repeat([0, 1], [7, 5])
N_BINS, N_DRAWS = 80, 40
NOISE = 0.02
# Draws in which all units are in one cluster: 7 of 12 units make it the first one of the point partition.
LUMPED = 6


def units_of(k: int) -> np.ndarray:
    return np.flatnonzero(np.equal(POINT, k))


def smooth(rng: np.random.Generator, n: int, n_bins: int) -> np.ndarray:
    """Courses (bin, n) that change slowly."""
    out = np.zeros((n_bins, n))
    for t in range(1, n_bins):
        out[t] = 0.9 * out[t - 1] + 0.3 * rng.standard_normal(n)
    return out


def one_truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Baselines (unit,), loadings (unit, 2), trajectories (cluster, bin, 3)."""
    rng = np.random.default_rng(0)
    x = np.stack([smooth(rng, 3, N_BINS) for _ in range(2)])
    # One factor is heard more than the other, so that their order is settled.
    return rng.standard_normal(12), rng.standard_normal((12, 2)) * np.array([1.0, 0.4]), x


def in_many_frames() -> tuple[xr.DataTree, xr.DataArray, Layout]:
    """Draws of the truth with noise, each cluster of each draw in a frame of its own."""
    rng = np.random.default_rng(1)
    baseline, loading, x = one_truth()
    clusters = np.empty((N_DRAWS, 12), dtype=np.int8)
    baselines, loadings = np.empty((N_DRAWS, 12)), np.empty((N_DRAWS, 12, 2))
    courses = np.full((N_DRAWS, 2, N_BINS, 3), np.nan)
    for d in range(N_DRAWS):
        names = rng.permutation(2)
        for k in range(2):
            own = units_of(k)
            frame = np.eye(3)  # first column (1, 0, 0): reflections of factors among them, and mixing
            frame[0, 1:] = rng.standard_normal(2)
            frame[1:, 1:] = rng.standard_normal((2, 2))
            level = rng.standard_normal(3)
            heard = np.column_stack([np.ones(len(own)), loading[own]]) @ np.linalg.inv(frame)
            courses[d, names[k]] = x[k] @ frame.T + level + NOISE * rng.standard_normal((N_BINS, 3))
            clusters[d, own], loadings[d, own] = names[k], heard[:, 1:]
            baselines[d, own] = baseline[own] - heard @ level
        if d < LUMPED:
            clusters[d] = names[0]
    two = {"chain": [0, 1], "draw": np.arange(N_DRAWS // 2) * 3}
    whole = {"chain": [0, 1], "draw": np.arange(N_DRAWS // 2 * 3)}

    def spread(values: np.ndarray) -> np.ndarray:
        """One draw in three has trajectories; the rest is nonsense that must not be looked at."""
        values = values.reshape(2, N_DRAWS // 2, *values.shape[1:])
        out = np.full((2, N_DRAWS // 2 * 3, *values.shape[2:]), 99, dtype=values.dtype)
        out[:, ::3] = values
        return out

    posterior = xr.Dataset(
        {
            "unit_cluster": (("chain", "draw", "unit"), spread(clusters)),
            "baseline": (("chain", "draw", "unit"), spread(baselines)),
            "loading": (("chain", "draw", "unit", "factor"), spread(loadings)),
        },
        coords=whole,
    )
    named = {"course": ["common", "factor_1", "factor_2"]}
    shape = (2, N_DRAWS // 2, 2, N_BINS, 3)
    trajectories = xr.Dataset(
        {"trajectory": (("chain", "draw", "cluster", "bin", "course"), courses.reshape(shape))}, coords=two | named
    )
    counts = make_counts(np.ones((N_BINS, 12)), 0.5)
    point = xr.DataArray(POINT, dims="unit", coords={"unit": counts["unit"].values})
    tree = xr.DataTree.from_dict({"posterior": posterior, "trajectories": trajectories})
    return tree, point, Layout.of(read_counts(counts, union=True))


def expected(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Baselines, common course, factors and loadings of a cluster, by a singular value decomposition of log means."""
    baseline, loading, x = one_truth()
    own = units_of(k)
    log_mean = baseline[own, None] + x[k, :, 0] + loading[own] @ x[k, :, 1:].T
    level = log_mean.mean(axis=1, keepdims=True)
    common = (log_mean - level).mean(axis=0)
    left, size, right = np.linalg.svd(log_mean - level - common, full_matrices=False)
    heard, factor = left[:, :2] * size[:2] / np.sqrt(N_BINS), right[:2].T * np.sqrt(N_BINS)
    sign = np.sign(heard[np.abs(heard).argmax(axis=0), [0, 1]])
    return level[:, 0], common, factor * sign, heard * sign


def furthest(k: int) -> float:
    """Largest difference of the aligned mean of the cluster's factors from the truth."""
    latent, _ = align.latents(*in_many_frames())
    return float(np.abs(latent["mean"].values[k, :, 1:] - expected(k)[2]).max())


@pytest.mark.parametrize("k", [0, 1])
def test_one_truth_in_many_frames_is_found_again(k):
    latent, loading = align.latents(*in_many_frames())
    level, common, factor, heard = expected(k)
    own = units_of(k)
    # Noise of courses is some tens of times smaller than courses of variance 1; frames magnify it.
    np.testing.assert_allclose(latent["mean"].values[k, :, 0], common, atol=0.1)
    np.testing.assert_allclose(latent["mean"].values[k, :, 1:], factor, atol=0.2)
    np.testing.assert_allclose(loading["mean"].values[own], heard, atol=0.1)
    if k == 1:  # lumped draws are of both clusters' baselines
        np.testing.assert_allclose(loading["baseline"].values[own], level, atol=0.1)
    assert (latent["low"] <= latent["high"]).all()


def test_draws_without_the_cluster_are_left_out_and_counted():
    latent, loading = align.latents(*in_many_frames())
    assert latent["n_draws_found"].values.tolist() == [N_DRAWS, N_DRAWS - LUMPED]
    assert latent.attrs["n_draws"] == N_DRAWS
    assert latent["mean"].dims == ("cluster", "time", "latent")
    assert loading["cluster"].values.tolist() == POINT.tolist()


@pytest.mark.parametrize("broken", ["no rotation", "no reflection"])
def test_a_broken_alignment_does_not_find_it(monkeypatch, broken):
    def turning_only(factor, reference):
        left, _, right = np.linalg.svd(factor.T @ reference)
        return left @ np.diag([1.0, np.linalg.det(left @ right)]) @ right

    assert furthest(1) < 0.2
    monkeypatch.setattr(align, "rotation", (lambda a, b: np.eye(2)) if broken == "no rotation" else turning_only)
    assert furthest(1) > 0.5


def test_a_frame_changes_no_log_mean():
    rng = np.random.default_rng(2)
    baseline, loading, x = rng.standard_normal((5, 6)), rng.standard_normal((5, 6, 2)), rng.standard_normal((5, 30, 3))
    member = np.ones((5, 6), dtype=bool)
    member[3, 2] = False
    frames = align.align(baseline, loading, x, member)
    for d in range(5):
        own = member[d]
        before = baseline[d, own, None] + x[d, :, 0] + loading[d, own] @ x[d, :, 1:].T
        after = frames.baseline[d, own, None] + frames.common[d] + frames.loading[d, own] @ frames.factor[d].T
        np.testing.assert_allclose(after, before, atol=1e-5)
        np.testing.assert_allclose(frames.factor[d].T @ frames.factor[d] / 30, np.eye(2), atol=1e-5)
        np.testing.assert_allclose(frames.loading[d, own].mean(axis=0), 0.0, atol=1e-6)
    assert np.isnan(frames.loading[3, 2]).all()


@pytest.mark.parametrize(("n_units", "n_latents", "n_factors"), [(1, 2, 0), (2, 2, 1), (3, 2, 2), (4, 0, 0)])
def test_no_more_factors_than_units_can_tell(n_units, n_latents, n_factors):
    rng = np.random.default_rng(3)
    shapes = ((4, n_units), (4, n_units, n_latents), (4, 20, 1 + n_latents))
    baseline, loading, x = (rng.standard_normal(shape) for shape in shapes)
    frames = align.align(baseline, loading, x, np.ones((4, n_units), dtype=bool))
    assert frames.factor.shape == (4, 20, n_factors)
    before = baseline[0, :, None] + x[0, :, 0] + loading[0] @ x[0, :, 1:].T
    after = frames.baseline[0, :, None] + frames.common[0] + frames.loading[0] @ frames.factor[0].T
    np.testing.assert_allclose(after, before, atol=1e-5)


def coverage_of_others() -> np.ndarray:
    """How often 90 % bands of 200 draws hold 40 draws like them: common course and two factors, of three posteriors."""
    inside = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        loading = rng.standard_normal((8, 2)) * np.array([1.0, 0.4]) + 0.3 * rng.standard_normal((240, 8, 2))
        x = gaussian_filter1d(rng.standard_normal((240, 150, 3)), 4, axis=1)
        x = 3.5 * (gaussian_filter1d(rng.standard_normal((150, 3)), 4, axis=0) + 0.6 * x)
        for d in range(240):
            mixing = rng.standard_normal((2, 2))
            loading[d], x[d, :, 1:] = loading[d] @ np.linalg.inv(mixing), x[d, :, 1:] @ mixing.T
        frames = align.align(np.zeros((200, 8)), loading[:200], x[:200], np.ones((200, 8), dtype=bool))
        drawn = np.concatenate([frames.common[..., None], frames.factor], axis=2)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        for d in range(200, 240):
            course = x[d] - x[d].mean(axis=0)
            log_mean = course[:, 0] + loading[d] @ course[:, 1:].T
            common = log_mean.mean(axis=0)
            factor = np.linalg.svd(log_mean - common)[2][:2].T * np.sqrt(150)
            turn, _ = orthogonal_procrustes(factor, frames.factor.mean(axis=0))
            one = np.column_stack([common, factor @ turn])
            inside.append(((one >= low) & (one <= high)).mean(axis=0))
    return np.mean(inside, axis=0)


def test_bands_hold_draws_like_those_they_are_of():
    # Less 0.007 as quantiles of 200 draws are; 120 draws of some 20 independent stretches: 0.006 of standard error.
    np.testing.assert_allclose(coverage_of_others(), 0.893, atol=0.02)


def test_bands_of_least_squares_would_be_too_narrow(monkeypatch):
    monkeypatch.setattr(align, "rotation", lambda factor, reference: np.linalg.lstsq(factor, reference)[0])
    assert (coverage_of_others()[1:] < 0.8).all()


@pytest.fixture(scope="module")
def simulated() -> tuple[xr.DataArray, np.ndarray, np.ndarray]:
    """Counts of two clusters of six units, clusters (unit,), log means (bin, unit)."""
    rng = np.random.default_rng(4)
    label = np.repeat([0, 1], 6)
    x = np.stack([smooth(rng, 3, 120) for _ in range(2)])
    loading = 0.8 * rng.standard_normal((12, 2))
    log_mean = 1.5 + x[label, :, 0].T + np.einsum("ij,itj->ti", loading, x[label, :, 1:])
    rate = np.exp(log_mean) * rng.gamma(10.0, size=log_mean.shape) / 10.0
    return make_counts(rng.poisson(rate), 0.5, unit=[f"u{i}" for i in range(12)]), label, log_mean


@pytest.fixture(scope="module")
def fitted(simulated):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="chains disagree")
        model = nd.models.BiClustering(n_chains=1, n_warmup=200, n_draws=150, max_clusters=6, max_states=4, rng=0)
        return model.fit(simulated[0])


def test_bands_hold_the_truth_of_a_simulation(fitted, simulated):
    counts, label, log_mean = simulated
    latent = fitted.latent_
    np.testing.assert_array_equal(latent["time"], counts["time"])
    inside = []
    for k in np.unique(fitted.unit_cluster_):
        own = np.flatnonzero(fitted.unit_cluster_.values == k)
        assert len(np.unique(label[own])) == 1
        varying = log_mean[:, own] - log_mean[:, own].mean(axis=0)
        common = varying.mean(axis=1, keepdims=True)
        left, size, _ = np.linalg.svd(varying - common, full_matrices=False)
        factor = left[:, :2] * np.sqrt(len(varying))
        assert size[2] < 1e-9 * size[0]
        low, high = latent["low"].values[k], latent["high"].values[k]
        turn, _ = orthogonal_procrustes(factor, latent["mean"].values[k, :, 1:])
        truth = np.column_stack([common, factor @ turn])
        inside.append((truth >= low) & (truth <= high))
        assert np.corrcoef(truth[:, 0], latent["mean"].values[k, :, 0])[0, 1] > 0.9
    # 2 x 120 bins of courses that last some 10 bins are 24 stretches: 0.9, give or take twice 0.06.
    coverage = np.mean(inside, axis=(0, 1))
    assert (coverage > 0.78).all()
    assert coverage.mean() < 0.98


def test_results_are_kept_in_files_and_forgotten_by_the_next_fit(fitted, simulated, tmp_path):
    again = nd.models.load(fitted.save(tmp_path / "m.nc"))
    xr.testing.assert_identical(again.latent_, fitted.latent_)
    xr.testing.assert_identical(again.loading_, fitted.loading_)
    counts = simulated[0]
    model = nd.models.BiClustering(n_latents=1, n_chains=1, n_warmup=2, n_draws=4, rng=0)
    with pytest.raises(NotFittedError):
        _ = model.latent_
    first = model.fit(counts).latent_
    assert first["latent"].values.tolist() == ["common", "factor_1"]
    second = model.fit(counts.isel(time=slice(0, 60))).latent_
    assert (first.sizes["time"], second.sizes["time"]) == (120, 60)
    without = model.set_params(course_draws=0).fit(counts)
    with pytest.raises(NotFittedError, match="course_draws"):
        _ = without.loading_
    assert not hasattr(without, "latent_")


def test_trials_and_lists_keep_their_shape(simulated):
    counts = simulated[0]
    few = {"n_latents": 1, "n_chains": 1, "n_warmup": 2, "n_draws": 4, "rng": 0}
    parts = [counts.isel(time=slice(0, 50)), counts.isel(time=slice(50, None))]
    latent = nd.models.BiClustering(**few).fit(parts).latent_
    assert [one.sizes["time"] for one in latent] == [50, 70]
    trials = xr.DataArray(
        counts.values.reshape(3, 40, 12), dims=("trial", "time", "unit"), coords={"time": np.arange(40) * 0.5}
    )
    whole = nd.models.BiClustering(**few).fit(trials).latent_
    assert whole["mean"].dims == ("cluster", "trial", "time", "latent")
