"""The graph of a circuit as arrays: edges sorted by source, weights in both units, parameters per neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurodata.errors import OptionError
from neurodata.simulate.neurons import jump_for_psp, psp_peak
from neurodata.simulate.rules import Explicit, Weights, draw_edges

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit, Connection, Population


class Network(NamedTuple):
    """Edges in compressed rows by source.

    Attributes
    ----------
    first : array (neuron + 1,), int64
        Where each source's edges begin; the number of edges last.
    post : array (edge,), int32
    jump : array (edge,)
        Weight in the synapses' own unit: signed mV of input, or nS (positive).
    psp : array (edge,)
        Signed PSP peak, mV.
    delay : array (edge,), int32
        Steps of `dt`, at least 1.
    inhibitory : array (edge,), int8
        Which receptor: 0 excitatory, 1 inhibitory.
    plastic : array (edge,), int8
    population : array (neuron,), int64
        Population of each neuron; populations are contiguous.
    bounds : array (population + 1,), int64
        First neuron of each population.
    sign : array (neuron,), int8
    cluster : array (neuron,), int64
    position : array (neuron,)
    bias : array (neuron,)
        mV.
    """

    first: np.ndarray
    post: np.ndarray
    jump: np.ndarray
    psp: np.ndarray
    delay: np.ndarray
    inhibitory: np.ndarray
    plastic: np.ndarray
    population: np.ndarray
    bounds: np.ndarray
    sign: np.ndarray
    cluster: np.ndarray
    position: np.ndarray
    bias: np.ndarray

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return int(self.bounds[-1])

    @property
    def source(self) -> np.ndarray:
        """Presynaptic neuron of each edge."""
        return np.repeat(np.arange(self.n_neurons), np.diff(self.first))

    def matrix(self, values: np.ndarray, empty: float = 0.0) -> np.ndarray:
        """Edge values as a matrix (post, pre), summed where a pair has several synapses."""
        out = np.full((self.n_neurons, self.n_neurons), empty)
        if empty != 0.0:
            out[self.post, self.source] = 0.0
        np.add.at(out, (self.post, self.source), values)
        return out

    def weight_matrix(self) -> np.ndarray:
        """Signed PSP peaks (post, pre), mV."""
        return self.matrix(self.psp)


def build_network(circuit: Circuit) -> Network:
    """Draw the graph of a circuit from its seed.

    Every connection has its own stream of random numbers, so adding one at the end leaves the others as they are.
    """
    bounds = np.concatenate(([0], np.cumsum([p.n for p in circuit.populations]))).astype(np.int64)
    index = {p.name: i for i, p in enumerate(circuit.populations)}
    position = [_position(p) for p in circuit.populations]
    streams = np.random.default_rng(np.random.SeedSequence(int(circuit.seed))).spawn(len(circuit.connections))
    parts = []
    for connection, rng in zip(circuit.connections, streams, strict=True):
        i, j = index[connection.pre], index[connection.post]
        pre_population, post_population = circuit.populations[i], circuit.populations[j]
        pre, post = draw_edges(
            connection.rule, pre_population.n, post_population.n, i == j, position[i], position[j], rng
        )
        psp, jump, inhibitory, delay = _strengths(connection, pre_population, post_population, pre.size, rng)
        steps = np.rint(delay / circuit.dt).astype(np.int64)
        plastic = np.full(pre.size, connection.plastic, dtype=np.int8)
        parts.append((pre + bounds[i], post + bounds[j], jump, psp, np.maximum(steps, 1), inhibitory, plastic))
    dtypes = (np.int64, np.int64, np.float64, np.float64, np.int64, np.int8, np.int8)
    columns = [
        np.concatenate([part[c] for part in parts]).astype(dtype) if parts else np.zeros(0, dtype)
        for c, dtype in enumerate(dtypes)
    ]
    pre, post, jump, psp, steps, inhibitory, plastic = columns
    # By source, then by where the spike arrives (delay, receptor, target): neighbours in memory are visited in a row.
    order = np.lexsort((post, inhibitory, steps, pre))
    n = int(bounds[-1])
    return Network(
        first=np.concatenate(([0], np.cumsum(np.bincount(pre, minlength=n)))).astype(np.int64),
        post=post[order].astype(np.int32),
        jump=jump[order],
        psp=psp[order],
        delay=steps[order].astype(np.int32),
        inhibitory=inhibitory[order],
        plastic=plastic[order],
        population=np.repeat(np.arange(len(circuit.populations)), np.diff(bounds)),
        bounds=bounds,
        sign=np.concatenate([np.full(p.n, p.sign, dtype=np.int8) for p in circuit.populations]),
        cluster=np.concatenate([np.broadcast_to(p.cluster, (p.n,)) for p in circuit.populations]).astype(np.int64),
        position=np.concatenate(position),
        bias=np.concatenate([np.broadcast_to(p.bias, (p.n,)) for p in circuit.populations]).astype(np.float64),
    )


def _position(population: Population) -> np.ndarray:
    return np.arange(population.n) / population.n if population.position is None else population.position


def _strengths(
    connection: Connection, pre: Population, post: Population, n_edges: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """PSP (signed mV), jump in the synapses' unit, receptor and delay (s) of each edge of a connection."""
    if isinstance(connection.rule, Explicit):
        psp, delay = connection.rule.weight, connection.rule.delay
        if pre.sign and (psp * pre.sign < 0).any():
            raise OptionError(
                f"weights of sign {pre.sign:+d} from population {pre.name!r} (Dale's law)",
                f"{int((psp * pre.sign < 0).sum())} of the other sign",
                "give the population sign=0, or correct the weights",
            )
        inhibitory = (psp < 0).astype(np.int8)
        in_jumps = False
    else:
        weights = connection.weight
        assert isinstance(weights, Weights)
        if pre.sign == 0:
            raise OptionError("a sign for drawn weights", f"population {pre.name!r} has sign=0", "pass sign=1 or -1")
        psp = pre.sign * weights.draw(n_edges, rng)
        delay = connection.delay.draw(n_edges, rng)  # type: ignore[union-attr]
        inhibitory = np.full(n_edges, pre.sign < 0, dtype=np.int8)
        in_jumps = weights.unit == "jump"
    jump = np.zeros(psp.size)
    peak = np.zeros(psp.size)
    for receptor in (0, 1):
        here = inhibitory == receptor
        if not here.any():
            continue
        if in_jumps:
            conductance = hasattr(post.synapses, "e_e")
            jump[here] = np.abs(psp[here]) if conductance else psp[here]
            peak[here] = psp_peak(jump[here], receptor == 0, post.neuron, post.synapses)
        else:
            jump[here] = jump_for_psp(psp[here], receptor == 0, post.neuron, post.synapses)
            peak[here] = psp[here]
    return peak, jump, inhibitory, delay
