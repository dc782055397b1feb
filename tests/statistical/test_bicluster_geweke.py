"""Every step of the bi-clustering sampler, and whole sweeps, leave prior and likelihood alone; broken twins do not.

One step: parameters from the prior, counts from them, then a few times the step given the counts and new counts given
the parameters. Beginning and end have the same distribution, whether or not the step by itself reaches everything, so
the mean of the difference of any function is 0. The pairs are independent: the standard error is the plain one, and
what the step does not touch cancels. Whole sweeps go through `validate.geweke`, one long chain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm

import neurodata as nd
from neurodata.kernels import (
    bicluster_nb,
    collapsed_dynamics_nb,
    collapsed_nb,
    collapsed_path_nb,
    split_merge_nb,
    state_path_nb,
)
from neurodata.models.bicluster import full
from neurodata.models.bicluster import sweep as sw
from neurodata.models.bicluster.prior import Prior, draw_counts, draw_state
from neurodata.models.bicluster.state import Counts, State

STARTS = np.array([0, 7, 12])
N_UNITS = 4
PRIOR = Prior(
    n_latents=1,
    max_clusters=4,
    max_states=3,
    baseline_sd=0.7,
    loading_sd=0.7,
    dispersion_shape=4.0,
    dispersion_rate=1.0,
    noise_dof=8.0,
    noise_scale=0.3,
    # Trajectories that hardly ever explode: a chain takes long to leave counts of thousands.
    transition_mean=0.3,
    transition_precision=2.0,
    cluster_rate=0.4,
    sticky_shape=3.0,
    sticky_rate=0.5,
    stick_a=3.0,
    stick_b=2.0,
)
SETTINGS = sw.Settings(n_terms=64, births=0.6, n_runs=3, n_windows=3, n_jumps=4, n_scans=2, splits=1.0)
WINDOWS = np.array([4, 5, 9])
# Chance that any function of any right step is beyond the bound.
LEVEL = 0.05
N_ROUNDS = 8


def dispersions(rng, state, data, prior):
    sw.draw_dispersions(rng, state, data, prior, sw.log_means(state))


def weights(rng, state, data):
    return sw.draw_weights(rng, state, data, sw.log_means(state), SETTINGS)


def reassign(rng, state, data, prior):
    sw.reassign(rng, state, data, prior, weights(rng, state, data), SETTINGS)


def courses(rng, state, data, prior):
    sw.draw_courses(rng, state, data, weights(rng, state, data))


def jumps(rng, state, data, prior):
    arrays = sw._arrays(state, data, prior, weights(rng, state, data))
    collapsed_nb.move_units(rng, *arrays, SETTINGS.n_jumps)


def path_moves(rng, state, data, prior):
    seen, tracks, _ = sw._arrays(state, data, prior, weights(rng, state, data))
    clusters = collapsed_path_nb.make_clusters(seen, tracks, state.clusters())
    collapsed_path_nb.move_path(rng, clusters, state.path, data.starts, state.switch, WINDOWS)
    collapsed_path_nb.settle(rng, clusters, tracks, state.clusters())


def collapsed_dynamics(rng, state, data, prior):
    seen, tracks, _ = sw._arrays(state, data, prior, weights(rng, state, data))
    clusters = collapsed_path_nb.make_clusters(seen, tracks, state.clusters())
    collapsed_dynamics_nb.move_dynamics(rng, clusters, state.path, data.starts, *prior.matrix_normal())
    collapsed_path_nb.settle(rng, clusters, tracks, state.clusters())


def coordinates(rng, state, data, prior):
    sw.change_coordinates(rng, state, data, prior)
    sw.draw_dynamics(rng, state, data, prior)


def splits(rng, state, data, prior):
    arrays = sw._arrays(state, data, prior, weights(rng, state, data))
    split_merge_nb.split_or_merge(rng, *arrays, prior.log_partition(N_UNITS), 2)


def sweep(rng, state, data, prior):
    after, _ = sw.sweep(rng, state, data, prior, SETTINGS)
    vars(state).update(vars(after))


def relabel(rng, state, data, prior):
    """With the draws of what it integrates out: the dynamics and the transition matrix."""
    sw.relabel(rng, state, data, prior, SETTINGS)
    sw.draw_dynamics(rng, state, data, prior)
    sw.draw_switches(rng, state, data, prior)


def path(rng, state, data, prior):
    sw.draw_path(rng, state, data)


STEPS = {
    "dispersions": dispersions,
    "reassign": reassign,
    "courses": courses,
    "jumps": jumps,
    "splits": splits,
    "path moves": path_moves,
    "collapsed dynamics": collapsed_dynamics,
    "coordinates": coordinates,
    "shift": sw.shift,
    "relabel": relabel,
    "dynamics": sw.draw_dynamics,
    "path": path,
    "switches": sw.draw_switches,
    "sweep": sweep,
}


def no_jacobian(rng, state, data, prior):
    """The density of r where that of log r belongs."""
    dispersions(rng, state, data, replace(prior, dispersion_shape=prior.dispersion_shape - 1.0))


class NewByWeight(Prior):
    """New clusters lighter by half."""

    def log_new(self, n_units):
        return super().log_new(n_units) - np.log(2.0)


def wrong_new(step):
    def broken(rng, state, data, prior):
        step(rng, state, data, NewByWeight(**vars(prior)))

    return broken


def wrong_kappa(rng, state, data, prior):
    """kappa = (y + r) / 2."""
    weight = weights(rng, state, data)
    counts = data.counts + 2.0 * state.dispersion[:, None]
    sw.draw_courses(rng, state, Counts(counts, data.starts, data.table), weight)


def stale_weights(rng, state, data, prior):
    """Weights of the baselines alone."""
    eta = np.repeat(state.baseline[:, None], len(state.path), axis=1)
    sw.draw_courses(rng, state, data, sw.draw_weights(rng, state, data, eta, SETTINGS))


def swapped_switch(rng, state, data, prior):
    """Paths weighed by the transition matrix of the reversed chain."""
    seen, tracks, _ = sw._arrays(state, data, prior, weights(rng, state, data))
    turned = np.ascontiguousarray(state.switch.T)
    clusters = collapsed_path_nb.make_clusters(seen, tracks, state.clusters())
    collapsed_path_nb.move_path(rng, clusters, state.path, data.starts, turned, WINDOWS)
    collapsed_path_nb.settle(rng, clusters, tracks, state.clusters())


def careless_dynamics(rng, state, data, prior):
    """The noise is held to be more certain than it is."""
    seen, tracks, _ = sw._arrays(state, data, prior, weights(rng, state, data))
    clusters = collapsed_path_nb.make_clusters(seen, tracks, state.clusters())
    centre, columns, scale, dof = prior.matrix_normal()
    collapsed_dynamics_nb.move_dynamics(rng, clusters, state.path, data.starts, centre, columns, scale, dof + 3.0)
    collapsed_path_nb.settle(rng, clusters, tracks, state.clusters())


def free_coordinates(rng, state, data, prior):
    """Loadings are as good large as small."""
    sw.change_coordinates(rng, state, data, replace(prior, loading_sd=10.0 * prior.loading_sd))
    sw.draw_dynamics(rng, state, data, prior)


def half_shift(rng, state, data, prior):
    """The level moves out of the courses and into the baselines, but the offsets stay."""
    offset = state.offset.copy()
    sw.shift(rng, state, data, prior)
    state.offset[:] = offset


def relabel_loose(rng, state, data, prior):
    """Stretches get new labels as if switching were not sticky."""
    stick, state.stick = state.stick, 0.0
    sw.relabel(rng, state, data, prior, SETTINGS)
    state.stick = stick
    sw.draw_dynamics(rng, state, data, prior)
    sw.draw_switches(rng, state, data, prior)


def dynamics_of_next(rng, state, data, prior):
    """A step belongs to the state of the bin that it leaves."""
    kept = state.path
    state.path = np.roll(kept, 1)
    sw.draw_dynamics(rng, state, data, prior)
    state.path = kept


def late_path(rng, state, data, prior):
    """The density of each step is given to the bin before."""
    likelihood = np.roll(sw.path_log_likelihood(state, data), -1, axis=0)
    initial = np.full(PRIOR.max_states, 1.0 / PRIOR.max_states)
    state_path_nb.sample_path(rng, likelihood, data.starts, initial, state.switch, state.path)


def sticky_tables(rng, state, data, prior):
    """Tables chosen out of stickiness count for the shared weights."""

    def all_tables(rng, counts, mass, sticky, out):
        state_path_nb.sample_tables(rng, counts, mass, 0.0, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sw, "sample_tables", all_tables)
        sw.draw_switches(rng, state, data, prior)


BROKEN = {
    "dispersions: no Jacobian": no_jacobian,
    "reassign: weight of a new cluster": wrong_new(reassign),
    "courses: sign of r in kappa": wrong_kappa,
    "courses: weights of other means": stale_weights,
    "jumps: weight of a new cluster": wrong_new(jumps),
    "path moves: transition matrix transposed": swapped_switch,
    "collapsed dynamics: degrees of freedom": careless_dynamics,
    "coordinates: prior of the loadings": free_coordinates,
    "shift: offsets stay": half_shift,
    "relabel: not sticky": relabel_loose,
    "dynamics: states shifted by a bin": dynamics_of_next,
    "path: bins shifted by one": late_path,
    "switches: all tables": sticky_tables,
}


def summaries(state: State, data: Counts) -> dict[str, float]:
    """Functions that labels of clusters and states do not change, nor the signs of loadings; tails no worse than
    exponential, so that their squares have a standard error.
    """
    slots, counts = state.clusters(), data.counts
    size = np.bincount(state.cluster)[slots] / len(state.cluster)
    visits = np.bincount(state.path, minlength=len(state.beta)) / len(state.path)
    visits = visits[visits > 0]
    inner = np.arange(1, len(state.path)) != STARTS[1]
    eta = sw.log_means(state)
    bounded = np.tanh(0.3 * eta)
    # Courses that move together: those of a cluster, or, with dynamics over all of them, those of all slots.
    moving = state if len(state.transition) == len(state.x) else full.stacked(state)
    own = moving.clusters()
    noise, transition, offset = state.noise[own], state.transition[own], state.offset[own]
    # What a state's own dynamics say of the steps into it.
    log_step, white = _steps(moving)
    r = state.dispersion[:, None]
    log_likelihood = (
        gammaln(counts + r) - gammaln(r) - gammaln(counts + 1.0)
        - r * np.logaddexp(0.0, eta - np.log(r)) - counts * np.logaddexp(0.0, np.log(r) - eta)
    )  # fmt: skip
    same = state.cluster[:, None] == state.cluster[None, :]
    return {
        "n_clusters": len(slots),
        "sizes_entropy": -(size * np.log(size)).sum(),
        "n_states": visits.size,
        "visits_entropy": -(visits * np.log(visits)).sum(),
        "n_switches": (np.diff(state.path) != 0)[inner].sum(),
        "log_r": np.log(state.dispersion).mean(),
        "baseline": state.baseline.mean(),
        "baseline_square": np.square(state.baseline).mean(),
        "loading": np.abs(state.loading).mean(),
        "log_rate": bounded.mean(),
        "log_rate_spread": bounded.std(),
        "log_rate_lag": (bounded[:, 1:] * bounded[:, :-1])[:, inner].mean(),
        "log_rate_first": np.square(bounded[:, STARTS[:-1]]).mean(),
        "log_rate_together": (bounded @ bounded.T)[same].mean() / 12,
        "course": np.log1p(np.square(state.x[slots])).mean(),
        "log_det_noise": np.linalg.slogdet(noise)[1].mean(),
        "trace_noise": np.log(np.trace(noise, axis1=-2, axis2=-1)).mean(),
        "transition": np.tanh(np.trace(transition, axis1=-2, axis2=-1)).mean(),
        "transition_square": np.log1p(np.square(transition)).mean(),
        "offset": np.log1p(np.square(offset)).mean(),
        "log_step": log_step,
        "white": white,
        "log_mass": np.log(state.mass),
        "stick": state.stick,
        "log_gamma": np.log(state.gamma),
        "beta": np.square(state.beta).sum(),
        "beta_visited": state.beta[state.path].mean(),
        "switch": np.diag(state.switch).mean(),
        "switch_beta": (np.diag(state.switch) - state.stick - (1 - state.stick) * state.beta).mean(),
        "step": state.switch[state.path[:-1], state.path[1:]][inner].mean(),
        "log_count": np.log1p(counts).mean(),
        "log_count_rate": (np.log1p(counts) * bounded).mean(),
        "log_likelihood": log_likelihood.mean(),
    }


def _steps(state: State) -> tuple[float, float]:
    """Mean log density of steps, and of the logs of their squared whitened residuals."""
    densities, residuals = [], []
    for k in state.clusters():
        precision, log_det = np.linalg.inv(state.noise[k]), np.linalg.slogdet(state.noise[k])[1]
        for a, b in zip(STARTS[:-1], STARTS[1:], strict=True):
            s = state.path[a + 1 : b]
            predicted = np.einsum("tij,tj->ti", state.transition[k, s], state.x[k, a : b - 1])
            away = state.x[k, a + 1 : b] - state.offset[k, s] - predicted
            square = np.einsum("ti,tij,tj->t", away, precision[s], away)
            densities.append(-0.5 * (square + log_det[s]))
            residuals.append(np.log1p(square))
    return float(np.concatenate(densities).mean()), float(np.concatenate(residuals).mean())


def drift(step, n_pairs: int, seed: int, prior: Prior = PRIOR) -> tuple[list[str], np.ndarray]:
    """Names and z (function, moment) of the mean differences that `N_ROUNDS` of a step make."""
    rng = np.random.default_rng(seed)
    before, after = [], []
    for _ in range(n_pairs):
        state = draw_state(rng, N_UNITS, STARTS, prior)
        data = draw_counts(rng, state, STARTS)
        first = summaries(state, data)
        before.append(list(first.values()))
        for k in range(N_ROUNDS):
            if k > 0:
                data = draw_counts(rng, state, STARTS)
            step(rng, state, data, prior)
        # These counts and what was drawn given them are a draw from the joint distribution too.
        after.append(list(summaries(state, data).values()))
    a, b = np.array(before), np.array(after)
    centre = a.mean(axis=0)
    # A fixed centre for both: the second moment is then a mean like any other.
    difference = np.stack([b - a, (b - centre) ** 2 - (a - centre) ** 2], axis=-1)
    # A sum of squares over what did not change is rounding.
    difference[np.abs(difference) < 1e-9] = 0.0
    spread = difference.std(axis=0, ddof=1)
    mean = difference.mean(axis=0)
    return list(first), np.where(spread > 0, mean / np.where(spread > 0, spread, 1.0) * np.sqrt(n_pairs), 0.0)


def bound(n_functions: int) -> float:
    return float(norm.isf(LEVEL / (2 * 2 * n_functions * len(STEPS))))


def worst(names: list[str], z: np.ndarray) -> str:
    order = np.argsort(-np.abs(z).max(axis=1))[:4]
    return ", ".join(f"{names[k]} {z[k, np.abs(z[k]).argmax()]:.1f}" for k in order)


@pytest.mark.statistical
@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_the_joint_distribution(name):
    """All of them together fail for 5 % of the seeds by design."""
    names, z = drift(STEPS[name], 400, seed=1)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() < bound(len(names)), worst(names, z)
    # Something must have moved at all.
    assert (z != 0).sum() > 3


@pytest.mark.statistical
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_step_does_not(name):
    names, z = drift(BROKEN[name], 600, seed=1)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() > bound(len(names)), worst(names, z)


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_the_joint_distribution_in_many_draws(name):
    names, z = drift(STEPS[name], 5000, seed=2)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() < bound(len(names)), worst(names, z)


POISSON = replace(PRIOR, observation="poisson")


@pytest.mark.statistical
def test_sweeps_of_poisson_counts_leave_the_joint_distribution():
    names, z = drift(sweep, 400, 1, POISSON)
    print(worst(names, z))
    assert np.abs(z).max() < bound(len(names)), worst(names, z)
    assert (z != 0).sum() > 3


@pytest.mark.statistical
def test_proposals_for_poisson_counts_that_are_always_taken_do_not():
    """Counts as if they were negative binomial with a dispersion of one."""

    def untested(rng, state, data, prior):
        state.dispersion = np.ones(N_UNITS)
        reassign(rng, state, data, PRIOR)
        courses(rng, state, data, PRIOR)
        state.dispersion = np.full(N_UNITS, 1e9)

    names, z = drift(untested, 600, 1, POISSON)
    print(worst(names, z))
    assert np.abs(z).max() > bound(len(names)), worst(names, z)


FULL = replace(PRIOR, dynamics="full", max_clusters=3, noise_dof=10.0, transition_precision=4.0)


def full_reassign(rng, state, data, prior):
    full.reassign(rng, state, data, prior, weights(rng, state, data))


def full_path_moves(rng, state, data, prior):
    full.move_path(rng, state, data, prior, weights(rng, state, data), SETTINGS)


def full_coordinates(rng, state, data, prior):
    full.change_coordinates(rng, state, data, prior)
    sw.draw_dynamics(rng, full.stacked(state), data, prior.stacked())


def full_sweep(rng, state, data, prior):
    after, _ = full.sweep(rng, state, data, prior, SETTINGS)
    vars(state).update(vars(after))


FULL_STEPS = {
    "reassign": full_reassign,
    "path moves": full_path_moves,
    "shift": full.shift,
    "coordinates": full_coordinates,
    "sweep": full_sweep,
}


def full_wrong_new(rng, state, data, prior):
    full_reassign(rng, state, data, NewByWeight(**vars(prior)))


def full_blind(rng, state, data, prior):
    """What counts say of the first cluster's courses is taken to be said of the next one's."""
    turned = replace(state, cluster=(state.cluster + 1) % prior.max_clusters)
    full.move_path(rng, turned, data, prior, weights(rng, state, data), SETTINGS)


def full_free_coordinates(rng, state, data, prior):
    full_coordinates(rng, state, data, replace(prior, loading_sd=10.0 * prior.loading_sd))


FULL_BROKEN = {"reassign": full_wrong_new, "path moves": full_blind, "coordinates": full_free_coordinates}


@pytest.mark.statistical
@pytest.mark.parametrize("name", FULL_STEPS)
def test_a_step_of_full_dynamics_leaves_the_joint_distribution(name):
    names, z = drift(FULL_STEPS[name], 400, 1, FULL)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() < bound(len(names)), worst(names, z)
    assert (z != 0).sum() > 3


@pytest.mark.statistical
@pytest.mark.parametrize("name", FULL_BROKEN)
def test_a_broken_step_of_full_dynamics_does_not(name):
    names, z = drift(FULL_BROKEN[name], 600, 1, FULL)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() > bound(len(names)), worst(names, z)


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize("name", FULL_STEPS)
def test_a_step_of_full_dynamics_leaves_the_joint_distribution_in_many_draws(name):
    names, z = drift(FULL_STEPS[name], 5000, 2, FULL)
    print(f"{name}: {worst(names, z)}")
    assert np.abs(z).max() < bound(len(names)), worst(names, z)


def whole(change=None, *, n_marginal: int, n_successive: int, n_chains: int, seed: int):
    """`validate.geweke` of the sweep; `change(rng, state, data, prior)` comes after each."""

    def prior(rng):
        return vars(draw_state(rng, N_UNITS, STARTS, PRIOR))

    def simulate(params, rng):
        return draw_counts(rng, State(**params), STARTS)

    def step(params, data, rng):
        state, _ = sw.sweep(rng, State(**params), data, PRIOR, SETTINGS)
        if change is not None:
            change(rng, state, data, PRIOR)
        return vars(state)

    names = list(summaries(State(**(p := prior(np.random.default_rng(0)))), simulate(p, np.random.default_rng(0))))
    functions = {"f": lambda params, data: np.array(list(summaries(State(**params), data).values()))}
    result = nd.validate.geweke(
        prior,
        simulate,
        step,
        functions,
        n_marginal=n_marginal,
        n_successive=n_successive,
        n_chains=n_chains,
        rng=seed,
    )
    return names, result


@pytest.mark.statistical
def test_whole_sweeps():
    names, result = whole(n_marginal=4000, n_successive=2500, n_chains=2, seed=3)
    print(worst(names, result.z.values))
    print("least ess", dict(zip(names, result.ess.values.min(axis=1).round(), strict=True)))
    assert result.passed.all(), f"{result.attrs['verdict']}\n{worst(names, result.z.values)}"


@pytest.mark.statistical
def test_sweeps_with_a_broken_step_fail():
    _, result = whole(no_jacobian, n_marginal=2000, n_successive=1500, n_chains=1, seed=3)
    assert result.attrs["verdict"].startswith("FAILED")


@pytest.mark.long
@pytest.mark.statistical
def test_many_whole_sweeps():
    names, result = whole(n_marginal=30_000, n_successive=40_000, n_chains=4, seed=4)
    print(worst(names, result.z.values))
    assert result.passed.all(), f"{result.attrs['verdict']}\n{worst(names, result.z.values)}"


def test_the_likelihood_of_the_summaries_is_the_negative_binomial():
    from scipy.stats import nbinom

    rng = np.random.default_rng(5)
    state = draw_state(rng, N_UNITS, STARTS, PRIOR)
    data = draw_counts(rng, state, STARTS)
    eta, r = np.empty((N_UNITS, 12)), state.dispersion[:, None]
    bicluster_nb.log_means(state.baseline, state.loading, state.cluster, state.x, eta)
    expected = nbinom.logpmf(data.counts, r, r / (r + np.exp(eta))).mean()
    assert summaries(state, data)["log_likelihood"] == pytest.approx(expected, rel=1e-9)
