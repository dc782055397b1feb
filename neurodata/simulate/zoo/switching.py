"""Circuits that change in time: states that switch drive or coupling, and slow gain."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit
from neurodata.simulate.inputs import States
from neurodata.simulate.zoo._parts import (
    BIAS,
    EPSP,
    PROBABILITY,
    RATE,
    cells,
    even,
    levelled,
    random_connections,
    recurrent_input,
    seed_of,
    split,
)

DWELL = (2.0, 10.0)  # s


def _states(n_states: int) -> None:
    if not n_states >= 2:
        raise OptionError("two states or more", f"{n_states}", "pass n_states=")


def switching_drive(
    n: int = 50,
    *,
    n_states: int = 3,
    epsp: float = EPSP,
    step: float = 1.5,
    fraction: float = 0.5,
    dwell: float | tuple[float, float] = DWELL,
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A weak random network whose input switches: in each state a random half of the neurons gets 1.5 mV more.

    For finding states, and a negative control for claims about coupling: rates and correlations change with the state,
    synapses do not. `state` of the truth is the answer. Mean rate 16-18 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    n_states : int
    epsp : float
        Median PSP peak, mV.
    step : float
        Additional input of the neurons that a state favours, mV.
    fraction : float
        Share of neurons that a state favours.
    dwell : float or (low, high)
        How long a state lasts, s: the mean of an exponential, or the ends of a uniform distribution.
    p : float
        Connection probability.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.switching_drive(n=50, rng=0).states.drive.shape
    (3, 50)
    """
    n_e, n_i = split(n)
    _states(n_states)
    if not 0.0 < fraction <= 1.0:
        raise OptionError("a fraction above 0, up to 1", f"{fraction!r}", "pass fraction=")
    rng = generator(rng)
    favoured = np.argsort(rng.random((n_states, n)), axis=1) < round(fraction * n)
    bias = BIAS - fraction * step  # so that rates are those of the static network
    return Circuit(
        populations=(cells("E", n_e, bias), cells("I", n_i, bias, sign=-1)),
        connections=random_connections(epsp, p),
        states=States(n_states, dwell=dwell, drive=step * favoured),
        seed=seed_of(rng),
        name="switching_drive",
    )


def switching_coupling(
    n: int = 50,
    *,
    n_states: int = 2,
    epsp: float = EPSP,
    contrast: float = 0.9,
    matched: bool = True,
    dwell: float | tuple[float, float] = DWELL,
    p: float = 2 * PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A random network whose coupling switches between blocks of neurons, while rates stay as they are.

    There are as many blocks as states, of mixed excitatory and inhibitory neurons. In state s, block b listens to block
    b + s (so to itself in state 0), with synapses of `1 + contrast (blocks - 1)` times their weight, and to the others
    with `1 - contrast` times. This is what a model of switching interactions claims to find. Each neuron's
    mean input is held (`matched`), so rates alone give nothing away. The answer is `state`, `block` and `coupling_gain`
    of the truth. Mean rate 16-20 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory; 20 or more.
    n_states : int
        And blocks.
    epsp : float
        Median PSP peak averaged over states, mV.
    contrast : float
        0 = no switching, 1 = blocks that are not listened to are silent.
    matched : bool
        Add to each neuron's drive in each state what its synapses lack or exceed there at 17 Hz.
    dwell : float or (low, high)
        How long a state lasts, s.
    p : float
        Connection probability, twice the zoo's default: on average only one in `n_states` edges is strong at a time.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.switching_coupling(n=50, n_states=2, contrast=0.5, rng=0).states.coupling[0].tolist()
    [[1.5, 0.5], [0.5, 1.5]]
    """
    n_e, n_i = split(n, least=20)
    _states(n_states)
    if not 0.0 <= contrast <= 1.0:
        raise OptionError("a contrast from 0 to 1", f"{contrast!r}", "pass contrast=")
    if n_i < n_states:
        raise OptionError(f"at most {n_i} states, an inhibitory neuron each", f"{n_states}", "pass n_states= or n=")
    rng = generator(rng)
    block = np.concatenate([rng.permutation(even(m, n_states)) for m in (n_e, n_i)])
    state, post = np.meshgrid(np.arange(n_states), np.arange(n_states), indexing="ij")
    coupling = np.full((n_states, n_states, n_states), 1.0 - contrast)
    coupling[state, post, (post + state) % n_states] = 1.0 + contrast * (n_states - 1)
    circuit = Circuit(
        populations=(cells("E", n_e), cells("I", n_i, sign=-1)),
        connections=random_connections(epsp, p),
        states=States(n_states, dwell=dwell, coupling=coupling, block=block),
        seed=seed_of(rng),
        name="switching_coupling",
    )
    circuit = levelled(circuit)
    return _matched(circuit) if matched else circuit


def _matched(circuit: Circuit) -> Circuit:
    """The circuit with drives that undo what switching does to each neuron's mean synaptic input."""
    states, network = circuit.states, circuit.network()
    assert states is not None
    assert states.coupling is not None
    assert states.block is not None
    post, pre = states.block[network.post], states.block[network.source]
    change = [recurrent_input(circuit, RATE, factor[post, pre] - 1.0) for factor in states.coupling]
    changed = dataclasses.replace(states, drive=-np.array(change))
    return circuit.replace(states=changed)


def gain(
    n: int = 50,
    *,
    n_states: int = 3,
    epsp: float = EPSP,
    depth: float = 0.08,
    dwell: float | tuple[float, float] = (10.0, 30.0),
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A weak random network whose neurons all turn up and down together, slowly, each by its own measure.

    In state s the synaptic and deterministic input of neuron i is multiplied by a gain; gains are evenly spaced over
    1 +- `depth`, times a sensitivity of each neuron between 0.5 and 1.5. Slow gain makes counts more variable than the
    input explains, and neurons correlated (Goris, Movshon and Simoncelli 2014, doi 10.1038/nn.3711): a trap for
    finding connections, and the answer for methods that look for shared gain is `state_gain` of the truth. Mean rate
    12 Hz in the lowest and 22 Hz in the highest state.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    n_states : int
    epsp : float
        Median PSP peak, mV.
    depth : float
        Largest change of the gain of a neuron of sensitivity 1. The input is near threshold, so 0.08 moves the rate by
        about a third.
    dwell : float or (low, high)
        How long a state lasts, s.
    p : float
        Connection probability.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.gain(n=50, rng=0).states.gain.shape
    (3, 50)
    """
    n_e, n_i = split(n)
    _states(n_states)
    if not 0.0 <= depth < 0.5:
        raise OptionError("a depth from 0 up to 0.5", f"{depth!r}", "pass depth=")
    rng = generator(rng)
    sensitivity = rng.uniform(0.5, 1.5, n)
    level = np.linspace(-depth, depth, n_states)
    return Circuit(
        populations=(cells("E", n_e), cells("I", n_i, sign=-1)),
        connections=random_connections(epsp, p),
        states=States(n_states, dwell=dwell, gain=1.0 + np.outer(level, sensitivity)),
        seed=seed_of(rng),
        name="gain",
    )
