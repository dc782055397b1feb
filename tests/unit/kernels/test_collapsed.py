"""Moves with trajectories integrated out, against all partitions and all paths weighed by dense Gaussian evidence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import chisquare, multivariate_normal

from neurodata.kernels import collapsed_nb as cn
from neurodata.kernels import collapsed_path_nb as cp
from neurodata.models.bicluster import sweep as sw
from neurodata.models.bicluster.prior import Prior, draw_state
from neurodata.models.bicluster.state import Counts

STARTS = np.array([0, 4, 6])
N_UNITS, N_BINS, M = 5, 6, 2
# Dynamics and coefficients of a new cluster that the prior fixes: partitions are then all that is unknown.
FIXED = 1e10


class FixedPrior(Prior):
    def matrix_normal(self):
        centre = np.array([[0.7, 0.0, 0.2], [0.0, 0.4, 0.0]])
        return centre, FIXED * np.eye(M + 1), 0.4 * FIXED * np.eye(M), FIXED

    def coefficient_precision(self):
        return np.full(M, FIXED)


PRIOR = FixedPrior(n_latents=1, max_clusters=5, max_states=2, cluster_weight=0.7, cluster_rate=0.3)


@pytest.fixture
def problem():
    """State, counts and weights of units that follow two courses."""
    rng = np.random.default_rng(0)
    state = draw_state(rng, N_UNITS, STARTS, PRIOR)
    state.dispersion[:] = [2.0, 3.0, 2.5, 4.0, 1.5]
    course = np.array([[0.0, 0.0, 0.8, 1.0, 0.5, -0.5], [1.0, 0.8, 0.0, -0.8, -0.5, 0.8]])
    counts = rng.poisson(np.exp(0.6 * course[[0, 0, 1, 1, 0]]))
    counts[1, 3] = -1
    data = Counts.of(counts, STARTS)
    return rng, state, data, np.where(counts >= 0, rng.gamma(4.0, 0.2, counts.shape), 0.0)


def course_moments(transition, offset, noise, path):
    """Mean (bin, m) and covariance (bin, m, bin, m) of a trajectory by walking through time; dynamics by state."""
    mean, covariance = np.zeros((N_BINS, M)), np.zeros((N_BINS, M, N_BINS, M))
    for a, b in zip(STARTS[:-1], STARTS[1:], strict=True):
        covariance[a, :, a] = np.eye(M)
        for t in range(a + 1, b):
            step = transition[path[t]]
            mean[t] = offset[path[t]] + step @ mean[t - 1]
            for u in range(a, t):
                covariance[t, :, u] = step @ covariance[t - 1, :, u]
                covariance[u, :, t] = covariance[t, :, u].T
            covariance[t, :, t] = step @ covariance[t - 1, :, t - 1] @ step.T + noise[path[t]]
    return mean, covariance


def dense_evidence(state, data, weight, members, dynamics, path):
    """Log density of ``kappa / w`` of units that share a trajectory: the evidence up to what no move changes."""
    mean, covariance = course_moments(*dynamics, path)
    unit, t = np.nonzero(data.counts[members] >= 0)
    i = np.asarray(members)[unit]
    direction = np.column_stack([np.ones(len(i)), state.loading[i]])
    w, r = weight[i, t], state.dispersion[i]
    location = state.baseline[i] - np.log(r) + (mean[t] * direction).sum(axis=1)
    spread = np.einsum("pi,piqj,qj->pq", direction, covariance[t][:, :, t], direction) + np.diag(1 / w)
    return multivariate_normal.logpdf(0.5 * (data.counts[i, t] - r) / w, location, spread)


def canonical(labels) -> tuple[int, ...]:
    names: dict[int, int] = {}
    return tuple(names.setdefault(int(label), len(names)) for label in labels)


PARTITIONS = sorted({canonical(labels) for labels in itertools.product(range(N_UNITS), repeat=N_UNITS)})


def law_of_partitions(state, data, weight):
    """Posterior of the 52 partitions: mixture of finite mixtures, by its definition, times evidence."""
    k = np.arange(1, 400)
    g, total = PRIOR.cluster_weight, []
    log_k = np.log(PRIOR.cluster_rate) + (k - 1) * np.log1p(-PRIOR.cluster_rate)
    fixed = draw_state(np.random.default_rng(1), N_UNITS, STARTS, PRIOR)
    slot = fixed.cluster[0]
    dynamics = fixed.transition[slot], fixed.offset[slot], fixed.noise[slot]
    plain = state.copy()
    plain.baseline[:], plain.loading[:] = PRIOR.baseline_mean, 0.0
    for labels in PARTITIONS:
        sizes = np.bincount(labels)
        ways = np.where(k >= sizes.size, gammaln(k + 1) - gammaln(np.maximum(k - sizes.size, 0) + 1), -np.inf)
        one = logsumexp(log_k + ways + gammaln(g * k) - gammaln(g * k + N_UNITS))
        one += (gammaln(g + sizes) - gammaln(g)).sum()
        for c in range(sizes.size):
            members = np.flatnonzero(np.array(labels) == c)
            one += dense_evidence(plain, data, weight, members, dynamics, state.path)
        total.append(one)
    return np.exp(total - logsumexp(total))


def jump(rng, state, data, weight):
    cn.move_units(rng, *sw._arrays(state, data, PRIOR, weight), 25)


def reassign(rng, state, data, weight):
    """The steps that do not integrate trajectories out have the same law."""
    for _ in range(4):
        sw.reassign(rng, state, data, PRIOR, weight, sw.Settings(births=0.8, n_new=1))
        sw.draw_courses(rng, state, data, weight)


@pytest.mark.parametrize("move", [jump, reassign], ids=lambda f: f.__name__)
def test_posterior_of_partitions(problem, move):
    rng, state, data, weight = problem
    law = law_of_partitions(state, data, weight)
    number = {p: k for k, p in enumerate(PARTITIONS)}
    times, n = np.zeros(len(PARTITIONS)), 4000
    state.baseline[:], state.loading[:] = PRIOR.baseline_mean, 0.0
    for _ in range(n):
        move(rng, state, data, weight)
        times[number[canonical(state.cluster)]] += 1
    rare = n * law <= max(5, n * law.min())
    seen, due = np.append(times[~rare], times[rare].sum()), n * np.append(law[~rare], law[rare].sum())
    assert chisquare(seen, due).pvalue > 1e-4
    # The test sees counts that go to the wrong units.
    wrong = law_of_partitions(state, Counts.of(data.counts[::-1], STARTS), weight[::-1])
    assert chisquare(seen, n * np.append(wrong[~rare], wrong[rare].sum())).pvalue < 1e-8


@pytest.fixture
def paths_problem():
    """Two clusters whose dynamics differ between two states."""
    rng = np.random.default_rng(3)
    prior = Prior(n_latents=1, max_clusters=3, max_states=2, transition_mean=0.5, noise_dof=8.0, noise_scale=1.0)
    state = draw_state(rng, 4, STARTS, prior)
    state.cluster[:] = [0, 0, 2, 2]
    state.loading[:] = rng.standard_normal((4, 1))
    state.transition[:] = 0.5 * np.eye(M)
    state.offset[:, 0], state.offset[:, 1] = 0.15, -0.1
    state.noise[:] = 0.3 * np.eye(M)
    state.switch = np.array([[0.8, 0.2], [0.4, 0.6]])
    data = Counts.of(rng.poisson(1.5, (4, N_BINS)), STARTS)
    weight = rng.gamma(4.0, 0.2, data.counts.shape)
    return rng, prior, state, data, weight


def log_path(path, state, data, weight, switch):
    total = 0.0
    for t in np.setdiff1d(np.arange(N_BINS), STARTS):
        total += np.log(switch[path[t - 1], path[t]])
    for k in (0, 2):
        dynamics = state.transition[k], state.offset[k], state.noise[k]
        total += dense_evidence(state, data, weight, np.flatnonzero(state.cluster == k), dynamics, path)
    return total


def test_path_moves_keep_the_posterior_of_paths(paths_problem):
    """Paths drawn with their probabilities keep them; with those of another transition matrix they do not."""
    rng, prior, state, data, weight = paths_problem
    paths = np.array(list(itertools.product(range(2), repeat=N_BINS)))

    def law(switch):
        total = np.array([log_path(path, state, data, weight, switch) for path in paths])
        return np.exp(total - logsumexp(total))

    probability, place, n = law(state.switch), 2 ** np.arange(N_BINS)[::-1], 20_000
    times, turned, changed = np.zeros(len(paths)), 0, 0
    units, courses, _ = sw._arrays(state, data, prior, weight)
    for k in rng.choice(len(paths), n, p=probability):
        courses.path[:] = paths[k]
        clusters = cp.make_clusters(units, courses, np.array([0, 2]))
        moved = cp.move_path(rng, clusters, courses.path, STARTS, state.switch, np.array([3, 4, 2]))
        times[courses.path @ place] += 1
        turned, changed = turned + moved[0], changed + moved[1]
    assert turned > n / 10
    assert changed > n / 10

    def p_value(p):
        rare = n * p <= max(8, n * p.min())
        return chisquare(np.append(times[~rare], times[rare].sum()), n * np.append(p[~rare], p[rare].sum())).pvalue

    assert p_value(probability) > 1e-3
    assert p_value(law(state.switch.T / state.switch.T.sum(axis=1, keepdims=True))) < 1e-6


def test_messages_meet_in_the_evidence(paths_problem):
    """Wherever messages from both ends meet, and whatever path they carry."""
    rng, prior, state, data, weight = paths_problem
    units, courses, _ = sw._arrays(state, data, prior, weight)
    slots = np.array([0, 2])
    clusters = cp.make_clusters(units, courses, slots)
    ahead, back = cp.make_messages(2, N_BINS, M), cp.make_messages(2, N_BINS, M)
    work = cn.make_work(N_BINS, 2, M)
    first, last = STARTS[0], STARTS[1] - 1
    for path in itertools.islice(itertools.product(range(2), repeat=N_BINS), 0, 64, 7):
        path = np.array(path)
        cp.scan_back(clusters, path, first, last, back)
        cp.begin(clusters, first, first, ahead)
        for t in range(first + 1, last + 1):
            cp.step_on(clusters, t, path[t], ahead, t - 1, ahead, t)
        met = [cp.meet(ahead, t, back, t) for t in range(first, last + 1)]
        expected = 0.0
        for q, slot in enumerate(slots):
            j, h = clusters.j[q].copy(), clusters.h[q].copy()
            j[last + 1 :], h[last + 1 :] = 0.0, 0.0
            expected += cn.evidence(j, h, courses, slot, path, work)
        np.testing.assert_allclose(met, expected, rtol=1e-10)


def test_evidence_is_the_dense_one(paths_problem):
    """For all paths and both clusters, up to a constant of the units; the courses drawn with it have its mean."""
    rng, prior, state, data, weight = paths_problem
    units, courses, _ = sw._arrays(state, data, prior, weight)
    work = cn.make_work(N_BINS, 2, M)
    for slot in (0, 2):
        members = np.flatnonzero(state.cluster == slot)
        found = []
        for path in itertools.islice(itertools.product(range(2), repeat=N_BINS), 0, 64, 5):
            j, h = np.zeros((N_BINS, M, M)), np.zeros((N_BINS, M))
            constant = sum(cn.add_unit(units, i, j, h) for i in members)
            value = constant + cn.evidence(j, h, courses, slot, np.array(path), work)
            dynamics = state.transition[slot], state.offset[slot], state.noise[slot]
            found.append(value - dense_evidence(state, data, weight, members, dynamics, path))
        np.testing.assert_allclose(found, found[0], atol=1e-9)


def test_log_prior_of_coefficients():
    mean, precision, values = np.array([0.5, 0.0]), np.array([2.0, 0.3]), np.array([-0.2, 1.4])
    expected = multivariate_normal.logpdf(values, mean, np.diag(1 / precision))
    assert cn.log_prior_coefficients(values, mean, precision) == pytest.approx(expected, rel=1e-12)
