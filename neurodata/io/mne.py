"""Continuous voltage through MNE, read lazily: BrainVision, EEGLAB, FIF, EGI, GDF, Neuroscan, Persyst and others.

EDF and BDF have a reader of their own (`edf`). Channels that do not measure voltage keep the numbers of the file, and
`ch_unit` names their unit ("" where the file states none). The clock is MNE's: see `neurodata.io._mne_raw`.

- A BrainVision file that was paused has one dated "New Segment" marker per stretch: the pauses are kept as gaps.
- EEGLAB, EGI and Neuroscan files state no unit; by convention of these formats their voltages are microvolts.
- MNE keeps the onsets of events to the microsecond.
- Warnings of MNE about what does not change the data go into `metadata_json` as `reader_messages`.
"""

from __future__ import annotations

import datetime
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.errors import FormatError, MissingOptionError, NeurodataWarning
from neurodata.io import _mne_units, edf
from neurodata.io._mne_raw import recording_from_raw
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, HDF5_MAGIC, NO, Reader, has_suffix, starts_with

# What MNE and the parsers under it raise on a file that is not what they expect.
_READ_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    EOFError,
    NotImplementedError,
    struct.error,
)

# Warnings of MNE that say nothing of the samples, their times or the events.
_HARMLESS = re.compile(
    "not unique|No info on DataPoints|software filter|meas(urement)? date|Highpass cutoff|boundary' events, indicating|"
    "sphere|montage|physical dimension|Channels contain different (high|low)pass filters|recomputing event table"
)


@dataclass(frozen=True)
class _Format:
    """One format: how to know it, and the reader of MNE."""

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    function: str
    utc: bool = False
    options: tuple[str, ...] = ()


_FORMATS = (
    _Format("BrainVision", (".vhdr", ".ahdr"), (b"Brain Vision", b"BrainVision", b"\xef\xbb\xbfBrain"), "brainvision"),
    _Format("EEGLAB", (".set",), (b"MATLAB 5.0 MAT-file", HDF5_MAGIC, b"MATLAB 7.3 MAT-file"), "eeglab"),
    # A FIF file starts with the tag FIFF_FILE_ID (100), type 31, 20 bytes long.
    _Format("FIF", (".fif", ".fif.gz"), (struct.pack(">iii", 100, 31, 20), b"\x1f\x8b"), "fif", utc=True),
    _Format("EGI", (".raw",), tuple(struct.pack(">i", version) for version in range(2, 8)), "egi"),
    _Format("EGI MFF", (".mff",), (), "egi", utc=True),
    _Format("GDF", (".gdf",), (b"GDF ",), "gdf"),
    _Format("ANT Neuro", (".cnt",), (b"RIFF", b"RF64"), "ant", options=("encoding",)),
    _Format("Neuroscan", (".cnt",), (b"Version 3.0",), "cnt", options=("data_format",)),
    _Format("Nihon Kohden", (".eeg",), (b"EEG-", b"QI-403A", b"DAE-"), "nihon", options=("encoding",)),
    _Format("Persyst", (".lay",), (b"[FileInfo]",), "persyst"),
    _Format("CTF", (".ds",), (), "ctf"),
)
# What a folder of a format holds.
_FOLDERS = {"EGI MFF": "info.xml", "CTF": "*.res4"}


def _format(path: Path) -> tuple[_Format | None, int]:
    """The format of a path by content, else by suffix where only one format has it."""
    named = [form for form in _FORMATS if has_suffix(path, form.suffixes)]
    for form in named:
        if path.is_dir():
            if form.name in _FOLDERS and any(path.glob(_FOLDERS[form.name])):
                return form, BY_CONTENT
        elif any(starts_with(path, magic) for magic in form.magic):
            return form, BY_CONTENT
    # .raw, .eeg and .cnt are also suffixes of other programs: without the first bytes they are nobody's.
    if len(named) == 1 and path.is_file() and named[0].name not in ("EGI", "Nihon Kohden", "Persyst"):
        return named[0], BY_SUFFIX
    return None, NO


def detect(path: Path) -> int:
    """By suffix and first bytes."""
    return _format(path)[1]


def read(path: Path, *, data_format: str | None = None, encoding: str | None = None) -> xr.DataTree:
    """Read a file through MNE.

    Parameters
    ----------
    path : Path
        The file; for BrainVision the ``.vhdr``.
    data_format : str, optional
        Neuroscan: "int16" or "int32", where the header does not tell.
    encoding : str, optional
        Nihon Kohden and ANT: encoding of the annotations.

    Options of one format are no concern of the others, so that a folder of several formats takes them all.
    """
    if has_suffix(path, edf.SUFFIXES):
        return edf.read(path) if encoding is None else edf.read(path, encoding=encoding)
    form, sure = _format(path)
    if form is None or sure != BY_CONTENT:
        raise FormatError(
            "a file of BrainVision, EEGLAB, FIF, EGI, GDF, Neuroscan, ANT, Nihon Kohden, Persyst or CTF",
            f"{path.name}, which does not start as one",
            "let nd.load find the reader, or read it with mne.io and pass the result to nd.io.from_mne",
        )
    options = {"data_format": data_format, "encoding": encoding}
    taken = {key: value for key, value in options.items() if key in form.options and value is not None}
    raw, messages = open_raw(path, form.name, form.function, taken)
    extra = _EXTRA.get(form.name, _plain)(raw, path)
    root = {**extra.pop("root", {}), **({"reader_messages": messages} if messages else {})}
    return recording_from_raw(raw, source_format=form.name, utc=form.utc, root=root, **extra)


