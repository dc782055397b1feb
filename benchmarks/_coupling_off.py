"""HMM-GLM with couplings left out: what they are worth is the difference to the whole model, on the same bins."""

from __future__ import annotations

import dataclasses

import numpy as np

import neurodata as nd
from neurodata.models.hmm_glm.design import Design, Layout
from neurodata.models.hmm_glm.em import Problem


class PoissonHMM(nd.models.HMMGLM):
    """Rates differ between states, and nothing else moves them: all weights of the past are held at 0.

    The bins that are scored are those of an `HMMGLM` of the same `history`.
    """

    def _make_problem(self, design: Design, layout: Layout) -> Problem:
        return _without(super()._make_problem(design, layout), np.zeros((layout.n_history - 1, layout.n_units), bool))


class UncoupledHMM(nd.models.HMMGLM):
    """Each unit's rate depends on the state and on its own past, not on that of others."""

    def _make_problem(self, design: Design, layout: Layout) -> Problem:
        own = np.repeat(np.eye(layout.n_units, dtype=bool), len(layout.basis), axis=0)
        return _without(super()._make_problem(design, layout), own)


def _without(problem: Problem, history: np.ndarray) -> Problem:
    """The problem with only those coefficients of the history that are named, (column, unit)."""
    free = np.ones((len(history) + 1, history.shape[1]), dtype=bool)
    free[1:] = history
    return dataclasses.replace(problem, penalty=dataclasses.replace(problem.penalty, free=free))
