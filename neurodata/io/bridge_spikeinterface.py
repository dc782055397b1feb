"""SpikeInterface objects to recordings and back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata._core.provenance import metadata
from neurodata.containers import make_eeg, make_recording
from neurodata.containers._coords import column_values
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io._lazy import lazy_signal
from neurodata.io._segments import Segment, choose_segments, join_segments, property_coords

# Steps longer than this many samples are gaps in a vector of times.
_GAP_STEPS = 1.5


def from_spikeinterface(
    source: Any,
    *,
    segment: int | None = None,
    segment_start: Any = None,
    sort: bool = False,
    ch_type: str = "ephys",
) -> xr.DataTree:
    """A recording from a SpikeInterface Sorting, SortingAnalyzer or Recording.

    Times are those SpikeInterface itself gives: through the registered recording (its start or its vector of times),
    else the format's own, else ``t_start + sample / sampling_frequency``. Properties of units are coordinates of
    `unit`; an analyzer adds its unit locations (x, y, z in um) and quality metrics.

    Parameters
    ----------
    source : BaseSorting, SortingAnalyzer or BaseRecording
        A recording becomes the node `eeg`, in V where the object knows the gains, read when it is used.
    segment : int, optional
        One segment alone.
    segment_start : float or list of float, optional
        When sample 0 of each segment was taken (s). Several segments need it, unless the object knows when each began
        and they do not overlap.
    sort : bool
        Sort the times inside each unit; unsorted times are an error otherwise.
    ch_type : str
        Type of the channels of a recording.

    Returns
    -------
    xarray.DataTree

    Examples
    --------
    >>> import numpy as np, spikeinterface.core as si
    >>> sorting = si.NumpySorting.from_unit_dict({"a": np.array([100, 500]), "b": np.array([], int)}, 1000.0)
    >>> from_spikeinterface(sorting)["spikes"]["spike_time"].values.tolist()
    [0.1, 0.5]
    """
    core = require("spikeinterface.core", "ephys", "to read its objects")
    if isinstance(source, core.BaseRecording):
        node = _signal(source, segment, segment_start, ch_type)
        return make_recording(eeg=node, attrs={"source_format": "spikeinterface"})
    if isinstance(source, core.SortingAnalyzer):
        return _from_analyzer(source, segment, segment_start, sort)
    if not isinstance(source, core.BaseSorting):
        raise OptionError(
            "a Sorting, SortingAnalyzer or Recording of SpikeInterface", type(source).__name__, "pass one of them"
        )
    properties = {key: source.get_property(key) for key in source.get_property_keys()}
    recording = source._recording if source.has_recording() else None
    return _from_sorting(source, recording, properties, segment, segment_start, sort)


def to_spikeinterface(rec: xr.DataTree | xr.Dataset, sampling_frequency: float | None = None) -> Any:
    """A SpikeInterface NumpySorting from the spikes of a recording.

    Samples are `spike_sample` where it is there (and `sampling_frequency` is the recording's own): exact. Else they
    are the times rounded to the nearest sample, which moves a spike by up to half a sample. SpikeInterface counts
    samples from the start of a segment and cannot hold negative ones: the clock's offset is kept as the segment's
    start. It cannot hold support or amplitudes; times that do not lie on a regular grid (a drifting clock) come back
    exactly only once the SpikeInterface recording with those times is registered, and a warning says so.

    Parameters
    ----------
    rec : DataTree or Dataset
        A recording, or its `spikes` node.
    sampling_frequency : float, optional
        Hz; default the attr `sampling_rate` of the spikes.

    Returns
    -------
    spikeinterface.core.NumpySorting
        One segment, or as many as `spike_segment` names. Coordinates of `unit` are properties.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1, 0.5], "b": []}))
    >>> to_spikeinterface(rec, sampling_frequency=1000.0).get_unit_spike_train("a").tolist()
    [100, 500]
    """
    core = require("spikeinterface.core", "ephys", "to make its objects")
    node = _spikes_of(rec)
    own_rate = node.attrs.get("sampling_rate")
    rate = own_rate if sampling_frequency is None else sampling_frequency
    if rate is None:
        raise MissingOptionError(
            "the sampling rate of the spikes", "spikes without the attr sampling_rate", "pass sampling_frequency= (Hz)"
        )
    if not np.isfinite(rate) or rate <= 0:
        raise OptionError("a positive sampling frequency in Hz", repr(rate), "pass sampling_frequency= (Hz)")
    time, row = node["spike_time"].values, node["spike_unit"].values
    exact = "spike_sample" in node and own_rate in (None, rate)
    number = node["spike_segment"].values if exact and "spike_segment" in node else np.zeros(time.size, dtype=np.int64)
    starts = metadata(node.attrs).get("segment_start") or []
    n_segments = max([1, len(starts) if exact else 1, int(number.max(initial=0)) + 1])
    samples, rows, shifts = [], [], []
    for index in range(n_segments):
        here = number == index
        if exact:
            sample = node["spike_sample"].values[here]
            stated = starts[index] if index < len(starts) else None
            shift = stated if stated is not None else (time[here][0] - sample[0] / rate if here.any() else 0.0)
            # Rounding of the subtraction is not an offset.
            shift = 0.0 if abs(shift) < 1e-9 else float(shift)
            off = np.abs(time[here] - sample / rate - shift).max(initial=0.0)
            if off > 0.5 / rate:
                warnings.warn(
                    f"spike times differ from sample / sampling_frequency by up to {off:.3g} s: register the "
                    "SpikeInterface recording that holds their times to get them back",
                    NeurodataWarning,
                    stacklevel=2,
                )
        else:
            epochs = node["support_start"].values if "support_start" in node else np.zeros(0)
            shift = float(min([0.0, *epochs[:1], *time[here]]))
            sample = np.rint((time[here] - shift) * rate).astype(np.int64)
        if sample.size and sample.min() < 0:
            raise RecordingError("samples that are not negative", f"{sample.min()}", "mend spike_sample")
        order = np.argsort(sample, kind="stable")
        samples.append(sample[order])
        rows.append(row[here][order])
        shifts.append(shift)
    ids = node["unit"].values
    sorting = core.NumpySorting.from_samples_and_labels(
        samples, [ids[rows_here] for rows_here in rows], float(rate), unit_ids=ids
    )
    for index, shift in enumerate(shifts):
        if shift:
            sorting.shift_times(shift, segment_index=index)
    for name, coord in node.coords.items():
        if coord.dims == ("unit",) and name != "unit":
            sorting.set_property(str(coord.attrs.get("source_name", name)), coord.values)
    return sorting


def _spikes_of(rec: xr.DataTree | xr.Dataset) -> xr.Dataset:
    if isinstance(rec, xr.DataTree):
        if "spikes" not in rec.children:
            raise RecordingError(
                "a recording with spikes", f"the nodes {list(rec.children)}", "pass one recording that has them"
            )
        rec = rec.children["spikes"].to_dataset(inherit=False)
    if "spike_time" not in rec:
        raise RecordingError("a spikes node with spike_time", f"{list(map(str, rec.data_vars))}", "pass spike trains")
    return rec


def _from_analyzer(analyzer: Any, segment: int | None, segment_start: Any, sort: bool) -> xr.DataTree:
    sorting = analyzer.sorting
    properties = {key: sorting.get_property(key) for key in sorting.get_property_keys()}
    for extension in ("unit_locations", "quality_metrics"):
        computed = analyzer.get_extension(extension)
        if computed is None:
            continue
        values = computed.get_data()
        if extension == "unit_locations":
            properties[extension] = np.asarray(values)
        else:
            # A table by unit id; its rows need not be in the order of the units.
            table = values.reindex(sorting.unit_ids)
            properties |= {str(name): column_values(table[name]) for name in table.columns}
    recording = analyzer.recording if analyzer.has_recording() or analyzer.has_temporary_recording() else None
    return _from_sorting(sorting, recording, properties, segment, segment_start, sort)


def _from_sorting(
    sorting: Any, recording: Any, properties: dict[str, Any], segment: int | None, segment_start: Any, sort: bool
) -> xr.DataTree:
    segments = [_segment(sorting, recording, index) for index in range(sorting.get_num_segments())]
    coords, left_out = property_coords(properties, len(sorting.unit_ids))
    node = join_segments(
        choose_segments(segments, segment, segment_start),
        sorting.unit_ids,
        sorting.get_sampling_frequency(),
        coords,
        sort=sort,
    )
    attrs = {"source_format": "spikeinterface", **({"left_out": left_out} if left_out else {})}
    return make_recording(spikes=node, attrs=attrs)


def _segment(sorting: Any, recording: Any, index: int) -> Segment:
    """One segment with the times that SpikeInterface gives."""
    rows, samples, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    use_analyzers = recording is not None and not sorting.has_recording()
    for row, unit in enumerate(sorting.unit_ids):
        sample = np.asarray(sorting.get_unit_spike_train(unit, segment_index=index), dtype=np.int64)
        if use_analyzers:
            time = recording.sample_index_to_time(sample, segment_index=index)
        else:
            time = sorting.get_unit_spike_train_in_seconds(unit, segment_index=index)
        rows.append(np.full(sample.size, row))
        samples.append(sample)
        times.append(np.asarray(time, dtype=np.float64))
    start = None
    epochs = None
    if recording is not None:
        shift = 0.0 if use_analyzers else sorting.get_start_time(index) - recording.get_start_time(index)
        epochs = _stretches(recording, index) + shift
        start = float(recording.get_start_time(index)) + shift
    elif sorting.segments[index]._t_start is not None:
        start = float(sorting.get_start_time(index))
    return Segment(np.concatenate(rows), np.concatenate(samples), np.concatenate(times), start, epochs)


def _stretches(recording: Any, index: int) -> np.ndarray:
    """Recorded stretches (s), each to the end of its last sample; a vector of times is split at its gaps."""
    step = 1.0 / recording.get_sampling_frequency()
    if not recording.has_time_vector(index):
        start = recording.get_start_time(index)
        return np.array([[start, start + recording.get_num_samples(index) / recording.get_sampling_frequency()]])
    times = np.asarray(recording.get_times(segment_index=index))
    after = np.flatnonzero(np.diff(times) > _GAP_STEPS * step) + 1
    first, last = np.r_[0, after], np.r_[after, times.size] - 1
    return np.column_stack([times[first], times[last] + step])


class _Traces:
    """One segment of a recording as `neurodata.io._lazy` reads it: V, or the values as they are without gains."""

    def __init__(self, recording: Any, index: int, in_volts: bool) -> None:
        self.recording, self.index, self.in_volts = recording, index, in_volts
        self.n_samples = int(recording.get_num_samples(index))
        self.n_channels = int(recording.get_num_channels())

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        traces = self.recording.get_traces(
            segment_index=self.index,
            start_frame=start,
            end_frame=stop,
            channel_ids=self.recording.channel_ids[channels],
            return_in_uV=self.in_volts,
        )
        return traces.astype(np.float64) * 1e-6 if self.in_volts else traces.astype(np.float64)


def _signal(recording: Any, segment: int | None, segment_start: Any, ch_type: str) -> xr.Dataset:
    """The `eeg` node of one segment."""
    n_segments = recording.get_num_segments()
    if segment is None and n_segments > 1:
        raise MissingOptionError(
            "one segment of a recording", f"a recording of {n_segments}", "pass segment=, one after the other"
        )
    index = segment or 0
    if not 0 <= index < n_segments:
        raise OptionError(f"segment= from 0 to {n_segments - 1}", repr(segment), "choose one of them")
    in_volts = bool(recording.has_scaleable_traces())
    own_start = float(recording.get_start_time(index))
    start = own_start if segment_start is None else float(np.asarray(segment_start).reshape(-1)[0])
    time = None
    if recording.has_time_vector(index):
        time = np.asarray(recording.get_times(segment_index=index), dtype=np.float64)
        time = time if start == own_start else time + (start - own_start)
    place = recording.get_channel_locations() if recording.has_channel_location() else None
    position = None
    if place is not None:
        position = np.full((recording.get_num_channels(), 3), np.nan)
        position[:, : place.shape[1]] = place * 1e-6  # um
    return make_eeg(
        lazy_signal(_Traces(recording, index, in_volts)),
        channel=recording.channel_ids,
        time=time,
        sampling_rate=float(recording.get_sampling_frequency()),
        start=start,
        ch_type=ch_type,
        ch_unit="V" if in_volts else "unknown",
        ch_unit_original="uV" if in_volts else "unknown",
        position=position,
    )
