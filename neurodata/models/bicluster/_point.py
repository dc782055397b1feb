"""Similarity of elements over draws of a partition, and the draw that lies nearest to all others."""

from __future__ import annotations

import numpy as np

# Draws among which the nearest one is looked for.
_MOST = 200


def similarity(draws: np.ndarray) -> np.ndarray:
    """Part of the draws (draw, element) in which two elements have one label: (element, element)."""
    out = np.zeros((draws.shape[1], draws.shape[1]))
    for label in range(int(draws.max()) + 1):
        member = (draws == label).astype(np.float32)
        out += member.T @ member
    return out / len(draws)


def point_partition(draws: np.ndarray) -> np.ndarray:
    """The draw with the smallest mean variation of information to the others, its labels by size."""
    few = draws[:: max(1, -(-len(draws) // _MOST))].astype(np.int64)
    distinct, count = np.unique(few, axis=0, return_counts=True)
    loss = [sum(n * variation_of_information(a, b) for b, n in zip(distinct, count, strict=True)) for a in distinct]
    best = distinct[int(np.argmin(loss))]
    labels, first, inverse, size = np.unique(best, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(labels))
    return rank[inverse]


def variation_of_information(a: np.ndarray, b: np.ndarray) -> float:
    """Of two labellings, nats.

    Examples
    --------
    >>> round(variation_of_information(np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)), 6)
    0.693147
    """
    joint = np.bincount(a * (int(b.max()) + 1) + b) / len(a)

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    return 2 * entropy(joint) - entropy(np.bincount(a) / len(a)) - entropy(np.bincount(b) / len(b))
