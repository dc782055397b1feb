"""The same circuit in the embedded engine, brian2 and NEST: the same spikes if nothing is random, else the same rates.

The full comparison (5 seeds, distributions of rates, CV, intervals and correlations) is benchmarks/bench_engines.py.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from neurodata.errors import SimulationError
from neurodata.simulate import (
    LIF,
    OU,
    AdEx,
    AllToAll,
    Bernoulli,
    Circuit,
    ConductanceSynapses,
    Connection,
    CurrentSynapses,
    Explicit,
    Latent,
    PoissonInput,
    Population,
    States,
    Stimulus,
    Weights,
    run,
)

DT = 1e-4
OTHERS = ("brian2", "nest")


@pytest.fixture
def use():
    """`use("brian2")`: skip when the engine is missing; brian2 runs without compiling, which takes a minute or more."""
    restore = []

    def ready(engine: str) -> str:
        if engine != "numba" and importlib.util.find_spec(engine) is None:
            pytest.skip(f"{engine} is not installed: pip install 'neurodata[{engine}]'")
        if engine == "brian2":
            from neurodata.simulate.engine_brian2 import import_brian2

            target = import_brian2().prefs.codegen
            restore.append((target, target.target))
            target.target = "numpy"
        return engine

    yield ready
    for target, before in restore:
        target.target = before


def trains(circuit: Circuit, engine: str, duration: float = 0.2, rng: int = 1) -> list[np.ndarray]:
    """Spike times of each neuron, in steps."""
    node = run(circuit, duration, rng=rng, engine=engine)["spikes"]
    steps = np.rint(node["spike_time"].values / DT).astype(int)
    return np.split(steps, np.cumsum(node["spike_count"].values)[:-1])


def few(neuron=None, synapses=None, scale: float = 1.0, bias: float = 22.0, **fields) -> Circuit:
    """Six neurons driven above threshold, both signs of synapse, delays from one step to 12 ms."""
    rng = np.random.default_rng(5)
    weight = scale * rng.choice([-1.0, 1.0], (6, 6)) * rng.uniform(0.2, 1.0, (6, 6)) * (rng.random((6, 6)) < 0.5)
    np.fill_diagonal(weight, 0.0)
    return Circuit.from_arrays(
        weight,
        rng.choice([1, 2, 15, 40, 120], (6, 6)) * DT,
        neuron=neuron or LIF(),
        synapses=synapses or CurrentSynapses(),
        bias=bias + np.array([0.0, 1.0, 3.0, 6.0, 8.0, 11.0]),
        noise=None,
        dale=False,
        **fields,
    )


@pytest.mark.parametrize("engine", ["numba", *OTHERS])
def test_a_spike_arrives_after_its_delay_and_acts_in_the_next_step(engine, use):
    """By hand: resting 0.1 mV below threshold, 500 mV of input lift the membrane by 500 x 0.005 in the first step."""
    delays = np.array([1, 15, 200])
    jump = 500.0 * 0.15749013123685915  # PSP peak of that input, 20 and 5 ms
    source = Population("source", 1)
    targets = Population("targets", 3, bias=19.9, neuron=LIF(v_reset=-50.3))
    circuit = Circuit(
        (source, targets),
        (Connection("source", "targets", Explicit(np.zeros(3), np.arange(3), np.full(3, jump), delays * DT)),),
        stimuli=(Stimulus((0.15,), 0.02, np.array([[40.0, 0.0, 0.0, 0.0]])),),
    )
    first, *rest = trains(circuit, use(engine), 0.2)
    # From rest (the start has died away to e^-7.5 of at most 20 mV), tau ln(40 / 20) = 13.86 ms of 40 mV.
    assert first[0] == pytest.approx(1500 + 138.6 + 1, abs=2)
    assert [train[0] - first[0] for train in rest] == [1 + delay for delay in delays]


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize(
    ("neuron", "synapses"),
    [
        (LIF(), CurrentSynapses(0.005, 0.010)),
        (LIF(tau_m=0.005, refractory=0.0), CurrentSynapses(0.005, 0.005)),
    ],
    ids=["lif", "equal-time-constants-no-refractoriness"],
)
def test_current_synapses_give_the_same_spikes(engine, neuron, synapses, use):
    circuit = few(neuron, synapses)
    ours, theirs = trains(circuit, "numba"), trains(circuit, use(engine))
    assert sum(train.size for train in ours) > 40
    for a, b in zip(ours, theirs, strict=True):
        # Both are exact but for rounding, which may move a spike that only just reaches the threshold.
        assert a.size == b.size
        assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize(
    ("neuron", "synapses", "bias"),
    [
        (LIF(), ConductanceSynapses(), 22.0),
        (AdEx(), CurrentSynapses(), 30.0),
        (AdEx(), ConductanceSynapses(), 30.0),
    ],
    ids=["lif-conductance", "adex-current", "adex-conductance"],
)
def test_other_models_drift_apart_by_what_the_step_allows(engine, neuron, synapses, bias, use):
    """Spike k (from 0) may differ by 2 (k + 1) steps: each engine has its own rule, of first or second order,
    and calls a spike at the end of the step in which it happens, so up to one step late, each time anew. Short, since a
    potential that just reaches the threshold in one engine and not in the other ends any comparison of times.
    """
    circuit = few(neuron, synapses, scale=0.5, bias=bias)
    for a, b in zip(trains(circuit, "numba", 0.12), trains(circuit, use(engine), 0.12), strict=True):
        assert a.size == b.size >= 1
        assert (np.abs(a - b) <= 2 * (np.arange(a.size) + 1)).all()


@pytest.mark.parametrize("engine", OTHERS)
def test_slow_inputs_begin_and_end_in_the_same_step(engine, use):
    rng = np.random.default_rng(0)
    circuit = few(
        states=States(2, dwell=(0.02, 0.06), drive=rng.normal(0.0, 6.0, (2, 6))),
        latents=(Latent(0.02, rng.normal(0.0, 2.0, 6)),),
        stimuli=(Stimulus((0.05, 0.1), 0.02, rng.normal(0.0, 5.0, (2, 6)), condition=(0, 1)),),
    )
    for a, b in zip(trains(circuit, "numba"), trains(circuit, use(engine)), strict=True):
        assert a.size == b.size
        assert np.abs(a - b).max(initial=0) <= 1


def test_gain_states_in_brian2(use):
    gain = np.random.default_rng(1).uniform(0.7, 1.4, (2, 6))
    circuit = few(states=States(2, dwell=(0.02, 0.06), gain=gain))
    for a, b in zip(trains(circuit, "numba"), trains(circuit, use("brian2")), strict=True):
        assert a.size == b.size
        assert np.abs(a - b).max(initial=0) <= 1


def many(**fields) -> Circuit:
    population = Population("E", 400, **{"bias": 17.5, **fields})
    return Circuit((population,), (Connection("E", "E", Bernoulli(0.02), Weights(0.24, 0.5)),))


NOISY = {
    "white": many(noise=OU(3.5)),
    "white-conductance": many(noise=OU(3.5), synapses=ConductanceSynapses()),
    "white-adex": many(noise=OU(3.5), neuron=AdEx(), bias=22.0),
    "coloured": many(noise=OU(3.5, 0.01), bias=19.0),
    "poisson": many(bias=14.0, background=(PoissonInput(20.0, 0.4, 100), PoissonInput(10.0, -0.8, 50))),
    "poisson-conductance": many(
        bias=10.0,
        synapses=ConductanceSynapses(),
        background=(PoissonInput(20.0, 0.8, 100), PoissonInput(5.0, -0.5, 50)),
    ),
}


BRIAN2 = ("white-adex", "coloured", "poisson-conductance")  # one of each kind of noise: setting brian2 up takes seconds
CASES = [(case, "nest") for case in NOISY if case != "coloured"] + [(case, "brian2") for case in BRIAN2]


@pytest.mark.statistical
@pytest.mark.parametrize(("case", "engine"), CASES)
def test_rates_with_noise(case, engine, use):
    """4 standard errors of the difference of two means over 400 nearly independent neurons: 1 in 16 000 by chance."""
    ours, theirs = (
        np.array([(train > 1000).sum() for train in trains(NOISY[case], e, 0.5)]) for e in ("numba", use(engine))
    )
    assert ours.mean() > 1.0
    error = np.sqrt((ours.var() + theirs.var()) / 400)
    assert theirs.mean() == pytest.approx(ours.mean(), abs=4 * error)


@pytest.mark.parametrize("engine", ["numba", *OTHERS])
def test_an_explosion_is_an_error_with_rate_and_time(engine, use):
    neuron = LIF(refractory=0.0)
    circuit = Circuit(
        (Population("E", 40, neuron=neuron, bias=15.0),),
        (Connection("E", "E", AllToAll(), 3.0),),
        stimuli=(Stimulus((0.15,), 0.01, np.full((1, 40), 100.0)),),
    )
    with pytest.raises(SimulationError, match=r"\d{3,} Hz between 0\.10 and 0\.20 s"):
        run(circuit, 5.0, rng=0, engine=use(engine))


@pytest.mark.parametrize("engine", ["numba", "nest"])
def test_an_explosion_at_the_very_end_is_seen(engine, use):
    circuit = Circuit((Population("E", 5, neuron=LIF(refractory=0.0), bias=1e4),))
    with pytest.raises(SimulationError, match="between 0.00 and 0.04 s"):
        run(circuit, 0.04, rng=0, engine=use(engine))
