"""A recording from a user mapping of node variables to places in a file, whatever the file (HDF5, MATLAB, npz)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers import (
    make_behaviour,
    make_calcium,
    make_counts,
    make_eeg,
    make_events,
    make_recording,
    make_spikes,
    make_trials,
)
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.io._mapping_fields import SECONDS, Fields, MappingOptions
from neurodata.io._paths import Match, Node, array_leaf, find, listing_text
from neurodata.schema import modality_of

EXAMPLE = 'mapping={"calcium/fluorescence": "gcamp/trace_array", "calcium/time": "timing/timestamp_confocal"}'

# How files spell the units of voltages.
_VOLTS = {
    **dict.fromkeys(("V", "volt", "volts"), 1.0),
    **dict.fromkeys(("mV", "millivolt", "millivolts"), 1e-3),
    **dict.fromkeys(("uV", "µV", "μV", "microvolt", "microvolts"), 1e-6),
    **dict.fromkeys(("nV", "nanovolt", "nanovolts"), 1e-9),
}
# Words that the constructors use for other things: a coordinate of that name would be taken for an option.
_RESERVED = {
    "attrs": ("calcium", "spikes", "eeg", "behaviour", "events"),
    **dict.fromkeys(("sampling_rate", "start"), ("calcium", "spikes", "eeg")),
    **dict.fromkeys(("sort", "support", "time_unit"), ("spikes",)),
    "masks": ("calcium",),
}
_TRACES = ("fluorescence", "neuropil", "deconvolved", "dff")


def read_mapping(
    root: Node, opened: Any, mapping: Mapping[str, Any] | None, options: MappingOptions, name: str
) -> xr.DataTree:
    """Build the recording.

    Parameters
    ----------
    root : Node
        The file, walkable.
    opened : object
        The opened file as a callable in the mapping gets it.
    mapping : mapping
        ``{"node/variable": path, callable or array}``.
    options : MappingOptions
    name : str
        Of the file, for messages.

    Raises
    ------
    MissingOptionError
        Without a mapping, listing what the file holds; or when times, dims or units are not stated.
    OptionError
        A key that is no node or variable, or a path that does not exist, with the closest ones.
    RecordingError
        Arrays whose sizes disagree.
    """
    if not mapping:
        raise MissingOptionError(
            "a mapping that says which array of the file is what",
            f"none; {name} holds\n{listing_text(root)}",
            f"pass e.g. {EXAMPLE}",
        )
    if not isinstance(mapping, Mapping):
        raise OptionError(f"a mapping such as {EXAMPLE}", f"a {type(mapping).__name__}", "pass a dict")
    nodes: dict[str, dict[str, Match]] = {}
    for key, value in mapping.items():
        node, _, variable = str(key).partition("/")
        if modality_of(node) not in _BUILDERS or not variable or "/" in variable:
            raise OptionError(
                f"keys of the form node/variable, with a node out of {', '.join(_BUILDERS)}",
                repr(key),
                f"write e.g. {EXAMPLE}",
            )
        if modality_of(node) in _RESERVED.get(variable, ()):
            raise OptionError(f"a variable of {node}, not an option", repr(key), f"pass {variable}= or rename it")
        nodes.setdefault(node, {})[variable] = _resolve(root, opened, value)
    datasets = {}
    for node, matches in nodes.items():
        builder = _BUILDERS[str(modality_of(node))]
        datasets[node] = builder(Fields(node, matches, options))
    attrs: dict[str, Any] = {"mapping": {str(key): _described(value) for key, value in mapping.items()}}
    skipped = sorted({item for matches in nodes.values() for match in matches.values() for item in match.skipped})
    if skipped:
        attrs["left_out"] = skipped
    return make_recording(datasets, attrs=attrs)


def _resolve(root: Node, opened: Any, value: Any) -> Match:
    if isinstance(value, str):
        return find(root, value)
    if callable(value):
        try:
            value = value(opened)
        # Anything a caller's own function trips over is about that function, not about the file.
        except (LookupError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
            raise OptionError(
                "a callable that takes the opened file and returns an array",
                f"{_described(value)} raised {type(error).__name__}: {error}",
                "correct it",
            ) from error
    if isinstance(value, Mapping):
        return Match(True, [((str(key),), array_leaf(item)) for key, item in value.items()])
    return Match(False, [((), array_leaf(value))])


def _described(value: Any) -> str:
    if isinstance(value, str):
        return value
    return getattr(value, "__qualname__", None) or f"{type(value).__name__} given by the caller"


def _calcium(fields: Fields) -> xr.Dataset:
    traces = [name for name in _TRACES if name in fields]
    if not traces:
        raise MissingOptionError(
            f"one of {', '.join(_TRACES)} in {fields.node}", f"{sorted(fields.matches)}", "add it to the mapping"
        )
    roi = fields.vector("roi")
    arrays: dict[str, Any] = {}
    for name in _dims_first(fields, traces):
        arrays[name], ids = fields.matrix(name, "roi", None if roi is None else roi.size)
        roi = ids if roi is None else roi
    return make_calcium(**arrays, **fields.clock(), roi=roi, **fields.item_coords(roi))


def _dims_first(fields: Fields, names: list[str]) -> list[str]:
    """Variables whose dims are stated first: they tell how long time is."""
    dims = fields.options.dims
    stated = dims if isinstance(dims, Mapping) else {}
    return sorted(names, key=lambda name: f"{fields.node}/{name}" not in stated)


def _spikes(fields: Fields) -> xr.Dataset:
    if "counts" in fields:
        return _counts(fields)
    match = fields.pop("spike_time")
    if match is None:
        raise MissingOptionError(
            "spike_time or counts in spikes", f"{sorted(fields.matches)}", "add spikes/spike_time to the mapping"
        )
    stated = fields.options.time_unit
    units = {fields.scale(leaf, "spike_time") for _, leaf in match.leaves}
    if len(units) > 1:
        raise MissingOptionError("spike times in one unit", "several", "state it with time_unit=")
    factor = units.pop()
    common: dict[str, Any] = {"sort": fields.options.sort, "support": fields.options.support}
    if stated is not None:
        common |= {"time_unit": stated, "sampling_rate": fields.sampling_rate}
    elif match.leaves[0][1].unit:
        common["time_unit"] = {value: key for key, value in SECONDS.items()}[factor]
    start, stop = fields.times("support_start"), fields.times("support_stop")
    if start is not None and stop is not None:
        common["support"] = np.stack([start, stop], axis=1)
    unit, spike_id = fields.vector("unit"), fields.vector("spike_id")
    if match.starred:
        ids = match.ids()
        trains = [fields.flat(leaf, "spike_time") for _, leaf in match.leaves]
        return make_spikes(trains, unit=ids if unit is None else unit, **common, **fields.item_coords(ids))
    if spike_id is None:
        raise MissingOptionError(
            "the unit of each spike",
            "one array of times",
            "map spikes/spike_id, or use a path with * (one match per unit)",
        )
    extra: dict[str, Any] = {name: fields.vector(name) for name in ("spike_sample", "spike_amplitude")}
    times = fields.flat(match.leaves[0][1], "spike_time")
    known = np.unique(spike_id) if unit is None else unit
    return make_spikes(times, spike_id, unit=unit, **common, **extra, **fields.item_coords(known))


def _counts(fields: Fields) -> xr.Dataset:
    if fields.options.bin_width is None:
        raise MissingOptionError("the width of the bins of spikes/counts", "none", "pass bin_width= (s)")
    unit = fields.vector("unit")
    array, ids = fields.matrix("counts", "unit", None if unit is None else unit.size)
    unit = ids if unit is None else unit
    counts = make_counts(
        array,
        fields.options.bin_width,
        time=fields.time,
        start=fields.options.start,
        unit=unit,
        **fields.item_coords(unit),
    )
    return counts.to_dataset()


def _eeg(fields: Fields) -> xr.Dataset:
    if "signal" not in fields:
        raise MissingOptionError(f"signal in {fields.node}", f"{sorted(fields.matches)}", "add it to the mapping")
    unit = fields.options.signal_unit or fields.matches["signal"].leaves[0][1].unit
    if unit not in _VOLTS:
        raise MissingOptionError(
            f"the unit of {fields.node}/signal, one of V, mV, uV, nV",
            repr(unit) if unit else "none",
            "pass signal_unit=",
        )
    channel = fields.vector("channel")
    signal, ids = fields.matrix("signal", "channel", None if channel is None else channel.size)
    if _VOLTS[unit] != 1.0:
        signal = np.asarray(signal, dtype=np.float64) * _VOLTS[unit]
    elif signal.dtype.kind != "f":
        signal = np.asarray(signal, dtype=np.float64)
    channel = ids if channel is None else channel
    coords = fields.item_coords(channel)
    return make_eeg(signal, channel=channel, ch_unit_original=unit, **fields.clock(), **coords)


def _behaviour(fields: Fields) -> xr.Dataset:
    given: dict[str, Any] = {}
    for name, allowed in (
        ("position", ("time", "space", "keypoint", "individual")),
        ("confidence", ("time", "keypoint", "individual")),
    ):
        leaf = fields.single(name)
        if leaf is None:
            continue
        dims = fields.stated_dims(name, len(leaf.shape), allowed)
        if dims is None or "time" not in dims:
            raise MissingOptionError(
                f"the dims of {fields.node}/{name}",
                f"shape {leaf.shape}",
                f'pass dims={{"{fields.node}/{name}": {allowed[: len(leaf.shape)]}}}',
            )
        labelled = xr.DataArray(np.asarray(leaf.read(), dtype=np.float64), dims=dims)
        absent = [dim for dim in allowed if dim not in dims]
        given[name] = labelled.expand_dims(absent).transpose(*allowed).values
        fields.know(name, given[name].shape[0])
    labels: dict[str, Any] = {name: fields.vector(name) for name in ("space", "keypoint", "individual", "signal")}
    signal = labels.pop("signal")
    columns: list[np.ndarray] = []
    names: list[str] = []
    units: list[str] = []
    for name in list(fields.matches):
        stated = fields.matches[name].leaves[0][1].unit
        array, ids = fields.matrix(name, "signal")
        n = array.shape[1]
        columns.append(np.asarray(array, dtype=np.float64))
        units += [stated] * n
        if ids is not None:
            names += ids.astype(str).tolist()
        elif name == "value" and signal is not None:
            names += signal.astype(str).tolist()
        else:
            names += [name] if n == 1 else [f"{name}_{number}" for number in range(n)]
    if columns:
        given |= {"value": np.concatenate(columns, axis=1), "signal": names, "unit": units}
    return make_behaviour(**given, **labels, **fields.clock())


def _table(fields: Fields, times: tuple[str, ...]) -> dict[str, Any]:
    columns = {}
    for name in list(fields.matches):
        values = fields.times(name) if name in times else fields.vector(name)
        assert values is not None
        columns[name] = values
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"columns of one length in {fields.node}", f"{sizes}", "check the paths of the mapping")
    return columns


def _trials(fields: Fields) -> xr.Dataset:
    trial = fields.vector("trial")
    return make_trials(_table(fields, ("start", "stop")), trial=trial)


def _events(fields: Fields) -> xr.Dataset:
    columns = _table(fields, ("onset", "duration"))
    if "onset" not in columns:
        raise MissingOptionError("onset in events", f"{sorted(columns)}", "add events/onset to the mapping")
    return make_events(columns.pop("onset"), **columns)


_BUILDERS: dict[str, Callable[[Fields], xr.Dataset]] = {
    "calcium": _calcium,
    "spikes": _spikes,
    "eeg": _eeg,
    "behaviour": _behaviour,
    "trials": _trials,
    "events": _events,
}
