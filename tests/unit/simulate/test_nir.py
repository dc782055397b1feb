"""NIR graphs, written by the nir package, as circuits: edge by edge, and spike by spike against NIR's own equations."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest

from neurodata._core.rng import generator
from neurodata.errors import FormatError, OptionError, PathNotFoundError
from neurodata.simulate import Circuit, run
from neurodata.simulate.activity import starting_voltage

TAU_M, TAU_S = 0.02, 0.005
PEAK = 0.15749013123685915  # of a unit jump, 20 and 5 ms, by the closed form


def spread(values, n):
    return {key: np.broadcast_to(np.asarray(value, dtype=float), n).copy() for key, value in values.items()}


def graph_of(nodes, edges):
    """The graph as it stands: with its type check, nir adds inputs and outputs of its own."""
    return nir.NIRGraph(nodes, edges, type_check=False)


def cuba(n, **changed):
    values = {"tau_syn": TAU_S, "tau_mem": TAU_M, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 1.0} | changed
    return nir.CubaLIF(**spread(values, n))


def lif(n, **changed):
    values = {"tau": TAU_M, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0} | changed
    return nir.LIF(**spread(values, n))


def recurrent(weight, bias=None, delay=None, neurons=None):
    """Input -> Linear -> cells <-> synapses, cells -> read-out."""
    n = weight.shape[0]
    synapses = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    nodes = {
        "in": nir.Input(np.array([2])),
        "feed": nir.Linear(np.arange(2 * n, dtype=float).reshape(n, 2)),
        "cells": cuba(n) if neurons is None else neurons,
        "synapses": synapses,
        "readout": nir.LI(np.full(n, 0.1), np.ones(n), np.zeros(n)),
        "out": nir.Output(np.array([n])),
    }
    edges = [("in", "feed"), ("feed", "cells"), ("synapses", "cells"), ("cells", "readout"), ("readout", "out")]
    if delay is None:
        edges.append(("cells", "synapses"))
    else:
        nodes["wait"] = nir.Delay(delay)
        edges += [("cells", "wait"), ("wait", "synapses")]
    return graph_of(nodes, edges)


def weights(n, seed=0, density=0.6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n)) * (rng.random((n, n)) < density)


@pytest.mark.parametrize("as_file", [True, False])
def test_weights_and_delays_edge_by_edge(tmp_path, as_file):
    weight, delay = weights(5), np.array([1, 2, 3, 4, 5]) * 1e-3
    graph = recurrent(weight, delay=delay)
    source = graph
    if as_file:
        source = tmp_path / "net.nir"
        nir.write(source, graph)
    circuit = Circuit.from_nir(source, step=1e-3)
    assert [(p.name, p.n) for p in circuit.populations] == [("in", 2), ("cells", 5)]
    network = circuit.network()
    found, wait = network.weight_matrix(), network.matrix(network.delay * 1e-4)
    # A spike is 1 for 1 ms: the current jumps by w 1 ms / 5 ms, of which 20 mV are a unit.
    scale = 1e-3 / TAU_S * 20.0 * PEAK
    np.testing.assert_allclose(found[2:, 2:], weight * scale, rtol=1e-9)
    np.testing.assert_allclose(found[2:, :2], np.arange(10.0).reshape(5, 2) * scale, rtol=1e-9, atol=1e-15)
    assert not found[:2].any()
    np.testing.assert_allclose(wait[2:, 2:], np.where(weight != 0, delay, 0.0), rtol=1e-9)
    np.testing.assert_allclose(wait[2:, :2][found[2:, :2] != 0], 1e-4)
    assert network.sign.tolist() == [1] * 2 + [0] * 5


def test_file_and_graph_are_the_same_circuit(tmp_path):
    graph = recurrent(weights(4), bias=np.full(4, 1.5))
    nir.write(tmp_path / "net.nir", graph)
    hashes = {Circuit.from_nir(s).content_hash for s in (graph, tmp_path / "net.nir", str(tmp_path / "net.nir"))}
    assert len(hashes) == 1
    circuit = Circuit.from_nir(graph, seed=3, name="mine", dt=5e-5)
    assert (circuit.seed, circuit.name, circuit.dt) == (3, "mine", 5e-5)
    assert Circuit.from_json(circuit.to_json()).content_hash == circuit.content_hash


def by_the_equations(graph, start, steps, dt, area):
    """Spike steps (step, neuron) of `cells` by NIR's equations in NIR's units: tau_syn I' = -I + w_in S, and so on.

    Between grid points the solution is exact; spikes are called at grid points, as in the embedded engine, and arrive a
    step after the delay.
    """
    node, n = graph.nodes["cells"], graph.nodes["synapses"].weight.shape[0]
    weight, bias = graph.nodes["synapses"].weight, graph.nodes["synapses"].bias
    delay = np.rint(graph.nodes["wait"].delay / dt).astype(int)
    arriving = np.zeros((steps + delay.max() + 2, n))
    v, current, spikes = start.copy(), np.zeros(n), []
    a, b = np.exp(-dt / node.tau_mem), np.exp(-dt / node.tau_syn)
    for k in range(steps):
        current = current + arriving[k]
        # dv = (leak - v + R (I + w_in bias)) dt / tau_mem with I decaying: the sum of two exponentials.
        hold = node.v_leak + node.r * node.w_in * bias
        share = node.tau_syn / (node.tau_syn - node.tau_mem) * (b - a)
        v = hold + (v - hold) * a + node.r * current * share
        current = current * b
        fired = np.flatnonzero(v >= node.v_threshold)
        for j in fired:
            spikes.append((k, int(j)))
            v[j] = node.v_reset[j]
            arriving[k + 1 + delay[j]] += node.w_in * weight[:, j] * area / node.tau_syn
    return spikes


def test_spikes_are_those_of_the_equations_in_their_own_units():
    """Different thresholds, leaks, resistances and gains: the scaling of voltages must undo them all."""
    n, rng = 6, np.random.default_rng(1)
    neurons = cuba(
        n, r=rng.uniform(0.5, 2.0, n), v_leak=rng.uniform(-0.5, 0.5, n), v_threshold=rng.uniform(0.8, 2.0, n),
        w_in=rng.uniform(0.5, 2.0, n),
    )  # fmt: skip
    neurons.v_reset = rng.uniform(-0.4, 0.5, n)
    drive = (1.3 * (neurons.v_threshold - neurons.v_leak)) / (neurons.r * neurons.w_in)
    weight = weights(n, 2) * 0.5
    graph = graph_of(
        {
            "cells": neurons, "wait": nir.Delay(rng.integers(10, 40, n) * 1e-4),
            "synapses": nir.Affine(weight, drive), "out": nir.Output(np.array([n])),
        },
        [("cells", "wait"), ("wait", "synapses"), ("synapses", "cells"), ("cells", "out")],
    )  # fmt: skip
    circuit = Circuit.from_nir(graph, step=2e-3)
    rec = run(circuit, 0.5, rng=5)
    count = rec["spikes"]["spike_count"].values
    step = np.rint(rec["spikes"]["spike_time"].values / 1e-4).astype(int) - 1
    found = sorted(zip(step.tolist(), np.repeat(np.arange(n), count).tolist(), strict=True))
    start = starting_voltage(circuit, generator(5).spawn(2)[1])  # mV
    reach = neurons.v_threshold - neurons.v_leak
    expected = by_the_equations(graph, neurons.v_leak + (start + 70.0) / 20.0 * reach, 5000, 1e-4, 2e-3)
    assert len(expected) > 60
    assert np.abs(weight).max() > 0
    assert found == expected
    silent = by_the_equations(
        graph_of(graph.nodes | {"synapses": nir.Affine(0 * weight, drive)}, graph.edges),
        neurons.v_leak + (start + 70.0) / 20.0 * reach, 5000, 1e-4, 2e-3,
    )  # fmt: skip
    assert silent != expected  # the synapses matter in this test


def test_lif_gets_a_short_synapse_of_the_same_charge():
    graph = graph_of(
        {"in": nir.Input(np.array([1])), "w": nir.Linear(np.array([[0.3]])), "cells": lif(1, r=2.0)},
        [("in", "w"), ("w", "cells")],
    )
    circuit = Circuit.from_nir(graph, step=1e-3, tau_syn=2e-4)
    psp = circuit.network().psp
    # The voltage would jump by r w step / tau = 0.03 units = 0.6 mV; over 0.2 ms, a little leaks away on the way up.
    assert 0.94 * 0.6 < psp[0] < 0.6
    assert circuit.populations[1].synapses.tau_e == 2e-4
    shorter = Circuit.from_nir(graph, step=1e-3, tau_syn=1e-6).network().psp
    assert shorter[0] == pytest.approx(0.6, rel=1e-3)


def test_li_in_front_of_lif_is_its_synapse():
    """LI then LIF have the equations of CubaLIF: w_in is the resistance of the LI, and its leak a constant input."""
    weight = weights(3, 4)
    ends = {"in": nir.Input(np.array([3])), "w": nir.Affine(weight, np.array([0.1, 0.2, 0.3]))}
    li = nir.LI(np.full(3, TAU_S), np.array([0.5, 1.0, 2.0]), np.zeros(3))
    apart = graph_of({**ends, "li": li, "cells": lif(3, r=1.5)}, [("in", "w"), ("w", "li"), ("li", "cells")])
    whole = graph_of({**ends, "cells": cuba(3, r=1.5, w_in=[0.5, 1.0, 2.0])}, [("in", "w"), ("w", "cells")])
    a, b = (Circuit.from_nir(g) for g in (apart, whole))
    np.testing.assert_allclose(a.network().weight_matrix(), b.network().weight_matrix(), rtol=1e-12)
    np.testing.assert_allclose(a.network().bias, b.network().bias, rtol=1e-12)
    assert a.populations[1].synapses == b.populations[1].synapses
    li.v_leak = np.array([0.1, 0.0, 0.0])
    shifted = Circuit.from_nir(apart).network().bias - a.network().bias
    np.testing.assert_allclose(shifted, [0, 0, 0, 1.5 * 0.1 * 20.0, 0.0, 0.0], atol=1e-12)


def test_delays_add_up_and_weights_multiply_along_a_path():
    """input -> delay -> W1 -> delay -> W2 -> cells: one synapse for every way through the middle."""
    first, second = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.5, 0.0], [1.0, -1.0]])
    graph = graph_of(
        {
            "in": nir.Input(np.array([2])), "d1": nir.Delay(np.array([0.001, 0.002])), "w1": nir.Linear(first),
            "d2": nir.Delay(np.array([0.003, 0.007])), "w2": nir.Linear(second), "cells": cuba(2),
        },
        [("in", "d1"), ("d1", "w1"), ("w1", "d2"), ("d2", "w2"), ("w2", "cells")],
    )  # fmt: skip
    network = Circuit.from_nir(graph, step=TAU_S).network()
    found = sorted(
        (int(s), int(p) - 2, round(float(w) / (20 * PEAK), 9), int(d))
        for s, p, w, d in zip(network.source, network.post, network.psp, network.delay, strict=True)
    )
    by_hand = sorted(
        (j, i, second[i, k] * first[k, j], round(10000 * ((0.001, 0.002)[j] + (0.003, 0.007)[k])))
        for i in range(2)
        for k in range(2)
        for j in range(2)
        if second[i, k] * first[k, j] != 0
    )
    assert found == by_hand


def test_parallel_paths_to_one_layer_add():
    graph = graph_of(
        {
            "in": nir.Input(np.array([2])), "a": nir.Linear(np.eye(2)), "b": nir.Affine(2 * np.eye(2), np.ones(2)),
            "cells": cuba(2),
        },
        [("in", "a"), ("in", "b"), ("a", "cells"), ("b", "cells")],
    )  # fmt: skip
    network = Circuit.from_nir(graph, step=TAU_S).network()
    np.testing.assert_allclose(network.weight_matrix()[2:, :2], 3 * np.eye(2) * 20 * PEAK, rtol=1e-9)
    np.testing.assert_allclose(network.bias[2:], 20.0)


def test_neurons_of_other_time_constants_become_populations_of_their_own():
    graph = graph_of(
        {
            "in": nir.Input(np.array([4])),
            "w": nir.Linear(np.eye(4)),
            "cells": cuba(4, tau_mem=[0.01, 0.01, 0.02, 0.01]),
        },
        [("in", "w"), ("w", "cells")],
    )
    circuit = Circuit.from_nir(graph)
    assert [(p.name, p.n, p.neuron.tau_m) for p in circuit.populations[1:]] == [
        ("cells.0", 2, 0.01), ("cells.1", 1, 0.02), ("cells.2", 1, 0.01),
    ]  # fmt: skip
    weight = circuit.network().weight_matrix()[4:, :4]
    assert (np.count_nonzero(weight), np.count_nonzero(np.diag(weight))) == (4, 4)


def test_a_leak_above_the_threshold_fires_by_itself():
    graph = graph_of(
        {"in": nir.Input(np.array([1])), "w": nir.Linear(np.array([[0.0]])), "cells": cuba(1, v_leak=2.0)},
        [("in", "w"), ("w", "cells")],
    )
    circuit = Circuit.from_nir(graph, input_noise=None, input_bias=0.0)
    rate = run(circuit, 2.0, rng=0)["spikes"]["spike_count"].values / 2.0
    assert rate[0] == 0
    # From reset 0 towards 2, threshold 1: tau ln 2, called at the end of a step of 0.1 ms.
    assert rate[1] == pytest.approx(1 / (TAU_M * np.log(2)), rel=0.02)


def test_graphs_inside_graphs_are_opened():
    inner = graph_of(
        {
            "input": nir.Input(np.array([3])), "lif": cuba(3), "w_rec": nir.Linear(weights(3, 5)),
            "output": nir.Output(np.array([3])),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )  # fmt: skip
    outer = graph_of(
        {
            "in": nir.Input(np.array([2])), "fc": nir.Linear(np.ones((3, 2))), "rnn": inner,
            "fc2": nir.Linear(np.ones((1, 3))), "last": cuba(1), "out": nir.Output(np.array([1])),
        },
        [("in", "fc"), ("fc", "rnn"), ("rnn", "fc2"), ("fc2", "last"), ("last", "out")],
    )  # fmt: skip
    circuit = Circuit.from_nir(outer, step=TAU_S)
    assert {p.name: p.n for p in circuit.populations} == {"in": 2, "rnn.lif": 3, "last": 1}
    begin = circuit.network().bounds
    position = {p.name: slice(int(begin[k]), int(begin[k + 1])) for k, p in enumerate(circuit.populations)}
    found = circuit.network().weight_matrix() / (20 * PEAK)
    np.testing.assert_allclose(found[position["rnn.lif"], position["rnn.lif"]], weights(3, 5), rtol=1e-9)
    np.testing.assert_allclose(found[position["rnn.lif"], position["in"]], 1.0)
    np.testing.assert_allclose(found[position["last"], position["rnn.lif"]], 1.0)
    assert not found[position["last"], position["in"]].any()


def test_thresholds_behind_spiking_neurons_change_nothing():
    with_it = graph_of(
        {
            "in": nir.Input(np.array([2])), "w": nir.Linear(np.ones((2, 2))), "a": cuba(2),
            "t": nir.Threshold(np.full(2, 0.5)), "w2": nir.Linear(np.eye(2)), "b": cuba(2),
        },
        [("in", "w"), ("w", "a"), ("a", "t"), ("t", "w2"), ("w2", "b")],
    )  # fmt: skip
    without = graph_of(
        {k: v for k, v in with_it.nodes.items() if k != "t"}, [("in", "w"), ("w", "a"), ("a", "w2"), ("w2", "b")]
    )
    assert Circuit.from_nir(with_it).content_hash == Circuit.from_nir(without).content_hash


def chain_of(*nodes):
    names = [f"n{k}" for k in range(len(nodes))]
    return graph_of(dict(zip(names, nodes, strict=True)), list(zip(names[:-1], names[1:], strict=True)))


ONE, W = nir.Input(np.array([1])), nir.Linear(np.array([[1.0]]))


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (chain_of(ONE, nir.IF(np.ones(1), np.ones(1))), r"IF \('n1'\)"),
        (chain_of(ONE, nir.Scale(np.ones(1)), cuba(1)), r"Scale \('n1'\)"),
        (chain_of(ONE, nir.I(np.ones(1)), cuba(1)), r"I \('n1'\)"),
        (
            chain_of(nir.Input(np.array([1, 4])), nir.Conv1d(4, np.ones((1, 1, 2)), 1, 0, 1, 1, np.zeros(1)), cuba(3)),
            "Conv1d",
        ),
        (chain_of(ONE, W), "spiking neurons"),
        (chain_of(ONE, nir.Threshold(np.ones(1)), W, cuba(1)), "Threshold"),
        (chain_of(ONE, W, cuba(1), nir.Threshold(np.full(1, 1.5)), nir.Output(np.array([1]))), "Threshold"),
        (chain_of(ONE, W, nir.LI(np.ones(1), np.ones(1), np.zeros(1)), cuba(1)), "no LI in front of CubaLIF"),
        (
            chain_of(ONE, *[nir.LI(np.ones(1), np.ones(1), np.zeros(1))] * 2, lif(1)),
            "one LI",
        ),
        (chain_of(ONE, nir.Linear(np.ones((2, 3))), cuba(2)), "size of what arrives"),
        (chain_of(ONE, nir.Linear(np.array([[np.nan]])), cuba(1)), "finite weights"),
        (chain_of(ONE, W, cuba(1, v_threshold=0.0)), "reset below the threshold"),
        (chain_of(ONE, W, cuba(1, tau_mem=0.0)), "positive time constants"),
        (chain_of(ONE, W, cuba(1, tau_syn=0.0)), "positive tau_syn"),
        (chain_of(ONE, W, cuba(1, r=np.inf)), "finite r"),
        (chain_of(ONE, nir.Delay(np.array([-0.1])), W, cuba(1)), "delay of 0 s or more"),
        (
            graph_of(
                {"in": ONE, "a": W, "b": W, "cells": cuba(1)},
                [("in", "a"), ("a", "b"), ("b", "a"), ("b", "cells")],
            ),
            "loop",
        ),
        (
            graph_of(
                {"in": ONE, "w": W, "li": nir.LI(np.ones(1), np.ones(1), np.zeros(1)), "cells": lif(1)},
                [("in", "w"), ("w", "li"), ("li", "cells"), ("w", "cells")],
            ),
            "one tau",
        ),
    ],
)
def test_what_a_circuit_cannot_have_is_refused_by_name(graph, match):
    with pytest.raises(FormatError, match=match):
        Circuit.from_nir(graph)


def test_files_that_are_no_nir(tmp_path):
    with pytest.raises(PathNotFoundError):
        Circuit.from_nir(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("no")
    with pytest.raises(FormatError, match="HDF5"):
        Circuit.from_nir(tmp_path / "text.nir")
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match="node"):
        Circuit.from_nir(tmp_path / "other.nir")
    nir.write(tmp_path / "single.nir", lif(1))
    with pytest.raises(FormatError, match="NIRGraph"):
        Circuit.from_nir(tmp_path / "single.nir")


@pytest.mark.parametrize(("options", "match"), [({"step": 0.0}, "step"), ({"tau_syn": -1.0}, "tau_syn")])
def test_senseless_options_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        Circuit.from_nir(recurrent(weights(2)), **options)
