"""A circuit of spiking neurons, as data: what it is made of, not how it is simulated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata.errors import FormatError, OptionError
from neurodata.simulate import _json
from neurodata.simulate._json import register
from neurodata.simulate.inputs import OU, STDP, Latent, Modulator, PoissonInput, States, Stimulus
from neurodata.simulate.neurons import LIF, AdEx, ConductanceSynapses, CurrentSynapses, Neuron, Synapses
from neurodata.simulate.rules import (
    AllToAll,
    Bernoulli,
    Delays,
    Explicit,
    FixedInDegree,
    Hub,
    OneToOne,
    Ring,
    Rule,
    Weights,
)

if TYPE_CHECKING:
    import os

    from neurodata.simulate.network import Network

_NEURONS = (LIF, AdEx)
_SYNAPSES = (CurrentSynapses, ConductanceSynapses)
_RULES = (Bernoulli, FixedInDegree, AllToAll, OneToOne, Ring, Hub, Explicit)


@register
@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind.

    Parameters
    ----------
    name : str
    n : int
        Number of neurons.
    sign : {1, -1, 0}
        Excitatory or inhibitory (Dale's law); 0 lets `Explicit` weights of both signs leave one neuron.
    neuron : LIF or AdEx
    synapses : CurrentSynapses or ConductanceSynapses
        Onto these neurons.
    bias : float or array (neuron,)
        Constant input, mV.
    noise : OU, optional
    background : tuple of PoissonInput
    cluster : int or array (neuron,)
        Known group of each neuron, -1 for none.
    position : array (neuron,), optional
        In turns on a ring, 0 to 1; default evenly spaced.
    cell_type : str
        Default "excitatory", "inhibitory" or "mixed" after the sign.
    """

    name: str
    n: int
    sign: int = 1
    neuron: Neuron = field(default_factory=LIF)
    synapses: Synapses = field(default_factory=CurrentSynapses)
    bias: float | np.ndarray = 0.0
    noise: OU | None = None
    background: tuple[PoissonInput, ...] = ()
    cluster: int | np.ndarray = -1
    position: np.ndarray | None = None
    cell_type: str = ""

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.n, (int, np.integer)) or self.n < 1:
            problems.append(f"n = {self.n!r}, not a positive whole number")
        if self.sign not in (1, -1, 0):
            problems.append(f"sign = {self.sign!r}, not 1, -1 or 0")
        if not isinstance(self.neuron, _NEURONS):
            problems.append(f"unknown neuron model {type(self.neuron).__name__} (known: LIF, AdEx)")
        if not isinstance(self.synapses, _SYNAPSES):
            known = "CurrentSynapses, ConductanceSynapses"
            problems.append(f"unknown synapse model {type(self.synapses).__name__} (known: {known})")
        object.__setattr__(self, "background", tuple(self.background))
        for name, kind in (("bias", np.float64), ("cluster", np.int64), ("position", np.float64)):
            value = getattr(self, name)
            if isinstance(value, (list, tuple, np.ndarray)):
                value = np.asarray(value, dtype=kind)
                object.__setattr__(self, name, value)
                if value.shape != (self.n,):
                    problems.append(f"{name} of shape {value.shape}, not ({self.n},)")
        if not np.isfinite(self.bias).all():
            problems.append("a bias that is NaN or infinite")
        if problems:
            raise OptionError(f"population {self.name!r} with sensible values", "; ".join(problems), "correct them")


