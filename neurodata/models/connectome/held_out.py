"""How well unseen rows are predicted: some columns of a row tell its loadings, the others are scored."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError
from neurodata.kernels import ntf_nb as kernel
from neurodata.models.connectome.hals import row_weights
from neurodata.models.connectome.problem import Problem, blocks

# Coordinate descent from 0: the loss of a row is that of its minimum to far more digits than it has meaning.
_CYCLES = 200


def explained(problem: Problem, loading: np.ndarray, n_folds: int, rng: np.random.Generator) -> float:
    """1 less the squared error of predicted cells over their sum of squares; folds of columns, each predicted once.

    Parameters
    ----------
    problem : Problem
        Rows to score.
    loading : array (entry, component)
        Fitted loadings of all modes but that of rows.
    n_folds : int
    rng : Generator
        Draws the folds.
    """
    if not 2 <= n_folds <= problem.n_columns:
        raise OptionError(f"from 2 to {problem.n_columns} folds", str(n_folds), "pass e.g. n_folds=5")
    n_components = loading.shape[1]
    fold = rng.permutation(problem.n_columns) % n_folds
    product = row_weights(problem, loading)
    # Classes of columns by fold, so that each class of rows has a Gram for every fold.
    group = (problem.column_group * n_folds + fold).astype(np.int32)
    grams = np.zeros((problem.observed.shape[1] * n_folds, n_components, n_components))
    kernel.class_grams(loading, problem.index, group, grams)
    by_fold = np.einsum("ab,bfrs->afrs", problem.observed, grams.reshape(-1, n_folds, n_components, n_components))
    others = np.ascontiguousarray(by_fold.sum(axis=1, keepdims=True) - by_fold)
    error = 0.0
    sums = np.zeros(2)
    for stretch in problem.stretches:
        chosen = []
        for part in stretch.parts:
            own = np.arange(problem.n_columns)[part.columns]
            chosen.append([(np.flatnonzero(fold[own] == f), own[fold[own] == f]) for f in range(n_folds)])
        for a, z in blocks(stretch, size=stretch.block_rows):
            target = np.zeros((n_folds, z - a, len(product)))
            for part, folds in zip(stretch.parts, chosen, strict=True):
                values = part.read(stretch.first + a, stretch.first + z)
                for f, (local, own) in enumerate(folds):
                    columns = np.ascontiguousarray(values[:, local])
                    kernel.add_row_products(columns, np.ascontiguousarray(product[:, own]), target[f])
            target = target[..., :n_components]
            told = target.sum(axis=0) - target
            rows = problem.row_group[stretch.offset + a : stretch.offset + z]
            for f in range(n_folds):
                row = np.zeros((z - a, n_components))
                kernel.update_rows(told[f], np.ascontiguousarray(others[:, f]), rows, row, 0.0, 0.0, _CYCLES, sums)
                square = np.einsum("qr,qrs,qs->", row, by_fold[rows, f], row)
                error += float(square - 2.0 * (row * target[f]).sum())
    return -error / problem.square
