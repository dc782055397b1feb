"""The embedded engine: arrays for `kernels.spiking_nb`, advanced in stretches, with a spike buffer that grows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from neurodata._core.progress import Progress
from neurodata.errors import OptionError
from neurodata.kernels import spiking_nb as nb
from neurodata.simulate.activity import CURRENT_STEP, STRETCH, Activity, check_alive, starting_voltage
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network
from neurodata.simulate.neurons import AdEx, ConductanceSynapses, CurrentSynapses, jump_for_psp, psp_peak

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit, Population


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
    n, dt = network.n_neurons, circuit.dt
    parameters, kind = _parameters(circuit)
    state, edges, slow = _arrays(circuit, network, inputs, rng)
    plastic = _plastic(circuit, network)
    background = _background(circuit)
    every = max(1, round(CURRENT_STEP / dt))
    currents = np.zeros((2, n_steps // every, len(circuit.populations)))

    stretch = max(1, round(STRETCH / dt))
    stops = set(range(stretch, n_steps, stretch)) | {n_steps}
    snapshots: list[tuple[float, np.ndarray]] = []
    if circuit.plasticity is not None:
        snapshot_every = max(1, round(circuit.plasticity.snapshot / dt))
        snapshot_steps = set(range(0, n_steps, snapshot_every)) | {n_steps}
        stops |= snapshot_steps - {0}
        snapshots.append((0.0, _psp(circuit, network, edges.jump)))

    spike_step = np.empty(max(4096, 2 * n), dtype=np.int64)
    spike_source = np.empty(spike_step.size, dtype=np.int64)
    n_spikes, step = 0, 0
    progress.start(n_steps, "simulating")
    for stop in sorted(stops):
        before, began = n_spikes, step
        while step < stop:
            step, n_spikes = nb.advance(
                step, stop, dt, state, edges, slow, plastic, kind, parameters, network.bounds, background, every,
                currents[0], currents[1], spike_step, spike_source, n_spikes, rng,
            )  # fmt: skip
            if step < stop:
                spike_step = np.concatenate((spike_step, np.empty_like(spike_step)))
                spike_source = np.concatenate((spike_source, np.empty_like(spike_source)))
        check_alive(n_spikes - before, began * dt, stop * dt, state.v, max_rate)
        if circuit.plasticity is not None and stop in snapshot_steps:
            snapshots.append((stop * dt, _psp(circuit, network, edges.jump)))
        progress.update(stop - began)
    progress.close()
    return Activity(
        spike_time=(spike_step[:n_spikes] + 1) * dt,
        spike_neuron=spike_source[:n_spikes].copy(),
        current_e=currents[0],
        current_i=currents[1],
        modulator=state.modulator if circuit.modulator is not None else None,
        snapshot=np.array([time for time, _ in snapshots]) if snapshots else None,
        weight_t=np.array([weight for _, weight in snapshots]) if snapshots else None,
    )


def _parameters(circuit: Circuit) -> tuple[np.ndarray, np.ndarray]:
    """Table of parameters (population, column) and kind of each population."""
    rows = [_row(population, circuit.dt) for population in circuit.populations]
    kinds = [2 * isinstance(p.neuron, AdEx) + isinstance(p.synapses, ConductanceSynapses) for p in circuit.populations]
    return np.array(rows), np.array(kinds, dtype=np.int64)


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
    row[nb.REFRACTORY] = round(neuron.refractory / dt)
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


def _arrays(
    circuit: Circuit, network: Network, inputs: Inputs, rng: np.random.Generator
) -> tuple[nb.State, nb.Edges, nb.Slow]:
    n = network.n_neurons
    n_slots = int(network.delay.max(initial=1)) + 1
    n_frames = inputs.state.size
    state = nb.State(
        v=starting_voltage(circuit, rng),
        g_e=np.zeros(n),
        g_i=np.zeros(n),
        adapt=np.zeros(n),
        noise=np.zeros(n),
        until=np.full(n, -1, dtype=np.int64),
        ring=np.zeros(n_slots * 2 * n),
        free=np.zeros(n),
        gain=np.ones(n),
        modulator=np.ones(n_frames if circuit.modulator is not None else 1),
        frame_spikes=np.zeros(1),
    )
    for population, begin, end in zip(circuit.populations, network.bounds[:-1], network.bounds[1:], strict=True):
        noise = population.noise
        if noise is not None and noise.tau > 0:
            sd = noise.sd * math.sqrt((noise.tau + population.neuron.tau_m) / noise.tau)
            state.noise[begin:end] = sd * rng.standard_normal(end - begin)
    offset = (network.delay.astype(np.int64) * 2 + network.inhibitory) * n + network.post
    if state.ring.size < 2**31:
        offset = offset.astype(np.int32)
    edges = nb.Edges(network.first, offset, network.post, network.jump.copy())
    modulator = circuit.modulator
    slow = nb.Slow(
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
    return state, edges, slow


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
