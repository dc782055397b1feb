"""One sweep of the bi-clustering sampler: every unknown is drawn once given the others.

Each step takes the generator, the state, which it changes in place, the data and the prior; `sweep` works on a copy.
Steps between two draws of the Polya-Gamma weights w see the counts through them:

    r | d, c, x (w integrated out)  ->  w | all  ->  z, d, c | w, x  ->  x | w, z, d, c, dynamics, path
    ->  shifts and scales  ->  dynamics | x, path  ->  path | x, dynamics  ->  transition matrix and its prior
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from neurodata.kernels import (
    bicluster_nb,
    collapsed_dynamics_nb,
    collapsed_nb,
    collapsed_path_nb,
    coordinates_nb,
    linear_dynamics_nb,
    matrix_normal_nb,
    membership_nb,
    poisson_courses_nb,
    polya_gamma_nb,
    split_merge_nb,
    state_runs_nb,
)
from neurodata.kernels.state_path_nb import count_transitions, sample_path, sample_tables
from neurodata.models.bicluster.prior import POISSON_DISPERSION, Prior, draw_shares, switch_mass
from neurodata.models.bicluster.state import Counts, State

# Fewest and most bins of the windows in which switches move.
_WINDOW = 4, 64


@dataclass(frozen=True)
class Settings:
    """How the sampler goes about it; the posterior does not depend on them.

    Attributes
    ----------
    n_terms : int
        Terms of Polya-Gamma sums that are drawn one by one.
    births : float
        Part of the units that may leave for a cluster of their own in a sweep.
    n_new : int
        Trials of such a cluster.
    path_rounds : int
        Rounds of dynamics and path in a sweep.
    n_runs, n_windows : int
        Stretches of the path that get a new label in a sweep, given trajectories.
    n_jumps : int
        Units that may change their cluster, trajectories integrated out, in a sweep.
    n_scans : int
        Scans of the path for switches that may move, trajectories integrated out, in a sweep.
    dynamics : float
        Probability, in a sweep, that the dynamics of a state of each cluster move too, trajectories integrated out.
    splits : float
        Probability of a split or merge of clusters in a sweep.
    poisson_dispersion : float
        Dispersion of the proposals for Poisson counts, over one and the unit's mean count.
    poisson_window : int
        Bins of a trajectory that are proposed together for Poisson counts.
    """

    n_terms: int = polya_gamma_nb.FEW_TERMS
    births: float = 0.2
    n_new: int = 2
    path_rounds: int = 2
    n_runs: int = 8
    n_windows: int = 4
    n_jumps: int = 6
    n_scans: int = 2
    dynamics: float = 0.5
    splits: float = 0.1
    poisson_dispersion: float = 10.0
    poisson_window: int = 10


@dataclass
class Info:
    """What a sweep did.

    Units that moved, accepted steps by kind, bins that changed their state by moves of switches, log-likelihood of the
    counts given the rest.
    """

    moved: int = 0
    jumped: int = 0
    split: int = 0
    merged: int = 0
    turned: int = 0
    switched: int = 0
    relabelled: int = 0
    windows: int = 0
    all_windows: int = 0
    log_likelihood: float = np.nan


def sweep(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> tuple[State, Info]:
    """The next state of the chain."""
    if prior.observation == "poisson":
        return _poisson_sweep(rng, state, data, prior, settings)
    state, info = state.copy(), Info()
    eta = log_means(state)
    draw_dispersions(rng, state, data, prior, eta)
    weight = draw_weights(rng, state, data, eta, settings)
    info.moved = reassign(rng, state, data, prior, weight, settings)
    units, courses, numbers = _arrays(state, data, prior, weight)
    info.jumped = int(collapsed_nb.move_units(rng, units, courses, numbers, settings.n_jumps))
    if rng.random() < settings.splits:
        log_partition = prior.log_partition(len(state.cluster))
        info.split, info.merged = split_merge_nb.split_or_merge(rng, units, courses, numbers, log_partition, 1)
        if info.split or info.merged:
            # The move is accepted with the weights integrated out: those in hand belong to what was there before.
            units = units._replace(weight=draw_weights(rng, state, data, log_means(state), settings))
    dynamics = rng.random() < settings.dynamics
    info.turned, info.switched = move_path(rng, state, data, prior, units.weight, settings, dynamics)
    draw_states(rng, state, data, prior, settings, info)
    return state, info


def move_path(
    rng: np.random.Generator,
    state: State,
    data: Counts,
    prior: Prior,
    weight: np.ndarray,
    settings: Settings,
    dynamics: bool = False,
) -> tuple[int, int]:
    """Path, and dynamics if so chosen, with trajectories integrated out, then trajectories.

    Gives how many runs changed their state, and how many bins did because switches moved.
    """
    units, courses, _ = _arrays(state, data, prior, weight)
    slots = state.clusters()
    clusters = collapsed_path_nb.make_clusters(units, courses, slots)
    if dynamics:
        collapsed_dynamics_nb.move_dynamics(rng, clusters, state.path, data.starts, *prior.matrix_normal())
    sizes = window_sizes(rng, settings)
    moved = collapsed_path_nb.move_path(rng, clusters, state.path, data.starts, state.switch, sizes)
    collapsed_path_nb.settle(rng, clusters, courses, slots)
    return moved


def window_sizes(rng: np.random.Generator, settings: Settings) -> np.ndarray:
    """Bins of the windows of each scan of the path."""
    low, high = np.log(_WINDOW)
    return np.exp(rng.uniform(low, high, settings.n_scans)).astype(np.int64)


def _poisson_sweep(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings
) -> tuple[State, Info]:
    """Of Poisson counts, which are nearly negative binomial with a large dispersion: see `poisson_courses_nb`."""
    state, info = state.copy(), Info()
    seen = np.maximum(data.counts, 0).sum(axis=1) / np.maximum(1, (data.counts >= 0).sum(axis=1))
    state.dispersion = settings.poisson_dispersion * (1.0 + seen)
    weight = draw_weights(rng, state, data, log_means(state), settings)
    info.moved = reassign(rng, state, data, prior, weight, settings)
    units, courses, numbers = _arrays(state, data, prior, weight)
    for k in state.clusters():
        taken, n_all = poisson_courses_nb.draw_windows(rng, units, courses, k, settings.poisson_window)
        info.windows += taken
        info.all_windows += n_all
    if rng.random() < settings.splits:
        state.dispersion[:] = POISSON_DISPERSION
        log_partition = prior.log_partition(len(state.cluster))
        info.split, info.merged = split_merge_nb.split_or_merge(rng, units, courses, numbers, log_partition, 1)
    state.dispersion = np.full(len(state.cluster), POISSON_DISPERSION)
    draw_states(rng, state, data, prior, settings, info)
    return state, info


def draw_states(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings, info: Info
) -> None:
    """All but units and trajectories: levels, dynamics, path, transition matrix."""
    shift(rng, state, data, prior)
    info.relabelled = relabel(rng, state, data, prior, settings)
    change_coordinates(rng, state, data, prior)
    for _ in range(settings.path_rounds):
        draw_dynamics(rng, state, data, prior)
        draw_switches(rng, state, data, prior)
        draw_path(rng, state, data)


def _arrays(
    state: State, data: Counts, prior: Prior, weight: np.ndarray
) -> tuple[collapsed_nb.Units, collapsed_nb.Courses, collapsed_nb.Numbers]:
    return (
        collapsed_nb.Units(data.counts, weight, state.dispersion, state.baseline, state.loading, state.cluster),
        collapsed_nb.Courses(state.x, state.transition, state.offset, state.noise, data.starts, state.path),
        collapsed_nb.Numbers(
            prior.coefficient_mean(),
            prior.coefficient_precision(),
            prior.cluster_weight,
            prior.log_new(len(state.cluster)),
            *prior.matrix_normal(),
        ),
    )


def log_means(state: State) -> np.ndarray:
    """Log of the mean counts, (unit, bin)."""
    eta = np.empty((len(state.cluster), len(state.path)))
    bicluster_nb.log_means(state.baseline, state.loading, state.cluster, state.x, eta)
    return eta


def draw_dispersions(rng: np.random.Generator, state: State, data: Counts, prior: Prior, eta: np.ndarray) -> None:
    """R given the means."""
    bicluster_nb.slice_dispersions(
        rng, data.counts, eta, data.table, prior.dispersion_shape, prior.dispersion_rate, state.dispersion
    )


def draw_weights(
    rng: np.random.Generator, state: State, data: Counts, eta: np.ndarray, settings: Settings
) -> np.ndarray:
    """Polya-Gamma weights (unit, bin)."""
    weight = np.empty(data.counts.shape)
    bicluster_nb.draw_weights(rng, data.counts, state.dispersion, eta, settings.n_terms, weight)
    return weight


def reassign(
    rng: np.random.Generator, state: State, data: Counts, prior: Prior, weight: np.ndarray, settings: Settings
) -> int:
    """Cluster, baseline and loadings of each unit; gives how many changed their cluster."""
    n_units = len(state.cluster)
    return int(
        membership_nb.reassign(
            rng,
            data.counts,
            weight,
            state.dispersion,
            state.baseline,
            state.loading,
            state.cluster,
            state.x,
            state.transition,
            state.offset,
            state.noise,
            data.starts,
            state.path,
            prior.cluster_weight,
            prior.log_new(n_units),
            rng.random(n_units) < settings.births,
            settings.n_new,
            prior.coefficient_mean(),
            prior.coefficient_precision(),
            *prior.matrix_normal(),
            prior.observation == "poisson",
        )
    )


def draw_courses(rng: np.random.Generator, state: State, data: Counts, weight: np.ndarray) -> None:
    """Trajectory of each cluster."""
    n_bins, m = state.x.shape[1:]
    eta, factor = np.empty((n_bins, m)), np.empty((n_bins, m, m))
    for k in state.clusters():
        j, h = np.zeros((n_bins, m, m)), np.zeros((n_bins, m))
        for i in np.flatnonzero(state.cluster == k):
            r = float(state.dispersion[i])
            bicluster_nb.add_information(
                data.counts[i], weight[i], np.log(r), r, state.baseline[i], state.loading[i], j, h
            )
        bicluster_nb.mirror(j)
        precision, pulled, curved, log_det = precisions(state, k)
        linear_dynamics_nb.filter_forward(
            j, h, data.starts, state.path, state.offset[k], precision, pulled, curved, log_det, factor, eta
        )
        linear_dynamics_nb.sample_backward(
            rng, data.starts, state.path, state.offset[k], pulled, factor, eta, state.x[k]
        )


def precisions(state: State, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``Q^-1``, ``A' Q^-1``, ``A' Q^-1 A`` and ``log |Q|`` of each state of one cluster."""
    shape = state.noise[k].shape
    out = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape[0])
    linear_dynamics_nb.precisions(state.noise[k], state.transition[k], *out)
    return out


