"""Circuits from networks in the Neuromorphic Intermediate Representation (NIR), as other programs train them.

Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9. Files are read with h5py; the ``nir`` package is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

from neurodata.errors import FormatError, OptionError, PathNotFoundError
from neurodata.simulate._assemble import explicit_connections, names_of, runs, signs
from neurodata.simulate.circuit import Circuit, Population
from neurodata.simulate.inputs import OU
from neurodata.simulate.neurons import LIF, CurrentSynapses, psp_peak

if TYPE_CHECKING:
    import os

REST, THRESHOLD = -70.0, -50.0  # mV: where leak and threshold of every neuron are put
KNOWN = ("Input", "Output", "LIF", "CubaLIF", "LI", "Affine", "Linear", "Delay", "Threshold", "NIRGraph")
_SPIKING = ("LIF", "CubaLIF")

Node: TypeAlias = dict[str, Any]


@dataclass
class _Signal:
    """What arrives at a node: spikes of sources, weighted, delayed and perhaps filtered; plus a constant.

    `terms` maps (source node, delay in s, filter time constant in s or 0) to weights (channel, source neuron).
    """

    constant: np.ndarray
    terms: dict[tuple[str, float, float], sparse.csr_array] = field(default_factory=dict)

    def add(self, key: tuple[str, float, float], weight: sparse.csr_array) -> None:
        self.terms[key] = self.terms[key] + weight if key in self.terms else weight


def circuit_from_nir(
    source: str | os.PathLike[str] | Any,
    *,
    step: float | None = None,
    tau_syn: float = 5e-4,
    input_bias: float = 17.5,
    input_noise: OU | None = OU(3.5),  # noqa: B008 - frozen
    **fields: Any,
) -> Circuit:
    """The circuit of a NIR graph; `Circuit.from_nir` is this.

    What becomes of a node:

    - ``CubaLIF``: an `LIF` population with current synapses of its tau_syn. A spike of weight w makes the synaptic
      current jump by w_in w `step` / tau_syn, which r turns into a voltage.
    - ``LIF``: has no synapses of its own, so that a spike moves the voltage at once, by r w `step` / tau. Here the same
      charge arrives over `tau_syn`. An ``LI`` right in front of it is its synapse: then tau_syn is the LI's tau.
    - ``Linear``, ``Affine``, ``Delay``: synapses. Weights and delays along a path are combined; a bias becomes `bias`.
      Synapses without a delay get the circuit's `dt`.
    - ``Threshold``: nothing, right behind spiking neurons, where it lets every spike through. Elsewhere it is refused:
      it has no reset.
    - ``LI`` before the output: a read-out that does not spike; left out, which changes no spike.
    - ``Input``: a population of its name that fires at about 17 Hz by noise of its own, each channel a neuron. Give the
      circuit `stimuli` to drive it.

    Voltages of NIR have no unit. Scaling and shifting the voltage of a neuron, with the weights onto it, changes no
    spike; so every neuron is put on the scale on which its leak is at -70 mV and its threshold at -50 mV. Times are in
    s. NIR neurons have no refractory time.

    Parameters
    ----------
    source : path or nir.NIRGraph
        Or the nested dictionaries that `to_dict` of a graph gives.
    step : float, optional
        What the area of a spike is, s. By the definition of NIR a spike is a Dirac pulse of area 1 (the default).
        Programs with a time grid feed 1 for one time step instead, and scale r and w_in for that: pass their time step
        (1e-4 in exports of snnTorch, unless set otherwise there).
    tau_syn : float
        Of synapses of ``LIF`` nodes, s.
    input_bias, input_noise
        Of the populations of ``Input`` nodes, mV.
    **fields
        Further fields of `Circuit`: dt, seed, stimuli, name, ...

    Returns
    -------
    Circuit
        Neurons of ``Input`` and spiking nodes, in the order in which edges of the graph name them first.

    Raises
    ------
    FormatError
        A file that is not NIR, or a graph with nodes that a circuit cannot have; they are named.

    Examples
    --------
    >>> lif = {"type": "LIF", "tau": [0.02, 0.02], "r": [1, 1], "v_leak": [0, 0], "v_threshold": [1, 1]}
    >>> nodes = {"cells": lif, "synapses": {"type": "Linear", "weight": [[0, 0.5], [-0.2, 0]]}}
    >>> graph = {"type": "NIRGraph", "nodes": nodes, "edges": [("cells", "synapses"), ("synapses", "cells")]}
    >>> weight = circuit_from_nir(graph, step=1e-3).network().weight_matrix()
    >>> (weight != 0).tolist(), float(round(weight[0, 1] / weight[1, 0], 3))
    ([[False, True], [True, False]], -2.5)
    """
    if not tau_syn > 0:
        raise OptionError("a positive tau_syn in s", f"{tau_syn!r}", "pass tau_syn=")
    area = 1.0 if step is None else float(step)
    if not (np.isfinite(area) and area > 0):
        raise OptionError("a positive time step in s", f"{step!r}", "pass step=")
    nodes, edges = _flatten(_read(source))
    unknown = sorted({f"{node['type']} ({name!r})" for name, node in nodes.items() if node["type"] not in _KINDS})
    if unknown:
        raise FormatError(
            f"nodes of the kinds {', '.join(KNOWN)}",
            ", ".join(unknown),
            "such nodes have no counterpart in a circuit; export a network without them",
        )
    graph = _Graph(nodes, edges)
    order = [name for name in _by_edges(nodes, edges) if nodes[name]["type"] in (*_SPIKING, "Input")]
    if not any(nodes[name]["type"] in _SPIKING for name in order):
        raise FormatError("a graph with spiking neurons (LIF, CubaLIF)", f"{sorted(nodes)}", "check the graph")
    layers = [graph.layer(name, area, tau_syn, input_bias) for name in order]
    return _circuit(order, layers, input_noise, fields)


_IDENTITY = "identity"  # input or output of a graph inside the graph
_KINDS = (*KNOWN, _IDENTITY)


def _read(source: Any) -> Node:
    """The graph as nested dictionaries."""
    if isinstance(source, dict):
        return source
    if hasattr(source, "to_dict"):
        return source.to_dict()
    import h5py

    path = Path(source)
    if not path.exists():
        raise PathNotFoundError("a NIR file", f"{path} does not exist", "check the path")
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file:
                raise FormatError("a NIR file with a group 'node'", f"{sorted(file)}", "write it with nir.write")
            return _unpack(file["node"])
    except OSError as error:
        raise FormatError("a NIR file (HDF5)", f"{path.name}: {error}", "write it with nir.write") from error


def _unpack(group: Any) -> Node:
    out: Node = {}
    for name, item in group.items():
        value = _unpack(item) if hasattr(item, "items") else item[()]
        out[name] = value.decode() if isinstance(value, bytes) else value
    return out


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _flatten(graph: Node, prefix: str = "") -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Nodes by name and edges, with graphs inside the graph opened."""
    if _text(graph.get("type", "")) != "NIRGraph" or "nodes" not in graph:
        raise FormatError("a NIRGraph", f"{graph.get('type', 'no type')!r}", "pass a graph, or the file of one")
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    doors: dict[str, tuple[str, str]] = {}  # names under which a graph inside is entered and left
    for name, node in graph["nodes"].items():
        full, kind = f"{prefix}{name}", _text(node.get("type", ""))
        if kind == "NIRGraph":
            inner, inner_edges = _flatten(node, f"{full}.")
            ends = []
            for door in ("Input", "Output"):
                found = [k for k, n in inner.items() if n["type"] == door]
                if len(found) != 1:
                    raise FormatError(
                        f"one {door} in graph {full!r}", f"{len(found)}", "export graphs with one input and output"
                    )
                inner[found[0]] = inner[found[0]] | {"type": _IDENTITY}
                ends.append(found[0])
            doors[full] = (ends[0], ends[1])
            nodes |= inner
            edges += inner_edges
        else:
            nodes[full] = {**node, "type": kind}
    for a, b in np.asarray(graph.get("edges", []), dtype=object).reshape(-1, 2):
        first, second = prefix + _text(a), prefix + _text(b)
        first, second = doors.get(first, (first, first))[1], doors.get(second, (second, second))[0]
        missing = [x for x in (first, second) if x not in nodes]
        if missing:
            raise FormatError("edges between nodes of the graph", f"{missing}", "the file is damaged; write it anew")
        edges.append((first, second))
    return nodes, edges


