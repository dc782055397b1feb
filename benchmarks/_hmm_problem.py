"""Switching networks of any size, and the regressions that EM solves on them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.containers import make_counts
from neurodata.kernels.poisson_nb import LINKS
from neurodata.models.hmm_glm.basis import exponential, raised_cosine
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.hmm_glm.em import Parameters, Posterior, Problem, Run, begin, m_step
from neurodata.models.hmm_glm.mstep import Penalty
from neurodata.models.hmm_glm.starts import intercept_guess
from neurodata.models.sequences import read_counts

BIN_WIDTH, N_LAGS, SEQUENCE, MEAN_COUNT, STAY, RIDGE = 0.02, 5, 500, 0.15, 0.98, 10.0


def sticky(n_states: int) -> np.ndarray:
    """Transition matrix."""
    transition = np.full((n_states, n_states), (1.0 - STAY) / (n_states - 1))
    np.fill_diagonal(transition, STAY)
    return transition


def simulated(n_units: int, n_bins: int, n_states: int, seed: int = 0) -> tuple[list[xr.DataArray], np.ndarray]:
    """Sequences of counts (time, unit) of a switching network with the exponential link, and states (sequence, time).

    A fifth of the pairs is connected in each state, and rates differ a little between states.
    """
    rng = np.random.default_rng(seed)
    shape, n_sequences = (n_states, n_units, n_units), n_bins // SEQUENCE
    weight = 0.4 * rng.standard_normal(shape) * (rng.random(shape) < 0.2) / np.sqrt(0.2 * n_units * MEAN_COUNT)
    base = np.log(MEAN_COUNT) + 0.3 * rng.standard_normal((n_states, n_units)) - weight.sum(axis=2) * MEAN_COUNT
    course = np.exp(-np.arange(1.0, N_LAGS + 1.0))
    course /= course.sum()
    edges = np.cumsum(sticky(n_states), axis=1)
    state = np.empty((n_sequences, SEQUENCE), dtype=int)
    counts = np.zeros((n_sequences, SEQUENCE + N_LAGS, n_units))
    now = rng.integers(n_states, size=n_sequences)
    for t in range(SEQUENCE):
        now = np.minimum((rng.random(n_sequences)[:, None] >= edges[now]).sum(axis=1), n_states - 1)
        state[:, t] = now
        past = np.einsum("k,qkn->qn", course[::-1], counts[:, t : t + N_LAGS])
        level = np.stack([past @ weight[s].T + base[s] for s in range(n_states)])[now, np.arange(n_sequences)]
        counts[:, t + N_LAGS] = rng.poisson(np.exp(np.minimum(level, 1.0)))
    return [make_counts(one, BIN_WIDTH) for one in counts[:, N_LAGS:]], state


def make_problem(counts: list[xr.DataArray], n_shapes: int = 1) -> Problem:
    """One exponential column per pair, or several raised cosines, and a ridge of the size that HMMGLM gives it."""
    basis = exponential(N_LAGS) if n_shapes == 1 else raised_cosine(n_shapes, N_LAGS)
    layout = Layout(counts[0].sizes["unit"], basis, None)
    design = build_design(read_counts(counts), layout)
    precision = np.full(layout.n_columns, RIDGE * design.columns.var(axis=0).sum())
    precision[0] = 0.01 * RIDGE
    centre = np.zeros((layout.n_columns, layout.n_units))
    centre[0] = intercept_guess(design, LINKS["exp"])
    return Problem(design, LINKS["exp"], Penalty(precision, centre, None, False), stickiness=10.0)


def early(problem: Problem, state: np.ndarray) -> Run:
    """EM after its first iteration, begun from mean rates and the true states with a fifth of doubt."""
    design, n_states = problem.design, int(state.max()) + 1
    gamma = np.full((design.n_bins, n_states), 0.2 / n_states)
    gamma[np.arange(design.n_bins), state.ravel()] += 0.8
    pair = sticky(n_states) * (design.n_bins / n_states)
    theta = np.repeat(problem.penalty.centre[:1], n_states, axis=0)
    start: Parameters = m_step(problem, Posterior(gamma, pair, np.ones(n_states), np.zeros(1)), theta)
    return begin(problem, start)