@register
@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one population to another.

    Parameters
    ----------
    pre, post : str
        Names of populations.
    rule : Bernoulli, FixedInDegree, AllToAll, OneToOne, Ring, Hub or Explicit
    weight : Weights, or float in mV of PSP peak
        Magnitudes; the sign is that of `pre`. Not used by `Explicit`.
    delay : Delays, or float in s
    plastic : bool
        Changed by the circuit's `STDP`.
    """

    pre: str
    post: str
    rule: Rule
    weight: Weights | float = 0.24
    delay: Delays | float = field(default_factory=Delays)
    plastic: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.rule, _RULES):
            known = ", ".join(rule.__name__ for rule in _RULES)
            raise OptionError(f"a rule of {known}", f"{type(self.rule).__name__}", "pass rule=")
        if not isinstance(self.weight, Weights):
            object.__setattr__(self, "weight", Weights(float(self.weight)))
        if not isinstance(self.delay, Delays):
            object.__setattr__(self, "delay", Delays(float(self.delay), float(self.delay)))


@register
@dataclass(frozen=True, eq=False)
class Circuit:
    """A circuit of spiking neurons with known truth.

    Frozen: `replace` gives a changed copy. Two circuits with the same content have the same `content_hash` and, for
    the same `rng` of `run`, the same spikes.

    Parameters
    ----------
    populations : tuple of Population
        Neurons are numbered through in this order.
    connections : tuple of Connection
    stimuli : tuple of Stimulus
    states : States, optional
    latents : tuple of Latent
    plasticity : STDP, optional
    modulator : Modulator, optional
    dt : float
        Time step, s. Delays and refractory times are rounded to it.
    frame : float
        Time for which slow inputs (states, latents, stimuli) are held, s; a whole multiple of `dt`.
    seed : int
        Draws the edges, weights and delays; `run` takes a seed of its own for all that differs between runs.
    name : str

    Examples
    --------
    >>> from neurodata.simulate import OU, Bernoulli, Circuit, Connection, Population, run
    >>> circuit = Circuit(
    ...     populations=(Population("E", 8, bias=19.0, noise=OU(3.5)),),
    ...     connections=(Connection("E", "E", Bernoulli(0.2), weight=0.24),),
    ... )
    >>> Circuit.from_json(circuit.to_json()).content_hash == circuit.content_hash
    True
    >>> sorted(run(circuit, 1.0, rng=0).children)
    ['spikes', 'truth']
    """

    populations: tuple[Population, ...]
    connections: tuple[Connection, ...] = ()
    stimuli: tuple[Stimulus, ...] = ()
    states: States | None = None
    latents: tuple[Latent, ...] = ()
    plasticity: STDP | None = None
    modulator: Modulator | None = None
    dt: float = 1e-4
    frame: float = 0.005
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        for name in ("populations", "connections", "stimuli", "latents"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problems = self._problems()
        if problems:
            raise OptionError("a circuit that can be simulated", "; ".join(problems), "correct these")

    def _problems(self) -> list[str]:
        problems = []
        names = [population.name for population in self.populations]
        if not names:
            problems.append("no population")
        if len(set(names)) != len(names):
            problems.append(f"populations of the same name: {names}")
        if not (np.isfinite(self.dt) and self.dt > 0):
            return [*problems, f"dt = {self.dt} s"]
        steps = self.frame / self.dt
        if not (np.isfinite(steps) and round(steps) >= 1 and abs(steps - round(steps)) < 1e-6 * steps):
            problems.append(f"frame {self.frame} s, not a whole multiple of dt {self.dt} s")
        for connection in self.connections:
            where = f"{connection.pre} -> {connection.post}"
            problems += [f"{where}: no population {n!r}" for n in (connection.pre, connection.post) if n not in names]
            rule = connection.rule
            shortest = (
                float(np.min(rule.delay, initial=np.inf)) if isinstance(rule, Explicit) else connection.delay.low  # type: ignore[union-attr]
            )
            if shortest < self.dt * (1 - 1e-9):
                problems.append(f"{where}: a delay of {shortest:g} s below dt {self.dt:g} s")
            if connection.plastic and self.plasticity is None:
                problems.append(f"{where}: plastic, but the circuit has no plasticity=STDP(...)")
        n = self.n_neurons
        for stimulus in self.stimuli:
            if stimulus.tuning.shape[1] != n:
                problems.append(f"stimulus {stimulus.name!r}: tuning for {stimulus.tuning.shape[1]} of {n} neurons")
        for latent in self.latents:
            if latent.loading.size != n:
                problems.append(f"a latent with loadings for {latent.loading.size} of {n} neurons")
        if self.states is not None:
            problems += self._state_problems(self.states, n)
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            problems.append(f"seed = {self.seed!r}, not a whole number of 0 or more")
        return problems

    def _state_problems(self, states: States, n: int) -> list[str]:
        problems = []
        for name in ("drive", "gain"):
            value = getattr(states, name)
            if value is not None and value.shape != (states.n, n):
                problems.append(f"state {name} of shape {value.shape}, not ({states.n}, {n})")
        if states.block is not None and states.block.shape != (n,):
            problems.append(f"state block of shape {states.block.shape}, not ({n},)")
        n_blocks = len(self.populations) if states.block is None else int(states.block.max(initial=0)) + 1
        if states.coupling is not None and states.coupling.shape != (states.n, n_blocks, n_blocks):
            problems.append(
                f"state coupling of shape {states.coupling.shape}, not ({states.n}, {n_blocks}, {n_blocks})"
            )
        return problems

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return sum(int(population.n) for population in self.populations)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the JSON text; the name is part of it."""
        return _json.content_hash(self)

    def replace(self, **fields: Any) -> Circuit:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **fields)

    def to_json(self) -> str:
        """Text that `from_json` turns into the same circuit."""
        return _json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """The circuit that `to_json` wrote.

        Raises
        ------
        FormatError
            Text that is not a circuit, or of unknown parts, which are named.
        """
        circuit = _json.loads(text)
        if not isinstance(circuit, cls):
            raise FormatError("the JSON of a Circuit", f"a {type(circuit).__name__}", "pass what to_json() gave")
        return circuit

    def network(self) -> Network:
        """The graph that `seed` draws: edges, weights and delays as arrays."""
        from neurodata.simulate.network import build_network

        return build_network(self)

    @classmethod
    def from_arrays(
        cls,
        weight: np.ndarray,
        delay: np.ndarray | float = 0.0015,
        *,
        neuron: Neuron | None = None,
        synapses: Synapses | None = None,
        bias: float | np.ndarray = 18.5,
        noise: OU | None = OU(3.5),  # noqa: B008 - frozen
        dale: bool = True,
        cluster: np.ndarray | None = None,
        **fields: Any,
    ) -> Circuit:
        """A circuit from a matrix of weights.

        Parameters
        ----------
        weight : array (post, pre)
            Signed PSP peaks, mV; 0 = no edge. The order of neurons is kept.
        delay : array (post, pre) or float
            s.
        neuron, synapses, bias, noise
            As of `Population`, the same for all; `bias` may differ by neuron.
        dale : bool
            Refuse neurons with outgoing weights of both signs.
        cluster : array (neuron,), optional
            Known groups.
        **fields
            Further fields of `Circuit`.

        Raises
        ------
        OptionError
            Weights that are not square, NaN, on the diagonal, or that break Dale's law.

        Examples
        --------
        >>> import numpy as np
        >>> circuit = Circuit.from_arrays(np.array([[0, -0.5], [0.3, 0]]))
        >>> circuit.network().weight_matrix().tolist()
        [[0.0, -0.5], [0.3, 0.0]]
        """
        weight = np.asarray(weight, dtype=np.float64)
        if weight.ndim != 2 or weight.shape[0] != weight.shape[1] or not weight.size:
            raise OptionError(
                "weights (post, pre), square", f"shape {weight.shape}", "pass one row and column per neuron"
            )
        n = weight.shape[0]
        bad = int((~np.isfinite(weight)).sum())
        if bad:
            raise OptionError("finite weights", f"{bad} NaN or infinite", "set unknown edges to 0, or estimate them")
        if np.diag(weight).any():
            raise OptionError(
                "no edge from a neuron to itself", f"{np.count_nonzero(np.diag(weight))}", "zero the diagonal"
            )
        mixed = np.flatnonzero((weight > 0).any(axis=0) & (weight < 0).any(axis=0))
        if dale and mixed.size:
            raise OptionError(
                "outgoing weights of one sign (Dale's law)",
                f"{mixed.size} neurons with both, e.g. {mixed[:5].tolist()}",
                "pass dale=False",
            )
        sign = np.where((weight < 0).any(axis=0), -1, 1)
        sign[mixed] = 0
        delays = np.broadcast_to(np.asarray(delay, dtype=np.float64), weight.shape)
        bias = np.broadcast_to(np.asarray(bias, dtype=np.float64), (n,))
        groups = np.full(n, -1) if cluster is None else np.asarray(cluster, dtype=np.int64)
        # Consecutive neurons of one sign make a population, so that the order of neurons is that of the matrix.
        begin = np.flatnonzero(np.concatenate(([True], sign[1:] != sign[:-1])))
        end = np.append(begin[1:], n)
        populations = tuple(
            Population(
                f"P{i}", int(b - a), sign=int(sign[a]), neuron=neuron or LIF(), synapses=synapses or CurrentSynapses(),
                bias=bias[a:b].copy(), noise=noise, cluster=groups[a:b].copy(),
            )
            for i, (a, b) in enumerate(zip(begin, end, strict=True))
        )  # fmt: skip
        connections = []
        for i, (a, b) in enumerate(zip(begin, end, strict=True)):
            for j, (c, d) in enumerate(zip(begin, end, strict=True)):
                post, pre = np.nonzero(weight[c:d, a:b])
                if post.size:
                    edges = Explicit(pre, post, weight[c:d, a:b][post, pre], delays[c:d, a:b][post, pre])
                    connections.append(Connection(f"P{i}", f"P{j}", edges))
        return cls(populations, tuple(connections), **fields)

    @classmethod
    def from_nir(cls, source: str | os.PathLike[str] | Any, **options: Any) -> Circuit:
        """The circuit of a network in the Neuromorphic Intermediate Representation, a file or a `nir.NIRGraph`.

        LIF and CubaLIF become neurons, Linear, Affine, Delay and LI in front of neurons their synapses, Input a
        population of its own; nodes of other kinds are refused by name. Options, and what becomes of units:
        `neurodata.simulate.nir.circuit_from_nir`.
        """
        from neurodata.simulate.nir import circuit_from_nir

        return circuit_from_nir(source, **options)

    @classmethod
    def from_sonata(cls, edges: Any, nodes: Any, **options: Any) -> Circuit:
        """The circuit of a SONATA network: HDF5 files of edges and nodes, with `edge_types=` and `node_types=` (CSV).

        `millivolt=`, the PSP peak of a `syn_weight` of 1, must be stated. Options, and what is read:
        `neurodata.simulate.sonata.circuit_from_sonata`.
        """
        from neurodata.simulate.sonata import circuit_from_sonata

        return circuit_from_sonata(edges, nodes, **options)

    def __repr__(self) -> str:
        parts = ", ".join(f"{p.name} ({p.n})" for p in self.populations[:6])
        more = ", ..." if len(self.populations) > 6 else ""
        return f"Circuit({self.name or 'unnamed'}: {self.n_neurons} neurons in {parts}{more}; {self.content_hash[:12]})"
