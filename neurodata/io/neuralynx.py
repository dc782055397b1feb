"""Neuralynx files (.ncs, .nse, .ntt, .nst, .nev), read by their records; the reader `neo` comes here for them.

A continuous file is a header of 16 kB and records of 512 samples, each with its own timestamp in microseconds. That
timestamp is the truth about time: a sample is at the timestamp of its record plus its place in the record over the
sampling rate. Nothing is re-timed over records, so gaps, and the jitter of a microsecond that the system writes, stay.
Layout: "Neuralynx Data File Formats" of the maker, and neo 0.14.6, with which the tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.spikes import make_spikes
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError
from neurodata.io._channels import node_names, unique_ids
from neurodata.io._lazy import lazy_signal

MAGIC = b"######## Neuralynx"
_HEADER_BYTES = 16384
_SAMPLES = 512
_CONTINUOUS = np.dtype(
    [("timestamp", "<u8"), ("channel", "<u4"), ("rate", "<u4"), ("valid", "<u4"), ("samples", "<i2", (_SAMPLES,))]
)
_EVENT = np.dtype(
    [
        *(("reserved", "<i2"), ("system", "<i2"), ("size", "<i2"), ("timestamp", "<u8"), ("id", "<i2"), ("ttl", "<u2")),
        *(("crc", "<i2"), ("dummy", "<i2", (2,)), ("extra", "<i4", (8,)), ("text", "S128")),
    ]
)
# Electrodes per spike file: single, stereotrode, tetrode.
_WIRES = {".nse": 1, ".nst": 2, ".ntt": 4}
SUFFIXES = (".ncs", ".nse", ".nst", ".ntt", ".nev")


def is_neuralynx(path: Path) -> bool:
    """Whether a file is one of Neuralynx that is read here."""
    from neurodata.io.registry import has_suffix, starts_with

    return path.is_file() and has_suffix(path, SUFFIXES) and starts_with(path, MAGIC)


def read_neuralynx(path: Path, *, ch_type: str, overlap: str, sort: bool) -> xr.DataTree:
    """A file, or all files of a folder: continuous channels that share their times share a node."""
    entries = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if is_neuralynx(entry)]
    left_out = [entry.name for entry in entries if entry not in files]
    if not files:
        raise FormatError("Neuralynx files", f"{path.name} holds none", "check the path")
    channels: list[Channel] = []
    nodes: dict[str, xr.Dataset] = {}
    trains: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {"channel": [], "cluster": [], "quality": []}
    events = []
    for file in files:
        if file.stat().st_size <= _HEADER_BYTES:
            left_out.append(f"{file.name} (a header without records)")
        elif file.suffix.lower() == ".ncs":
            channels.append(Channel.open(file))
        elif file.suffix.lower() == ".nev":
            events.append((file.name, _records(file, _EVENT)))
        else:
            _add_trains(file, trains, facts, left_out)
    for name, group in zip(node_names("eeg", len(channels)), _by_time(channels), strict=False):
        nodes[name] = _node(group, ch_type, overlap)
    if trains:
        nodes["spikes"] = make_spikes(trains, time_unit="us", sort=sort, **facts)
    if events:
        nodes["events"] = _events(events)
    header = read_header(files[0])
    return make_recording(
        nodes,
        attrs={
            "source_format": "neuralynx",
            "clock": "Neuralynx timestamps / 1e6",
            "acquisition": {key: header[key] for key in ("AcquisitionSystem", "ApplicationName") if key in header},
            "time_created": header.get("TimeCreated", ""),
            "left_out": left_out,
        },
    )


def read_header(path: Path) -> dict[str, str]:
    """The lines ``-Key value`` of a header, as text."""
    with open(path, "rb") as file:
        block = file.read(_HEADER_BYTES)
    found = {}
    for line in block.split(b"\0", 1)[0].decode("latin-1").splitlines():
        match = re.match(r"-(\S+)\s*(.*)", line.strip())
        if match:
            found[match.group(1)] = match.group(2).strip().strip('"').strip()
    return found


def _records(path: Path, dtype: np.dtype) -> np.ndarray:
    size = path.stat().st_size - _HEADER_BYTES
    if size % dtype.itemsize:
        raise FormatError(
            f"whole records of {dtype.itemsize} bytes after the header of {path.name}",
            f"{size} bytes, {size % dtype.itemsize} too many",
            "the file was cut short; copy it again",
        )
    return np.memmap(path, dtype=dtype, mode="r", offset=_HEADER_BYTES)


@dataclass(frozen=True)
class Channel:
    """One continuous file: what its header says and when its records were taken."""

    path: Path
    name: str
    number: int
    rate: float
    volt: float
    timestamp: np.ndarray
    valid: np.ndarray
    header: dict[str, str]

    @staticmethod
    def open(path: Path) -> Channel:
        """Read the header and the record headers."""
        header, records = read_header(path), _records(path, _CONTINUOUS)
        try:
            volt = float(header["ADBitVolts"].split()[0])
            rate = float(header["SamplingFrequency"].split()[0]) if "SamplingFrequency" in header else 0.0
        except (KeyError, ValueError, IndexError) as error:
            raise FormatError(
                f"ADBitVolts and SamplingFrequency in the header of {path.name}",
                f"{error!r}",
                "the header is damaged; copy the file again",
            ) from error
        stated = np.unique(records["rate"])
        if not rate:
            rate = float(stated[0])
        if stated.size > 1 or abs(float(stated[0]) - rate) > 1:
            raise FormatError(
                f"one sampling rate in {path.name}",
                f"{rate} Hz in the header, {stated[:5].tolist()} Hz in the records",
                "split the file where the rate changes",
            )
        if (records["valid"] > _SAMPLES).any():
            raise FormatError(f"records of at most {_SAMPLES} samples in {path.name}", "more", "the file is damaged")
        inverted = header.get("InputInverted", "").lower() == "true"
        return Channel(
            path=path,
            name=header.get("AcqEntName", path.stem),
            number=int(records["channel"][0]),
            rate=rate,
            volt=-volt if inverted else volt,
            timestamp=np.array(records["timestamp"]),
            valid=np.array(records["valid"], dtype=np.int64),
            header=header,
        )

    def same_times(self, other: Channel) -> bool:
        """Whether two channels were sampled at the same times."""
        return (
            self.rate == other.rate
            and np.array_equal(self.timestamp, other.timestamp)
            and np.array_equal(self.valid, other.valid)
        )


def _by_time(channels: Sequence[Channel]) -> list[list[Channel]]:
    groups: list[list[Channel]] = []
    for channel in channels:
        group = next((group for group in groups if group[0].same_times(channel)), None)
        if group is None:
            groups.append([channel])
        else:
            group.append(channel)
    return groups


def sample_times(timestamp: np.ndarray, valid: np.ndarray, rate: float) -> np.ndarray:
    """Times of all valid samples, s: the record's timestamp (us) plus the place in the record over the rate (Hz).

    Examples
    --------
    >>> sample_times(np.array([1000, 5000]), np.array([2, 1]), 1000.0).tolist()
    [0.001, 0.002, 0.005]
    """
    first = np.cumsum(valid) - valid
    place = np.arange(valid.sum()) - np.repeat(first, valid)
    # In microseconds first: timestamps are whole numbers up to 1e15, which a float64 holds exactly.
    return (np.repeat(timestamp.astype(np.float64), valid) + place * (1e6 / rate)) / 1e6


def _node(group: list[Channel], ch_type: str, overlap: str) -> xr.Dataset:
    head = group[0]
    times = sample_times(head.timestamp, head.valid, head.rate)
    back = np.flatnonzero(np.diff(times) <= 0)
    kept = None
    if back.size:
        record = int(np.searchsorted(np.cumsum(head.valid), back[0], side="right"))
        if overlap != "drop":
            raise FormatError(
                f"records of {head.path.name} that follow each other in time",
                f"{back.size} that start before the one before them ends, the first after record {record} "
                f"(timestamp {head.timestamp[record]} us)",
                "pass overlap='drop' to leave out the samples that come twice or go back in time",
            )
        latest = np.concatenate([[-np.inf], np.maximum.accumulate(times)[:-1]])
        kept = np.flatnonzero(times > latest)
        times = times[kept]
    names = [channel.name for channel in group]
    ids = names if len(set(names)) == len(names) else unique_ids([channel.path.stem for channel in group])
    attrs: dict[str, Any] = {"reference": head.header.get("ReferenceChannel", "")}
    for attr, enabled, key in (
        ("highpass", "DSPLowCutFilterEnabled", "DspLowCutFrequency"),
        ("lowpass", "DSPHighCutFilterEnabled", "DspHighCutFrequency"),
    ):
        if head.header.get(enabled, "").lower() == "true" and key in head.header:
            attrs[attr] = float(head.header[key])
    if kept is not None:
        attrs["dropped_samples"] = int(head.valid.sum() - kept.size)
    return make_eeg(
        lazy_signal(NcsSource([channel.path for channel in group], [c.volt for c in group], head.valid, kept)),
        channel=ids,
        time=times,
        sampling_rate=head.rate,
        ch_type=ch_type,
        ch_unit_original=["ADBitVolts" for _ in group],
        attrs=attrs,
        channel_id=[channel.number for channel in group],
        file=[channel.path.name for channel in group],
    )


class NcsSource:
    """Samples of continuous files that share their records, read from disk when asked for."""

    def __init__(
        self, paths: Sequence[Path], volt: Sequence[float], valid: np.ndarray, kept: np.ndarray | None = None
    ) -> None:
        self.paths = [path.resolve() for path in paths]
        self.volt = np.asarray(volt, dtype=np.float64)
        self.stop = np.cumsum(valid)
        self.first = self.stop - valid
        self.kept = kept
        self.n_samples = int(self.stop[-1]) if kept is None else int(kept.size)
        self.n_channels = len(self.paths)

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop`, V (stop - start, channels.size)."""
        rows = np.arange(start, stop) if self.kept is None else self.kept[start:stop]
        values = np.empty((rows.size, channels.size))
        if not rows.size:
            return values
        record = np.searchsorted(self.stop, rows, side="right")
        low, high = int(record.min()), int(record.max()) + 1
        place = (record - low) * _SAMPLES + rows - self.first[record]
        for column, channel in enumerate(channels):
            samples = _records(self.paths[channel], _CONTINUOUS)[low:high]["samples"].reshape(-1)
            values[:, column] = samples[place] * self.volt[channel]
        return values


