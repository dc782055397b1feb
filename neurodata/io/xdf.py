"""XDF files of LabStreamingLayer, through pyxdf.

- Streams of voltage (type EEG, ECoG, SEEG, LFP, EMG, ECG, EOG) become `eeg`, `eeg_2`, ...; other streams of numbers
  `behaviour`, `behaviour_2`, ...; streams of text `events`, all in one node with the column `stream`.
- Times are on the clock of LSL: synchronised between computers, clock resets handled, jitter of regular streams removed
  inside each gap-free segment, all by pyxdf. Every time is kept, so gaps stay. `sampling_rate` is the measured rate;
  `nominal_rate` the one that the stream declares.
- Units are those the stream states: voltages become V, others keep their values. Where it states none, the values are
  kept and the unit is "": pass `unit=` to state it.
"""

from __future__ import annotations

import json
import struct
import warnings
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata._core.provenance import jsonable
from neurodata.containers.behaviour import make_behaviour
from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError, NeurodataWarning, OptionError
from neurodata.io._channels import node_names, unique_ids, volt_factor
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO, Reader, has_suffix, starts_with

_SUFFIXES = (".xdf", ".xdfz", ".xdf.gz")
_VOLTAGE_STREAMS = {
    "EEG": "eeg",
    "ECOG": "ecog",
    "IEEG": "seeg",
    "SEEG": "seeg",
    "LFP": "lfp",
    "EMG": "emg",
    "ECG": "ecg",
    "EKG": "ecg",
    "EOG": "eog",
}


def detect(path: Path) -> int:
    """By suffix and first bytes."""
    if path.is_dir() or not has_suffix(path, _SUFFIXES):
        return NO
    return BY_CONTENT if starts_with(path, b"XDF:") else BY_SUFFIX


def read(
    path: Path,
    *,
    streams: Sequence[str | int] | None = None,
    unit: str | None = None,
    dejitter: bool = True,
) -> xr.DataTree:
    """Read an XDF file.

    Parameters
    ----------
    path : Path
    streams : list of str or int, optional
        Names or ids of the streams to read; default all.
    unit : str, optional
        Unit of the channels of voltage streams that state none, e.g. "uV".
    dejitter : bool
        Fit the times of regular streams by a line in each gap-free segment; False keeps the time stamps as they came.
    """
    found = _load(path, dejitter)
    if streams is not None:
        known = {_name(stream) for stream in found} | {_id(stream) for stream in found}
        unknown = [str(wanted) for wanted in streams if wanted not in known]
        if unknown:
            raise OptionError(f"streams out of {sorted(map(str, known))}", ", ".join(unknown), "pass others")
        found = [stream for stream in found if _name(stream) in streams or _id(stream) in streams]
    eeg: list[xr.Dataset] = []
    behaviour: list[xr.Dataset] = []
    marks: list[tuple[float, str, str]] = []
    empty: list[str] = []
    for stream in found:
        kind = _text(stream["info"], "type").upper()
        times = np.asarray(stream["time_stamps"], dtype=np.float64)
        _check_footer(path, stream)
        if times.size == 0:
            empty.append(_name(stream))
        elif _text(stream["info"], "channel_format") == "string":
            marks += [
                (time, _words(row), _name(stream)) for time, row in zip(times, stream["time_series"], strict=True)
            ]
        elif not _is_regular(stream) and (np.diff(times) <= 0).any():
            # Two values at one time cannot lie on a time axis: each is an event.
            rows = np.asarray(stream["time_series"])
            marks += [(time, json.dumps(jsonable(row)), _name(stream)) for time, row in zip(times, rows, strict=True)]
        elif kind in _VOLTAGE_STREAMS:
            eeg.append(_eeg(stream, times, _VOLTAGE_STREAMS[kind], unit))
        else:
            behaviour.append(_behaviour(stream, times))
    nodes = dict(zip(node_names("eeg", len(eeg)), eeg, strict=True))
    nodes |= dict(zip(node_names("behaviour", len(behaviour)), behaviour, strict=True))
    if marks:
        marks.sort(key=lambda mark: mark[0])
        onset, text, stream_of = zip(*marks, strict=True)
        nodes["events"] = make_events(onset, 0.0, list(text), stream=list(stream_of))
    if not nodes:
        raise FormatError("streams with samples", f"{path.name} has {len(found)} streams, all empty", "check the file")
    return make_recording(nodes, attrs={"clock": "LSL", **({"empty_streams": empty} if empty else {})})


def _load(path: Path, dejitter: bool) -> list[dict[str, Any]]:
    pyxdf = require("pyxdf", "eeg", "to read XDF files")
    try:
        streams, _ = pyxdf.load_xdf(
            str(path), synchronize_clocks=True, handle_clock_resets=True, dejitter_timestamps=dejitter, verbose=False
        )
    except (
        OSError,
        EOFError,
        ValueError,
        LookupError,
        RuntimeError,
        TypeError,
        struct.error,
        zlib.error,
        ElementTree.ParseError,
    ) as error:
        raise FormatError(
            "a complete XDF file", f"{path.name}: {type(error).__name__}: {error}", "copy or record it again"
        ) from error
    if not streams:
        raise FormatError("an XDF file with streams", f"{path.name} has none", "the file is empty or was cut short")
    return sorted(streams, key=_id)


