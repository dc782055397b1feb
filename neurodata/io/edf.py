"""EDF, EDF+, BDF and BDF+, read lazily and at the native rate of each channel, by the core install alone.

MNE is not used here: it resamples channels of lower rates to the highest one and closes the gaps of EDF+D.

- Channels of one rate make one node: `eeg`, then `eeg_2`, ... in the order the rates come in the file.
- Channels whose unit is a voltage are given in V. Others, and the channels of triggers ("Status", "Trigger"), keep the
  physical values of the file; `ch_unit` and `ch_unit_original` say which. A BDF status channel holds signed 24 bits:
  its lower 16 bits are the triggers, ``value.astype(int) & 0xFFFF``.
- `ch_type` is what the label states in the words of EDF+ ("ECG II" is ecg), else eeg for voltages, misc for others.
- Ids are the labels. Labels that come more than once get running numbers ("T3-0", "T3-1"); the coordinate `label`
  keeps what the file has.
- Times are s from the start in the header. Gaps of EDF+D are kept: then `time` is explicit.
- An annotation without a duration has duration 0.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.time_index import regular_time
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError, MissingOptionError, NeurodataWarning, OptionError
from neurodata.io._channels import node_names, unique_ids, volt_factor, warn_implausible
from neurodata.io._edf_format import (
    BDF_MAGIC,
    EDF_MAGIC,
    Annotations,
    Header,
    RecordSource,
    Signal,
    read_annotations,
    read_header,
)
from neurodata.io._lazy import lazy_signal
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO, Reader, has_suffix, starts_with

SUFFIXES = (".edf", ".bdf", ".rec")

# Signal types of the EDF+ standard texts (https://www.edfplus.info/specs/edftexts.html), first word of a label.
_TYPES = {"EEG": "eeg", "ECG": "ecg", "EKG": "ecg", "EOG": "eog", "EMG": "emg", "MEG": "meg", "ECOG": "ecog"}
_STIM_LABELS = ("status", "trigger")


def detect(path: Path) -> int:
    """EDF and BDF by suffix and first bytes."""
    if not has_suffix(path, SUFFIXES) or path.is_dir():
        return NO
    if starts_with(path, EDF_MAGIC) or starts_with(path, BDF_MAGIC):
        return BY_CONTENT
    return NO if has_suffix(path, (".rec",)) else BY_SUFFIX


def read(
    path: Path,
    *,
    encoding: str = "utf-8",
    unit: str | None = None,
    sampling_rate: float | None = None,
    allow_truncated: bool = False,
) -> xr.DataTree:
    """Read an EDF or BDF file.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str
        Of channel labels and annotations; the formats say ASCII and UTF-8.
    unit : str, optional
        Unit of the channels whose header states none. Without it they keep their values and `ch_unit` is "".
    sampling_rate : float, optional
        Hz, for files whose data records have duration 0 in the header.
    allow_truncated : bool
        Read the complete data records of a file that is shorter than its header says.
    """
    header = read_header(path, encoding)
    n_records = _count_records(path, header, allow_truncated)
    notes = read_annotations(path, header, n_records, encoding)
    if notes.unreadable:
        warnings.warn(
            f"{path.name}: {len(notes.unreadable)} annotations could not be read, e.g. {notes.unreadable[0]}",
            NeurodataWarning,
            stacklevel=2,
        )
    signals = [signal for signal in header.signals if not signal.is_annotation and signal.samples]
    ids = unique_ids([signal.label for signal in signals])
    record_s = _record_seconds(header, signals, sampling_rate)
    groups: dict[int, list[int]] = {}
    for row, signal in enumerate(signals):
        groups.setdefault(signal.samples, []).append(row)
    nodes: dict[str, xr.Dataset] = {}
    for name, (samples, rows) in zip(node_names("eeg", len(groups)), groups.items(), strict=True):
        nodes[name] = _node(
            path,
            header,
            [signals[row] for row in rows],
            [ids[row] for row in rows],
            unit,
            n_records,
            samples / record_s,
            _times(notes.record_start, n_records, samples, record_s),
        )
    if notes.onset.size or not nodes:
        nodes["events"] = _events(notes)
    return make_recording(nodes, attrs=_facts(path, header, n_records))


def _count_records(path: Path, header: Header, allow_truncated: bool) -> int:
    """Number of data records, checked against the size of the file."""
    if header.record_bytes == 0:
        raise FormatError("data records with samples", f"{path.name} declares none", "the header is damaged")
    data_bytes = path.stat().st_size - header.header_bytes
    complete, rest = divmod(max(data_bytes, 0), header.record_bytes)
    if header.n_records == -1:  # still being recorded, or never closed
        n_records = complete
    elif complete < header.n_records:
        if not allow_truncated:
            raise FormatError(
                f"{header.n_records} data records of {header.record_bytes} bytes, as the header says",
                f"{path.name} holds {complete} complete ones",
                "copy the file again, or pass allow_truncated=True to read the complete ones",
            )
        n_records, rest = complete, 0
    else:
        n_records, rest = header.n_records, data_bytes - header.n_records * header.record_bytes
    if rest:
        warnings.warn(
            f"{path.name}: {rest} bytes after the last of {n_records} data records were left out",
            NeurodataWarning,
            stacklevel=3,
        )
    if n_records < 1:
        raise FormatError("at least one data record", f"{path.name} has none", "the file holds a header only")
    return n_records


def _record_seconds(header: Header, signals: list[Signal], sampling_rate: float | None) -> float:
    if header.record_s > 0 or not signals:
        stated = sorted({signal.samples / header.record_s for signal in signals}) if signals else []
        if sampling_rate is not None and stated and stated != [sampling_rate]:
            raise OptionError(
                f"the rates that the header states, {', '.join(f'{rate:g}' for rate in stated)} Hz",
                f"sampling_rate={sampling_rate:g}",
                "drop the option",
            )
        return header.record_s
    if sampling_rate is None:
        raise MissingOptionError(
            "a duration of the data records", f"{header.record_s:g} s in the header", "pass sampling_rate= in Hz"
        )
    if len({signal.samples for signal in signals}) > 1:
        raise FormatError("one rate, when the header states no duration", "several", "mend the header")
    return signals[0].samples / sampling_rate


def _times(record_start: np.ndarray, n_records: int, samples: int, record_s: float) -> tuple[float, np.ndarray | None]:
    """Time of the first sample, and every time when records do not follow each other (EDF+D), else None.

    A record that starts less than half a sample from its place is in place: EDF+ rounds these texts.
    """
    stated = np.isfinite(record_start)
    if not stated.any():
        return 0.0, None
    first = record_start[stated][0] - np.flatnonzero(stated)[0] * record_s
    expected = first + np.arange(n_records) * record_s
    step = record_s / samples
    if np.all(np.abs(record_start - expected)[stated] < step / 2):
        return float(first), None
    if not stated.all():
        raise FormatError(
            "the start of every data record, as EDF+D requires",
            f"{int((~stated).sum())} records without one",
            "the file is damaged",
        )
    return float(first), (record_start[:, None] + np.arange(samples) * step).reshape(-1)


def _node(
    path: Path,
    header: Header,
    signals: list[Signal],
    ids: list[str],
    unit: str | None,
    n_records: int,
    rate: float,
    times: tuple[float, np.ndarray | None],
) -> xr.Dataset:
    gains, shifts, units, originals, types = [], [], [], [], []
    for signal in signals:
        gain, shift = signal.calibration
        original = signal.dimension or unit or ""
        kind = _type(signal, original)
        factor = volt_factor(original)
        if np.isnan(gain):
            # The header gives no range, so no physical value exists: the stored integers are what there is.
            gain, shift, factor, original, kind = 1.0, 0.0, None, "digital", "misc" if kind == "eeg" else kind
        scaled = factor is not None and kind != "stim"
        gains.append(gain * (factor if factor is not None and scaled else 1.0))
        shifts.append(shift * (factor if factor is not None and scaled else 1.0))
        units.append("V" if scaled else original)
        originals.append(original)
        types.append(kind)
    source = RecordSource(
        path=path.absolute(),
        header_bytes=header.header_bytes,
        record_bytes=header.record_bytes,
        sample_bytes=header.sample_bytes,
        samples=signals[0].samples,
        offsets=tuple(signal.offset for signal in signals),
        gains=tuple(gains),
        shifts=tuple(shifts),
        n_records=n_records,
    )
    start, explicit = times
    warn_implausible(source, rate, ids, (np.array(types) == "eeg") & (np.array(units) == "V"))
    optional: dict[str, Any] = {
        name: [getattr(signal, name) for signal in signals]
        for name in ("transducer", "prefilter")
        if any(getattr(signal, name) for signal in signals)
    }
    return make_eeg(
        lazy_signal(source),
        channel=ids,
        time=regular_time(source.n_samples, rate, start) if explicit is None else explicit,
        sampling_rate=rate,
        ch_type=types,
        ch_unit=units,
        ch_unit_original=originals,
        attrs=_filters([signal for signal, kind in zip(signals, types, strict=True) if kind != "stim"]),
        label=[signal.label for signal in signals],
        **optional,
    )


def _type(signal: Signal, unit: str) -> str:
    if signal.label.lower() in _STIM_LABELS:
        return "stim"
    word = signal.label.partition(" ")[0].upper()
    if word in _TYPES:
        return _TYPES[word]
    return "eeg" if volt_factor(unit) is not None else "misc"


_EDGE = r"{}:\s*(DC|[\d.]+)\s*(mHz|Hz|kHz)?"
_HZ = {"mHz": 1e-3, "Hz": 1.0, "kHz": 1e3, None: 1.0}


def _filters(signals: list[Signal]) -> dict[str, float]:
    """Filters in Hz that all these signals state alike; what each states is kept in the coordinate `prefilter`."""
    found = {}
    for name, key in (("highpass", "HP"), ("lowpass", "LP")):
        edges = [re.search(_EDGE.format(key), signal.prefilter, re.IGNORECASE) for signal in signals]
        try:
            values = {0.0 if edge[1].upper() == "DC" else float(edge[1]) * _HZ[edge[2]] for edge in edges if edge}
        except (ValueError, KeyError):  # "HP: 1.2.3" or a unit in other letters: the text stays in the coordinate
            continue
        # A low-pass at 0 Hz would pass nothing: writers put it where there is no filter.
        if len(values) == 1 and all(edges) and not (name == "lowpass" and 0.0 in values):
            found[name] = values.pop()
    return found


def _events(notes: Annotations) -> xr.Dataset:
    """Annotations; "text@@channel" (EDF+ standard texts) is one that belongs to a channel."""
    parts = [text.partition("@@") for text in notes.text]
    columns: dict[str, Any] = {}
    if any(channel for _, _, channel in parts):
        columns["channel"] = [channel for _, _, channel in parts]
    return make_events(notes.onset, notes.duration, [text for text, _, _ in parts], **columns)


def _facts(path: Path, header: Header, n_records: int) -> dict[str, Any]:
    plus = header.reserved[:5] if header.reserved[:4] in ("EDF+", "BDF+") else ""
    code = header.patient.split(" ")[0] if plus else ""
    return {
        "source_format": plus or ("BDF" if header.sample_bytes == 3 else "EDF"),
        "time_origin": header.start.isoformat() if header.start else "",
        "clock": "seconds since the start in the header",
        "subject_id": "" if code == "X" else code,
        "header": {
            "patient": header.patient,
            "recording": header.recording,
            "n_records_in_header": header.n_records,
            "n_records": n_records,
            "record_duration": header.record_s,
        },
    }


READER = Reader(
    name="edf",
    formats="EDF, EDF+, BDF, BDF+",
    modalities=("eeg", "events"),
    suffixes=SUFFIXES,
    detect=detect,
    read=read,
)