def open_raw(path: Path, name: str, function: str, options: dict[str, Any]) -> tuple[Any, list[str]]:
    """A Raw that is not loaded, and the harmless messages; others become one NeurodataWarning."""
    mne = require("mne", "eeg", f"to read {name} files")
    if name == "ANT Neuro":
        require("antio", "", "to read ANT Neuro files")
    if name == "EEGLAB" and starts_with(path, HDF5_MAGIC, 512) | starts_with(path, HDF5_MAGIC):
        require("pymatreader", "eeg", "to read EEGLAB files of MATLAB 7.3")
    reader: Callable[..., Any] = getattr(mne.io, f"read_raw_{function}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            raw = reader(path, preload=False, verbose="warning", **options)
        except _READ_ERRORS as error:
            raise _explained(error, path, name) from error
    # MNE warns of the file with RuntimeWarning; deprecations inside the libraries are no concern of the user.
    told = [(" ".join(str(item.message).split()), issubclass(item.category, RuntimeWarning)) for item in caught]
    matter = list(dict.fromkeys(text for text, of_file in told if of_file and not _HARMLESS.search(text)))
    if matter:
        warnings.warn(f"{path.name}: {'; '.join(matter)}", NeurodataWarning, stacklevel=4)
    return raw, list(dict.fromkeys(text for text, of_file in told if of_file and text not in matter))


def _explained(error: Exception, path: Path, name: str) -> FormatError | MissingOptionError:
    # MNE puts the place in its code before some messages.
    text = re.sub(r"^File \".*?\", line \d+, in \w+ (raise \w+\( ?)?(\w+: )?", "", " ".join(str(error).split()))
    if "data_format" in text:
        return MissingOptionError(
            "the number format of the samples",
            f"{path.name}: {text.split(' WARNING')[0]}",
            "pass data_format='int16' or data_format='int32'; the wrong one gives nonsense",
        )
    if "epoch" in text.lower() or "number of trials" in text.lower():
        return FormatError(
            "a continuous recording",
            f"{path.name} holds epochs",
            "read it with mne.read_epochs (mne.read_epochs_eeglab) and pass the result to nd.io.from_mne",
        )
    return FormatError(
        f"a complete {name} file and the files that belong to it",
        f"{path.name}: {type(error).__name__}: {text}",
        "check that the file is whole and that its companions lie beside it",
    )


def _plain(raw: Any, path: Path) -> dict[str, Any]:
    return {}


def _microvolts(raw: Any, path: Path) -> dict[str, Any]:
    return {"units": _mne_units.microvolt_units(raw)}


def _gdf(raw: Any, path: Path) -> dict[str, Any]:
    rates = np.unique(np.asarray(raw._raw_extras[0]["n_samps"]))
    if rates.size > 1:
        raise FormatError(
            "channels of one sampling rate",
            f"{path.name} has {rates.size} rates, which MNE resamples to the highest",
            "convert the file to EDF (nodes of several rates), or read it with mne.io.read_raw_gdf and nd.io.from_mne",
        )
    return {"units": _mne_units.gdf_units(raw, path)}


def _brainvision(raw: Any, path: Path) -> dict[str, Any]:
    header = _mne_units.brainvision_header(path)
    found: dict[str, Any] = {"units": _mne_units.brainvision_units(raw, header), "time": _paused(raw, path)}
    references = [name for name, _ in header]
    if len(references) == len(raw.ch_names) and any(references):
        found["channel_coords"] = {"reference": references}
        if len(set(references)) == 1:
            found["attrs"] = {"reference": references[0]}
    return found


_SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,(\d+),[^,]*,[^,]*,(\d{20})", re.MULTILINE)


def _paused(raw: Any, path: Path) -> np.ndarray | None:
    """Time of every sample where dated segments do not follow each other; None where they do."""
    name = re.search(r"^MarkerFile=(.*)$", path.read_text("latin-1"), re.MULTILINE)
    markers = path.with_name(name[1].strip().replace("$b", path.stem)) if name else None
    if markers is None or not markers.is_file():
        return None
    rate = float(raw.info["sfreq"])
    segments = [(int(at) - 1, stamp) for at, stamp in _SEGMENT.findall(markers.read_text("latin-1"))]
    if len(segments) < 2 or any(not int(stamp) for _, stamp in segments):
        return None
    origin = datetime.datetime.strptime(segments[0][1], "%Y%m%d%H%M%S%f")
    first = segments[0][0] / rate
    time = np.arange(raw.n_times) / rate
    for sample, stamp in segments[1:]:
        start = first + (datetime.datetime.strptime(stamp, "%Y%m%d%H%M%S%f") - origin).total_seconds()
        # Clocks of a PC and an amplifier differ by little; what is less than a sample is no pause.
        if start - time[sample] > 1.0 / rate:
            time[sample:] += start - time[sample]
    return time if time[-1] > (raw.n_times - 0.5) / rate else None


_EXTRA: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "BrainVision": _brainvision,
    "GDF": _gdf,
    "EEGLAB": _microvolts,
    "EGI": _microvolts,
    "EGI MFF": _microvolts,
    "Neuroscan": _microvolts,
    "Persyst": _microvolts,
}

READER = Reader(
    name="mne",
    formats="BrainVision, EEGLAB, FIF, EGI (.raw, .mff), GDF, Neuroscan and ANT CNT, Nihon Kohden, Persyst, CTF",
    modalities=("eeg", "events"),
    suffixes=(".vhdr", ".ahdr", ".set", ".fif", ".fif.gz", ".raw", ".mff", ".gdf", ".cnt", ".eeg", ".lay", ".ds"),
    detect=detect,
    read=read,
    extra="eeg",
    packages=("mne",),
)
