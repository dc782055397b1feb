"""Circuits from networks in the SONATA format: HDF5 tables of nodes and edges with CSV tables of their types.

Dai et al. 2020, doi 10.1371/journal.pcbi.1007696; layout as in the SONATA developer guide
(github.com/AllenInstitute/sonata). Read with h5py and pandas.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from neurodata.errors import FormatError, MissingOptionError, OptionError, PathNotFoundError
from neurodata.simulate._assemble import explicit_connections, names_of, runs, signs
from neurodata.simulate.circuit import Circuit, Population
from neurodata.simulate.inputs import OU
from neurodata.simulate.neurons import LIF, CurrentSynapses, Neuron, Synapses

if TYPE_CHECKING:
    import pandas as pd

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

POINT = ("point_neuron", "point_process", "virtual")  # "point_process" is what bmtk writes for "point_neuron"
_SIGNS = {"e": 1, "exc": 1, "excitatory": 1, "i": -1, "inh": -1, "inhibitory": -1}


def circuit_from_sonata(
    edges: Paths,
    nodes: Paths,
    *,
    edge_types: Paths = (),
    node_types: Paths = (),
    millivolt: float | None = None,
    delay_unit: float = 1e-3,
    sign: str | None = "ei",
    neuron: Neuron | None = None,
    synapses: Synapses | None = None,
    bias: float = 17.5,
    noise: OU | None = OU(3.5),  # noqa: B008 - frozen
    **fields: Any,
) -> Circuit:
    """The circuit of a SONATA network; `Circuit.from_sonata` is this.

    What is read: node populations, and of every edge its source, target, `syn_weight` (times `nsyns` where given) and
    `delay`, from the tables of edges or else from those of edge types. Neuron models are not: they belong to the
    simulator for which the network was made, so every neuron is the one passed here. Neurons of model type "virtual",
    whose spikes SONATA keeps in other files, fire by the same noise as all others; give the circuit `stimuli`.

    Parameters
    ----------
    edges, nodes : path or list of paths
        HDF5.
    edge_types, node_types : path or list of paths
        CSV, columns separated by spaces.
    millivolt : float
        PSP peak (mV) of a `syn_weight` of 1. Must be stated: SONATA leaves the unit to the simulator.
    delay_unit : float
        s for a `delay` of 1; the files of NEURON and NEST are in ms.
    sign : str or None
        Attribute of nodes that says which are excitatory ("e", "exc", "excitatory") and inhibitory ("i", ...), whatever
        the sign of `syn_weight`: NEURON's inhibitory weights are positive. Where it is absent, or with None, the sign
        is that of `syn_weight`.
    neuron : LIF or AdEx, optional
        Must be stated when the network has neurons with a morphology, which then become this point neuron.
    synapses : CurrentSynapses or ConductanceSynapses, optional
    bias, noise
        As of `Population`.
    **fields
        Further fields of `Circuit`: dt, seed, stimuli, name, ...

    Returns
    -------
    Circuit
        Neurons in the order of the files; a population for each stretch of one node type, named like the node
        population (with .0, .1, ... where there are several).

    Raises
    ------
    FormatError
        Files that are not SONATA, edges to neurons that are not there, gap junctions, weights against the sign.
    MissingOptionError
        Without `millivolt`, or without `neuron` for neurons with a morphology.

    Examples
    --------
    >>> import tempfile, h5py
    >>> from pathlib import Path
    >>> space = tempfile.TemporaryDirectory()
    >>> folder = Path(space.name)
    >>> with h5py.File(folder / "nodes.h5", "w") as file:
    ...     file["nodes/cortex/node_type_id"] = [100, 100, 101]
    >>> with h5py.File(folder / "edges.h5", "w") as file:
    ...     rows = file.create_group("edges/recurrent")
    ...     for end, ids in (("source", [0, 2]), ("target", [1, 0])):
    ...         rows[f"{end}_node_id"] = ids
    ...         rows[f"{end}_node_id"].attrs["node_population"] = "cortex"
    ...     rows["edge_type_id"], rows["edge_group_id"], rows["edge_group_index"] = [7, 7], [0, 0], [0, 1]
    ...     rows["0/syn_weight"], rows["0/delay"] = [2.0, -5.0], [1.5, 2.0]
    >>> circuit = circuit_from_sonata(folder / "edges.h5", folder / "nodes.h5", millivolt=0.1)
    >>> circuit.network().weight_matrix().tolist()
    [[0.0, 0.0, -0.5], [0.2, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> space.cleanup()
    """
    if millivolt is None:
        raise MissingOptionError(
            "the PSP peak (mV) of a syn_weight of 1", "nothing", "pass millivolt=, after the simulator's unit"
        )
    if not (np.isfinite(millivolt) and millivolt > 0):
        raise OptionError("a positive number of mV", f"{millivolt!r}", "pass millivolt=")
    if not (np.isfinite(delay_unit) and delay_unit > 0):
        raise OptionError("a positive number of s", f"{delay_unit!r}", "pass delay_unit=")
    node_table, edge_table = _types(node_types, "node_type_id"), _types(edge_types, "edge_type_id")
    groups = [group for path in _listed(nodes) for group in _node_populations(path, node_table, sign)]
    if not groups:
        raise FormatError("a file with node populations", "none", "pass nodes=")
    if neuron is None:
        bodies = sorted({kind for group in groups for kind in group.model_type if kind not in (*POINT, "")})
        if bodies:
            raise MissingOptionError(
                f"model types {', '.join(POINT)}",
                ", ".join(bodies),
                "pass neuron= to take the graph with point neurons",
            )
    first, at = {}, 0
    for group in groups:
        if group.name in first:
            raise FormatError("node populations of different names", f"{group.name!r} twice", "pass each file once")
        first[group.name] = at
        at += group.n
    parts = [_NO_EDGES] + [_edges(path, edge_table, {g.name: g for g in groups}, first) for path in _listed(edges)]
    pre, post, weight, delay = (np.concatenate(column) for column in zip(*parts, strict=True))
    direction = np.concatenate([group.sign for group in groups])
    return _circuit(groups, direction, pre, post, weight * millivolt, delay * delay_unit, neuron or LIF(), synapses,
                    bias, noise, fields)  # fmt: skip


_NO_EDGES = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


class _Nodes(NamedTuple):
    """A node population; arrays (node,). `row` finds a node by its id; `sign` is 0 where it is not stated."""

    name: str
    row: dict[int, int]
    type_id: np.ndarray
    model_type: np.ndarray
    sign: np.ndarray

    @property
    def n(self) -> int:
        return self.type_id.size


def _listed(paths: Paths) -> list[Path]:
    found = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(p) for p in paths]
    for path in found:
        if not path.exists():
            raise PathNotFoundError("a file", f"{path} does not exist", "check the path")
    return found


def _types(paths: Paths, key: str) -> pd.DataFrame | None:
    """Tables of types put together, by id."""
    import pandas as pd

    tables = []
    for path in _listed(paths):
        table = pd.read_csv(path, sep=r"\s+", quotechar='"', na_values=["NULL"], keep_default_na=False)
        if key not in table:
            raise FormatError(f"a table of types with {key}", f"{path.name}: {list(table)}", "check the file")
        tables.append(table)
    if not tables:
        return None
    joined = pd.concat(tables).set_index(key)
    twice = sorted({int(i) for i in joined.index[joined.index.duplicated()]})
    if twice:
        raise FormatError(f"each {key} once", f"{twice[:5]} several times", "pass the types of one network at a time")
    return joined


def _open(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError("a SONATA file (HDF5)", f"{path.name}: {error}", "check the file") from error


def _column(population: Any, kind: str, name: str, types: pd.DataFrame | None) -> np.ndarray | None:
    """An attribute of all nodes or edges: from the groups of the file, else from the types; None where neither has it.

    Values (object) are None where an entry is missing.
    """
    type_id = population[f"{kind}_type_id"][()]
    out = np.full(type_id.size, None, dtype=object)
    found = False
    if types is not None and name in types:
        column = types[name]
        missing = sorted(set(np.unique(type_id).tolist()) - set(column.index))
        if missing:
            raise FormatError(f"all {kind}_type_ids in the table of types", f"{missing[:5]}", "pass all tables")
        values = column.astype(object).where(column.notna(), None)
        out[:] = values.loc[type_id].to_numpy()
        found = True
    groups = [g for g in population if g.isdigit() and name in population[g]]
    if groups:
        group_id, index = population[f"{kind}_group_id"][()], population[f"{kind}_group_index"][()]
        for group in groups:
            here = group_id == int(group)
            values = population[group][name][()]
            if f"@library/{name}" in population[group]:
                values = population[group][f"@library/{name}"][()][values]
            out[here] = [v.decode() if isinstance(v, bytes) else v for v in values[index[here]].tolist()]
        found = True
    return out if found else None


def _node_populations(path: Path, types: pd.DataFrame | None, sign: str | None) -> list[_Nodes]:
    out = []
    with _open(path) as file:
        if "nodes" not in file:
            raise FormatError("a SONATA file with /nodes", f"{path.name}: {sorted(file)}", "pass edges as edges=")
        for name, population in file["nodes"].items():
            if "node_type_id" not in population:
                raise FormatError(f"node_type_id of population {name!r}", f"{sorted(population)}", "check the file")
            type_id = population["node_type_id"][()]
            ids = population["node_id"][()] if "node_id" in population else np.arange(type_id.size)
            row = {int(i): k for k, i in enumerate(ids)}
            if len(row) != type_id.size:
                raise FormatError(f"each node_id of {name!r} once", "some twice", "check the file")
            model = _column(population, "node", "model_type", types)
            blank = np.full(type_id.size, "", dtype=object)
            model_type = blank if model is None else np.where(model == None, blank, model)  # noqa: E711 - by element
            stated = _column(population, "node", sign, types) if sign else None
            out.append(_Nodes(name, row, type_id, model_type, _sign(stated, type_id.size, sign, name)))
    return out


def _sign(stated: np.ndarray | None, n: int, attribute: str | None, population: str) -> np.ndarray:
    if stated is None:
        return np.zeros(n, dtype=np.int64)
    unknown = sorted({str(v) for v in stated if v is not None and str(v).lower() not in _SIGNS})
    if unknown:
        raise FormatError(
            f"{attribute} of {', '.join(_SIGNS)} in {population!r}", f"{unknown[:5]}", "pass sign= (None: by weight)"
        )
    return np.array([0 if v is None else _SIGNS[str(v).lower()] for v in stated], dtype=np.int64)


def _numbers(column: np.ndarray | None, name: str, population: str, n: int) -> np.ndarray:
    """A column as finite numbers."""
    if column is None:
        raise FormatError(
            f"{name} of the edges of {population!r}", "none, in edges or types", "pass edge_types=, or add it"
        )
    values = np.array([np.nan if v is None else v for v in column], dtype=np.float64)
    bad = int((~np.isfinite(values)).sum())
    if values.shape != (n,) or bad:
        raise FormatError(f"{name}, one finite number per edge of {population!r}", f"{bad} missing", "correct the file")
    return values


def _edges(
    path: Path, types: pd.DataFrame | None, groups: dict[str, _Nodes], first: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target (numbered through), weight and delay, as in the file, of all edges of a file."""
    parts = []
    with _open(path) as file:
        if "edges" not in file:
            raise FormatError("a SONATA file with /edges", f"{path.name}: {sorted(file)}", "pass nodes as nodes=")
        for name, population in file["edges"].items():
            ends = []
            for end in ("source", "target"):
                data = population[f"{end}_node_id"]
                whose = data.attrs.get("node_population", "")
                whose = whose.decode() if isinstance(whose, bytes) else str(whose)
                if whose not in groups:
                    raise FormatError(
                        f"node populations {sorted(groups)}", f"{end} {whose!r} of edges {name!r}", "pass its nodes="
                    )
                row = groups[whose].row
                ids = data[()].tolist()
                lost = sorted({i for i in ids if i not in row})
                if lost:
                    raise FormatError(f"nodes of {whose!r}", f"{end} ids {lost[:5]} in {name!r}", "check the files")
                ends.append(np.array([row[i] for i in ids], dtype=np.int64) + first[whose])
            junction = _column(population, "edge", "is_gap_junction", types)
            if junction is not None and any(str(v).lower() in ("1", "1.0", "true") for v in junction if v is not None):
                raise FormatError("chemical synapses", f"gap junctions in {name!r}", "leave them out")
            n = ends[0].size
            weight = _numbers(_column(population, "edge", "syn_weight", types), "syn_weight", name, n)
            several = _column(population, "edge", "nsyns", types)
            if several is not None:
                weight = weight * _numbers(several, "nsyns", name, n)
            parts.append((*ends, weight, _numbers(_column(population, "edge", "delay", types), "delay", name, n)))
    pre, post, weight, delay = (np.concatenate(column) for column in zip(_NO_EDGES, *parts, strict=True))
    return pre, post, weight, delay


def _circuit(
    groups: list[_Nodes], direction: np.ndarray, pre: np.ndarray, post: np.ndarray, psp: np.ndarray,
    delay: np.ndarray, neuron: Neuron, synapses: Synapses | None, bias: float, noise: OU | None,
    fields: dict[str, Any],
) -> Circuit:  # fmt: skip
    against = (direction[pre] == 1) & (psp < 0)
    if against.any():
        raise FormatError(
            "weights of 0 or more from excitatory neurons",
            f"{int(against.sum())} negative ones",
            "correct the file, or pass sign=None to go by the weights",
        )
    psp = np.where(direction[pre] == -1, -np.abs(psp), psp)
    names, sizes, kinds, stated = [], [], [], []
    at = 0
    for group in groups:
        parts = runs(group.type_id, group.sign, group.model_type)
        names += names_of(group.name, len(parts))
        for a, b in parts:
            sizes.append(b - a)
            kinds.append("virtual" if group.model_type[a] == "virtual" else "")
            stated.append(direction[at + a])
        at += group.n
    bounds = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    by_weight = signs(bounds, pre, psp)
    populations = tuple(
        Population(
            name, int(b - a), sign=int(told or found), neuron=neuron, synapses=synapses or CurrentSynapses(),
            bias=bias, noise=noise, cell_type=kind,
        )
        for name, a, b, told, found, kind in zip(
            names, bounds[:-1], bounds[1:], stated, by_weight, kinds, strict=True
        )
    )  # fmt: skip
    connections = explicit_connections(names, bounds, pre, post, psp, delay)
    return Circuit(populations, connections, **{"name": "sonata", **fields})
