"""Clusters whose trajectories move together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import OptionError
from neurodata.kernels import slots_nb
from neurodata.models.bicluster import full, predictive
from neurodata.models.bicluster.prior import Prior, draw_counts, draw_state
from neurodata.models.bicluster.sweep import Settings, draw_weights, log_means

pytestmark = pytest.mark.filterwarnings("ignore:chains disagree")
PRIOR = Prior(n_latents=1, max_clusters=3, max_states=2, dynamics="full", noise_scale=0.2, transition_precision=2.0)


@pytest.fixture(scope="module")
def counts() -> xr.DataArray:
    rng = np.random.default_rng(0)
    drive = np.repeat([0.0, 1.5, 0.0, 1.5], 10)[:, None] * np.array([1, 1, 1, -1, -1, -1])
    return make_counts(rng.poisson(np.exp(0.5 + drive)), 0.5, unit=list("abcdef"))


def small(**settings) -> nd.models.BiClustering:
    few = {"n_latents": 1, "max_clusters": 3, "max_states": 2, "n_chains": 2, "n_warmup": 6, "n_draws": 8, "rng": 0}
    return nd.models.BiClustering(**{**few, "dynamics": "full", **settings})


@pytest.fixture(scope="module")
def fitted(counts):
    return small(course_draws=4).fit(counts)


def log_joint(cluster, x, counts, weight, dispersion, prior):
    """Of labelled slots and augmented counts, baseline and loadings integrated out: dense, unit by unit."""
    size = np.bincount(cluster, minlength=prior.max_clusters)
    used = size[size > 0]
    t = len(used)
    total = (
        prior.log_partition(len(cluster))[t - 1]
        - np.log(np.arange(prior.max_clusters, prior.max_clusters - t, -1)).sum()
    )
    total += sum(np.log(prior.cluster_weight + np.arange(n)).sum() for n in used)
    for i, k in enumerate(cluster):
        kappa = 0.5 * (counts[i] - dispersion[i])
        design = np.column_stack([np.ones(x.shape[1]), x[k, :, 1:]])
        mean = x[k, :, 0] - np.log(dispersion[i]) + design @ prior.coefficient_mean()
        covariance = design @ np.diag(1.0 / prior.coefficient_precision()) @ design.T + np.diag(1.0 / weight[i])
        # kappa psi - w psi^2 / 2 is, but for what does not depend on psi, the density of kappa / w given psi.
        total += multivariate_normal.logpdf(kappa / weight[i], mean, covariance)
    return total


def test_units_choose_slots_as_often_as_enumeration_says():
    rng = np.random.default_rng(3)
    starts = np.array([0, 6])
    # Courses that hardly persist, so that the counts leave several groupings open.
    state = draw_state(rng, 3, starts, replace(PRIOR, transition_mean=0.5))
    data = draw_counts(rng, state, starts)
    weight = draw_weights(rng, state, data, log_means(state), Settings(n_terms=64))
    options = list(product(range(3), repeat=3))
    log_p = np.array([log_joint(np.array(z), state.x, data.counts, weight, state.dispersion, PRIOR) for z in options])
    p = np.exp(log_p - logsumexp(log_p))
    n, seen = 30_000, np.zeros(len(options))
    for _ in range(n):
        full.reassign(rng, state, data, PRIOR, weight)
        seen[options.index(tuple(state.cluster))] += 1
    # Sweeps over units depend on one another a little: four standard errors of independent ones.
    assert np.all(np.abs(seen / n - p) < 4.0 * np.sqrt(p * (1.0 - p) / n) + 2e-3)
    assert p.max() < 0.9


def test_the_kernel_without_compiling():
    rng = np.random.default_rng(4)
    starts = np.array([0, 6])
    state = draw_state(rng, 3, starts, PRIOR)
    data = draw_counts(rng, state, starts)
    weight = draw_weights(rng, state, data, log_means(state), Settings(n_terms=64))
    out = []
    for step in (slots_nb.reassign, slots_nb.reassign.py_func):
        one = state.copy()
        moved = step(
            np.random.default_rng(1), data.counts, weight, one.dispersion, one.baseline, one.loading, one.cluster,
            one.x, 1.0, PRIOR.log_new(3), PRIOR.coefficient_mean(), PRIOR.coefficient_precision(),
        )  # fmt: skip
        out.append((moved, one.cluster, one.baseline, one.loading))
    for a, b in zip(*out, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_stacking_and_joining_change_no_rate():
    rng = np.random.default_rng(5)
    starts = np.array([0, 6, 9])
    state = draw_state(rng, 4, starts, replace(PRIOR, dynamics="block"))
    together = full.join(state, PRIOR)
    np.testing.assert_array_equal(log_means(together), log_means(state))
    k, m = state.clusters()[-1], PRIOR.size
    np.testing.assert_array_equal(full.stacked(together).x[0, :, k * m : (k + 1) * m], state.x[k])
    np.testing.assert_array_equal(
        together.transition[0, :, k * m : (k + 1) * m, k * m : (k + 1) * m], state.transition[k]
    )


def test_one_cluster_is_the_same_either_way(counts):
    one = {"max_clusters": 1, "n_chains": 1}
    joint, block = small(**one).fit(counts), small(**one, dynamics="block").fit(counts)
    for model in (joint, block):
        assert model.posterior_["trajectories"]["transition"].shape[-2:] == (2, 2)
    assert joint.bytes_needed(counts) == block.bytes_needed(counts)


def test_results_have_all_courses(fitted):
    courses = fitted.posterior_["trajectories"]
    assert courses["trajectory"].sizes["cluster"] == 3
    assert np.isfinite(courses["trajectory"]).all()
    assert courses["transition"].shape[-2:] == (2, 6)
    assert courses["course_2"].values.tolist() == [f"{k}/{c}" for k in range(3) for c in ("common", "factor_1")]
    noise = np.moveaxis(courses["noise"].values[0, 0], 1, 0).reshape(2, 6, 6)
    np.testing.assert_allclose(noise, noise.transpose(0, 2, 1), atol=1e-6)
    assert np.linalg.eigvalsh(noise).min() > 0
    assert fitted.latent_["mean"].sizes["cluster"] == len(np.unique(fitted.unit_cluster_))


def test_draws_are_those_of_the_chain_in_another_order():
    from neurodata.models.bicluster.draws import Draws, Plan, probes_of

    rng = np.random.default_rng(6)
    starts = np.array([0, 8])
    state = draw_state(rng, 5, starts, PRIOR)
    state.cluster = np.array([2, 2, 0, 2, 0])
    data, plan = draw_counts(rng, state, starts), Plan(0, 1)
    draws = Draws.empty(5, 8, PRIOR, plan)
    draws.add(state, data, probes_of(data), np.zeros(draws.counted.shape[1], dtype=np.int64), plan)
    x, transition, offset = draws.x[0], draws.transition[0], draws.offset[0]
    before = np.concatenate(list(state.x[:, 3]))
    after = np.concatenate(list(x[:, 3]))
    expected = (state.transition[0, 1] @ before + state.offset[0, 1]).reshape(3, 2)[[2, 0, 1]]
    np.testing.assert_allclose(transition[:, 1] @ after + offset[:, 1], expected, rtol=1e-5)


def test_simulations_go_on_as_the_dynamics_say(fitted, monkeypatch):
    """With next to no noise, one step is that of the stacked matrix."""
    tree = fitted.posterior_.copy(deep=True)
    courses = tree["trajectories"].to_dataset()
    eye = np.broadcast_to(1e-16 * np.eye(6).reshape(3, 1, 2, 6), courses["noise"].shape)
    tree["trajectories"] = courses.assign(noise=(courses["noise"].dims, eye))

    class Noted:
        """A generator that tells the bin it began at."""

        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __getattr__(self, name):
            return getattr(self.rng, name)

        def integers(self, n):
            self.begin = int(self.rng.integers(n))
            return self.begin

    rng = Noted()
    state, now = next(iter(predictive.forward(tree, 0, 1, 1, rng)))
    one = courses.isel(chain=0, draw=1)
    x = one["trajectory"].values[:, rng.begin].ravel()
    expected = one["transition"].values[:, state].reshape(6, 6) @ x + one["offset"].values[:, state].ravel()
    limit = 2.0 * np.abs(one["trajectory"].values).max(axis=1)
    np.testing.assert_allclose(now, np.clip(expected.reshape(3, 2), -limit, limit), atol=1e-5)


def test_files_checkpoints_and_simulation(fitted, counts, tmp_path):
    again = nd.models.load(fitted.save(tmp_path / "model.nc"))
    np.testing.assert_array_equal(again.unit_cluster_, fitted.unit_cluster_)
    xr.testing.assert_equal(again.simulate(5, rng=1)["counts"], fitted.simulate(5, rng=1)["counts"])
    short = small(checkpoint=tmp_path / "chains", course_draws=4).fit(counts)
    resumed = small(checkpoint=tmp_path / "chains", course_draws=4).fit(counts)
    for model in (short, resumed):
        np.testing.assert_array_equal(
            model.posterior_["posterior"]["baseline"], fitted.posterior_["posterior"]["baseline"]
        )


def test_poisson_counts_are_refused(counts):
    with pytest.raises(OptionError, match="dispersion is learned"):
        small(observation="poisson").fit(counts)
