"""Circuits with a shape: clusters, a ring, a chain, fans of common input."""

from __future__ import annotations

import numpy as np

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit, Connection
from neurodata.simulate.inputs import Latent, Stimulus
from neurodata.simulate.neurons import CurrentSynapses
from neurodata.simulate.rules import AllToAll, Bernoulli, Explicit, FixedInDegree, Weights
from neurodata.simulate.zoo._parts import (
    BIAS,
    DELAYS,
    EPSP,
    INHIBITION,
    PAIRS,
    PROBABILITY,
    SIGMA,
    cells,
    even,
    levelled,
    random_connections,
    seed_of,
    shared_inhibition,
    split,
    strength,
)

# In-degree from the own cluster, so that the loop gain does not change with n.
NEIGHBOURS = 8


def clustered(
    n: int = 50,
    *,
    n_clusters: int | None = None,
    epsp: float = EPSP,
    boost: float = 3.5,
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """Excitatory neurons in clusters with more and stronger synapses inside, and inhibition that all share.

    Clusters wax and wane against each other (metastable). For finding groups of neurons: the answer is `cluster` of
    the truth, -1 for inhibitory neurons. Neurons of a cluster are correlated whether or not they are connected. After
    Litwin-Kumar and Doiron 2012 (doi 10.1038/nn.3220), who used a ratio of connection probabilities of 2.5 and of
    weights of 1.9; smaller networks need more. Mean rate 16-22 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory; 20 or more.
    n_clusters : int, optional
        Default: one for each 16 excitatory neurons, two at least.
    epsp : float
        Median PSP peak between clusters, mV.
    boost : float
        Weight inside a cluster over that between clusters. From about 4.5 on, single clusters win for good.
    p : float
        Connection probability between clusters. Inside, each neuron has 8 partners.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> [population.name for population in zoo.clustered(n=60, rng=0).populations]
    ['E0', 'E1', 'E2', 'I']
    """
    n_e, n_i = split(n, least=20)
    n_clusters = max(2, round(n_e / 16)) if n_clusters is None else n_clusters
    if not 1 <= n_clusters <= n_e // 4:
        raise OptionError(f"1 to {n_e // 4} clusters, of 4 neurons or more", f"{n_clusters}", "pass n_clusters=")
    sizes = np.bincount(even(n_e, n_clusters))
    names = [f"E{c}" for c in range(n_clusters)]
    connections = []
    for pre, size in zip(names, sizes, strict=True):
        k = min(NEIGHBOURS, int(size) - 1)
        inside = Weights(boost * epsp * NEIGHBOURS / k, SIGMA)
        connections += [
            Connection(pre, post, FixedInDegree(k), inside, DELAYS)
            if pre == post
            else Connection(pre, post, Bernoulli(p), Weights(epsp, SIGMA), DELAYS)
            for post in names
        ]
    connections += shared_inhibition(names, n_e, n_i, epsp)
    populations = [cells(name, int(size), cluster=c) for c, (name, size) in enumerate(zip(names, sizes, strict=True))]
    circuit = Circuit(
        populations=(*populations, cells("I", n_i, sign=-1)),
        connections=tuple(connections),
        seed=seed_of(rng),
        name="clustered",
    )
    return levelled(circuit)


def ring(
    n: int = 50,
    *,
    epsp: float = EPSP,
    recurrent: float = 2.4,
    width: float = 0.12,
    suppression: float = 0.0,
    span: float = 600.0,
    rng: RNGLike = None,
) -> Circuit:
    """A ring attractor: neighbours excite each other, inhibition reaches all, and a bump of activity wanders.

    The hard case for finding connections: neurons at one place fire together whether or not they are connected, each
    synapse is weak and slow, and methods go on to infer edges that are not there however long the recording is (Das and
    Fiete 2020, doi 10.1038/s41593-020-0699-2). They also found what helps: to push the circuit out of its equilibrium
    by a strong suppression of all neurons, which `suppression` does in short pulses (and which is a shared input, that
    an analysis must know of). `position` of the truth is the place of each neuron in turns. Excitation among excitatory
    neurons decays in 100 ms, as through NMDA receptors, which keeps the bump up (Compte et al. 2000,
    doi 10.1093/cercor/10.9.910). Mean rate 16-18 Hz
    (12 Hz with suppression).

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory; 20 or more.
    epsp : float
        Scales all synapses. At the default, a local synapse is of 0.4 mV at 50 neurons, 0.2 mV at 100.
    recurrent : float
        Summed PSP peaks of a neuron's local synapses at the default `epsp`, mV; the same for all neurons, so that no
        place on the ring is preferred. From about 2.7 on, the bump stays where it is.
    width : float
        Standard deviation of the connection probability around a neuron, turns; it is half at the neuron itself, and
        nearest neighbours are always connected.
    suppression : float
        mV taken from all neurons for 50 ms in every 250 ms; 15 silences the circuit.
    span : float
        Suppression is given for the first so many s of a run.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> weight = zoo.ring(n=100, rng=0).network().weight_matrix()
    >>> bool((weight[0, 1:10] > 0).sum() > (weight[0, 35:45] > 0).sum())
    True
    """
    n_e, n_i = split(n, least=20)
    rng = generator(rng)
    weight = strength(epsp) * recurrent * _ring_weights(n_e, width, rng)
    post, pre = np.nonzero(weight)
    local = Explicit(pre, post, weight[post, pre], rng.uniform(DELAYS.low, DELAYS.high, post.size))
    to_i, to_e = Weights(96.0 / n_e * epsp, 0.2), Weights(40.0 / n_i * epsp, 0.2)
    circuit = Circuit(
        populations=(cells("E", n_e, synapses=CurrentSynapses(0.1, 0.005)), cells("I", n_i, sign=-1)),
        connections=(
            Connection("E", "E", local),
            Connection("E", "I", AllToAll(), to_i, DELAYS),
            Connection("I", "E", AllToAll(), to_e, DELAYS),
            *random_connections(10.0 / n_i * epsp, PROBABILITY, pairs=PAIRS[3:]),
        ),
        seed=seed_of(rng),
        name="ring",
    )
    if suppression:
        onsets = np.arange(1, int(4 * span)) * 0.25
        pulse = Stimulus(tuple(onsets), 0.05, np.full(n, -float(suppression)), name="suppression")
        circuit = circuit.replace(stimuli=(pulse,))
    return levelled(circuit)


def _ring_weights(n: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Local weights (post, pre) that add up to 1 for every neuron, both as source and as target."""
    if not width > 0:
        raise OptionError("a positive width in turns", f"{width!r}", "pass width=")
    gap = np.abs(np.arange(n)[:, None] - np.arange(n))
    gap = np.minimum(gap, n - gap)
    chance = np.where(gap == 1, 1.0, 0.5 * np.exp(-0.5 * (gap / n / width) ** 2))
    weight = (rng.random((n, n)) < chance) * np.exp(0.3 * rng.standard_normal((n, n)))
    np.fill_diagonal(weight, 0.0)
    for _ in range(200):  # Sinkhorn's iteration; it converges, since the nearest neighbours make a closed loop
        weight /= weight.sum(axis=1, keepdims=True)
        weight /= weight.sum(axis=0, keepdims=True)
    return weight


def chain(
    n: int = 50,
    *,
    n_groups: int = 5,
    epsp: float = EPSP,
    volley: float = 12.0,
    p: float = PROBABILITY,
    period: float = 0.5,
    span: float = 600.0,
    rng: RNGLike = None,
) -> Circuit:
    """A synfire chain: group excites group, and a volley started in the first runs to the last.

    For finding order and delays: groups are `cluster` 0, 1, ... of the truth, in the order of firing. Volleys start in
    the first group at events of `trials`, at irregular times. Feed-forward volleys after Diesmann, Gewaltig and Aertsen
    1999 (doi 10.1038/990101). Mean rate 5-8 Hz, less than elsewhere in the zoo, so that volleys stand out.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory; 20 or more.
    n_groups : int
        Groups of excitatory neurons.
    epsp : float
        Median PSP peak of the random background, mV. The chain scales with it: at half the default a volley dies on
        its way.
    volley : float
        Summed PSP peaks when a whole group fires at once, at the default `epsp`, mV.
    p : float
        Connection probability of the background; inside the chain it is 0.8.
    period : float
        Mean time between volleys, s; at least 0.2.
    span : float
        Volleys are started in the first so many s of a run.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> zoo.chain(n=50, rng=0).connections[0].post
    'E1'
    """
    n_e, n_i = split(n, least=20)
    if not 2 <= n_groups <= n_e // 4:
        raise OptionError(f"2 to {n_e // 4} groups, of 4 neurons or more", f"{n_groups}", "pass n_groups=")
    if not period >= 0.2:
        raise OptionError("0.2 s or more between volleys", f"{period!r}", "pass period=")
    rng = generator(rng)
    sizes = np.bincount(even(n_e, n_groups)).astype(int)
    names = [f"E{g}" for g in range(n_groups)]
    feed = 0.8
    connections = [
        Connection(pre, post, Bernoulli(feed), Weights(strength(epsp) * volley / (feed * size), 0.2), DELAYS)
        for pre, post, size in zip(names[:-1], names[1:], sizes[:-1], strict=True)
    ]
    # No other excitation between groups: it would close the chain to a loop, which fires by itself when n is large.
    weak, inhibition = Weights(epsp, SIGMA), Weights(INHIBITION * epsp, SIGMA)
    connections += [Connection(pre, "I", Bernoulli(p), weak, DELAYS) for pre in names]
    connections += [Connection("I", post, Bernoulli(p), inhibition, DELAYS) for post in [*names, "I"]]
    gaps = 0.1 + rng.exponential(period - 0.1, size=int(2 * span / period) + 20)
    onsets = np.round(np.cumsum(gaps) / 0.005) * 0.005
    kick = np.zeros(n)
    kick[: sizes[0]] = 40.0  # drives the whole group to threshold within 10 ms
    bias = BIAS - 4.0
    groups = enumerate(zip(names, sizes, strict=True))
    circuit = Circuit(
        populations=(
            *(cells(name, int(size), bias, cluster=g) for g, (name, size) in groups),
            cells("I", n_i, bias, sign=-1),
        ),
        connections=tuple(connections),
        stimuli=(Stimulus(tuple(onsets[onsets < span]), 0.01, kick, name="volley"),),
        seed=seed_of(rng),
        name="chain",
    )
    return levelled(circuit, rate=8.0)


def common_input(
    n: int = 50,
    *,
    n_fans: int = 3,
    hidden: bool = True,
    epsp: float = EPSP,
    shared: float = 3.0,
    tau: float = 0.02,
    p: float = PROBABILITY,
    rng: RNGLike = None,
) -> Circuit:
    """A weak random network under fans of common input: neurons of a fan are correlated without being connected.

    For false positives: what a method finds inside a fan beyond the random connections is common input mistaken for a
    synapse. Each fan reaches a share of all neurons, told by `cluster` of the truth; `latent_loading` of the truth
    (hidden drivers) or the connections of population `D` (recorded ones) say how strongly. Mean rate 16-20 Hz.

    Parameters
    ----------
    n : int
        Neurons, 80 % excitatory, recorded drivers among them; 20 or more.
    n_fans : int
        Fans, of even size, across excitatory and inhibitory neurons.
    hidden : bool
        The common input comes from outside, so that no recording holds its source: an Ornstein-Uhlenbeck process per
        fan, `latent` of the truth. False: it comes from two driver neurons per fan, with delays spread over 1-10 ms,
        so that lags between neurons of a fan look like synapses too.
    epsp : float
        Median PSP peak of the random network, mV. `shared` does not change with it.
    shared : float
        mV: standard deviation of the common input of a hidden driver, or PSP peak of a recorded one.
    tau : float
        Correlation time of hidden drivers, s.
    p : float
        Connection probability of the random network.
    rng : int, Generator or None

    Examples
    --------
    >>> from neurodata.simulate import zoo
    >>> len(zoo.common_input(n=40, n_fans=4, rng=0).latents)
    4
    """
    rng = generator(rng)
    if not 1 <= n_fans <= max(1, n // 8):
        raise OptionError(f"1 to {max(1, n // 8)} fans, of 8 neurons or more", f"{n_fans}", "pass n_fans=")
    n_drivers = 0 if hidden else 2 * n_fans
    n_e, n_i = split(n - n_drivers, least=14)
    fan = rng.permutation(even(n_e + n_i, n_fans))
    populations = [cells("E", n_e, cluster=fan[:n_e]), cells("I", n_i, sign=-1, cluster=fan[n_e:])]
    connections = list(random_connections(epsp, p))
    latents = []
    if hidden:
        latents = [Latent(tau, shared * (fan == f)) for f in range(n_fans)]
    else:
        populations.append(cells("D", n_drivers, cluster=np.repeat(np.arange(n_fans), 2), cell_type="driver"))
        for post, begin, end in (("E", 0, n_e), ("I", n_e, n_e + n_i)):
            target = np.arange(end - begin)
            pre = (2 * fan[begin:end, None] + np.arange(2)).ravel()
            delay = rng.uniform(0.001, 0.010, pre.size)
            edges = Explicit(pre, np.repeat(target, 2), np.full(pre.size, shared), delay)
            connections.append(Connection("D", post, edges))
    circuit = Circuit(
        tuple(populations), tuple(connections), latents=tuple(latents), seed=seed_of(rng), name="common_input"
    )
    return circuit if hidden else levelled(circuit)
