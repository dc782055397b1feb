"""XDF, the files of Lab Streaming Layer: numeric streams as signals, marker streams as events, on one clock.

Time stamps are those of pyxdf: each stream's clock is mapped to the recorder's through the measured offsets, and the
jitter of regular streams is removed by a line per uninterrupted stretch. Interruptions stay in the time coordinate.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers.behaviour import make_behaviour
from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.summary import gaps
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError, NeurodataWarning
from neurodata.io._channels import node_names, unique_ids, volt_factor
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO, Reader, has_suffix, starts_with

# Stream types of https://github.com/sccn/xdf/wiki/Meta-Data whose samples are voltages, and our channel type of each.
_VOLTAGE_TYPES = {"eeg": "eeg", "ecog": "ecog", "seeg": "seeg", "ecg": "ecg", "ekg": "ecg", "emg": "emg", "eog": "eog"}
# A stream's measured rate may differ from the stated one by this share before the stated one is not repeated.
_RATE_TOLERANCE = 1e-3


# What pyxdf lets out of a damaged file (ElementTree's ParseError is a SyntaxError).
_PARSING = (OSError, ValueError, LookupError, EOFError, RuntimeError, SyntaxError, AttributeError, struct.error)


def detect(path: Path) -> int:
    """XDF by its first four bytes (also compressed ones, .xdfz, by suffix)."""
    if not path.is_file():
        return NO
    if starts_with(path, b"XDF:"):
        return BY_CONTENT
    return BY_SUFFIX if has_suffix(path, (".xdf", ".xdfz", ".xdf.gz")) else NO


def read(
    path: Path,
    *,
    synchronize: bool = True,
    dejitter: bool = True,
    allow_truncated: bool = False,
    unit: str = "",
) -> xr.DataTree:
    """Read an XDF file.

    Parameters
    ----------
    path : Path
    synchronize : bool
        Map every stream to the recorder's clock through the measured clock offsets. Without it the streams of
        different computers are on clocks of their own.
    dejitter : bool
        Replace the time stamps of a regular stream by a line per uninterrupted stretch (pyxdf's default).
    allow_truncated : bool
        Read what there is of a damaged file instead of refusing it.
    unit : str
        Unit of the channels of voltage streams that state none, e.g. "uV". Without it they keep their values, and
        `ch_unit` is "".

    Returns
    -------
    DataTree
        `eeg` (streams of voltages, one node each: `eeg`, `eeg_2`, ...), `behaviour` (other numeric streams, one node
        each), `events` (marker streams together; column `stream` has the stream's name).
    """
    pyxdf = require("pyxdf", "eeg", "to read XDF files")
    # pyxdf leaves a file open that does not start as one should.
    if not has_suffix(path, (".xdfz", ".xdf.gz")) and not starts_with(path, b"XDF:"):
        raise _damaged(path, "it does not start with 'XDF:'")
    with _messages() as messages:
        try:
            streams, header = pyxdf.load_xdf(
                str(path), synchronize_clocks=synchronize, dejitter_timestamps=dejitter, verbose=False
            )
        except _PARSING as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from error
    broken = [text for level, text in messages if level >= logging.ERROR or "truncated" in text or "corrupt" in text]
    if broken and not allow_truncated:
        raise _damaged(path, broken[0])

    unclosed = [_first(stream["info"], "name") for stream in streams if not stream.get("footer")]
    if unclosed:
        warnings.warn(
            f"{path.name}: the streams {', '.join(unclosed)} have no closing footer, so the recording was cut short or "
            "the recorder crashed; what was written is here",
            NeurodataWarning,
            stacklevel=2,
        )

    signals: dict[str, list[xr.Dataset]] = {"eeg": [], "behaviour": []}
    markers, left_out = [], []
    for stream in streams:
        name = _first(stream["info"], "name")
        if not len(stream["time_stamps"]):
            left_out.append(f"{name} (no samples)")
        elif _is_marker(stream):
            markers.append(stream)
        elif _first(stream["info"], "type").lower() in _VOLTAGE_TYPES:
            signals["eeg"].append(_voltage_node(stream, unit))
        else:
            signals["behaviour"].append(_behaviour_node(stream))
    nodes = {
        name: node
        for modality, found in signals.items()
        for name, node in zip(node_names(modality, len(found)), found, strict=True)
    }
    if markers:
        nodes["events"] = _events_node(markers)
    if not nodes:
        raise FormatError("an XDF file with samples", f"{path.name} holds {left_out or 'no streams'}", "check the file")
    return make_recording(
        nodes,
        attrs={
            "clock": "LSL clock of the recorder" if synchronize else "LSL clock of each stream",
            "source_format": "XDF",
            "file_datetime": _first(header.get("info", {}), "datetime"),
            "left_out": left_out,
            "reader_messages": sorted({text for _, text in messages}),
        },
    )


def _damaged(path: Path, what: str) -> FormatError:
    return FormatError(
        "a complete XDF file",
        f"{path.name}: {what}",
        "copy the file again, or pass allow_truncated=True to read what there is",
    )


@contextmanager
def _messages() -> Iterator[list[tuple[int, str]]]:
    """What pyxdf logs: it reports damage there instead of raising, and would print it to stderr."""
    found: list[tuple[int, str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.levelno, record.getMessage()))

    logger = logging.getLogger("pyxdf")
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.handlers, logger.propagate = [Keep(logging.WARNING)], False
    try:
        yield found
    finally:
        logger.level, logger.propagate, logger.handlers = before


def _first(info: Mapping[str, Any] | None, key: str) -> str:
    """XDF metadata are lists of one; "" when absent."""
    values = (info or {}).get(key) or [""]
    return "" if values[0] is None else str(values[0])


def _is_marker(stream: Mapping[str, Any]) -> bool:
    """Text, and irregular numbers in one channel: something that happened, not something that was sampled."""
    info = stream["info"]
    irregular = float(_first(info, "nominal_srate") or 0) == 0
    marked = _first(info, "type").lower() in ("markers", "marker", "stringmarker", "events")
    return _first(info, "channel_format") == "string" or (
        irregular and (marked or int(_first(info, "channel_count")) == 1)
    )


def _channels(stream: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Labels, units and types of the channels; "" for what the stream does not say."""
    n = int(_first(stream["info"], "channel_count"))
    described = (stream["info"].get("desc") or [None])[0] or {}
    channels = ((described.get("channels") or [None])[0] or {}).get("channel") or []
    if len(channels) != n:
        return [f"{i}" for i in range(n)], [""] * n, [""] * n
    labels = [_first(channel, "label") or f"{i}" for i, channel in enumerate(channels)]
    return labels, [_first(channel, "unit") for channel in channels], [_first(channel, "type") for channel in channels]


def _stream_attrs(stream: Mapping[str, Any]) -> dict[str, Any]:
    info = stream["info"]
    return {
        "stream_name": _first(info, "name"),
        "stream_type": _first(info, "type"),
        "source_id": _first(info, "source_id"),
        "hostname": _first(info, "hostname"),
        "nominal_sampling_rate": float(_first(info, "nominal_srate") or 0),
    }


def _sampling_rate(stream: Mapping[str, Any]) -> float | None:
    """The stated rate where the time stamps agree with it: uninterrupted, and within a thousandth."""
    nominal = float(_first(stream["info"], "nominal_srate") or 0)
    time = np.asarray(stream["time_stamps"], dtype=np.float64)
    if nominal <= 0 or time.size < 3 or gaps(time).size:
        return None
    measured = (time.size - 1) / (time[-1] - time[0])
    return nominal if abs(measured / nominal - 1) <= _RATE_TOLERANCE else None


def _voltage_node(stream: Mapping[str, Any], unit: str) -> xr.Dataset:
    labels, units, types = _channels(stream)
    units = [stated or unit for stated in units]
    of_stream = _VOLTAGE_TYPES[_first(stream["info"], "type").lower()]
    factor = np.array([volt_factor(unit) or 1.0 for unit in units])
    return make_eeg(
        np.asarray(stream["time_series"], dtype=np.float64) * factor,
        channel=unique_ids(labels),
        time=stream["time_stamps"],
        sampling_rate=_sampling_rate(stream),
        ch_type=[_VOLTAGE_TYPES.get(kind.lower(), kind.lower()) or of_stream for kind in types],
        ch_unit=["V" if volt_factor(unit) is not None else unit for unit in units],
        ch_unit_original=units,
        label=labels,
        attrs=_stream_attrs(stream),
    )


def _behaviour_node(stream: Mapping[str, Any]) -> xr.Dataset:
    labels, units, _ = _channels(stream)
    return make_behaviour(
        np.asarray(stream["time_series"], dtype=np.float64),
        signal=unique_ids(labels),
        unit=units,
        time=stream["time_stamps"],
        sampling_rate=_sampling_rate(stream),
        attrs=_stream_attrs(stream),
    )


def _events_node(markers: list[Mapping[str, Any]]) -> xr.Dataset:
    """All markers in order of time. Further channels of a marker stream follow the first, parted by a tab."""
    onset = np.concatenate([np.asarray(stream["time_stamps"], dtype=np.float64) for stream in markers])
    text = ["\t".join(str(item) for item in np.atleast_1d(row)) for stream in markers for row in stream["time_series"]]
    name = [_first(stream["info"], "name") for stream in markers for _ in stream["time_stamps"]]
    order = np.argsort(onset, kind="stable")
    return make_events(onset[order], 0.0, np.array(text, dtype=object)[order], stream=np.array(name)[order])


READER = Reader(
    name="xdf",
    formats="XDF (Lab Streaming Layer)",
    modalities=("eeg", "behaviour", "events"),
    suffixes=(".xdf", ".xdfz"),
    detect=detect,
    read=read,
    extra="eeg",
    packages=("pyxdf",),
)
