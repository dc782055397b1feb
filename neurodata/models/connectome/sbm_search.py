"""How the weighted stochastic block model is fitted: many short annealed runs, and draws from where the best ended."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodata._core.parallel import run_parallel
from neurodata.diagnostics.partitions import canonical
from neurodata.models.connectome.sbm_chain import Drawn, State, anneal, draw, settle, start_state
from neurodata.models.connectome.sbm_prior import FLOORS, Problem
from neurodata.models.connectome.sbm_starts import starts

# Passes that lead the noise from wide to narrow: for one group, which all else is measured by, and for others.
_LED_ONE, _LED = 50, 25
# Further tries of one group where groups seem likelier.
_AGAIN = 8
# Stages of annealing: exponents of the probabilities of groups, from and to, and passes relative to `n_sweeps`.
STAGES = (((0.5, 1.0), 0.4), ((1.0, 1.0), 0.4), ((1.0, 1.0), 0.6))
# Families of the runs in turn where all are allowed: additive of the three floors, log-normal.
_TURN = (1, 0, 1, 3, 2, 0, 1, 3)
# Of the runs, those this far below the best in log evidence are not drawn from.
_FAR = 15.0


class Run(NamedTuple):
    """Where a run ended: its problem, state and log evidence."""

    problem: Problem
    state: State
    evidence: float


def search(
    problems: list[Problem], n_runs: int, n_sweeps: int, n_slots: int, rng: np.random.Generator, n_jobs: int
) -> list[Run]:
    """Likely partitions under likely families, the best first.

    One group is tried under every family. Runs take the families by turns; after each stage the better
    half of them goes on. What the best of them found is tried again under the families that it was not found under.
    """
    n = problems[0].graph.kind.size
    none = np.zeros(n, dtype=np.int64)
    ends = _settled(problems, none, n_slots, _LED_ONE, rng, n_jobs)
    order = [one.problem for one in sorted(ends, key=lambda one: -one.evidence)]
    chosen = starts(order[0], n_runs, n_slots - 1, rng)
    turn = [problems[k] for k in _TURN] if len(problems) == len(FLOORS) + 1 else order
    runs = []
    for k, one in enumerate(chosen):
        problem = turn[k % len(turn)]
        runs.append(Run(problem, start_state(problem, one, n_slots), 0.0))
    for powers, share in STAGES:
        calls = [
            (one.problem, one.state, powers, max(1, round(share * n_sweeps)), child)
            for one, child in zip(runs, rng.spawn(len(runs)), strict=True)
        ]
        found = run_parallel(anneal, calls, n_jobs)
        runs = [Run(call[0], state, value) for call, (state, value) in zip(calls, found, strict=True)]
        runs.sort(key=lambda one: -one.evidence)
        ends += runs[(len(runs) + 1) // 2 :]
        runs = runs[: (len(runs) + 1) // 2]
    ends += runs
    ends.sort(key=lambda one: -one.evidence)
    best = ends[0]
    group = canonical(best.state.blocks.group)
    if group.max() > 0 and best.problem is order[0]:
        # One group was likeliest under this very family: it may have been caught on its way to more.
        ends += _settled([best.problem] * _AGAIN, none, n_slots, _LED_ONE, rng, n_jobs)
    if group.max() > 0:
        others = [one for one in problems if one is not best.problem]
        ends += _settled(others, group, n_slots, _LED, rng, n_jobs)
        ends.sort(key=lambda one: -one.evidence)
    return ends


def _settled(
    problems: list[Problem], group: np.ndarray, n_slots: int, led: int, rng: np.random.Generator, n_jobs: int
) -> list[Run]:
    calls = [(one, group, n_slots, led, child) for one, child in zip(problems, rng.spawn(len(problems)), strict=True)]
    found = run_parallel(settle, calls, n_jobs)
    return [Run(one, state, value) for one, (state, value) in zip(problems, found, strict=True)]


def draw_from(
    runs: list[Run], n_chains: int, n_draws: int, rng: np.random.Generator, n_jobs: int
) -> tuple[list[Run], list[Drawn]]:
    """Draws from the best runs: at most `n_chains` of them, none of them far below the best."""
    kept = [one for one in runs[:n_chains] if one.evidence > runs[0].evidence - _FAR]
    calls = [(one.problem, one.state, n_draws, child) for one, child in zip(kept, rng.spawn(len(kept)), strict=True)]
    return kept, run_parallel(draw, calls, n_jobs)
