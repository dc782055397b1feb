"""Where chains start, and how they come to where the posterior is: a search, before any draw is kept.

Chains start from partitions far from one another and one state. Trajectories settle first, units and states held where
they are; then clusters are split and joined and states are found by steps that compare evidences but are no Markov
kernel of the posterior (`regroup`, `find_states`), between sweeps that are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter1d
from scipy.special import gammaln
from sklearn.metrics import adjusted_rand_score

from neurodata.kernels import (
    bicluster_nb,
    collapsed_nb,
    laplace_nb,
    linear_dynamics_nb,
    matrix_normal_nb,
    split_merge_nb,
)
from neurodata.kernels.state_path_nb import count_transitions
from neurodata.models.bicluster import full
from neurodata.models.bicluster.prior import POISSON_DISPERSION, Prior, switch_mass
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import (
    Info,
    Settings,
    draw_courses,
    draw_dispersions,
    draw_dynamics,
    draw_path,
    draw_switches,
    draw_weights,
    log_means,
    shift,
)

# Sweeps with units and states held: at the start, and of a proposal to regroup.
_SETTLE = 20
_TRIAL = 10
_STATE_TRIAL = 25
# Sweeps of a proposal whose evidence is averaged: fewest, and most where it is a near thing.
_JUDGED = 4
_MOST_JUDGED = 12
# Most steps of the search.
_SEARCH = 160
# Evidence by which a proposal may be behind at the first look.
_HOPELESS = 60.0
# Part of the steps that tell of the dynamics, as trajectories are not observed: the entropy of the posterior of the
# dynamics, with ten units of some two spikes a bin, is that of the conditional on a tenth to a twentieth of the steps.
_KNOWN = 0.05
# Steps of the search between two proposals of states.
_STATES_EVERY = 3


def over_dispersed(rng: np.random.Generator, data: Counts, prior: Prior, chain: int) -> State:
    """Start of a chain: one cluster, many at random, or k-means of smoothed counts, by the chain's number."""
    n_units, n_bins = data.counts.shape
    most = max(1, min(prior.max_clusters, n_units // 2))
    if chain % 4 == 0:
        cluster = np.zeros(n_units, dtype=np.int64)
    elif chain % 4 == 1:
        cluster = rng.integers(0, most, n_units)
    else:
        cluster = _similar_units(rng, data, int(rng.integers(1, most + 1)))
    cluster = np.unique(cluster, return_inverse=True)[1]
    n_slots, n_states, m = prior.max_clusters, prior.max_states, prior.size
    observed = data.counts >= 0
    mean = (np.where(observed, data.counts, 0).sum(axis=1) + 0.5) / (observed.sum(axis=1) + 1.0)
    switch = np.full((n_states, n_states), 0.1 / max(1, n_states - 1))
    np.fill_diagonal(switch, 0.9 if n_states > 1 else 1.0)
    return State(
        dispersion=np.full(n_units, prior.dispersion_shape / prior.dispersion_rate),
        baseline=np.log(mean),
        loading=0.5 * prior.loading_sd * rng.standard_normal((n_units, m - 1)),
        cluster=cluster,
        x=np.zeros((n_slots, n_bins, m)),
        transition=np.tile(0.9 * np.eye(m), (n_slots, n_states, 1, 1)),
        offset=np.zeros((n_slots, n_states, m)),
        noise=np.tile(2.0 * prior.noise_scale * np.eye(m), (n_slots, n_states, 1, 1)),
        path=np.zeros(n_bins, dtype=np.int64),
        beta=np.full(n_states, 1.0 / n_states),
        switch=switch,
        mass=prior.sticky_shape / prior.sticky_rate,
        stick=prior.stick_a / (prior.stick_a + prior.stick_b),
        gamma=prior.states_shape / prior.states_rate,
    )


def _similar_units(rng: np.random.Generator, data: Counts, n_clusters: int) -> np.ndarray:
    """K-means of the units' correlations with all others, counts smoothed within sequences."""
    smooth = np.empty(data.counts.shape)
    for a, b in zip(data.starts[:-1], data.starts[1:], strict=True):
        if b > a:
            part = np.sqrt(np.maximum(data.counts[:, a:b], 0))
            smooth[:, a:b] = gaussian_filter1d(part, 2.0, axis=1)
    smooth = smooth - smooth.mean(axis=1, keepdims=True)
    size = np.linalg.norm(smooth, axis=1, keepdims=True)
    smooth = smooth / np.where(size > 0, size, 1.0)
    return _k_means(rng, smooth @ smooth.T, n_clusters)


def _k_means(rng: np.random.Generator, table: np.ndarray, n_groups: int) -> np.ndarray:
    """Groups of rows; fewer than asked for where rows are alike."""
    # The spread starts of k-means cannot be drawn among fewer different rows than groups.
    n_groups = min(n_groups, len(np.unique(table, axis=0)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        return kmeans2(table, n_groups, minit="++", rng=rng)[1].astype(np.int64)


def step(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings, i: int, n_warmup: int
) -> tuple[State, Info]:
    """Step `i` of `n_warmup`: the search at most in the first half, then sweeps.

    The search takes Poisson counts for negative binomial ones, and clusters to move each by itself.
    """
    if prior.observation == "poisson" and 2 * i < n_warmup:
        state, info = step(rng, state, data, replace(prior, observation="negbin"), settings, i, n_warmup)
        if 2 * (i + 1) >= n_warmup:
            state.dispersion = np.full(len(state.cluster), POISSON_DISPERSION)
        return state, info
    if prior.dynamics == "full" and 2 * i < n_warmup:
        return step(rng, state, data, replace(prior, dynamics="block"), settings, i, n_warmup)
    settle = min(_SETTLE, n_warmup // 4)
    if i < settle:
        state = state.copy()
        settle_once(rng, state, data, prior, settings)
        return state, Info()
    if i < min(n_warmup // 2, _SEARCH):
        state = regroup(rng, state, data, prior, settings)
        if i % _STATES_EVERY == 0:
            state = find_states(rng, state, data, prior, settings)
    return full.sweep(rng, state, data, prior, settings)


def settle_once(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> None:
    """A sweep, in place, with clusters and path held."""
    draw_dispersions(rng, state, data, prior, log_means(state))
    weight = draw_weights(rng, state, data, log_means(state), settings)
    draw_courses(rng, state, data, weight)
    shift(rng, state, data, prior)
    draw_loadings(rng, state, data, prior, weight)
    draw_dynamics(rng, state, data, prior)


def draw_loadings(rng: np.random.Generator, state: State, data: Counts, prior: Prior, weight: np.ndarray) -> None:
    """Baseline and loadings of each unit in the cluster where it is."""
    m = prior.size
    factor, centre, values = np.empty((m, m)), np.empty(m), np.empty(m)
    mean, precision = prior.coefficient_mean(), prior.coefficient_precision()
    for i, k in enumerate(state.cluster):
        r = float(state.dispersion[i])
        bicluster_nb.regress(data.counts[i], weight[i], np.log(r), r, state.x[k], mean, precision, factor, centre)
        bicluster_nb.draw_coefficients(rng, factor, centre, values)
        state.baseline[i], state.loading[i] = values[0], values[1:]


def regroup(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> State:
    """Split the cluster of two units, join their two or share out the units anew, if the evidence is then larger."""
    n_units = len(state.cluster)
    if n_units < 2:
        return state
    first, second = rng.choice(n_units, 2, replace=False)
    a, b = int(state.cluster[first]), int(state.cluster[second])
    if a == b and len(state.clusters()) == prior.max_clusters:
        return state
    members = np.flatnonzero((state.cluster == a) | (state.cluster == b))
    part = Counts.of(data.counts[members], data.starts)
    now = _sub_state(state, members, a, b)
    small = replace(prior, max_clusters=2)
    trial = now if a == b else _join(now, part, small)
    # Two clusters are joined, or their units shared out anew.
    if a == b or rng.random() < 0.5:
        i, j = (int(np.flatnonzero(members == unit)[0]) for unit in (first, second))
        trial = _split(rng, trial, part, small, i, j)
    if a != b and adjusted_rand_score(now.cluster, trial.cluster) == 1.0:
        return state

    def score(each: State) -> float:
        return log_score(each, part, small)

    def improve(each: State) -> None:
        settle_once(rng, each, part, small, settings)

    if not _better(now, trial, improve, score, _TRIAL, _partition_gain(state, now, trial, prior)):
        return state
    return _with_part(state, trial, members, a, b)


def _better(
    now: State,
    trial: State,
    improve: Callable[[State], None],
    score: Callable[[State], float],
    n_trial: int,
    gain: float = 0.0,
) -> bool:
    """Whether `trial`, improved in place by some sweeps, scores more than `now`."""
    for _ in range(n_trial):
        improve(trial)
    gaps: list[float] = []
    for _ in range(_MOST_JUDGED):
        improve(now)
        improve(trial)
        gaps.append(gain + score(trial) - score(now))
        if gaps[0] < -_HOPELESS:
            return False
        if len(gaps) >= _JUDGED and abs(np.mean(gaps)) > 3.0 * np.std(gaps) / np.sqrt(len(gaps)) + 2.0:
            break
    return bool(np.mean(gaps) > 0.0)


def _sub_state(state: State, members: np.ndarray, a: int, b: int) -> State:
    """Some units and their one or two clusters, in slots 0 and 1."""
    slots = [a, b]
    part = state.copy()
    part.cluster = (state.cluster[members] == b).astype(np.int64) if a != b else np.zeros(len(members), dtype=np.int64)
    part.dispersion, part.baseline = state.dispersion[members], state.baseline[members]
    part.loading = state.loading[members]
    part.x, part.transition = state.x[slots], state.transition[slots]
    part.offset, part.noise = state.offset[slots], state.noise[slots]
    return part


def _with_part(state: State, part: State, members: np.ndarray, a: int, b: int) -> State:
    """`state` with the result of `_sub_state`."""
    state = state.copy()
    if a == b and len(np.unique(part.cluster)) == 2:
        b = int(np.setdiff1d(np.arange(len(state.x)), state.clusters())[0])
    slots = [a, b]
    state.cluster[members] = np.asarray(slots)[part.cluster]
    state.dispersion[members], state.baseline[members] = part.dispersion, part.baseline
    state.loading[members] = part.loading
    for q in np.unique(part.cluster):
        k = slots[q]
        state.x[k], state.transition[k] = part.x[q], part.transition[q]
        state.offset[k], state.noise[k] = part.offset[q], part.noise[q]
    return state


def _split(rng: np.random.Generator, now: State, part: Counts, prior: Prior, first: int, second: int) -> State:
    """Two clusters of one: allocation around two units, dynamics as they were."""
    trial = now.copy()
    order, side = split_merge_nb.in_order(rng, now.cluster, first, second, 0, 1)
    units, courses, numbers = _arrays(trial, part, prior)
    n_bins, m = trial.x.shape[1:]
    smooth, work = np.empty((2, n_bins, m)), collapsed_nb.make_work(n_bins, len(trial.beta), m)
    j, h = np.empty((n_bins, m, m)), np.empty((n_bins, m))
    anchors = np.column_stack([now.baseline[order[:2]], now.loading[order[:2]]])
    split_merge_nb.allocate(rng, units, courses, numbers, 0, order, side, False, anchors, j, h, smooth, work)
    trial.cluster[order] = side
    trial.x[:] = smooth
    trial.transition[1], trial.offset[1], trial.noise[1] = trial.transition[0], trial.offset[0], trial.noise[0]
    _fit_units(trial, part, prior, np.arange(len(trial.cluster)))
    return trial


def _join(now: State, part: Counts, prior: Prior) -> State:
    """One cluster of two: the units of the smaller one in the coordinates of the larger."""
    trial = now.copy()
    size = np.bincount(now.cluster, minlength=2)
    stay = int(size[1] > size[0])
    moving = np.flatnonzero(now.cluster != stay)
    trial.cluster[:] = stay
    _fit_units(trial, part, prior, moving)
    for array in (trial.x, trial.transition, trial.offset, trial.noise):
        array[0] = array[stay]
    trial.cluster[:] = 0
    return trial


def _fit_units(state: State, data: Counts, prior: Prior, units: np.ndarray) -> None:
    factor, values = np.empty((prior.size, prior.size)), np.empty(prior.size)
    mean, precision = prior.coefficient_mean(), prior.coefficient_precision()
    for i in units:
        x = state.x[state.cluster[i]]
        laplace_nb.fit_unit(data.counts[i], state.dispersion[i], x, mean, precision, 5, factor, values)
        state.baseline[i], state.loading[i] = values[0], values[1:]


def _arrays(
    state: State, data: Counts, prior: Prior
) -> tuple[collapsed_nb.Units, collapsed_nb.Courses, collapsed_nb.Numbers]:
    return (
        collapsed_nb.Units(
            data.counts, np.empty((0, 0)), state.dispersion, state.baseline, state.loading, state.cluster
        ),
        collapsed_nb.Courses(state.x, state.transition, state.offset, state.noise, data.starts, state.path),
        collapsed_nb.Numbers(
            prior.coefficient_mean(),
            prior.coefficient_precision(),
            prior.cluster_weight,
            prior.log_new(len(state.cluster)),
            *prior.matrix_normal(),
        ),
    )


def log_score(state: State, data: Counts, prior: Prior) -> float:
    """Rough log evidence of the counts: trajectories by Laplace, coefficients and dynamics by prior over posterior.

    The last two follow Chib (1995, doi:10.1080/01621459.1995.10476635), with posteriors given the present trajectory.
    """
    units, courses, _ = _arrays(state, data, prior)
    n_bins, m = state.x.shape[1:]
    n_states = len(state.beta)
    work = collapsed_nb.make_work(n_bins, n_states, m)
    j, h, mean_x = np.empty((n_bins, m, m)), np.empty((n_bins, m)), np.empty((n_bins, m))
    prior_mean, prior_precision = prior.coefficient_mean(), prior.coefficient_precision()
    centre, columns, scale, dof = prior.matrix_normal()
    total = 0.0
    cross, inputs = np.empty((n_states, m, m + 1)), np.empty((n_states, m + 1, m + 1))
    outputs, count = np.empty((n_states, m, m)), np.empty(n_states)
    new_centre, new_precision, new_scale = np.empty((m, m + 1)), np.empty((m + 1, m + 1)), np.empty((m, m))
    for k in state.clusters():
        members = np.flatnonzero(state.cluster == k)
        values = np.column_stack([state.baseline[members], state.loading[members]])
        mean_x[:] = state.x[k]
        normaliser = laplace_nb.smooth_course(
            data.counts, state.dispersion, members, values, courses, k, 3, j, h, work, mean_x, True
        )
        total += laplace_nb.log_weight(data.counts, state.dispersion, members, values, j, h, normaliser, mean_x)
        for q, i in enumerate(members):
            total += laplace_nb.log_constant(data.counts[i], state.dispersion[i])
            total += collapsed_nb.log_prior_coefficients(values[q], prior_mean, prior_precision)
            total -= 0.5 * laplace_nb.log_det_information(
                data.counts[i], state.dispersion[i], state.x[k], values[q], prior_precision
            )
        total += 0.5 * values.size * (1.0 + np.log(2.0 * np.pi))
        linear_dynamics_nb.step_sums(state.x[k], data.starts, state.path, cross, inputs, outputs, count)
        for s in np.flatnonzero(count):
            theta = state.transition[k, s], state.offset[k, s], state.noise[k, s]
            matrix_normal_nb.posterior(
                _KNOWN * cross[s],
                _KNOWN * inputs[s],
                _KNOWN * outputs[s],
                centre,
                columns,
                scale,
                new_centre,
                new_precision,
                new_scale,
            )
            total += matrix_normal_nb.log_density(*theta, centre, columns, scale, dof)
            total -= matrix_normal_nb.log_density(*theta, new_centre, new_precision, new_scale, dof + _KNOWN * count[s])
    return float(total)


def _partition_gain(state: State, now: State, trial: State, prior: Prior) -> float:
    """Log prior of the partition after a split or a join over that before, of the clusters that changed and number."""
    n_clusters = len(state.clusters())
    before, after = len(np.unique(now.cluster)), len(np.unique(trial.cluster))
    change = after - before
    log_v = prior.log_partition(len(state.cluster))
    return float(log_v[n_clusters + change - 1] - log_v[n_clusters - 1])


def find_states(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> State:
    """Another path, if it has the larger evidence after a few sweeps: states anew, one split, or two joined."""
    n_states = len(state.beta)
    used = np.unique(state.path)
    if n_states == 1:
        return state
    kind = rng.choice(["anew", "split", "join"]) if len(used) > 1 else "anew"
    path = state.path.copy()
    if kind == "join":
        one, other = rng.choice(used, 2, replace=False)
        path[path == other] = one
    elif kind == "split":
        if len(used) == n_states:
            return state
        chosen = path == rng.choice(used)
        part = similar_windows(rng, state, data, 2)
        path[chosen & (part == 1)] = np.setdiff1d(np.arange(n_states), used)[0]
    else:
        path = similar_windows(rng, state, data, min(n_states, 2 + int(rng.geometric(0.5) - 1)))
    if np.array_equal(path, state.path):
        return state
    now, trial = state.copy(), state.copy()
    trial.path = path
    draw_dynamics(rng, trial, data, prior)
    draw_switches(rng, trial, data, prior)

    def score(each: State) -> float:
        return log_score(each, data, prior) + log_path(each, data)

    def improve(each: State) -> None:
        settle_once(rng, each, data, prior, settings)
        for _ in range(2):
            draw_switches(rng, each, data, prior)
            draw_path(rng, each, data)
            draw_dynamics(rng, each, data, prior)

    return trial if _better(now, trial, improve, score, _STATE_TRIAL) else now


def similar_windows(rng: np.random.Generator, state: State, data: Counts, n_groups: int) -> np.ndarray:
    """Group of each bin: k-means of windows, of a length at random, by how far and how fast trajectories move."""
    lengths = np.diff(data.starts)
    size = int(rng.integers(6, 26))
    window = np.concatenate([np.arange(n) // size for n in lengths])
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    label = np.unique(np.column_stack([sequence, window]), axis=0, return_inverse=True)[1].reshape(-1)
    n_bins = np.bincount(label)
    features = []
    for k in state.clusters():
        x = state.x[k] - state.x[k].mean(axis=0)
        steps = np.diff(x, axis=0, prepend=x[:1])
        steps[data.starts[:-1][lengths > 0]] = 0.0
        for part in (x, steps):
            square = np.bincount(label, (part**2).sum(axis=1)) / n_bins
            features.append(np.log(square + 1e-6))
    table = np.column_stack(features)
    table = (table - table.mean(axis=0)) / (table.std(axis=0) + 1e-12)
    return _k_means(rng, table, min(n_groups, len(table)))[label]


def log_path(state: State, data: Counts) -> float:
    """Log probability of the path, the transition matrix integrated out."""
    counts = np.empty((len(state.beta), len(state.beta)))
    count_transitions(state.path, data.starts, counts)
    each = switch_mass(state.beta, state.mass, state.stick)
    rows = gammaln(each.sum(axis=1)) - gammaln((each + counts).sum(axis=1))
    return float(rows.sum() + (gammaln(each + counts) - gammaln(each)).sum())
