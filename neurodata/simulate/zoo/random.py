"""Random networks: weak and static, balanced, and none at all."""

from __future__ import annotations

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit, Connection, Population
from neurodata.simulate.inputs import OU, Latent
from neurodata.simulate.neurons import LIF, ConductanceSynapses, CurrentSynapses, Synapses
from neurodata.simulate.rules import Bernoulli, Delays, Weights

# Defaults of the zoo: they give 16-18 Hz at n = 50-100 and pair correlations like those of cortex.
EPSP = 0.24  # median PSP peak of excitatory synapses, mV
INHIBITION = 4.0  # inhibitory over excitatory PSP
SIGMA = 0.5  # spread of log weights
PROBABILITY = 0.1
EXCITATORY = 0.8  # share of neurons
NOISE = 3.5  # mV
BIAS = 18.0  # mV


def seed_of(rng: RNGLike) -> int:
    """A seed for `Circuit.seed`."""
    return int(generator(rng).integers(2**31))


def split(n: int) -> tuple[int, int]:
    """Excitatory and inhibitory numbers of `n` neurons, 80 to 20."""
    if not isinstance(n, (int, np.integer)) or n < 2:
        raise OptionError("2 neurons or more", f"n = {n!r}", "pass n=")
    excitatory = min(n - 1, max(1, round(EXCITATORY * n)))
    return excitatory, n - excitatory


def random_connections(epsp: float, p: float, sigma: float = SIGMA) -> tuple[Connection, ...]:
    """All four connections between E and I with the defaults."""
    strength = {"E": Weights(epsp, sigma), "I": Weights(INHIBITION * epsp, sigma)}
    return tuple(
        Connection(pre, post, Bernoulli(p), strength[pre], Delays(0.001, 0.004)) for pre in "EI" for post in "EI"
    )


def static(
    n: int = 50, *, epsp: float = EPSP, p: float = PROBABILITY, bias: float = BIAS, rng: RNGLike = None
) -> Circuit:
    """A weak random network without any change in time: the plain case of finding connections.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    epsp : float
        Median PSP peak, mV; inhibitory ones are four times as large. Half the default makes a hard case.
    p : float
        Connection probability.
    bias : float
        Constant input, mV.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.static(n=50, rng=0).n_neurons
    50
    """
    n_e, n_i = split(n)
    return Circuit(
        populations=(
            Population("E", n_e, bias=bias, noise=OU(NOISE)),
            Population("I", n_i, sign=-1, bias=bias, noise=OU(NOISE)),
        ),
        connections=random_connections(epsp, p),
        seed=seed_of(rng),
        name="static",
    )


def balanced(
    n: int = 4000,
    *,
    synapse: str = "current",
    delay: float | tuple[float, float] = 1e-4,
    p: float = 0.02,
    rng: RNGLike = None,
) -> Circuit:
    """The benchmark network of Vogels and Abbott, balanced by strong inhibition, without any noise.

    Parameters as in Brette et al. 2007 (doi 10.1007/s10827-007-0038-6), benchmarks 1 (COBA) and 2 (CUBA).

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    synapse : {"current", "conductance"}
        CUBA or COBA.
    delay : float or (low, high)
        s.
    p : float
        Connection probability.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.balanced(n=100, rng=0).populations[1].sign
    -1
    """
    n_e, n_i = split(n)
    synapses: Synapses
    if synapse == "current":
        neuron = LIF(tau_m=0.020, v_rest=-49.0, v_threshold=-50.0, v_reset=-60.0, refractory=0.005, capacitance=200.0)
        synapses, jump, bias = CurrentSynapses(0.005, 0.010), {"E": 1.62, "I": 9.0}, 0.0
    elif synapse == "conductance":
        neuron = LIF(tau_m=0.020, v_rest=-60.0, v_threshold=-50.0, v_reset=-60.0, refractory=0.005, capacitance=200.0)
        # 200 pA through 10 nS.
        synapses, jump, bias = ConductanceSynapses(0.005, 0.010, 0.0, -80.0), {"E": 6.0, "I": 67.0}, 20.0
    else:
        raise OptionError("synapse 'current' or 'conductance'", f"{synapse!r}", "pass synapse=")
    delays = Delays(*delay) if isinstance(delay, tuple) else Delays(delay, delay)
    return Circuit(
        populations=(
            Population("E", n_e, neuron=neuron, synapses=synapses, bias=bias),
            Population("I", n_i, sign=-1, neuron=neuron, synapses=synapses, bias=bias),
        ),
        connections=tuple(
            Connection(pre, post, Bernoulli(p), Weights(jump[pre], unit="jump"), delays)
            for pre in "EI"
            for post in "EI"
        ),
        seed=seed_of(rng),
        name=f"balanced_{synapse}",
    )


def null(n: int = 50, *, shared: float = 1.0, tau: float = 0.5, bias: float = BIAS, rng: RNGLike = None) -> Circuit:
    """No connection at all, but a slow drive that all neurons share: whatever edge is found here is false.

    Parameters
    ----------
    n : int
    shared : float
        Typical loading of the shared drive, mV.
    tau : float
        Its correlation time, s.
    bias : float
        mV.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.null(n=5, rng=0).connections
    ()
    """
    n_e, n_i = split(n)
    rng = generator(rng)
    return Circuit(
        populations=(
            Population("E", n_e, bias=bias, noise=OU(NOISE)),
            Population("I", n_i, sign=-1, bias=bias, noise=OU(NOISE)),
        ),
        latents=(Latent(tau, shared * rng.standard_normal(n)),),
        seed=seed_of(rng),
        name="null",
    )