def _by_edges(nodes: dict[str, Node], edges: list[tuple[str, str]]) -> list[str]:
    """Nodes in the order in which edges name them: files forget the order in which nodes were added."""
    seen = dict.fromkeys(name for edge in edges for name in edge)
    return [*seen, *sorted(set(nodes) - set(seen))]


@dataclass
class _Layer:
    """Neurons of a node with the synapses onto them; arrays (neuron,) or (edge,), mV and s."""

    n: int
    tau_m: np.ndarray
    tau_syn: np.ndarray
    reset: np.ndarray
    bias: np.ndarray
    spiking: bool
    edges: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]  # source, pre, post, psp, delay


class _Graph:
    def __init__(self, nodes: dict[str, Node], edges: list[tuple[str, str]]) -> None:
        self.nodes = nodes
        self.before: dict[str, list[str]] = {name: [] for name in nodes}
        self.after: dict[str, list[str]] = {name: [] for name in nodes}
        for a, b in edges:
            self.before[b].append(a)
            self.after[a].append(b)
        self.open: set[str] = set()
        for name, node in nodes.items():
            if node["type"] == "Threshold":
                self._check_threshold(name)

    def array(self, name: str, key: str, default: float | None = None) -> np.ndarray:
        """A parameter of a node, (channel,)."""
        node = self.nodes[name]
        if key not in node and default is None:
            raise FormatError(f"{key} in {node['type']} {name!r}", f"{sorted(node)}", "write the graph anew")
        value = np.asarray(node.get(key, default), dtype=np.float64).reshape(-1)
        if not np.isfinite(value).all():
            raise FormatError(f"finite {key} in {name!r}", "NaN or infinite values", "correct the network")
        return value

    def size(self, name: str) -> int:
        """Number of neurons of a source."""
        node = self.nodes[name]
        if node["type"] == "Input":
            shape = node["shape"] if "shape" in node else node["input_type"]["input"]
            return int(np.prod(np.asarray(shape)))
        return self.array(name, "v_threshold").size

    def _check_threshold(self, name: str) -> None:
        behind = [self.nodes[b]["type"] for b in self.before[name]]
        threshold = self.array(name, "threshold")
        if not behind or any(kind not in _SPIKING for kind in behind) or ((threshold < 0) | (threshold >= 1)).any():
            raise FormatError(
                "Threshold nodes right behind LIF or CubaLIF, between 0 and 1, where every spike passes",
                f"Threshold ({name!r}) of {threshold.min():g} to {threshold.max():g} behind {behind or 'nothing'}",
                "a threshold without reset has no counterpart in a circuit; use LIF or CubaLIF",
            )

    def arriving(self, name: str) -> _Signal:
        """The sum of what the nodes before this one send."""
        if name in self.open:
            raise FormatError("loops that pass through spiking neurons", f"a loop through {name!r}", "check the edges")
        self.open.add(name)
        total: _Signal | None = None
        for before in self.before[name]:
            signal = self.sent(before)
            if total is None:
                total = _Signal(signal.constant, dict(signal.terms))
                continue
            if total.constant.size != signal.constant.size:
                sizes = f"{total.constant.size} and {signal.constant.size} at {name!r}"
                raise FormatError("nodes of one size at both ends of an edge", sizes, "check the graph")
            total.constant = total.constant + signal.constant
            for key, weight in signal.terms.items():
                total.add(key, weight)
        self.open.discard(name)
        return total if total is not None else _Signal(np.zeros(0))

    def sent(self, name: str) -> _Signal:
        """What a node sends on."""
        node, kind = self.nodes[name], self.nodes[name]["type"]
        if kind in (*_SPIKING, "Input"):
            n = self.size(name)
            return _Signal(np.zeros(n), {(name, 0.0, 0.0): sparse.csr_array(sparse.eye_array(n))})
        signal = self.arriving(name)
        if kind in ("Affine", "Linear"):
            weight = np.asarray(node["weight"], dtype=np.float64)
            if weight.ndim != 2 or weight.shape[1] != signal.constant.size:
                got = f"{kind} {name!r} of shape {weight.shape} after {signal.constant.size} channels"
                raise FormatError("weights (output, input) of the size of what arrives", got, "check the graph")
            if not np.isfinite(weight).all():
                raise FormatError("finite weights", f"NaN or infinite ones in {kind} {name!r}", "correct the network")
            bias = self.array(name, "bias") if kind == "Affine" else np.zeros(weight.shape[0])
            matrix = sparse.csr_array(weight)
            terms = {key: sparse.csr_array(matrix @ term) for key, term in signal.terms.items()}
            return _Signal(weight @ signal.constant + bias, terms)
        if kind in ("Delay", "LI"):
            return self._each_channel(name, kind, signal)
        return signal  # Threshold, Output, and doors of graphs inside

    def _each_channel(self, name: str, kind: str, signal: _Signal) -> _Signal:
        """Delays, or a filter, of each channel's own; terms are divided by them."""
        n = signal.constant.size
        value = np.broadcast_to(self.array(name, "delay" if kind == "Delay" else "tau"), (n,))
        if (value < 0).any() or (kind == "LI" and (value == 0).any()):
            raise FormatError(f"a delay of 0 s or more, a positive tau, in {name!r}", f"{value.min()}", "correct it")
        constant, factor = signal.constant, np.ones(n)
        if kind == "LI":
            factor = np.broadcast_to(self.array(name, "r"), (n,))
            constant = self.array(name, "v_leak") + factor * constant
        out = _Signal(constant)
        for (source, delay, tau), term in signal.terms.items():
            if kind == "LI" and tau:
                raise FormatError("one LI between two layers of neurons", f"a second, {name!r}", "leave one out")
            for own in np.unique(value):
                rows = sparse.diags_array(np.where(value == own, factor, 0.0))
                key = (source, delay + own, tau) if kind == "Delay" else (source, delay, float(own))
                out.add(key, sparse.csr_array(rows @ term))
        return out

    def layer(self, name: str, area: float, tau_syn: float, input_bias: float) -> _Layer:
        """The neurons of a spiking node or of an input."""
        n, kind = self.size(name), self.nodes[name]["type"]
        if kind == "Input":
            like = LIF()
            full = {k: np.full(n, v) for k, v in (("tau_m", like.tau_m), ("tau_syn", 0.005), ("reset", like.v_reset))}
            return _Layer(n, **full, bias=np.full(n, input_bias), spiking=False, edges=[])
        cuba = kind == "CubaLIF"
        parameter = {
            key: np.broadcast_to(self.array(name, nir, default), (n,))
            for key, nir, default in (
                ("tau", "tau_mem" if cuba else "tau", None), ("r", "r", None), ("leak", "v_leak", None),
                ("threshold", "v_threshold", None), ("reset", "v_reset", 0.0),
            )
        }  # fmt: skip
        reach = parameter["threshold"] - parameter["leak"]
        # A neuron whose leak is above its threshold fires by itself; then the reset sets the scale.
        reach = np.where(reach > 0, reach, parameter["threshold"] - parameter["reset"])
        if (parameter["tau"] <= 0).any() or (reach <= 0).any() or (parameter["reset"] >= parameter["threshold"]).any():
            raise FormatError(
                f"positive time constants and a reset below the threshold in {name!r}", "others", "correct the network"
            )
        millivolt = (THRESHOLD - REST) / reach
        own = np.broadcast_to(self.array(name, "tau_syn"), (n,)).copy() if cuba else np.full(n, np.nan)
        weight_in = np.broadcast_to(self.array(name, "w_in", 1.0), (n,)) if cuba else np.ones(n)
        if cuba and (own <= 0).any():
            raise FormatError(f"a positive tau_syn in {name!r}", f"{own.min()}", "correct the network")
        signal = self.arriving(name)
        constant = signal.constant if signal.constant.size else np.zeros(n)
        if constant.size != n:
            raise FormatError(f"{n} channels at {name!r}", f"{constant.size}", "check the graph")
        edges = []
        for (source, delay, tau), term in signal.terms.items():
            entries = sparse.coo_array(term)
            kept = entries.data != 0
            post, pre, weight = entries.row[kept], entries.col[kept], entries.data[kept]
            if tau and cuba:
                raise FormatError(
                    f"no LI in front of CubaLIF {name!r}", "one", "it has a synapse of its own; use LIF there"
                )
            if not cuba:
                here = np.unique(post)
                taken = own[here][~np.isnan(own[here])]
                if (taken != (tau or tau_syn)).any():
                    raise FormatError(f"one tau of all synapses onto a neuron of {name!r}", "several", "use one LI")
                own[here] = tau or tau_syn
            edges.append((source, pre, post, weight, delay))
        own = np.where(np.isnan(own), tau_syn, own)
        gain = parameter["r"] * weight_in * millivolt
        unit = _peak_of_unit_jump(parameter["tau"], own)
        scaled = [
            (source, pre, post, weight * (gain * area / own * unit)[post], np.full(pre.size, delay))
            for source, pre, post, weight, delay in edges
        ]
        shift = np.where(parameter["threshold"] > parameter["leak"], parameter["leak"], parameter["reset"])
        return _Layer(
            n=n,
            tau_m=parameter["tau"],
            tau_syn=own,
            reset=REST + millivolt * (parameter["reset"] - shift),
            bias=gain * constant + millivolt * (parameter["leak"] - shift),
            spiking=True,
            edges=scaled,
        )


