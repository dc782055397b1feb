"""What a rawio of neo holds as recordings: signals in V read on use, spikes and events in s, gaps between segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.spikes import make_spikes
from neurodata.containers.time_index import regular_time
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError
from neurodata.io._channels import node_names, unique_ids, volt_factor
from neurodata.io._lazy import lazy_signal


def read_rawio(rawio: Any, *, ch_type: str, sort: bool) -> dict[str, xr.DataTree]:
    """Every recording of a rawio by name: one, unless there are several blocks or segments that overlap in time."""
    found = {}
    for block in range(rawio.block_count()):
        n_segments = rawio.segment_count(block)
        joined = _follow(rawio, block, n_segments)
        for segments in [range(n_segments)] if joined else [range(i, i + 1) for i in range(n_segments)]:
            parts = ([f"block_{block}"] if rawio.block_count() > 1 else []) + (
                [] if joined else [f"segment_{segments.start}"]
            )
            found["_".join(parts)] = _recording(rawio, block, segments, ch_type, sort)
    return found


def _follow(rawio: Any, block: int, n_segments: int) -> bool:
    """Whether the segments of a block follow each other on one clock."""
    for stream in range(rawio.signal_streams_count()):
        rate = rawio.get_signal_sampling_rate(stream)
        stop = -np.inf
        for segment in range(n_segments):
            start = rawio.get_signal_t_start(block, segment, stream)
            if start < stop:
                return False
            # the last sample is one period before the end; half a period is for rounding
            stop = start + (rawio.get_signal_size(block, segment, stream) - 0.5) / rate
    if rawio.signal_streams_count():
        return True
    edges = [(rawio.segment_t_start(block, i), rawio.segment_t_stop(block, i)) for i in range(n_segments)]
    return all(after[0] >= before[1] for before, after in zip(edges[:-1], edges[1:], strict=True))


def _recording(rawio: Any, block: int, segments: range, ch_type: str, sort: bool) -> xr.DataTree:
    name = type(rawio).__name__
    nodes: dict[str, xr.Dataset] = {}
    groups = _streams_by_time(rawio, block, segments)
    for label, streams in zip(node_names("eeg", len(groups)), groups, strict=True):
        nodes[label] = _signal(rawio, block, segments, streams, ch_type)
    left_out: list[str] = []
    if len(rawio.header["spike_channels"]):
        nodes["spikes"] = _spikes(rawio, block, segments, sort)
        left_out.append("waveforms of spikes")
    if len(rawio.header["event_channels"]):
        events = _events(rawio, block, segments)
        if events is not None:
            nodes["events"] = events
    if not nodes:
        raise FormatError(
            "signals, spikes or events", f"{name} finds none", "check the file; format= names another class"
        )
    try:
        annotations = dict(rawio.raw_annotations["blocks"][block])
    except (AttributeError, KeyError, IndexError):
        annotations = {}
    facts = {str(key): value for key, value in annotations.items() if isinstance(value, (str, int, float, np.generic))}
    when: Any = annotations.get("rec_datetime")
    return make_recording(
        nodes,
        attrs={
            "source_format": name.removesuffix("RawIO").lower(),
            "clock": f"as neo's {name} gives it",
            "time_origin": when.isoformat() if hasattr(when, "isoformat") else "",
            "annotations": facts,
            "left_out": left_out,
        },
    )


def _streams_by_time(rawio: Any, block: int, segments: range) -> list[list[int]]:
    """Streams that share rate, starts and sizes in all segments are one node; streams without channels are none."""
    groups: dict[Any, list[int]] = {}
    for stream in range(rawio.signal_streams_count()):
        if not rawio.signal_channels_count(stream):
            continue
        key = (
            rawio.get_signal_sampling_rate(stream),
            tuple(rawio.get_signal_t_start(block, i, stream) for i in segments),
            tuple(rawio.get_signal_size(block, i, stream) for i in segments),
        )
        groups.setdefault(key, []).append(stream)
    return list(groups.values())


def _signal(rawio: Any, block: int, segments: range, streams: list[int], ch_type: str) -> xr.Dataset:
    header = rawio.header
    ids = header["signal_streams"]["id"]
    channels = np.concatenate(
        [header["signal_channels"][header["signal_channels"]["stream_id"] == ids[stream]] for stream in streams]
    )
    rate = rawio.get_signal_sampling_rate(streams[0])
    sizes = [rawio.get_signal_size(block, i, streams[0]) for i in segments]
    starts = [rawio.get_signal_t_start(block, i, streams[0]) for i in segments]
    time: Any
    if len(sizes) == 1:
        time = regular_time(sizes[0], rate, start=float(starts[0]))
    else:
        time = np.concatenate([start + np.arange(n) / rate for start, n in zip(starts, sizes, strict=True)])
    units = [str(unit).strip() for unit in channels["units"]]
    factors = np.array([1.0 if (factor := volt_factor(unit)) is None else factor for unit in units])
    names = [str(name) for name in channels["name"]]
    return make_eeg(
        lazy_signal(NeoSource(rawio, block, list(segments), streams, sizes, factors)),
        channel=names if len(set(names)) == len(names) else unique_ids(names),
        time=time,
        sampling_rate=rate,
        ch_type=ch_type,
        ch_unit=["V" if volt_factor(unit) is not None else unit or "unknown" for unit in units],
        ch_unit_original=[unit or "unknown" for unit in units],
        attrs={"stream": ", ".join(str(header["signal_streams"]["name"][stream]) for stream in streams)},
        channel_id=[str(item) for item in channels["id"]],
    )


class NeoSource:
    """Samples of streams over segments, read through neo when asked for; the file is opened anew after pickling."""

    def __init__(
        self, rawio: Any, block: int, segments: list[int], streams: list[int], sizes: list[int], factor: np.ndarray
    ) -> None:
        self._rawio = rawio
        self.opened_with = rawio.opened_with
        self.block, self.segments, self.streams = block, segments, streams
        self.stop = np.cumsum(sizes)
        self.factor = factor
        self.width = [rawio.signal_channels_count(stream) for stream in streams]
        self.n_samples, self.n_channels = int(self.stop[-1]), int(sum(self.width))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rawio": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> NeoSource:
        return self  # it is never changed, and an open file cannot be copied

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop`, V where the unit is a voltage (stop - start, channels.size)."""
        from neurodata.io.neo_rawio import open_rawio

        if self._rawio is None:
            self._rawio = open_rawio(self.opened_with[0], Path(self.opened_with[1]))
        values = np.empty((max(stop - start, 0), channels.size))
        for segment, end, size in zip(self.segments, self.stop, np.diff(self.stop, prepend=0), strict=True):
            first = end - size
            low, high = max(start, first), min(stop, end)
            if low >= high:
                continue
            left = 0
            for stream, width in zip(self.streams, self.width, strict=True):
                where = np.flatnonzero((channels >= left) & (channels < left + width))
                if where.size:
                    own = channels[where] - left
                    raw = self._rawio.get_analogsignal_chunk(
                        self.block, segment, int(low - first), int(high - first), stream, channel_indexes=own
                    )
                    scaled = self._rawio.rescale_signal_raw_to_float(
                        np.asarray(raw), dtype="float64", stream_index=stream, channel_indexes=own
                    )
                    values[low - start : high - start, where] = scaled
                left += width
        return values * self.factor[channels]


