"""From lists of neurons and edges, as other programs give them, to populations and connections of a circuit."""

from __future__ import annotations

import numpy as np

from neurodata.simulate.circuit import Connection
from neurodata.simulate.rules import Explicit


def runs(*facts: np.ndarray) -> list[tuple[int, int]]:
    """First and one past last of each stretch of neurons that agree in all facts (neuron,); keeps their order."""
    n = facts[0].size
    change = np.zeros(n, dtype=bool)
    change[:1] = True
    for fact in facts:
        change[1:] |= fact[1:] != fact[:-1]
    begin = np.flatnonzero(change)
    return [(int(a), int(b)) for a, b in zip(begin, np.append(begin[1:], n), strict=True)]


def names_of(name: str, n_runs: int) -> list[str]:
    """Names of the populations that one layer becomes."""
    return [name] if n_runs == 1 else [f"{name}.{k}" for k in range(n_runs)]


def explicit_connections(
    names: list[str], bounds: np.ndarray, pre: np.ndarray, post: np.ndarray, weight: np.ndarray, delay: np.ndarray
) -> tuple[Connection, ...]:
    """One connection for each pair of populations with edges between them.

    Parameters
    ----------
    names : list of str
        Populations, in order.
    bounds : array (population + 1,)
        First neuron of each.
    pre, post : array (edge,)
        Neurons, numbered through.
    weight : array (edge,)
        Signed PSP peak, mV.
    delay : array (edge,)
        s.
    """
    source = np.searchsorted(bounds, pre, side="right") - 1
    target = np.searchsorted(bounds, post, side="right") - 1
    pair = source * len(names) + target
    order = np.argsort(pair, kind="stable")
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    connections = []
    for edges in np.split(order, starts[1:]) if starts.size else []:
        i, j = source[edges[0]], target[edges[0]]
        rule = Explicit(pre[edges] - bounds[i], post[edges] - bounds[j], weight[edges], delay[edges])
        connections.append(Connection(names[i], names[j], rule))
    return tuple(connections)


def signs(bounds: np.ndarray, pre: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sign of each population's outgoing weights: 1, -1, or 0 where both occur; 1 where there are none."""
    source = np.searchsorted(bounds, pre, side="right") - 1
    n = bounds.size - 1
    positive = np.bincount(source[weight > 0], minlength=n) > 0
    negative = np.bincount(source[weight < 0], minlength=n) > 0
    return np.where(positive & negative, 0, np.where(negative, -1, 1))
