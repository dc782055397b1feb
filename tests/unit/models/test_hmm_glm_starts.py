"""Where EM begins: windows of time, and divisions of short recordings."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.containers import make_counts
from neurodata.kernels.poisson_nb import LINKS
from neurodata.models.hmm_glm.basis import exponential
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.hmm_glm.em import Problem, begin
from neurodata.models.hmm_glm.mstep import Penalty
from neurodata.models.hmm_glm.starts import intercept_guess, one_state, start, window_length, window_of_row
from neurodata.models.sequences import read_counts

N_STATES, N_UNITS, DWELL = 6, 12, 60


def problem_of(counts: list[np.ndarray]) -> Problem:
    layout = Layout(counts[0].shape[1], exponential(5), None)
    design = build_design(read_counts([make_counts(one, 0.02) for one in counts]), layout)
    centre = np.zeros((layout.n_columns, layout.n_units))
    centre[0] = intercept_guess(design, LINKS["exp"])
    precision = np.full(layout.n_columns, 10.0)
    return Problem(design, LINKS["exp"], Penalty(precision, centre, None, False), stickiness=10.0)


def short_recording(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (bin, unit) of 720 bins, each of six states twice for 60 bins, and the state of each bin.

    Two units of their own fire in each state and no other.
    """
    state = np.repeat(np.tile(np.arange(N_STATES), 2), DWELL)
    rate = np.where(np.arange(N_UNITS) // 2 == state[:, None], 1.5, 0.1)
    return np.random.default_rng(seed).poisson(rate), state


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_recording_with_few_windows_is_divided_as_well(index, seed):
    # 720 bins have 14 windows of 50 bins, fewer than four for each of six states.
    counts, state = short_recording(seed)
    problem = problem_of([counts])
    base = one_state(problem.design, problem.penalty, problem.link)
    run = begin(problem, start(problem, base, N_STATES, index, np.random.default_rng(seed)))
    found = run.posterior.gamma.argmax(axis=1)
    table = np.zeros((N_STATES, N_STATES))
    np.add.at(table, (found, state), 1)
    # Bins of whichever true state each state found is mostly made of: a sixth by chance, and a start that is perturbed
    # only stays there, as rates are the same in all its states.
    assert table.max(axis=1).sum() / len(state) > 0.8


@pytest.mark.parametrize("lengths", [(720,), (100, 300, 50), (2000,), (60, 60)])
@pytest.mark.parametrize("n_states", [2, 6])
def test_windows_are_short_enough_for_four_per_state_and_no_shorter_than_needed(lengths, n_states):
    rng = np.random.default_rng(0)
    design = problem_of([rng.poisson(0.5, (n, 2)) for n in lengths]).design
    rows = sum(n - 5 for n in lengths)
    window = window_length(design, n_states, 50)
    n_windows = len(np.unique(window_of_row(design, window)))
    # 50 bins a window is enough when that already leaves four per state.
    n_full = sum(-(-n // 50) for n in lengths)
    if n_full >= 4 * n_states:
        assert window == 50
    else:
        assert window == max(4, rows // (4 * n_states))
    assert n_windows >= 4 * n_states or window == 4


def test_a_recording_too_short_to_be_divided_still_gets_a_start():
    counts, _ = short_recording(0)
    problem = problem_of([counts[::12]])
    base = one_state(problem.design, problem.penalty, problem.link)
    parameters = start(problem, base, N_STATES, 0, np.random.default_rng(0))
    assert len(problem.design.columns) < 4 * 4 * N_STATES
    assert np.isfinite(parameters.theta).all()
    np.testing.assert_allclose(parameters.transition.sum(axis=1), 1.0)
