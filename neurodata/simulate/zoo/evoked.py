"""Circuits that answer to events: recall of stored assemblies from cues, and tuning to conditions."""

from __future__ import annotations

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit, Connection
from neurodata.simulate.inputs import Stimulus
from neurodata.simulate.rules import Explicit
from neurodata.simulate.zoo._parts import (
    BIAS,
    EPSP,
    PROBABILITY,
    cells,
    levelled,
    random_connections,
    seed_of,
    shared_inhibition,
    split,
    strength,
)

FRAME = 0.005  # s; events lie on frames


def ca3(
    n: int = 50,
    *,
    n_assemblies: int = 3,
    overlap: float = 0.0,
    epsp: float = EPSP,
    recurrent: float = 9.0,
    cued: float = 0.5,
    period: float = 0.5,
    span: float = 600.0,
    rng: RNGLike = None,
) -> Circuit:
    """An auto-associative memory like hippocampal CA3: half of a stored assembly is cued, the whole assembly fires.

    For finding assemblies, and for methods that read recall from events. Assemblies are sets of excitatory neurons that
    excite each other; inhibition is shared. Events of `trials`: condition k < `n_assemblies` cues part of assembly k
    for 10 ms, the last condition cues as many neurons drawn at random, which recalls nothing. `assemblies(circuit)`
    gives the members of each; `cluster` of the truth is the assembly of a neuron, -1 for none or several.
    The idea is Marr's and Hopfield's (doi 10.1073/pnas.79.8.2554); partial cues are completed by CA3
    (Nakazawa et al. 2002, doi 10.1126/science.1071795). Mean rate 4-9 Hz; with overlap up to 16 Hz in small circuits.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory; 30 or more. Nine in ten excitatory neurons are in an assembly.
    n_assemblies : int
    overlap : float
        Share of an assembly that also belongs to the next, 0 to 0.5; the more, the less complete is recall.
    epsp : float
        Scales all synapses; at half the default about half of an assembly answers its cue.
    recurrent : float
        Summed PSP peaks that a member gets when its whole assembly fires at once, at the default `epsp`, mV. From about
        11 on, an assembly goes on firing.
    cued : float
        Share of an assembly that its cue reaches.
    period : float
        Mean time between cues, s; at least 0.3.
    span : float
        Cues are given in the first so many s of a run.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> circuit = zoo.ca3(n=50, n_assemblies=3, rng=0)
    >>> zoo.assemblies(circuit).sum(axis=1).tolist()
    [12, 12, 12]
    """
    n_e, n_i = split(n, least=30)
    if not 0.0 <= overlap <= 0.5:
        raise OptionError("an overlap from 0 to 0.5", f"{overlap!r}", "pass overlap=")
    if not 0.0 < cued <= 1.0:
        raise OptionError("a cued share above 0, up to 1", f"{cued!r}", "pass cued=")
    size = int(0.9 * n_e / (1.0 + (n_assemblies - 1) * (1.0 - overlap))) if n_assemblies >= 1 else 0
    if size < 6:
        raise OptionError("assemblies of 6 neurons or more", f"{n_assemblies} of {size}", "pass n_assemblies= or n=")
    rng = generator(rng)
    order = rng.permutation(n_e)
    members = np.zeros((n_assemblies, n_e), dtype=bool)
    for k in range(n_assemblies):
        begin = round(k * size * (1.0 - overlap))
        members[k, order[begin : begin + size]] = True
    weight = _assembly_weights(members, strength(epsp) * recurrent, rng)
    post, pre = np.nonzero(weight)
    stored = Explicit(pre, post, weight[post, pre], rng.uniform(0.001, 0.004, post.size))
    whole = np.zeros((n_assemblies, n))
    whole[:, :n_e] = 40.0 * members  # to threshold within 10 ms
    part = np.zeros((n_assemblies + 1, n))
    n_cued = max(1, round(cued * size))
    for k in range(n_assemblies):
        chosen = rng.choice(np.flatnonzero(members[k]), n_cued, replace=False)
        part[k, chosen] = whole[k, chosen]
    part[-1, rng.choice(n_e, n_cued, replace=False)] = 40.0
    onset = _onsets(rng, 0.2, period, span)
    condition = rng.integers(n_assemblies + 1, size=onset.size)
    cluster = np.where(members.sum(axis=0) == 1, members.argmax(axis=0), -1)
    bias = BIAS - 4.5
    circuit = Circuit(
        populations=(cells("E", n_e, bias, cluster=cluster), cells("I", n_i, bias, sign=-1)),
        connections=(Connection("E", "E", stored), *shared_inhibition(["E"], n_e, n_i, epsp)),
        stimuli=(
            Stimulus(tuple(onset), 0.01, part, tuple(condition), name="cue"),
            # Never shown: keeps the members of every assembly with the circuit, and serves as the whole cue.
            Stimulus((), 0.01, whole, name=_ASSEMBLY),
        ),
        frame=FRAME,
        seed=seed_of(rng),
        name="ca3",
    )
    return levelled(circuit, rate=6.0)