def _text(info: Any, key: str) -> str:
    value = (info.get(key) or [None])[0]
    return "" if value is None else str(value)


def _name(stream: dict[str, Any]) -> str:
    return _text(stream["info"], "name") or str(_id(stream))


def _id(stream: dict[str, Any]) -> int:
    return int(stream["info"]["stream_id"])


def _words(row: Sequence[str]) -> str:
    return row[0] if len(row) == 1 else json.dumps(list(row), ensure_ascii=False)


def _is_regular(stream: dict[str, Any]) -> bool:
    return float(_text(stream["info"], "nominal_srate") or 0) > 0


def _check_footer(path: Path, stream: dict[str, Any]) -> None:
    """A recorder that stops in order writes, per stream, how many samples there are."""
    footer = (stream.get("footer") or {}).get("info")
    counted = _text(footer, "sample_count") if footer else ""
    n = len(stream["time_stamps"])
    if not footer or (counted and int(float(counted)) != n):
        told = f"its footer says {counted}" if footer else "its footer is missing"
        warnings.warn(
            f"{path.name}: the stream {_name(stream)!r} holds {n} samples, {told}: the file was cut short",
            NeurodataWarning,
            stacklevel=3,
        )


def _channels(stream: dict[str, Any], n: int) -> list[dict[str, str]]:
    """What the stream says of each channel (label, unit, type); empty dicts where it says nothing."""
    description = (stream["info"].get("desc") or [None])[0]
    listed = ((description or {}).get("channels") or [None])[0]
    items = (listed or {}).get("channel") or []
    if len(items) != n:
        return [{} for _ in range(n)]
    return [{key: _text(item, key) for key in ("label", "unit", "type")} for item in items]


def _ids(channels: list[dict[str, str]]) -> list[str] | None:
    labels = [channel.get("label", "") for channel in channels]
    return unique_ids(labels) if all(labels) else None


def _stream_attrs(stream: dict[str, Any]) -> dict[str, Any]:
    info = stream["info"]
    attrs: dict[str, Any] = {f"stream_{key}": _text(info, key) for key in ("name", "type", "source_id", "hostname")}
    attrs["stream_id"] = _id(stream)
    if _is_regular(stream):
        attrs["nominal_rate"] = float(_text(info, "nominal_srate"))
    description = (info.get("desc") or [None])[0]
    if description:
        attrs["description"] = json.loads(json.dumps(description))
    return attrs


def _rate(stream: dict[str, Any], times: np.ndarray) -> float | None:
    """The measured rate of a regular stream, over its gap-free segments as pyxdf does; None for an irregular one."""
    if not _is_regular(stream):
        return None
    measured = float(stream["info"].get("effective_srate") or 0)
    return measured if np.isfinite(measured) and measured > 0 else float(_text(stream["info"], "nominal_srate"))


def _eeg(stream: dict[str, Any], times: np.ndarray, kind: str, unit: str | None) -> xr.Dataset:
    values = np.array(stream["time_series"], dtype=np.float64).reshape(times.size, -1)
    channels = _channels(stream, values.shape[1])
    originals = [channel.get("unit", "") or unit or "" for channel in channels]
    factors = [volt_factor(name) for name in originals]
    values *= [1.0 if factor is None else factor for factor in factors]
    labels = _ids(channels)
    named: dict[str, Any] = {"label": [channel["label"] for channel in channels]} if labels else {}
    return make_eeg(
        values,
        channel=labels,
        time=times,
        sampling_rate=_rate(stream, times),
        ch_type=[channel.get("type", "").lower() or kind for channel in channels],
        ch_unit=[name if factor is None else "V" for name, factor in zip(originals, factors, strict=True)],
        ch_unit_original=originals,
        attrs=_stream_attrs(stream),
        **named,
    )


def _behaviour(stream: dict[str, Any], times: np.ndarray) -> xr.Dataset:
    values = np.asarray(stream["time_series"], dtype=np.float64).reshape(times.size, -1)
    channels = _channels(stream, values.shape[1])
    return make_behaviour(
        values,
        signal=_ids(channels),
        unit=[channel.get("unit", "") for channel in channels],
        time=times,
        sampling_rate=_rate(stream, times),
        attrs=_stream_attrs(stream),
    )


READER = Reader(
    name="xdf",
    formats="XDF (LabStreamingLayer)",
    modalities=("eeg", "behaviour", "events"),
    suffixes=_SUFFIXES,
    detect=detect,
    read=read,
    extra="eeg",
    packages=("pyxdf",),
)
