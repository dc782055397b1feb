"""Neo objects in: a Block or a Segment becomes a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.spikes import make_spikes
from neurodata.containers.trials import make_events
from neurodata.errors import OptionError, RecordingError
from neurodata.io._channels import node_names, unique_ids


def from_neo(source: Any, *, ch_type: str = "lfp", sort: bool = False) -> xr.DataTree:
    """A recording from objects of neo.

    Parameters
    ----------
    source : neo.Block or neo.Segment
        Segments of a block must follow each other on one clock; they are joined with their gaps.
    ch_type : str
        Type of all channels of analog signals; neo does not state it.
    sort : bool
        Sort the spikes inside each unit instead of refusing unsorted ones.

    Returns
    -------
    DataTree
        `spikes`: one unit per SpikeTrain (its name or ``unit_id`` annotation when all have different ones, else its
        place), in s, with the stretches ``t_start`` to ``t_stop`` when all trains share them. `eeg`: one node per
        sampling rate and time base; voltages in V, other quantities as they are. `events`: events and epochs.

    Raises
    ------
    RecordingError
        Segments that overlap, or that differ in their signals or numbers of spike trains.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> segment = neo.Segment()
    >>> segment.spiketrains.append(neo.SpikeTrain([10.0, 30.0] * pq.ms, t_stop=1.0 * pq.s))
    >>> from_neo(segment)["spikes"]["spike_time"].values.tolist()
    [0.01, 0.03]
    """
    segments = list(source.segments) if hasattr(source, "segments") else [source]
    if not all(hasattr(segment, "spiketrains") for segment in segments):
        raise OptionError("a neo.Block or a neo.Segment", f"a {type(source).__name__}", "pass one of them")
    nodes: dict[str, xr.Dataset] = {}
    signals = _signals(segments, ch_type)
    nodes |= dict(zip(node_names("eeg", len(signals)), signals, strict=True))
    if any(len(segment.spiketrains) for segment in segments):
        nodes["spikes"] = _spikes(segments, sort)
    events = _events(segments)
    if events is not None:
        nodes["events"] = events
    when = getattr(source, "rec_datetime", None)
    left_out = sorted(
        {
            kind
            for segment in segments
            for kind in ("irregularlysampledsignals", "imagesequences")
            if len(getattr(segment, kind, []))
        }
    )
    return make_recording(
        nodes,
        attrs={
            "source_format": "neo",
            "source_file": str(getattr(source, "file_origin", "") or "").rsplit("/", 1)[-1],
            "clock": "neo",
            "time_origin": "" if when is None else when.isoformat(),
            "annotations": dict(getattr(source, "annotations", {})),
            "left_out": left_out,
        },
    )


def _seconds(quantity: Any) -> np.ndarray:
    """Times in s. A quantity in s is not touched, so its numbers stay the same."""
    return np.asarray(quantity.rescale("s").magnitude, dtype=np.float64)


def _spikes(segments: list[Any], sort: bool) -> xr.Dataset:
    counts = {len(segment.spiketrains) for segment in segments}
    if len(counts) > 1:
        raise RecordingError(
            "as many spike trains in every segment, one per unit",
            f"{sorted(counts)}",
            "convert the segments one by one, or give every segment a train per unit (it may be empty)",
        )
    (n_units,) = counts
    trains = [np.concatenate([_seconds(segment.spiketrains[i]) for segment in segments]) for i in range(n_units)]
    first = segments[0].spiketrains
    extent = [
        {(float(_seconds(train.t_start)), float(_seconds(train.t_stop))) for train in segment.spiketrains}
        for segment in segments
    ]
    support = None
    if all(len(one) == 1 for one in extent):
        support = np.array([next(iter(one)) for one in extent])
    names = [str(train.name or "") for train in first]
    annotated = [train.annotations.get("unit_id") for train in first]
    ids: Any = None
    if all(item is not None for item in annotated) and len(set(map(str, annotated))) == n_units:
        ids = annotated
    elif all(names) and len(set(names)) == n_units:
        ids = names
    return make_spikes(
        trains,
        unit=ids,
        time_unit="s",
        sort=sort,
        support=support,
        attrs={} if support is not None else {"extents": [sorted(one) for one in extent]},
        label=names,
    )


def _signals(segments: list[Any], ch_type: str) -> list[xr.Dataset]:
    counts = {len(segment.analogsignals) for segment in segments}
    if len(counts) > 1:
        raise RecordingError(
            "as many analog signals in every segment", f"{sorted(counts)}", "convert the segments one by one"
        )
    groups: dict[Any, list[int]] = {}
    for i in range(next(iter(counts), 0)):
        parts = [segment.analogsignals[i] for segment in segments]
        rates = {float(part.sampling_rate.rescale("Hz").magnitude) for part in parts}
        widths = {part.shape[1] for part in parts}
        if len(rates) > 1 or len(widths) > 1:
            raise RecordingError(
                f"one sampling rate and number of channels of analog signal {i} over the segments",
                f"{sorted(rates)} Hz, {sorted(widths)} channels",
                "convert the segments one by one",
            )
        base = tuple((float(_seconds(part.t_start)), part.shape[0]) for part in parts)
        groups.setdefault((rates.pop(), base), []).append(i)
    return [_signal(segments, members, rate, base, ch_type) for (rate, base), members in groups.items()]


def _signal(segments: list[Any], members: list[int], rate: float, base: Any, ch_type: str) -> xr.Dataset:
    values, names, units, original = [], [], [], []
    for i in members:
        parts = [segment.analogsignals[i] for segment in segments]
        volt = _is_voltage(parts[0])
        unit = str(parts[0].units.dimensionality.string)
        values.append(
            np.concatenate([np.asarray((part.rescale("V") if volt else part).magnitude, float) for part in parts])
        )
        n = parts[0].shape[1]
        own = parts[0].array_annotations.get("channel_names")
        label = str(parts[0].name or f"signal {i}")
        names += (
            [str(item) for item in own] if own is not None else [label if n == 1 else f"{label} {k}" for k in range(n)]
        )
        units += ["V" if volt else unit] * n
        original += [unit] * n
    time = np.concatenate([start + np.arange(n) / rate for start, n in base])
    return make_eeg(
        np.concatenate(values, axis=1),
        channel=names if len(set(names)) == len(names) else unique_ids(names),
        time=time,
        sampling_rate=rate,
        ch_type=ch_type,
        ch_unit=units,
        ch_unit_original=original,
    )


def _is_voltage(signal: Any) -> bool:
    """Whether the unit of a signal is a voltage, of whatever prefix."""
    import quantities

    return signal.dimensionality.simplified == quantities.V.dimensionality.simplified


def _events(segments: list[Any]) -> xr.Dataset | None:
    onset: list[np.ndarray] = []
    duration: list[np.ndarray] = []
    label: list[str] = []
    channel: list[str] = []
    for segment in segments:
        for item in [*segment.events, *segment.epochs]:
            times = _seconds(item.times)
            lengths = getattr(item, "durations", None)
            onset.append(times)
            duration.append(
                np.zeros(times.size) if lengths is None else np.broadcast_to(_seconds(lengths), times.shape)
            )
            words = [str(text) for text in item.labels] if len(item.labels) == times.size else [""] * times.size
            label += words
            channel += [str(item.name or "")] * times.size
    if not onset:
        return None
    return make_events(np.concatenate(onset), np.concatenate(duration), label, channel=channel)
