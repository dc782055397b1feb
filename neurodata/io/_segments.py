"""Segments of a sorting, each with its own samples, laid on one clock; nothing is said about time that is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers import make_spikes
from neurodata.containers._coords import column_values
from neurodata.errors import FormatError, MissingOptionError, OptionError, RecordingError
from neurodata.io._cluster_tables import coord_name

# Names of properties of units that the schema has a word for.
_RENAMED = {"main_channel_id": "channel", "brain_area": "region"}
_PLACES = ("unit_locations",)


@dataclass(frozen=True)
class Segment:
    """Spikes of one segment.

    Attributes
    ----------
    unit : array (spike,)
        Row of the unit of each spike.
    sample : array (spike,) or None
        Sample in the segment.
    time : array (spike,)
        s; from sample 0 at `start`, or at 0 where that is not known.
    start : float or None
        Time of sample 0 (s), None where the source does not say.
    epochs : array (epoch, 2) or None
        Start and stop (s) of the recorded stretches.
    """

    unit: np.ndarray
    sample: np.ndarray | None
    time: np.ndarray
    start: float | None
    epochs: np.ndarray | None

    def shifted(self, start: float) -> Segment:
        """The same segment with its sample 0 at `start`."""
        by = start - (self.start or 0.0)
        return replace(
            self, time=self.time + by, start=float(start), epochs=None if self.epochs is None else self.epochs + by
        )


def choose_segments(segments: Sequence[Segment], segment: int | None, segment_start: Any) -> list[Segment]:
    """The segments asked for, with the starts that were stated."""
    chosen = list(segments)
    if not chosen:
        raise FormatError("a sorting with a segment", "none", "save it again")
    if segment is not None:
        if not 0 <= segment < len(chosen):
            raise OptionError(f"segment= from 0 to {len(chosen) - 1}", repr(segment), "choose one of them")
        chosen = [chosen[segment]]
    if segment_start is not None:
        starts = np.atleast_1d(np.asarray(segment_start, dtype=np.float64))
        if starts.shape != (len(chosen),) or not np.isfinite(starts).all():
            raise OptionError(
                f"segment_start= with a time (s) for each of {len(chosen)} segment(s)",
                repr(segment_start),
                "state when sample 0 of each was taken",
            )
        chosen = [part.shifted(float(start)) for part, start in zip(chosen, starts, strict=True)]
    return chosen


def join_segments(
    segments: Sequence[Segment],
    unit_ids: np.ndarray,
    sampling_rate: float,
    coords: Mapping[str, Any],
    *,
    sort: bool = False,
) -> xr.Dataset:
    """The `spikes` node of segments on one clock.

    One segment has `spike_sample`; of several, `spike_segment` (spike) says in which segment that sample is.
    `support` is there when the stretches of all segments are known.
    """
    if len(segments) > 1:
        _check_apart(segments)
    row = np.concatenate([part.unit for part in segments]).astype(np.int64)
    time = np.concatenate([part.time for part in segments])
    number = np.repeat(np.arange(len(segments)), [part.time.size for part in segments])
    begin = np.array([part.time.min() if part.time.size else 0.0 for part in segments])
    # In the order of time inside each unit, as far as each segment is: segments need not be listed in theirs.
    order = np.lexsort((time, row)) if sort else np.lexsort((begin[number], row))
    samples = [part.sample for part in segments if part.sample is not None]
    sample = np.concatenate(samples)[order] if len(samples) == len(segments) else None
    epochs = [part.epochs for part in segments if part.epochs is not None]
    support = np.concatenate(epochs) if len(epochs) == len(segments) else None
    # Where sample 0 of each segment lies, for the way back.
    attrs: dict[str, Any] = {"sampling_rate": float(sampling_rate), "segment_start": [p.start for p in segments]}
    if sort:
        attrs = with_operation(attrs, "sort", by="time inside each unit", reader="spikeinterface")
    node = make_spikes(
        time[order],
        spike_count=np.bincount(row, minlength=len(unit_ids)),
        unit=unit_ids,
        time_unit="s",
        support=None if support is None else support[np.argsort(support[:, 0], kind="stable")],
        spike_sample=sample,
        attrs=attrs,
        **coords,
    )
    if len(segments) > 1:
        node["spike_segment"] = ("spike", number[order].astype(np.int64), {"long_name": "segment of spike_sample"})
    return node


def property_coords(properties: Mapping[str, np.ndarray], n_units: int) -> tuple[dict[str, Any], list[str]]:
    """Coordinates from properties of units, and the names of those that have no place there.

    A table (unit, 2 or 3) of places becomes x, y(, z) in um where its name says so, other tables of few columns
    become `name_0`, `name_1`, ...
    """
    coords: dict[str, Any] = {}
    left_out = []
    for name in sorted(properties):
        values = np.asarray(properties[name])
        attrs: dict[str, str] = {}
        if values.ndim == 1 and values.dtype.names is None and values.shape == (n_units,):
            columns = {_RENAMED.get(name, name): values}
        elif values.ndim == 2 and values.dtype.names is None and values.shape[0] == n_units and values.shape[1] <= 8:
            place = name in _PLACES and values.shape[1] <= 3
            attrs = {"units": "um"} if place else {}
            columns = {"xyz"[i] if place else f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
        else:
            left_out.append(name)
            continue
        for column, items in columns.items():
            safe, name_attrs = coord_name(column)
            if safe in coords:
                safe, name_attrs = f"{name}_", {"source_name": column}
            coords[safe] = xr.Variable("unit", column_values(items), {**name_attrs, **attrs})
    return coords, left_out


def _check_apart(segments: Sequence[Segment]) -> None:
    fix = "pass segment= for one of them, or segment_start= with the time (s) of sample 0 of each"
    if any(part.start is None for part in segments):
        raise MissingOptionError(
            f"when each of the {len(segments)} segments began, on one clock", "a sorting that does not say", fix
        )
    spans = []
    for part in segments:
        known = [np.array([part.start])] + [part.time] + ([] if part.epochs is None else [part.epochs.ravel()])
        spans.append((min(a.min() for a in known if a.size), max(a.max() for a in known if a.size)))
    spans.sort()
    for (_, stop), (start, _) in zip(spans[:-1], spans[1:], strict=True):
        if start < stop:
            raise RecordingError(
                f"{len(segments)} segments that lie apart on one clock",
                f"one that begins at {start:.6g} s before another ends at {stop:.6g} s",
                fix,
            )
