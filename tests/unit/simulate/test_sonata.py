"""SONATA networks, laid out as the developer guide says, as circuits: weights and delays edge by edge."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from neurodata.errors import FormatError, MissingOptionError, OptionError, PathNotFoundError
from neurodata.simulate import LIF, Circuit, ConductanceSynapses, run

NODE_TYPES = """node_type_id ei model_type model_template
100 e point_neuron nest:iaf_psc_exp
101 i point_neuron nest:iaf_psc_exp
"""
VIRTUAL_TYPES = """node_type_id ei model_type pop_name
200 e virtual "thalamic input"
"""
EDGE_TYPES = """edge_type_id target_query source_query delay syn_weight dynamics_params
1 "ei=='e'" "ei=='e'" 1.5 2.0 ExcToExc.json
2 "ei=='e'" "ei=='i'" 2.0 NULL InhToExc.json
"""


def write_nodes(path, name, type_id, node_id=None, **group):
    """A population of nodes; `group` are attributes of single nodes."""
    with h5py.File(path, "a") as file:
        file.attrs["magic"], file.attrs["version"] = np.uint32(0x0A7A), np.array([0, 1], dtype=np.uint32)
        population = file.create_group(f"nodes/{name}")
        n = len(type_id)
        population["node_type_id"] = np.asarray(type_id)
        if node_id is not None:
            population["node_id"] = np.asarray(node_id)
        population["node_group_id"], population["node_group_index"] = np.zeros(n, int), np.arange(n)
        inner = population.create_group("0")
        for key, value in group.items():
            inner[key] = value


def write_edges(path, name, source, target, ends, type_id, groups, group_id=None, group_index=None):
    """A population of edges; `groups` are attributes of single edges, by group."""
    with h5py.File(path, "a") as file:
        population = file.create_group(f"edges/{name}")
        for end, ids, whose in (("source", source, ends[0]), ("target", target, ends[1])):
            population[f"{end}_node_id"] = np.asarray(ids)
            population[f"{end}_node_id"].attrs["node_population"] = whose
        n = len(source)
        population["edge_type_id"] = np.asarray(type_id)
        population["edge_group_id"] = np.zeros(n, int) if group_id is None else np.asarray(group_id)
        population["edge_group_index"] = np.arange(n) if group_index is None else np.asarray(group_index)
        for group, attributes in groups.items():
            inner = population.create_group(group)
            for key, value in attributes.items():
                inner[key] = value


@pytest.fixture
def network(tmp_path):
    """Cortex of 3 e and 2 i, ids out of order; 2 thalamic cells onto it. Attributes in files, types, and two groups."""
    write_nodes(tmp_path / "cortex.h5", "cortex", [100, 100, 100, 101, 101], [7, 3, 5, 1, 9])
    write_nodes(tmp_path / "thalamus.h5", "thalamus", [200, 200])
    write_edges(
        tmp_path / "cortex_cortex.h5", "recurrent", [7, 3, 1, 9, 5], [3, 5, 7, 3, 7], ("cortex", "cortex"),
        [1, 1, 2, 2, 1],
        {"0": {"syn_weight": [3.0, 4.0]}, "1": {"syn_weight": [5.0, 6.0], "delay": [2.5, 3.5]}, "2": {"x": [0.0]}},
        group_id=[0, 2, 1, 1, 0], group_index=[1, 0, 1, 0, 0],
    )  # fmt: skip
    write_edges(
        tmp_path / "thalamus_cortex.h5", "feed", [0, 1, 1], [7, 9, 7], ("thalamus", "cortex"), [1, 1, 1],
        {"0": {"syn_weight": [1.0, 1.5, 2.0], "nsyns": [1, 2, 4]}},
    )  # fmt: skip
    for name, text in (("node", NODE_TYPES), ("virtual", VIRTUAL_TYPES), ("edge", EDGE_TYPES)):
        (tmp_path / f"{name}.csv").write_text(text)
    return {
        "edges": [tmp_path / "cortex_cortex.h5", tmp_path / "thalamus_cortex.h5"],
        "nodes": [tmp_path / "cortex.h5", tmp_path / "thalamus.h5"],
        "edge_types": tmp_path / "edge.csv",
        "node_types": [tmp_path / "node.csv", tmp_path / "virtual.csv"],
    }


def test_weights_and_delays_edge_by_edge(network):
    circuit = Circuit.from_sonata(**network, millivolt=0.1)
    assert [(p.name, p.n, p.sign, p.cell_type) for p in circuit.populations] == [
        ("cortex.0", 3, 1, ""), ("cortex.1", 2, -1, ""), ("thalamus", 2, 1, "virtual"),
    ]  # fmt: skip
    drawn = circuit.network()
    weight, delay = drawn.weight_matrix(), drawn.matrix(drawn.delay * 1e-4)
    # Rows of the files: 7, 3, 5, 1, 9 are neurons 0 to 4; 0 and 1 of the thalamus 5 and 6. Weights of "i" are negative
    # whatever their sign in the file; a delay that the edge's group lacks is that of its type, 1.5 ms, and so is the
    # weight 2 of the edge 3 -> 5 in group 2.
    expected = {
        (1, 0): (0.4, 0.0015), (2, 1): (0.2, 0.0015), (0, 3): (-0.6, 0.0035), (1, 4): (-0.5, 0.0025),
        (0, 2): (0.3, 0.0015), (0, 5): (0.1, 0.0015), (4, 6): (0.3, 0.0015), (0, 6): (0.8, 0.0015),
    }  # fmt: skip
    found = {tuple(map(int, at)): (weight[tuple(at)], delay[tuple(at)]) for at in np.argwhere(weight)}
    assert found.keys() == expected.keys()
    for at, values in expected.items():
        assert found[at] == pytest.approx(values, rel=1e-9)


def test_the_circuit_runs_and_survives_json(network):
    circuit = Circuit.from_sonata(**network, millivolt=0.1, synapses=ConductanceSynapses(), neuron=LIF(), seed=2)
    assert Circuit.from_json(circuit.to_json()).content_hash == circuit.content_hash
    truth = run(circuit, 0.5, rng=0)["truth"]
    assert truth["cell_type"].values.tolist() == ["excitatory"] * 3 + ["inhibitory"] * 2 + ["virtual"] * 2
    assert int(truth["exists"].values.sum()) == 8


def test_sign_by_weight_where_it_is_not_stated(network, tmp_path):
    with pytest.raises(MissingOptionError, match="syn_weight"):
        Circuit.from_sonata(**network)
    circuit = Circuit.from_sonata(**network, millivolt=0.1, sign=None)
    assert [p.sign for p in circuit.populations] == [1, 1, 1]
    write_nodes(tmp_path / "n.h5", "p", [1, 1])
    write_edges(
        tmp_path / "e.h5",
        "q",
        [0, 1],
        [1, 0],
        ("p", "p"),
        [1, 1],
        {"0": {"syn_weight": [1.0, -1.0], "delay": [1.0, 1.0]}},
    )
    mixed = Circuit.from_sonata(tmp_path / "e.h5", tmp_path / "n.h5", millivolt=0.5)
    assert [(p.name, p.sign) for p in mixed.populations] == [("p", 0)]
    np.testing.assert_allclose(mixed.network().weight_matrix(), [[0, -0.5], [0.5, 0]])


def test_attributes_of_single_nodes_override_their_type(network, tmp_path):
    """`ei` as an explicit enumeration, and a population without ids (then they count from 0)."""
    write_nodes(tmp_path / "n.h5", "p", [100, 100, 100], ei=np.array([1, 0, 1]))
    with h5py.File(tmp_path / "n.h5", "a") as file:
        file["nodes/p/0/@library/ei"] = np.array(["i", "e"], dtype=h5py.string_dtype())
    write_edges(
        tmp_path / "e.h5", "q", [0, 1, 2], [1, 2, 0], ("p", "p"), [1] * 3,
        {"0": {"syn_weight": [1.0] * 3, "delay": [0.5] * 3}},
    )  # fmt: skip
    options = {"node_types": network["node_types"], "millivolt": 1.0, "delay_unit": 1e-2}
    circuit = Circuit.from_sonata(tmp_path / "e.h5", tmp_path / "n.h5", **options)
    assert [(p.name, p.n, p.sign) for p in circuit.populations] == [("p.0", 1, 1), ("p.1", 1, -1), ("p.2", 1, 1)]
    drawn = circuit.network()
    np.testing.assert_allclose(drawn.weight_matrix(), [[0, 0, 1], [1, 0, 0], [0, -1, 0]])
    assert (drawn.delay == 50).all()


def test_neurons_with_a_morphology_need_a_neuron(network, tmp_path):
    (tmp_path / "node.csv").write_text(NODE_TYPES.replace("point_neuron", "biophysical"))
    with pytest.raises(MissingOptionError, match="biophysical"):
        Circuit.from_sonata(**network, millivolt=0.1)
    circuit = Circuit.from_sonata(**network, millivolt=0.1, neuron=LIF(tau_m=0.01))
    assert circuit.populations[0].neuron == LIF(tau_m=0.01)


def broken(network, tmp_path, what):
    """The options of a network with one thing wrong."""
    options = {**network, "millivolt": 0.1}
    cortex, edges = tmp_path / "cortex.h5", tmp_path / "cortex_cortex.h5"
    if what == "lost node":
        with h5py.File(edges, "a") as file:
            file["edges/recurrent/target_node_id"][0] = 4
    elif what == "lost population":
        options["nodes"] = cortex
    elif what == "edges as nodes":
        options["nodes"] = [edges]
    elif what == "nodes as edges":
        options["edges"] = cortex
    elif what == "twice":
        options["nodes"] = [cortex, cortex, tmp_path / "thalamus.h5"]
    elif what == "no types":
        options["edge_types"] = ()
    elif what == "type missing":
        (tmp_path / "edge.csv").write_text(EDGE_TYPES.splitlines()[0] + "\n" + EDGE_TYPES.splitlines()[1] + "\n")
    elif what == "type twice":
        options["edge_types"] = [tmp_path / "edge.csv"] * 2
    elif what == "NULL weight":
        (tmp_path / "edge.csv").write_text(EDGE_TYPES.replace("1.5 2.0", "1.5 NULL"))
    elif what == "not types":
        options["edge_types"] = tmp_path / "node.csv"
    elif what == "gap":
        (tmp_path / "edge.csv").write_text(
            EDGE_TYPES.replace("dynamics_params", "is_gap_junction").replace("ExcToExc.json", "True")
        )
    elif what == "against sign":
        with h5py.File(edges, "a") as file:
            file["edges/recurrent/0/syn_weight"][0] = -1.0
    elif what == "ei":
        (tmp_path / "node.csv").write_text(NODE_TYPES.replace("101 i", "101 maybe"))
    elif what == "id twice":
        with h5py.File(cortex, "a") as file:
            file["nodes/cortex/node_id"][0] = 3
    elif what == "not hdf5":
        (tmp_path / "cortex.h5").write_text("no")
    elif what == "NaN weight":
        with h5py.File(edges, "a") as file:
            file["edges/recurrent/0/syn_weight"][0] = np.nan
    return options


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("lost node", r"target ids \[4\]"),
        ("lost population", "'thalamus'"),
        ("edges as nodes", "/nodes"),
        ("nodes as edges", "/edges"),
        ("twice", "'cortex' twice"),
        ("no types", "syn_weight|delay"),
        ("type missing", "edge_type_ids"),
        ("type twice", "several times"),
        ("NULL weight", "1 missing"),
        ("not types", "edge_type_id"),
        ("gap", "gap junctions"),
        ("against sign", "1 negative"),
        ("ei", "maybe"),
        ("id twice", "twice"),
        ("not hdf5", "HDF5"),
        ("NaN weight", "1 missing"),
    ],
)
def test_broken_networks_are_refused(network, tmp_path, what, match):
    with pytest.raises(FormatError, match=match):
        Circuit.from_sonata(**broken(network, tmp_path, what))


def test_senseless_options_are_refused(network, tmp_path):
    for options, match in (({"millivolt": -1.0}, "mV"), ({"millivolt": 0.1, "delay_unit": 0.0}, "of s")):
        with pytest.raises(OptionError, match=match):
            Circuit.from_sonata(**network, **options)
    with pytest.raises(OptionError, match="below dt"):
        Circuit.from_sonata(**network, millivolt=0.1, delay_unit=1e-6)
    with pytest.raises(PathNotFoundError):
        Circuit.from_sonata(tmp_path / "none.h5", network["nodes"], millivolt=0.1)
    circuit = Circuit.from_sonata((), network["nodes"], millivolt=0.1)
    assert circuit.n_neurons == 7
    assert not circuit.connections
