"""MNE objects to recordings and back.

A gap becomes what MNE itself writes for a pause in a FIF file: zeros under an annotation BAD_ACQ_SKIP, which MNE's own
functions leave out; `from_mne` turns it into a gap again. Times stay: sample `i` of the Raw is at
``(raw.first_samp + i) / sfreq`` on the clock of the recording. A clock that starts between two ticks of the rate
(a first time of 810.0298 s at 100 Hz) cannot be held by MNE: there the Raw starts at the nearest tick and the
annotations move with the samples.
"""

from __future__ import annotations

import datetime
import json
import warnings
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import TIME_ATTRS, column_values
from neurodata.containers.time_index import RegularTimeIndex
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io._mne_raw import SKIP, fiff_units, known_filters, positions, recording_from_raw

# How far, in samples, a time may lie from the grid of the rate before it no longer counts as a sample of it.
_OFF_GRID = 0.1
# Types of this package that MNE knows under another name or not at all.
_TYPES = {"lfp": "seeg", "meg": "mag"}


def from_mne(obj: Any) -> Any:
    """A recording from an MNE Raw, or an array (trial, time, channel) from MNE Epochs.

    Parameters
    ----------
    obj : mne.io.BaseRaw or mne.BaseEpochs
        A Raw that is not loaded stays lazy.

    Returns
    -------
    DataTree or DataArray
        For a Raw the recording, with nodes `eeg` and `events` (the annotations), units in SI. For Epochs the signal
        (trial, time, channel): `time` is relative to the event of each trial. `event_sample` (counted in the Raw the
        epochs were cut from), `event_code` and `condition` say which event that was; `trial` is its row before any
        epoch was dropped. Columns of the epochs' metadata become coordinates of `trial`.

    Examples
    --------
    >>> import mne, numpy as np
    >>> import neurodata as nd
    >>> info = mne.create_info(["Fz", "Cz"], sfreq=100.0, ch_types="eeg")
    >>> raw = mne.io.RawArray(np.zeros((2, 500)), info, first_samp=50, verbose="error")
    >>> float(nd.io.from_mne(raw)["eeg"]["time"][0])
    0.5
    """
    mne = require("mne", "eeg", "to take MNE objects")
    if isinstance(obj, mne.io.BaseRaw):
        # A copy: what the caller does to the Raw later must not reach a recording that reads from it.
        return recording_from_raw(obj.copy(), source_format=type(obj).__name__)
    if isinstance(obj, mne.BaseEpochs):
        return _from_epochs(obj)
    raise OptionError("an mne Raw or mne Epochs", type(obj).__name__, "convert it with MNE first")


def _from_epochs(epochs: Any) -> xr.DataArray:
    with require("mne").use_log_level("error"):
        epochs = epochs.copy().load_data()  # drops what was rejected
    info = epochs.info
    names = {code: name for name, code in epochs.event_id.items()}
    codes = epochs.events[:, 2]
    units = fiff_units(_WithUnits(epochs))
    place, frame = positions(info["chs"])
    coords: dict[str, Any] = {
        "trial": ("trial", np.asarray(epochs.selection, dtype=np.int64)),
        "time": (
            "time",
            np.asarray(epochs.times, dtype=np.float64),
            {**TIME_ATTRS, "long_name": "time from the event"},
        ),
        "channel": ("channel", np.array(epochs.ch_names, dtype=str)),
        "event_sample": ("trial", epochs.events[:, 0].astype(np.int64)),
        "event_code": ("trial", codes.astype(np.int64)),
        "condition": ("trial", np.array([names.get(code, str(code)) for code in codes], dtype=str)),
        "ch_type": ("channel", np.array(epochs.get_channel_types(), dtype=str)),
        "ch_unit": ("channel", np.array(units.unit, dtype=str)),
        "bad": ("channel", np.isin(epochs.ch_names, info["bads"])),
    }
    if place is not None:
        coords |= {name: ("channel", place[:, axis], {"units": "m"}) for axis, name in enumerate("xyz")}
    if epochs.metadata is not None:
        table = {str(name): epochs.metadata[name] for name in epochs.metadata.columns if str(name) not in coords}
        coords |= {name: ("trial", column_values(column)) for name, column in table.items()}
    attrs = {
        "units": "V",
        "long_name": "signal",
        "sampling_rate": float(info["sfreq"]),
        "baseline": None if epochs.baseline is None else list(epochs.baseline),
        **({"position_frame": frame} if frame else {}),
        **known_filters(info),
    }
    attrs = {key: value for key, value in attrs.items() if value is not None}
    values = np.asarray(epochs.get_data(copy=True, verbose="error")).transpose(0, 2, 1)
    return xr.DataArray(
        values, dims=("trial", "time", "channel"), coords=coords, name="signal", attrs=storable_attrs(attrs)
    )


