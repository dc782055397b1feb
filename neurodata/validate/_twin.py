"""From a target and a few knobs to a circuit, and from a circuit to the trains of its recorded neurons."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurodata.simulate.circuit import Circuit, Connection, Population
from neurodata.simulate.inputs import OU, Latent, PoissonInput
from neurodata.simulate.neurons import LIF, CurrentSynapses, jump_for_psp
from neurodata.simulate.rules import Bernoulli, Delays, Weights
from neurodata.validate._pieces import Trains
from neurodata.validate._target import SCALES

# What the recording cannot tell, as in the zoo: see `nd.simulate.zoo`.
PROBABILITY, SIGMA, INHIBITION = 0.1, 0.5, 4.0
DELAYS = (0.001, 0.004)
EXCITATORY = 0.8
# PSP of background spikes, half of them inhibitory, mV.
BACKGROUND_PSP = 1.0
DT = 5e-4
# Rates are matched down to this, Hz.
SLOWEST = 0.005


@dataclass(frozen=True)
class Knobs:
    """What all neurons of a twin have in common; `Target` says what differs between them.

    Attributes
    ----------
    reset : float
        mV; the nearer to the threshold, the more spikes come in bursts.
    noise : float
        mV; fast fluctuation of the free membrane by background spikes.
    private : float
        Factor on the private slow fluctuation.
    private_tau, slow_tau : float
        s.
    fast, middle, slow : float
        Factors on the loadings of the shared drives of each time scale.
    fast_common, middle_common, slow_common : float
        Added to the loading of every unit on the shared drive that most have in common, log rate.
    """

    reset: float = -57.0
    noise: float = 4.0
    private: float = 1.0
    private_tau: float = 0.3
    slow_tau: float = 2.0
    fast: float = 1.5
    middle: float = 1.2
    slow: float = 1.2
    fast_common: float = 0.0
    middle_common: float = 0.0
    slow_common: float = 0.0

    def replace(self, **fields: float) -> Knobs:
        """A copy with some knobs turned."""
        return dataclasses.replace(self, **fields)


class Neurons(NamedTuple):
    """The neurons of a twin in the order of its populations: a class of private fluctuation after the other, E then I.

    Attributes
    ----------
    rate : array (neuron,)
        Hz, wanted.
    sign : array (population,)
    level : array (population,)
        Standard deviation of the private slow log rate.
    size : array (population,)
    recorded : array (unit,)
        Neuron behind each unit.
    shared : dict of array (neuron, factor)
        Loadings of the log rate by time scale.
    """

    rate: np.ndarray
    sign: np.ndarray
    level: np.ndarray
    size: np.ndarray
    recorded: np.ndarray
    shared: dict[str, np.ndarray]


def lay_out(
    rate: np.ndarray, private: np.ndarray, shared: dict[str, np.ndarray], n_hidden: int, rng: np.random.Generator
) -> Neurons:
    """Neurons for the units of a recording and `n_hidden` more like them.

    A fifth is inhibitory, drawn among the units with chances that grow with their rate, since fast-spiking cells are.
    Private fluctuation comes in up to three classes.
    """
    n = rate.size
    source = np.concatenate((np.arange(n), rng.integers(n, size=n_hidden)))
    chance = np.sqrt(rate[source] + 0.1)
    n_inhibitory = source.size - min(source.size - 1, max(1, round(EXCITATORY * source.size)))
    sign = np.ones(source.size, dtype=int)
    sign[rng.choice(source.size, n_inhibitory, replace=False, p=chance / chance.sum())] = -1
    classes = min(3, n)
    group = np.empty(n, dtype=int)
    group[np.argsort(private, kind="stable")] = np.arange(n) * classes // n
    level = np.array([np.sqrt((private[group == k] ** 2).mean()) for k in range(classes)])
    key = (sign < 0) * classes + group[source]
    order = np.argsort(key, kind="stable")
    place = np.empty(order.size, dtype=int)
    place[order] = np.arange(order.size)
    kinds, size = np.unique(key, return_counts=True)
    return Neurons(
        rate[source][order],
        np.where(kinds >= classes, -1, 1),
        level[kinds % classes],
        size,
        place[:n],
        {scale: loading[source][order] for scale, loading in shared.items()},
    )


class Curve(NamedTuple):
    """Log rate of unconnected neurons over bias (mV): a polynomial with tangents at its ends; and their slow noise."""

    coefficient: np.ndarray
    low: float
    high: float
    noise: OU | None

    def log_rate(self, bias: np.ndarray) -> np.ndarray:
        """Natural log of the rate in Hz."""
        inner = np.clip(bias, self.low, self.high)
        return np.polyval(self.coefficient, inner) + self.slope(bias) * (bias - inner)

    def slope(self, bias: np.ndarray) -> np.ndarray:
        """Change of log rate per mV."""
        inner = np.clip(bias, self.low, self.high)
        return np.maximum(np.polyval(np.polyder(self.coefficient), inner), 0.02)

    def bias(self, log_rate: np.ndarray) -> np.ndarray:
        """The bias that gives a rate."""
        grid = np.linspace(self.low - 30.0, self.high + 60.0, 2000)
        return np.interp(log_rate, np.maximum.accumulate(self.log_rate(grid)), grid)


def background(sd: float, neuron: LIF | None = None) -> tuple[PoissonInput, ...]:
    """Excitatory and inhibitory background spikes that make the free membrane fluctuate by `sd` mV around the bias.

    Campbell's theorem for an exponential synapse on a leaky membrane:
    var = rate jump^2 tau_s^2 / (2 (tau_m + tau_s)).
    """
    neuron = neuron or LIF()
    synapses = CurrentSynapses()
    jump = float(jump_for_psp(np.array(BACKGROUND_PSP), True, neuron, synapses))
    rate = sd**2 * 2.0 * (neuron.tau_m + synapses.tau_e) / (jump * synapses.tau_e) ** 2
    return tuple(PoissonInput(rate / 200.0, sign * BACKGROUND_PSP, 100) for sign in (1.0, -1.0))


# Slope of log rate over bias that turns private log rate into mV, 1/mV; a factor of the knobs corrects it.
TYPICAL_SLOPE = 0.4


def f_i_curve(knobs: Knobs, level: float, rng: np.random.Generator, seconds: float = 30.0, n: int = 48) -> Curve:
    """Measure how log rate grows with bias, without connections and shared drives."""
    bias = np.linspace(3.0, 32.0, n)
    sd = knobs.private * level / TYPICAL_SLOPE
    noise = OU(sd, knobs.private_tau) if sd > 0 else None
    population = Population(
        "pilot", n, neuron=LIF(v_reset=knobs.reset), bias=bias, background=background(knobs.noise), noise=noise
    )
    trains = simulate(Circuit((population,), dt=DT), np.arange(n), seconds, rng)
    count = (trains.last - trains.first).astype(float)
    used = count >= 5
    weight = np.sqrt(count[used] / (1.0 + 0.01 * count[used]))
    coefficient = np.polyfit(bias[used], np.log(count[used] / seconds), 5, w=weight)
    return Curve(coefficient, float(bias[used].min()), float(bias[used].max()), noise)


def build(
    neurons: Neurons,
    knobs: Knobs,
    curves: dict[float, Curve],
    offset: np.ndarray,
    *,
    epsp: float,
    seed: int,
    name: str = "twin",
) -> Circuit:
    """The circuit.

    Parameters
    ----------
    neurons : Neurons
    knobs : Knobs
    curves : dict
        Rate over bias at these knobs, by level of private fluctuation.
    offset : array (neuron,)
        Correction of the bias, mV, found by simulation.
    epsp : float
        Median EPSP, mV.
    seed : int
        Of the graph.
    """
    bias, slope = biases(neurons, knobs, curves)
    tau = {**SCALES, "slow": knobs.slow_tau}
    # The membrane follows fast drives in part only.
    log_loading = {
        scale: turned * np.sqrt(1.0 + LIF().tau_m / tau[scale]) for scale, turned in _turned(neurons, knobs).items()
    }
    bounds = np.concatenate(([0], np.cumsum(neurons.size)))
    populations = []
    bias += offset - _recurrent(neurons, epsp)
    for p, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        populations.append(
            Population(
                f"{'E' if neurons.sign[p] > 0 else 'I'}{p}", int(end - begin), sign=int(neurons.sign[p]),
                neuron=LIF(v_reset=knobs.reset), bias=bias[begin:end], background=background(knobs.noise),
                noise=curves[float(neurons.level[p])].noise,
            )
        )  # fmt: skip
    weights = {1: Weights(epsp, SIGMA), -1: Weights(INHIBITION * epsp, SIGMA)}
    connections = [
        Connection(pre.name, post.name, Bernoulli(PROBABILITY), weights[pre.sign], Delays(*DELAYS))
        for pre in populations
        for post in populations
    ]
    latents = [Latent(tau[scale], column / slope) for scale, loading in log_loading.items() for column in loading.T]
    return Circuit(tuple(populations), tuple(connections), latents=tuple(latents), dt=DT, seed=seed, name=name)


def biases(neurons: Neurons, knobs: Knobs, curves: dict[float, Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Biases (neuron,) in mV that give the rates without connections, and the growth of log rates per mV there."""
    log_rate = np.log(np.maximum(neurons.rate, SLOWEST))
    # Rates are convex in the drive: fluctuation by a variance of v raises them by exp(v / 2).
    for turned in _turned(neurons, knobs).values():
        log_rate -= (turned**2).sum(axis=1) / 2.0
    bias, slope = np.empty(log_rate.size), np.empty(log_rate.size)
    bounds = np.concatenate(([0], np.cumsum(neurons.size)))
    for level, begin, end in zip(neurons.level, bounds[:-1], bounds[1:], strict=True):
        curve = curves[float(level)]
        bias[begin:end] = curve.bias(log_rate[begin:end])
        slope[begin:end] = curve.slope(bias[begin:end])
    return bias, slope


