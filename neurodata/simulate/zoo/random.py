"""Random networks: weak and static, balanced, and none at all."""

from __future__ import annotations

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit, Connection, Population
from neurodata.simulate.inputs import Latent
from neurodata.simulate.neurons import LIF, ConductanceSynapses, CurrentSynapses, Synapses
from neurodata.simulate.rules import Bernoulli, Delays, Hub, Weights
from neurodata.simulate.zoo._parts import (
    BIAS,
    DELAYS,
    EPSP,
    PAIRS,
    PROBABILITY,
    SIGMA,
    cells,
    random_connections,
    seed_of,
    split,
)


def static(
    n: int = 50, *, epsp: float = EPSP, p: float = PROBABILITY, bias: float = BIAS, rng: RNGLike = None
) -> Circuit:
    """A weak random network without any change in time: the plain case of finding connections.

    A test without teeth alone: weak random networks hardly show the bias of hidden neurons and shared input, which
    `ring`, `clustered` and `common_input` do. Mean rate 16-18 Hz at 30 to 100 neurons, up to 19 Hz at 200.

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
        populations=(cells("E", n_e, bias), cells("I", n_i, bias, sign=-1)),
        connections=random_connections(epsp, p),
        seed=seed_of(rng),
        name="static",
    )


def hub(
    n: int = 50,
    *,
    epsp: float = EPSP,
    p: float = PROBABILITY,
    spread: float = 1.0,
    bias: float = BIAS,
    rng: RNGLike = None,
) -> Circuit:
    """A weak random network in which a few excitatory neurons reach very many: log-normal out-degrees.

    For methods that rank neurons by influence, and for those whose prior says that all have the same degree. Hubs of
    this kind were found in slices of the developing hippocampus (Bonifazi et al. 2009, doi 10.1126/science.1175509).
    Mean rate 16-19 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    epsp : float
        Median PSP peak, mV.
    p : float
        Mean connection probability.
    spread : float
        Standard deviation of the log of a neuron's out-degree; 0 makes this the `static` network.
    bias : float
        Constant input, mV.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> out = (zoo.hub(n=100, rng=0).network().weight_matrix() > 0).sum(axis=0)[:80]
    >>> bool(out.max() > 3 * out.mean())
    True
    """
    n_e, n_i = split(n)
    excitatory = tuple(Connection("E", post, Hub(p, spread), Weights(epsp, SIGMA), DELAYS) for post in "EI")
    return Circuit(
        populations=(cells("E", n_e, bias), cells("I", n_i, bias, sign=-1)),
        connections=(*excitatory, *random_connections(epsp, p, pairs=PAIRS[2:])),
        seed=seed_of(rng),
        name="hub",
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

    Mean rate 15-20 Hz in short runs, as the drive goes.

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
        populations=(cells("E", n_e, bias), cells("I", n_i, bias, sign=-1)),
        latents=(Latent(tau, shared * rng.standard_normal(n)),),
        seed=seed_of(rng),
        name="null",
    )
