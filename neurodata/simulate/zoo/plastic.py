"""Circuits that regulate themselves: plastic synapses, and a modulator of the whole population."""

from __future__ import annotations

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.simulate.circuit import Circuit, Connection
from neurodata.simulate.inputs import STDP, Latent, Modulator
from neurodata.simulate.rules import Bernoulli, Weights
from neurodata.simulate.zoo._parts import (
    DELAYS,
    EPSP,
    PAIRS,
    PROBABILITY,
    RATE,
    SIGMA,
    cells,
    levelled,
    random_connections,
    seed_of,
    split,
)


def stdp(
    n: int = 50,
    *,
    epsp: float = EPSP,
    rate: float = 0.005,
    snapshot: float = 10.0,
    p: float = 2 * PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A random network whose excitatory synapses learn: weights drift and spread while rates stay.

    For methods that follow connections in time, and a warning for those that assume one matrix: `weight_t` of the truth
    holds the weights every `snapshot` s, `weight` the first. Pair rule after Song, Miller and Abbott 2000
    (doi 10.1038/78829), depression 5 % larger than potentiation, with homeostatic scaling towards 17 Hz over 20 s.
    After two minutes weights correlate with their start by about 0.8. Mean rate 16-18 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    epsp : float
        Median PSP peak at the start, mV; synapses grow up to four times that.
    rate : float
        Potentiation per pair of spikes, as a share of the largest weight.
    snapshot : float
        s between the weights kept in the truth.
    p : float
        Connection probability between excitatory neurons, twice the zoo's default; elsewhere it is the default.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import run, zoo
    >>> rec = run(zoo.stdp(n=20, snapshot=0.5, rng=0), 1.0, rng=0)
    >>> rec["truth"]["snapshot"].values.tolist()
    [0.0, 0.5, 1.0]
    """
    n_e, n_i = split(n)
    rule = STDP(
        a_plus=rate, a_minus=1.05 * rate, w_max=4.0 * epsp, tau_homeostasis=20.0, target_rate=RATE, snapshot=snapshot
    )
    plastic = Connection("E", "E", Bernoulli(p), Weights(epsp, 0.4), DELAYS, plastic=True)
    circuit = Circuit(
        populations=(cells("E", n_e), cells("I", n_i, sign=-1)),
        connections=(plastic, *random_connections(epsp, PROBABILITY, SIGMA, PAIRS[1:])),
        plasticity=rule,
        seed=seed_of(rng),
        name="stdp",
    )
    return levelled(circuit)


def modulated(
    n: int = 50,
    *,
    epsp: float = EPSP,
    shared: float = 1.5,
    tau: float = 5.0,
    drive: float = 3.0,
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A weak random network under a slow shared drive, which an astrocyte-like modulator of all neurons counteracts.

    For methods that look for slow global signals: `latent` of the truth pushes, `modulator` of the truth follows the
    rate and pulls back. Mean rate 13-20 Hz over a minute, as the drive goes.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    epsp : float
        Median PSP peak, mV.
    shared : float
        Standard deviation of the shared drive, mV.
    tau : float
        Its correlation time, s.
    drive : float
        mV taken from all neurons for each multiple of 17 Hz that the rate is above 17 Hz; 0 switches the modulator off.
    p : float
        Connection probability.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.modulated(n=50, rng=0).modulator.target_rate
    17.0
    """
    n_e, n_i = split(n)
    rng = generator(rng)
    return Circuit(
        populations=(cells("E", n_e), cells("I", n_i, sign=-1)),
        connections=random_connections(epsp, p),
        latents=(Latent(tau, np.full(n, float(shared))),),
        modulator=Modulator(tau=0.5, target_rate=RATE, drive=drive),
        seed=seed_of(rng),
        name="modulated",
    )
