"""Graphs from a fitted weighted stochastic block model, and the probability it gives to others."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from neurodata.kernels.sbm_weights_nb import ADDITIVE, draw_weight, log_weight, transform


class Generator(NamedTuple):
    """All that draws a graph.

    Attributes
    ----------
    family : int
    group : array (node,)
        -1 for nodes that are never linked.
    chance : array (node, node)
        Probability of a link.
    effect : array (2, node)
    intercept : array (2,)
        Between groups and within.
    high, low : float
        Noise scales.
    scale : float
        Unit of weights.
    """

    family: int
    group: np.ndarray
    chance: np.ndarray
    effect: np.ndarray
    intercept: np.ndarray
    high: float
    low: float
    scale: float


@numba.njit(cache=True)
def _fill(rng, family, group, chance, effect, intercept, high, low, scale, out):
    n = group.size
    for i in range(n):
        for j in range(i):
            if rng.random() < chance[i, j]:
                c = 1 if group[i] == group[j] else 0
                eta = intercept[c] + effect[c, i] + effect[c, j]
                out[i, j] = draw_weight(rng, family, eta, high, low, scale)
                out[j, i] = out[i, j]


def simulate(model: Generator, rng: np.random.Generator) -> np.ndarray:
    """A symmetric matrix of weights (node, node)."""
    out = np.zeros(model.chance.shape)
    _fill(
        rng, model.family, model.group, model.chance, model.effect, model.intercept, model.high, model.low,
        model.scale, out,
    )  # fmt: skip
    return out


def log_probability(model: Generator, weight: np.ndarray) -> float:
    """Mean log probability of a pair of nodes: of a link or none, and of the density of its weight."""
    rows, columns = np.tril_indices(len(weight), -1)
    keep = (model.group[rows] >= 0) & (model.group[columns] >= 0)
    rows, columns = rows[keep], columns[keep]
    chance = np.clip(model.chance[rows, columns], 1e-12, 1.0 - 1e-12)
    value = np.ascontiguousarray(weight[rows, columns], dtype=np.float64)
    linked = value > 0
    total = np.where(linked, np.log(chance), np.log1p(-chance)).sum()
    within = (model.group[rows] == model.group[columns]).astype(int)
    eta = model.intercept[within] + model.effect[within, rows] + model.effect[within, columns]
    y = np.empty(int(linked.sum()))
    total += transform(model.family, value[linked], model.scale, y)
    for one, mean in zip(y, eta[linked], strict=True):
        total += log_weight(model.family, one, mean, model.high, model.low)
    if model.family > ADDITIVE:
        total -= sum(math.lgamma(w + 1.0) for w in y) if model.family == ADDITIVE + 2 else 0.0
    return float(total / rows.size)
