"""Adapter: the same circuit in NEST (Gewaltig and Diesmann 2007, doi 10.4249/scholarpedia.1430), on one thread.

`iaf_psc_exp` is propagated exactly, as in the embedded engine; `iaf_cond_exp`, `aeif_psc_exp` and `aeif_cond_exp` by
NEST's adaptive solver. NEST's kernel is global: it is reset before a run, and nothing else can live in it meanwhile.
Spikes, delays and refractory times count alike in both engines.
"""

from __future__ import annotations

import functools
import math
import operator
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurodata._core.optional import require
from neurodata._core.progress import Progress
from neurodata.errors import OptionError
from neurodata.simulate.activity import (
    STRETCH,
    Activity,
    check_alive,
    drive_of_frame,
    in_order,
    last_stretch,
    refuse,
    starting_voltage,
)
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network
from neurodata.simulate.neurons import AdEx, ConductanceSynapses, jump_for_psp

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit, Population

MS = 1e3  # NEST counts in ms
LATE = 1  # steps from a change of a current generator to the first step that feels it, with a delay of one step


class Ready(NamedTuple):
    """What was built in NEST's kernel: the neurons and the recorder of their spikes."""

    neurons: Any
    recorder: Any


def simulate_nest(
    circuit: Circuit,
    network: Network,
    inputs: Inputs,
    n_steps: int,
    rng: np.random.Generator,
    max_rate: float,
    progress: Progress,
) -> Activity:
    """Run a circuit in NEST. Whatever was in NEST's kernel is lost.

    Raises
    ------
    MissingDependencyError
        NEST is not installed.
    OptionError
        States that switch gain or coupling, plasticity, a modulator or coloured noise, which this adapter does not
        have, or a time step that NEST cannot hold.
    SimulationError
        When the mean rate of any 100 ms is above `max_rate`, or a voltage is no longer finite.
    """
    _refuse(circuit, inputs)
    nest = import_nest()
    verbosity = nest.verbosity
    nest.verbosity = nest.VerbosityLevel.ERROR
    try:
        ready = build_nest(nest, circuit, network, inputs, rng)
        progress.start(n_steps, "simulating")
        _advance(nest, ready, circuit.dt, n_steps, max_rate, progress)
        progress.close()
        step, neuron = spikes_of(ready)
        check_alive(*last_stretch(step, n_steps, circuit.dt), np.asarray(ready.neurons.V_m), max_rate)
    finally:
        nest.ResetKernel()
        nest.verbosity = verbosity
    time, neuron = in_order(step, neuron, circuit.dt)
    return Activity(time, neuron, engine="nest", version=nest.__version__)


def _refuse(circuit: Circuit, inputs: Inputs) -> None:
    refuse(
        "nest",
        {
            "states that switch coupling": bool((inputs.coupling != 1.0).any()),
            "plasticity": circuit.plasticity is not None,
            "a modulator": circuit.modulator is not None,
        },
        "engine='numba'",
    )
    noises = [p.noise for p in circuit.populations if p.noise is not None and p.noise.sd > 0]
    refuse(
        "nest",
        {
            "states that switch gain": bool((inputs.state_gain != 1.0).any()),
            "coloured noise": any(noise.tau > 0 for noise in noises),
        },
        "engine='numba' or 'brian2'",
    )
    microseconds = circuit.dt * 1e6
    if abs(microseconds - round(microseconds)) > 1e-6 or microseconds < 0.5:
        raise OptionError("a dt of whole microseconds for NEST", f"{circuit.dt:g} s", "round dt=")
    moves = inputs.signal.shape[1] > 0 or len(inputs.state_drive) > 1
    frame_steps = round(circuit.frame / circuit.dt)
    if moves and frame_steps <= LATE:
        raise OptionError(
            "frames of two steps or more for NEST", f"{frame_steps}", "pass a longer frame= to the circuit"
        )


def import_nest() -> Any:
    """NEST, without its banner and messages."""
    before = os.environ.get("PYNEST_QUIET")
    os.environ["PYNEST_QUIET"] = "1"
    try:
        nest = require("nest", "nest", "to simulate with engine='nest'")
    finally:
        if before is None:
            del os.environ["PYNEST_QUIET"]
    return nest


def build_nest(nest: Any, circuit: Circuit, network: Network, inputs: Inputs, rng: np.random.Generator) -> Ready:
    """Fill NEST's kernel with the neurons, edges and inputs of a circuit."""
    nest.ResetKernel()
    dt = round(circuit.dt * MS, 6)
    nest.resolution = dt
    nest.local_num_threads = 1
    nest.rng_seed = int(rng.spawn(1)[0].integers(1, 2**31))
    voltage = starting_voltage(circuit, rng)
    recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
    start = drive_of_frame(network, inputs, 0)
    groups = [nest.Create(model, int(p.n), params=row) for p in circuit.populations for model, row in [_model(p, dt)]]
    for population, group, begin, end in zip(
        circuit.populations, groups, network.bounds[:-1], network.bounds[1:], strict=True
    ):
        group.V_m = voltage[begin:end]
        group.I_e = start[begin:end] * population.neuron.leak
        _noise(nest, population, group, dt)
    neurons = functools.reduce(operator.add, groups)  # ids without a gap: nothing was created in between
    nest.Connect(neurons, recorder)
    ids = np.asarray(neurons.tolist())
    if network.post.size:
        # Inhibition is a negative weight in both kinds of model.
        weight = np.abs(network.jump) * np.where(network.inhibitory == 1, -1.0, 1.0)
        leak = np.array([p.neuron.leak for p in circuit.populations])
        current = np.array([not isinstance(p.synapses, ConductanceSynapses) for p in circuit.populations])
        target = network.population[network.post]
        weight = np.where(current[target], weight * leak[target], weight)  # mV of input to pA; nS stay
        nest.Connect(
            ids[network.source], ids[network.post], "one_to_one", {"weight": weight, "delay": network.delay * dt}
        )
    _slow_drive(nest, circuit, network, inputs, ids, dt)
    return Ready(neurons, recorder)