def _add_trains(file: Path, trains: dict[str, np.ndarray], facts: dict[str, list[Any]], left_out: list[str]) -> None:
    """One train per cluster of a spike file, in microseconds; cluster 0 is what the sorter left unsorted."""
    wires = _WIRES[file.suffix.lower()]
    records = _records(
        file,
        np.dtype(
            [("timestamp", "<u8"), ("channel", "<u4"), ("cluster", "<u4"), ("feature", "<i4", (8,))]
            + [("samples", "<i2", (32, wires))]
        ),
    )
    name = read_header(file).get("AcqEntName", file.stem)
    for cluster in np.unique(records["cluster"]):
        key = f"{name}_{cluster}"
        trains[key if key not in trains else f"{file.stem}_{cluster}"] = np.array(
            records["timestamp"][records["cluster"] == cluster], dtype=np.float64
        )
        facts["channel"].append(name)
        facts["cluster"].append(int(cluster))
        facts["quality"].append("unsorted" if cluster == 0 else "")
    left_out.append(f"{file.name} (waveforms)")


def _events(files: Sequence[tuple[str, np.ndarray]]) -> xr.Dataset:
    onset = np.concatenate([records["timestamp"].astype(np.float64) / 1e6 for _, records in files])
    text = [item.split(b"\0", 1)[0].decode("latin-1") for _, records in files for item in records["text"]]
    return make_events(
        onset,
        0.0,
        text,
        event_id=np.concatenate([records["id"].astype(np.int64) for _, records in files]),
        ttl=np.concatenate([records["ttl"].astype(np.int64) for _, records in files]),
        file=[name for name, records in files for _ in range(records.size)],
    )
