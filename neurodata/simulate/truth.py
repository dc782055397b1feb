"""The `/truth` node: what is known of a simulated recording; and its view on the units that a lab recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.containers.recording import is_recording
from neurodata.errors import RecordingError
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network

if TYPE_CHECKING:
    from neurodata.simulate.activity import Activity
    from neurodata.simulate.circuit import Circuit

DENSE = 2000  # neurons up to which weights are a matrix; above, a list of edges
LARGEST_DRIVE = 2 * 10**8  # values; a longer run keeps latent and loading only


def make_truth(
    circuit: Circuit, network: Network, inputs: Inputs, activity: Activity, current_step: float
) -> xr.Dataset:
    """The `/truth` Dataset of a run; times in s, voltages in mV."""
    n = network.n_neurons
    neuron = np.arange(n)
    frames = (np.arange(inputs.state.size) + 0.5) * circuit.frame
    data: dict[str, Any] = {
        "sign": ("neuron", network.sign, {"long_name": "excitatory 1, inhibitory -1, mixed 0"}),
        "cell_type": ("neuron", _per_neuron(circuit, network, lambda p: p.cell_type or _TYPES[p.sign])),
        "population": ("neuron", _per_neuron(circuit, network, lambda p: p.name)),
        "cluster": ("neuron", network.cluster, {"long_name": "known group, -1 for none"}),
        "position": ("neuron", network.position, {"units": "turn"}),
        "observed": ("neuron", np.ones(n, dtype=np.int8)),
        "unit_neuron": (("unit", "source"), neuron[:, None], {"long_name": "neurons behind each unit, padded with -1"}),
    }
    coords: dict[str, Any] = {"neuron": neuron, "unit": neuron, "time": ("time", frames, {"units": "s"})}
    data |= _edges(network, circuit.dt)
    if n <= DENSE:
        coords |= {"post": neuron, "pre": neuron}
    data |= _slow(circuit, network, inputs)
    if activity.modulator is not None:
        data["modulator"] = ("time", activity.modulator, {"units": "1"})
    if activity.current_e is not None and activity.current_i is not None:
        sample = (np.arange(activity.current_e.shape[0]) + 1) * current_step
        coords |= {"current_time": ("current_time", sample, {"units": "s"})}
        names = [p.name for p in circuit.populations]
        coords |= {"current_population": names}
        for name, values in (("current_e", activity.current_e), ("current_i", activity.current_i)):
            about = {"units": "mV", "long_name": "synaptic input summed over the population"}
            data[name] = (("current_time", "current_population"), values.astype(np.float32), about)
    if activity.weight_t is not None and n <= DENSE:
        coords["snapshot"] = ("snapshot", activity.snapshot, {"units": "s"})
        matrices = np.array([network.matrix(weight) for weight in activity.weight_t])
        data["weight_t"] = (("snapshot", "post", "pre"), matrices, {"units": "mV", "long_name": "signed PSP peak"})
    return xr.Dataset(
        data,
        coords=coords,
        attrs={
            "circuit": circuit.to_json(),
            "circuit_hash": circuit.content_hash,
            "circuit_name": circuit.name,
            "engine": activity.engine,
            "engine_version": activity.version,
            "dt": circuit.dt,
            "frame": circuit.frame,
            "duration": inputs.state.size * circuit.frame,
        },
    )


_TYPES = {1: "excitatory", -1: "inhibitory", 0: "mixed"}


def _per_neuron(circuit: Circuit, network: Network, fact: Any) -> np.ndarray:
    return np.array([fact(p) for p in circuit.populations])[network.population]


def _edges(network: Network, dt: float) -> dict[str, Any]:
    weight = {"units": "mV", "long_name": "signed PSP peak"}
    if network.n_neurons > DENSE:
        return {
            "edge_pre": ("edge", network.source.astype(np.int32)),
            "edge_post": ("edge", network.post),
            "edge_weight": ("edge", network.psp, weight),
            "edge_delay": ("edge", network.delay * dt, {"units": "s"}),
        }
    count = network.matrix(np.ones(network.post.size))
    delay = np.full(count.shape, np.nan)
    delay[network.post, network.source] = network.delay * dt
    return {
        "weight": (("post", "pre"), network.weight_matrix(), weight),
        "delay": (("post", "pre"), delay, {"units": "s"}),
        "exists": (("post", "pre"), (count > 0).astype(np.float64), {"long_name": "1 edge, 0 none, NaN unknown"}),
    }


def _slow(circuit: Circuit, network: Network, inputs: Inputs) -> dict[str, Any]:
    n = network.n_neurons
    data: dict[str, Any] = {}
    if circuit.states is not None:
        data["state"] = ("time", inputs.state)
        data["block"] = ("neuron", inputs.block)
        data["state_drive"] = (("state_index", "neuron"), inputs.state_drive, {"units": "mV"})
        data["state_gain"] = (("state_index", "neuron"), inputs.state_gain, {"units": "1"})
        data["coupling_gain"] = (("state_index", "post_block", "pre_block"), inputs.coupling, {"units": "1"})
    if inputs.latent.shape[1]:
        loading = np.array([latent.loading for latent in circuit.latents]).T
        data["latent"] = (("time", "latent"), inputs.latent, {"units": "1"})
        data["latent_loading"] = (("neuron", "latent"), loading, {"units": "mV"})
    if inputs.stimulus.shape[1]:
        data["stimulus"] = (("time", "channel"), inputs.stimulus, {"units": "1"})
        tuning = np.concatenate([stimulus.tuning for stimulus in circuit.stimuli])
        data["tuning"] = (("channel", "neuron"), tuning, {"units": "mV"})
    moves = bool(inputs.signal.shape[1]) or circuit.states is not None
    about = {"units": "mV", "long_name": "deterministic input, without noise, synapses and modulator"}
    if not moves:
        data["drive"] = ("neuron", network.bias + inputs.state_drive[0], about)
    elif inputs.state.size * n <= LARGEST_DRIVE:
        drive = network.bias + inputs.state_drive[inputs.state] + inputs.signal @ inputs.loading
        drive *= inputs.state_gain[inputs.state]
        data["drive"] = (("time", "neuron"), drive.astype(np.float32), about)
    return data


def without_truth(rec: xr.DataTree) -> xr.DataTree:
    """The recording as a lab has it: everything but `/truth`. This is what models get.

    Examples
    --------
    >>> from neurodata.simulate import run, without_truth, zoo
    >>> rec = run(zoo.null(n=5, rng=0), 1.0, rng=0)
    >>> sorted(without_truth(rec).children)
    ['spikes']
    """
    if not is_recording(rec):
        raise RecordingError("one recording", f"a {type(rec).__name__} that is none", "pass what run() or load() gave")
    nodes = {f"/{name}": node.to_dataset() for name, node in rec.children.items() if name != "truth"}
    return xr.DataTree.from_dict({"/": rec.to_dataset(), **nodes})


def truth_of(rec: xr.DataTree) -> xr.Dataset:
    """The `/truth` node, or an error that says where recordings with one come from."""
    if not isinstance(rec, xr.DataTree) or "truth" not in rec.children:
        raise RecordingError(
            "a recording with /truth", "one without", "make it with nd.simulate.run(circuit, duration)"
        )
    return rec["truth"].to_dataset()


def unit_truth(rec: xr.DataTree) -> xr.Dataset:
    """The truth about the units that were recorded, instead of the neurons behind them.

    A merged unit has the summed weights of its neurons, and an edge where any has one. Whether two units that share a
    neuron (halves of a split) are connected has no answer, nor has a unit with itself: `exists` is NaN there.

    Parameters
    ----------
    rec : DataTree
        With `/truth`.

    Returns
    -------
    Dataset
        `weight` (post, pre; mV), `exists` (post, pre), `delay` (post, pre; s) over unit ids, `sign`, `cluster`,
        `cell_type` (unit; of the first neuron; "" or -1 where the neurons of a merge differ) and everything that has
        no neuron in it, unchanged.

    Examples
    --------
    >>> from neurodata.simulate import run, unit_truth, zoo
    >>> truth = unit_truth(run(zoo.null(n=5, rng=0), 1.0, rng=0))
    >>> dict(truth.weight.sizes), float(truth.exists.sum())
    ({'post': 5, 'pre': 5}, 0.0)
    """
    truth = truth_of(rec)
    members = truth["unit_neuron"].values
    ids = truth["unit"].values
    n_units, n = members.shape[0], truth.sizes["neuron"]
    belongs = np.zeros((n_units, n))
    for column in members.T:
        kept = column >= 0
        belongs[np.flatnonzero(kept), column[kept]] = 1.0
    first = members[:, 0]
    out: dict[str, Any] = {}
    for name in ("sign", "cluster", "cell_type", "population"):
        values = truth[name].values
        mine = values[np.maximum(first, 0)].copy()
        blank = {"sign": 0, "cluster": -1}.get(name, "")
        for unit, row in enumerate(members):
            kept = row[row >= 0]
            if not kept.size or (values[kept] != values[kept[0]]).any():
                mine[unit] = blank
        out[name] = ("unit", mine)
    out |= _unit_edges(truth, belongs)
    # All variables are looked at: `latent` (time, latent) is a coordinate, being named like one of its dims.
    rest = truth.drop_vars(
        [v for v in truth.variables if {"neuron", "post", "pre", "edge", "unit"} & set(truth[v].dims)]
    )
    for name in ("drive", "weight_t"):
        if name in truth and {"time", "neuron"} <= set(truth[name].dims):
            share = belongs / np.maximum(belongs.sum(axis=1, keepdims=True), 1.0)
            out[name] = (("time", "unit"), truth[name].values @ share.T, truth[name].attrs)
    if "weight_t" in truth:
        moved = np.einsum("ui,sij,vj->suv", belongs, truth["weight_t"].values, belongs)
        out["weight_t"] = (("snapshot", "post", "pre"), moved, truth["weight_t"].attrs)
    return rest.assign(out).assign_coords(unit=ids, post=ids, pre=ids)


def _unit_edges(truth: xr.Dataset, belongs: np.ndarray) -> dict[str, Any]:
    from scipy import sparse

    n_units, n = belongs.shape
    if "weight" in truth:
        weight, exists = truth["weight"].values, truth["exists"].values
        delay = truth["delay"].values
        edges = np.nonzero(np.isfinite(exists) & (exists > 0))
        strength, wait, unknown = weight[edges], delay[edges], np.isnan(exists)
    else:
        edges = (truth["edge_post"].values, truth["edge_pre"].values)
        strength, wait, unknown = truth["edge_weight"].values, truth["edge_delay"].values, None
    member = sparse.csr_array(belongs)

    def lift(values: np.ndarray) -> np.ndarray:
        return (member @ sparse.csr_array((values, edges), shape=(n, n)) @ member.T).toarray()

    count = lift(np.ones(strength.size))
    found = (count > 0).astype(np.float64)
    shared = (belongs @ belongs.T) > 0
    found[shared] = np.nan
    if unknown is not None and unknown.any():
        # A unit pair with an unknown pair of neurons behind it is unknown, unless a known edge settles it.
        doubtful = (belongs @ unknown.astype(float) @ belongs.T) > 0
        found[doubtful & ~(count > 0)] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_delay = lift(wait) / count
    return {
        "weight": (("post", "pre"), lift(strength), {"units": "mV", "long_name": "signed PSP peak"}),
        "exists": (("post", "pre"), found, {"long_name": "1 edge, 0 none, NaN not to be scored"}),
        "delay": (("post", "pre"), mean_delay, {"units": "s"}),
    }


def circuit_of(rec: xr.DataTree) -> Any:
    """The circuit that made a recording."""
    from neurodata.simulate.circuit import Circuit

    return Circuit.from_json(truth_of(rec).attrs["circuit"])
