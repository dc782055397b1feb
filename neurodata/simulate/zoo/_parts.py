"""What the circuits of the zoo share: default sizes and strengths, random connections, seeds."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit, Connection, Population
from neurodata.simulate.inputs import OU
from neurodata.simulate.rules import Bernoulli, Delays, Weights

# Defaults of the zoo: they give 16-18 Hz at n = 30-100 and pair correlations like those of cortex.
EPSP = 0.24  # median PSP peak of excitatory synapses, mV
INHIBITION = 4.0  # inhibitory over excitatory PSP
SIGMA = 0.5  # spread of log weights
PROBABILITY = 0.1
EXCITATORY = 0.8  # share of neurons
NOISE = 3.5  # mV
BIAS = 17.5  # mV
RATE = 17.0  # Hz, what bias and noise alone give
PAIRS = (("E", "E"), ("E", "I"), ("I", "E"), ("I", "I"))  # pre, post
DELAYS = Delays(0.001, 0.004)


def seed_of(rng: RNGLike) -> int:
    """A seed for `Circuit.seed`."""
    return int(generator(rng).integers(2**31))


def split(n: int, least: int = 2) -> tuple[int, int]:
    """Excitatory and inhibitory numbers of `n` neurons, 80 to 20."""
    if not isinstance(n, (int, np.integer)) or n < least:
        raise OptionError(f"{least} neurons or more", f"n = {n!r}", "pass n=")
    excitatory = min(n - 1, max(1, round(EXCITATORY * n)))
    return int(excitatory), int(n - excitatory)


def strength(epsp: float) -> float:
    """How much stronger than the default; scales whatever a circuit has besides its random connections."""
    if not (np.isfinite(epsp) and epsp >= 0):
        raise OptionError("a median EPSP of 0 mV or more", f"{epsp!r}", "pass epsp=")
    return epsp / EPSP


def even(n: int, n_parts: int) -> np.ndarray:
    """Part of each of `n` things when they are dealt into `n_parts` parts of sizes that differ by one at most."""
    return np.sort(np.arange(n) % n_parts)


def cells(name: str, n: int, bias: float = BIAS, sign: int = 1, **fields: object) -> Population:
    """Neurons with the default noise."""
    return Population(name, n, sign=sign, bias=bias, noise=OU(NOISE), **fields)  # type: ignore[arg-type]


def random_connections(
    epsp: float, p: float, sigma: float = SIGMA, pairs: tuple[tuple[str, str], ...] = PAIRS
) -> tuple[Connection, ...]:
    """Random connections between E and I (pre, then post), weak and with the default delays."""
    weights = {"E": Weights(epsp, sigma), "I": Weights(INHIBITION * epsp, sigma)}
    return tuple(Connection(pre, post, Bernoulli(p), weights[pre], DELAYS) for pre, post in pairs)


def shared_inhibition(names: list[str], n_e: int, n_i: int, epsp: float, p: float = 0.4) -> list[Connection]:
    """Dense, unspecific inhibition whose total does not change with the number of neurons: 0 = sum over the network."""
    to_i, to_e, own = 48.0 / (p * n_e), 20.0 / (p * n_i), 4.0 / (PROBABILITY * n_i)
    return [
        *(Connection(name, "I", Bernoulli(p), Weights(to_i * epsp, SIGMA), DELAYS) for name in names),
        *(Connection("I", name, Bernoulli(p), Weights(to_e * epsp, SIGMA), DELAYS) for name in names),
        Connection("I", "I", Bernoulli(PROBABILITY), Weights(own * epsp, SIGMA), DELAYS),
    ]


def recurrent_input(circuit: Circuit, rate: float = RATE, coupling: np.ndarray | None = None) -> np.ndarray:
    """Mean synaptic input of each neuron (mV) if all neurons fired at `rate` (Hz): sum of weight x tau_s x rate.

    `coupling` (edge,) scales the synapses. Current synapses only.
    """
    network = circuit.network()
    tau_e = np.array([p.synapses.tau_e for p in circuit.populations])[network.population[network.post]]
    tau_i = np.array([p.synapses.tau_i for p in circuit.populations])[network.population[network.post]]
    area = network.jump * np.where(network.inhibitory == 1, tau_i, tau_e)
    if coupling is not None:
        area = area * coupling
    return rate * np.bincount(network.post, area, minlength=network.n_neurons)


def levelled(circuit: Circuit, rate: float = RATE) -> Circuit:
    """The circuit with each bias lowered by the mean synaptic input at `rate`.

    Rates then stay near what the bias alone gives, however strong the synapses are, and no neuron is a favourite; what
    is left of the synapses is their fluctuation, which is what makes structure visible.
    """
    extra, begin, populations = recurrent_input(circuit, rate), 0, []
    for population in circuit.populations:
        end = begin + population.n
        populations.append(dataclasses.replace(population, bias=population.bias - extra[begin:end]))
        begin = end
    return circuit.replace(populations=tuple(populations))