class _WithUnits:
    """Epochs seen as `fiff_units` sees a Raw; they remember no unit of a file."""

    _orig_units: dict[str, str] = {}

    def __init__(self, epochs: Any) -> None:
        self.info, self.ch_names = epochs.info, epochs.ch_names


def to_mne(rec: xr.DataTree, node: str = "eeg", *, sampling_rate: float | None = None) -> Any:
    """An MNE Raw (in memory) from a recording.

    Parameters
    ----------
    rec : DataTree
        One recording.
    node : str
        The node to take: `eeg`, `eeg_2`, ...
    sampling_rate : float, optional
        Hz, for a node without the attribute `sampling_rate`.

    Returns
    -------
    mne.io.RawArray
        With channel types ("lfp" becomes MNE's "seeg"), bad channels, positions (in the frame that the node names, else
        an unknown one; orientations of coils are not part of a recording), filters, measurement date and the events as
        annotations. Gaps are zeros under BAD_ACQ_SKIP annotations.

    Raises
    ------
    RecordingError
        Times that do not lie on a grid of the sampling rate: resample first.
    MissingOptionError
        No sampling rate.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> rec = nd.make_recording(eeg=nd.make_eeg(np.zeros((500, 2)), channel=["Fz", "Cz"], sampling_rate=100.0))
    >>> nd.io.to_mne(rec).get_data().shape
    (2, 500)
    """
    mne = require("mne", "eeg", "to make MNE objects")
    if node not in rec.children or "signal" not in rec.children[node]:
        raise OptionError(f"a node with a signal, out of {list(rec.children)}", repr(node), "pass node=")
    data = rec.children[node].to_dataset(inherit=False)
    rate = data.attrs.get("sampling_rate", sampling_rate)
    if rate is None:
        raise MissingOptionError(f"a sampling rate of {node!r}", "none in its attributes", "pass sampling_rate= in Hz")
    rate = float(rate)
    first, tick, residual = _grid(data, rate, node)
    info = _info(mne, rec, data, rate)
    values = np.zeros((data.sizes["channel"], int(tick[-1]) + 1))
    values[:, tick] = data["signal"].transpose("channel", "time").values
    raw = mne.io.RawArray(values, info, first_samp=first, verbose="error")
    _annotate(mne, raw, rec, tick, first, rate, residual)
    return raw


def _grid(data: xr.Dataset, rate: float, node: str) -> tuple[int, np.ndarray, float]:
    """First tick, tick of each sample after it, and time of the first sample minus that of its tick."""
    n = data.sizes["time"]
    if n == 0:
        raise RecordingError("samples", f"{node!r} has none", "choose another node")
    start = float(data["time"][0])
    first = round(start * rate)
    residual = start - first / rate
    if abs(residual * rate) < 1e-6:
        residual = 0.0
    if isinstance(data.xindexes.get("time"), RegularTimeIndex):
        return first, np.arange(n), residual
    position = (data["time"].values - start) * rate
    tick = np.round(position).astype(np.int64)
    # The rate of a clock drifts a little: what counts is the step to the sample before, inside a stretch.
    off = np.abs(np.diff(position) - np.diff(tick))
    if n > 1 and (off.max() > _OFF_GRID or np.diff(tick).min() < 1):
        raise RecordingError(
            f"times on a grid of {rate:g} Hz, gaps included",
            f"steps up to {off.max():.2g} samples off it",
            "resample the node (nd.preprocess.resample), or pass a stretch between two gaps",
        )
    return first, tick, residual