def _advance(nest: Any, ready: Ready, dt: float, n_steps: int, max_rate: float, progress: Progress) -> None:
    """Run in stretches, each looked at before the next."""
    stretch = max(1, round(STRETCH / dt))
    seen, step = 0, 0
    nest.Prepare()
    try:
        while step < n_steps:
            stop = min(step + stretch, n_steps)
            nest.Run((stop - step) * round(dt * MS, 6))
            total = int(ready.recorder.n_events)
            if stop - step == stretch:
                check_alive(total - seen, step * dt, stop * dt, np.asarray(ready.neurons.V_m), max_rate)
            progress.update(stop - step)
            seen, step = total, stop
    finally:
        nest.Cleanup()


def spikes_of(ready: Ready) -> tuple[np.ndarray, np.ndarray]:
    """Step and neuron of every spike so far."""
    events = ready.recorder.events
    first = ready.neurons[0].global_id
    # Recorded is the end of the step, as a count of steps.
    return np.asarray(events["times"], dtype=np.int64) - 1, np.asarray(events["senders"], dtype=np.int64) - first


def _model(population: Population, dt: float) -> tuple[str, dict[str, float]]:
    neuron, synapses = population.neuron, population.synapses
    parameters = {
        "C_m": neuron.capacitance,
        "E_L": neuron.v_rest,
        "V_th": neuron.v_threshold,
        "V_reset": neuron.v_reset,
        "t_ref": round(neuron.refractory * MS / dt) * dt,
        "tau_syn_ex": synapses.tau_e * MS,
        "tau_syn_in": synapses.tau_i * MS,
    }
    conductance = isinstance(synapses, ConductanceSynapses)
    if conductance:
        parameters |= {"E_ex": synapses.e_e, "E_in": synapses.e_i}  # type: ignore[union-attr]
    if isinstance(neuron, AdEx):
        parameters |= {
            "g_L": neuron.leak,
            "Delta_T": neuron.delta,
            "V_peak": neuron.v_spike,
            "a": neuron.a,
            "b": neuron.b,
            "tau_w": neuron.tau_w * MS,
        }
        return "aeif_cond_exp" if conductance else "aeif_psc_exp", parameters
    if conductance:
        return "iaf_cond_exp", parameters | {"g_L": neuron.leak}
    return "iaf_psc_exp", parameters | {"tau_m": neuron.tau_m * MS}


def _noise(nest: Any, population: Population, group: Any, dt: float) -> None:
    """White noise as a current redrawn in every step, and Poisson background; every neuron gets its own of each."""
    neuron, noise = population.neuron, population.noise
    if noise is not None and noise.sd > 0:
        decay = math.exp(-dt / (neuron.tau_m * MS))
        # A current of sd s held over a step moves the membrane by (1 - decay) s; the free membrane then has noise.sd.
        sd = noise.sd * math.sqrt(1.0 - decay**2) / (1.0 - decay)
        source = nest.Create("noise_generator", params={"std": sd * neuron.leak, "dt": dt})
        nest.Connect(source, group, syn_spec={"delay": dt})
    for background in population.background:
        excites = background.psp >= 0
        jump = abs(float(jump_for_psp(np.array(background.psp), excites, neuron, population.synapses)))
        scale = 1.0 if isinstance(population.synapses, ConductanceSynapses) else neuron.leak
        source = nest.Create("poisson_generator", params={"rate": background.rate * background.n})
        weight = jump * scale if excites else -jump * scale
        nest.Connect(source, group, syn_spec={"weight": weight, "delay": dt})


def _slow_drive(nest: Any, circuit: Circuit, network: Network, inputs: Inputs, ids: np.ndarray, dt: float) -> None:
    """One current generator per signal and per state, weighted by loadings; what the first frame has is in I_e."""
    signals = [inputs.signal[:, k] for k in range(inputs.signal.shape[1])]
    loadings = list(inputs.loading)
    if len(inputs.state_drive) > 1:
        signals += [(inputs.state == z).astype(float) for z in range(len(inputs.state_drive))]
        loadings += list(inputs.state_drive)
    leak = np.array([p.neuron.leak for p in circuit.populations])[network.population]
    frame_steps = round(circuit.frame / circuit.dt)
    for signal, loading in zip(signals, loadings, strict=True):
        changes = np.flatnonzero(np.diff(signal)) + 1
        reached = np.flatnonzero(loading)
        if not (changes.size and reached.size):
            continue
        source = nest.Create(
            "step_current_generator",
            params={
                "amplitude_times": (changes * frame_steps - LATE) * dt,
                "amplitude_values": signal[changes] - signal[0],
            },
        )
        weight = (loading * leak)[reached]
        nest.Connect(
            np.full(reached.size, source.global_id),
            ids[reached],
            "one_to_one",
            {"weight": weight, "delay": np.full(reached.size, dt)},
        )
