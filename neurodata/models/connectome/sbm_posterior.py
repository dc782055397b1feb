"""What chains of the weighted stochastic block model say together: memberships, number of groups, coarser levels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodata.diagnostics.partitions import canonical, match_labels, point_partition
from neurodata.kernels import sbm_evidence_nb as evidence_nb
from neurodata.kernels import sbm_moves_nb as moves_nb
from neurodata.kernels.sbm_topology_nb import log_links
from neurodata.models.connectome.sbm_chain import Drawn, State
from neurodata.models.connectome.sbm_prior import Problem

# Pairs of groups whose merge is worked out in full, of those that the links alone speak most for.
_MOST_PAIRS = 12


class Levels(NamedTuple):
    """A partition and those that merging its groups, the best pair first, leads to.

    Attributes
    ----------
    group : array (level, node)
    log_evidence : array (level,)
    effect : array (2, node)
        Effects between and within groups, at the mode, of the first level.
    """

    group: np.ndarray
    log_evidence: np.ndarray
    effect: np.ndarray


def pool(chains: list[Drawn]) -> tuple[np.ndarray, np.ndarray]:
    """Draws of all chains (draw, node), each chain as often as its evidence deserves, and weights of the chains."""
    bound = np.array([one.bound for one in chains])
    weight = np.exp(bound - bound.max())
    weight /= weight.sum()
    parts = []
    for one, share in zip(chains, weight, strict=True):
        n = round(share * len(one.group))
        if n > 0:
            parts.append(one.group[np.linspace(0, len(one.group) - 1, n).round().astype(int)])
    return np.concatenate(parts), weight


def memberships(draws: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Probability of each node (node, group) to be in each group of `point`; what is left went to other groups."""
    n_groups = int(point.max()) + 1
    matched = np.stack([match_labels(one, point) for one in draws])
    return np.stack([(matched == g).mean(axis=0) for g in range(n_groups)], axis=1)


def estimate(draws: np.ndarray) -> np.ndarray:
    """The partition of least expected variation of information."""
    return point_partition(draws)


def merge_levels(problem: Problem, group: np.ndarray, state: State) -> Levels:
    """Merge groups two by two until one is left, each time the two whose merge leaves the most evidence."""
    group = canonical(group)
    effect = state.effect.copy()
    value, effect = _evidence(problem, group, effect, state)
    found, values, first = [group], [value], effect.copy()
    while group.max() > 0:
        n_groups = int(group.max()) + 1
        pairs = [(a, b) for b in range(n_groups) for a in range(b)]
        if len(pairs) > _MOST_PAIRS:
            cheap = [_link_evidence(problem, np.where(group == b, a, group), state) for a, b in pairs]
            pairs = [pairs[k] for k in np.argsort(cheap)[::-1][:_MOST_PAIRS]]
        tried = []
        for a, b in pairs:
            merged = canonical(np.where(group == b, a, group))
            tried.append((*_evidence(problem, merged, effect.copy(), state), merged))
        value, effect, group = max(tried, key=lambda one: one[0])
        found.append(group)
        values.append(value)
    return Levels(np.array(found), np.array(values), first)


def _evidence(problem: Problem, group: np.ndarray, effect: np.ndarray, state: State) -> tuple[float, np.ndarray]:
    value = evidence_nb.log_evidence_weights(problem.graph, problem.family, group, effect, state.parameters, 20)
    return value + _link_evidence(problem, group, state), effect


def _blocks(problem: Problem, group: np.ndarray) -> moves_nb.Blocks:
    n_slots = int(group.max()) + 1
    blocks = moves_nb.Blocks(
        group.astype(np.int64),
        np.zeros(n_slots, dtype=np.int64),
        np.zeros((n_slots, n_slots)),
        np.zeros((n_slots, n_slots)),
        np.zeros((n_slots, problem.graph.link.shape[0])),
    )
    moves_nb.count(problem.graph, blocks)
    return blocks


def _link_evidence(problem: Problem, group: np.ndarray, state: State) -> float:
    """Evidence of links and prior of a partition."""
    blocks = _blocks(problem, group)
    value = log_links(blocks.size, blocks.links, blocks.expected, state.shape)
    return value + moves_nb.log_partition_prior(blocks.size, problem.prior)


def link_rates(problem: Problem, group: np.ndarray, state: State) -> np.ndarray:
    """Posterior mean of how many links pairs of groups have for each that is expected without groups."""
    n_groups = int(group.max()) + 1
    blocks = _blocks(problem, group)
    alpha = np.exp(np.where(np.eye(n_groups) == 1, state.shape[1, 0], state.shape[0, 0]))
    mean = np.exp(np.where(np.eye(n_groups) == 1, state.shape[1, 1], state.shape[0, 1]))
    return (alpha + blocks.links) / (alpha / mean + blocks.expected)
