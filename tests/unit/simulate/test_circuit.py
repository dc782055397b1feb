"""Circuits as data: JSON both ways, the content hash, and every kind of bad input refused in words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from neurodata.errors import FormatError, OptionError, SimulationError
from neurodata.simulate import (
    LIF,
    OU,
    STDP,
    AdEx,
    AllToAll,
    Bernoulli,
    Circuit,
    ConductanceSynapses,
    Connection,
    CurrentSynapses,
    Delays,
    Explicit,
    FixedInDegree,
    Hub,
    Latent,
    Modulator,
    PoissonInput,
    Population,
    Ring,
    States,
    Stimulus,
    Weights,
    run,
    zoo,
)
from neurodata.simulate._json import register

NASTY = 0.1 + 0.2  # 0.30000000000000004: lost by any text of fewer than 17 digits


def everything() -> Circuit:
    """A circuit with one of each part, and numbers that short texts would lose."""
    rng = np.random.default_rng(7)
    n = 12
    edges = Explicit(np.array([0, 1]), np.array([1, 0]), np.array([NASTY, 1e-300]), np.array([0.001, 0.0015]))
    return Circuit(
        populations=(
            Population("A", 6, bias=rng.normal(size=6), noise=OU(NASTY, 0.01), cluster=np.arange(6)),
            Population("B", 4, sign=-1, neuron=AdEx(a=NASTY), synapses=ConductanceSynapses(), position=rng.random(4)),
            Population("C", 2, sign=0, background=(PoissonInput(NASTY, 0.1, 3), PoissonInput(2.0, -0.1, 1))),
        ),
        connections=(
            Connection("A", "A", Bernoulli(NASTY), Weights(0.24, 0.5), Delays(0.001, 0.004), plastic=True),
            Connection("A", "B", FixedInDegree(2)),
            Connection("B", "A", AllToAll(), 0.5, 0.002),
            Connection("A", "A", Ring(0.5, NASTY, 0.1)),
            Connection("B", "B", Hub(0.2, NASTY)),
            Connection("C", "C", edges),
        ),
        stimuli=(Stimulus((0.5, 1.0), 0.1, rng.normal(size=(2, n)), (1, 0)),),
        states=States(
            2, (1.0, 3.0), jump=np.array([[0.0, 1.0], [1.0, 0.0]]), drive=rng.normal(size=(2, n)),
            gain=rng.random((2, n)), coupling=rng.random((2, 3, 3)),
        ),
        latents=(Latent(NASTY, rng.normal(size=n)), Latent(2.0, rng.normal(size=n), process="sinusoid")),
        plasticity=STDP(a_plus=NASTY),
        modulator=Modulator(tau=NASTY),
        dt=1e-4,
        seed=123456789,
        name="everything µ",
    )  # fmt: skip


def same(a, b) -> bool:
    """Equal field by field, arrays bit by bit."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


