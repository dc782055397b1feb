"""From a circuit to a recording with `/truth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import version
from neurodata._core.rng import RNGLike, generator
from neurodata.containers.recording import make_recording
from neurodata.containers.spikes import make_spikes
from neurodata.containers.trials import make_trials
from neurodata.errors import OptionError
from neurodata.simulate.inputs import Inputs, draw_latent, stimulus_frames
from neurodata.simulate.network import Network
from neurodata.simulate.truth import make_truth

if TYPE_CHECKING:
    from neurodata.simulate.activity import Activity
    from neurodata.simulate.circuit import Circuit

ENGINES = ("numba", "brian2", "nest")


def run(
    circuit: Circuit,
    duration: float,
    *,
    rng: RNGLike = None,
    engine: str = "numba",
    max_rate: float = 250.0,
    progress: bool | Progress = False,
) -> xr.DataTree:
    """Simulate a circuit.

    Parameters
    ----------
    circuit : Circuit
        Its `seed` fixes edges, weights and delays.
    duration : float
        s; rounded up to a whole number of `circuit.frame`.
    rng : int, Generator, SeedSequence or None
        All that differs between runs: starting voltages, noise, states and latents. The same `rng` gives the same
        spikes, bit for bit, whatever the process.
    engine : {"numba", "brian2", "nest"}
        The embedded engine, or the program of that name (extras ``brian2`` and ``nest``).
    max_rate : float
        Hz. When the mean rate of all neurons is above this in some 100 ms, the network has exploded.
    progress : bool or Progress

    Returns
    -------
    DataTree
        `spikes` (units are the neurons, from 0), `trials` when there are stimuli, and `truth`.

    Raises
    ------
    OptionError
        An unknown engine, a duration that is not positive, or a circuit that the engine cannot run.
    SimulationError
        The network exploded; with rate and time.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.simulate.run(nd.simulate.zoo.null(n=10, rng=0), 2.0, rng=1)
    >>> rec["truth"]["weight"].dims
    ('post', 'pre')
    """
    if engine not in ENGINES:
        raise OptionError(f"an engine of {', '.join(ENGINES)}", f"{engine!r}", "pass engine=")
    if not (np.isfinite(duration) and duration > 0):
        raise OptionError("a positive duration in s", f"{duration!r}", "pass duration=")
    n_frames = int(np.ceil(duration / circuit.frame - 1e-9))
    n_steps = n_frames * round(circuit.frame / circuit.dt)
    slow_rng, fast_rng = generator(rng).spawn(2)
    network = circuit.network()
    inputs = draw_inputs(circuit, network, n_frames, slow_rng)
    activity = _simulate(circuit, network, inputs, n_steps, fast_rng, engine, max_rate, as_progress(progress))
    return _recording(circuit, network, inputs, activity, n_frames * circuit.frame)


def _simulate(
    circuit: Circuit,
    network: Network,
    inputs: Inputs,
    n_steps: int,
    rng: np.random.Generator,
    engine: str,
    max_rate: float,
    progress: Progress,
) -> Activity:
    if engine == "brian2":
        from neurodata.simulate.engine_brian2 import simulate_brian2

        return simulate_brian2(circuit, network, inputs, n_steps, rng, max_rate, progress)
    if engine == "nest":
        from neurodata.simulate.engine_nest import simulate_nest

        return simulate_nest(circuit, network, inputs, n_steps, rng, max_rate, progress)
    from neurodata.simulate.engine_numba import simulate_numba

    activity = simulate_numba(circuit, network, inputs, n_steps, rng, max_rate, progress)
    return activity._replace(version=version())


def draw_inputs(circuit: Circuit, network: Network, n_frames: int, rng: np.random.Generator) -> Inputs:
    """States, latents and stimuli of one run; each has its own stream of random numbers."""
    n, frame = network.n_neurons, circuit.frame
    state_rng, latent_rng = rng.spawn(2)
    states = circuit.states
    n_states = 1 if states is None else states.n
    block = network.population if states is None or states.block is None else states.block
    n_blocks = int(block.max(initial=0)) + 1
    zeros, ones = np.zeros((n_states, n)), np.ones((n_states, n))
    coupling = np.ones((n_states, n_blocks, n_blocks))
    latent = np.zeros((n_frames, len(circuit.latents)))
    for k, (item, stream) in enumerate(zip(circuit.latents, latent_rng.spawn(len(circuit.latents)), strict=True)):
        latent[:, k] = draw_latent(item, n_frames, frame, stream)
    shown, events, first = [], [], 0
    for stimulus in circuit.stimuli:
        frames, trials = stimulus_frames(stimulus, n_frames, frame)
        trials[:, 2] += first
        first += frames.shape[1]
        shown.append(frames)
        events.append(trials)
    stimulus_signal = np.concatenate(shown, axis=1) if shown else np.zeros((n_frames, 0))
    loadings = [item.loading[None, :] for item in circuit.latents] + [item.tuning for item in circuit.stimuli]
    return Inputs(
        state=np.zeros(n_frames, dtype=np.int64) if states is None else states.draw(n_frames, frame, state_rng),
        latent=latent,
        stimulus=stimulus_signal,
        signal=np.ascontiguousarray(np.concatenate((latent, stimulus_signal), axis=1)),
        loading=np.ascontiguousarray(np.concatenate(loadings) if loadings else np.zeros((0, n))),
        state_drive=zeros if states is None or states.drive is None else np.ascontiguousarray(states.drive),
        state_gain=ones if states is None or states.gain is None else np.ascontiguousarray(states.gain),
        coupling=coupling if states is None or states.coupling is None else np.ascontiguousarray(states.coupling),
        block=np.ascontiguousarray(block, dtype=np.int64),
        trials=np.concatenate(events) if events else np.zeros((0, 3)),
    )


def _recording(circuit: Circuit, network: Network, inputs: Inputs, activity: Activity, duration: float) -> xr.DataTree:
    from neurodata.simulate.activity import CURRENT_STEP

    order = np.argsort(
        activity.spike_neuron, kind="stable"
    )  # times are in order already, so they stay so within a unit
    nodes = {
        "spikes": make_spikes(
            activity.spike_time[order],
            spike_count=np.bincount(activity.spike_neuron, minlength=network.n_neurons),
            unit=np.arange(network.n_neurons),
            time_unit="s",
            support=[[0.0, duration]],
        )
    }
    if circuit.stimuli:
        events = inputs.trials[np.argsort(inputs.trials[:, 0], kind="stable")]
        nodes["trials"] = make_trials(
            {"start": events[:, 0], "stop": events[:, 1], "condition": events[:, 2].astype(np.int64)}
        )
    nodes["truth"] = make_truth(circuit, network, inputs, activity, CURRENT_STEP)
    return make_recording(nodes, attrs={"clock": "simulation"})
