"""Memberships of units: the law of partitions against all 52 partitions of five units.

Without counts the law is the mixture of finite mixtures by itself, whose probabilities come from its definition, sums
over the number of components. With counts the sum over what else is unknown has no closed form: single steps are
compared with the density of the augmented counts by dense algebra (and Geweke's test, elsewhere, with the whole).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import chisquare, invwishart, matrix_normal, multivariate_normal

from neurodata.kernels import collapsed_nb, membership_nb
from neurodata.models.bicluster import sweep as sw
from neurodata.models.bicluster.prior import Prior, draw_state
from neurodata.models.bicluster.state import Counts

PRIOR = Prior(n_latents=1, max_clusters=5, max_states=2, cluster_weight=1.5, cluster_rate=0.3)
STARTS = np.array([0, 3])


def canonical(labels) -> tuple[int, ...]:
    """Labels in the order of their first units."""
    names: dict[int, int] = {}
    return tuple(names.setdefault(int(label), len(names)) for label in labels)


def partitions(n: int) -> list[tuple[int, ...]]:
    return sorted({canonical(labels) for labels in itertools.product(range(n), repeat=n)})


def law_of_partitions(all_partitions, prior) -> np.ndarray:
    """Sum over the number of components of its probability times that of labels drawn from Dirichlet weights."""
    k = np.arange(1, 400)
    log_k = np.log(prior.cluster_rate) + (k - 1) * np.log1p(-prior.cluster_rate)
    g, total = prior.cluster_weight, []
    for labels in all_partitions:
        sizes = np.bincount(labels)
        ways = np.where(k >= sizes.size, gammaln(k + 1) - gammaln(np.maximum(k - sizes.size, 0) + 1), -np.inf)
        one = gammaln(g * k) - gammaln(g * k + sizes.sum()) + (gammaln(g + sizes) - gammaln(g)).sum()
        total.append(logsumexp(log_k + ways + one))
    return np.exp(total)


def test_law_of_partitions_sums_to_one():
    everything = partitions(5)
    assert len(everything) == 52
    assert law_of_partitions(everything, PRIOR).sum() == pytest.approx(1.0, abs=1e-10)


def without_data(move, n_rounds: int, prior=PRIOR):
    """Frequencies of partitions that a move visits when nothing was observed."""
    rng = np.random.default_rng(0)
    state = draw_state(rng, 5, STARTS, prior)
    data = Counts.of(np.full((5, 3), -1), STARTS)
    everything = {p: k for k, p in enumerate(partitions(5))}
    times = np.zeros(len(everything))
    for _ in range(n_rounds):
        move(rng, state, data, prior, np.zeros((5, 3)))
        times[everything[canonical(state.cluster)]] += 1
    return times


def reassign(rng, state, data, prior, weight):
    for _ in range(2):
        sw.reassign(rng, state, data, prior, weight, sw.Settings(births=1.0, n_new=3))


def reassign_with_few_births(rng, state, data, prior, weight):
    for _ in range(3):
        sw.reassign(rng, state, data, prior, weight, sw.Settings(births=0.5, n_new=1))


def jump(rng, state, data, prior, weight):
    collapsed_nb.move_units(rng, *sw._arrays(state, data, prior, weight), 25)


@pytest.mark.parametrize("move", [reassign, reassign_with_few_births, jump], ids=lambda f: f.__name__)
def test_without_data_partitions_have_their_prior(move):
    n = 4000
    times = without_data(move, n)
    due = n * law_of_partitions(partitions(5), PRIOR)
    # Draws in a row are nearly independent; what is left of the dependence is below what 1e-4 lets pass.
    assert chisquare(times, due * n / due.sum()).pvalue > 1e-4
    # The test sees another weight of the clusters.
    other = n * law_of_partitions(partitions(5), Prior(cluster_weight=0.8, cluster_rate=0.3))
    assert chisquare(times, other).pvalue < 1e-6


@pytest.mark.parametrize("move", [reassign, jump], ids=lambda f: f.__name__)
def test_no_more_clusters_than_slots(move):
    """The law given that there are at most three clusters."""
    n, prior = 2000, Prior(n_latents=1, max_clusters=3, max_states=2, cluster_weight=1.5, cluster_rate=0.3)
    times = without_data(move, n, prior)
    p = law_of_partitions(partitions(5), PRIOR) * [max(q) < 3 for q in partitions(5)]
    assert times[p == 0].sum() == 0
    assert chisquare(times[p > 0], n * (p / p.sum())[p > 0]).pvalue > 1e-4


def test_one_unit_goes_where_its_counts_are_probable():
    """Unit 0, whose cluster is not its own, with births off: probability (size + g) N(counts; baseline and loadings
    integrated out), and the coefficients that come with it are from their posterior.
    """
    rng = np.random.default_rng(1)
    prior = Prior(n_latents=1, max_clusters=3, max_states=1, cluster_weight=0.8)
    n_bins = 6
    state = draw_state(rng, 4, np.array([0, n_bins]), prior)
    state.cluster[:] = [0, 0, 2, 2]
    # Numbers of its own: how many the prior takes from a generator is no matter of this test.
    rng = np.random.default_rng(3)
    state.dispersion[:] = 3.0
    state.x[:] = 0.5 * rng.standard_normal(state.x.shape)
    counts = rng.poisson(2.0, (4, n_bins))
    counts[0, 2] = -1
    data = Counts.of(counts, np.array([0, n_bins]))
    weight = rng.gamma(2.0, 0.3, counts.shape)
    seen, r = counts[0] >= 0, state.dispersion[0]
    kappa, w = 0.5 * (counts[0] - r)[seen], weight[0][seen]
    log_weight, centre = [], []
    for k, size in ((0, 1), (2, 2)):
        x = state.x[k][seen]
        design = np.column_stack([np.ones(seen.sum()), x[:, 1:]])
        known = x[:, 0] - np.log(r)
        precision = prior.coefficient_precision()
        spread = np.diag(1 / w) + design / precision @ design.T
        log_weight.append(np.log(size + 0.8) + multivariate_normal.logpdf(kappa / w, known, spread))
        after = np.linalg.inv(np.diag(precision) + design.T * w @ design)
        centre.append((after @ design.T @ (kappa - w * known), after))
    odds = np.exp(log_weight - logsumexp(log_weight))
    assert 0.02 < odds[0] < 0.98
    n, picked, values = 4000, [], []
    settings = sw.Settings(births=0.0)
    for _ in range(n):
        trial = state.copy()
        # The other units are not observed: they come after unit 0 and do not change what it saw.
        sw.reassign(rng, trial, data, prior, weight, settings)
        picked.append(trial.cluster[0])
        values.append([trial.baseline[0], trial.loading[0, 0]])
    picked, values = np.array(picked), np.array(values)
    assert set(picked) == {0, 2}
    assert abs((picked == 0).mean() - odds[0]) < 4 * np.sqrt(odds[0] * odds[1] / n)
    for k, (mean, after) in zip((0, 2), centre, strict=True):
        mine = values[picked == k]
        assert (np.abs(mine.mean(axis=0) - mean) < 4.5 * np.sqrt(np.diag(after) / len(mine))).all()
        np.testing.assert_allclose(np.cov(mine.T), after, rtol=0.35, atol=0.15 * np.diag(after).max())


def draw_one(rng, prior):
    """Dynamics of one state by SciPy: A, b, Q."""
    centre, columns, scale, dof = prior.matrix_normal()
    noise = invwishart.rvs(dof, scale, random_state=rng)
    drawn = matrix_normal.rvs(centre, noise, np.linalg.inv(columns), random_state=rng)
    return drawn[:, :-1], drawn[:, -1], noise


def moments(transition, offset, noise, n_bins):
    """Mean (bin, m) and covariance (bin, m, bin, m) of a trajectory."""
    m = len(offset)
    mean, covariance = np.zeros((n_bins, m)), np.zeros((n_bins, m, n_bins, m))
    covariance[0, :, 0] = np.eye(m)
    for t in range(1, n_bins):
        mean[t] = offset + transition @ mean[t - 1]
        for u in range(t):
            covariance[t, :, u] = transition @ covariance[t - 1, :, u]
            covariance[u, :, t] = covariance[t, :, u].T
        covariance[t, :, t] = transition @ covariance[t - 1, :, t - 1] @ transition.T + noise
    return mean, covariance


def test_a_new_cluster_competes_by_its_evidence():
    """One unit with another: the odds of a cluster of its own are those of the filter's evidence, averaged over the
    prior of dynamics and coefficients; many trials a step average as well.
    """
    rng = np.random.default_rng(2)
    prior = Prior(n_latents=1, max_clusters=2, max_states=1, noise_dof=8.0, noise_scale=0.3, transition_mean=0.5)
    starts = np.array([0, 4])
    state = draw_state(rng, 2, starts, prior)
    state.cluster[:] = 0
    rng = np.random.default_rng(4)
    state.dispersion[:] = 2.0
    state.x[0] = 0.5 * rng.standard_normal((4, 2))
    data = Counts.of(np.array([[1, 2, 1, 2], [-1, -1, -1, -1]]), starts)
    weight = np.vstack([rng.gamma(4.0, 0.15, 4), np.zeros(4)])
    r, w = state.dispersion[0], weight[0]
    target = 0.5 * (data.counts[0] - r) / w
    # Log marginal likelihood of a new cluster, by simple Monte Carlo over what the filter is given, x by dense algebra.
    evidence = []
    for _ in range(4000):
        one = draw_one(rng, prior)
        c = np.array([1.0, prior.loading_sd * rng.standard_normal()])
        mean, covariance = moments(*one, 4)
        location = mean @ c + prior.baseline_sd * rng.standard_normal() - np.log(r)
        spread = np.einsum("i,tiuj,j->tu", c, covariance, c) + np.diag(1 / w)
        away = target - location
        root = np.linalg.cholesky(spread)
        evidence.append(-0.5 * (np.linalg.solve(root, away) ** 2).sum() - np.log(np.diag(root)).sum())
    new = logsumexp(evidence) - np.log(len(evidence)) - 2 * np.log(2 * np.pi)
    x = state.x[0]
    design = np.column_stack([np.ones(4), x[:, 1]])
    spread = np.diag(1 / w) + design / prior.coefficient_precision() @ design.T
    old = np.log(1 + prior.cluster_weight) + multivariate_normal.logpdf(target, x[:, 0] - np.log(r), spread)
    odds = 1 / (1 + np.exp(old - new - prior.log_new(2)[1]))
    n, alone = 2000, 0
    for _ in range(n):
        trial = state.copy()
        # Only the first unit may leave; the second, left alone, stays where it is.
        membership_nb.reassign(
            rng, data.counts, weight, trial.dispersion, trial.baseline, trial.loading, trial.cluster, trial.x,
            trial.transition, trial.offset, trial.noise, starts, trial.path, prior.cluster_weight, prior.log_new(2),
            np.array([True, False]), 100, prior.coefficient_mean(), prior.coefficient_precision(),
            *prior.matrix_normal(),
        )  # fmt: skip
        alone += trial.cluster[0] != 0
    assert 0.02 < odds < 0.98, odds
    # The average over 100 trials is itself uncertain: of the odds by a few percent.
    assert abs(alone / n - odds) < 4 * np.sqrt(odds * (1 - odds) / n) + 0.03 * odds