def _spikes(rawio: Any, block: int, segments: range, sort: bool) -> xr.Dataset:
    table = rawio.header["spike_channels"]
    trains = []
    for channel in range(len(table)):
        parts = []
        for segment in segments:
            raw = rawio.get_spike_timestamps(block, segment, channel)
            parts.append(np.asarray(rawio.rescale_spike_timestamp(raw, dtype="float64"), dtype=np.float64))
        trains.append(np.concatenate(parts))
    names, ids = ([str(item) for item in table[key]] for key in ("name", "id"))
    unique = ids if len(set(ids)) == len(ids) and all(ids) else unique_ids(names)
    support = np.array(
        [(rawio.segment_t_start(block, i), rawio.segment_t_stop(block, i)) for i in segments], dtype=float
    )
    return make_spikes(trains, unit=unique, time_unit="s", sort=sort, support=_holding(support, trains), label=names)


def _holding(support: np.ndarray, trains: list[np.ndarray]) -> np.ndarray | None:
    """The segments as recorded stretches, when they hold all spikes: some systems state the extent of signals only."""
    times = np.concatenate(trains)
    if not np.isfinite(support).all() or (support[1:, 0] < support[:-1, 1]).any():
        return None
    epoch = np.searchsorted(support[:, 0], times, side="right") - 1
    inside = (epoch >= 0) & (times <= support[epoch.clip(min=0), 1])
    return support if inside.all() else None


def _events(rawio: Any, block: int, segments: range) -> xr.Dataset | None:
    table = rawio.header["event_channels"]
    onset: list[np.ndarray] = []
    duration: list[np.ndarray] = []
    label: list[str] = []
    channel: list[str] = []
    for index in range(len(table)):
        for segment in segments:
            times, lengths, labels = rawio.get_event_timestamps(block, segment, index)
            if not len(times):
                continue
            times = np.asarray(rawio.rescale_event_timestamp(times, dtype="float64", event_channel_index=index))
            onset.append(times)
            if lengths is None:
                duration.append(np.zeros(len(times)))
            else:
                lengths = rawio.rescale_epoch_duration(lengths, dtype="float64", event_channel_index=index)
                duration.append(np.asarray(lengths))
            label += [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in labels]
            channel += [str(table["name"][index])] * len(times)
    if not onset:
        return None
    return make_events(np.concatenate(onset), np.concatenate(duration), label, channel=channel)
