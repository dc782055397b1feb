"""Moves of the sampler of the weighted stochastic block model: nodes with their effects, parameters, in Numba.

A node leaves its group and its effects; each group is tried with effects integrated out by Laplace's method; a group is
drawn, then effects, and the pair is accepted or refused as a Metropolis-Hastings proposal, which makes it exact.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from neurodata.kernels.sbm_topology_nb import block_table, log_block_by, log_links
from neurodata.kernels.sbm_weights_nb import (
    ADDITIVE,
    LOG_HIGH,
    LOG_LOW,
    LOG_SHARED,
    MU,
    N_PARAMETERS,
    effect_precision,
    fit_node,
    log_all,
    log_effects,
    node_log_joint,
)


class Graph(NamedTuple):
    """A weighted graph by node.

    Attributes
    ----------
    start : array (node + 1,)
        Where the links of each node begin in the next two.
    neighbour : array (2 link,)
    y : array (2 link,)
        Weights, transformed for family 0.
    kind : array (node,)
        Index of the node's degree.
    link : array (degree, degree)
        Probability of a link between nodes of two degrees in a graph without groups.
    """

    start: np.ndarray
    neighbour: np.ndarray
    y: np.ndarray
    kind: np.ndarray
    link: np.ndarray


class Blocks(NamedTuple):
    """A partition and its sums.

    Attributes
    ----------
    group : array (node,)
    size : array (slot,)
    links, expected : array (slot, slot)
        Observed and expected links between groups; those within a group are counted once.
    mix : array (slot, degree)
        Nodes of each degree in each group.
    """

    group: np.ndarray
    size: np.ndarray
    links: np.ndarray
    expected: np.ndarray
    mix: np.ndarray


class Prior(NamedTuple):
    """Normal priors: of the parameters of weights (2, parameter), of the topology's (2, 2, 2), mean first, then sd.

    `log_partition` is the log of V(t), t = 1, 2, ..; a partition has prior V(t) times the product of
    gamma (gamma + 1) .. (gamma + size - 1).
    """

    parameters: np.ndarray
    shape: np.ndarray
    log_partition: np.ndarray
    gamma: float


@numba.njit(cache=True)
def count(graph, blocks):
    """Fill the sums of `blocks` from its groups."""
    blocks.size[:] = 0
    blocks.links[:] = 0.0
    blocks.expected[:] = 0.0
    blocks.mix[:] = 0.0
    n_slots = blocks.size.size
    n_kinds = graph.link.shape[0]
    for i in range(blocks.group.size):
        g = blocks.group[i]
        blocks.size[g] += 1
        blocks.mix[g, graph.kind[i]] += 1.0
        for q in range(graph.start[i], graph.start[i + 1]):
            blocks.links[g, blocks.group[graph.neighbour[q]]] += 1.0
    rows = blocks.mix @ graph.link
    for r in range(n_slots):
        for s in range(n_slots):
            value = 0.0
            for d in range(n_kinds):
                value += rows[r, d] * blocks.mix[s, d]
                if r == s:
                    value -= blocks.mix[s, d] * graph.link[d, d]
            blocks.expected[r, s] = value
        blocks.links[r, r] *= 0.5
        blocks.expected[r, r] *= 0.5


@numba.njit(cache=True)
def expected_of(graph, blocks, i, out):
    """Links that node `i`, who is in no group, is expected to have to each group."""
    d = graph.kind[i]
    for t in range(blocks.size.size):
        value = 0.0
        if blocks.size[t] > 0:
            for other in range(graph.link.shape[0]):
                value += graph.link[d, other] * blocks.mix[t, other]
        out[t] = value


@numba.njit(cache=True)
def change(graph, blocks, i, slot, own, expected, sign):
    """Put node `i` into `slot` (sign 1) or take it out (sign -1)."""
    blocks.size[slot] += int(sign)
    blocks.mix[slot, graph.kind[i]] += sign
    for t in range(blocks.size.size):
        blocks.links[slot, t] += sign * own[t]
        blocks.expected[slot, t] += sign * expected[t]
        if t != slot:
            blocks.links[t, slot] = blocks.links[slot, t]
            blocks.expected[t, slot] = blocks.expected[slot, t]


@numba.njit(cache=True)
def refresh(now, blocks, slot, table, alpha, beta):
    """Bring the log evidence `now` (slot, slot) of pairs of groups up to date where `slot` is one of them."""
    for t in range(blocks.size.size):
        if blocks.size[slot] > 0 and blocks.size[t] > 0:
            c = 1 if slot == t else 0
            value = log_block_by(table, c, blocks.links[slot, t], blocks.expected[slot, t], alpha[c], beta[c])
            now[slot, t] = value
            now[t, slot] = value


@numba.njit(cache=True)
def log_partition_prior(size, prior):
    """Log prior of a partition with these group sizes."""
    n_groups = 0
    value = 0.0
    for g in range(size.size):
        if size[g] > 0:
            n_groups += 1
            value += math.lgamma(size[g] + prior.gamma) - math.lgamma(prior.gamma)
    return value + prior.log_partition[n_groups - 1]


@numba.njit(cache=True)
def move_nodes(rng, graph, family, blocks, effect, parameters, shape, prior, power, exact, stay):
    """One pass over nodes in random order; gives how many changed group, how many proposals were accepted, an entropy.

    The entropy, nats, is the sum over nodes of that of their group given all else: at most that of the partition.

    Parameters
    ----------
    effect : array (2, node)
    power : float
        Exponent of the probabilities of groups, below 1 while annealing.
    exact : bool
        Whether to accept or refuse; without, the proposal is taken (annealing).
    stay : bool
        Nodes stay in their groups, only effects are drawn.
    """
    n_nodes, n_slots = blocks.group.size, blocks.size.size
    diagonal, cross, log_det = effect_precision(parameters)
    most = 0
    for i in range(n_nodes):
        most = max(most, graph.start[i + 1] - graph.start[i])
    y = np.empty(most)
    offset = np.empty((2, most))
    to = np.empty(most, dtype=np.int64)
    within = np.empty(most, dtype=np.int64)
    own = np.empty(n_slots)
    expected = np.empty(n_slots)
    score = np.empty(n_slots)
    mean = np.empty((n_slots, 2))
    hessian = np.empty((n_slots, 3))
    log_size = np.empty(n_slots)
    moved = accepted = 0
    entropy = 0.0
    table = block_table(graph.neighbour.size // 2, shape)
    alpha = np.exp(shape[:, 0])
    beta = alpha * np.exp(-shape[:, 1])
    now = np.zeros((n_slots, n_slots))
    for s in range(n_slots):
        refresh(now, blocks, s, table, alpha, beta)
    order = rng.permutation(n_nodes)
    for i in order:
        old = blocks.group[i]
        first = graph.start[i]
        n = graph.start[i + 1] - first
        own[:] = 0.0
        for q in range(n):
            j = graph.neighbour[first + q]
            t = blocks.group[j]
            y[q] = graph.y[first + q]
            to[q] = t
            own[t] += 1.0
            offset[0, q] = parameters[MU] + effect[0, j]
            offset[1, q] = parameters[MU + 1] + effect[1, j]
        blocks.size[old] -= 1
        blocks.mix[old, graph.kind[i]] -= 1.0
        expected_of(graph, blocks, i, expected)
        blocks.size[old] += 1
        blocks.mix[old, graph.kind[i]] += 1.0
        change(graph, blocks, i, old, own, expected, -1.0)
        refresh(now, blocks, old, table, alpha, beta)
        n_groups = 0
        for s in range(n_slots):
            n_groups += blocks.size[s] > 0
        empty = False
        top = -np.inf
        for s in range(n_slots):
            score[s] = -np.inf
            if stay and s != old:
                continue
            if blocks.size[s] == 0:
                # One empty slot stands for all.
                if empty or n_groups == prior.log_partition.size:
                    continue
                empty = True
                value = math.log(prior.gamma) + prior.log_partition[n_groups]
                if n_groups > 0:
                    value -= prior.log_partition[n_groups - 1]
            else:
                value = math.log(blocks.size[s] + prior.gamma)
            for t in range(n_slots):
                if blocks.size[t] == 0 and t != s:
                    continue
                c = 1 if s == t else 0
                value += log_block_by(
                    table, c, blocks.links[s, t] + own[t], blocks.expected[s, t] + expected[t], alpha[c], beta[c]
                )  # fmt: skip
                if blocks.size[s] > 0:
                    value -= now[s, t]
            log_size[s] = value
            for q in range(n):
                within[q] = 1 if to[q] == s else 0
            value += fit_node(
                family, y, offset, within, n, parameters, diagonal, cross, log_det, mean[s], hessian[s]
            )  # fmt: skip
            score[s] = power * value
            top = max(top, score[s])
        total = weighted = 0.0
        for s in range(n_slots):
            part = math.exp(score[s] - top)
            total += part
            if part > 0.0:
                weighted += part * (score[s] - top)
        entropy += math.log(total) - weighted / total
        u = total * rng.random()
        new = 0
        while True:
            u -= math.exp(score[new] - top)
            if u < 0.0 or new == n_slots - 1:
                break
            new += 1
        while score[new] == -np.inf:
            new -= 1
        h0, h1, h01 = hessian[new]
        root = math.sqrt(h0)
        z0 = rng.standard_normal()
        z1 = rng.standard_normal()
        # Cholesky factor of the precision: [[root, 0], [h01 / root, rest]].
        rest = math.sqrt(h1 - h01 * h01 / h0)
        d1 = z1 / rest
        d0 = (z0 - h01 / root * d1) / root
        x0 = mean[new, 0] + d0
        x1 = mean[new, 1] + d1
        take = True
        if exact:
            if blocks.size[old] == 0 and score[old] == -np.inf:
                # The node came from an empty slot other than the one that was tried: the same partition.
                for s in range(n_slots):
                    if blocks.size[s] == 0 and score[s] > -np.inf:
                        score[old] = score[s]
                        score[s] = -np.inf
                        mean[old] = mean[s]
                        hessian[old] = hessian[s]
                        log_size[old] = log_size[s]
                        if new == s:
                            new = old
                        break
            ratio = log_size[new] - score[new]
            for q in range(n):
                within[q] = 1 if to[q] == new else 0
            ratio += node_log_joint(family, y, offset, within, n, parameters, diagonal, cross, log_det, x0, x1)
            ratio += 0.5 * (z0 * z0 + z1 * z1) - math.log(root * rest)
            for q in range(n):
                within[q] = 1 if to[q] == old else 0
            h0, h1, h01 = hessian[old]
            e0 = effect[0, i] - mean[old, 0]
            e1 = effect[1, i] - mean[old, 1]
            back = log_size[old] - score[old]
            back += node_log_joint(
                family, y, offset, within, n, parameters, diagonal, cross, log_det, effect[0, i], effect[1, i]
            )  # fmt: skip
            back += 0.5 * (h0 * e0 * e0 + h1 * e1 * e1) + h01 * e0 * e1 - 0.5 * math.log(h0 * h1 - h01 * h01)
            take = math.log(1.0 - rng.random()) < ratio - back
        if take:
            accepted += 1
            moved += new != old
            blocks.group[i] = new
            effect[0, i] = x0
            effect[1, i] = x1
        change(graph, blocks, i, blocks.group[i], own, expected, 1.0)
        refresh(now, blocks, blocks.group[i], table, alpha, beta)
    return moved, accepted, entropy


@numba.njit(cache=True)
def jitter_effects(rng, graph, family, blocks, effect, parameters, step):
    """Random-walk Metropolis steps of each node's effects in its group; gives how many were accepted.

    They free a node whose effects are where the Gaussian approximation of `move_nodes` never proposes.
    """
    diagonal, cross, log_det = effect_precision(parameters)
    noise = math.exp(parameters[LOG_HIGH])
    most = 0
    for i in range(blocks.group.size):
        most = max(most, graph.start[i + 1] - graph.start[i])
    y = np.empty(most)
    offset = np.empty((2, most))
    within = np.empty(most, dtype=np.int64)
    accepted = 0
    for i in range(blocks.group.size):
        first = graph.start[i]
        n = graph.start[i + 1] - first
        for q in range(n):
            j = graph.neighbour[first + q]
            y[q] = graph.y[first + q]
            within[q] = 1 if blocks.group[j] == blocks.group[i] else 0
            offset[0, q] = parameters[MU] + effect[0, j]
            offset[1, q] = parameters[MU + 1] + effect[1, j]
        width = step / math.sqrt(1.0 + n) * (noise if family <= ADDITIVE else 1.0)
        x0 = effect[0, i] + width * rng.standard_normal()
        x1 = effect[1, i] + width * rng.standard_normal()
        ratio = node_log_joint(family, y, offset, within, n, parameters, diagonal, cross, log_det, x0, x1)
        ratio -= node_log_joint(
            family, y, offset, within, n, parameters, diagonal, cross, log_det, effect[0, i], effect[1, i]
        )  # fmt: skip
        if math.log(1.0 - rng.random()) < ratio:
            effect[0, i] = x0
            effect[1, i] = x1
            accepted += 1
    return accepted


@numba.njit(cache=True)
def log_parameters(family, parameters, prior):
    """Log prior density of the parameters, up to a constant."""
    value = 0.0
    for p in range(N_PARAMETERS):
        if (p == LOG_LOW and family != ADDITIVE) or (p == LOG_HIGH and family > ADDITIVE):
            continue
        value -= 0.5 * ((parameters[p] - prior.parameters[0, p]) / prior.parameters[1, p]) ** 2
    return value


@numba.njit(cache=True)
def move_parameters(rng, graph, family, blocks, effect, parameters, prior, step, rate):
    """Random-walk Metropolis step of each scale; `step` adapts at `rate`, 0 to leave it.

    Intercepts move in `shift_effects`.
    """
    weights = log_all(family, graph.start, graph.neighbour, graph.y, blocks.group, effect, parameters)
    effects = log_effects(effect, parameters)
    for p in range(LOG_HIGH, N_PARAMETERS):
        if (p == LOG_LOW and family != ADDITIVE) or (p == LOG_HIGH and family > ADDITIVE):
            continue
        old = parameters[p]
        before = weights + effects + log_parameters(family, parameters, prior)
        parameters[p] = old + step[p] * rng.standard_normal()
        new_weights, new_effects = weights, effects
        if p >= LOG_SHARED:
            new_effects = log_effects(effect, parameters)
        else:
            new_weights = log_all(family, graph.start, graph.neighbour, graph.y, blocks.group, effect, parameters)
        after = new_weights + new_effects + log_parameters(family, parameters, prior)
        chance = math.exp(min(0.0, after - before))
        if rng.random() < chance:
            weights, effects = new_weights, new_effects
        else:
            parameters[p] = old
        step[p] *= math.exp(rate * (chance - 0.44))


@numba.njit(cache=True)
def shift_effects(rng, effect, parameters, prior):
    """Draw each intercept together with a shift of all effects that leaves predictors as they are."""
    diagonal, cross, _ = effect_precision(parameters)
    n = effect.shape[1]
    for c in range(2):
        total = other = 0.0
        for i in range(n):
            total += effect[c, i]
            other += effect[1 - c, i]
        # mu + d, x - d / 2: the log density is quadratic in d.
        sd = prior.parameters[1, MU + c]
        precision = 0.25 * n * diagonal + 1.0 / (sd * sd)
        pull = 0.5 * (diagonal * total + cross * other)
        pull -= (parameters[MU + c] - prior.parameters[0, MU + c]) / (sd * sd)
        d = pull / precision + rng.standard_normal() / math.sqrt(precision)
        parameters[MU + c] += d
        for i in range(n):
            effect[c, i] -= 0.5 * d


@numba.njit(cache=True)
def move_shape(rng, blocks, shape, prior):
    """Slice-sample log shape and log mean of the priors of link rates, within and between (Neal 2003)."""
    for c in range(2):
        for p in range(2):
            old = shape[c, p]
            mean, sd = prior.shape[0, c, p], prior.shape[1, c, p]
            level = log_links(blocks.size, blocks.links, blocks.expected, shape)
            level += -0.5 * ((old - mean) / sd) ** 2 - rng.standard_exponential()
            low = old - sd * rng.random()
            high = low + sd
            for _ in range(50):
                shape[c, p] = low + (high - low) * rng.random()
                value = log_links(blocks.size, blocks.links, blocks.expected, shape)
                if value - 0.5 * ((shape[c, p] - mean) / sd) ** 2 > level:
                    break
                if shape[c, p] < old:
                    low = shape[c, p]
                else:
                    high = shape[c, p]
            else:
                shape[c, p] = old


@numba.njit(cache=True)
def log_joint(graph, family, blocks, effect, parameters, shape, prior):
    """Log density of everything, up to a constant."""
    value = log_all(family, graph.start, graph.neighbour, graph.y, blocks.group, effect, parameters)
    value += log_effects(effect, parameters) + log_parameters(family, parameters, prior)
    value += log_links(blocks.size, blocks.links, blocks.expected, shape) + log_partition_prior(blocks.size, prior)
    for c in range(2):
        for p in range(2):
            value -= 0.5 * ((shape[c, p] - prior.shape[0, c, p]) / prior.shape[1, c, p]) ** 2
    return value