def test_json_both_ways_keeps_every_bit():
    circuit = everything()
    again = Circuit.from_json(circuit.to_json())
    assert same(circuit, again)
    assert again.to_json() == circuit.to_json()
    assert again.content_hash == circuit.content_hash
    json.loads(circuit.to_json())  # plain JSON, no NaN or Infinity literals
    for a, b in zip(circuit.network(), again.network(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_field_of_every_part_is_in_the_hash():
    circuit = everything()
    changed = [
        circuit.replace(seed=1),
        circuit.replace(name=""),
        circuit.replace(dt=5e-5),
        circuit.replace(latents=circuit.latents[::-1]),
        circuit.replace(modulator=None),
        circuit.replace(plasticity=STDP(a_plus=0.3)),  # 4e-17 away
        circuit.replace(stimuli=()),
        circuit.replace(states=dataclasses.replace(circuit.states, dwell_shape=2.0)),
        circuit.replace(connections=circuit.connections[:-1]),
        circuit.replace(populations=(dataclasses.replace(circuit.populations[0], bias=0.0), *circuit.populations[1:])),
    ]
    hashes = {c.content_hash for c in changed} | {circuit.content_hash}
    assert len(hashes) == len(changed) + 1


def test_hash_and_spikes_are_the_same_in_another_process():
    code = (
        "import numpy as np, hashlib, sys\n"
        "from neurodata.simulate import run, zoo\n"
        "circuit = zoo.switching_drive(n=20, rng=4)\n"
        "rec = run(circuit, 1.0, rng=9)\n"
        "print(circuit.content_hash, hashlib.sha256(rec['spikes']['spike_time'].values.tobytes()).hexdigest())\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    circuit = zoo.switching_drive(n=20, rng=4)
    times = run(circuit, 1.0, rng=9)["spikes"]["spike_time"].values
    assert done.stdout == f"{circuit.content_hash} {hashlib.sha256(times.tobytes()).hexdigest()}\n"


def test_circuits_are_frozen():
    circuit = everything()
    with pytest.raises(dataclasses.FrozenInstanceError):
        circuit.seed = 2
    assert circuit.replace(seed=2).seed == 2
    assert circuit.seed == 123456789


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("not json", "JSON"),
        ('{"kind": "Circus"}', "Circus"),
        ('{"kind": "LIF"}', "Circuit"),
        ("[1, 2]", "Circuit"),
        ('{"kind": "Circuit", "populations": [], "wings": 2}', "wings"),
        ('{"kind": "Circuit"}', "populations"),
        ('{"kind": "Circuit", "populations": [{"kind": "Izhikevich"}]}', "Izhikevich"),
        ('{"kind": "Circuit", "populations": 5}', "Circuit"),
        ('{"kind": ["Circuit"]}', "one of"),
        ('{"kind": "array", "dtype": "<f8", "shape": [3], "data": "AAAA"}', "array"),
    ],
)
def test_text_that_is_no_circuit(text, match):
    with pytest.raises(FormatError, match=match):
        Circuit.from_json(text)


def test_a_field_called_kind_is_refused():
    """It would hide the name of the class in the JSON."""

    @dataclasses.dataclass(frozen=True)
    class Bad:
        kind: str = "x"

    with pytest.raises(TypeError, match="kind"):
        register(Bad)


class Izhikevich:
    pass


E_ONLY = (Population("E", 3),)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Population("E", 0), "n = 0"),
        (lambda: Population("E", 2.5), "n = 2.5"),
        (lambda: Population("E", 2, sign=3), "sign"),
        (lambda: Population("E", 2, neuron=Izhikevich()), "unknown neuron model Izhikevich"),
        (lambda: Population("E", 2, synapses=LIF()), "unknown synapse model LIF"),
        (lambda: Population("E", 2, bias=np.zeros(3)), "bias of shape"),
        (lambda: Population("E", 2, bias=[1.0, np.nan]), "NaN"),
        (lambda: Population("E", 2, cluster=[1]), "cluster of shape"),
        (lambda: LIF(tau_m=0.0), "tau_m"),
        (lambda: LIF(v_reset=-40.0), "v_reset"),
        (lambda: LIF(refractory=-1.0), "refractory"),
        (lambda: LIF(capacitance=float("nan")), "capacitance"),
        (lambda: AdEx(v_spike=-60.0), "v_spike"),
        (lambda: AdEx(delta=0.0), "delta"),
        (lambda: CurrentSynapses(tau_e=0.0), "tau_e"),
        (lambda: ConductanceSynapses(e_e=-90.0), "e_e"),
        (lambda: OU(-1.0), "noise"),
        (lambda: OU(float("nan")), "noise"),
        (lambda: PoissonInput(rate=-1.0), "rate"),
        (lambda: PoissonInput(psp=float("inf")), "weight"),
        (lambda: Bernoulli(1.2), "p"),
        (lambda: Ring(width=0.0), "width"),
        (lambda: Hub(spread=-1.0), "spread"),
        (lambda: FixedInDegree(-1), "in-degree"),
        (lambda: Weights(float("nan")), "finite"),
        (lambda: Weights(-0.2), "sign"),
        (lambda: Weights(0.2, sigma=-1.0), "sigma"),
        (lambda: Weights(0.2, unit="pA"), "unit"),
        (lambda: Delays(0.0, 0.001), "delays"),
        (lambda: Delays(0.003, 0.001), "delays"),
        (lambda: Connection("E", "E", "all"), "rule"),
        (lambda: Explicit([0], [1], [np.nan], [0.001]), "NaN"),
        (lambda: Explicit([0], [1], [0.2], [np.nan]), "delays"),
        (lambda: Explicit([0], [1, 2], [0.2], [0.001]), "length"),
        (lambda: Circuit(()), "no population"),
        (lambda: Circuit((Population("E", 1), Population("E", 1))), "same name"),
        (lambda: Circuit(E_ONLY, dt=0.0), "dt"),
        (lambda: Circuit(E_ONLY, frame=0.00015), "whole multiple"),
        (lambda: Circuit(E_ONLY, seed=-1), "seed"),
        (lambda: Circuit(E_ONLY, seed=1.5), "seed"),
        (lambda: Circuit(E_ONLY, (Connection("E", "X", AllToAll()),)), "no population 'X'"),
        (lambda: Circuit(E_ONLY, (Connection("E", "E", AllToAll(), delay=5e-5),)), "below dt"),
        (lambda: Circuit(E_ONLY, (Connection("E", "E", Explicit([0], [1], [0.2], [5e-5])),)), "below dt"),
        (lambda: Circuit(E_ONLY, (Connection("E", "E", AllToAll(), plastic=True),)), "plastic"),
        (lambda: Circuit(E_ONLY, stimuli=(Stimulus((0.0,), 0.1, np.ones(4)),)), "tuning for 4 of 3"),
        (lambda: Circuit(E_ONLY, latents=(Latent(1.0, np.ones(4)),)), "4 of 3"),
        (lambda: Circuit(E_ONLY, states=States(2, drive=np.ones((2, 4)))), "drive of shape"),
        (lambda: Circuit(E_ONLY, states=States(2, coupling=np.ones((2, 3, 3)))), "coupling of shape"),
        (lambda: Circuit(E_ONLY, states=States(2, block=np.zeros(4))), "block of shape"),
    ],
)
def test_bad_input_is_refused(build, match):
    with pytest.raises(OptionError, match=match):
        build()