_ASSEMBLY = "assembly"


def assemblies(circuit: Circuit) -> np.ndarray:
    """Members of the stored assemblies of a `ca3` circuit.

    Returns
    -------
    array (assembly, neuron), bool

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.assemblies(zoo.ca3(n=50, overlap=0.3, rng=0)).sum(axis=0).max()
    np.int64(2)
    """
    for stimulus in circuit.stimuli:
        if stimulus.name == _ASSEMBLY:
            return stimulus.tuning > 0
    raise OptionError("a circuit of zoo.ca3", f"{circuit!r}", "pass what zoo.ca3(...) gave")


def _assembly_weights(members: np.ndarray, total: float, rng: np.random.Generator, p: float = 0.6) -> np.ndarray:
    """Weights (post, pre), mV, such that the inputs of a member from its assembly add up to `total`."""
    n = members.shape[1]
    weight = np.zeros((n, n))
    for member in members:
        edge = member[:, None] & member & (rng.random((n, n)) < p)
        np.fill_diagonal(edge, False)
        spread = edge * np.exp(0.3 * rng.standard_normal((n, n)))
        weight += total * spread / np.maximum(spread.sum(axis=1, keepdims=True), 1e-300)
    return weight


def _onsets(rng: np.random.Generator, shortest: float, period: float, span: float) -> np.ndarray:
    """Times (s) at random, on frames: `shortest` plus an exponential, `period` on average."""
    if not period >= shortest + 0.1:
        raise OptionError(f"{shortest + 0.1:g} s or more between events", f"{period!r}", "pass period=")
    gaps = shortest + rng.exponential(period - shortest, size=int(2 * span / period) + 20)
    onset = np.round(np.cumsum(gaps) / FRAME) * FRAME
    return onset[onset < span]


def tuned(
    n: int = 50,
    *,
    n_conditions: int = 8,
    n_repeats: int = 40,
    epsp: float = EPSP,
    depth: float = 3.0,
    width: float = 40.0,
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """Neurons tuned to the direction of a stimulus, shown again and again: conditions with a known geometry.

    For dissimilarities between conditions: the input to the neurons is `tuning` (channel, neuron) of the truth, so the
    true matrix is that of the distances between its rows. Directions are evenly spread over the circle, shown for 0.5 s
    each second, in random order within each repeat. Every neuron prefers one direction (`position` of the truth, turns)
    by a von Mises curve; recurrent synapses are random, so the input's geometry is the circuit's. Mean rate 12-18 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory.
    n_conditions : int
        Directions.
    n_repeats : int
    epsp : float
        Median PSP peak of the random network, mV. `depth` does not change with it.
    depth : float
        Additional input at the preferred direction, mV, on average; it varies between neurons by a factor 0.5-1.5.
    width : float
        Half the width of the tuning at half its height, degrees.
    p : float
        Connection probability.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import run, zoo
    >>> rec = run(zoo.tuned(n=20, n_conditions=4, n_repeats=2, rng=0), 8.0, rng=0)
    >>> rec["trials"].sizes["trial"]
    8
    """
    n_e, n_i = split(n)
    if n_conditions < 2 or n_repeats < 1:
        raise OptionError("2 conditions or more, 1 repeat or more", f"{n_conditions}, {n_repeats}", "correct them")
    rng = generator(rng)
    position = np.concatenate([rng.permutation(np.arange(m) / m) for m in (n_e, n_i)])
    direction = np.arange(n_conditions) / n_conditions
    concentration = np.log(2.0) / (1.0 - np.cos(np.deg2rad(width)))
    closeness = np.cos(2.0 * np.pi * (direction[:, None] - position)) - 1.0
    tuning = depth * rng.uniform(0.5, 1.5, n) * np.exp(concentration * closeness)
    condition = np.concatenate([rng.permutation(n_conditions) for _ in range(n_repeats)])
    onset = 0.25 + np.arange(condition.size)
    bias = BIAS - 1.0
    return Circuit(
        populations=(
            cells("E", n_e, bias, position=position[:n_e]),
            cells("I", n_i, bias, sign=-1, position=position[n_e:]),
        ),
        connections=random_connections(epsp, p),
        stimuli=(Stimulus(tuple(onset), 0.5, tuning, tuple(condition), name="direction"),),
        frame=FRAME,
        seed=seed_of(rng),
        name="tuned",
    )