def shift(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """Move each cluster's level between trajectory, offsets and baselines; the likelihood does not change.

    ``x + v``, ``d - (1, c)' v``, ``b + (I - A) v`` mean the same for the counts; v is drawn from its posterior (a
    generalised Gibbs step, Liu & Sabatti 2000, doi:10.1093/biomet/87.2.353).
    """
    for k in state.clusters():
        members = np.flatnonzero(state.cluster == k)
        direction = np.hstack([np.ones((len(members), 1)), state.loading[members]])
        v = draw_shift(
            rng,
            data,
            prior,
            state.x[k],
            state.transition[k],
            state.offset[k],
            state.noise[k],
            direction,
            state.baseline[members],
        )
        state.x[k] += v
        state.baseline[members] -= direction @ v


def draw_shift(
    rng: np.random.Generator,
    data: Counts,
    prior: Prior,
    x: np.ndarray,
    transition: np.ndarray,
    offset: np.ndarray,
    noise: np.ndarray,
    direction: np.ndarray,
    baseline: np.ndarray,
) -> np.ndarray:
    """Draw v (n,), and change the offsets by it; what x adds to a unit's log means is ``direction . x``.

    Parameters
    ----------
    x : array (bin, n)
    transition, offset, noise : array (state, n, n), (state, n), (state, n, n)
    direction : array (unit, n)
    baseline : array (unit,)
    """
    n = x.shape[1]
    offset_precision = prior.matrix_normal()[1][-1, -1]
    first = data.starts[:-1][np.diff(data.starts) > 0]
    white = direction / prior.baseline_sd
    matrix = white.T @ white + len(first) * np.eye(n)
    linear = white.T @ ((baseline - prior.baseline_mean) / prior.baseline_sd) - x[first].sum(axis=0)
    inverse = offset_precision * np.linalg.inv(noise)
    away = np.eye(n) - transition
    pulled = away.transpose(0, 2, 1) @ inverse
    matrix += (pulled @ away).sum(axis=0)
    linear -= (pulled @ offset[..., None]).sum(axis=0)[:, 0]
    root = np.linalg.cholesky(matrix)
    v = np.linalg.solve(root.T, np.linalg.solve(root, linear) + rng.standard_normal(n))
    offset += away @ v
    return np.asarray(v)


def change_coordinates(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """Coordinates of each cluster's latent space, dynamics integrated out: they are to be drawn next."""
    for k in state.clusters():
        members = np.flatnonzero(state.cluster == k)
        loading = state.loading[members]
        sums = step_sums(state, data, k)
        coordinates_nb.draw(
            rng, state.x[k], 0, loading, data.starts, *sums, prior.coefficient_precision(), *prior.matrix_normal()
        )
        state.loading[members] = loading


def step_sums(state: State, data: Counts, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums of the steps of one cluster in each state, see `linear_dynamics_nb.step_sums`."""
    n_states, m = state.offset.shape[1:]
    sums = np.empty((n_states, m, m + 1)), np.empty((n_states, m + 1, m + 1)), np.empty((n_states, m, m))
    count = np.empty(n_states)
    linear_dynamics_nb.step_sums(state.x[k], data.starts, state.path, *sums, count)
    return *sums, count


def draw_dynamics(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """A, b and Q of each cluster and state; states without steps get theirs from the prior."""
    n_states = state.offset.shape[1]
    centre, columns, scale, dof = prior.matrix_normal()
    fixed = centre @ columns
    for k in state.clusters():
        cross, inputs, outputs, count = step_sums(state, data, k)
        for s in range(n_states):
            mean, precision, spread = centre, columns, scale
            if count[s]:
                precision = columns + inputs[s]
                linear = fixed + cross[s]
                mean = np.linalg.solve(precision, linear.T).T
                spread = scale + outputs[s] + fixed @ centre.T - mean @ linear.T
                spread = 0.5 * (spread + spread.T)
            matrix_normal_nb.draw(
                rng,
                mean,
                precision,
                spread,
                dof + count[s],
                state.transition[k, s],
                state.offset[k, s],
                state.noise[k, s],
            )


def relabel(rng: np.random.Generator, state: State, data: Counts, prior: Prior, settings: Settings) -> int:
    """States of whole stretches, dynamics and transition matrix integrated out: both are to be drawn next."""
    n_states, m = state.offset.shape[1:]
    slots = state.clusters()
    cross, inputs = np.empty((len(slots), n_states, m, m + 1)), np.empty((len(slots), n_states, m + 1, m + 1))
    outputs, count = np.empty((len(slots), n_states, m, m)), np.empty(n_states)
    for q, k in enumerate(slots):
        linear_dynamics_nb.step_sums(state.x[k], data.starts, state.path, cross[q], inputs[q], outputs[q], count)
    counts = np.empty((n_states, n_states))
    count_transitions(state.path, data.starts, counts)
    mass = switch_mass(state.beta, state.mass, state.stick)
    return int(
        state_runs_nb.relabel_some(
            rng,
            state.x,
            slots,
            data.starts,
            state.path,
            mass,
            settings.n_runs,
            settings.n_windows,
            cross,
            inputs,
            outputs,
            count,
            counts,
            *prior.matrix_normal(),
        )
    )


def path_log_likelihood(state: State, data: Counts) -> np.ndarray:
    """Log density of all steps into each bin under each state, (bin, state)."""
    out = np.zeros((len(state.path), len(state.beta)))
    for k in state.clusters():
        precision, _, _, log_det = precisions(state, k)
        linear_dynamics_nb.add_step_log_density(
            state.x[k], data.starts, state.transition[k], state.offset[k], precision, log_det, out
        )
    return out


def draw_path(rng: np.random.Generator, state: State, data: Counts) -> None:
    """State of each bin."""
    n_states = len(state.beta)
    initial = np.full(n_states, 1.0 / n_states)
    sample_path(rng, path_log_likelihood(state, data), data.starts, initial, state.switch, state.path)


def draw_switches(rng: np.random.Generator, state: State, data: Counts, prior: Prior) -> None:
    """Transition matrix, its shared weights, and their concentrations."""
    n_states = len(state.beta)
    if n_states == 1:
        return
    counts = np.empty((n_states, n_states))
    count_transitions(state.path, data.starts, counts)

    def log_evidence(mass: float, stick: float) -> float:
        """Of the transitions, the matrix integrated out."""
        each = switch_mass(state.beta, mass, stick)
        rows = gammaln(mass) - gammaln(mass + counts.sum(axis=1))
        taken = counts > 0
        return float(rows.sum() + (gammaln(each[taken] + counts[taken]) - gammaln(each[taken])).sum())

    def of_mass(u: float) -> float:
        return prior.sticky_shape * u - prior.sticky_rate * np.exp(u) + log_evidence(np.exp(u), state.stick)

    def of_stick(u: float) -> float:
        stick = 1.0 / (1.0 + np.exp(-u))
        prior_term = -prior.stick_a * np.logaddexp(0.0, -u) - prior.stick_b * np.logaddexp(0.0, u)
        return prior_term + log_evidence(state.mass, stick)

    def of_gamma(u: float) -> float:
        gamma = np.exp(u)
        likelihood = gammaln(gamma) - n_states * gammaln(gamma / n_states)
        likelihood += (gamma / n_states - 1.0) * np.log(state.beta).sum()
        return prior.states_shape * u - prior.states_rate * gamma + likelihood

    state.mass = float(np.exp(slice_step(rng, np.log(state.mass), of_mass)))
    u = slice_step(rng, np.log(state.stick) - np.log1p(-state.stick), of_stick)
    state.stick = float(1.0 / (1.0 + np.exp(-u)))
    each = switch_mass(state.beta, state.mass, state.stick)
    tables = np.empty(n_states)
    sample_tables(rng, counts, each, state.mass * state.stick, tables)
    state.beta = draw_shares(rng, state.gamma / n_states + tables)
    state.gamma = float(np.exp(slice_step(rng, np.log(state.gamma), of_gamma)))
    each = switch_mass(state.beta, state.mass, state.stick)
    for s in range(n_states):
        state.switch[s] = draw_shares(rng, each[s] + counts[s])


def slice_step(rng: np.random.Generator, x: float, log_density, width: float = 1.0) -> float:
    """One slice-sampling step of a number (Neal 2003, doi:10.1214/aos/1056562461): stepping out, then shrinking."""
    level = log_density(x) - rng.standard_exponential()
    low = x - width * rng.random()
    high = low + width
    left = int(rng.integers(8))
    right = 7 - left
    while left > 0 and log_density(low) > level:
        low -= width
        left -= 1
    while right > 0 and log_density(high) > level:
        high += width
        right -= 1
    while True:
        trial = low + (high - low) * rng.random()
        if log_density(trial) > level or high - low < 1e-12:
            return float(trial)
        if trial < x:
            low = trial
        else:
            high = trial