def _turned(neurons: Neurons, knobs: Knobs) -> dict[str, np.ndarray]:
    """Loadings of the log rates (neuron, factor) by time scale, at these knobs."""
    out = {}
    for scale, loading in neurons.shared.items():
        out[scale] = getattr(knobs, scale) * loading
        out[scale][:, 0] += getattr(knobs, f"{scale}_common")
    return out


def _recurrent(neurons: Neurons, epsp: float) -> float:
    """Mean input of a neuron from the circuit, mV."""
    tau = CurrentSynapses().tau_e
    jump = float(jump_for_psp(np.array(epsp * np.exp(SIGMA**2 / 2)), True, LIF(), CurrentSynapses()))
    sign = np.repeat(neurons.sign, neurons.size)
    return PROBABILITY * jump * tau * float((np.where(sign > 0, 1.0, -INHIBITION) * neurons.rate).sum())


def simulate(circuit: Circuit, recorded: np.ndarray, seconds: float, rng: np.random.Generator) -> Trains:
    """Spike trains of the recorded neurons; the same spikes as of `nd.simulate.run`, without its truth."""
    from neurodata._core.progress import Silent
    from neurodata.simulate.engine_numba import simulate_numba
    from neurodata.simulate.run import draw_inputs

    slow_rng, fast_rng = rng.spawn(2)
    n_frames = int(np.ceil(seconds / circuit.frame - 1e-9))
    network = circuit.network()
    inputs = draw_inputs(circuit, network, n_frames, slow_rng)
    n_steps = n_frames * round(circuit.frame / circuit.dt)
    activity = simulate_numba(circuit, network, inputs, n_steps, fast_rng, 250.0, Silent())
    row = np.full(circuit.n_neurons, -1)
    row[recorded] = np.arange(recorded.size)
    unit = row[activity.spike_neuron]
    seen = unit >= 0
    unit, time = unit[seen], activity.spike_time[seen]
    order = np.argsort(unit, kind="stable")
    count = np.bincount(unit, minlength=recorded.size)
    last = np.cumsum(count)
    return Trains(
        time[order], last - count, last, np.array([[0.0, n_frames * circuit.frame]]), np.arange(recorded.size)
    )
