"""Nearest-centroid identification of RDMs in folds, from inner products alone."""

from __future__ import annotations

import numpy as np


def fold_sums(gram: np.ndarray, label: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What every choice of training folds needs, so that none is summed twice.

    Parameters
    ----------
    gram : array (rdm, rdm)
    label, fold : array (rdm,), int from 0

    Returns
    -------
    array (rdm, fold, label)
        Sum of inner products of each RDM with those of a label in a fold.
    array (fold, fold, label)
        Sums of inner products among the RDMs of a label in two folds.
    array (fold, label)
        How many there are.
    """
    n_folds, n_labels = fold.max() + 1, label.max() + 1
    cell = fold * n_labels + label
    member = np.zeros((len(gram), n_folds * n_labels))
    member[np.arange(len(gram)), cell] = 1.0
    sums = (gram @ member).reshape(len(gram), n_folds, n_labels)
    between = np.zeros((n_folds, n_folds, n_labels))
    np.add.at(between.transpose(0, 2, 1), (fold, label), sums[np.arange(len(gram)), :, label])
    return sums, between, member.sum(axis=0).reshape(n_folds, n_labels)


def nearest(
    sums: np.ndarray, between: np.ndarray, number: np.ndarray, tested: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Label of the nearest centroid of the training folds, for each tested RDM; of equally near ones the first.

    Parameters
    ----------
    sums, between, number
        From `fold_sums`.
    tested : array (tested,), int
        RDMs.
    train : array (fold,), bool

    Returns
    -------
    array (tested,), int
    """
    size = number[train].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = sums[tested][:, train].sum(axis=1) / size
        own = between[train][:, train].sum(axis=(0, 1)) / size**2
    # |x - c|^2 less |x|^2, which all labels share; a label that no training fold has is never nearest.
    return np.argmin(np.where(size > 0, own - 2.0 * inner, np.inf), axis=1)


def held_out(gram: np.ndarray, label: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Label given to each RDM (rdm,) by the centroids of the other folds."""
    pieces = fold_sums(gram, label, fold)
    out = np.empty(len(gram), dtype=np.int64)
    for left in range(fold.max() + 1):
        tested = np.flatnonzero(fold == left)
        out[tested] = nearest(*pieces, tested, np.arange(fold.max() + 1) != left)
    return out


def inner_accuracy(gram: np.ndarray, label: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Accuracy (fold,) inside what is left without each fold: the other folds, each identified by the rest of them."""
    pieces = fold_sums(gram, label, fold)
    n_folds = fold.max() + 1
    right, number = np.zeros(n_folds), np.zeros(n_folds)
    for left in range(n_folds):
        for inner in range(left):
            train = np.ones(n_folds, dtype=bool)
            train[[left, inner]] = False
            for outer, other in ((left, inner), (inner, left)):
                tested = np.flatnonzero(fold == other)
                right[outer] += (nearest(*pieces, tested, train) == label[tested]).sum()
                number[outer] += tested.size
    return right / number
