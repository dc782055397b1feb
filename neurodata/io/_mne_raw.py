"""An MNE `Raw` object as a recording: the lazy signal, its channels, its annotations.

Clock: MNE counts samples from the start of the acquisition, so the first sample of a Raw is at
``raw.first_samp / sfreq`` and annotations lie on the same clock. That is the clock of the recording too: nothing is
shifted. Stretches that MNE filled with zeros and marked BAD_ACQ_SKIP hold no data; they become gaps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import jsonable
from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.time_index import regular_time
from neurodata.containers.trials import make_events
from neurodata.io._channels import warn_implausible
from neurodata.io._lazy import lazy_signal

SKIP = "BAD_ACQ_SKIP"

# FIFF unit codes (mne.io.constants.FIFF) in SI symbols; what is missing here has no unit that MNE knows.
_FIFF_UNITS = {
    1: "m",
    3: "s",
    4: "A",
    5: "K",
    6: "mol",
    7: "rad",
    10: "mol/m^3",
    101: "Hz",
    102: "N",
    103: "Pa",
    107: "V",
    109: "ohm",
    110: "S",
    112: "T",
    114: "C",
    116: "lx",
    117: "V/m^2",
    201: "T/m",
    202: "A m",
    210: "px",
}
_FRAMES = {1: "device", 4: "head", 5: "mri"}


@dataclass(frozen=True)
class ChannelUnits:
    """Per channel: factor from MNE's values to those of the recording, unit here, unit in the file."""

    factor: np.ndarray
    unit: list[str]
    original: list[str]


def fiff_units(raw: Any) -> ChannelUnits:
    """Units as MNE has them: SI, with the unit of the file where MNE remembers it."""
    units = [_FIFF_UNITS.get(int(channel["unit"]), "") for channel in raw.info["chs"]]
    remembered = [raw._orig_units.get(name, "") for name in raw.ch_names]
    original = [old if old not in ("", "n/a") else unit for old, unit in zip(remembered, units, strict=True)]
    return ChannelUnits(np.ones(len(units)), units, original)


