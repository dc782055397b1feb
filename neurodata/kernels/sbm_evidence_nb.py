"""Evidence of a partition with the effects of nodes integrated out, by Laplace's method, in Numba."""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.sbm_weights_nb import (
    ADDITIVE,
    INFORMATION,
    LOG_HIGH,
    LOG_LOW,
    MU,
    effect_precision,
    log_all,
    log_effects,
    slope,
)


@numba.njit(cache=True)
def settle(graph, family, group, effect, parameters, n_rounds, tol):
    """Move effects to a mode, node after node, by scoring; gives the rounds it took."""
    diagonal, cross, _ = effect_precision(parameters)
    high = math.exp(parameters[LOG_HIGH])
    low = math.exp(parameters[LOG_LOW])
    for done in range(n_rounds):
        worst = 0.0
        for i in range(group.size):
            x0, x1 = effect[0, i], effect[1, i]
            g0 = -diagonal * x0 - cross * x1
            g1 = -diagonal * x1 - cross * x0
            h0 = h1 = diagonal
            for q in range(graph.start[i], graph.start[i + 1]):
                j = graph.neighbour[q]
                if group[i] == group[j]:
                    g, h = slope(family, graph.y[q], parameters[MU + 1] + x1 + effect[1, j], high, low, 1.0)
                    g1 += g
                    h1 += h
                else:
                    g, h = slope(family, graph.y[q], parameters[MU] + x0 + effect[0, j], high, low, 1.0)
                    g0 += g
                    h0 += h
            determinant = h0 * h1 - cross * cross
            step0 = (h1 * g0 - cross * g1) / determinant
            step1 = (h0 * g1 - cross * g0) / determinant
            if family > ADDITIVE:
                step0 = min(max(step0, -2.0), 2.0)
                step1 = min(max(step1, -2.0), 2.0)
            effect[0, i] += step0
            effect[1, i] += step1
            worst = max(worst, abs(step0) * math.sqrt(h0), abs(step1) * math.sqrt(h1))
        if worst < tol:
            return done + 1
    return n_rounds


@numba.njit(cache=True)
def log_volume(graph, family, group, effect, parameters):
    """Log of the volume of effects that goes with a mode: minus half the log determinant of the Hessian.

    Its 2 x 2 blocks per node are exact; couplings of neighbours enter to second order, one link at a time (Bethe).
    """
    diagonal, cross, _ = effect_precision(parameters)
    high = math.exp(parameters[LOG_HIGH])
    low = math.exp(parameters[LOG_LOW])
    n = group.size
    part = INFORMATION if family <= ADDITIVE else 1.0
    h = np.full((2, n), diagonal)
    for i in range(n):
        for q in range(graph.start[i], graph.start[i + 1]):
            j = graph.neighbour[q]
            c = 1 if group[i] == group[j] else 0
            _, curvature = slope(
                family, graph.y[q], parameters[MU + c] + effect[c, i] + effect[c, j], high, low, 1.0
            )  # fmt: skip
            h[c, i] += part * curvature
    value = n * math.log(2.0 * math.pi)
    for i in range(n):
        value -= 0.5 * math.log(h[0, i] * h[1, i] - cross * cross)
        for q in range(graph.start[i], graph.start[i + 1]):
            j = graph.neighbour[q]
            if j > i:
                c = 1 if group[i] == group[j] else 0
                _, curvature = slope(
                    family, graph.y[q], parameters[MU + c] + effect[c, i] + effect[c, j], high, low, 1.0
                )  # fmt: skip
                curvature *= part
                value -= 0.5 * math.log1p(-min(curvature * curvature / (h[c, i] * h[c, j]), 0.5))
    return value


@numba.njit(cache=True)
def log_evidence_weights(graph, family, group, effect, parameters, n_rounds):
    """Log evidence of the weights given groups and parameters; `effect` is moved to the mode."""
    settle(graph, family, group, effect, parameters, n_rounds, 1e-3)
    value = log_all(family, graph.start, graph.neighbour, graph.y, group, effect, parameters)
    return value + log_effects(effect, parameters) + log_volume(graph, family, group, effect, parameters)
