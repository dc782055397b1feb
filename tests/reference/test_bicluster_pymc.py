"""One cluster and one state: the sampler's steps and NUTS on the same model, written in PyMC, find the same posterior.

Loadings and latent factors change sign together, so they are compared by what does not: squares, log means.
"""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.diagnostics.mcmc import effective_sample_size
from neurodata.models.bicluster import sweep as sw
from neurodata.models.bicluster.prior import Prior, draw_counts, draw_state

pm = pytest.importorskip("pymc")

# Wheels of PyTensor come without BLAS and warn of it; speed does not matter here.
pytestmark = pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS installation:UserWarning")

N_UNITS, N_BINS, M = 3, 15, 2
STARTS = np.array([0, N_BINS])
PRIOR = Prior(
    n_latents=1, max_clusters=1, max_states=1, baseline_sd=0.7, loading_sd=0.7, dispersion_shape=4.0,
    dispersion_rate=1.0, noise_dof=8.0, noise_scale=1.0, transition_mean=0.5, transition_precision=2.0,
)  # fmt: skip


def quantities(r, d, c, x, transition, noise):
    """Arrays (draw, ...) to columns by name."""
    eta = d[:, :, None] + x[:, None, :, 0] + c[:, :, None] * x[:, None, :, 1]
    columns = {f"log_r_{i}": np.log(r[:, i]) for i in range(N_UNITS)}
    columns |= {f"loading_{i}": np.abs(c[:, i]) for i in range(N_UNITS)}
    columns |= {f"log_rate_{i}_{t}": eta[:, i, t] for i in range(N_UNITS) for t in (0, 7, 14)}
    columns["trace_transition"] = np.trace(transition, axis1=1, axis2=2)
    columns["det_transition"] = np.linalg.det(transition)
    columns["log_trace_noise"] = np.log(np.trace(noise, axis1=1, axis2=2))
    columns["log_det_noise"] = np.linalg.slogdet(noise)[1]
    return columns


def by_sweeps(data, state, n, rng):
    settings = sw.Settings(n_jumps=0, n_scans=0, splits=0.0, n_terms=64)
    kept = []
    for k in range(-500, n):
        state, _ = sw.sweep(rng, state, data, PRIOR, settings)
        if k >= 0:
            s = int(state.cluster[0])
            kept.append((state.dispersion, state.baseline, state.loading[:, 0], state.x[s], state.transition[s, 0],
                         state.noise[s, 0]))  # fmt: skip
    return quantities(*(np.stack(part) for part in zip(*kept, strict=True)))


def by_nuts(counts, n):
    import pytensor.tensor as pt

    centre, columns, scale, dof = PRIOR.matrix_normal()
    with pm.Model():
        r = pm.Gamma("r", PRIOR.dispersion_shape, PRIOR.dispersion_rate, shape=N_UNITS)
        d = pm.Normal("d", 0.0, PRIOR.baseline_sd, shape=N_UNITS)
        c = pm.Normal("c", 0.0, PRIOR.loading_sd, shape=N_UNITS)
        # Bartlett's factor B of a Wishart variable: Q = R R' with R = L B^-T and L that of the scale.
        square = pm.ChiSquared("square", np.array([dof, dof - 1]), shape=2)
        low = pm.Normal("low")
        first, second = pt.sqrt(square[0]), pt.sqrt(square[1])
        # B = [[first, 0], [low, second]]; its inverse transposed by hand.
        inverse = pt.stacklists([[1 / first, -low / (first * second)], [0.0, 1 / second]])
        root = np.linalg.cholesky(scale) @ inverse
        white = pm.Normal("white", shape=(M, M + 1))
        both = centre + root @ white / np.sqrt(np.diag(columns))
        steps = pm.Normal("steps", shape=(N_BINS, M))
        x = [steps[0]]
        for t in range(1, N_BINS):
            x.append(both[:, :M] @ x[-1] + both[:, M] + root @ steps[t])
        x = pm.Deterministic("x", pt.stack(x))
        pm.Deterministic("A", both[:, :M])
        pm.Deterministic("Q", root @ root.T)
        eta = d[:, None] + x[:, 0][None] + c[:, None] * x[:, 1][None]
        pm.NegativeBinomial("y", mu=pt.exp(eta), alpha=r[:, None], observed=counts)
        drawn = pm.sample(
            n, tune=500, chains=2, cores=1, random_seed=3, target_accept=0.9, progressbar=False,
            compute_convergence_checks=False,
        ).posterior  # fmt: skip
    merged = {name: np.concatenate(list(drawn[name].values)) for name in ("r", "d", "c", "x", "A", "Q")}
    return quantities(*merged.values())


@pytest.mark.slow
@pytest.mark.statistical
def test_posterior_means_and_spreads_agree():
    """Differences within 4 standard errors, of 19 functions and their spreads."""
    rng = np.random.default_rng(4)
    state = draw_state(rng, N_UNITS, STARTS, PRIOR)
    data = draw_counts(rng, state, STARTS)
    ours, theirs = by_sweeps(data, state, 6000, rng), by_nuts(data.counts, 800)
    for name in ours:
        a, b = ours[name][None], theirs[name].reshape(2, -1)
        centre = a.mean()
        for moment in (lambda v: v, lambda v, centre=centre: (v - centre) ** 2):
            one, other = moment(a), moment(b)
            error = np.sqrt(one.var() / effective_sample_size(one) + other.var() / effective_sample_size(other))
            z = (one.mean() - other.mean()) / error
            print(f"{name}: {one.mean():.3f} {other.mean():.3f} z = {z:.2f}")
            assert abs(z) < 4, name
            # So exact that an error of a fifth of the spread would show.
            assert error < 0.25 * np.sqrt(max(one.var(), a.var() ** 2))
