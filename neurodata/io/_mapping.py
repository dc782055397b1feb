"""A recording from a user mapping of node variables to places in a file, whatever the file (HDF5, MATLAB, npz)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from neurodata.io._paths import Leaf, Match, Node, array_leaf, find, listing_text
from neurodata.schema import modality_of

EXAMPLE = 'mapping={"calcium/fluorescence": "gcamp/trace_array", "calcium/time": "timing/timestamp_confocal"}'

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
# How files spell the units of times and voltages.
_TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "µs", "μs", "microsecond", "microseconds"), "us"),
}
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


@dataclass(frozen=True)
class MappingOptions:
    """What the caller states besides the mapping; see `read_mapping`."""

    dims: Any = None
    sampling_rate: Any = None
    start: float = 0.0
    time_unit: str | None = None
    bin_width: float | None = None
    signal_unit: str | None = None
    sort: bool = False
    support: Any = None


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
        datasets[node] = builder(_Fields(node, matches, options))
    attrs: dict[str, Any] = {"mapping": {str(key): _described(value) for key, value in mapping.items()}}
    skipped = sorted({item for matches in nodes.values() for match in matches.values() for item in match.skipped})
    if skipped:
        attrs["left_out"] = skipped
    return make_recording(datasets, attrs=attrs)


def _resolve(root: Node, opened: Any, value: Any) -> Match:
    if isinstance(value, str):
        return find(root, value)
    if callable(value):
        value = value(opened)
    if isinstance(value, Mapping):
        return Match(True, [((str(key),), array_leaf(item)) for key, item in value.items()])
    return Match(False, [((), array_leaf(value))])


def _described(value: Any) -> str:
    if isinstance(value, str):
        return value
    return getattr(value, "__qualname__", None) or f"{type(value).__name__} given by the caller"


class _Fields:
    """The mapped variables of one node, and the sizes of its axes as far as they are known."""

    def __init__(self, node: str, matches: dict[str, Match], options: MappingOptions) -> None:
        self.node, self.matches, self.options = node, dict(matches), options
        rate = options.sampling_rate
        self.sampling_rate = rate.get(node) if isinstance(rate, Mapping) else rate
        self.time = self.times("time")
        self.n_times = None if self.time is None else self.time.size

    def __contains__(self, variable: str) -> bool:
        return variable in self.matches

    def pop(self, variable: str) -> Match | None:
        return self.matches.pop(variable, None)

    def single(self, variable: str) -> Leaf | None:
        """The one leaf of a variable that takes no `*`."""
        match = self.pop(variable)
        if match is None:
            return None
        if match.starred:
            raise OptionError(f"one array for {self.node}/{variable}", "a path with *", "name one array")
        return match.leaves[0][1]

    def vector(self, variable: str) -> np.ndarray | None:
        """A one-dimensional variable; rows and columns of MATLAB become one axis."""
        leaf = self.single(variable)
        return None if leaf is None else self.flat(leaf, variable)

    def flat(self, leaf: Leaf, variable: str) -> np.ndarray:
        array = np.asarray(leaf.read())
        if array.size and array.ndim > 1 and sum(size != 1 for size in array.shape) > 1:
            raise RecordingError(
                f"{self.node}/{variable} to be a vector",
                f"shape {leaf.shape}",
                "take one column with a slice such as 'path[:, 0]'",
            )
        return array.reshape(-1)

    def scale(self, leaf: Leaf, variable: str) -> float:
        """Factor that turns times of a leaf into s: stated by the caller, else by the file, else they are s."""
        stated = self.options.time_unit
        if stated == "sample":
            if self.sampling_rate is None:
                raise MissingOptionError("the sampling rate of times in samples", "none", "pass sampling_rate= (Hz)")
            return 1.0 / self.sampling_rate
        unit = stated if stated is not None else (_TIME_UNITS.get(leaf.unit) if leaf.unit else "s")
        if unit not in _SECONDS:
            raise OptionError(
                "times in 's', 'ms', 'us' or 'sample'",
                f"{self.node}/{variable} in {stated or leaf.unit!r}",
                "state the unit with time_unit=",
            )
        return _SECONDS[unit]

    def times(self, variable: str) -> np.ndarray | None:
        if variable not in self:
            return None
        leaf = self.matches[variable].leaves[0][1]
        factor = self.scale(leaf, variable)
        values = self.vector(variable)
        assert values is not None
        values = values.astype(np.float64)
        return values if factor == 1.0 else values * factor

    def stated_dims(self, variable: str, n_dims: int, allowed: tuple[str, ...]) -> tuple[str, ...] | None:
        dims = self.options.dims
        if isinstance(dims, Mapping):
            dims = dims.get(f"{self.node}/{variable}")
        if dims is None:
            return None
        dims = tuple(dims)
        if len(dims) != n_dims or len(set(dims)) != n_dims or not set(dims) <= set(allowed):
            raise OptionError(f"{n_dims} dims out of {allowed} for {self.node}/{variable}", f"{dims}", "correct dims=")
        return dims

    def matrix(self, variable: str, item: str, n_items: int | None = None) -> tuple[Any, np.ndarray | None]:
        """A variable as (time, item), and the ids of the items when a `*` found them."""
        match = self.pop(variable)
        assert match is not None
        if match.starred:
            columns = [self.flat(leaf, variable) for _, leaf in match.leaves]
            sizes = {column.size for column in columns}
            if len(sizes) > 1:
                raise RecordingError(
                    f"arrays of one length in {self.node}/{variable}", f"lengths {sorted(sizes)}", "check the path"
                )
            self._know(variable, sizes.pop())
            return np.stack(columns, axis=1), match.ids()
        leaf = match.leaves[0][1]
        if len(leaf.shape) == 1:
            self._know(variable, leaf.shape[0])
            return leaf.read()[:, None], None
        if len(leaf.shape) != 2:
            raise RecordingError(
                f"{self.node}/{variable} with dims time and {item}", f"shape {leaf.shape}", "take a slice of it"
            )
        dims = self.stated_dims(variable, 2, ("time", item)) or self._match(leaf, variable, item, n_items)
        self._know(variable, leaf.shape[dims.index("time")])
        swap = dims[0] != "time"
        if leaf.lazy is not None:
            return leaf.lazy(swap), None
        array = leaf.read()
        return (array.T if swap else array), None

    def _know(self, variable: str, n_times: int) -> None:
        if self.n_times is not None and n_times != self.n_times:
            raise RecordingError(
                f"{self.n_times} times in {self.node}/{variable}, as in the rest of the node",
                f"{n_times}",
                "check the paths and dims=",
            )
        self.n_times = n_times

    def _match(self, leaf: Leaf, variable: str, item: str, n_items: int | None) -> tuple[str, str]:
        known, other, dim = (self.n_times, item, "time") if self.n_times is not None else (n_items, "time", item)
        key = f"{self.node}/{variable}"
        if known is None:
            raise MissingOptionError(
                f"to know which axis of {key} is time",
                f"shape {leaf.shape} and no times to match it to",
                f'pass dims={{"{key}": ("time", "{item}")}}, or in the other order, or map {self.node}/time',
            )
        fits = [axis for axis in (0, 1) if leaf.shape[axis] == known]
        if not fits:
            raise RecordingError(
                f"{key} with an axis of {known} ({dim})", f"shape {leaf.shape}", "check the paths of the mapping"
            )
        if len(fits) == 2:
            raise MissingOptionError(
                f"to know which axis of {key} is {dim}",
                f"shape {leaf.shape}, where both fit {known}",
                f'pass dims={{"{key}": ("time", "{item}")}}, or in the other order',
            )
        return (dim, other) if fits[0] == 0 else (other, dim)

    def clock(self) -> dict[str, Any]:
        """Keywords of the constructors that say when samples were taken."""
        if self.time is not None:
            return {"time": self.time}
        if self.sampling_rate is None:
            raise MissingOptionError(
                f"the times of {self.node}, or their sampling rate",
                "neither",
                f"map {self.node}/time, or pass sampling_rate= (Hz)",
            )
        return {"sampling_rate": self.sampling_rate, "start": self.options.start}

    def item_coords(self, ids: np.ndarray | None) -> dict[str, Any]:
        """What is left: one value per item, by position or, with a `*`, by id."""
        coords: dict[str, Any] = {}
        for variable in list(self.matches):
            match = self.matches[variable]
            if not match.starred:
                values = self.vector(variable)
                assert values is not None
                coords[variable] = values
                continue
            own = dict(zip(match.ids().tolist(), (leaf for _, leaf in match.leaves), strict=True))
            wanted = list(own) if ids is None else ids.tolist()
            if set(own) != set(wanted):
                raise RecordingError(
                    f"{self.node}/{variable} for the same ids as the data",
                    f"{sorted(set(map(str, set(own) ^ set(wanted))))[:5]} are in one only",
                    "check the paths",
                )
            self.pop(variable)
            columns = [self.flat(own[item], variable) for item in wanted]
            if any(column.size != 1 for column in columns):
                raise RecordingError(f"one value of {self.node}/{variable} per id", "more or none", "check the path")
            coords[variable] = np.array([column[0] for column in columns])
        return coords


def _calcium(fields: _Fields) -> xr.Dataset:
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


def _dims_first(fields: _Fields, names: list[str]) -> list[str]:
    """Variables whose dims are stated first: they tell how long time is."""
    dims = fields.options.dims
    stated = dims if isinstance(dims, Mapping) else {}
    return sorted(names, key=lambda name: f"{fields.node}/{name}" not in stated)


def _spikes(fields: _Fields) -> xr.Dataset:
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
        common["time_unit"] = {value: key for key, value in _SECONDS.items()}[factor]
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


def _counts(fields: _Fields) -> xr.Dataset:
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


def _eeg(fields: _Fields) -> xr.Dataset:
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


def _behaviour(fields: _Fields) -> xr.Dataset:
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
        fields._know(name, given[name].shape[0])
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


def _table(fields: _Fields, times: tuple[str, ...]) -> dict[str, Any]:
    columns = {}
    for name in list(fields.matches):
        values = fields.times(name) if name in times else fields.vector(name)
        assert values is not None
        columns[name] = values
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"columns of one length in {fields.node}", f"{sizes}", "check the paths of the mapping")
    return columns


def _trials(fields: _Fields) -> xr.Dataset:
    trial = fields.vector("trial")
    return make_trials(_table(fields, ("start", "stop")), trial=trial)


def _events(fields: _Fields) -> xr.Dataset:
    columns = _table(fields, ("onset", "duration"))
    if "onset" not in columns:
        raise MissingOptionError("onset in events", f"{sorted(columns)}", "add events/onset to the mapping")
    return make_events(columns.pop("onset"), **columns)


_BUILDERS: dict[str, Callable[[_Fields], xr.Dataset]] = {
    "calcium": _calcium,
    "spikes": _spikes,
    "eeg": _eeg,
    "behaviour": _behaviour,
    "trials": _trials,
    "events": _events,
}
