"""The embedded engine: arrays for `kernels.spiking_nb`, advanced in stretches that are looked at one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from neurodata._core.progress import Progress
from neurodata.errors import OptionError
from neurodata.kernels import spiking_nb as nb
from neurodata.simulate.activity import CURRENT_STEP, STRETCH, Activity, check_alive, last_stretch, starting_voltage
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network
from neurodata.simulate.neurons import AdEx, ConductanceSynapses, CurrentSynapses, jump_for_psp, psp_peak

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit, Population


class Ready:
    """A circuit laid out for the kernel, at step 0; `advance` moves it on.

    Parameters
    ----------
    room : int, optional
        Spikes to make room for at first; more room is made when it is needed.
    """

    def __init__(
        self,
        circuit: Circuit,
        network: Network,
        inputs: Inputs,
        n_steps: int,
        rng: np.random.Generator,
        room: int | None = None,
    ) -> None:
        self.dt, self.rng, self.step = circuit.dt, rng, 0
        self.cells = _cells(circuit, network)
        self.state = _state(circuit, network, inputs, rng)
        self.edges = _edges(network)
        self.slow = _slow(circuit, network, inputs)
        self.plastic = _plastic(circuit, network)
        self.background = _background(circuit)
        self.queue = _queue(int(network.delay.max(initial=1)) + 1)
        room = 4 * network.n_neurons if room is None else room
        self.spikes = nb.Spikes(*np.zeros((2, max(1, room)), dtype=np.int64), *np.zeros((2, 1), dtype=np.int64))
        every = max(1, round(CURRENT_STEP / circuit.dt))
        self.currents = nb.Currents(every, *np.zeros((2, n_steps // every, len(circuit.populations))))

    def advance(self, stop: int) -> None:
        """Simulate up to step `stop`."""
        self.queue, self.spikes = nb.advance(
            self.step, stop, self.dt, self.state, self.cells, self.edges, self.slow, self.plastic, self.background,
            self.queue, self.spikes, self.currents, self.rng,
        )  # fmt: skip
        self.step = stop

    @property
    def spike_step(self) -> np.ndarray:
        """Step of every spike so far."""
        return self.spikes.step[: self.spikes.total[0]]

    @property
    def spike_neuron(self) -> np.ndarray:
        """Neuron of every spike so far."""
        return self.spikes.source[: self.spikes.total[0]]


def simulate_numba(
    circuit: Circuit,
    network: Network,
    inputs: Inputs,
    n_steps: int,
    rng: np.random.Generator,
    max_rate: float,
    progress: Progress,
) -> Activity:
    """Run the embedded engine.

    Raises
    ------
    SimulationError
        When the mean rate of any 100 ms is above `max_rate`, or a voltage is no longer finite.
    """
    dt = circuit.dt
    ready = Ready(circuit, network, inputs, n_steps, rng)
    stretch = max(1, round(STRETCH / dt))
    watched = set(range(stretch, n_steps, stretch))
    snapshots: dict[int, np.ndarray] = {}
    wanted: set[int] = set()
    if circuit.plasticity is not None:
        wanted = set(range(0, n_steps, max(1, round(circuit.plasticity.snapshot / dt)))) | {n_steps}
    seen = 0
    progress.start(n_steps, "simulating")
    for stop in sorted(watched | wanted | {n_steps}):
        progress.update(stop - ready.step)
        ready.advance(stop)
        if stop in watched:
            check_alive(ready.spike_step.size - seen, (stop - stretch) * dt, stop * dt, ready.state.v, max_rate)
            seen = ready.spike_step.size
        if stop in wanted:
            snapshots[stop] = _psp(circuit, network, ready.edges.jump)
    progress.close()
    check_alive(*last_stretch(ready.spike_step, n_steps, dt), ready.state.v, max_rate)
    return Activity(
        spike_time=(ready.spike_step + 1) * dt,
        spike_neuron=ready.spike_neuron.copy(),
        current_e=ready.currents.e,
        current_i=ready.currents.i,
        modulator=ready.state.modulator if circuit.modulator is not None else None,
        snapshot=np.array(list(snapshots)) * dt if snapshots else None,
        weight_t=np.array(list(snapshots.values())) if snapshots else None,
    )


def _cells(circuit: Circuit, network: Network) -> nb.Cells:
    populations = circuit.populations
    kinds = [2 * isinstance(p.neuron, AdEx) + isinstance(p.synapses, ConductanceSynapses) for p in populations]
    hold = np.array([round(p.neuron.refractory / circuit.dt) for p in populations], dtype=np.int64)
    reset = np.array([p.neuron.v_reset for p in populations])
    return nb.Cells(
        kind=np.array(kinds, dtype=np.int64),
        parameters=np.array([_row(population, circuit.dt) for population in populations]),
        bounds=network.bounds,
        hold=hold[network.population],
        reset=reset[network.population],
    )


def _row(population: Population, dt: float) -> np.ndarray:
    neuron, synapses = population.neuron, population.synapses
    row = np.zeros(nb.N_PARAMETERS)
    row[nb.LEAK] = math.exp(-dt / neuron.tau_m)
    row[nb.DECAY_E], row[nb.DECAY_I] = math.exp(-dt / synapses.tau_e), math.exp(-dt / synapses.tau_i)
    if isinstance(synapses, CurrentSynapses):
        row[nb.SYN_E] = _propagator(dt, neuron.tau_m, synapses.tau_e)
        row[nb.SYN_I] = _propagator(dt, neuron.tau_m, synapses.tau_i)
    else:  # the mean of a decaying conductance over one step
        row[nb.SYN_E] = -math.expm1(-dt / synapses.tau_e) * synapses.tau_e / dt
        row[nb.SYN_I] = -math.expm1(-dt / synapses.tau_i) * synapses.tau_i / dt
        row[nb.REVERSAL_E], row[nb.REVERSAL_I] = synapses.e_e, synapses.e_i
    row[nb.SPIKE], row[nb.RESET], row[nb.REST] = neuron.v_spike, neuron.v_reset, neuron.v_rest
    row[nb.STEP_OVER_TAU] = dt / neuron.tau_m
    row[nb.PER_LEAK] = 1.0 / neuron.leak
    if isinstance(neuron, AdEx):
        row[nb.DELTA], row[nb.THRESHOLD] = neuron.delta, neuron.v_threshold
        # pA over nS is mV.
        row[nb.ADAPT_A], row[nb.ADAPT_B] = neuron.a / neuron.leak, neuron.b / neuron.leak
        row[nb.ADAPT_DECAY] = math.exp(-dt / neuron.tau_w)
    noise = population.noise
    if noise is not None and noise.sd > 0:
        if noise.tau == 0:
            row[nb.NOISE_WHITE] = noise.sd * math.sqrt(-math.expm1(-2.0 * dt / neuron.tau_m))
        else:
            # A current of sd s and time constant tau moves the membrane with sd s sqrt(tau / (tau + tau_m)).
            sd = noise.sd * math.sqrt((noise.tau + neuron.tau_m) / noise.tau)
            row[nb.NOISE_DECAY] = math.exp(-dt / noise.tau)
            row[nb.NOISE_STEP] = sd * math.sqrt(-math.expm1(-2.0 * dt / noise.tau))
    return row


def _propagator(dt: float, tau_m: float, tau_s: float) -> float:
    """What an input of 1 that decays with tau_s adds to the membrane within one step."""
    if math.isclose(tau_m, tau_s, rel_tol=1e-6):
        return dt / tau_m * math.exp(-dt / tau_m)
    return tau_s / (tau_s - tau_m) * (math.exp(-dt / tau_s) - math.exp(-dt / tau_m))


def _state(circuit: Circuit, network: Network, inputs: Inputs, rng: np.random.Generator) -> nb.State:
    n = network.n_neurons
    state = nb.State(
        v=starting_voltage(circuit, rng),
        g=np.zeros(2 * n),
        adapt=np.zeros(n),
        noise=np.zeros(n),
        free=np.zeros(n),
        gain=np.ones(n),
        modulator=np.ones(inputs.state.size if circuit.modulator is not None else 1),
        frame_spikes=np.zeros(1),
    )
    for population, begin, end in zip(circuit.populations, network.bounds[:-1], network.bounds[1:], strict=True):
        noise = population.noise
        if noise is not None and noise.tau > 0:
            sd = noise.sd * math.sqrt((noise.tau + population.neuron.tau_m) / noise.tau)
            state.noise[begin:end] = sd * rng.standard_normal(end - begin)
    return state


def _edges(network: Network) -> nb.Edges:
    target = network.inhibitory.astype(np.int32) * np.int32(network.n_neurons) + network.post
    return nb.Edges(network.first, network.delay, target, network.post, network.jump.copy())


def _queue(n_slots: int) -> nb.Queue:
    """Empty, with one chunk per slot."""
    return nb.Queue(
        target=np.zeros(n_slots * nb.CHUNK, dtype=np.int32),
        jump=np.zeros(n_slots * nb.CHUNK),
        after=np.full(n_slots, -1, dtype=np.int64),
        unused=np.arange(n_slots),
        n_unused=np.array([n_slots]),
        head=np.full(n_slots, -1, dtype=np.int64),
        end=np.zeros(n_slots, dtype=np.int64),
    )


def _slow(circuit: Circuit, network: Network, inputs: Inputs) -> nb.Slow:
    modulator = circuit.modulator
    return nb.Slow(
        steps=round(circuit.frame / circuit.dt),
        state=inputs.state,
        signal=inputs.signal,
        loading=inputs.loading,
        bias=network.bias,
        state_drive=inputs.state_drive,
        state_gain=inputs.state_gain,
        coupling=inputs.coupling,
        block=inputs.block,
        has_gain=bool((inputs.state_gain != 1.0).any()),
        has_coupling=bool((inputs.coupling != 1.0).any()),
        modulator=np.zeros(5)
        if modulator is None
        else np.array([1.0, modulator.tau, modulator.target_rate, modulator.drive, modulator.plasticity]),
    )


def _plastic(circuit: Circuit, network: Network) -> nb.Plastic:
    n, stdp = network.n_neurons, circuit.plasticity
    if stdp is None:
        empty, none = np.zeros(0), np.zeros(0, dtype=np.int64)
        zeros = np.zeros(1, dtype=np.int64)
        return nb.Plastic(
            np.zeros(7), np.zeros(0, np.int8), none, zeros, none, empty, empty, empty, none, empty, empty.copy()
        )
    source = network.source
    learning = np.flatnonzero(network.plastic)
    if (network.inhibitory[learning] == 1).any():
        raise OptionError("plastic connections that excite", "inhibitory ones", "plasticity covers excitatory synapses")
    by_target = learning[np.argsort(network.post[learning], kind="stable")]
    count = np.bincount(network.post[learning], minlength=n)
    largest = np.zeros(network.post.size)
    target = network.population[network.post]
    for p, population in enumerate(circuit.populations):
        largest[target == p] = float(jump_for_psp(np.array(stdp.w_max), True, population.neuron, population.synapses))
    rule = np.array(
        [
            1.0, stdp.a_plus, stdp.a_minus, stdp.tau_plus / circuit.dt, stdp.tau_minus / circuit.dt,
            1.0 / stdp.tau_homeostasis if stdp.tau_homeostasis > 0 else 0.0, stdp.target_rate,
        ]
    )  # fmt: skip
    return nb.Plastic(
        rule=rule,
        plastic=network.plastic,
        source=source,
        in_first=np.concatenate(([0], np.cumsum(count))).astype(np.int64),
        in_edge=by_target.astype(np.int64),
        largest=largest,
        pre=np.zeros(n),
        post=np.zeros(n),
        last=np.zeros(n, dtype=np.int64),
        rate=np.full(n, stdp.target_rate),
        counted=np.zeros(n),
    )


def _psp(circuit: Circuit, network: Network, jump: np.ndarray) -> np.ndarray:
    """Signed PSP peaks (mV) of edges whose weights have changed."""
    psp = network.psp.copy()
    target = network.population[network.post]
    for p, population in enumerate(circuit.populations):
        here = (network.plastic == 1) & (target == p)
        if here.any():
            psp[here] = psp_peak(jump[here], True, population.neuron, population.synapses)
    return psp


def _background(circuit: Circuit) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Expected spikes per neuron and step, jump, receptor and population of every Poisson background."""
    rows = []
    for p, population in enumerate(circuit.populations):
        for source in population.background:
            excites = source.psp >= 0
            jump = jump_for_psp(np.array(source.psp), excites, population.neuron, population.synapses)
            rows.append((source.rate * source.n * circuit.dt, float(jump), int(not excites), p))
    rate, jumps, receptor, population_index = np.array(rows).reshape(-1, 4).T
    return rate.copy(), jumps.copy(), receptor.astype(np.int64), population_index.astype(np.int64)
