"""What every engine gives back, how each starts, and when each gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurodata.errors import OptionError, SimulationError
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit

CURRENT_STEP = 0.001  # s between samples of the summed synaptic currents
STRETCH = 0.1  # s over which the mean rate is watched


class Activity(NamedTuple):
    """What an engine gives back.

    Attributes
    ----------
    spike_time : array (spike,)
        s, in order of time.
    spike_neuron : array (spike,), int64
    current_e, current_i : array (sample, population) or None
        Synaptic input summed over each population, mV, every `CURRENT_STEP`.
    modulator : array (frame,) or None
    snapshot : array (snapshot,) or None
        s; when `weight_t` was taken.
    weight_t : array (snapshot, edge) or None
        PSP peaks of the edges, mV.
    engine, version : str
    """

    spike_time: np.ndarray
    spike_neuron: np.ndarray
    current_e: np.ndarray | None = None
    current_i: np.ndarray | None = None
    modulator: np.ndarray | None = None
    snapshot: np.ndarray | None = None
    weight_t: np.ndarray | None = None
    engine: str = "numba"
    version: str = ""


def in_order(step: np.ndarray, neuron: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Spike times (s) and neurons by time, then neuron; a spike of step k is at its end, (k + 1) dt."""
    order = np.lexsort((neuron, step))
    return (step[order] + 1) * dt, neuron[order].astype(np.int64)


def starting_voltage(circuit: Circuit, rng: np.random.Generator) -> np.ndarray:
    """Voltages (neuron; mV) spread between reset and threshold, so that the start is not one volley.

    The first numbers an engine takes from `rng`, so all engines start alike.
    """
    low = np.concatenate([np.full(p.n, p.neuron.v_reset) for p in circuit.populations])
    high = np.concatenate([np.full(p.n, p.neuron.v_threshold) for p in circuit.populations])
    return low + (high - low) * rng.random(low.size)


def last_stretch(step: np.ndarray, n_steps: int, dt: float) -> tuple[int, float, float]:
    """Number of spikes, begin and end (s) of the last `STRETCH` of a run, or of all of a shorter one."""
    begin = max(0, n_steps - max(1, round(STRETCH / dt)))
    return int((step >= begin).sum()), begin * dt, n_steps * dt


def check_alive(n_spikes: int, begin: float, end: float, v: np.ndarray, max_rate: float) -> None:
    """Raise for too many spikes between `begin` and `end` (s), or a voltage in `v` (neuron) that is not finite.

    Raises
    ------
    SimulationError
    """
    rate = n_spikes / (v.size * (end - begin))
    if rate > max_rate:
        raise SimulationError(
            f"a mean rate of at most {max_rate:g} Hz",
            f"{rate:.0f} Hz between {begin:.2f} and {end:.2f} s: the network exploded",
            "weaken excitation or strengthen inhibition, or pass a larger max_rate=",
        )
    lost = int((~np.isfinite(v)).sum())
    if lost:
        raise SimulationError(
            "finite membrane potentials",
            f"{lost} neurons with NaN or infinity by {end:.2f} s",
            "lower dt, or check weights and inputs",
        )


def refuse(engine: str, features: dict[str, bool], able: str) -> None:
    """Raise for the features of a circuit that an engine lacks; `able` names the engines that have them.

    Raises
    ------
    OptionError
    """
    present = [name for name, there in features.items() if there]
    if present:
        raise OptionError(f"a circuit that engine={engine!r} can run", ", ".join(present), f"pass {able}")


def drive_of_frame(network: Network, inputs: Inputs, frame: int) -> np.ndarray:
    """Deterministic input of every neuron in one frame (mV), before gain."""
    return network.bias + inputs.state_drive[inputs.state[frame]] + inputs.signal[frame] @ inputs.loading