def test_all_problems_at_once():
    with pytest.raises(OptionError) as caught:
        Circuit(E_ONLY, (Connection("E", "X", AllToAll()), Connection("Y", "E", AllToAll(), delay=1e-9)), seed=-1)
    for word in ("'X'", "'Y'", "below dt", "seed"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "options", "match"),
    [
        (np.zeros((2, 3)), {}, "square"),
        (np.zeros((0, 0)), {}, "square"),
        (np.array([[0.0, np.nan], [0.1, 0.0]]), {}, "NaN"),
        (np.eye(2), {}, "itself"),
        (np.array([[0, 0.1, 0], [0.1, 0, 0], [0, -0.2, 0]]), {}, "Dale"),
        (np.array([[0, 0.1], [0, 0]]), {"delay": 1e-5}, "below dt"),
        (np.array([[0, 0.1], [0, 0]]), {"delay": np.array([[np.nan, np.nan], [np.nan, np.nan]])}, "delays"),
        (np.array([[0, 0.1], [0, 0]]), {"bias": np.nan}, "NaN"),
    ],
)
def test_bad_arrays_are_refused(weight, options, match):
    with pytest.raises(OptionError, match=match):
        Circuit.from_arrays(weight, **options)


def test_from_arrays_keeps_order_weights_delays_and_signs():
    rng = np.random.default_rng(0)
    n = 9
    sign = np.array([1, -1, 1, 1, -1, -1, 1, 1, -1])
    weight = sign * rng.random((n, n)) * (rng.random((n, n)) < 0.5)
    np.fill_diagonal(weight, 0.0)
    delay = rng.integers(1, 50, size=(n, n)) * 1e-4
    bias = rng.normal(18.0, 1.0, n)
    cluster = rng.integers(-1, 3, n)
    circuit = Circuit.from_arrays(weight, delay, bias=bias, cluster=cluster, seed=3, name="mine")
    network = circuit.network()
    np.testing.assert_allclose(network.weight_matrix(), weight, rtol=1e-12)
    found = network.matrix(network.delay * 1e-4)
    np.testing.assert_allclose(found, np.where(weight != 0, delay, 0.0), rtol=1e-9)
    assert network.sign.tolist() == sign.tolist()
    np.testing.assert_array_equal(network.bias, bias)
    np.testing.assert_array_equal(network.cluster, cluster)
    assert (circuit.seed, circuit.name) == (3, "mine")


def test_from_arrays_without_dale_keeps_mixed_signs():
    weight = np.array([[0, 0.3, 0], [0.1, 0, 0], [0, -0.2, 0]])
    network = Circuit.from_arrays(weight, dale=False).network()
    np.testing.assert_allclose(network.weight_matrix(), weight, rtol=1e-12)
    assert network.sign.tolist() == [1, 0, 1]


def test_a_network_that_explodes_says_rate_and_time():
    weight = 5.0 * (np.ones((30, 30)) - np.eye(30))
    with pytest.raises(SimulationError, match=r"\d+ Hz between .* s"):
        run(Circuit.from_arrays(weight), 5.0, rng=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"engine": "matlab"}, "engine"), ({"duration": 0.0}, "duration"), ({"duration": float("nan")}, "duration")],
)
def test_bad_runs_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        run(Circuit(E_ONLY), **{"duration": 1.0, **options})


def test_repr_is_short():
    text = repr(everything())
    assert "12 neurons" in text
    assert len(text) < 200