def _info(mne: Any, rec: xr.DataTree, data: xr.Dataset, rate: float) -> Any:
    known = set(mne.io.get_channel_type_constants(include_defaults=True))
    types = [_TYPES.get(kind, kind) for kind in data["ch_type"].values.astype(str)]
    unknown = sorted({kind for kind in types if kind not in known})
    if unknown:
        warnings.warn(f"channel types that MNE lacks become misc: {', '.join(unknown)}", NeurodataWarning, stacklevel=3)
    names = data["channel"].values.astype(str).tolist()
    volts = {"eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg"}
    unsure = [
        name
        for name, kind, unit in zip(names, types, data["ch_unit"].values.astype(str), strict=True)
        if kind in volts and unit != "V"
    ]
    if unsure:
        warnings.warn(
            f"MNE takes these channels for V, their unit is another or unknown: {', '.join(unsure[:5])}"
            f"{' ...' if len(unsure) > 5 else ''}",
            NeurodataWarning,
            stacklevel=3,
        )
    info = mne.create_info(names, rate, [kind if kind in known else "misc" for kind in types], verbose="error")
    info["bads"] = [name for name, bad in zip(names, data["bad"].values, strict=True) if bad]
    if {"x", "y", "z"} <= set(data.coords):
        constants = mne.io.constants.FIFF
        frames = {name: constants[f"FIFFV_COORD_{name.upper()}"] for name in ("device", "head", "mri")}
        frame = frames.get(data.attrs.get("position_frame", ""), constants.FIFFV_COORD_UNKNOWN)
        for channel, place in zip(info["chs"], np.stack([data[axis].values for axis in "xyz"], axis=1), strict=True):
            if np.isfinite(place).all():
                channel["loc"][:3] = place
                channel["coord_frame"] = frame
    with info._unlock():
        for key in ("highpass", "lowpass"):
            if key in data.attrs:
                info[key] = float(data.attrs[key])
        if "line_freq" in data.attrs:
            info["line_freq"] = float(data.attrs["line_freq"])
    origin = str(rec.attrs.get("time_origin", ""))
    if origin:
        date = datetime.datetime.fromisoformat(origin)
        # MNE knows no local time: one without a zone is labelled UTC, as MNE's own readers do.
        info.set_meas_date(date.replace(tzinfo=datetime.UTC) if date.tzinfo is None else date.astimezone(datetime.UTC))
    return info


def _annotate(mne: Any, raw: Any, rec: xr.DataTree, tick: np.ndarray, first: int, rate: float, residual: float) -> None:
    onset: list[float] = []
    duration: list[float] = []
    text: list[str] = []
    channels: list[tuple[str, ...]] = []
    if "events" in rec.children:
        events = rec.children["events"].to_dataset(inherit=False)
        onset = (events["onset"].values - residual).tolist()
        duration = np.nan_to_num(events["duration"].values).tolist() if "duration" in events else [0.0] * len(onset)
        text = events["description"].values.astype(str).tolist() if "description" in events else [""] * len(onset)
        named = events["channel"].values.astype(str).tolist() if "channel" in events else [""] * len(onset)
        channels = [_names(item) for item in named]
    for row in np.flatnonzero(np.diff(tick) > 1):
        onset.append((first + int(tick[row]) + 1) / rate)
        duration.append((int(tick[row + 1]) - int(tick[row]) - 1) / rate)
        text.append(SKIP)
        channels.append(())
    if not onset:
        return
    date = raw.info["meas_date"]
    # MNE takes onsets without a date as counted from the first sample, and adds its time.
    shift = 0.0 if date is not None else first / rate
    inside = np.array(onset) - first / rate
    last = (raw.n_times - 1) / rate
    outside = int(((inside + np.array(duration) < 0) | (inside > last + 1 / rate)).sum())
    if outside:
        warnings.warn(f"{outside} events lie outside the samples; MNE leaves them out", NeurodataWarning, stacklevel=3)
    notes = mne.Annotations(np.array(onset) - shift, duration, text, orig_time=date, ch_names=channels)
    raw.set_annotations(notes, verbose="error")  # its warnings are told above


def _names(item: str) -> tuple[str, ...]:
    if not item:
        return ()
    return tuple(json.loads(item)) if item.startswith("[") else (item,)