def _peak_of_unit_jump(tau_m: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
    pairs, inverse = np.unique(np.stack((tau_m, tau_syn), axis=1), axis=0, return_inverse=True)
    peaks = [float(psp_peak(np.array(1.0), True, LIF(tau_m=m), CurrentSynapses(s, s))) for m, s in pairs]
    return np.array(peaks)[inverse.reshape(-1)]


def _circuit(order: list[str], layers: list[_Layer], input_noise: OU | None, fields: dict[str, Any]) -> Circuit:
    dt = fields.get("dt", Circuit.dt)
    first = dict(zip(order, np.concatenate(([0], np.cumsum([layer.n for layer in layers])[:-1])), strict=True))
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for name, layer in zip(order, layers, strict=True):
        for source, pre, post, psp, delay in layer.edges:
            for column, values in zip(columns, (pre + first[source], post + first[name], psp, delay), strict=True):
                column.append(values)
    pre, post, psp, delay = (np.concatenate(column) if column else np.zeros(0) for column in columns)
    pre, post = pre.astype(np.int64), post.astype(np.int64)
    names, sizes, settings = [], [], []
    for name, layer in zip(order, layers, strict=True):
        parts = runs(layer.tau_m, layer.tau_syn, layer.reset)
        names += names_of(name, len(parts))
        for a, b in parts:
            sizes.append(b - a)
            settings.append((layer, a, b))
    bounds = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    populations = tuple(
        Population(
            name, b - a, sign=int(sign), neuron=_neuron(layer, a), bias=layer.bias[a:b].copy(),
            synapses=CurrentSynapses(float(layer.tau_syn[a]), float(layer.tau_syn[a])),
            noise=None if layer.spiking else input_noise, cell_type="" if layer.spiking else "input",
        )
        for name, sign, (layer, a, b) in zip(names, signs(bounds, pre, psp), settings, strict=True)
    )  # fmt: skip
    connections = explicit_connections(names, bounds, pre, post, psp, np.maximum(delay, dt))
    return Circuit(populations, connections, **{"name": "nir", **fields})


def _neuron(layer: _Layer, at: int) -> LIF:
    if not layer.spiking:
        return LIF()
    return LIF(
        tau_m=float(layer.tau_m[at]),
        v_rest=REST,
        v_threshold=THRESHOLD,
        v_reset=float(layer.reset[at]),
        refractory=0.0,
    )