@dataclass(frozen=True)
class RawSource:
    """Samples of a Raw, read when asked. `start` and `stop` are the stretches of it that hold data."""

    raw: Any
    factor: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    _first: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", np.concatenate([[0], np.cumsum(self.stop - self.start)]))

    @property
    def n_samples(self) -> int:
        """Samples that hold data."""
        return int(self._first[-1])

    @property
    def n_channels(self) -> int:
        """Channels of the Raw."""
        return self.factor.size

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop` of `channels`, (stop - start, channels.size), in the unit of each channel."""
        values = np.empty((stop - start, channels.size))
        if not values.size:
            return values
        # MNE wants each channel once; the caller may ask in any order.
        once, order = np.unique(channels, return_inverse=True)
        for i in range(self.start.size):
            low, high = max(start, self._first[i]), min(stop, self._first[i + 1])
            if low < high:
                shift = int(self.start[i] - self._first[i])
                part = self.raw.get_data(picks=once, start=int(low) + shift, stop=int(high) + shift, verbose="error")
                values[low - start : high - start] = part[order].T
        return values * self.factor[channels]


def recording_from_raw(
    raw: Any,
    *,
    units: ChannelUnits | None = None,
    time: np.ndarray | None = None,
    source_format: str = "",
    utc: bool = True,
    channel_coords: dict[str, Any] | None = None,
    attrs: dict[str, Any] | None = None,
    root: dict[str, Any] | None = None,
) -> xr.DataTree:
    """A recording that reads from `raw` when used.

    Parameters
    ----------
    raw : mne.io.BaseRaw
    units : ChannelUnits, optional
        Default: MNE's own, SI.
    time : array, optional
        Time of every sample (s) where the format knows of gaps that MNE does not.
    source_format : str
    utc : bool
        Whether the measurement date is known to be UTC; most formats hold local time, which MNE labels UTC.
    channel_coords, attrs, root : dict, optional
        Further channel coordinates, attributes of the node and of the recording.
    """
    info = raw.info
    rate = float(info["sfreq"])
    units = fiff_units(raw) if units is None else units
    start, stop = _kept(raw, rate)
    source = RawSource(raw, units.factor, start, stop)
    types = raw.get_channel_types()
    warn_implausible(source, rate, raw.ch_names, (np.array(types) == "eeg") & (np.array(units.unit) == "V"))
    position, frame = positions(info["chs"])
    node_attrs: dict[str, Any] = {
        **known_filters(info),
        **({"position_frame": frame} if frame else {}),
        **(attrs or {}),
    }
    if info.get("line_freq") is not None:
        node_attrs.setdefault("line_freq", float(info["line_freq"]))
    if info["custom_ref_applied"]:
        node_attrs.setdefault("reference", "custom")
    node = make_eeg(
        lazy_signal(source),
        channel=raw.ch_names,
        time=_times(raw.first_samp, rate, start, stop) if time is None else time,
        sampling_rate=rate,
        ch_type=types,
        ch_unit=units.unit,
        ch_unit_original=units.original,
        bad=np.isin(raw.ch_names, info["bads"]),
        position=position,
        attrs=node_attrs,
        **(channel_coords or {}),
    )
    nodes = {"eeg": node}
    events = _events(raw, time)
    if events is not None:
        nodes["events"] = events
    return make_recording(nodes, attrs={**_facts(raw, source_format, utc), **(root or {})})


def _kept(raw: Any, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Stretches (first sample, one after the last) outside what MNE filled with zeros."""
    edges = [0]
    skipped = [item for item in raw.annotations if item["description"] == SKIP]
    first = raw.first_samp / rate
    for item in sorted(skipped, key=lambda item: item["onset"]):
        low = int(np.clip(round((item["onset"] - first) * rate), 0, raw.n_times))
        high = int(np.clip(low + round(item["duration"] * rate), 0, raw.n_times))
        if high > low:
            edges += [max(low, edges[-1]), max(high, edges[-1])]
    edges.append(raw.n_times)
    inside = np.array(edges, dtype=int).reshape(-1, 2)
    inside = inside[inside[:, 1] > inside[:, 0]]
    return inside[:, 0], inside[:, 1]


def _times(first_samp: int, rate: float, start: np.ndarray, stop: np.ndarray) -> Any:
    if start.size == 1 and start[0] == 0:
        return regular_time(int(stop[0]), rate, first_samp / rate)
    rows = np.concatenate([np.arange(low, high) for low, high in zip(start, stop, strict=True)])
    return first_samp / rate + rows / rate


def positions(chs: Sequence[Any]) -> tuple[np.ndarray | None, str]:
    """Sensor positions in m (NaN where unknown) and the name of their frame; MNE writes 0, 0, 0 for unknown."""
    place = np.array([channel["loc"][:3] for channel in chs], dtype=np.float64)
    place[~np.isfinite(place).all(axis=1) | ~place.any(axis=1)] = np.nan
    known = np.flatnonzero(np.isfinite(place).all(axis=1))
    if not known.size:
        return None, ""
    frames = {_FRAMES.get(int(chs[i]["coord_frame"]), "unknown") for i in known}
    return place, ", ".join(sorted(frames))


def known_filters(info: Any) -> dict[str, float]:
    """Filters in Hz. MNE writes 0 and half the rate where a file says nothing, so these are left out."""
    found = {}
    if info["highpass"]:
        found["highpass"] = float(info["highpass"])
    if info["lowpass"] and info["lowpass"] < info["sfreq"] / 2:
        found["lowpass"] = float(info["lowpass"])
    return found


def _events(raw: Any, time: np.ndarray | None) -> xr.Dataset | None:
    """Annotations on the clock of the samples; None when there are none."""
    notes = raw.annotations
    keep = np.array([text != SKIP for text in notes.description], dtype=bool)
    if not keep.any():
        return None
    rate = float(raw.info["sfreq"])
    first = raw.first_samp / rate
    # Once set on a Raw, onsets count from the start of the acquisition, with a measurement date or without.
    onset = np.asarray(notes.onset, dtype=np.float64)
    if time is not None:
        # Events are stored by sample: they move with their samples over the gaps.
        sample = np.clip(np.round((onset - first) * rate).astype(int), 0, time.size - 1)
        onset = time[sample] + (onset - first - sample / rate)
    columns: dict[str, Any] = {}
    if any(notes.ch_names):
        columns["channel"] = [json.dumps(list(names)) if names else "" for names in notes.ch_names]
    extras = [dict(extra or {}) for extra in getattr(notes, "extras", None) or [None] * len(notes)]
    for key in sorted({key for extra in extras for key in extra}):
        if key not in ("onset", "duration", "description", "channel", "event"):
            columns[key] = [extra.get(key) for extra in extras]
    columns = {
        key: [value for value, kept in zip(values, keep, strict=True) if kept] for key, values in columns.items()
    }
    return make_events(
        onset[keep],
        np.asarray(notes.duration, dtype=np.float64)[keep],
        [text for text, kept in zip(notes.description, keep, strict=True) if kept],
        **columns,
    )


def _facts(raw: Any, source_format: str, utc: bool) -> dict[str, Any]:
    info = raw.info
    date = info["meas_date"]
    subject = dict(info["subject_info"] or {})
    facts: dict[str, Any] = {
        "time_origin": "" if date is None else (date if utc else date.replace(tzinfo=None)).isoformat(),
        "clock": "seconds since the start of the acquisition",
        "subject_id": str(subject.get("his_id", "")),
    }
    if source_format:
        facts["source_format"] = source_format
    metadata = {
        "description": info["description"],
        "experimenter": info["experimenter"],
        "device_info": jsonable(dict(info["device_info"])) if info["device_info"] else None,
        "subject_info": jsonable(subject) or None,
        "projections": [str(projection["desc"]) for projection in info["projs"]] or None,
    }
    return {**facts, **{key: value for key, value in metadata.items() if value}}
